//! Recorded traffic through the pipeline, and its recordings through it again.

mod order;
mod rolled;

use crate::{
    capture::{Progress, Record, Source},
    export::{Exporter, Outgoing, Summary},
    identity::{Exclusions, Known},
    pipeline::{Parts, Pipeline},
    recording::{Choice, Destination, Order},
    replay,
    status::Status,
};
use mcp_sensor_proto::v1::{
    Event, Peer,
    event::Body,
    loss::{Place, Reason},
    sensor::State,
};
use recording::{Ending, Item, Level, Reader, reader, writer};
use sensor_core::{
    engine::Config,
    input::{Chunk, Time, Touch},
    redact,
    testing::{Input, Traffic},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

/// Keeps the events that it gets.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Event>>>);

impl Exporter for Kept {
    fn event(&mut self, event: &Outgoing) -> io::Result<()> {
        self.0.lock().unwrap().push(Event { sequence: 0, ..event.to_event() });
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

impl Kept {
    /// The events of each session in order; those of the sensor about itself under no name.
    fn sessions(&self) -> BTreeMap<String, Vec<Event>> {
        let mut sessions = BTreeMap::<String, Vec<Event>>::new();
        for event in self.0.lock().unwrap().iter() {
            let session = event.session.as_ref().map(|session| session.id.clone()).unwrap_or_default();
            sessions.entry(session).or_default().push(event.clone());
        }
        sessions
    }
}

/// Gives what was made up.
struct MadeUp {
    inputs: std::vec::IntoIter<Input>,
    now: Time,
}

impl Source for MadeUp {
    fn read(&mut self, _wait: Duration, each: &mut dyn FnMut(Record<'_>)) -> Progress {
        let Some(input) = self.inputs.next() else { return Progress::End };
        match input {
            Input::Chunk { time, stream, epoch, end, process, offset, loss, ref bytes } => {
                self.now = time;
                each(Record::Chunk(Chunk {
                    time,
                    stream,
                    epoch,
                    end,
                    process,
                    offset,
                    loss,
                    packet_end: false,
                    ahead: false,
                    since_birth: false,
                    bytes,
                }));
            }
            Input::Touch(touch) => {
                self.now = touch.time;
                each(Record::Touch(touch));
            }
            Input::Exit(process, time) => {
                self.now = time;
                each(Record::Recorded(&Item::Exit { time, process }));
            }
            Input::Tick(time) => self.now = time,
            Input::Fork(..) | Input::Finish(_) => {}
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

/// Bytes held of what may have to be recorded yet.
const MEMORY: usize = 8 << 20;

/// Records so many messages of this traffic, and gives what was said live.
fn record(path: &Path, level: Level, choice: Choice, messages: usize, shown: redact::Level) -> Kept {
    let (destination, inputs) = (Destination::file(path).unwrap(), Traffic::new(5, 300).take(messages));
    record_to(destination, MEMORY, level, choice, inputs, shown, false)
}

/// `unresolved`: more is to be found out of every process, and never is.
fn record_to(
    destination: Destination,
    memory: usize,
    level: Level,
    choice: Choice,
    inputs: Vec<Input>,
    shown: redact::Level,
    unresolved: bool,
) -> Kept {
    let kept = Kept::default();
    let config =
        Config { level: shown, boot_time: 1_700_000_000_000_000_000, node: crate::agent::node_number("node-1"), ..Config::default() };
    let order = Order {
        level,
        choice,
        memory,
        filter: String::new(),
        reason: "a test".to_owned(),
        options: writer::Options::default(),
        destination,
    };
    let mut known = Known::recorded(config.boot_time);
    if let Known::Recorded(recorded) = &mut known {
        for input in &inputs {
            if let Input::Chunk { process, .. } | Input::Touch(Touch { process, .. }) = input {
                recorded.learn(*process, Peer { pid: process.pid, exe: format!("/bin/{}", process.pid), ..Peer::default() });
                if unresolved {
                    recorded.exec(*process);
                }
            }
        }
    }
    let mut pipeline = Pipeline::new(Parts {
        source: MadeUp { inputs: inputs.into_iter(), now: 0 },
        recorder: Some(order.begin(&config, "node-1", None, 1).unwrap()),
        known,
        config,
        exclusions: Exclusions::default(),
        exporter: Box::new(kept.clone()),
        verdicts: None,
        judging: None,
        node: "node-1".to_owned(),
        status: Some(Status::new(0, 0, None, String::new())),
        responder: None,
    });
    pipeline.run(&AtomicBool::new(false), |_| {}).unwrap();
    kept
}

/// A replay of all that is in a recording.
fn settings(kept: &Kept) -> replay::Settings {
    replay::Settings {
        whole: false,
        level: redact::Level::Full,
        memory: 32 << 20,
        pace: crate::capture::Pace::Max,
        until: None,
        exporter: Box::new(kept.clone()),
        recording: None,
        policy: None,
    }
}

fn replayed(path: &Path, level: redact::Level) -> (Kept, Ending) {
    let kept = Kept::default();
    let reader = replay::open(path, &reader::Options::default()).unwrap();
    let settings = replay::Settings { level, ..settings(&kept) };
    let (failure, ending) = replay::run(reader, settings, &AtomicBool::new(false)).unwrap();
    assert!(failure.is_none());
    (kept, ending)
}

fn kinds(path: &Path) -> BTreeMap<recording::Kind, u64> {
    let mut reader = Reader::open(File::open(path).unwrap(), &reader::Options::default()).unwrap();
    let mut kinds = BTreeMap::new();
    while let Some(item) = reader.next().unwrap() {
        *kinds.entry(item.kind()).or_default() += 1;
    }
    kinds
}

#[test]
fn a_full_recording_says_what_was_said_live() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full.pcapng");
    let live = record(&path, Level::Full, Choice::All, 1000, redact::Level::Full);
    let (again, ending) = replayed(&path, redact::Level::Full);
    assert!(matches!(ending, Ending::Complete(_)));
    assert!(live.sessions().len() > 4 && live.sessions().values().map(Vec::len).sum::<usize>() > 1000);
    assert_eq!(live.sessions(), again.sessions());
    // And the same again.
    assert_eq!(replayed(&path, redact::Level::Full).0.0.lock().unwrap().as_slice(), again.0.lock().unwrap().as_slice());
}

#[test]
fn what_is_known_of_a_process_of_which_more_is_never_known_is_in_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full.pcapng");
    let (destination, inputs) = (Destination::file(&path).unwrap(), Traffic::new(2, 300).take(20));
    let live = record_to(destination, MEMORY, Level::Full, Choice::All, inputs, redact::Level::Full, true);
    assert!(live.0.lock().unwrap().iter().filter_map(|event| event.client.as_ref()).all(|client| !client.exe.is_empty()));
    assert_eq!(live.sessions(), replayed(&path, redact::Level::Full).0.sessions());
}

#[test]
fn a_redacted_recording_says_what_was_shown_redacted_and_holds_no_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redacted.pcapng");
    let live = record(&path, Level::Redacted, Choice::All, 1000, redact::Level::Redacted);
    assert_eq!(live.sessions(), replayed(&path, redact::Level::Redacted).0.sessions());
    let kinds = kinds(&path);
    assert!(!kinds.contains_key(&recording::Kind::Chunk) && kinds[&recording::Kind::Message] >= 1000, "{kinds:?}");
}

#[test]
fn only_what_is_asked_for_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.pcapng");
    let chosen: Arc<Mutex<Option<String>>> = Arc::default();
    let first = Arc::clone(&chosen);
    let matches = move |event: &Event| {
        let id = event.session.as_ref().map(|session| session.id.clone());
        *first.lock().unwrap().get_or_insert(id.clone().unwrap()) == id.unwrap()
    };
    let live = record(&path, Level::Full, Choice::Matching(Box::new(matches)), 500, redact::Level::Full);
    let again = replayed(&path, redact::Level::Full).0.sessions();
    let chosen = chosen.lock().unwrap().clone().unwrap();
    assert_eq!(again.keys().filter(|session| !session.is_empty()).collect::<Vec<_>>(), [&chosen]);
    assert_eq!(again[&chosen], live.sessions()[&chosen]);
}

#[test]
fn sessions_without_an_incident_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("incidents.pcapng");
    record(&path, Level::Full, Choice::Incidents(1_000_000_000), 500, redact::Level::None);
    let kinds = kinds(&path);
    assert_eq!(kinds.keys().filter(|kind| **kind != recording::Kind::Event && **kind != recording::Kind::Tick).count(), 0, "{kinds:?}");
}

#[test]
fn its_beginning_and_its_end_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.pcapng");
    let live = record(&path, Level::Redacted, Choice::All, 10, redact::Level::None);
    let told: Vec<_> = live.sessions()[""]
        .iter()
        .filter_map(|event| match &event.body {
            Some(Body::Sensor(sensor)) => Some((sensor.state(), sensor.audits.iter().map(|audit| audit.kind()).collect::<Vec<_>>())),
            _ => None,
        })
        .filter(|(_, audits)| !audits.is_empty())
        .collect();
    use mcp_sensor_proto::v1::audit::Kind;
    assert_eq!(told, [(State::Ready, vec![Kind::RecordingStarted]), (State::Stopping, vec![Kind::RecordingStopped])]);
}

/// The losses of recordings that the sensor told last: reason, items, bytes.
fn losses(told: &Kept) -> Vec<(Reason, u64, u64)> {
    let last = told.sessions().remove("").unwrap().pop();
    let Some(Body::Sensor(sensor)) = last.and_then(|event| event.body) else { panic!("the last event is the sensor's") };
    let counts = sensor.loss.unwrap_or_default().counts.into_iter().filter(|count| count.place() == Place::Recording);
    counts.map(|count| (count.reason(), count.count, count.bytes)).collect()
}

#[test]
fn what_was_given_up_for_memory_is_told_where_all_is_to_be_recorded() {
    let folder = tempfile::tempdir().unwrap();
    // Streams of which nobody saw the beginning: what comes first waits for what may have been before it, and is held meanwhile.
    let mut inputs = Traffic::new(5, 300).take(300);
    for (input, number) in inputs.iter_mut().zip(1..) {
        if let Input::Chunk { time, offset, .. } | Input::Touch(Touch { time, offset, .. }) = input {
            (*time, *offset) = (number * 1_000_000, *offset + 5000);
        }
    }
    let record = |name: &str, memory, choice| {
        let destination = Destination::file(&folder.path().join(name)).unwrap();
        record_to(destination, memory, Level::Full, choice, inputs.clone(), redact::Level::None, false)
    };
    assert_eq!(losses(&record("enough", MEMORY, Choice::All)), []);
    let told = losses(&record("little", 200, Choice::All));
    assert!(matches!(told[..], [(Reason::Memory, items, bytes)] if items > 0 && bytes >= 100 * items), "{told:?}");
    // The memory of what was before is bounded by what it is.
    assert_eq!(losses(&record("incidents", 200, Choice::Incidents(1_000_000_000))), []);
}

#[test]
fn a_recording_made_of_a_recording_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("full.pcapng"), folder.path().join("copy.pcapng"));
    record(&path, Level::Full, Choice::All, 300, redact::Level::Full);
    let reader = replay::open(&path, &reader::Options::default()).unwrap();
    let order = Order {
        level: Level::Full,
        choice: Choice::All,
        memory: MEMORY,
        filter: String::new(),
        reason: "a copy".to_owned(),
        options: writer::Options::default(),
        destination: Destination::file(&copy).unwrap(),
    };
    let settings = replay::Settings {
        whole: false,
        level: redact::Level::Full,
        memory: 32 << 20,
        pace: crate::capture::Pace::Max,
        until: None,
        exporter: Box::new(Kept::default()),
        recording: Some(order),
        policy: None,
    };
    replay::run(reader, settings, &AtomicBool::new(false)).unwrap();
    assert_eq!(replayed(&path, redact::Level::Full).0.sessions(), replayed(&copy, redact::Level::Full).0.sessions());
    let mut kept = Vec::new();
    let mut reader = Reader::open(File::open(&copy).unwrap(), &reader::Options::default()).unwrap();
    while let Some(item) = reader.next().unwrap() {
        kept.extend(matches!(item, Item::Chunk(_)).then_some(()));
    }
    assert!(!kept.is_empty());
}
