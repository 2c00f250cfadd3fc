//! How many actions a minute there may be on this host.

use std::time::Instant;

/// Nanoseconds in a minute.
const MINUTE: u128 = 60_000_000_000;

/// A bucket of tokens: it holds as many as there may be in a minute, and is filled evenly.
#[derive(Debug)]
pub struct Limit {
    per_minute: u32,
    /// What is in it, in parts of a token: a minute's nanoseconds make one for each action a minute.
    filled: u128,
    at: Option<Instant>,
    /// Actions that were refused since the start.
    pub refused: u64,
}

impl Limit {
    /// A full one.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute, filled: u128::from(per_minute) * MINUTE, at: None, refused: 0 }
    }

    /// Another size from now on.
    pub fn set(&mut self, per_minute: u32) {
        self.per_minute = per_minute;
        self.filled = self.filled.min(u128::from(per_minute) * MINUTE);
    }

    /// The actions that there may be in a minute.
    #[must_use]
    pub const fn per_minute(&self) -> u32 {
        self.per_minute
    }

    /// Takes a token; false where there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed = self.at.map_or(0, |at| now.saturating_duration_since(at).as_nanos());
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
        let per_minute = u128::from(self.per_minute);
        self.filled = (self.filled + passed.saturating_mul(per_minute)).min(per_minute * MINUTE);
        if self.filled < MINUTE {
            self.refused += 1;
            return false;
        }
        self.filled -= MINUTE;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_storm_gets_a_minutes_worth_and_then_one_at_a_time() {
        let (mut limit, begin) = (Limit::new(30), Instant::now());
        let at_once = (0..10_000).filter(|_| limit.take(begin)).count();
        assert_eq!((at_once, limit.refused), (30, 9_970));
        assert!(!limit.take(begin + Duration::from_millis(1_999)));
        assert!(limit.take(begin + Duration::from_millis(2_000)));
        assert!(!limit.take(begin + Duration::from_millis(2_001)));
        let later = begin + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| limit.take(later)).count(), 30);
        // A clock that goes back gives nothing.
        assert!(!limit.take(begin));
    }

    #[test]
    fn a_smaller_limit_holds_at_once_and_none_allows_nothing() {
        let (mut limit, begin) = (Limit::new(30), Instant::now());
        limit.set(2);
        assert_eq!((0..10).filter(|_| limit.take(begin)).count(), 2);
        limit.set(0);
        assert!(!limit.take(begin + Duration::from_secs(600)));
    }
}
