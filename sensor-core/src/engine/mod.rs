//! Chunks in, events out: streams are put in order and framed, told from what is not MCP, bound in pairs to sessions, and
//! their messages paired, redacted and given out.
//!
//! # Invariants
//!
//! * A message is given out once, or counted under the reason for which it was not ([`Counters::messages_balance`]).
//! * No event leaves for a stream that is not known to be MCP; once it is known, what it said before is given out too.
//! * Everything held is bounded by [`Config::memory`], whatever comes in.
//! * No stream is removed while its own bytes are being framed: removal is asked for (`Core::closing`) and done after.
//! * The same input gives the same events. Time is the records' own.
//!
//! # The way of a chunk
//!
//! `intake` finds its stream and notes who used it; the stream's reassembler and framer make values of it; `classify`
//! (in [`crate::mcp`]) weighs the values of a stream that is not known yet; `bind` finds the two streams of a session;
//! `deliver` keeps messages back until the session's peers are known, and an answer until its request has come;
//! `process` makes events of a message; `calls` follows tool calls to their end.

mod backlog;
mod bind;
mod calls;
mod config;
mod core;
mod deliver;
mod exchange;
mod intake;
mod process;
mod relay;
mod session;
mod slab;
mod stream;
mod sweep;
mod track;
mod tunnel;

#[cfg(test)]
mod tests;

pub use config::{Config, Counters};

use self::core::{Closing, Core};
use self::stream::State;
use crate::event::Sink;
use crate::input::{Between, Chunk, End, Framed, LossReasons, Passed, ProcessId, StreamKey, Time, Touch};
use crate::json::Tape;
use crate::stream::{Reassembler, Segment};
use crate::wire::ndjson::{Limits, Ndjson};

/// Record time between two looks at what is due.
const SWEEP: Time = 20_000_000;
/// Record time that a byte may come later than one behind it.
const REORDER: Time = 100_000_000;

/// How far apart the beginnings of an object's two directions are at most.
const TOGETHER: Time = 1_000_000;
/// The same of a connection whose ends the kernel saw made: as long as `accept` may take after `connect`.
const BORN: Time = 1_000_000_000;

/// What turns the bytes of one stream into values.
#[derive(Debug)]
struct Framing {
    reassembler: Reassembler,
    ndjson: Ndjson,
    /// Position in the stream at which the framer began.
    base: Option<u64>,
    /// Bytes held, as counted last.
    held: usize,
    /// True while it is in the list of those that hold bytes back.
    unsettled: bool,
}

/// Bytes of a framer that holds nothing.
const FRAMING: usize = size_of::<Framing>();

/// See the module.
#[derive(Debug)]
pub struct Engine {
    core: Core,
    tape: Tape,
    /// By the stream's slot.
    framings: Vec<Option<Box<Framing>>>,
    /// Streams that may hold bytes back.
    unsettled: Vec<u32>,
    next_sweep: Time,
    next_purge: Time,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { core: Core::new(config), tape: Tape::new(), framings: Vec::new(), unsettled: Vec::new(), next_sweep: 0, next_purge: 0 }
    }

    /// Takes bytes of a stream.
    pub fn chunk(&mut self, chunk: &Chunk<'_>, sink: &mut dyn Sink) {
        self.core.counters.chunks += 1;
        self.core.counters.bytes += chunk.bytes.len() as u64;
        self.advance(chunk.time, sink);
        let Some(slot) = self.admit(chunk.stream, chunk.epoch, chunk.since_birth, sink) else { return };
        self.core.used(slot, chunk.end, chunk.process, (chunk.offset, chunk.bytes.len() as u64), sink);
        if !chunk.bytes.is_empty() {
            self.core.probed(slot, chunk.offset, sink);
        }
        self.order(slot, chunk, sink);
    }

    /// The writer's end has counted the bytes before a position without taking them: what its reader's showed is right.
    fn confirm(&mut self, slot: u32, until: u64, sink: &mut dyn Sink) {
        let Self { core, tape, framings, .. } = self;
        let Some(Some(framing)) = framings.get_mut(slot as usize) else { return };
        let Framing { reassembler, ndjson, base, .. } = &mut **framing;
        reassembler.confirm(until, &mut |segment| feed(core, ndjson, base, tape, slot, segment, sink));
        self.account(slot);
        self.tidy(slot, sink);
    }

    /// Counts anew what a stream holds.
    fn account(&mut self, slot: u32) {
        let Self { core, framings, unsettled, .. } = self;
        let Some(Some(framing)) = framings.get_mut(slot as usize) else { return };
        framing.recount(core);
        if framing.reassembler.buffered() > 0 && !framing.unsettled {
            framing.unsettled = true;
            unsettled.push(slot);
        }
    }

    fn make_framing(&mut self, slot: u32) {
        let place = slot as usize;
        if self.framings.len() <= place {
            self.framings.resize_with(place + 1, || None);
        }
        let limit = self.core.config.message_bytes;
        if let Some(framing) = self.framings.get_mut(place) {
            framing.get_or_insert_with(|| Box::new(Framing::new(limit)));
        }
    }

    /// A recording that begins in the middle of a stream says where: nothing of it comes that was before.
    fn begin_at(&mut self, slot: u32, position: u64) {
        self.make_framing(slot);
        if let Some(Some(framing)) = self.framings.get_mut(slot as usize) {
            framing.reassembler.begin_at(position);
        }
        self.account(slot);
    }

    /// Puts a chunk into the order of its stream, and takes to the framer what is in order.
    fn order(&mut self, slot: u32, chunk: &Chunk<'_>, sink: &mut dyn Sink) {
        self.make_framing(slot);
        let Self { core, tape, framings, .. } = self;
        let Some(Some(framing)) = framings.get_mut(slot as usize) else { return };
        let Framing { reassembler, ndjson, base, .. } = &mut **framing;
        reassembler.push(chunk, &mut |segment| feed(core, ndjson, base, tape, slot, segment, sink));
        self.account(slot);
        self.tidy(slot, sink);
    }

    /// Position in a stream up to which its bytes are worked off: they are no part of a value that goes on.
    #[must_use]
    pub fn settled(&self, stream: StreamKey, epoch: Time) -> Option<u64> {
        let slot = self.core.find(&stream, epoch)?;
        let Framing { reassembler, ndjson, .. } = &**self.framings.get(slot as usize)?.as_ref()?;
        Some(reassembler.position().saturating_sub(ndjson.open_bytes()))
    }

    /// Takes the news that a process used an end of a stream. True where that was of a session: bytes that moved unseen
    /// are then told as its gap.
    pub fn touch(&mut self, touch: &Touch, sink: &mut dyn Sink) -> bool {
        self.core.counters.touches += 1;
        self.advance(touch.time, sink);
        let Some(slot) = self.admit(touch.stream, touch.epoch, touch.since_birth, sink) else { return false };
        self.core.used(slot, touch.end, touch.process, (touch.offset, touch.moved), sink);
        match (touch.end, touch.moved) {
            (End::Writer, 1..) => self.confirm(slot, touch.offset.saturating_add(touch.moved), sink),
            // Live, a writer that moves nothing may still be overtaken by what was before.
            (End::Writer, 0) if touch.offset > 0 && self.core.config.paced => self.begin_at(slot, touch.offset),
            _ => {}
        }
        let is_bound = self.core.is_bound(slot);
        if touch.unseen && is_bound {
            let Touch { time, stream, epoch, end, process, .. } = *touch;
            // A chunk without bytes tells of the hole before it, unless the other end's bytes still come.
            let offset = touch.offset.saturating_add(touch.moved);
            let hole = Chunk {
                time,
                stream,
                epoch,
                end,
                process,
                offset,
                loss: LossReasons::NO_BUFFER,
                packet_end: false,
                ahead: false,
                since_birth: false,
                bytes: &[],
            };
            self.order(slot, &hole, sink);
        }
        self.drain(sink);
        is_bound
    }

    /// Takes the news that bytes of a stream passed, from a recording that does not have them.
    pub fn passed(&mut self, passed: &Passed, sink: &mut dyn Sink) {
        self.core.counters.chunks += 1;
        self.core.counters.bytes += passed.length;
        self.advance(passed.time, sink);
        let Some(slot) = self.admit(passed.stream, passed.epoch, passed.since_birth, sink) else { return };
        self.core.used(slot, passed.end, passed.process, (passed.offset, passed.length), sink);
        if passed.length > 0 {
            self.core.probed(slot, passed.offset, sink);
        }
        self.drain(sink);
    }

    /// Takes a message that was framed when it was recorded. What is no JSON is a gap.
    pub fn framed(&mut self, framed: &Framed<'_>, sink: &mut dyn Sink) {
        self.advance(framed.time, sink);
        let Some(slot) = self.core.find(&framed.stream, framed.epoch) else { return };
        let Self { core, tape, .. } = self;
        match tape.parse(framed.bytes).ok().and_then(|_| tape.root(framed.bytes)) {
            Some(root) => core.recorded(slot, root, framed, sink),
            None => core.between(slot, Between::Gap(Some(framed.size), LossReasons::UNKNOWN), sink),
        }
        self.tidy(slot, sink);
    }

    /// Takes what was found between messages when it was recorded.
    pub fn between(&mut self, stream: StreamKey, epoch: Time, time: Time, what: Between, sink: &mut dyn Sink) {
        self.advance(time, sink);
        let Some(slot) = self.core.find(&stream, epoch) else { return };
        self.core.between(slot, what, sink);
        self.tidy(slot, sink);
    }

    /// Takes the news that a process has ended.
    pub fn exit(&mut self, process: ProcessId, time: Time, sink: &mut dyn Sink) {
        self.advance(time, sink);
        self.core.exited(process, time);
    }

    /// Takes the news that a process made another.
    pub fn fork(&mut self, parent: ProcessId, child: ProcessId, time: Time) {
        self.core.see(time);
        self.core.forked(parent, child);
    }

    /// Takes the news that a process replaced its program.
    pub fn exec(&mut self, process: ProcessId, time: Time) {
        self.core.see(time);
        self.core.leaves_family(process);
    }

    /// Takes the news that a stream has ended: nobody can write to it any more.
    pub fn close(&mut self, stream: StreamKey, epoch: Time, time: Time, sink: &mut dyn Sink) {
        self.advance(time, sink);
        if let Some(slot) = self.core.find(&stream, epoch) {
            self.core.closing.push_back(Closing::Stream(slot));
            self.drain(sink);
        }
    }

    /// Does what is due by now. Call it about as often as time passes, every 10 ms say: what waits is given out then.
    /// Of a time that is past only what streams held back is read: a recording has a stream once it is known what it is.
    pub fn tick(&mut self, now: Time, sink: &mut dyn Sink) {
        sink.sweeps(now);
        if now < self.core.now {
            self.core.stamp = now;
            self.settle(now, sink);
        } else {
            self.core.see(now);
            self.core.catch_up(sink);
            self.sweep(sink);
            if now >= self.next_purge {
                self.next_purge = now + 1_000_000_000;
                self.core.purge();
            }
        }
        self.drain(sink);
        sink.swept();
    }

    /// Ends everything: a recording is over, or the sensor stops.
    pub fn finish(&mut self, now: Time, sink: &mut dyn Sink) {
        self.core.see(now);
        self.core.catch_up(sink);
        let sessions: Vec<_> = self.core.sessions.iter().map(|(slot, _)| Closing::Session(slot, sweep::CLOSED)).collect();
        let streams: Vec<_> = self.core.streams.iter().map(|(slot, _)| Closing::Stream(slot)).collect();
        // What a stream still holds may make it MCP, so streams are read out first.
        for closing in &streams {
            if let Closing::Stream(slot) = *closing {
                self.read_out(slot, sink);
            }
        }
        self.core.closing.extend(sessions);
        self.core.closing.extend(streams);
        self.drain(sink);
    }

    /// What went in and came out so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.core.count()
    }

    /// The stream of a key, begun if it is new. `None` for news of a stream that another has replaced.
    ///
    /// Epoch 0 stands for whichever the stream has or will have: who holds it was found out before the kernel counted it.
    fn admit(&mut self, key: StreamKey, epoch: Time, since_birth: bool, sink: &mut dyn Sink) -> Option<u32> {
        match self.core.known(&key) {
            Some((slot, known)) if known == epoch || epoch == 0 => return Some(slot),
            Some((slot, 0)) => {
                self.core.adopt(slot, epoch);
                return Some(slot);
            }
            Some((_, known)) if known > epoch => {
                self.core.counters.stale += 1;
                return None;
            }
            Some((slot, _)) => {
                self.core.closing.push_back(Closing::Stream(slot));
                self.drain(sink);
                self.replace_reverse(&key, epoch, true, since_birth, sink);
            }
            None => self.replace_reverse(&key, epoch, false, since_birth, sink),
        }
        Some(self.core.begin(key, epoch))
    }

    /// A socket's or terminal's addresses came into use again: what is known of the other direction is of the one before,
    /// unless it has been begun anew, too. (Both directions of a new object begin within [`TOGETHER`] of each other, those
    /// that the kernel saw made within [`BORN`].) Where this direction was not known before and not seen made, that shows by
    /// everybody at an end of the other being dead.
    fn replace_reverse(&mut self, key: &StreamKey, epoch: Time, is_replaced: bool, since_birth: bool, sink: &mut dyn Sink) {
        let known = key.reverse().and_then(|reverse| self.core.known(&reverse));
        let Some((slot, begun)) = known else { return };
        let is_dead = || self.core.streams.get(slot).is_some_and(|stream| stream.readers.all_dead() || stream.writers.all_dead());
        let is_older = begun.saturating_add(TOGETHER) < epoch && (is_replaced || is_dead());
        if is_older || (since_birth && begun.saturating_add(BORN) < epoch) {
            self.core.closing.push_back(Closing::Stream(slot));
            self.drain(sink);
        }
    }

    /// Lets time pass, as the records tell it.
    fn advance(&mut self, time: Time, sink: &mut dyn Sink) {
        self.core.see(time);
        if !self.core.config.paced {
            if self.core.now >= self.next_sweep {
                sink.sweeps(self.core.now);
                self.sweep(sink);
                sink.swept();
            }
        } else if time == self.core.now {
            self.core.catch_up(sink);
        }
        self.core.stamp = time;
    }

    fn sweep(&mut self, sink: &mut dyn Sink) {
        self.next_sweep = self.core.now + SWEEP;
        self.settle(self.core.now, sink);
        self.core.due(sink);
        self.drain(sink);
    }

    /// Reads what streams have held back for long enough at a time.
    fn settle(&mut self, now: Time, sink: &mut dyn Sink) {
        let before = now.saturating_sub(REORDER);
        let Self { core, tape, framings, unsettled, .. } = self;
        unsettled.retain(|&slot| {
            let Some(Some(framing)) = framings.get_mut(slot as usize) else { return false };
            let Framing { reassembler, ndjson, base, .. } = &mut **framing;
            reassembler.settle(before, &mut |segment| feed(core, ndjson, base, tape, slot, segment, sink));
            framing.recount(core);
            framing.unsettled = framing.reassembler.buffered() > 0;
            framing.unsettled
        });
    }

    /// After a stream's bytes were taken: forgets what is not needed any more, and stays within the memory.
    fn tidy(&mut self, slot: u32, sink: &mut dyn Sink) {
        if self.core.streams.get(slot).is_none_or(|stream| matches!(stream.state, State::Ignored(_))) {
            self.drop_framing(slot);
        }
        self.drain(sink);
        if self.core.is_over_memory() {
            self.relieve(sink);
        }
    }

    /// Closes what was asked to be closed.
    fn drain(&mut self, sink: &mut dyn Sink) {
        while let Some(closing) = self.core.closing.pop_front() {
            match closing {
                Closing::Stream(slot) => {
                    self.read_out(slot, sink);
                    match self.core.ends_session(slot) {
                        Some(session) => self.end_session(session, sweep::CLOSED, sink),
                        None => self.core.detach(slot, sink),
                    }
                    self.core.forget(slot);
                    self.drop_framing(slot);
                }
                Closing::Session(session, why) => self.end_session(session, why, sink),
            }
        }
    }

    fn end_session(&mut self, session: u32, why: &'static str, sink: &mut dyn Sink) {
        let sides = self.core.sessions.get(session).map_or([None; 2], |record| record.sides);
        for slot in sides.into_iter().flatten() {
            self.read_out(slot, sink);
        }
        self.core.end_session(session, why, sink);
        for slot in sides.into_iter().flatten() {
            self.core.forget(slot);
            self.drop_framing(slot);
        }
    }

    /// Frames what a stream still holds: there will be no more of it.
    fn read_out(&mut self, slot: u32, sink: &mut dyn Sink) {
        let Self { core, tape, framings, .. } = self;
        let Some(Some(framing)) = framings.get_mut(slot as usize) else { return };
        let Framing { reassembler, ndjson, base, .. } = &mut **framing;
        reassembler.settle(Time::MAX, &mut |segment| feed(core, ndjson, base, tape, slot, segment, sink));
        let base = base.unwrap_or(0);
        ndjson.finish(tape, &mut |frame| core.frame(slot, base, frame, sink));
    }

    fn drop_framing(&mut self, slot: u32) {
        if let Some(framing) = self.framings.get_mut(slot as usize).and_then(Option::take) {
            self.core.framing_held -= framing.held;
        }
    }
}

impl Framing {
    fn new(message_bytes: usize) -> Self {
        Self {
            reassembler: Reassembler::new(),
            ndjson: Ndjson::new(Limits::with_message_bytes(message_bytes)),
            base: None,
            held: 0,
            unsettled: false,
        }
    }

    /// Counts anew what it holds.
    fn recount(&mut self, core: &mut Core) {
        let held = FRAMING + self.reassembler.buffered() + self.ndjson.buffered();
        core.framing_held = core.framing_held + held - std::mem::replace(&mut self.held, held);
    }
}

/// Takes a piece of a stream, in order, to its framer, and the values to the core.
fn feed(
    core: &mut Core,
    ndjson: &mut Ndjson,
    base: &mut Option<u64>,
    tape: &mut Tape,
    slot: u32,
    segment: Segment<'_>,
    sink: &mut dyn Sink,
) {
    // Bytes that come first stand where the stream was first seen; a gap that comes first counts from the beginning.
    let first = || if matches!(segment, Segment::Bytes(_)) { core.first_offset(slot) } else { 0 };
    let base = *base.get_or_insert_with(first);
    match segment {
        Segment::Bytes(bytes) => {
            core.sniff(slot, bytes);
            ndjson.push(bytes, tape, &mut |frame| core.frame(slot, base, frame, sink));
        }
        Segment::Gap { bytes, reasons } => ndjson.gap(Some(bytes), reasons, &mut |frame| core.frame(slot, base, frame, sink)),
        Segment::PacketEnd => ndjson.packet_end(tape, &mut |frame| core.frame(slot, base, frame, sink)),
    }
}
