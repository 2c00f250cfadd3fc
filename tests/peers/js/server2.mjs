// The test server on the TypeScript SDK 2.x (both eras).
import { acceptedContent, inputRequired, McpServer, ProtocolError } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import * as z from 'zod';

import { DOCUMENT_TEXT, DOCUMENT_URI, numbers, sleep } from './content.mjs';
import { TruthLog } from './truth.mjs';

new TruthLog('server').watchStandardStreams();

const text = value => ({ content: [{ type: 'text', text: value }] });

function build({ era }) {
  const server = new McpServer(
    { name: 'peer-node2', version: '1.0.0' },
    { capabilities: { logging: {}, resources: { subscribe: true } } },
  );
  const tool = (name, description, shape, run) =>
    server.registerTool(name, { description, inputSchema: z.object(shape) }, run);

  tool('echo', 'Returns the text.', { text: z.string() }, async args => text(args.text));
  tool('big', 'Returns so many bytes of text.', { size: z.number() }, async ({ size }) => text(numbers(size)));
  tool('sink', 'Returns the length of the data.', { data: z.string() }, async ({ data }) => text(String(data.length)));
  tool('slow', 'Answers after so many milliseconds.', { ms: z.number() }, async ({ ms }) => {
    await sleep(ms);
    return text(`slept ${ms}`);
  });
  tool('fail', 'Fails as a tool fails.', {}, async () => {
    throw new Error('failed on purpose');
  });
  tool('error', 'Fails as a request fails.', {}, async () => {
    throw new Error('answered before the tool runs');
  });
  tool('progress', 'Reports progress so many times.', { steps: z.number() }, async ({ steps }, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (let step = 1; progressToken !== undefined && step <= steps; step++) {
      const params = { progressToken, progress: step, total: steps, message: `step ${step}` };
      await ctx.mcpReq.notify({ method: 'notifications/progress', params });
    }
    return text(`${steps} steps`);
  });
  tool('notify', 'Sends so many log notifications.', { count: z.number() }, async ({ count }, ctx) => {
    for (let number = 1; number <= count; number++) await ctx.mcpReq.log('info', `note ${number}`);
    return text(`${count} notes`);
  });
  const answer = z.object({ name: z.string() });
  tool('ask', 'Asks the user for a name, as the era has it.', {}, async (_args, ctx) => {
    const accepted = acceptedContent(ctx.mcpReq.inputResponses, 'who', answer);
    if (accepted) return text(`hello ${accepted.name}`);
    const who = inputRequired.elicit({ message: 'What is your name?', requestedSchema: answer });
    return inputRequired({ inputRequests: { who } });
  });
  tool('touch', 'Says that the document changed.', {}, async () => {
    await server.server.sendResourceUpdated({ uri: DOCUMENT_URI });
    return text('touched');
  });

  server.registerResource('doc', DOCUMENT_URI, { mimeType: 'text/plain' }, async uri => ({
    contents: [{ uri: uri.href, mimeType: 'text/plain', text: DOCUMENT_TEXT }],
  }));
  if (era === 'legacy') {
    server.server.setRequestHandler('resources/subscribe', async () => ({}));
    server.server.setRequestHandler('resources/unsubscribe', async () => ({}));
  }

  // This SDK turns whatever a tool throws into a tool error, so a request error is thrown before the tool is called.
  const handlers = server.server._requestHandlers;
  const callTool = handlers.get('tools/call');
  handlers.set('tools/call', async (request, ctx) => {
    if (request.params.name === 'error') throw new ProtocolError(-32050, 'error on purpose');
    return callTool(request, ctx);
  });
  return server;
}

serveStdio(build);
