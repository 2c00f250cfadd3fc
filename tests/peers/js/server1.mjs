// The test server on the TypeScript SDK 1.x (handshake era only).
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { McpError, SubscribeRequestSchema, UnsubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import * as z from 'zod';

import { DOCUMENT_TEXT, DOCUMENT_URI, numbers, sleep } from './content.mjs';
import { TruthLog } from './truth.mjs';

new TruthLog('server').watchStandardStreams();

const server = new McpServer(
  { name: 'peer-node1', version: '1.0.0' },
  { capabilities: { logging: {}, resources: { subscribe: true } } },
);

function tool(name, description, inputSchema, run) {
  server.registerTool(name, { description, inputSchema }, async (args, extra) => ({
    content: [{ type: 'text', text: await run(args, extra) }],
  }));
}

tool('echo', 'Returns the text.', { text: z.string() }, ({ text }) => text);
tool('big', 'Returns so many bytes of text.', { size: z.number() }, ({ size }) => numbers(size));
tool('sink', 'Returns the length of the data.', { data: z.string() }, ({ data }) => String(data.length));
tool('slow', 'Answers after so many milliseconds.', { ms: z.number() }, async ({ ms }) => {
  await sleep(ms);
  return `slept ${ms}`;
});
tool('fail', 'Fails as a tool fails.', {}, () => {
  throw new Error('failed on purpose');
});
tool('error', 'Fails as a request fails.', {}, () => {
  throw new Error('answered before the tool runs');
});
tool('progress', 'Reports progress so many times.', { steps: z.number() }, async ({ steps }, extra) => {
  const progressToken = extra._meta?.progressToken;
  for (let step = 1; progressToken !== undefined && step <= steps; step++) {
    const params = { progressToken, progress: step, total: steps, message: `step ${step}` };
    await extra.sendNotification({ method: 'notifications/progress', params });
  }
  return `${steps} steps`;
});
tool('notify', 'Sends so many log notifications.', { count: z.number() }, async ({ count }) => {
  for (let number = 1; number <= count; number++) {
    await server.server.sendLoggingMessage({ level: 'info', data: `note ${number}` });
  }
  return `${count} notes`;
});
tool('ask', 'Asks the user for a name.', {}, async () => {
  const answer = await server.server.elicitInput({
    message: 'What is your name?',
    requestedSchema: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] },
  });
  return answer.action === 'accept' ? `hello ${answer.content.name}` : answer.action;
});
tool('touch', 'Says that the document changed.', {}, async () => {
  await server.server.sendResourceUpdated({ uri: DOCUMENT_URI });
  return 'touched';
});

server.registerResource('doc', DOCUMENT_URI, { mimeType: 'text/plain' }, async uri => ({
  contents: [{ uri: uri.href, mimeType: 'text/plain', text: DOCUMENT_TEXT }],
}));
server.server.setRequestHandler(SubscribeRequestSchema, async () => ({}));
server.server.setRequestHandler(UnsubscribeRequestSchema, async () => ({}));

// This SDK turns whatever a tool throws into a tool error, so a request error is thrown before the tool is called.
const handlers = server.server._requestHandlers;
const callTool = handlers.get('tools/call');
handlers.set('tools/call', async (request, extra) => {
  if (request.params.name === 'error') throw new McpError(-32050, 'error on purpose');
  return callTool(request, extra);
});

await server.connect(new StdioServerTransport());
