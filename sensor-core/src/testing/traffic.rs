//! A small world of processes and streams that makes what the kernel would tell about them.

use crate::engine::Engine;
use crate::event::Sink;
use crate::input::{Chunk, End, LossReasons, ProcessId, StreamKey, Time, Touch};
use std::fmt::Write as _;

/// One thing that the engine is fed, owned.
#[derive(Clone, Debug)]
pub enum Input {
    /// See [`Engine::chunk`].
    Chunk {
        /// See [`Chunk::time`].
        time: Time,
        /// See [`Chunk::stream`].
        stream: StreamKey,
        /// See [`Chunk::epoch`].
        epoch: Time,
        /// See [`Chunk::end`].
        end: End,
        /// See [`Chunk::process`].
        process: ProcessId,
        /// See [`Chunk::offset`].
        offset: u64,
        /// See [`Chunk::loss`].
        loss: LossReasons,
        /// See [`Chunk::bytes`].
        bytes: Vec<u8>,
    },
    /// See [`Engine::touch`].
    Touch(Touch),
    /// See [`Engine::exit`].
    Exit(ProcessId, Time),
    /// See [`Engine::fork`].
    Fork(ProcessId, ProcessId, Time),
    /// See [`Engine::tick`].
    Tick(Time),
    /// See [`Engine::finish`].
    Finish(Time),
}

impl Input {
    /// Feeds it.
    pub fn feed(&self, engine: &mut Engine, sink: &mut dyn Sink) {
        match *self {
            Self::Chunk { time, stream, epoch, end, process, offset, loss, ref bytes } => {
                engine.chunk(
                    &Chunk { time, stream, epoch, end, process, offset, loss, packet_end: false, ahead: false, since_birth: false, bytes },
                    sink,
                );
            }
            Self::Touch(ref touch) => {
                engine.touch(touch, sink);
            }
            Self::Exit(process, time) => engine.exit(process, time, sink),
            Self::Fork(parent, child, time) => engine.fork(parent, child, time),
            Self::Tick(now) => engine.tick(now, sink),
            Self::Finish(now) => engine.finish(now, sink),
        }
    }
}

/// One stream of the world.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Its key.
    pub key: StreamKey,
    /// Its epoch.
    pub epoch: Time,
    /// Bytes written so far.
    pub written: u64,
    /// Bytes read so far.
    pub read: u64,
    reader: Option<ProcessId>,
}

impl Line {
    /// A stream that nobody has used.
    #[must_use]
    pub const fn new(key: StreamKey, epoch: Time) -> Self {
        Self { key, epoch, written: 0, read: 0, reader: None }
    }
}

/// Makes inputs. Time goes on by a microsecond with each.
#[derive(Debug)]
pub struct World {
    /// What was made so far.
    pub inputs: Vec<Input>,
    /// The time.
    pub now: Time,
    next_pid: u32,
    next_inode: u64,
}

impl Default for World {
    fn default() -> Self {
        Self { inputs: Vec::new(), now: 1_000_000_000, next_pid: 100, next_inode: 5000 }
    }
}

impl World {
    /// Lets time pass.
    pub const fn pass(&mut self, nanoseconds: Time) {
        self.now += nanoseconds;
    }

    const fn step(&mut self) -> Time {
        self.now += 1_000;
        self.now
    }

    /// A new process.
    pub const fn process(&mut self) -> ProcessId {
        self.next_pid += 1;
        ProcessId { pid: self.next_pid, start_time: self.now }
    }

    /// A new pipe.
    pub const fn pipe(&mut self) -> Line {
        self.next_inode += 1;
        let key = StreamKey::Pipe { device: 14, inode: self.next_inode, address: 0xffff_8880_0000_0000 + self.next_inode * 0x400 };
        Line::new(key, self.now)
    }

    /// A new socket pair: what the first end sends, and what the second does.
    pub const fn socket(&mut self) -> [Line; 2] {
        self.next_inode += 2;
        let address = 0xffff_8881_0000_0000 + self.next_inode * 0x800;
        let (from, to) = (address, address + 0x400);
        [Line::new(StreamKey::Unix { from, to }, self.now), Line::new(StreamKey::Unix { from: to, to: from }, self.now)]
    }

    /// A new pseudo-terminal: what goes to its slave, and what comes from it.
    pub const fn terminal(&mut self) -> [Line; 2] {
        self.next_inode += 1;
        let terminal = 0xffff_8882_0000_0000 + self.next_inode * 0x400;
        [
            Line::new(StreamKey::Pty { terminal, to_slave: true }, self.now),
            Line::new(StreamKey::Pty { terminal, to_slave: false }, self.now),
        ]
    }

    /// A process writes, and the bytes are taken there.
    pub fn write(&mut self, line: &mut Line, process: ProcessId, bytes: &[u8]) {
        let time = self.step();
        let Line { key, epoch, written, .. } = *line;
        line.written += bytes.len() as u64;
        self.inputs.push(Input::Chunk {
            time,
            stream: key,
            epoch,
            end: End::Writer,
            process,
            offset: written,
            loss: LossReasons::default(),
            bytes: bytes.to_vec(),
        });
    }

    /// A process reads all that was written. Told where it is another than the last time.
    pub fn read(&mut self, line: &mut Line, process: ProcessId) {
        let time = self.step();
        let Line { key, epoch, written, read, reader } = *line;
        line.read = written;
        line.reader = Some(process);
        if reader != Some(process) {
            self.inputs.push(Input::Touch(Touch {
                time,
                stream: key,
                epoch,
                end: End::Reader,
                process,
                offset: read,
                moved: written - read,
                unseen: false,
                since_birth: false,
            }));
        }
    }

    /// One process writes a message and a line end, and another reads it.
    pub fn say(&mut self, line: &mut Line, from: ProcessId, to: ProcessId, message: &str) {
        self.write(line, from, format!("{message}\n").as_bytes());
        self.read(line, to);
    }

    /// A process ends.
    pub fn exit(&mut self, process: ProcessId) {
        let time = self.step();
        self.inputs.push(Input::Exit(process, time));
    }

    /// A process makes another.
    pub fn fork(&mut self, parent: ProcessId) -> ProcessId {
        let time = self.step();
        let child = self.process();
        self.inputs.push(Input::Fork(parent, child, time));
        child
    }

    /// Time passes, and the engine is told.
    pub fn tick(&mut self, nanoseconds: Time) {
        let end = self.now + nanoseconds;
        while self.now < end {
            self.now = (self.now + 50_000_000).min(end);
            self.inputs.push(Input::Tick(self.now));
        }
    }

    /// Everything is over.
    pub fn finish(&mut self) {
        let time = self.step();
        self.inputs.push(Input::Finish(time));
    }

    /// Feeds all that was made since the last time.
    pub fn run(&mut self, engine: &mut Engine, sink: &mut dyn Sink) {
        for input in self.inputs.drain(..) {
            input.feed(engine, sink);
        }
    }
}

/// Ordinary stdio traffic: sessions on pipes, each with a handshake and then `tools/call` requests and results, one in
/// flight at a time, the sessions in turn.
#[derive(Debug)]
pub struct Traffic {
    world: World,
    sessions: Vec<(ProcessId, ProcessId, Line, Line)>,
    bytes: usize,
    next: u64,
    text: String,
}

impl Traffic {
    /// So many sessions, whose messages have about so many bytes.
    #[must_use]
    pub fn new(sessions: usize, bytes: usize) -> Self {
        let mut world = World::default();
        let mut all = Vec::new();
        for _ in 0..sessions {
            let (client, server) = (world.process(), world.process());
            let (mut to, mut from) = (world.pipe(), world.pipe());
            let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1.0"}}}"#;
            let result = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"made","version":"2.0"}}}"#;
            world.say(&mut to, client, server, initialize);
            world.say(&mut from, server, client, result);
            world.say(&mut to, client, server, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
            all.push((client, server, to, from));
        }
        Self { world, sessions: all, bytes, next: 0, text: String::new() }
    }

    /// The next inputs: the handshakes first, then so many messages (half requests, half results).
    #[must_use]
    pub fn take(&mut self, messages: usize) -> Vec<Input> {
        let count = self.sessions.len().max(1) as u64;
        for _ in 0..messages.div_ceil(2) {
            let (number, id) = ((self.next % count) as usize, self.next / count + 1);
            self.next += 1;
            let filler = |text: &mut String, bytes: usize| {
                // Words, numbers and punctuation, as arguments have them.
                let words = ["alpha", "report-2026", "the", "path/to/file.txt", "42", "value", "ok;", "Über"];
                let mut at = id as usize;
                while text.len() < bytes {
                    text.push_str(words.get(at % words.len()).copied().unwrap_or_default());
                    text.push(' ');
                    at += 1;
                }
            };
            let Some((client, server, to, from)) = self.sessions.get_mut(number) else { break };
            let text = &mut self.text;
            text.clear();
            let _ = write!(
                text,
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"_meta":{{"progressToken":{id}}},"name":"search_{}","arguments":{{"limit":{id},"recursive":true,"query":""#,
                id % 7
            );
            filler(text, self.bytes - 5);
            text.push_str("\"}}}\n");
            self.world.write(to, *client, text.as_bytes());
            self.world.read(to, *server);
            text.clear();
            let _ = write!(text, r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":""#);
            filler(text, self.bytes - 22);
            text.push_str("\"}],\"isError\":false}}\n");
            self.world.write(from, *server, text.as_bytes());
            self.world.read(from, *client);
        }
        std::mem::take(&mut self.world.inputs)
    }
}
