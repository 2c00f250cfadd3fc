//! What is held in memory until it is known whether its session is to be recorded.
//!
//! Invariant: never more than the limit, and nothing older than the patience: the oldest of all goes first.

use super::Owned;
use rustc_hash::FxHashMap;
use sensor_core::input::{StreamKey, Time};
use std::collections::VecDeque;

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
    /// Bytes that went because there was no room.
    overflowed: u64,
}

impl Held {
    /// Nothing held.
    pub fn new(limit: usize, patience: Option<Time>) -> Self {
        Self { limit, patience, streams: FxHashMap::default(), ages: VecDeque::new(), order: 0, bytes: 0, overflowed: 0 }
    }

    /// Holds an item of a stream.
    pub fn push(&mut self, stream: StreamKey, time: Time, item: Owned) {
        self.order += 1;
        let (order, size) = (self.order, item.size() + size_of::<Entry>() + size_of::<(Time, u64, StreamKey)>());
        self.bytes += size;
        self.streams.entry(stream).or_default().push_back(Entry { order, size, item });
        self.ages.push_back((time, order, stream));
        while self.bytes > self.limit {
            let Some(size) = self.drop_oldest() else { break };
            self.overflowed += size as u64;
        }
        // Those that are held no more must not pile up.
        if self.ages.len() > 64 && self.ages.len() > 2 * self.streams.values().map(VecDeque::len).sum::<usize>() {
            let Self { ages, streams, .. } = self;
            ages.retain(|(_, order, stream)| {
                streams.get(stream).is_some_and(|queue| queue.front().is_some_and(|front| front.order <= *order))
            });
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

    /// Drops the oldest; gives its size, 0 where it was held no more.
    fn drop_oldest(&mut self) -> Option<usize> {
        let (_, order, stream) = self.ages.pop_front()?;
        let Some(queue) = self.streams.get_mut(&stream) else { return Some(0) };
        if queue.front().is_none_or(|front| front.order != order) {
            return Some(0);
        }
        let size = queue.pop_front().map_or(0, |entry| entry.size);
        if queue.is_empty() {
            self.streams.remove(&stream);
        }
        self.bytes -= size;
        Some(size)
    }

    /// Forgets what is held of a stream.
    pub fn forget(&mut self, stream: &StreamKey) {
        if let Some(queue) = self.streams.remove(stream) {
            self.bytes -= queue.iter().map(|entry| entry.size).sum::<usize>();
        }
    }

    /// Takes what is held of these streams, in the order in which it came.
    pub fn take(&mut self, streams: &[StreamKey]) -> Vec<Owned> {
        let mut taken: Vec<Entry> = streams.iter().filter_map(|stream| self.streams.remove(stream)).flatten().collect();
        self.bytes -= taken.iter().map(|entry| entry.size).sum::<usize>();
        taken.sort_unstable_by_key(|entry| entry.order);
        taken.into_iter().map(|entry| entry.item).collect()
    }

    /// Bytes that had to go for want of room since the last call.
    pub fn take_overflowed(&mut self) -> u64 {
        std::mem::take(&mut self.overflowed)
    }

    #[cfg(test)]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recording::Item;

    fn stream(inode: u64) -> StreamKey {
        StreamKey::Pipe { device: 1, inode, address: 1 }
    }

    fn tick(time: Time) -> Owned {
        Owned::of(&Item::Tick { time })
    }

    fn times(items: &[Owned]) -> Vec<Time> {
        items.iter().filter_map(|item| item.lend().time()).collect()
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
        assert_eq!((held.bytes(), held.take_overflowed()), (0, 0));
    }

    #[test]
    fn the_oldest_go_first_for_room_and_for_age() {
        let mut held = Held::new(8192, Some(100));
        for time in 0..1000 {
            held.push(stream(time % 7), time, tick(time));
            assert!(held.bytes() <= 8192);
        }
        assert!(held.take_overflowed() > 0);
        held.age(1097);
        let all: Vec<StreamKey> = (0..7).map(stream).collect();
        assert_eq!(times(&held.take(&all)), [997, 998, 999]);
        assert_eq!(held.bytes(), 0);
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
