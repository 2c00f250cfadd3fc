//! Recordings: written to memory, and replayed through the whole pipeline on one core.

use crate::table::Row;
use anyhow::ensure;
use mcp_sensor_proto::v1;
use recording::{Header, Item, Level, Writer, reader, writer};
use rustix::time::{ClockId, clock_gettime};
use sensor_core::{
    input::{Chunk, Touch},
    redact,
    testing::{Input, Traffic},
};
use sensor_user::{
    capture::Pace,
    export::{Exporter, Outgoing, Summary},
    replay,
};
use std::{
    collections::HashSet,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

const SESSIONS: usize = 20;
const MESSAGE: usize = 300;
/// Bytes a second to write, of payload.
const WRITTEN: f64 = 200e6;
/// Messages a second to replay.
const REPLAYED: f64 = 250_000.0;

/// Memory that was touched before, so that the kernel's giving it out is not measured.
struct Memory {
    bytes: Vec<u8>,
    length: usize,
}

impl Write for &mut Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.length + bytes.len();
        self.bytes.get_mut(self.length..end).ok_or(io::ErrorKind::StorageFull)?.copy_from_slice(bytes);
        self.length = end;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts events, and keeps none.
struct Counter(Arc<AtomicU64>);

impl Exporter for Counter {
    fn event(&mut self, event: &Outgoing) -> io::Result<()> {
        std::hint::black_box(event);
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn tick(&mut self, _now: i64) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _summary: &Summary) -> io::Result<()> {
        Ok(())
    }
}

/// Seconds that this thread ran: what else runs on the machine counts little.
fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Measures the rows.
pub fn rows(ci: bool) -> anyhow::Result<Vec<Row>> {
    let (messages, rounds) = if ci { (4_000, 1) } else { (400_000, 7) };
    let inputs = Traffic::new(SESSIONS, MESSAGE).take(messages);
    // Every packet says whose it is: a file has nearly twice the bytes of what was said.
    let mut memory = Memory { bytes: vec![1; 3 * (messages + 3 * SESSIONS) * MESSAGE], length: 0 };
    let mut rows = Vec::new();
    for (what, zstd_level) in [("", None), (", zstd 3", Some(sensor_user::recording::ZSTD_LEVEL))] {
        let rate = median(rounds, || write(&inputs, &mut memory, zstd_level))?;
        let (to_hold, held) = if zstd_level.is_none() { ("≥ 200 MB/s".to_owned(), Some(rate >= WRITTEN)) } else { (String::new(), None) };
        rows.push(Row {
            what: format!("recording written to memory, {MESSAGE}-byte messages{what}, one core"),
            measured: format!("{:.0} MB/s", rate / 1e6),
            to_hold,
            held,
        });
    }
    write(&inputs, &mut memory, None)?;
    let file = memory.bytes.get(..memory.length).unwrap_or_default().to_vec();
    let rate = median(rounds, || play(file.clone(), messages))?;
    rows.push(Row {
        what: format!("replay of such a recording to redacted events, {MESSAGE}-byte messages, one core"),
        measured: format!("{rate:.0} messages/s"),
        to_hold: format!("≥ {REPLAYED:.0} messages/s"),
        held: Some(rate >= REPLAYED),
    });
    Ok(rows)
}

fn median(rounds: usize, mut measure: impl FnMut() -> anyhow::Result<f64>) -> anyhow::Result<f64> {
    let mut rates = (0..rounds).map(|_| measure()).collect::<anyhow::Result<Vec<f64>>>()?;
    rates.sort_by(f64::total_cmp);
    Ok(rates[rates.len() / 2])
}

/// Bytes of payload a second.
fn write(inputs: &[Input], memory: &mut Memory, zstd_level: Option<i32>) -> anyhow::Result<f64> {
    memory.length = 0;
    let header = Header {
        node: "bench".to_owned(),
        boot_time: 1_700_000_000_000_000_000,
        level: Level::Full,
        sensor_version: String::new(),
        filter: String::new(),
        message_bytes: 16 << 20,
        body_limit: 64 << 10,
        started: 1_700_000_001_000_000_000,
        reason: "a measurement".to_owned(),
    };
    let (mut payload, begin) = (0, now());
    let mut writer = Writer::new(&mut *memory, &header, writer::Options { zstd_level, ..writer::Options::default() })?;
    let mut told = HashSet::new();
    for input in inputs {
        // Who they are stands before what they did, as the sensor writes it.
        if let Input::Chunk { time, process, .. } | Input::Touch(Touch { time, process, .. }) = *input
            && told.insert(process)
        {
            let peer = v1::Peer { pid: process.pid, exe: "/usr/bin/bench".to_owned(), ..v1::Peer::default() };
            writer.item(&Item::Process { time, id: process, peer })?;
        }
        match *input {
            Input::Chunk { time, stream, epoch, end, process, offset, loss, ref bytes } => {
                payload += bytes.len();
                let (packet_end, ahead, since_birth) = (false, false, false);
                writer.item(&Item::Chunk(Chunk {
                    time,
                    stream,
                    epoch,
                    end,
                    process,
                    offset,
                    loss,
                    packet_end,
                    ahead,
                    since_birth,
                    bytes,
                }))?;
            }
            Input::Touch(touch) => writer.item(&Item::Touch(touch))?,
            Input::Exit(..) | Input::Fork(..) | Input::Tick(_) | Input::Finish(_) => {}
        }
    }
    writer.finish()?;
    Ok(payload as f64 / (now() - begin))
}

/// Messages a second.
fn play(file: Vec<u8>, messages: usize) -> anyhow::Result<f64> {
    let events = Arc::new(AtomicU64::new(0));
    let settings = replay::Settings {
        whole: false,
        level: redact::Level::Redacted,
        memory: 32 << 20,
        pace: Pace::Max,
        until: None,
        exporter: Box::new(Counter(Arc::clone(&events))),
        recording: None,
        policy: None,
    };
    let begin = now();
    let reader = recording::Reader::open(io::Cursor::new(file), &reader::Options::default())?;
    let (failure, _) = replay::run(reader, settings, &AtomicBool::new(false))?;
    let elapsed = now() - begin;
    ensure!(failure.is_none(), "reading ended with {failure:?}");
    ensure!(events.load(Ordering::Relaxed) as usize >= messages, "{events:?} events of {messages} messages");
    Ok(messages as f64 / elapsed)
}
