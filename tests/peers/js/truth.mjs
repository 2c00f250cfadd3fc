// The truth log: every MCP message that crosses the wire of this process, taken at the byte layer.
//
// Nothing is re-serialised: the chunks that the SDK hands to a stream, or gets from it, are cut at line feeds and hashed. The streams,
// and so the system calls, stay the SDK's own.
import { createHash } from 'node:crypto';
import { openSync, writeSync } from 'node:fs';
import process from 'node:process';

/** Appends to `$TRUTH_DIR/<role>-<peer>-<pid>.jsonl`, one write a line. Without `TRUTH_DIR` it does nothing. */
export class TruthLog {
  #fd;

  constructor(role) {
    this.common = { role, peer: process.env.MCP_PEER_NAME ?? 'node', pid: process.pid };
    this.session = process.env.TRUTH_SESSION ?? '';
    this.scenario = undefined;
    const directory = process.env.TRUTH_DIR;
    if (directory) {
      this.#fd = openSync(`${directory}/${role}-${this.common.peer}-${process.pid}.jsonl`, 'a');
      this.#line({ ...this.common, start: true, argv: process.argv, session: this.session });
      process.on('exit', code => code === 0 && this.#line({ end: true }));
    }
  }

  /** Logs what this process, a server, gets on its standard input and puts on its standard output. */
  watchStandardStreams() {
    this.#watchReads(process.stdin);
    this.#watchWrites(process.stdout);
  }

  /** Logs what a child, a server that the SDK has just started, gets and gives. */
  watchChild(child) {
    this.#watchWrites(child.stdin);
    this.#watchReads(child.stdout);
  }

  #watchReads(stream) {
    const feed = this.#splitter('received');
    const emit = stream.emit;
    stream.emit = function (event, chunk, ...rest) {
      if (event === 'data') feed(chunk);
      return emit.call(this, event, chunk, ...rest);
    };
  }

  #watchWrites(stream) {
    const feed = this.#splitter('sent');
    const write = stream.write;
    stream.write = function (chunk, ...rest) {
      feed(chunk);
      return write.call(this, chunk, ...rest);
    };
  }

  /** Collects one direction's bytes until a line is whole. */
  #splitter(direction) {
    let parts = [];
    return chunk => {
      let rest = Buffer.from(chunk);
      for (let at = rest.indexOf(10); at >= 0; at = rest.indexOf(10)) {
        parts.push(rest.subarray(0, at));
        this.#message(direction, Buffer.concat(parts));
        parts = [];
        rest = rest.subarray(at + 1);
      }
      if (rest.length > 0) parts.push(rest);
    };
  }

  #message(direction, line) {
    const isSpace = byte => byte === 32 || byte === 9 || byte === 13;
    let [start, end] = [0, line.length];
    while (start < end && isSpace(line[start])) start++;
    while (start < end && isSpace(line[end - 1])) end--;
    if (this.#fd === undefined || start === end) return;
    const text = line.subarray(start, end);
    const entry = {
      ...this.common,
      direction,
      size: text.length,
      sha256: createHash('sha256').update(text).digest('hex'),
      session: this.session,
      scenario: this.scenario,
      method: null,
    };
    try {
      const value = JSON.parse(text.toString('utf8'));
      entry.method = value?.method ?? null;
      if (value && 'id' in value) entry.id = value.id;
    } catch {
      entry.invalid = true;
    }
    this.#line(entry);
  }

  #line(entry) {
    writeSync(this.#fd, JSON.stringify(entry) + '\n');
  }
}
