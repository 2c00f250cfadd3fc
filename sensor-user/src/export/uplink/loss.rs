//! Events that were dropped before the collector had them: counted for the sensor's own events, and told in the log.
//!
//! Invariant: [`Losses::count`] is the only way in, and what it counts it also has told: at once where nothing was told
//! for a [`PAUSE`], else with what comes until the pause is over. Whoever calls it logs the [`Report`] it gives, when no
//! lock is held.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mcp_sensor_proto::v1::event::Severity;
use mcp_sensor_proto::v1::loss::{Count, Place, Reason};

use super::queue::{Amount, Cause, Dropped};

/// Time between two lines of the log.
const PAUSE: Duration = Duration::from_secs(1);

/// What was dropped since the start, and of it what the log has not told yet.
#[derive(Debug, Default)]
pub struct Losses {
    counted: BTreeMap<Cause, Amount>,
    by_severity: BTreeMap<u8, u64>,
    untold: BTreeMap<(Cause, u8), Amount>,
    told_at: Option<Instant>,
}

/// One line for the log, or several.
#[derive(Debug, Default, Eq, PartialEq)]
#[must_use = "what was dropped is to be logged"]
pub struct Report(BTreeMap<(Cause, u8), Amount>);

impl Losses {
    /// Counts what was dropped; gives what is to be logged now.
    pub fn count(&mut self, dropped: &[Dropped], now: Instant) -> Report {
        for Dropped { sequence: _, severity, bytes, cause } in dropped {
            self.counted.entry(*cause).or_default().add(*bytes);
            *self.by_severity.entry(*severity).or_default() += 1;
            self.untold.entry((*cause, *severity)).or_default().add(*bytes);
        }
        self.due(now)
    }

    /// What is to be logged by now.
    pub fn due(&mut self, now: Instant) -> Report {
        if self.untold.is_empty() || self.told_at.is_some_and(|told| now.saturating_duration_since(told) < PAUSE) {
            return Report::default();
        }
        self.told_at = Some(now);
        self.rest()
    }

    /// What the log has not told yet, pause or not: at the end.
    pub fn rest(&mut self) -> Report {
        Report(std::mem::take(&mut self.untold))
    }

    /// For the sensor's own events.
    #[must_use]
    pub fn counts(&self) -> Vec<Count> {
        let count = |(cause, amount): (&Cause, &Amount)| Count {
            place: Place::Export.into(),
            reason: reason(*cause).into(),
            count: amount.events,
            bytes: amount.bytes,
        };
        self.counted.iter().map(count).collect()
    }

    /// Events dropped, by severity.
    #[cfg(test)]
    #[must_use]
    pub const fn by_severity(&self) -> &BTreeMap<u8, u64> {
        &self.by_severity
    }
}

impl Report {
    /// Writes it to the log.
    pub fn log(self) {
        for ((cause, severity), Amount { events, bytes }) in self.0 {
            let severity = severity_name(severity);
            match cause {
                Cause::Full => tracing::warn!(
                    severity,
                    events,
                    bytes,
                    "events were lost: the collector does not take them fast enough and the buffer is full; \
                     see collector.address, or raise collector.buffer_mib"
                ),
                Cause::TooBig => {
                    tracing::warn!(severity, events, bytes, "events were lost: they are bigger than the collector takes");
                }
                Cause::Disorder => tracing::error!(severity, events, bytes, "events were lost: their sequence is wrong"),
            }
        }
    }
}

/// The contract's name for a severity.
pub(super) fn severity_name(severity: u8) -> &'static str {
    Severity::try_from(i32::from(severity)).unwrap_or_default().as_str_name()
}

const fn reason(cause: Cause) -> Reason {
    match cause {
        Cause::Full => Reason::QueueFull,
        Cause::TooBig => Reason::OverLimit,
        Cause::Disorder => Reason::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(severity: u8, bytes: u64) -> Dropped {
        Dropped { sequence: 1, severity, bytes, cause: Cause::Full }
    }

    #[test]
    fn everything_counted_is_told_and_a_flood_is_told_in_one_line_a_second() {
        let (mut losses, start) = (Losses::default(), Instant::now());
        let mut told = 0;
        let mut lines = 0;
        for millisecond in 0..=2_500_u64 {
            let report = losses.count(&[dropped(1, 10)], start + Duration::from_millis(millisecond));
            lines += report.0.len();
            told += report.0.values().map(|amount| amount.events).sum::<u64>();
        }
        assert_eq!(lines, 3);
        told += losses.rest().0.values().map(|amount| amount.events).sum::<u64>();
        assert_eq!(told, 2_501);
        let counts = losses.counts();
        assert_eq!((counts.len(), counts[0].count, counts[0].bytes), (1, 2_501, 25_010));
        assert_eq!((counts[0].place(), counts[0].reason()), (Place::Export, Reason::QueueFull));
        assert_eq!(losses.rest(), Report::default());
    }
}
