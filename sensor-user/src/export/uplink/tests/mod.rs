//! The uplink against a collector that does what a script says.

mod fake;
mod secure;

use std::path::Path;
use std::time::{Duration, Instant};

use mcp_sensor_proto::v1::event::{Body, Severity};
use mcp_sensor_proto::v1::loss::{Place, Reason};
use mcp_sensor_proto::v1::{Ack, Event, Message, ToolCall, Welcome};

use self::fake::{Act, Fake, PATIENCE, SERVE};
use super::queue::{Amount, Limits};
use super::*;
use crate::export::Exporter as _;

fn settings(target: Target) -> Settings {
    Settings {
        target,
        node: "node-1".to_owned(),
        messages: true,
        limits: Limits::of_bytes(8 << 20),
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(20),
        heartbeat: Duration::from_millis(50),
    }
}

fn at(path: &Path) -> Target {
    Target { address: Address::Unix(path.to_owned()), ca_file: None, identity: None, server_name: None, token_file: None }
}

fn event(sequence: u64, severity: Severity, length: usize) -> Event {
    let body = if severity == Severity::Debug {
        Body::Message(Message { body: "x".repeat(length), ..Message::default() })
    } else {
        Body::ToolCall(ToolCall { arguments: "x".repeat(length), ..ToolCall::default() })
    };
    Event { id: format!("{sequence:032x}"), sequence, severity: severity.into(), body: Some(body), ..Event::default() }
}

fn give(exporter: &mut UplinkExporter, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        exporter.event(&event(sequence, Severity::Info, 100).into()).unwrap();
        exporter.flush().unwrap();
    }
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("collector.sock")
    }
}

#[test]
fn every_event_comes_once_and_in_order() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.path(), &[SERVE]);
    let (uplink, mut exporter) = Uplink::start(settings(at(&bench.path()))).unwrap();
    give(&mut exporter, 1..=5_000);
    let accounting = uplink.finish(soon());
    assert_eq!((accounting.acknowledged, accounting.held.events), (accounting.pushed, 0));
    fake.seen.until("the stream ends well", |seen| seen.ended_well == 1);
    fake.seen.with(|seen| {
        assert_eq!(seen.sequences(), (1..=5_000).collect::<Vec<_>>());
        let hello = &seen.hellos[0];
        assert_eq!((hello.node.as_str(), hello.first_sequence >= 1), ("node-1", true));
        assert!(hello.run_id.len() == 32 && hello.run_id.bytes().all(|byte| b"0123456789abcdef".contains(&byte)));
        assert_eq!(seen.connections, 1);
    });
}

#[test]
fn a_window_that_is_never_wider_than_one_event_still_lets_everything_through() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.path(), &[Act::Serve { window: 0, max_batch: 0 }]);
    let (uplink, mut exporter) = Uplink::start(settings(at(&bench.path()))).unwrap();
    give(&mut exporter, 1..=200);
    assert_eq!(uplink.finish(soon()).held.events, 0);
    fake.seen.with(|seen| {
        assert_eq!(seen.sequences(), (1..=200).collect::<Vec<_>>());
        assert!(seen.batches.iter().all(|batch| *batch == 1));
    });
}

#[test]
fn batches_are_no_bigger_than_the_collector_takes() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.path(), &[Act::Serve { window: 1 << 20, max_batch: 1_000 }]);
    let (uplink, mut exporter) = Uplink::start(settings(at(&bench.path()))).unwrap();
    give(&mut exporter, 1..=500);
    assert_eq!(uplink.finish(soon()).held.events, 0);
    let most = 1_000 / prost::Message::encoded_len(&event(1, Severity::Info, 100));
    fake.seen.with(|seen| assert!(seen.batches.iter().all(|batch| *batch <= most), "{:?}", seen.batches));
}

#[test]
fn after_a_lost_connection_it_goes_on_behind_the_acknowledged() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.path(), &[Act::FailAfter(7), Act::FailAfter(100), SERVE]);
    let (uplink, mut exporter) = Uplink::start(settings(at(&bench.path()))).unwrap();
    give(&mut exporter, 1..=1_000);
    let accounting = uplink.finish(soon());
    assert_eq!((accounting.acknowledged.events, accounting.dropped.events), (1_000, 0));
    fake.seen.with(|seen| {
        // The collector stored what it had when it failed, and said so at the next welcome: nothing comes twice.
        assert_eq!(seen.sequences(), (1..=1_000).collect::<Vec<_>>());
        assert_eq!(seen.connections, 3);
        assert!(seen.hellos.windows(2).all(|two| two[0].run_id == two[1].run_id));
    });
}

#[test]
fn what_was_under_way_and_not_acknowledged_comes_again() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.path(), &[Act::Silent { window: 1 << 20 }]);
    let (uplink, mut exporter) = Uplink::start(settings(at(&bench.path()))).unwrap();
    give(&mut exporter, 1..=100);
    let seen = fake.seen.clone();
    seen.until("all came", |seen| seen.came.len() == 100);
    drop(fake);
    let fake = Fake::resume(&bench.path(), &[SERVE], seen);
    assert_eq!(uplink.finish(soon()).acknowledged.events, 100);
    fake.seen.with(|seen| {
        let twice: Vec<u64> = (1..=100).chain(1..=100).collect();
        assert_eq!(seen.sequences(), twice);
    });
}

#[test]
fn it_starts_and_holds_while_the_collector_is_away() {
    let bench = Bench::new();
    let (uplink, mut exporter) = Uplink::start(settings(at(&bench.path()))).unwrap();
    give(&mut exporter, 1..=300);
    assert_eq!(uplink.accounting().held.events, 300);
    let fake = Fake::start(&bench.path(), &[SERVE]);
    fake.seen.until("all came", |seen| seen.came.len() == 300);
    give(&mut exporter, 301..=310);
    assert_eq!(uplink.finish(soon()).acknowledged.events, 310);
    assert_eq!(fake.seen.with(|seen| seen.sequences()), (1..=310).collect::<Vec<_>>());
}

#[test]
fn a_collector_that_never_opens_its_window_costs_bounded_memory_and_the_least_severe_events() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.path(), &[Act::Silent { window: 0 }]);
    let limits = Limits { bytes: 100_000, events: 10_000 };
    let (uplink, mut exporter) = Uplink::start(Settings { limits, ..settings(at(&bench.path())) }).unwrap();
    let severities = [Severity::Debug, Severity::Info, Severity::Debug, Severity::Medium];
    for sequence in 1..=4_000_u64 {
        let severity = severities[usize::try_from(sequence).unwrap() % severities.len()];
        exporter.event(&event(sequence, severity, 100).into()).unwrap();
        exporter.flush().unwrap();
        assert!(uplink.accounting().held.bytes <= 100_000);
    }
    let accounting = uplink.accounting();
    assert_eq!(accounting.pushed.events, 4_000);
    assert_eq!(accounting.pushed.events, accounting.held.events + accounting.dropped.events);
    let by_severity = uplink.shared.lock().losses.by_severity().clone();
    assert_eq!(by_severity[&(Severity::Debug as u8)], 2_000, "they are the least severe, and all had to go");
    assert_eq!(by_severity[&(Severity::Info as u8)], 1_000);
    assert!(by_severity[&(Severity::Medium as u8)] < 1_000);
    // Told in the sensor's own events.
    let losses = exporter.losses();
    let Amount { events, bytes } = accounting.dropped;
    assert_eq!((losses.len(), losses[0].count, losses[0].bytes), (1, events, bytes));
    assert_eq!((losses[0].place(), losses[0].reason()), (Place::Export, Reason::QueueFull));
    fake.seen.until("one event is under way", |seen| seen.came.len() == 1);
    let _ = uplink.finish(Instant::now());
}

#[test]
fn nonsense_does_no_harm() {
    let bench = Bench::new();
    let welcome =
        |acknowledged, max_event_bytes| Act::Welcome(Welcome { acknowledged, window_bytes: 1 << 20, max_event_bytes, max_batch_bytes: 0 });
    let acts = [
        welcome(u64::MAX, 0),
        welcome(5, 0),
        welcome(0, 1),
        Act::Answer(Ack { sequence: u64::MAX, window_bytes: 1 << 20 }),
        Act::Welcome(Welcome::default()),
    ];
    let fake = Fake::start(&bench.path(), &acts);
    let (uplink, mut exporter) = Uplink::start(settings(at(&bench.path()))).unwrap();
    give(&mut exporter, 1..=100);
    let accounting = uplink.finish(soon());
    assert_eq!((accounting.acknowledged.events, accounting.dropped.events), (100, 0));
    fake.seen.with(|seen| {
        let mut sequences = seen.sequences();
        sequences.sort_unstable();
        sequences.dedup();
        assert_eq!(sequences, (1..=100).collect::<Vec<_>>());
        assert!(seen.connections >= 5);
    });
}

#[test]
fn the_deadline_ends_it_and_what_is_left_is_known() {
    for acts in [&[Act::Silent { window: 1 << 20 }][..], &[Act::Mute], &[]] {
        let bench = Bench::new();
        let fake = (!acts.is_empty()).then(|| Fake::start(&bench.path(), acts));
        let (uplink, mut exporter) = Uplink::start(settings(at(&bench.path()))).unwrap();
        give(&mut exporter, 1..=10);
        if let Some(fake) = &fake {
            fake.seen.until("it is connected", |seen| seen.connections == 1);
        }
        let begun = Instant::now();
        let accounting = uplink.finish(begun + Duration::from_millis(300));
        assert!((Duration::from_millis(300)..PATIENCE).contains(&begun.elapsed()), "{acts:?}: {:?}", begun.elapsed());
        assert_eq!(accounting.held.events, 10, "{acts:?}");
    }
}

#[test]
fn a_collector_that_takes_no_compressed_frames_gets_them_as_they_are() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.path(), &[Act::Uncompressed]);
    let (uplink, mut exporter) = Uplink::start(settings(at(&bench.path()))).unwrap();
    give(&mut exporter, 1..=10);
    assert_eq!(uplink.finish(soon()).acknowledged.events, 10);
    assert_eq!(fake.seen.with(|seen| seen.sequences()), (1..=10).collect::<Vec<_>>());
}

#[test]
#[ignore = "prints how long events take; proves nothing"]
fn costs() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.path(), &[SERVE]);
    let (uplink, mut exporter) = Uplink::start(settings(at(&bench.path()))).unwrap();
    let mut given = Vec::new();
    for sequence in 1..=3_000 {
        std::thread::sleep(Duration::from_millis(1));
        given.push(Instant::now());
        give(&mut exporter, sequence..=sequence);
    }
    assert_eq!(uplink.finish(soon()).held.events, 0);
    let mut took: Vec<Duration> = fake.seen.with(|seen| seen.times.iter().zip(&given).map(|(came, given)| *came - *given).collect());
    took.sort_unstable();
    println!("1,000 events/s: median {:?}, p99 {:?}, longest {:?}", took[1_500], took[2_970], took[2_999]);

    let settings = Settings { limits: Limits::of_bytes(256 << 20), ..settings(at(&bench.path())) };
    let (uplink, mut exporter) = Uplink::start(settings).unwrap();
    let begun = Instant::now();
    fake.seen.with(|seen| seen.stored = 0);
    give(&mut exporter, 1..=200_000);
    let pushed = begun.elapsed();
    assert_eq!(uplink.finish(soon()).acknowledged.events, 200_000);
    println!("200,000 events: given in {pushed:?}, acknowledged in {:?}", begun.elapsed());
}

#[test]
fn with_nothing_held_the_end_is_at_once() {
    let bench = Bench::new();
    let (uplink, _exporter) = Uplink::start(settings(at(&bench.path()))).unwrap();
    let begun = Instant::now();
    assert_eq!(uplink.finish(begun + PATIENCE).pushed.events, 0);
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn it_tells_how_it_is() {
    let bench = Bench::new();
    let fake = Fake::start(&bench.path(), &[Act::Silent { window: 1 << 20 }]);
    let (uplink, mut exporter) = Uplink::start(settings(at(&bench.path()))).unwrap();
    give(&mut exporter, 1..=3);
    fake.seen.until("a pulse tells of the three", |seen| {
        seen.pulses.iter().any(|pulse| pulse.last_sequence == 3 && pulse.held_events == 3 && pulse.held_bytes > 300)
    });
    let _ = uplink.finish(Instant::now());
}

#[test]
fn it_goes_to_another_collector_when_told_so() {
    let bench = Bench::new();
    let first = Fake::start(&bench.path(), &[Act::Silent { window: 1 << 20 }]);
    let other = bench.folder.path().join("other.sock");
    let second = Fake::start(&other, &[SERVE]);
    let (uplink, mut exporter) = Uplink::start(settings(at(&bench.path()))).unwrap();
    give(&mut exporter, 1..=5);
    first.seen.until("all came", |seen| seen.came.len() == 5);
    uplink.steering().redirect(at(&other));
    second.seen.until("all came there, too", |seen| seen.came.len() == 5);
    assert_eq!(uplink.finish(soon()).acknowledged.events, 5);
}

#[test]
fn single_messages_are_left_out_where_they_are_not_wanted() {
    let bench = Bench::new();
    let (uplink, exporter) = Uplink::start(Settings { messages: false, ..settings(at(&bench.path())) }).unwrap();
    assert!(!exporter.wants_messages());
    let _ = uplink.finish(Instant::now());
}
