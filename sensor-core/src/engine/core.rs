//! The engine's state behind the framers, and its book-keeping.

use super::config::{Config, Counters};
use super::exchange::Exchanges;
use super::session::{Emitter, Record};
use super::slab::Slab;
use super::stream::{State, Stream};
use super::track::Track;
use crate::event::Sink;
use crate::input::{End, ProcessId, StreamKey, Time, Verdict};
use crate::json::Tape;
use crate::mcp::classify::Reason;
use crate::mcp::hash::Keyed;
use crate::redact::Redactor;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeSet, VecDeque};

/// Processes whose parents are remembered.
const KIN: usize = 32 * 1024;
/// Generations that are looked through.
const GENERATIONS: usize = 16;
/// Record time within which the same verdict is not given again: what was under way when it was given still comes.
const VERDICT_REPEAT: Time = 100_000_000;
/// Bytes of a stream's book-keeping, by estimate.
pub const STREAM: usize = size_of::<Stream>() + 900;
/// The same with what passed lately.
pub const TRACKED: usize = STREAM + size_of::<Track>();

/// What is to be closed.
#[derive(Clone, Copy, Debug)]
pub enum Closing {
    /// A stream, by its slot.
    Stream(u32),
    /// A session, by its slot, and its streams, and why.
    Session(u32, &'static str),
}

/// Text that is made for one event and used again for the next.
#[derive(Debug, Default)]
pub struct Scratch {
    /// A message's body.
    pub body: String,
    /// A result or an error.
    pub result: String,
    /// A target that had to be redacted.
    pub target: String,
}

/// See the module.
#[derive(Debug)]
pub struct Core {
    pub config: Config,
    pub counters: Counters,
    pub keyed: Keyed,
    pub emitter: Emitter,
    pub redactor: Redactor,
    pub scratch: Scratch,
    /// For messages that waited.
    pub replay: Tape,
    /// The time of the newest record.
    pub now: Time,
    /// The time of the record that is worked on.
    pub stamp: Time,
    /// Sessions that have something to give beyond the [horizon](Self::horizon).
    pub beyond: BTreeSet<u32>,
    /// The time of the first record.
    pub begun: Option<Time>,
    pub streams: Slab<Stream>,
    keys: FxHashMap<StreamKey, u32>,
    serial: u64,
    /// Who uses which end of which stream.
    pub uses: BTreeSet<(ProcessId, bool, u32)>,
    parents: FxHashMap<ProcessId, ProcessId>,
    births: VecDeque<ProcessId>,
    /// Living processes that run the program they were forked with.
    forks: FxHashSet<ProcessId>,
    pub sessions: Slab<Record>,
    pub exchanges: Exchanges,
    /// Sessions that something is due for.
    pub waiting: Vec<u32>,
    /// Streams with JSON-RPC that look for their partner.
    pub suspects: Vec<u32>,
    /// Streams one of whose ends has no living process.
    pub dying: Vec<u32>,
    pub closing: VecDeque<Closing>,
    pub framing_held: usize,
    pub backlog_held: usize,
    pub sessions_held: usize,
    /// Streams of which it is known what passed lately.
    pub tracks: usize,
}

impl Core {
    /// Nothing seen.
    pub fn new(config: Config) -> Self {
        let keyed = Keyed::new(config.seed);
        Self {
            counters: Counters::default(),
            keyed,
            emitter: Emitter::new(config.node, config.boot_time),
            redactor: Redactor::new(config.level),
            scratch: Scratch::default(),
            replay: Tape::new(),
            now: 0,
            stamp: 0,
            beyond: BTreeSet::new(),
            begun: None,
            streams: Slab::default(),
            keys: FxHashMap::default(),
            serial: 0,
            uses: BTreeSet::new(),
            parents: FxHashMap::default(),
            births: VecDeque::new(),
            forks: FxHashSet::default(),
            sessions: Slab::default(),
            exchanges: Exchanges::new(keyed),
            waiting: Vec::new(),
            suspects: Vec::new(),
            dying: Vec::new(),
            closing: VecDeque::new(),
            framing_held: 0,
            backlog_held: 0,
            sessions_held: 0,
            tracks: 0,
            config,
        }
    }

    /// Time has come so far.
    pub fn see(&mut self, time: Time) {
        self.begun.get_or_insert(time);
        self.now = self.now.max(time);
        self.stamp = self.now;
    }

    /// Nothing that was seen later is given out: a recording has what came before it yet to tell, for it has a stream once it is known
    /// what it is. The end of time for who sees things as they come, and where a recording tells of the present.
    pub fn horizon(&self) -> Time {
        if self.config.paced && self.stamp < self.now { self.stamp } else { Time::MAX }
    }

    /// The counters, with the gauges as they are.
    pub fn count(&self) -> Counters {
        Counters { streams: self.streams.len() as u64, sessions: self.sessions.len() as u64, memory: self.memory() as u64, ..self.counters }
    }

    /// Bytes held, by estimate.
    pub fn memory(&self) -> usize {
        let kin = self.births.len() * 128;
        let streams = self.streams.len() * STREAM + self.tracks * size_of::<Track>();
        self.framing_held + self.backlog_held + self.sessions_held + self.exchanges.held() + streams + kin
    }

    /// True where more is held than may be.
    #[inline]
    pub fn is_over_memory(&self) -> bool {
        self.memory() > self.config.memory
    }

    /// The stream that has a key, and its epoch.
    #[inline]
    pub fn known(&self, key: &StreamKey) -> Option<(u32, Time)> {
        let slot = *self.keys.get(key)?;
        self.streams.get(slot).map(|stream| (slot, stream.epoch))
    }

    /// The stream that has a key and an epoch.
    pub fn find(&self, key: &StreamKey, epoch: Time) -> Option<u32> {
        self.known(key).filter(|&(_, known)| known == epoch).map(|(slot, _)| slot)
    }

    /// The stream that goes the other way of the same object.
    pub fn reverse_of(&self, slot: u32) -> Option<u32> {
        let reverse = self.streams.get(slot)?.key.reverse()?;
        self.known(&reverse).map(|(slot, _)| slot)
    }

    /// Takes the epoch of a stream whose users were known before the kernel counted it.
    pub fn adopt(&mut self, slot: u32, epoch: Time) {
        if let Some(stream) = self.streams.get_mut(slot) {
            stream.epoch = epoch;
        }
    }

    /// Position of the first byte of a stream that was seen.
    pub fn first_offset(&self, slot: u32) -> u64 {
        self.streams.get(slot).and_then(|stream| stream.first_offset).unwrap_or(0)
    }

    /// Begins a stream.
    pub fn begin(&mut self, key: StreamKey, epoch: Time) -> u32 {
        self.serial += 1;
        self.counters.streams_begun += 1;
        let slot = self.streams.insert(Stream::new(key, epoch, self.serial, self.now));
        self.keys.insert(key, slot);
        slot
    }

    /// Forgets a stream that belongs to no session any more.
    pub fn forget(&mut self, slot: u32) {
        let Some(stream) = self.streams.remove(slot) else { return };
        self.keys.remove(&stream.key);
        for (users, writes) in [(&stream.writers, true), (&stream.readers, false)] {
            for process in users.iter() {
                self.uses.remove(&(process, writes, slot));
            }
        }
        self.tracks -= usize::from(stream.track.is_some());
        self.backlog_held -= stream.backlog.held();
        let messages = stream.backlog.messages();
        self.counters.messages_waiting -= messages;
        self.counters.messages_foreign += messages;
        self.counters.streams_forgotten += 1;
    }

    /// Tells the kernel what to do with a stream, once.
    pub fn tell(&mut self, slot: u32, verdict: Verdict, sink: &mut dyn Sink) {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(slot) else { return };
        if let Some((told, when)) = stream.told
            && told == verdict
            && (verdict == Verdict::Capture || now < when + VERDICT_REPEAT)
        {
            return;
        }
        stream.told = Some((verdict, now));
        match verdict {
            Verdict::Capture => self.counters.captured += 1,
            Verdict::Ignore => self.counters.ignored += 1,
        }
        sink.verdict(stream.key, stream.epoch, verdict);
    }

    /// True where a stream belongs to a session.
    pub fn is_bound(&self, slot: u32) -> bool {
        self.streams.get(slot).is_some_and(|stream| matches!(stream.state, State::Bound(..)))
    }

    /// Gives a stream up as not MCP.
    pub fn ignore(&mut self, slot: u32, reason: Reason, sink: &mut dyn Sink) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        stream.state = State::Ignored(reason);
        self.tracks -= usize::from(stream.track.take().is_some());
        let backlog = std::mem::take(&mut stream.backlog);
        self.backlog_held -= backlog.held();
        self.counters.messages_waiting -= backlog.messages();
        self.counters.messages_foreign += backlog.messages();
        self.tell(slot, Verdict::Ignore, sink);
    }

    /// Takes an ignored stream for possible again.
    pub fn reconsider(&mut self, slot: u32) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        if matches!(stream.state, State::Ignored(_)) {
            stream.state = State::Candidate;
            stream.classifier = Default::default();
            stream.first_offset = None;
            stream.attempts = 0;
        }
    }

    /// Streams whose end a process uses.
    pub fn used_by(&self, process: ProcessId, end: End) -> impl Iterator<Item = u32> {
        let writes = end == End::Writer;
        self.uses.range((process, writes, 0)..=(process, writes, u32::MAX)).map(|&(_, _, slot)| slot)
    }

    /// A process made another.
    pub fn forked(&mut self, parent: ProcessId, child: ProcessId) {
        if self.births.len() >= KIN
            && let Some(oldest) = self.births.pop_front()
        {
            self.leaves_family(oldest);
            self.parents.remove(&oldest);
        }
        if self.parents.insert(child, parent).is_none() {
            self.births.push_back(child);
            self.forks.insert(child);
        }
    }

    /// A process no longer runs its parent's program, or no longer runs.
    pub fn leaves_family(&mut self, process: ProcessId) {
        self.forks.remove(&process);
    }

    /// True where a process runs the program that it was forked with: its parent and siblings may use its descriptors, too.
    pub fn has_siblings(&self, process: ProcessId) -> bool {
        self.forks.contains(&process)
    }

    /// True where one process descends from the other.
    pub fn is_kin(&self, one: ProcessId, other: ProcessId) -> bool {
        let descends = |from: ProcessId, to: ProcessId| {
            std::iter::successors(Some(from), |process| self.parents.get(process).copied()).take(GENERATIONS).any(|process| process == to)
        };
        descends(one, other) || descends(other, one)
    }

    /// A process has ended.
    pub fn exited(&mut self, process: ProcessId, time: Time) {
        self.leaves_family(process);
        let range = (process, false, 0)..=(process, true, u32::MAX);
        let used: Vec<(u32, bool)> = self.uses.range(range).map(|&(_, writes, slot)| (slot, writes)).collect();
        for (slot, writes) in used {
            let Some(stream) = self.streams.get_mut(slot) else { continue };
            let users = stream.users_mut(if writes { End::Writer } else { End::Reader });
            users.bury(process);
            if users.all_dead() && stream.dead_since.is_none() {
                stream.dead_since = Some(time);
                self.dying.push(slot);
            }
        }
    }
}
