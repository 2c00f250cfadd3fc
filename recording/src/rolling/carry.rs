//! What the next file begins with of messages that are half there: a message that lies across two files is whole in the second.
//!
//! Where a message ends, whoever read the stream tells ([`Carry::settled`]); what comes behind that is held until it is settled too.
//!
//! Invariants: what is held is bounded; a message that is too much for that is told in the next file as a hole with its reason, and what
//! there is no room to tell of is counted ([`Carry::forgotten`]).

use crate::item::Item;
use rustc_hash::FxHashMap;
use sensor_core::input::{Chunk, LossReasons, Passed, StreamKey, Time};
use std::collections::VecDeque;

/// Streams of which it is known how far they are settled; beyond, those that wait for nothing are forgotten first.
const MAX_STREAMS: usize = 16 * 1024;
/// Memory that a chunk takes besides its bytes.
const OVERHEAD: usize = 192;
/// What may be held besides one message of the longest.
const MORE: usize = 4 << 20;

/// Bytes that wait for the end of their message.
struct Held {
    /// Order of arrival, of all streams.
    order: u64,
    passed: Passed,
    bytes: Box<[u8]>,
}

/// One stream.
#[derive(Default)]
struct Open {
    epoch: Time,
    /// What stands before this position is settled.
    settled: u64,
    chunks: VecDeque<Held>,
    /// What was given up begins with this chunk, and ends at this position. Its bytes are not here.
    given_up: Option<(Passed, u64)>,
}

impl Open {
    /// True where a message has begun that may go on.
    fn is_amid(&self) -> bool {
        !self.chunks.is_empty() || self.given_up.is_some()
    }

    fn size(&self) -> usize {
        self.chunks.iter().map(|held| held.bytes.len() + OVERHEAD).sum()
    }
}

/// See the module.
pub struct Carry {
    streams: FxHashMap<StreamKey, Open>,
    order: u64,
    held: usize,
    limit: usize,
    forgotten: u64,
}

impl Carry {
    /// Holds nothing; and never more than one message of this length and a little.
    pub fn new(message_bytes: u64) -> Self {
        let limit = usize::try_from(message_bytes).unwrap_or(usize::MAX).saturating_add(MORE);
        Self { streams: FxHashMap::default(), order: 0, held: 0, limit, forgotten: 0 }
    }

    /// Everything in a stream before a position has been said: it is no part of a message that goes on.
    pub fn settled(&mut self, stream: StreamKey, epoch: Time, position: u64) {
        let open = self.open(stream, epoch);
        if position <= open.settled {
            return;
        }
        open.settled = position;
        let (settled, before) = (position, open.size());
        open.chunks.retain_mut(|held| {
            let Passed { offset, length, .. } = held.passed;
            if offset.saturating_add(length) <= settled {
                return false;
            }
            if offset < settled {
                let (passed, bytes) = behind(&held.passed, &held.bytes, settled);
                (held.passed, held.bytes) = (passed, bytes.into());
            }
            true
        });
        open.given_up = open.given_up.filter(|&(_, until)| until > settled);
        let freed = before - open.size();
        self.held -= freed;
    }

    /// Takes a chunk that was recorded.
    pub fn learn(&mut self, item: &Item<'_>) {
        let Item::Chunk(chunk) = item else { return };
        let order = self.order;
        self.order += 1;
        let open = self.open(chunk.stream, chunk.epoch);
        let (passed, bytes) = behind(&chunk.into(), chunk.bytes, open.settled);
        let until = passed.offset.saturating_add(passed.length);
        if let Some((_, end)) = &mut open.given_up {
            *end = until.max(*end);
            return;
        }
        // Between two messages white space says nothing.
        if bytes.is_empty() || (open.chunks.is_empty() && bytes.iter().all(u8::is_ascii_whitespace)) {
            return;
        }
        open.chunks.push_back(Held { order, passed, bytes: bytes.into() });
        self.held += bytes.len() + OVERHEAD;
        while self.held > self.limit {
            self.give_up_the_largest();
        }
    }

    fn open(&mut self, stream: StreamKey, epoch: Time) -> &mut Open {
        if self.streams.len() >= MAX_STREAMS && !self.streams.contains_key(&stream) {
            self.make_room();
        }
        let open = self.streams.entry(stream).or_default();
        if epoch > open.epoch {
            // The key is another stream's now; one without an epoch was there before anybody counted.
            if open.epoch != 0 {
                self.held -= open.size();
                *open = Open::default();
            }
            open.epoch = epoch;
        }
        open
    }

    /// Streams that were forgotten amid a message: where it goes on in another file, neither has it whole, and none says so.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Forgets the streams that wait for nothing; where that is not enough, the half that waits longest.
    fn make_room(&mut self) {
        self.streams.retain(|_, open| open.is_amid());
        let before = self.streams.len();
        if self.streams.len() > MAX_STREAMS / 2 {
            let last = |open: &Open| open.chunks.back().map_or(0, |held| held.order);
            let mut orders: Vec<u64> = self.streams.values().map(last).collect();
            orders.sort_unstable();
            let middle = orders.get(orders.len() / 2).copied().unwrap_or(0);
            self.streams.retain(|_, open| last(open) > middle);
        }
        self.forgotten += (before - self.streams.len()) as u64;
        self.held = self.streams.values().map(Open::size).sum();
    }

    fn give_up_the_largest(&mut self) {
        let Some(open) = self.streams.values_mut().max_by_key(|open| open.size()) else { return };
        self.held -= open.size();
        let until = open.chunks.iter().map(|held| held.passed.offset.saturating_add(held.passed.length)).max();
        let first = std::mem::take(&mut open.chunks).into_iter().min_by_key(|held| held.passed.offset);
        open.given_up = first.zip(until).map(|(held, until)| (held.passed, until));
    }

    /// Forgets streams that nobody uses any more: their messages will not go on.
    pub fn keep(&mut self, mut is_used: impl FnMut(&StreamKey, Time) -> bool) {
        self.streams.retain(|stream, open| is_used(stream, open.epoch));
        self.held = self.streams.values().map(Open::size).sum();
    }

    /// Where a stream goes on in the next file: before what is held of it.
    pub fn begin(&self, stream: &StreamKey, epoch: Time) -> Option<u64> {
        let open = self.streams.get(stream).filter(|open| open.epoch == epoch)?;
        let held = open.chunks.iter().map(|held| held.passed.offset).min();
        held.or(open.given_up.map(|(first, _)| first.offset))
    }

    /// The items that are written again, in the order in which they came. What was given up is a chunk without bytes behind a hole.
    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let lost = self.streams.values().filter_map(|open| {
            let (first, until) = open.given_up?;
            Some(Item::Chunk(Chunk { offset: until, loss: first.loss.union(LossReasons::MEMORY), packet_end: false, ..chunk(&first, &[]) }))
        });
        let mut held: Vec<&Held> = self.streams.values().flat_map(|open| &open.chunks).collect();
        held.sort_unstable_by_key(|held| held.order);
        lost.chain(held.into_iter().map(|held| Item::Chunk(chunk(&held.passed, &held.bytes))))
    }
}

/// What of a chunk stands behind a position.
fn behind<'b>(passed: &Passed, bytes: &'b [u8], position: u64) -> (Passed, &'b [u8]) {
    let cut = usize::try_from(position.saturating_sub(passed.offset)).unwrap_or(usize::MAX).min(bytes.len());
    let rest = bytes.get(cut..).unwrap_or_default();
    (Passed { offset: passed.offset.saturating_add(cut as u64), length: rest.len() as u64, ..*passed }, rest)
}

fn chunk<'b>(passed: &Passed, bytes: &'b [u8]) -> Chunk<'b> {
    let Passed { time, stream, epoch, end, process, offset, loss, packet_end, ahead, since_birth, length: _ } = *passed;
    Chunk { time, stream, epoch, end, process, offset, loss, packet_end, ahead, since_birth, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sensor_core::input::{End, ProcessId};

    const PIPE: StreamKey = StreamKey::Pipe { device: 1, inode: 7, address: 1 };

    fn piece(stream: StreamKey, epoch: Time, offset: u64, bytes: &[u8]) -> Item<'_> {
        let process = ProcessId { pid: 1, start_time: 1 };
        let (end, loss) = (End::Writer, LossReasons::default());
        let plain =
            Chunk { time: offset, stream, epoch, end, process, offset, loss, packet_end: false, ahead: false, since_birth: true, bytes };
        Item::Chunk(plain)
    }

    fn carried(carry: &Carry) -> Vec<(u64, String, u8)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        carry
            .items()
            .map(|item| if let Item::Chunk(chunk) = item { (chunk.offset, text(chunk.bytes), chunk.loss.0) } else { panic!() })
            .collect()
    }

    #[test]
    fn what_is_not_settled_is_carried_and_nothing_else() {
        let mut carry = Carry::new(1000);
        carry.settled(PIPE, 5, 7);
        carry.learn(&piece(PIPE, 5, 0, b"{\"a\":1}\n"));
        assert_eq!((carried(&carry), carry.begin(&PIPE, 5)), (vec![], None));
        carry.learn(&piece(PIPE, 5, 8, b"{\"b\""));
        carry.learn(&piece(PIPE, 5, 12, b":2}\n{"));
        assert_eq!(carry.begin(&PIPE, 5), Some(8));
        carry.settled(PIPE, 5, 15);
        assert_eq!(carried(&carry), [(15, "\n{".to_owned(), 0)]);
        // Another stream has the key.
        carry.learn(&piece(PIPE, 9, 0, b"["));
        assert_eq!(carried(&carry), [(0, "[".to_owned(), 0)]);
        carry.keep(|_, _| false);
        assert_eq!((carried(&carry), carry.held), (vec![], 0));
    }

    #[test]
    fn what_is_too_much_is_given_up_and_told() {
        let mut carry = Carry::new(1 << 20);
        let other = StreamKey::Pipe { device: 1, inode: 8, address: 1 };
        let bytes = vec![b'x'; 1 << 20];
        carry.learn(&piece(other, 5, 3, b"{"));
        for index in 0..9 {
            carry.learn(&piece(PIPE, 5, index << 20, &bytes));
            assert!(carry.held <= carry.limit, "{}", carry.held);
        }
        let lost = (9 << 20, String::new(), LossReasons::MEMORY.0);
        assert_eq!(carried(&carry), [lost, (3, "{".to_owned(), 0)]);
        assert_eq!(carry.begin(&PIPE, 5), Some(0));
        carry.settled(PIPE, 5, 9 << 20);
        carry.learn(&piece(PIPE, 5, 9 << 20, b"{"));
        assert_eq!(carried(&carry), [(3, "{".to_owned(), 0), (9 << 20, "{".to_owned(), 0)]);
    }

    #[test]
    fn a_million_streams_stay_bounded() {
        let mut carry = Carry::new(1 << 20);
        for inode in 0..100_000 {
            carry.learn(&piece(StreamKey::Pipe { device: 1, inode, address: 1 }, 5, 0, b"{"));
            assert!(carry.streams.len() <= MAX_STREAMS);
        }
        assert_eq!(carry.streams.len() as u64 + carry.forgotten(), 100_000);
        // Of those that wait for nothing, none is missed.
        let forgotten = carry.forgotten();
        for inode in 0..100_000 {
            carry.settled(StreamKey::Pipe { device: 2, inode, address: 1 }, 5, 1);
        }
        assert!(carry.forgotten() - forgotten <= MAX_STREAMS as u64 / 2 && carry.streams.len() <= MAX_STREAMS);
    }
}
