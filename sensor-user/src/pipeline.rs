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
    capture::{Progress, Record, Source, kin, process_of},
    export::Exporter,
    identity::{Exclusions, Identities},
    outlet::Outlet,
    status::Status,
};
use rustc_hash::FxHashSet;
use sensor_core::{
    engine::{Config, Engine},
    input::{End, StreamKey, Time, Touch, Verdict},
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
}

/// The pipeline, and all that it needs.
pub struct Pipeline<S> {
    source: S,
    engine: Engine,
    outlet: Outlet,
    exclusions: Exclusions,
    status: Status,
    last_tick: Time,
    excluded: Excluded,
    changes: Option<Receiver<Change>>,
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
    pub identities: Identities,
    /// Whom to leave alone.
    pub exclusions: Exclusions,
    /// Where events go.
    pub exporter: Box<dyn Exporter>,
    /// Takes verdicts to the kernel; nobody where the source is a recording.
    pub verdicts: Option<VerdictTaker>,
    /// The host's name.
    pub node: String,
    /// What the sensor says of itself.
    pub status: Status,
}

impl<S: Source> Pipeline<S> {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts<S>) -> Self {
        let Parts { source, config, identities, exclusions, exporter, verdicts, node, status } = parts;
        let outlet = Outlet::new(identities, exporter, verdicts, node, config.boot_time);
        let engine = Engine::new(config);
        Self { source, engine, outlet, exclusions, status, last_tick: 0, excluded: Excluded::default(), changes: None }
    }

    /// What is to change while it runs.
    pub fn listen(&mut self, changes: Receiver<Change>) {
        self.changes = Some(changes);
    }

    /// Tells the pipeline of a stream that was open before it began, and of who holds an end of it.
    pub fn held(&mut self, touch: &Touch) {
        self.engine.touch(touch, &mut self.outlet);
    }

    /// Runs until `stop` is set (what the source holds then is still worked off) or the source ends.
    ///
    /// `end_source` is called once, when `stop` is seen.
    ///
    /// # Errors
    /// Where the exporter fails; [`crate::export::is_closed`] tells whether only its reader has gone.
    pub fn run(&mut self, stop: &AtomicBool, mut end_source: impl FnMut(&mut S)) -> io::Result<()> {
        self.outlet.tell(self.status.ready(), self.source.now())?;
        let mut stopping = false;
        loop {
            if !stopping && stop.load(Ordering::Acquire) {
                stopping = true;
                end_source(&mut self.source);
            }
            let progress = self.read();
            let now = self.source.now();
            if now.saturating_sub(self.last_tick) >= TICK || progress == Progress::End {
                self.last_tick = now;
                self.change();
                self.engine.tick(now, &mut self.outlet);
                self.outlet.release(now);
                if let Some(sensor) = self.status.changes(now, &self.engine, &self.source, &mut self.outlet) {
                    self.outlet.tell(sensor, now)?;
                }
                if self.status.take_records_lost() {
                    // Among them may have been news of processes. Where /proc cannot be read, what is known stays.
                    let _ = self.outlet.identities().repair();
                }
                self.outlet.tick(now)?;
            }
            self.outlet.flush()?;
            if progress == Progress::End {
                return self.finish(now);
            }
        }
    }

    /// Does what it is told to do otherwise.
    fn change(&mut self) {
        let Self { outlet, exclusions, status, excluded, changes, .. } = self;
        for change in changes.iter().flat_map(Receiver::try_iter) {
            match change {
                Change::Note(note) => status.note(note),
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
            match record {
                Record::Chunk(chunk) => {
                    outlet.speaks(&chunk);
                    engine.chunk(&chunk, outlet);
                }
                Record::Touch(touch) => {
                    outlet.listens(&touch);
                    let is_told = engine.touch(&touch, outlet);
                    if touch.unseen && !is_told {
                        outlet.cannot_see(&touch);
                    }
                }
                Record::Exec(exec) => {
                    outlet.identities().exec(&exec);
                    engine.exec(process_of(&exec.header), exec.header.time);
                }
                Record::Fork(fork) => {
                    outlet.identities().fork(&fork);
                    let (parent, child) = kin(&fork);
                    engine.fork(parent, child, fork.header.time);
                }
                Record::Exit(exit) => {
                    outlet.identities().exit(&exit);
                    engine.exit(process_of(&exit.header), exit.header.time, outlet);
                }
            }
        })
    }

    fn finish(&mut self, now: Time) -> io::Result<()> {
        self.outlet.release_all();
        let sensor = self.status.stopping(&self.engine, &self.source, &mut self.outlet);
        self.outlet.tell(sensor, now)?;
        self.outlet.finish(now.saturating_sub(self.status.started()))
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
        Record::Exec(_) | Record::Fork(_) | Record::Exit(_) => return None,
    };
    exclusions.matches(&outlet.identities().get(process))?;
    outlet.exclude(stream);
    Some(stream)
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
