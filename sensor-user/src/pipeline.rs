//! The agent's one working thread: records from the source, through the engine, out to the exporter.
//!
//! ```text
//! Source ─ record ─► Engine (pure) ─ event ─► Outlet: who is it? ─► Exporter
//!                              └──── verdict ─► kernel
//! ```
//!
//! Invariants: events of a session leave in the order in which the engine gave them; an event whose peers are still being
//! looked up waits, and those behind it in its session with it, for at most [`HOLD`](crate::outlet::HOLD); the sensor tells of its own losses
//! in the same stream of events.

use crate::{
    bpf::give_back_memory,
    capture::{Progress, Record, Source, kin, process_of},
    export::Exporter,
    identity::{Exclusions, Identities, Known},
    judging::{Judging, Loaded},
    outlet::Outlet,
    recording::Recorder,
    respond::{self, ByHand, Responder},
    status::Status,
};
use mcp_sensor_proto::v1;
use recording::Item;
use rustc_hash::FxHashSet;
use sensor_core::{
    engine::{Config, Engine},
    input::{Between, End, StreamKey, Time, Touch, Verdict},
};
use std::{
    io,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
    time::Duration,
};

/// How long the pipeline waits for records before it does its periodic work.
const WAIT: Duration = Duration::from_millis(20);
/// Time between two rounds of periodic work.
const TICK: Time = 20_000_000;
/// Time after which what a burst has left of free memory is given back.
const GIVE_BACK: Time = 60_000_000_000;

/// Takes verdicts to the kernel; nobody where the source is a recording.
pub type VerdictTaker = Box<dyn FnMut(StreamKey, Taken) + Send>;

/// What is to be done about a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Taken {
    /// As the engine decided.
    Verdict(Verdict),
    /// The configuration excludes the process behind it.
    Exclude,
}

/// Streams that were excluded and that are remembered, so that they can be looked at again.
const EXCLUDED_STREAMS: usize = 16 * 1024;

/// What can change while the pipeline runs.
#[derive(Debug)]
pub enum Change {
    /// Whom to leave alone from now on. Streams that were excluded before are judged anew.
    Exclusions(Exclusions),
    /// What the sensor says in its own events, until it is taken back with `None`.
    Note(Option<String>),
    /// What to judge by from now on; or why a policy could not be taken.
    Policy(Result<Loaded, String>),
    /// What orders lead to from now on, and who is exempt.
    Enforcement(respond::Settings),
    /// Somebody orders something.
    ByHand(ByHand),
}

/// The pipeline, and all that it needs.
pub struct Pipeline<S> {
    source: S,
    engine: Engine,
    outlet: Outlet,
    exclusions: Exclusions,
    /// Absent in a replay: what the sensor told of itself is in the recording.
    status: Option<Status>,
    last_tick: Time,
    gave_back: Time,
    excluded: Excluded,
    changes: Option<Receiver<Change>>,
    /// The time of the first records.
    began: Time,
}

/// What the configuration excludes, so far.
#[derive(Default)]
struct Excluded {
    streams: FxHashSet<StreamKey>,
}

/// What a pipeline is made of.
pub struct Parts<S> {
    /// Where records come from.
    pub source: S,
    /// What the engine is told.
    pub config: Config,
    /// Who is behind a pid.
    pub known: Known,
    /// Whom to leave alone.
    pub exclusions: Exclusions,
    /// Where events go.
    pub exporter: Box<dyn Exporter>,
    /// Makes a recording.
    pub recorder: Option<Recorder>,
    /// Takes verdicts to the kernel; nobody where the source is a recording.
    pub verdicts: Option<VerdictTaker>,
    /// Judges events.
    pub judging: Option<Judging>,
    /// The host's name.
    pub node: String,
    /// What the sensor says of itself; nothing where the source is a recording, which has it.
    pub status: Option<Status>,
    /// Stops and kills; nobody where nothing is ever to be done.
    pub responder: Option<Responder>,
}

impl<S: Source> Pipeline<S> {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts<S>) -> Self {
        let Parts { source, config, known, exclusions, exporter, recorder, verdicts, judging, node, status, responder } = parts;
        let mut outlet = Outlet::new(known, exporter, recorder, verdicts, responder, node, config.boot_time);
        outlet.judge_by(judging);
        let engine = Engine::new(config);
        Self {
            source,
            engine,
            outlet,
            exclusions,
            status,
            last_tick: 0,
            gave_back: 0,
            excluded: Excluded::default(),
            changes: None,
            began: 0,
        }
    }

    /// What is to change while it runs.
    pub fn listen(&mut self, changes: Receiver<Change>) {
        self.changes = Some(changes);
    }

    /// Tells the pipeline of a stream that was open before it began, and of who holds an end of it.
    pub fn held(&mut self, touch: &Touch) {
        self.outlet.record_held(touch);
        self.engine.touch(touch, &mut self.outlet);
    }

    /// Runs until `stop` is set (what the source holds then is still worked off) or the source ends.
    ///
    /// `end_source` is called once, when `stop` is seen.
    ///
    /// # Errors
    /// Where the exporter fails; [`crate::export::is_closed`] tells whether only its reader has gone.
    pub fn run(&mut self, stop: &AtomicBool, mut end_source: impl FnMut(&mut S)) -> io::Result<()> {
        if let Some(status) = &mut self.status {
            let now = self.source.now();
            status.audit(self.outlet.recorder().map(Recorder::audit_start), now);
            status.audit(self.outlet.judging().map(|judging| judging.loaded().audit()), now);
            self.outlet.tell(status.ready(), self.source.now())?;
        }
        let mut stopping = false;
        loop {
            if !stopping && stop.load(Ordering::Acquire) {
                stopping = true;
                end_source(&mut self.source);
            }
            let progress = self.read();
            let now = self.source.now();
            if self.began == 0 {
                self.began = now;
            }
            if now.saturating_sub(self.last_tick) >= TICK || progress == Progress::End {
                self.last_tick = now;
                self.change(now);
                self.look_after(now)?;
                self.outlet.tick(now)?;
            }
            self.outlet.flush()?;
            if progress == Progress::End {
                return self.finish(now);
            }
        }
    }

    /// Periodic work of the live sensor. A replay's engine is told by the recording when to do its own.
    fn look_after(&mut self, now: Time) -> io::Result<()> {
        let Self { source, engine, outlet, status, gave_back, .. } = self;
        let Some(status) = status else {
            outlet.release(now);
            return Ok(());
        };
        if now.saturating_sub(*gave_back) >= GIVE_BACK {
            *gave_back = now;
            give_back_memory();
        }
        engine.tick(now, outlet);
        if let Some(recorder) = outlet.recorder_mut() {
            recorder.settle_all(|stream, epoch| engine.settled(stream, epoch));
        }
        outlet.release(now);
        if let Some(failure) = outlet.recorder().and_then(Recorder::take_failure) {
            tracing::warn!(failure, "the recording could not be written");
            status.note(Some(format!("the recording could not be written: {failure}")));
        }
        for news in outlet.judging().map(Judging::take_news).unwrap_or_default() {
            tracing::error!(rule = %news.rule, reason = news.reason, "a rule of the policy was switched off");
            let (subject, detail) = (news.rule.to_string(), news.reason);
            status.audit(Some(v1::Audit { kind: v1::audit::Kind::RuleDisabled.into(), subject, detail, time: None }), now);
        }
        if let Some(sensor) = status.changes(now, engine, source, outlet) {
            outlet.tell(sensor, now)?;
        }
        if status.take_records_lost()
            && let Some(identities) = outlet.known().identities()
        {
            // Among them may have been news of processes. Where /proc cannot be read, what is known stays.
            let _ = identities.repair();
        }
        Ok(())
    }

    /// Does what it is told to do otherwise.
    fn change(&mut self, now: Time) {
        let Self { outlet, exclusions, status, excluded, changes, .. } = self;
        for change in changes.iter().flat_map(Receiver::try_iter) {
            match change {
                Change::Note(note) => {
                    if let Some(status) = status {
                        status.note(note);
                    }
                }
                Change::Policy(loaded) => {
                    let audit = match loaded {
                        Ok(loaded) => {
                            let audit = loaded.audit();
                            outlet.judge_by_another(loaded);
                            audit
                        }
                        Err(why) => v1::Audit { kind: v1::audit::Kind::PolicyRefused.into(), detail: why, ..v1::Audit::default() },
                    };
                    if let Some(status) = status {
                        status.audit(Some(audit), now);
                    }
                }
                Change::Enforcement(settings) => {
                    if let Some(responder) = outlet.responder() {
                        responder.set(settings);
                    }
                }
                Change::ByHand(order) => {
                    if let (Some(status), Some((subject, detail))) = (&mut *status, order.in_words()) {
                        let kind = v1::audit::Kind::OrderGiven.into();
                        status.audit(Some(v1::Audit { kind, subject, detail, ..v1::Audit::default() }), now);
                    }
                    outlet.by_hand(order);
                }
                Change::Exclusions(new) => {
                    *exclusions = new;
                    // An ignored stream is probed again soon, and excluded again where that still holds.
                    for stream in excluded.streams.drain() {
                        outlet.readmit(stream);
                    }
                }
            }
        }
    }

    fn read(&mut self) -> Progress {
        let Self { source, engine, outlet, exclusions, excluded, .. } = self;
        source.read(WAIT, &mut |record| {
            if let Some(stream) = exclusion(&record, exclusions, outlet) {
                if excluded.streams.len() < EXCLUDED_STREAMS {
                    excluded.streams.insert(stream);
                }
                return;
            }
            // What only the live processes can tell comes first: the recording has it, too.
            match &record {
                Record::Chunk(chunk) => outlet.speaks(chunk),
                Record::Touch(touch) => outlet.listens(touch),
                Record::Exec(_) | Record::Fork(_) | Record::Exit(_) => {
                    if let Some(identities) = outlet.known().identities() {
                        learn(identities, &record);
                    }
                }
                Record::Signal(_) | Record::Recorded(_) => {}
            }
            outlet.record(&record);
            match record {
                Record::Recorded(item) => replay(item, engine, outlet),
                Record::Chunk(chunk) => {
                    engine.chunk(&chunk, outlet);
                    if let Some(recorder) = outlet.recorder_mut() {
                        recorder.taken(&chunk, || engine.settled(chunk.stream, chunk.epoch));
                    }
                }
                Record::Touch(touch) => {
                    let is_told = engine.touch(&touch, outlet);
                    if touch.unseen && !is_told {
                        outlet.cannot_see(&touch);
                    }
                }
                Record::Exec(exec) => engine.exec(process_of(&exec.header), exec.header.time),
                Record::Fork(fork) => {
                    let (parent, child) = kin(&fork);
                    engine.fork(parent, child, fork.header.time);
                }
                Record::Exit(exit) => engine.exit(process_of(&exit.header), exit.header.time, outlet),
                Record::Signal(_) => {}
            }
            outlet.recorded();
        })
    }

    fn finish(&mut self, now: Time) -> io::Result<()> {
        self.outlet.end_actions();
        self.outlet.release_all();
        let mut started = self.began;
        if let Some(status) = &mut self.status {
            status.audit(self.outlet.recorder().map(Recorder::audit_stop), now);
            let sensor = status.stopping(&self.engine, &self.source, &mut self.outlet);
            self.outlet.tell(sensor, now)?;
            started = status.started();
        }
        self.outlet.finish(now.saturating_sub(started))
    }
}

/// Takes news of a process to the table of processes.
fn learn(identities: &mut Identities, record: &Record<'_>) {
    match record {
        Record::Exec(exec) => identities.exec(exec),
        Record::Fork(fork) => identities.fork(fork),
        Record::Exit(exit) => identities.exit(exit),
        Record::Chunk(_) | Record::Touch(_) | Record::Signal(_) | Record::Recorded(_) => {}
    }
}

/// Takes what a recording holds to where it went when it was recorded.
fn replay(item: &Item<'_>, engine: &mut Engine, outlet: &mut Outlet) {
    if !matches!(item, Item::Process { .. }) {
        outlet.release_known(item.time());
    }
    match *item {
        Item::Process { id, ref peer, .. } => {
            if let Known::Recorded(recorded) = outlet.known() {
                recorded.learn(id, peer.clone());
            }
        }
        Item::Chunk(ref chunk) => engine.chunk(chunk, outlet),
        Item::Touch(ref touch) => {
            engine.touch(touch, outlet);
        }
        Item::Passed(ref passed) => engine.passed(passed, outlet),
        Item::Message(ref framed) => engine.framed(framed, outlet),
        Item::Noise { time, stream, epoch, bytes } => engine.between(stream, epoch, time, Between::Noise(bytes), outlet),
        Item::Gap { time, stream, epoch, bytes, reasons } => engine.between(stream, epoch, time, Between::Gap(bytes, reasons), outlet),
        Item::Fork { time, parent, child } => engine.fork(parent, child, time),
        Item::Exec { time, process } => {
            if let Known::Recorded(recorded) = outlet.known() {
                recorded.exec(process);
            }
            engine.exec(process, time);
        }
        Item::Exit { time, process } => engine.exit(process, time, outlet),
        Item::Tick { time } => engine.tick(time, outlet),
        Item::Event(ref event) => outlet.retell(event.clone()),
    }
}

/// The stream of a record whose process the configuration excludes; the kernel is told to leave it alone.
fn exclusion(record: &Record<'_>, exclusions: &Exclusions, outlet: &mut Outlet) -> Option<StreamKey> {
    if exclusions.is_empty() {
        return None;
    }
    let (stream, process, _end): (StreamKey, _, End) = match record {
        Record::Chunk(chunk) => (chunk.stream, chunk.process, chunk.end),
        Record::Touch(touch) => (touch.stream, touch.process, touch.end),
        Record::Exec(_) | Record::Fork(_) | Record::Exit(_) | Record::Signal(_) | Record::Recorded(_) => return None,
    };
    exclusions.matches(&outlet.known().identities()?.get(process))?;
    outlet.exclude(stream);
    Some(stream)
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
