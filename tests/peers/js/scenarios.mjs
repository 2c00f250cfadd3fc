// The scenarios, over an adapter that hides which TypeScript SDK speaks.
import { existsSync, writeSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';

import { DOCUMENT_TEXT, DOCUMENT_URI, numbers, sleep } from './content.mjs';

const TEXTS = [
  'hello',
  'grüße 漢字 🚀 \u2028 <b>&amp;</b> ñ',
  'quote " backslash \\ slash / tab \t newline \n return \r bell \x07 escape \x1b nul \x00 delete \x7f',
];

/** The server offers nothing to run this scenario with. */
export class Unsupported extends Error {}

function check(condition, what) {
  if (!condition) throw new Error(String(what).slice(0, 2000));
}

async function until(condition, what, seconds = 10) {
  const deadline = Date.now() + seconds * 1000;
  while (!condition()) {
    check(Date.now() < deadline, `not within ${seconds} s: ${what}`);
    await sleep(5);
  }
}

const ready = () => writeSync(2, 'ready\n');

async function gate(timeout) {
  const path = process.env.GATE;
  if (path) await until(() => existsSync(path), `the gate ${path}`, timeout);
}

async function expect(c, tool, args, wanted) {
  const { text, isError } = await c.call(tool, args);
  check(!isError && text === wanted, `${tool}: ${JSON.stringify(text.slice(0, 200))}`);
}

async function refused(action, what) {
  try {
    await action();
  } catch (error) {
    return String(error.message ?? error);
  }
  throw new Error(what);
}

async function large(c, size) {
  await expect(c, 'big', { size }, numbers(size));
  await expect(c, 'sink', { data: numbers(size) }, String(size));
}

const SCENARIOS = {
  async small(c) {
    check((await c.tools()).has('echo'), 'no tool echo');
    for (const text of TEXTS) await expect(c, 'echo', { text }, text);
  },

  big300k: c => large(c, 300_000),

  big8m: c => large(c, 8_000_000),

  async concurrent8(c) {
    const call = n =>
      n % 2
        ? expect(c, 'slow', { ms: 50 * (8 - n) }, `slept ${50 * (8 - n)}`)
        : expect(c, 'echo', { text: `concurrent ${n}` }, `concurrent ${n}`);
    await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map(call));
  },

  async progress(c) {
    const seen = [];
    const { text, isError } = await c.call('progress', { steps: 5 }, update => seen.push(update.progress));
    check(!isError && text === '5 steps', text);
    // This SDK drops the notifications that arrive in one chunk with the result; they did cross the wire, and the log has them.
    check(seen.every((value, at) => value === at + 1), `progress out of order: ${seen}`);
  },

  async notify(c) {
    await c.setLevel();
    c.inbox.notes.length = 0;
    await expect(c, 'notify', { count: 3 }, '3 notes');
    await until(() => c.inbox.notes.length === 3, '3 log notifications');
  },

  async errors(c) {
    const tools = await c.tools();
    const { text, isError } = await c.call('fail', {});
    check(isError && text.includes('on purpose'), text);
    if (tools.has('error')) {
      const message = await refused(() => c.call('error', {}), 'no request error');
      check(message.includes('on purpose'), message);
    }
    try {
      check((await c.call('no_such_tool', {})).isError, 'an unknown tool was called');
    } catch (error) {
      check(c.isRequestError(error), error);
    }
    await refused(() => c.unknownMethod(), 'an unknown method was answered');
  },

  async ask(c) {
    if (!(await c.tools()).has('ask')) throw new Unsupported('ask');
    await expect(c, 'ask', {}, 'hello Ada');
  },

  async resources(c) {
    check((await c.resources()).has(DOCUMENT_URI), 'the document is not listed');
    check((await c.read(DOCUMENT_URI)) === DOCUMENT_TEXT, 'the document says something else');
  },

  async subscribe(c) {
    if (!(await c.tools()).has('touch')) throw new Unsupported('touch');
    const unsubscribe = await c.subscribe(DOCUMENT_URI);
    c.inbox.updated.length = 0;
    await expect(c, 'touch', {}, 'touched');
    await until(() => c.inbox.updated.includes(DOCUMENT_URI), 'resources/updated');
    await unsubscribe();
  },

  short: c => expect(c, 'echo', { text: 'short' }, 'short'),

  slow: c => expect(c, 'slow', { ms: 7000 }, 'slept 7000'),

  async idle(c, options) {
    await expect(c, 'echo', { text: 'before' }, 'before');
    ready();
    await gate(options.timeout);
    await expect(c, 'echo', { text: 'after' }, 'after');
  },

  async loop(c, options) {
    ready();
    await gate(options.timeout);
    for (let number = 0; number < options.count; number++) {
      await expect(c, 'echo', { text: `call ${number}` }, `call ${number}`);
      await sleep(options.pauseMs);
    }
  },

  async calls(c, options) {
    const tools = await c.tools();
    for (const wanted of JSON.parse(options.calls)) {
      check(tools.has(wanted.tool), `no tool ${wanted.tool} among ${[...tools]}`);
      let answer;
      try {
        answer = await c.call(wanted.tool, wanted.arguments ?? {});
      } catch (error) {
        if (!c.isRequestError(error)) throw error;
        answer = { text: error.message, isError: true };
      }
      check(answer.isError === (wanted.isError ?? false), `${wanted.tool}: ${answer.text}`);
      check(answer.text.includes(wanted.contains ?? ''), `${wanted.tool}: ${answer.text}`);
    }
  },
};

function parse(eras) {
  const argv = process.argv.slice(2);
  const at = argv.indexOf('--');
  const usage = message => {
    console.error(message);
    process.exit(2);
  };
  const { values } = parseArgs({
    args: at < 0 ? argv : argv.slice(0, at),
    options: {
      scenario: { type: 'string', default: 'small' },
      era: { type: 'string', default: eras[0] },
      count: { type: 'string', default: '10' },
      'pause-ms': { type: 'string', default: '100' },
      calls: { type: 'string', default: '[]' },
      timeout: { type: 'string', default: '300' },
    },
  });
  const names = values.scenario.split(',');
  for (const name of names) {
    if (!(name in SCENARIOS)) usage(`no scenario ${name}; there are ${Object.keys(SCENARIOS).join(', ')}`);
  }
  if (!eras.includes(values.era)) usage(`no era ${values.era}; there are ${eras.join(', ')}`);
  if (at < 0 || at + 1 === argv.length) usage('no server command after --');
  return {
    names,
    era: values.era,
    count: Number(values.count),
    pauseMs: Number(values['pause-ms']),
    calls: values.calls,
    timeout: Number(values.timeout),
    command: argv.slice(at + 1),
  };
}

/** What the server needs beyond what the SDK passes on. */
function serverEnvironment() {
  const names = ['TRUTH_DIR', 'TRUTH_SESSION', 'MCP_PEERS_DIR'];
  return Object.fromEntries(names.filter(name => name in process.env).map(name => [name, process.env[name]]));
}

/** Runs `connect` and the scenarios, and exits: 0 all right, 1 a wrong result, 3 not offered by this server. */
export async function main(connect, log, eras) {
  const options = parse(eras);
  const late = setTimeout(() => {
    console.log(JSON.stringify({ scenario: log.scenario, ok: false, error: 'timeout' }));
    process.exit(1);
  }, options.timeout * 1000);
  let code = 0;
  try {
    const [command, ...args] = options.command;
    const connection = await connect({ command, args, env: serverEnvironment() }, options);
    if (!options.names.includes('idle') && !options.names.includes('loop')) ready();
    try {
      for (const name of options.names) {
        log.scenario = name;
        await SCENARIOS[name](connection, options);
        console.log(JSON.stringify({ scenario: name, ok: true }));
      }
    } finally {
      await connection.close();
    }
  } catch (error) {
    code = error instanceof Unsupported ? 3 : 1;
    const failure = { scenario: log.scenario, ok: false, unsupported: code === 3, error: String(error) };
    console.log(JSON.stringify(failure));
  }
  clearTimeout(late);
  process.exit(code);
}
