//! What is held in memory until it is known whether its session is to be recorded.
//!
//! Invariants: never more than the limit, and nothing older than the patience: the oldest of all goes first. What went for want of
//! room of a stream that is recorded then is counted; of one that is no MCP it is not.

use super::Owned;
use recording::Item;
use rustc_hash::FxHashMap;
use sensor_core::input::{StreamKey, Time};
use std::collections::VecDeque;

/// Streams of which it is remembered what went; what goes of more than these counts as lost at once.
const OVERFLOWED: usize = 16 * 1024;

/// One that is held.
struct Entry {
    order: u64,
    size: usize,
    item: Owned,
}

/// See the module.
pub struct Held {
    limit: usize,
    patience: Option<Time>,
    streams: FxHashMap<StreamKey, VecDeque<Entry>>,
    /// Every one, oldest first; also some that are held no more.
    ages: VecDeque<(Time, u64, StreamKey)>,
    order: u64,
    bytes: usize,
    /// What went of streams for want of room, while it is not known whether they are to be recorded.
    overflowed: FxHashMap<StreamKey, Overflow>,
    /// What went of streams that are.
    lost: Overflow,
}

/// Items that went for want of room, and the bytes of their payload.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Overflow {
    /// How many.
    pub items: u64,
    /// Bytes of payload in them.
    pub bytes: u64,
}

impl Overflow {
    const fn add(&mut self, other: Self) {
        self.items += other.items;
        self.bytes += other.bytes;
    }
}

impl Held {
    /// Nothing held.
    pub fn new(limit: usize, patience: Option<Time>) -> Self {
        Self {
            limit,
            patience,
            streams: FxHashMap::default(),
            ages: VecDeque::new(),
            order: 0,
            bytes: 0,
            overflowed: FxHashMap::default(),
            lost: Overflow::default(),
        }
    }

    /// Holds an item of a stream.
    pub fn push(&mut self, stream: StreamKey, time: Time, item: Owned) {
        let (order, size) = (self.number(), item.size() + size_of::<Entry>() + size_of::<(Time, u64, StreamKey)>());
        self.bytes += size;
        self.streams.entry(stream).or_default().push_back(Entry { order, size, item });
        self.ages.push_back((time, order, stream));
        while self.bytes > self.limit {
            let Some(dropped) = self.drop_oldest() else { break };
            if let Some((stream, bytes)) = dropped {
                let is_known = self.overflowed.len() < OVERFLOWED || self.overflowed.contains_key(&stream);
                let of = if is_known { self.overflowed.entry(stream).or_default() } else { &mut self.lost };
                of.add(Overflow { items: 1, bytes });
            }
        }
        // Those that are held no more must not pile up.
        if self.ages.len() > 64 && self.ages.len() > 2 * self.streams.values().map(VecDeque::len).sum::<usize>() {
            let Self { ages, streams, .. } = self;
            ages.retain(|(_, order, stream)| {
                streams.get(stream).is_some_and(|queue| queue.front().is_some_and(|front| front.order <= *order))
            });
        }
    }

    /// Holds with a stream what time brought about in it, where that is behind all that is held of it, or behind the item `until`.
    pub fn sweep(&mut self, stream: StreamKey, time: Time, until: u64) {
        let Some(last) = self.streams.get(&stream).and_then(VecDeque::back) else { return };
        if last.order <= until && !last.item.is_tick(time) {
            self.push(stream, time, Owned::of(&Item::Tick { time }));
        }
    }

    /// Drops what is older than it may be.
    pub fn age(&mut self, now: Time) {
        let Some(patience) = self.patience else { return };
        while self.ages.front().is_some_and(|(time, ..)| time.saturating_add(patience) < now) {
            if self.drop_oldest().is_none() {
                break;
            }
        }
    }

    /// Drops the oldest; gives its stream and the bytes of its payload, nothing where it was held no more.
    fn drop_oldest(&mut self) -> Option<Option<(StreamKey, u64)>> {
        let (_, order, stream) = self.ages.pop_front()?;
        let Some(queue) = self.streams.get_mut(&stream) else { return Some(None) };
        let Some(Entry { size, item, .. }) = queue.pop_front_if(|front| front.order == order) else { return Some(None) };
        if queue.is_empty() {
            self.streams.remove(&stream);
        }
        self.bytes -= size;
        Some((!item.is_tick(0)).then(|| (stream, item.payload())))
    }

    /// Forgets what is held of a stream: it is not to be recorded.
    pub fn forget(&mut self, stream: &StreamKey) {
        self.overflowed.remove(stream);
        if let Some(queue) = self.streams.remove(stream) {
            self.bytes -= queue.iter().map(|entry| entry.size).sum::<usize>();
        }
    }

    /// A number for what is not held, but has its place among what is.
    pub const fn number(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// The number of what came last.
    pub const fn newest(&self) -> u64 {
        self.order
    }

    /// Takes what is held of these streams, with its numbers, in the order in which it came: they are to be recorded.
    pub fn take(&mut self, streams: &[StreamKey]) -> Vec<(u64, Owned)> {
        let Self { overflowed, lost, .. } = self;
        for overflow in streams.iter().filter_map(|stream| overflowed.remove(stream)) {
            lost.add(overflow);
        }
        let mut taken: Vec<Entry> = streams.iter().filter_map(|stream| self.streams.remove(stream)).flatten().collect();
        self.bytes -= taken.iter().map(|entry| entry.size).sum::<usize>();
        taken.sort_unstable_by_key(|entry| entry.order);
        taken.into_iter().map(|entry| (entry.order, entry.item)).collect()
    }

    /// What went so far for want of room of streams that were to be recorded.
    pub const fn lost(&self) -> Overflow {
        self.lost
    }

    #[cfg(test)]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sensor_core::input::{End, LossReasons, Passed, ProcessId};

    fn stream(inode: u64) -> StreamKey {
        StreamKey::Pipe { device: 1, inode, address: 1 }
    }

    fn tick(time: Time) -> Owned {
        Owned::of(&Item::Tick { time })
    }

    fn times(items: &[(u64, Owned)]) -> Vec<Time> {
        items.iter().filter_map(|(_, item)| item.lend().time()).collect()
    }

    #[test]
    fn what_is_taken_comes_in_the_order_of_its_coming() {
        let mut held = Held::new(1 << 20, None);
        for time in 0..10 {
            held.push(stream(time % 3), time, tick(time));
        }
        assert_eq!(times(&held.take(&[stream(2), stream(0)])), [0, 2, 3, 5, 6, 8, 9]);
        assert_eq!(times(&held.take(&[stream(0)])), [0; 0]);
        held.forget(&stream(1));
        assert_eq!((held.bytes(), held.lost()), (0, Overflow::default()));
    }

    #[test]
    fn the_oldest_go_first_for_room_and_for_age() {
        let mut held = Held::new(8192, Some(100));
        for time in 0..1000 {
            held.push(stream(time % 7), time, tick(time));
            assert!(held.bytes() <= 8192);
        }
        held.age(1097);
        let all: Vec<StreamKey> = (0..7).map(stream).collect();
        assert_eq!(times(&held.take(&all)), [997, 998, 999]);
        assert_eq!(held.bytes(), 0);
    }

    #[test]
    fn what_goes_for_room_is_lost_where_its_stream_is_recorded_and_what_goes_for_age_is_not() {
        let chunk = |time| {
            let passed = Passed {
                time,
                stream: stream(1),
                epoch: 0,
                end: End::Writer,
                process: ProcessId { pid: 1, start_time: 1 },
                offset: 0,
                loss: LossReasons::default(),
                packet_end: false,
                ahead: false,
                since_birth: true,
                length: 100,
            };
            Owned::Chunk(passed, [0; 100].into())
        };
        let mut held = Held::new(8192, Some(100));
        for time in 0..100 {
            held.push(stream(time % 2), time, chunk(time));
        }
        let left = held.take(&[stream(0)]).len() as u64;
        assert_eq!(held.lost(), Overflow { items: 50 - left, bytes: 100 * (50 - left) });
        assert!((1..50).contains(&left));
        held.forget(&stream(1));
        held.take(&[stream(0), stream(1)]);
        assert_eq!(held.lost().items, 50 - left, "no MCP");
        held.push(stream(3), 200, chunk(200));
        held.age(400);
        assert_eq!((held.take(&[stream(3)]).len(), held.lost().items), (0, 50 - left));
        // More streams than are remembered: what goes of them is told, not hidden.
        for inode in 0..20_000 {
            held.push(stream(10 + inode), 500, chunk(500));
        }
        assert!(held.overflowed.len() <= OVERFLOWED && held.lost().items > 1000, "{:?}", held.lost());
    }

    #[test]
    fn a_million_streams_that_are_forgotten_leave_nothing() {
        let mut held = Held::new(1 << 20, None);
        for time in 0..100_000 {
            held.push(stream(time), time, tick(time));
            held.forget(&stream(time));
        }
        assert!(held.bytes() == 0 && held.ages.len() <= 128, "{}", held.ages.len());
    }
}
