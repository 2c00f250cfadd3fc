//! Order: from the chunks of both ends of a stream to its bytes, each once and in order, with what is missing told.
//!
//! Chunks come out of one ring, but from several CPUs and from either end of the stream, so they come late, twice and
//! overlapping. Each says at which position of the stream it stands, and both ends count from the same beginning: that
//! alone orders them. Nothing is compared or hashed, so equal bytes are never taken for repeated ones.
//!
//! Invariants:
//! - A position is told once: as part of [`Segment::Bytes`], or of [`Segment::Gap`], in order.
//! - A chunk that is in order costs no copy. One that is ahead is copied and waits.
//! - What waits never takes more than [`WAITING_BYTES`]. Over that the first hole is declared at once.
//! - What the reader's end showed ahead of the writer's counts only where the writer's end shows nothing for that place.
//! - A hole is a gap only once it has been given time ([`Reassembler::settle`]): the other CPU or the other end may fill it.
//!
//! Bias: late rather than wrong. The first chunk of all may stand at a position that is not 0, because the sensor came
//! late or because an earlier chunk comes later (the first message of a session!). So it waits like any other; what is
//! missing before it is a gap only if the chunk itself says that something was lost.

#[cfg(test)]
mod tests;

use crate::input::{Chunk, LossReasons, Time};
use std::collections::BTreeMap;

/// Bytes of memory that may wait for what stands before them, in one stream.
pub const WAITING_BYTES: usize = 32 << 20;

/// Memory that a waiting chunk takes besides its bytes.
const OVERHEAD: usize = 128;

/// A piece of the stream, in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Segment<'a> {
    /// The bytes that follow.
    Bytes(&'a [u8]),
    /// Bytes are missing here.
    Gap {
        /// How many.
        bytes: u64,
        /// Why.
        reasons: LossReasons,
    },
    /// A packet ends here (`SOCK_SEQPACKET`).
    PacketEnd,
}

/// Takes the pieces.
type Out<'o> = dyn FnMut(Segment<'_>) + 'o;

/// A chunk that waits for what stands before it.
#[derive(Debug)]
struct Waiting {
    time: Time,
    loss: LossReasons,
    packet_end: bool,
    bytes: Vec<u8>,
}

/// The order of one stream (one key, one epoch).
#[derive(Debug)]
pub struct Reassembler {
    /// Position of the next byte to tell. Before the first byte: 0, if not `began`.
    next: u64,
    /// A byte or a gap has been told.
    began: bool,
    waiting: BTreeMap<u64, Waiting>,
    /// What the reader's end showed before the writer's had counted it, by position. It is used where the writer's end says
    /// that it did not take it, or says nothing for long.
    ahead: BTreeMap<u64, Waiting>,
    /// Memory of `waiting` and `ahead`.
    held: usize,
    /// No waiting chunk is older than this.
    oldest: Time,
    /// The same of those ahead.
    oldest_ahead: Time,
    limit: usize,
}

impl Default for Reassembler {
    fn default() -> Self {
        Self::new()
    }
}

impl Reassembler {
    /// The order of a stream of which nothing has been seen.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(WAITING_BYTES)
    }

    /// With another limit than [`WAITING_BYTES`].
    #[must_use]
    pub const fn with_limit(limit: usize) -> Self {
        Self {
            next: 0,
            began: false,
            waiting: BTreeMap::new(),
            ahead: BTreeMap::new(),
            held: 0,
            oldest: Time::MAX,
            oldest_ahead: Time::MAX,
            limit,
        }
    }

    /// Bytes of memory that wait.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.held
    }

    /// Position up to which everything was told.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.next
    }

    /// Time of the oldest chunk that waits; `None` where none does, and [`Self::settle`] has nothing to do.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Time> {
        (!self.waiting.is_empty() || !self.ahead.is_empty()).then_some(self.oldest.min(self.oldest_ahead))
    }

    /// What comes before a position is not to be waited for: it is in another recording. Does nothing once something has come.
    pub fn begin_at(&mut self, position: u64) {
        if !self.began && self.waiting.is_empty() && self.ahead.is_empty() {
            self.next = position;
            self.began = position > 0;
        }
    }

    /// Another chunk of this stream, from either end.
    pub fn push(&mut self, chunk: &Chunk<'_>, out: &mut Out<'_>) {
        if chunk.ahead {
            self.put_ahead(chunk);
        } else {
            let &Chunk { time, offset, loss, packet_end, bytes, .. } = chunk;
            if offset <= self.next {
                self.tell(offset, bytes, packet_end, out);
                self.tell_waiting(out);
            } else {
                self.wait(offset, Waiting { time, loss, packet_end, bytes: bytes.to_vec() });
            }
            self.drop_ahead();
        }
        while self.held > self.limit && (self.use_ahead(u64::MAX, Time::MAX, out) || self.declare_gap(out)) {}
    }

    /// The writer's end has counted the bytes before a position and taken none of them: what the reader's showed is right.
    pub fn confirm(&mut self, until: u64, out: &mut Out<'_>) {
        self.use_ahead(until, Time::MAX, out);
    }

    /// Keeps a chunk of the reader's end until the writer's is known. Of two at the same position the longer one stays.
    fn put_ahead(&mut self, chunk: &Chunk<'_>) {
        let &Chunk { time, offset, loss, packet_end, bytes, .. } = chunk;
        if offset.saturating_add(bytes.len() as u64) <= self.next {
            return;
        }
        if self.ahead.get(&offset).is_some_and(|earlier| earlier.bytes.len() >= bytes.len()) {
            return;
        }
        self.oldest_ahead = self.oldest_ahead.min(time);
        self.held += bytes.len() + OVERHEAD;
        if let Some(shorter) = self.ahead.insert(offset, Waiting { time, loss, packet_end, bytes: bytes.to_vec() }) {
            self.held -= shorter.bytes.len() + OVERHEAD;
        }
    }

    /// Forgets what is ahead no more.
    fn drop_ahead(&mut self) {
        while let Some(first) = self.ahead.first_entry()
            && first.key().saturating_add(first.get().bytes.len() as u64) <= self.next
        {
            self.held -= first.remove().bytes.len() + OVERHEAD;
        }
        if self.ahead.is_empty() {
            self.oldest_ahead = Time::MAX;
        }
    }

    /// Takes what is ahead, begins before a position and came before a time, for right. False where there is none.
    fn use_ahead(&mut self, until: u64, before: Time, out: &mut Out<'_>) -> bool {
        if self.oldest_ahead >= before && before != Time::MAX {
            return false;
        }
        let due: Vec<u64> = self.ahead.range(..until).filter(|(_, chunk)| chunk.time < before).map(|(&offset, _)| offset).collect();
        for &offset in &due {
            let Some(chunk) = self.ahead.remove(&offset) else { continue };
            self.held -= chunk.bytes.len() + OVERHEAD;
            if offset <= self.next {
                self.tell(offset, &chunk.bytes, chunk.packet_end, out);
                self.tell_waiting(out);
            } else {
                self.wait(offset, chunk);
            }
        }
        self.drop_ahead();
        self.oldest_ahead = self.ahead.values().map(|chunk| chunk.time).min().unwrap_or(Time::MAX);
        !due.is_empty()
    }

    /// Declares as gaps what is still missing before bytes that came earlier than `before`.
    pub fn settle(&mut self, before: Time, out: &mut Out<'_>) {
        self.use_ahead(u64::MAX, before, out);
        if self.oldest >= before || self.waiting.is_empty() {
            return;
        }
        let due = self.waiting.iter().rfind(|(_, waiting)| waiting.time < before).map(|(&offset, _)| offset);
        // Before a hole is declared, whatever may fill it counts.
        self.use_ahead(due.unwrap_or(0), Time::MAX, out);
        while let Some((&first, _)) = self.waiting.first_key_value()
            && due.is_some_and(|due| first <= due)
        {
            self.declare_gap(out);
        }
        self.oldest = self.waiting.values().map(|waiting| waiting.time).min().unwrap_or(Time::MAX);
    }

    /// Tells the bytes of a chunk that begins at `offset`, not beyond `next`, as far as they have not been told.
    fn tell(&mut self, offset: u64, bytes: &[u8], packet_end: bool, out: &mut Out<'_>) {
        let told = usize::try_from(self.next.saturating_sub(offset)).unwrap_or(usize::MAX);
        let Some(new) = bytes.get(told..).filter(|new| !new.is_empty()) else { return };
        self.began = true;
        self.next = self.next.saturating_add(new.len() as u64);
        out(Segment::Bytes(new));
        if packet_end {
            out(Segment::PacketEnd);
        }
    }

    /// Tells what waited and is in order now.
    fn tell_waiting(&mut self, out: &mut Out<'_>) {
        while let Some(first) = self.waiting.first_entry()
            && *first.key() <= self.next
        {
            let (offset, Waiting { bytes, packet_end, .. }) = first.remove_entry();
            self.held -= bytes.len() + OVERHEAD;
            self.tell(offset, &bytes, packet_end, out);
        }
        if self.waiting.is_empty() {
            self.oldest = Time::MAX;
        }
    }

    /// Keeps a chunk whose bytes stand behind a hole. Of two at the same position the longer one stays.
    fn wait(&mut self, offset: u64, chunk: Waiting) {
        self.oldest = self.oldest.min(chunk.time);
        if let Some((&start, earlier)) = self.waiting.range_mut(..=offset).next_back() {
            let earlier_end = start.saturating_add(earlier.bytes.len() as u64);
            let end = offset.saturating_add(chunk.bytes.len() as u64);
            if start == offset {
                earlier.loss = earlier.loss.union(chunk.loss);
            }
            let covered = earlier_end >= end && (start == offset || !chunk.bytes.is_empty());
            if covered {
                return;
            }
            if start == offset {
                self.held += chunk.bytes.len() - earlier.bytes.len();
                earlier.bytes = chunk.bytes;
                earlier.packet_end = chunk.packet_end;
                return;
            }
        }
        self.held += chunk.bytes.len() + OVERHEAD;
        self.waiting.insert(offset, chunk);
    }

    /// Declares the first hole a gap and tells what follows it. False where nothing waits.
    fn declare_gap(&mut self, out: &mut Out<'_>) -> bool {
        let Some((&offset, first)) = self.waiting.first_key_value() else { return false };
        let bytes = offset.saturating_sub(self.next);
        let reasons = if first.loss.is_empty() { LossReasons::UNKNOWN } else { first.loss };
        // Before the first byte of all, only what is said to be lost is missing.
        if bytes > 0 && (self.began || !first.loss.is_empty()) {
            out(Segment::Gap { bytes, reasons });
        }
        self.began = true;
        self.next = offset;
        self.tell_waiting(out);
        true
    }
}
