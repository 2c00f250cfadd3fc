// The test client on the TypeScript SDK 1.x (handshake era only).
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import {
  ElicitRequestSchema,
  EmptyResultSchema,
  LoggingMessageNotificationSchema,
  McpError,
  ResourceUpdatedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';

import { main } from './scenarios.mjs';
import { TruthLog } from './truth.mjs';

const log = new TruthLog('client');
const options = { timeout: 280_000 };

const start = StdioClientTransport.prototype.start;
StdioClientTransport.prototype.start = function () {
  const started = start.call(this);
  if (this._process) log.watchChild(this._process);
  return started;
};

async function connect(server) {
  const inbox = { notes: [], updated: [] };
  const client = new Client({ name: 'peer-node1', version: '1.0.0' }, { capabilities: { elicitation: {} } });
  client.setRequestHandler(ElicitRequestSchema, async () => ({ action: 'accept', content: { name: 'Ada' } }));
  client.setNotificationHandler(LoggingMessageNotificationSchema, note => void inbox.notes.push(note.params.data));
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, note => void inbox.updated.push(note.params.uri));
  await client.connect(new StdioClientTransport(server));
  return {
    inbox,
    close: () => client.close(),
    isRequestError: error => error instanceof McpError,
    tools: async () => new Set((await client.listTools(undefined, options)).tools.map(tool => tool.name)),
    call: async (name, args, onprogress) => {
      const result = await client.callTool({ name, arguments: args }, undefined, { ...options, onprogress });
      return { text: result.content.map(part => part.text ?? '').join(''), isError: result.isError ?? false };
    },
    unknownMethod: () => client.request({ method: 'peers/unknown', params: {} }, EmptyResultSchema),
    setLevel: () => client.setLoggingLevel('debug'),
    resources: async () => new Set((await client.listResources()).resources.map(resource => resource.uri)),
    read: async uri => (await client.readResource({ uri })).contents[0].text,
    subscribe: async uri => {
      await client.subscribeResource({ uri });
      return () => client.unsubscribeResource({ uri });
    },
  };
}

await main(connect, log, ['legacy']);
