//! The way through user space on one core: recorded stdio traffic of 300-byte messages, from chunk to encoded event.

use crate::table::Row;
use prost::Message as _;
use sensor_core::{
    engine::{Config, Engine},
    event::{Event, Sink},
    input::{StreamKey, Time, Verdict},
    redact::Level,
    testing::Traffic,
};
use sensor_user::export::event::build;
use std::time::Instant;

const SESSIONS: usize = 20;
const MESSAGE: usize = 300;
const FLOOR: f64 = 250_000.0;

/// Takes events as far as the row goes.
struct Taker {
    encode: bool,
    buffer: Vec<u8>,
    events: u64,
}

impl Sink for Taker {
    fn event(&mut self, event: &Event<'_>) {
        self.events += 1;
        if self.encode {
            self.buffer.clear();
            build(event, None, None, "node", self.events, 0).encode(&mut self.buffer).expect("a Vec takes everything");
        }
        std::hint::black_box((&self.buffer, event));
    }

    fn verdict(&mut self, _stream: StreamKey, _epoch: Time, _verdict: Verdict) {}
}

/// Measures the rows.
pub fn rows(ci: bool) -> anyhow::Result<Vec<Row>> {
    let messages = if ci { 4_000 } else { 400_000 };
    let rounds = if ci { 1 } else { 7 };
    Ok(vec![
        row("user space: chunk to redacted event, 300-byte messages, one core", Level::Redacted, false, messages, rounds),
        row("… with the event encoded as protobuf", Level::Redacted, true, messages, rounds),
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
    let mut taker = Taker { encode, buffer: Vec::new(), events: 0 };
    let begin = Instant::now();
    for input in &inputs {
        input.feed(&mut engine, &mut taker);
    }
    let elapsed = begin.elapsed();
    assert!(taker.events as usize >= messages, "{} events of {messages} messages", taker.events);
    messages as f64 / elapsed.as_secs_f64()
}
