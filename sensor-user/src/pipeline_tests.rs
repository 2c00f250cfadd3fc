//! What the pipeline says of itself, with a source that has nothing but time.

use super::*;
use crate::export::{Outgoing, Summary};
use mcp_sensor_proto::v1::{
    Event, Loss, Sensor,
    event::{Body, Severity},
    loss::{Count, Place, Reason},
    sensor::State,
};
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
        judging: None,
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
