//! Recording and replaying take the same memory, however long the recording is.
//!
//! Alone in its program: what is measured is the process. `cargo xtask long` runs it with 10 GB (`MCP_LONG_MIB`).
#![expect(clippy::unwrap_used, reason = "a test: what goes wrong fails it")]

use mcp_sensor_proto::v1::{Peer, event::Body};
use recording::{Ending, Level, reader, writer};
use sensor_core::{
    engine::Config,
    input::{Chunk, Time},
    redact,
    testing::{Input, Traffic},
};
use sensor_user::{
    capture::{Pace, Progress, Record, Source},
    export::{Exporter, Outgoing, Summary},
    identity::{Exclusions, Known},
    pipeline::{Parts, Pipeline},
    recording::{Choice, Destination, Order, ZSTD_LEVEL},
    replay,
};
use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Bytes of a message.
const MESSAGE: usize = 1000;
/// Payload of the recording that is long enough for everything to have its size.
const WARM: u64 = 32 << 20;
/// Payload of the long one, where nothing else is asked for.
const LONG: u64 = 200 << 20;
/// What the long one may take more at its peak. Queues between threads are not always equally full.
const MORE: u64 = 16 << 20;

/// Counts messages.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

impl Exporter for Counter {
    fn event(&mut self, event: &Outgoing) -> io::Result<()> {
        self.0.fetch_add(u64::from(matches!(event.frame.body, Some(Body::Message(_)))), Ordering::Relaxed);
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

/// Traffic made as it is asked for.
struct Made {
    traffic: Traffic,
    now: Time,
    payload: u64,
    limit: u64,
}

impl Source for Made {
    fn read(&mut self, _wait: Duration, each: &mut dyn FnMut(Record<'_>)) -> Progress {
        if self.payload >= self.limit {
            return Progress::End;
        }
        for input in self.traffic.take(100) {
            match input {
                Input::Chunk { time, stream, epoch, end, process, offset, loss, ref bytes } => {
                    self.now = time;
                    self.payload += bytes.len() as u64;
                    let (packet_end, ahead, since_birth) = (false, false, false);
                    each(Record::Chunk(Chunk { time, stream, epoch, end, process, offset, loss, packet_end, ahead, since_birth, bytes }));
                }
                Input::Touch(touch) => each(Record::Touch(touch)),
                Input::Exit(..) | Input::Fork(..) | Input::Tick(_) | Input::Finish(_) => {}
            }
        }
        Progress::Records
    }

    fn now(&self) -> Time {
        self.now
    }

    fn undecodable(&self) -> u64 {
        0
    }
}

/// The most that was resident since the last call, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    // From here on anew (proc(5)).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    kibibytes << 10
}

/// Records so many bytes of payload, and gives how many messages they were and the peak.
fn record(path: &Path, level: Level, zstd_level: Option<i32>, payload: u64) -> (u64, u64) {
    let config = Config { boot_time: 1_700_000_000_000_000_000, level: redact::Level::None, ..Config::default() };
    let order = Order {
        level,
        choice: Choice::All,
        memory: 8 << 20,
        filter: String::new(),
        reason: "a test".to_owned(),
        options: writer::Options { zstd_level, ..writer::Options::default() },
        destination: Destination::file(path).unwrap(),
    };
    let mut known = Known::recorded(config.boot_time);
    if let Known::Recorded(recorded) = &mut known {
        // Those of `Traffic`, which begins with them.
        for input in Traffic::new(20, MESSAGE).take(2) {
            if let Input::Chunk { process, .. } = input {
                recorded.learn(process, Peer { pid: process.pid, ..Peer::default() });
            }
        }
    }
    let counter = Counter::default();
    peak();
    // As a recording is recorded again: nothing of it may be lost where the disk is slower than the pipeline.
    let recorder = order.begin(&config, "node", Some(Level::Full), 1).unwrap();
    let mut pipeline = Pipeline::new(Parts {
        source: Made { traffic: Traffic::new(20, MESSAGE), now: 0, payload: 0, limit: payload },
        recorder: Some(recorder),
        known,
        config,
        exclusions: Exclusions::default(),
        exporter: Box::new(counter.clone()),
        verdicts: None,
        judging: None,
        responder: None,
        node: "node".to_owned(),
        status: None,
    });
    pipeline.run(&AtomicBool::new(false), |_| {}).unwrap();
    (counter.0.load(Ordering::Relaxed), peak())
}

/// Replays it, and gives how many messages came out and the peak.
fn play(path: &Path) -> (u64, u64) {
    let counter = Counter::default();
    let settings = replay::Settings {
        whole: false,
        level: redact::Level::Redacted,
        memory: 32 << 20,
        pace: Pace::Max,
        until: None,
        exporter: Box::new(counter.clone()),
        recording: None,
        policy: None,
    };
    peak();
    let reader = replay::open(path, &reader::Options::default()).unwrap();
    let (failure, ending) = replay::run(reader, settings, &AtomicBool::new(false)).unwrap();
    assert!(failure.is_none() && matches!(ending, Ending::Complete(_)), "{failure:?} {ending:?}");
    (counter.0.load(Ordering::Relaxed), peak())
}

#[test]
fn a_long_recording_takes_no_more_memory_than_a_short_one() {
    let long = std::env::var("MCP_LONG_MIB").map_or(LONG, |mebibytes| mebibytes.parse::<u64>().unwrap() << 20);
    let folder = tempfile::tempdir().unwrap();
    for (level, zstd_level) in [(Level::Full, None), (Level::Redacted, Some(ZSTD_LEVEL))] {
        let mut peaks = Vec::new();
        for payload in [WARM, long] {
            let path = folder.path().join("recording");
            let began = Instant::now();
            let (said, recording) = record(&path, level, zstd_level, payload);
            let (recorded, size) = (began.elapsed(), path.metadata().unwrap().len());
            let began = Instant::now();
            let (heard, replaying) = play(&path);
            fs::remove_file(&path).unwrap();
            assert!(said > payload / (MESSAGE as u64 + 100), "{said} messages");
            assert_eq!(said, heard, "what was recorded comes out again");
            println!(
                "{level:?}: {} MiB of payload, {said} messages, {} MiB of file: recorded in {recorded:.1?} with {} MiB, replayed in {:.1?} with {} MiB",
                payload >> 20,
                size >> 20,
                recording >> 20,
                began.elapsed(),
                replaying >> 20
            );
            peaks.push((recording, replaying));
        }
        let [(recording, replaying), (long_recording, long_replaying)] = peaks[..] else { unreachable!("two were measured") };
        assert!(long_recording <= recording + MORE, "recording took {long_recording} bytes, {recording} at first");
        assert!(long_replaying <= replaying + MORE, "replaying took {long_replaying} bytes, {replaying} at first");
    }
}
