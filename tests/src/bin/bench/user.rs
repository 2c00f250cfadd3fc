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
use sensor_user::export::{Outgoing, Shared, event};
use std::{sync::Arc, time::Instant};

const SESSIONS: usize = 20;
const MESSAGE: usize = 300;
const FLOOR: f64 = 250_000.0;

/// Takes events as far as the row goes.
struct Taker {
    encode: bool,
    session: Option<Arc<Shared<v1::Session>>>,
    peer: Option<Arc<Shared<v1::Peer>>>,
    buffer: Vec<u8>,
    events: u64,
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

/// Measures the rows.
pub fn rows(ci: bool) -> anyhow::Result<Vec<Row>> {
    let messages = if ci { 4_000 } else { 400_000 };
    let rounds = if ci { 1 } else { 7 };
    Ok(vec![
        row("user space: chunk to redacted event, 300-byte messages, one core", Level::Redacted, false, messages, rounds),
        row("… with the event and its peers encoded as protobuf", Level::Redacted, true, messages, rounds),
        row("… without payload", Level::None, false, messages, rounds),
    ])
}

fn row(what: &str, level: Level, encode: bool, messages: usize, rounds: usize) -> Row {
    let mut rates: Vec<f64> = (0..rounds).map(|_| rate(level, encode, messages)).collect();
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    Row {
        what: what.to_owned(),
        measured: format!("{median:.0} messages/s"),
        to_hold: format!("≥ {FLOOR:.0} messages/s"),
        held: Some(median >= FLOOR),
    }
}

fn rate(level: Level, encode: bool, messages: usize) -> f64 {
    let inputs = Traffic::new(SESSIONS, MESSAGE).take(messages);
    let mut engine = Engine::new(Config { level, ..Config::default() });
    let mut taker = Taker { encode, session: None, peer: None, buffer: Vec::new(), events: 0 };
    let begin = Instant::now();
    for input in &inputs {
        input.feed(&mut engine, &mut taker);
    }
    let elapsed = begin.elapsed();
    assert!(taker.events as usize >= messages, "{} events of {messages} messages", taker.events);
    messages as f64 / elapsed.as_secs_f64()
}
