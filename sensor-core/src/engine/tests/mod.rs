//! Claims about the engine, each held by a test of its name.

mod calls;
mod ends;
mod exchanges;
mod judged;
mod lookalikes;
mod memory;
mod messages;
mod model;
mod relays;
mod sessions;
mod tunnels;

use super::{Config, Counters, Engine};
use crate::event::SessionId;
use crate::input::ProcessId;
use crate::redact::Level;
use crate::testing::{Line, Recorder, World};
use std::collections::BTreeMap;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"tester","version":"1.0"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"made","version":"2.0"}}}"#;
const NOTED: &str = r#"{"method":"notifications/initialized","jsonrpc":"2.0"}"#;

fn config() -> Config {
    Config { level: Level::Full, node: 7, ..Config::default() }
}

/// What holds at any time.
fn check(engine: &Engine) -> Counters {
    let counters = engine.counters();
    let (read, accounted) = counters.messages_balance();
    assert_eq!(read, accounted, "messages: {counters:?}");
    let (started, accounted) = counters.calls_balance();
    assert_eq!(started, accounted, "calls: {counters:?}");
    counters
}

/// An engine and what it has given out.
struct Run {
    engine: Engine,
    recorder: Recorder,
}

impl Run {
    fn new() -> Self {
        Self { engine: Engine::new(config()), recorder: Recorder::default() }
    }

    /// Feeds what the world made.
    fn feed(&mut self, world: &mut World) -> &Recorder {
        world.run(&mut self.engine, &mut self.recorder);
        check(&self.engine);
        &self.recorder
    }

    /// Feeds what the world made, and the end.
    fn end(mut self, world: &mut World) -> (Recorder, Counters) {
        world.finish();
        world.run(&mut self.engine, &mut self.recorder);
        let counters = check(&self.engine);
        assert_eq!((counters.streams, counters.sessions, counters.calls_open, counters.messages_waiting), (0, 0, 0, 0), "{counters:?}");
        (self.recorder, counters)
    }
}

/// Runs a world to its end.
fn outcome(mut world: World) -> Recorder {
    Run::new().end(&mut world).0
}

/// A client and a server with their two streams.
#[derive(Clone, Copy)]
struct Pair {
    client: ProcessId,
    server: ProcessId,
    to: Line,
    from: Line,
}

impl Pair {
    fn on_pipes(world: &mut World) -> Self {
        let (client, server) = (world.process(), world.process());
        Self { client, server, to: world.pipe(), from: world.pipe() }
    }

    fn on_socket(world: &mut World) -> Self {
        let (client, server) = (world.process(), world.process());
        let [to, from] = world.socket();
        Self { client, server, to, from }
    }

    fn on_terminal(world: &mut World) -> Self {
        let (client, server) = (world.process(), world.process());
        let [to, from] = world.terminal();
        Self { client, server, to, from }
    }

    /// As Node makes a child: one socket pair for its stdin, another for its stdout, each used in one direction.
    fn on_two_sockets(world: &mut World) -> Self {
        let (client, server) = (world.process(), world.process());
        let ([to, _], [_, from]) = (world.socket(), world.socket());
        Self { client, server, to, from }
    }

    fn ask(&mut self, world: &mut World, message: &str) {
        world.say(&mut self.to, self.client, self.server, message);
    }

    fn answer(&mut self, world: &mut World, message: &str) {
        world.say(&mut self.from, self.server, self.client, message);
    }

    fn handshake(&mut self, world: &mut World) {
        self.ask(world, INITIALIZE);
        self.answer(world, INITIALIZED);
        self.ask(world, NOTED);
    }

    fn call(&mut self, world: &mut World, id: u32, text: &str) {
        self.ask(world, &call(id, text));
        self.answer(world, &result(id, text));
    }
}

fn call(id: u32, text: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{text}"}}}}}}"#)
}

fn result(id: u32, text: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}"#)
}

/// Methods of the messages given out, in order, with `<` before those of the server.
fn methods(recorder: &Recorder) -> Vec<String> {
    recorder
        .messages()
        .map(|(_, message)| match message.direction {
            crate::event::MessageDirection::ClientToServer => message.method.clone(),
            crate::event::MessageDirection::ServerToClient => format!("<{}", message.method),
        })
        .collect()
}

/// Messages by session.
fn by_session(recorder: &Recorder) -> BTreeMap<SessionId, usize> {
    let mut counts = BTreeMap::new();
    for (event, _) in recorder.messages() {
        *counts.entry(event.session.id).or_default() += 1;
    }
    counts
}
