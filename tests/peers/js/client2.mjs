// The test client on the TypeScript SDK 2.x (both eras).
import { Client, ProtocolError } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import * as z from 'zod';

import { main } from './scenarios.mjs';
import { TruthLog } from './truth.mjs';

const log = new TruthLog('client');
const options = { timeout: 280_000, cacheMode: 'bypass' };

// On the prototype, not in a subclass: only for exactly its own class does the SDK ask a second, short-lived server for its era.
const start = StdioClientTransport.prototype.start;
StdioClientTransport.prototype.start = function () {
  const started = start.call(this);
  if (this._process) log.watchChild(this._process);
  return started;
};

async function connect(server, { era }) {
  const inbox = { notes: [], updated: [] };
  const mode = { auto: 'auto', legacy: 'legacy', modern: { pin: '2026-07-28' } }[era];
  const client = new Client(
    { name: 'peer-node2', version: '1.0.0' },
    { capabilities: { elicitation: {} }, versionNegotiation: { mode } },
  );
  client.setRequestHandler('elicitation/create', async () => ({ action: 'accept', content: { name: 'Ada' } }));
  client.setNotificationHandler('notifications/message', note => void inbox.notes.push(note.params.data));
  client.setNotificationHandler('notifications/resources/updated', note => void inbox.updated.push(note.params.uri));
  await client.connect(new StdioClientTransport(server));
  const modern = client.getProtocolEra() === 'modern';
  // In the modern era each request says which log messages it wants.
  const meta = modern ? { _meta: { 'io.modelcontextprotocol/logLevel': 'debug' } } : {};
  return {
    inbox,
    close: () => client.close(),
    isRequestError: error => error instanceof ProtocolError,
    tools: async () => new Set((await client.listTools(undefined, options)).tools.map(tool => tool.name)),
    call: async (name, args, onprogress) => {
      const result = await client.callTool({ name, arguments: args, ...meta }, { ...options, onprogress });
      return { text: result.content.map(part => part.text ?? '').join(''), isError: result.isError ?? false };
    },
    unknownMethod: () => client.request({ method: 'peers/unknown', params: {} }, z.looseObject({})),
    setLevel: async () => modern || client.setLoggingLevel('debug'),
    resources: async () => new Set((await client.listResources(undefined, options)).resources.map(resource => resource.uri)),
    read: async uri => (await client.readResource({ uri }, options)).contents[0].text,
    subscribe: async uri => {
      if (modern) {
        const subscription = await client.listen({ resourceSubscriptions: [uri] });
        return () => subscription.close();
      }
      await client.subscribeResource({ uri });
      return () => client.unsubscribeResource({ uri });
    },
  };
}

await main(connect, log, ['auto', 'legacy', 'modern']);
