//! What the pipeline says of itself, with a source that has nothing but time.

use super::*;
use crate::export::Shared;
use crate::export::{Outgoing, Summary};
use crate::judging::{About, Judging, Loaded, Peers};
use mcp_sensor_proto::v1::{
    self, Event, Loss, Sensor,
    event::{Body, Severity},
    loss::{Count, Place, Reason},
    sensor::State,
};
use sensor_core::event::{self, EventId, Framing, Implementation, Session, SessionId, Transport};
use std::sync::{
    Arc, Mutex,
    mpsc::{Sender, channel},
};

const SECOND: Time = 1_000_000_000;

/// Time passes, a second at a time; what is to be done at each is done.
struct Hours<F> {
    now: Time,
    until: Time,
    act: F,
}

impl<F: FnMut(Time)> Source for Hours<F> {
    fn read(&mut self, _wait: Duration, _each: &mut dyn FnMut(Record<'_>)) -> Progress {
        self.now += SECOND;
        (self.act)(self.now / SECOND);
        if self.now >= self.until { Progress::End } else { Progress::Nothing }
    }

    fn now(&self) -> Time {
        self.now
    }

    fn undecodable(&self) -> u64 {
        0
    }
}

#[derive(Clone, Default)]
struct Kept {
    events: Arc<Mutex<Vec<Event>>>,
    losses: Arc<Mutex<Vec<Count>>>,
}

impl Exporter for Kept {
    fn losses(&self) -> Vec<Count> {
        self.losses.lock().unwrap().clone()
    }

    fn event(&mut self, event: &Outgoing) -> io::Result<()> {
        self.events.lock().unwrap().push(event.to_event());
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

/// What the sensor says in so many seconds: when, how severe, what.
fn said(seconds: Time, act: impl Fn(Time, &Kept, &Sender<Change>)) -> Vec<(i64, Severity, Sensor)> {
    said_with(None, seconds, act)
}

/// The same of one that judges.
fn said_with(judging: Option<Judging>, seconds: Time, act: impl Fn(Time, &Kept, &Sender<Change>)) -> Vec<(i64, Severity, Sensor)> {
    let (kept, (changes, changed)) = (Kept::default(), channel());
    let exporter = kept.clone();
    let source = Hours { now: 0, until: seconds * SECOND, act: move |second| act(second, &exporter, &changes) };
    let mut pipeline = Pipeline::new(Parts {
        source,
        config: Config::default(),
        known: Known::live(crate::agent::identities(sensor_core::redact::Level::Full), 0),
        exclusions: Exclusions::default(),
        exporter: Box::new(kept.clone()),
        recorder: None,
        verdicts: None,
        judging,
        node: "node-1".to_owned(),
        status: Some(Status::new(0, 0, None, String::new())),
        responder: None,
    });
    pipeline.listen(changed);
    pipeline.run(&AtomicBool::new(false), |_| {}).unwrap();
    let events = kept.events.lock().unwrap();
    let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=events.len() as u64).collect::<Vec<_>>());
    let sensor = |event: &Event| match &event.body {
        Some(Body::Sensor(sensor)) => (event.time.unwrap().seconds, event.severity(), sensor.clone()),
        other => panic!("{other:?}"),
    };
    events.iter().map(sensor).collect()
}

#[test]
fn it_says_once_a_minute_that_it_lives() {
    let said = said(200, |_, _, _| {});
    let states: Vec<_> = said.iter().map(|(second, severity, sensor)| (*second, *severity, sensor.state())).collect();
    let ready = |second| (second, Severity::Info, State::Ready);
    assert_eq!(states, [ready(0), ready(60), ready(120), ready(180), (200, Severity::Info, State::Stopping)]);
}

#[test]
fn what_is_lost_on_the_way_out_is_told_in_the_same_stream() {
    let count = Count { place: Place::Export.into(), reason: Reason::QueueFull.into(), count: 7, bytes: 900 };
    let said = said(100, |second, kept, _| {
        if second == 10 {
            kept.losses.lock().unwrap().push(count);
        }
    });
    let told: Vec<_> = said.iter().map(|(second, severity, sensor)| (*second, *severity, sensor.state())).collect();
    let degraded = |second, severity| (second, severity, State::Degraded);
    assert_eq!(told[1..3], [degraded(10, Severity::Medium), degraded(70, Severity::Info)]);
    assert_eq!(said[1].2.loss, Some(Loss { counts: vec![count] }));
}

/// Judges so many sessions by a rule that is to remember each.
fn judged(sessions: u64, rule: &str) -> Judging {
    let text = format!("version: 1\nfirsts: {{seen: {{on: session, by: [session.id]}}}}\nrules:\n  - {rule}\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, &text).unwrap();
    let mut judging = Judging::live(Loaded::read(&file).unwrap(), 1);
    let session = Session {
        id: SessionId(1),
        transport: Transport::Pipe,
        framing: Framing::Ndjson,
        protocol_version: String::new(),
        late_attach: false,
        client: None,
        server: None,
        client_info: Implementation::default(),
        server_info: Implementation::default(),
        relay_of: None,
        probe: false,
        tunnel: None,
    };
    let mut found = Vec::new();
    for number in 0..sessions {
        let body = event::Body::Session(event::SessionState::Opened);
        let event =
            event::Event { id: EventId(1), time: number, session: &session, client: None, server: None, reader_in_doubt: false, body };
        let of = Shared::new(v1::Session { id: number.to_string(), ..v1::Session::default() });
        let about = About { id: EventId(1), time: None, node: "node-1", session: &of, peers: &Peers::default() };
        judging.judge(&event, &about, &mut found);
    }
    // A policy that is changed takes nothing back of what was lost.
    std::fs::write(&file, text.replace("seen", "seen_before")).unwrap();
    judging.replace(Loaded::read(&file).unwrap());
    judging
}

#[test]
fn what_rules_count_by_and_was_forgotten_is_told_as_a_loss() {
    const RULE: &str = "{id: new, title: New, on: session, when: first.seen, severity: info}";
    let said = said_with(Some(judged(100_000, RULE)), 10, |_, _, _| {});
    let lost =
        |said: &[(i64, Severity, Sensor)]| said.iter().flat_map(|(_, _, sensor)| sensor.loss.clone().unwrap().counts).collect::<Vec<_>>();
    let counts = lost(&said);
    assert!(
        !counts.is_empty() && said.iter().any(|(_, severity, sensor)| (*severity, sensor.state()) == (Severity::Medium, State::Degraded))
    );
    for count in counts {
        assert_eq!((count.place(), count.reason(), count.bytes), (Place::Policy, Reason::Memory, 0));
        assert!((60_000..100_000).contains(&count.count), "{count:?}");
    }
    assert_eq!(lost(&said_with(Some(judged(10_000, RULE)), 10, |_, _, _| {})), []);
}

#[test]
fn a_note_is_told_at_once_and_until_it_is_taken_back() {
    let said = said(90, |second, _, changes| match second {
        10 => changes.send(Change::Note(Some("the configuration cannot be used".to_owned()))).unwrap(),
        80 => changes.send(Change::Note(None)).unwrap(),
        _ => {}
    });
    let told: Vec<_> = said.iter().map(|(second, severity, sensor)| (*second, *severity, sensor.detail.as_str())).collect();
    let note = "the configuration cannot be used";
    assert_eq!(told[1..4], [(10, Severity::Medium, note), (70, Severity::Info, note), (80, Severity::Info, "")]);
}
