//! Sliding windows: how often, and how much, over the last so many seconds, for each combination of some fields.
//!
//! A window slides by a sixteenth of its span at a time. What is remembered is bounded by bytes: beyond it the combinations
//! that were not touched for longest are forgotten, and counted.

use crate::input::Time;
use rustc_hash::FxHashMap;

/// Pieces that a window is made of.
const SLICES: u64 = 16;

/// Bytes of one combination, beside its slices: its key, its place in the map, its vector.
const ENTRY: usize = 72;

/// One piece of a window.
#[derive(Clone, Copy, Debug)]
struct Slice {
    number: u64,
    count: u64,
    sum: f64,
}

/// The counts of all combinations of one window.
#[derive(Debug)]
pub struct Counts {
    slice: Time,
    young: FxHashMap<u64, Vec<Slice>>,
    /// Those that were not touched since the young ones began; dropped when these are too many.
    old: FxHashMap<u64, Vec<Slice>>,
    young_bytes: usize,
    limit: usize,
    /// Combinations that were forgotten before their time.
    pub forgotten: u64,
    latest: u64,
}

impl Counts {
    /// Of a span in nanoseconds, within so many bytes.
    pub fn new(within: Time, limit: usize) -> Self {
        let slice = (within / SLICES).max(1);
        Self { slice, young: FxHashMap::default(), old: FxHashMap::default(), young_bytes: 0, limit, forgotten: 0, latest: 0 }
    }

    /// Counts one, and tells how many there are with it, and their sum.
    pub fn add(&mut self, key: u64, time: Time, amount: f64) -> (u64, f64) {
        let number = time / self.slice;
        self.latest = self.latest.max(number);
        let oldest = number.saturating_sub(SLICES - 1);
        let is_new = !self.young.contains_key(&key);
        let slices = self.young.entry(key).or_default();
        let before = if is_new { 0 } else { ENTRY + slices.len() * size_of::<Slice>() };
        if is_new && let Some(known) = self.old.remove(&key) {
            *slices = known;
        }
        slices.retain(|slice| slice.number >= oldest);
        match slices.iter_mut().find(|slice| slice.number == number) {
            Some(slice) => {
                slice.count += 1;
                slice.sum += amount;
            }
            None => slices.push(Slice { number, count: 1, sum: amount }),
        }
        // Slices of the future: records of two processors can be out of order by a little.
        let total = slices
            .iter()
            .filter(|slice| slice.number <= number)
            .fold((0, 0.0), |(count, sum), slice| (count + slice.count, sum + slice.sum));
        self.young_bytes = (self.young_bytes + ENTRY + slices.len() * size_of::<Slice>()).saturating_sub(before);
        if self.young_bytes > self.limit / 2 {
            self.turn();
        }
        total
    }

    /// How many there are, and their sum, without counting one.
    pub fn peek(&self, key: u64, time: Time) -> (u64, f64) {
        let number = time / self.slice;
        let alive = number.saturating_sub(SLICES - 1)..=number;
        let slices = self.young.get(&key).or_else(|| self.old.get(&key)).map(Vec::as_slice).unwrap_or_default();
        let alive = slices.iter().filter(|slice| alive.contains(&slice.number));
        alive.fold((0, 0.0), |(count, sum), slice| (count + slice.count, sum + slice.sum))
    }

    /// The young are the old from now on.
    fn turn(&mut self) {
        let alive = self.latest.saturating_sub(SLICES - 1);
        let dropped = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        self.forgotten += dropped.values().filter(|slices| slices.iter().any(|slice| slice.number >= alive)).count() as u64;
        self.young_bytes = 0;
    }

    /// Bytes held, roughly.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let of =
            |map: &FxHashMap<u64, Vec<Slice>>| map.values().map(|slices| ENTRY + slices.capacity() * size_of::<Slice>()).sum::<usize>();
        of(&self.young) + of(&self.old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Time = 1_000_000_000;

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut counts = Counts::new(16 * SECOND, 1 << 20);
        assert_eq!(counts.add(1, 100 * SECOND, 2.0), (1, 2.0));
        assert_eq!(counts.add(1, 107 * SECOND, 3.0), (2, 5.0));
        assert_eq!(counts.add(2, 107 * SECOND, 1.0), (1, 1.0));
        assert_eq!(counts.add(1, 115 * SECOND, 0.0), (3, 5.0));
        assert_eq!(counts.add(1, 117 * SECOND, 0.0), (3, 3.0));
        assert_eq!(counts.add(1, 1000 * SECOND, 0.0), (1, 0.0));
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_counted() {
        let limit = 1 << 20;
        let mut counts = Counts::new(60 * SECOND, limit);
        for key in 0..100_000 {
            counts.add(key, 5 * SECOND + key, 1.0);
            assert!(counts.bytes() <= limit * 3, "{}", counts.bytes());
        }
        assert!(counts.forgotten > 50_000, "{}", counts.forgotten);
        assert_eq!(counts.add(99_999, 6 * SECOND, 1.0).0, 2, "the latest are remembered");
    }

    proptest! {
        #[test]
        fn a_count_is_that_of_a_list_of_times(times in proptest::collection::vec(0_u64..200, 1..60)) {
            let mut times: Vec<u64> = times;
            times.sort_unstable();
            let mut counts = Counts::new(16 * SECOND, 1 << 20);
            for (at, &time) in times.iter().enumerate() {
                let expected = times[..=at].iter().filter(|&&other| other + 16 > time).count() as u64;
                prop_assert_eq!(counts.add(7, time * SECOND, 1.0).0, expected);
            }
        }
    }
}
