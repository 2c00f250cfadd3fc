//! How long to wait before the next attempt: exponential, with full jitter, so that a fleet of sensors does not come back
//! all at once.
//!
//! Invariant: a wait is between zero and the smaller of `max` and `min` doubled once for each failure before.

use std::time::Duration;

/// Counts failures.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// No failure yet. The first wait is at most `min`, none is longer than `max`.
    #[must_use]
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0 }
    }

    /// One more failure: how long to wait. `random` is any number, all equally likely.
    pub fn next(&mut self, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let ceiling = self.min.saturating_mul(factor).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let nanoseconds = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(random % nanoseconds.saturating_add(1))
    }

    /// It works again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new(MIN, MAX);
        // The greatest wait: a random number that is the ceiling itself.
        for ceiling in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let ceiling = Duration::from_millis(ceiling);
            let random = u64::try_from(ceiling.as_nanos()).unwrap();
            assert_eq!(backoff.next(random), ceiling);
        }
        for _ in 0..100 {
            assert!(backoff.next(u64::MAX) <= MAX);
        }
        backoff.reset();
        assert!(backoff.next(u64::MAX - 7) <= MIN);
    }

    #[test]
    fn any_time_below_is_possible() {
        assert_eq!(Backoff::new(MIN, MAX).next(0), Duration::ZERO);
        assert_eq!(Backoff::new(MIN, MAX).next(17), Duration::from_nanos(17));
        assert_eq!(Backoff::new(Duration::ZERO, Duration::ZERO).next(u64::MAX), Duration::ZERO);
    }
}
