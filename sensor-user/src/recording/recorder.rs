//! Decides which items go into the recording, and in which order.
//!
//! The pipeline tells the recorder of every record before the engine gets it; the engine's answers (a stream belongs to a session, a
//! message was framed, an event came of it) come while it works. What cannot be decided yet is held: a session of which no event has
//! come may turn out to be none.
//!
//! Invariants: items of a stream are written in the order in which they came; who a process is stands before the first item with it,
//! and again when more is known; the engine's sweeps stand where they happened, so that a replay does then what was done live.

mod chosen;
mod losses;
mod settled;

use super::{
    Choice, Owned, Plan, Spool,
    held::Held,
    kin::{Kin, process},
};
use crate::{
    capture::{Record, kin, process_of},
    export::Outgoing,
    identity::Known,
};
use mcp_sensor_proto::v1;
use recording::{Item, Level};
use rustc_hash::FxHashMap;
use sensor_core::{
    event::SessionId,
    input::{Between, Framed, ProcessId, StreamKey, Time, Verdict},
    json::Tape,
    redact::{self, Redactor},
};
use std::{collections::VecDeque, sync::Arc};

/// Processes whose identity as written is remembered; beyond it all are written anew.
const WRITTEN: usize = 32 * 1024;

/// Time between two sweeps that are written though they found nothing, where files roll: a replay that begins with a later file has
/// seen less, and waits for time to pass where the live engine had no need to. In nanoseconds.
const SWEEP: Time = 100_000_000;
/// How long after the last item of a stream. What can wait for longer is no part of a session yet.
const ATTENTIVE: Time = 5_000_000_000;

/// A session whose streams are known.
#[derive(Default)]
struct Session {
    streams: Vec<StreamKey>,
    chosen: bool,
}

/// A stream of a session.
#[derive(Default)]
struct Stream {
    sessions: Vec<SessionId>,
    chosen: bool,
    /// See [`sensor_core::input::Chunk::epoch`].
    epoch: Time,
}

/// See the module.
pub struct Recorder {
    plan: Plan,
    spool: Spool,
    held: Held,
    kin: Kin,
    streams: FxHashMap<StreamKey, Stream>,
    sessions: FxHashMap<SessionId, Session>,
    /// Those recorded that ended last: their last event may still wait until it is known who its peers are.
    closed: VecDeque<SessionId>,
    /// Who a process is, as it was written last.
    written: FxHashMap<ProcessId, Arc<v1::Peer>>,
    /// Processes in the recording of which more will be known in a moment, and what was written of them.
    unresolved: FxHashMap<ProcessId, Arc<v1::Peer>>,
    /// The record that the engine has now, and its stream: what time brings about first stands before it.
    current: Option<(Option<StreamKey>, Owned)>,
    /// Streams that were chosen and of which what is held has not been written yet.
    fresh: Vec<StreamKey>,
    /// The sweep that the engine is at.
    sweeping: Option<Time>,
    /// When the engine swept last, where that was not written yet.
    swept: Option<Time>,
    /// When it swept last, and the last item that was held by then.
    last_sweep: (Time, u64),
    /// Streams whose last bytes may yet become part of a message, and how far they are read.
    unsettled: FxHashMap<StreamKey, (Time, u64)>,
    /// Something was found in the sweep that is under way.
    found: bool,
    /// The last sweep that was written.
    ticked: Time,
    /// When the last item of a stream was written.
    wrote: Time,
    now: Time,
    redactor: Redactor,
    tape: Tape,
    scratch: String,
}

impl Recorder {
    /// A recorder that writes to `spool`.
    #[must_use]
    pub fn new(plan: Plan, spool: Spool) -> Self {
        Self {
            held: Held::new(plan.memory, plan.choice.patience()),
            plan,
            spool,
            kin: Kin::default(),
            streams: FxHashMap::default(),
            sessions: FxHashMap::default(),
            closed: VecDeque::new(),
            written: FxHashMap::default(),
            unresolved: FxHashMap::default(),
            current: None,
            fresh: Vec::new(),
            sweeping: None,
            swept: None,
            last_sweep: (0, 0),
            unsettled: FxHashMap::default(),
            found: false,
            ticked: 0,
            wrote: 0,
            now: 0,
            redactor: Redactor::new(redact::Level::Redacted),
            tape: Tape::new(),
            scratch: String::new(),
        }
    }

    /// Takes a record, before the engine gets it.
    pub fn record(&mut self, record: &Record<'_>, known: &mut Known) {
        self.settle(known);
        match record {
            Record::Chunk(chunk) | Record::Recorded(Item::Chunk(chunk)) => {
                self.now = self.now.max(chunk.time);
                let item = match self.plan.level {
                    Level::Full => Item::Chunk(*chunk),
                    Level::Redacted => Item::Passed(chunk.into()),
                };
                self.arrives(chunk.stream, chunk.epoch, &item);
            }
            Record::Touch(touch) | Record::Recorded(Item::Touch(touch)) => {
                self.now = self.now.max(touch.time);
                self.arrives(touch.stream, touch.epoch, &Item::Touch(*touch));
            }
            Record::Exec(exec) => self.happens(&Item::Exec { time: exec.header.time, process: process_of(&exec.header) }),
            Record::Fork(fork) => {
                let (parent, child) = kin(fork);
                self.happens(&Item::Fork { time: fork.header.time, parent, child });
            }
            Record::Exit(exit) => self.happens(&Item::Exit { time: exit.header.time, process: process_of(&exit.header) }),
            // The action that comes of it is told as an event.
            Record::Signal(_) => {}
            Record::Recorded(item @ (Item::Fork { .. } | Item::Exec { .. } | Item::Exit { .. })) => self.happens(item),
            Record::Recorded(item) => self.of_recording(item),
        }
    }

    /// An item that only a recording has: it is recorded again.
    fn of_recording(&mut self, item: &Item<'_>) {
        match *item {
            Item::Passed(passed) => self.arrives(passed.stream, passed.epoch, item),
            Item::Message(framed) => self.arrives(framed.stream, framed.epoch, item),
            Item::Noise { stream, epoch, .. } | Item::Gap { stream, epoch, .. } => self.arrives(stream, epoch, item),
            _ => {}
        }
    }

    /// An item of a stream comes to the engine.
    fn arrives(&mut self, stream: StreamKey, epoch: Time, item: &Item<'_>) {
        self.follow(stream, epoch);
        self.current = Some((Some(stream), Owned::of(item)));
    }

    /// News of a process comes to the engine.
    fn happens(&mut self, item: &Item<'_>) {
        self.current = Some((None, Owned::of(item)));
    }

    /// The engine is at the record, unless it still sweeps before that.
    fn pass(&mut self, known: &mut Known) {
        if self.sweeping.is_some() {
            return;
        }
        match self.current.take() {
            Some((Some(stream), item)) => self.of_stream(stream, item, known),
            Some((None, item)) => self.of_process(item),
            None => {}
        }
    }

    /// Something was found in a stream: where a sweep found it, its time is the sweep's, though no event may come of it yet.
    fn found(&mut self, stream: StreamKey, known: &mut Known) {
        if let Some(now) = self.sweeping {
            if self.streams.get(&stream).is_some_and(|of| of.chosen) {
                self.found = true;
            } else if self.plan.level == Level::Full {
                self.held.sweep(stream, now, u64::MAX);
            }
        }
        if self.reframes() {
            self.pass(known);
        }
    }

    /// True where what is framed is recorded, and not what it was framed from.
    fn reframes(&self) -> bool {
        self.plan.level == Level::Redacted && self.plan.source != Some(Level::Redacted)
    }

    /// A message was framed.
    pub fn framed(&mut self, framed: &Framed<'_>, known: &mut Known) {
        self.found(framed.stream, known);
        if !self.reframes() {
            return;
        }
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        if self.tape.parse(framed.bytes).is_ok()
            && let Some(root) = self.tape.root(framed.bytes)
        {
            self.redactor.value(root, usize::MAX, &mut text);
        }
        let item = Owned::of(&Item::Message(Framed { bytes: text.as_bytes(), ..*framed }));
        self.of_stream(framed.stream, item, known);
        text.shrink_to(1 << 20);
        self.scratch = text;
    }

    /// Something else was found in a stream.
    pub fn between(&mut self, stream: StreamKey, epoch: Time, time: Time, what: Between, known: &mut Known) {
        self.found(stream, known);
        if !self.reframes() {
            return;
        }
        let item = match what {
            Between::Noise(bytes) => Item::Noise { time, stream, epoch, bytes },
            Between::Gap(bytes, reasons) => Item::Gap { time, stream, epoch, bytes, reasons },
        };
        self.of_stream(stream, Owned::of(&item), known);
    }

    /// A stream belongs to a session.
    pub fn bound(&mut self, stream: StreamKey, session: SessionId) {
        let of = self.streams.entry(stream).or_default();
        if !of.sessions.contains(&session) {
            of.sessions.push(session);
        }
        let record = self.sessions.entry(session).or_default();
        if !record.streams.contains(&stream) {
            record.streams.push(stream);
        }
        if record.chosen || matches!(self.plan.choice, Choice::All) {
            self.choose(session);
        }
    }

    /// The engine has decided about a stream.
    pub fn verdict(&mut self, stream: StreamKey, verdict: Verdict) {
        if verdict == Verdict::Ignore {
            self.held.forget(&stream);
            self.streams.remove(&stream);
        }
    }

    /// An event with these peers goes out.
    pub fn names(&mut self, session: SessionId, peers: [Option<ProcessId>; 2], known: &mut Known) {
        if self.closed.contains(&session) || self.sessions.get(&session).is_some_and(|record| record.chosen) {
            self.settle(known);
            for process in peers.into_iter().flatten() {
                self.introduce(process, known);
            }
        }
    }

    /// An event of a session.
    pub fn event(&mut self, session: SessionId, event: &Outgoing, is_end: bool, known: &mut Known) {
        self.pass(known);
        if !self.sessions.get(&session).is_some_and(|record| record.chosen) {
            if self.plan.choice.is_for(event) {
                self.choose(session);
            }
        } else {
            self.found |= self.sweeping.is_some();
        }
        if is_end {
            self.settle(known);
            self.ended(session);
        }
    }

    /// The engine sweeps.
    pub const fn sweeps(&mut self, now: Time) {
        self.sweeping = Some(now);
    }

    /// It has swept. A sweep stands behind all that was held by then and behind the messages that it framed, for a replay has them
    /// before it does the rest; and before the record that the engine takes next.
    pub fn swept(&mut self, known: &mut Known) {
        self.write_fresh(known);
        let Some(now) = self.sweeping.take() else { return };
        (self.swept, self.last_sweep) = (Some(now), (now, self.held.newest()));
        let is_due = now >= self.ticked.saturating_add(SWEEP) && now < self.wrote.saturating_add(ATTENTIVE);
        if std::mem::take(&mut self.found) || (self.plan.rolls && is_due) {
            self.catch_up();
        }
    }

    /// An event of the sensor about itself.
    pub fn told(&mut self, event: &v1::Event, known: &mut Known) {
        self.settle(known);
        self.write(&Item::Event(event.clone()));
    }

    /// A finding about a session.
    pub fn judged(&mut self, event: &Outgoing, known: &mut Known) {
        let Some(id) = event.session_id() else { return };
        if !self.closed.contains(&id) && !self.sessions.get(&id).is_some_and(|record| record.chosen) {
            if !self.plan.choice.is_for(event) {
                return;
            }
            self.choose(id);
        }
        self.told(&event.to_event(), known);
    }

    /// Periodic work.
    pub fn tick(&mut self, now: Time, known: &mut Known) {
        self.settle(known);
        self.now = self.now.max(now);
        self.held.age(now);
        if self.unresolved.is_empty() {
            return;
        }
        let resolved: Vec<ProcessId> = self.unresolved.keys().copied().filter(|process| !known.is_pending(*process)).collect();
        for process in resolved {
            self.unresolved.remove(&process);
            self.introduce(process, known);
        }
    }

    /// Writes what waits and ends the file; says how it went.
    pub fn finish(&mut self, known: &mut Known) -> Option<String> {
        self.settle(known);
        self.catch_up();
        self.spool.finish()
    }

    /// Notices that another stream has the key now.
    fn follow(&mut self, stream: StreamKey, epoch: Time) {
        if let Some(of) = self.streams.get_mut(&stream) {
            if epoch > of.epoch && of.epoch != 0 {
                self.streams.remove(&stream);
            } else {
                of.epoch = of.epoch.max(epoch);
            }
        }
    }

    fn of_stream(&mut self, stream: StreamKey, item: Owned, known: &mut Known) {
        if self.streams.get(&stream).is_some_and(|of| of.chosen) {
            self.write_fresh(known);
            self.give(item, known);
        } else {
            let time = item.lend().time().unwrap_or(self.now);
            let (swept, until) = self.last_sweep;
            if self.plan.level == Level::Full {
                self.held.sweep(stream, swept, until);
            }
            self.held.push(stream, time, item);
        }
    }

    fn of_process(&mut self, item: Owned) {
        if self.kin.learn(&item.lend(), self.held.number()) {
            self.catch_up();
            self.spool.push(item);
        }
    }

    /// The engine is done with the record, or something is to be written that the session's items stand before.
    pub fn settle(&mut self, known: &mut Known) {
        self.write_fresh(known);
        self.pass(known);
    }

    /// Writes an item of a stream, and before it what it needs.
    fn give(&mut self, item: Owned, known: &mut Known) {
        self.catch_up();
        self.wrote = self.now;
        let Some(process) = process(&item.lend()) else {
            self.spool.push(item);
            return;
        };
        for item in self.kin.introduce(process).into_iter().flatten() {
            self.write(&item);
        }
        self.introduce(process, known);
        self.spool.push(item);
    }

    /// Writes who a process is, where that is not written or more is known now.
    fn introduce(&mut self, process: ProcessId, known: &mut Known) {
        if known.is_pending(process) {
            self.written.remove(&process);
            let peer = known.peer(process);
            if self.unresolved.get(&process).is_none_or(|told| *told != peer) {
                // What is known by now, for the live sensor does not wait for ever; and that it is not all, so that a replay waits as long.
                self.write(&Item::Process { time: self.now, id: process, peer: (*peer).clone() });
                self.write(&Item::Process { time: self.now, id: process, peer: v1::Peer::default() });
                self.unresolved.insert(process, peer);
            }
            return;
        }
        let peer = known.peer(process);
        if self.written.get(&process).is_some_and(|written| Arc::ptr_eq(written, &peer)) {
            return;
        }
        if self.written.len() >= WRITTEN {
            self.written.clear();
        }
        self.write(&Item::Process { time: self.now, id: process, peer: (*peer).clone() });
        self.written.insert(process, peer);
    }

    /// Writes the engine's last sweep, where that is not written yet.
    fn catch_up(&mut self) {
        if let Some(time) = self.swept.take() {
            self.ticked = time;
            self.write(&Item::Tick { time });
        }
    }

    fn write(&self, item: &Item<'_>) {
        self.spool.push(Owned::of(item));
    }
}
