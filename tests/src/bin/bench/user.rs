//! The way through user space on one core: recorded stdio traffic of 300-byte messages, from chunk to encoded event.

use crate::table::Row;
use mcp_sensor_proto::v1;
use sensor_core::{
    engine::{Config, Engine},
    event::{Event, Sink},
    input::{StreamKey, Time, Verdict},
    redact::Level,
    testing::Traffic,
};
use sensor_user::{
    export::{Outgoing, Shared, event},
    judging::{About, Judging, Loaded, Peers},
};
use std::{collections::HashMap, fmt::Write as _, sync::Arc, time::Instant};

const SESSIONS: usize = 20;
const MESSAGE: usize = 300;
const FLOOR: f64 = 250_000.0;
/// The same with the shipped rules on.
const JUDGED: f64 = 150_000.0;

/// Takes events as far as the row goes.
struct Taker {
    encode: bool,
    session: Option<Arc<Shared<v1::Session>>>,
    peer: Option<Arc<Shared<v1::Peer>>>,
    buffer: Vec<u8>,
    events: u64,
    judging: Option<Judging>,
    peers: Peers,
    sessions: HashMap<u64, Arc<Shared<v1::Session>>>,
}

impl Sink for Taker {
    fn event(&mut self, event: &Event<'_>) {
        self.events += 1;
        if self.encode {
            self.buffer.clear();
            let session = self.session.get_or_insert_with(|| Shared::new(event::session(event.session)));
            let peer = self.peer.get_or_insert_with(|| Shared::new(peer()));
            let outgoing = Outgoing {
                frame: event::frame(event, "node", 0),
                session: Some(Arc::clone(session)),
                client: Some(Arc::clone(peer)),
                server: Some(Arc::clone(peer)),
            };
            outgoing.encode(&mut self.buffer);
        }
        if let Some(judging) = self.judging.as_mut().filter(|judging| judging.wants(&event.body)) {
            let session = self.sessions.entry(event.session.id.0).or_insert_with(|| Shared::new(event::session(event.session)));
            let mut found = Vec::new();
            judging.judge(event, &About { id: event.id, time: None, node: "node", session, peers: &self.peers }, &mut found);
            std::hint::black_box(found);
        }
        std::hint::black_box((&self.buffer, event));
    }

    fn verdict(&mut self, _stream: StreamKey, _epoch: Time, _verdict: Verdict) {}
}

/// A peer as long as those of a real agent: about a kilobyte.
fn peer() -> v1::Peer {
    let ancestor =
        v1::Ancestor { pid: 1234, exe: "/usr/bin/node".to_owned(), command_line: vec!["node".to_owned(); 10], ..Default::default() };
    v1::Peer { pid: 4321, exe: "/usr/bin/node".to_owned(), ancestors: vec![ancestor; 10], ..Default::default() }
}

/// What is measured.
#[derive(Clone, Copy)]
struct Way<'a> {
    level: Level,
    encode: bool,
    policy: Option<&'a Loaded>,
}

/// Measures the rows.
pub fn rows(ci: bool) -> anyhow::Result<Vec<Row>> {
    let messages = if ci { 4_000 } else { 400_000 };
    let rounds = if ci { 1 } else { 7 };
    let shipped = Loaded::shipped().map_err(anyhow::Error::msg)?;
    let (hundred, thousand) = (made(100)?, made(1_000)?);
    let plain = Way { level: Level::Redacted, encode: false, policy: None };
    let judged = |policy| Way { policy: Some(policy), ..plain };
    let row = |what: &str, way, floor| row(what, way, floor, messages, rounds);
    Ok(vec![
        row("user space: chunk to redacted event, 300-byte messages, one core", plain, FLOOR),
        row("… with the event and its peers encoded as protobuf", Way { encode: true, ..plain }, FLOOR),
        row("… without payload", Way { level: Level::None, ..plain }, FLOOR),
        row("… judged by all shipped rules", judged(&shipped), JUDGED),
        row("… judged by 100 rules of all kinds", judged(&hundred), JUDGED),
        row("… judged by 1,000 rules of all kinds", judged(&thousand), JUDGED),
    ])
}

/// A policy of so many rules, of kinds that operators write: on a tool, on an error, on a method, on what is detected.
fn made(rules: usize) -> anyhow::Result<Loaded> {
    let mut text = "version: 1\nwindows: {calls: {on: call, by: [session.id, call.tool], within: 60s}}\nrules:\n".to_owned();
    for number in 0..rules {
        let (on, when) = match number % 4 {
            0 => ("call", format!("call.tool == \"tool_{number}\" && call.arguments.limit > {number}")),
            1 => ("result", format!("result.isError && call.tool != \"tool_{number}\"")),
            2 => ("message", format!("message.method == \"methods/{number}\" && message.bytes > {number}")),
            _ => ("call", format!("window.calls.count > {} && detect.pathTraversal", 1_000_000 + number)),
        };
        writeln!(text, "  - {{id: r{number}, title: made, on: {on}, when: '{when}', severity: low}}")?;
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, text)?;
    Loaded::read(&file).map_err(anyhow::Error::msg)
}

fn row(what: &str, way: Way<'_>, floor: f64, messages: usize, rounds: usize) -> Row {
    let mut rates: Vec<f64> = (0..rounds).map(|_| rate(way, messages)).collect();
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    Row {
        what: what.to_owned(),
        measured: format!("{median:.0} messages/s"),
        to_hold: format!("≥ {floor:.0} messages/s"),
        held: Some(median >= floor),
    }
}

fn rate(way: Way<'_>, messages: usize) -> f64 {
    let Way { level, encode, policy } = way;
    let inputs = Traffic::new(SESSIONS, MESSAGE).take(messages);
    let mut engine = Engine::new(Config { level, ..Config::default() });
    let peer = Shared::new(peer());
    let peers = Peers { client: Some(Arc::clone(&peer)), server: Some(peer), ..Peers::default() };
    let judging = policy.map(|loaded| Judging::live(loaded.clone(), 7));
    let mut taker = Taker { encode, session: None, peer: None, buffer: Vec::new(), events: 0, judging, peers, sessions: HashMap::new() };
    let begin = Instant::now();
    for input in &inputs {
        input.feed(&mut engine, &mut taker);
    }
    let elapsed = begin.elapsed();
    assert!(taker.events as usize >= messages, "{} events of {messages} messages", taker.events);
    messages as f64 / elapsed.as_secs_f64()
}
