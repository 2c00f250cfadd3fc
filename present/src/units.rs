//! Numbers as people read them.

use prost_types::Timestamp;

/// A size in bytes, in seven columns or fewer: `312 B`, `4.2 KiB`, `15 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut amount = count as f64 / 1024.0;
    let mut unit = "KiB";
    for next in UNITS.into_iter().skip(1) {
        if amount < 999.5 {
            break;
        }
        amount /= 1024.0;
        unit = next;
    }
    if amount < 9.95 { format!("{amount:.1} {unit}") } else { format!("{amount:.0} {unit}") }
}

/// A duration in seven columns or fewer, up to a hundred hours: `0.42 ms`, `12 ms`, `1.23 s`, `2m03s`, `1h02m`.
#[must_use]
pub fn duration(nanoseconds: u64) -> String {
    let milliseconds = nanoseconds as f64 / 1e6;
    let seconds = (nanoseconds + 500_000_000) / 1_000_000_000;
    match nanoseconds {
        0..995_000 => format!("{milliseconds:.2} ms"),
        995_000..9_950_000 => format!("{milliseconds:.1} ms"),
        9_950_000..999_500_000 => format!("{milliseconds:.0} ms"),
        999_500_000..9_995_000_000 => format!("{:.2} s", milliseconds / 1e3),
        9_995_000_000..59_950_000_000 => format!("{:.1} s", milliseconds / 1e3),
        59_950_000_000..3_599_500_000_000 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A count with its thing: `1 session`, `1,204 messages`.
#[must_use]
pub fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}

/// A number with commas between its thousands.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Nanoseconds since 1970-01-01 00:00 UTC.
#[must_use]
pub fn nanoseconds(time: &Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanos))
}

/// A moment in UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// Days since 1970-01-01.
    day: i64,
    /// Nanoseconds since midnight.
    of_day: i64,
}

impl Moment {
    /// From nanoseconds since 1970-01-01 00:00 UTC.
    #[must_use]
    pub const fn from_unix(nanoseconds: i64) -> Self {
        const DAY: i64 = 86_400_000_000_000;
        Self { day: nanoseconds.div_euclid(DAY), of_day: nanoseconds.rem_euclid(DAY) }
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn day(self) -> i64 {
        self.day
    }

    /// `2026-01-31`.
    #[must_use]
    pub fn date(self) -> String {
        // Howard Hinnant's days_from_civil, backwards: eras of 400 years that begin on 1 March.
        // https://howardhinnant.github.io/date_algorithms.html#civil_from_days
        let shifted = self.day + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// `2026-01-31 14:03:22`.
    #[must_use]
    pub fn whole(self) -> String {
        format!("{} {}", self.date(), self.time())
    }

    /// `14:03:22`.
    #[must_use]
    pub fn time(self) -> String {
        let seconds = self.of_day / 1_000_000_000;
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// `14:03:22.123`.
    #[must_use]
    pub fn time_ms(self) -> String {
        format!("{}.{:03}", self.time(), self.of_day / 1_000_000 % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_to_few_digits() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10 * 1024, "10 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (8 * 1024 * 1024, "8.0 MiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (count, shown) in cases {
            assert_eq!(bytes(count), shown);
        }
    }

    #[test]
    fn sizes_fit_their_column() {
        assert!((0..64).map(|power| bytes((1 << power) - 1)).all(|shown| shown.len() <= 7));
    }

    #[test]
    fn durations_fit_their_column() {
        let cases = [
            (0, "0.00 ms"),
            (994_999, "0.99 ms"),
            (995_000, "1.0 ms"),
            (12_400_000, "12 ms"),
            (999_499_999, "999 ms"),
            (1_234_000_000, "1.23 s"),
            (59_949_999_999, "59.9 s"),
            (59_950_000_000, "1m00s"),
            (123_000_000_000, "2m03s"),
            (3_720_000_000_000, "1h02m"),
        ];
        for (nanoseconds, shown) in cases {
            assert_eq!(duration(nanoseconds), shown);
        }
        for power in 0..58 {
            let nanoseconds = 1_u64 << power;
            assert!(nanoseconds > 350_000_000_000_000 || duration(nanoseconds).len() <= 7, "{nanoseconds}");
        }
    }

    #[test]
    fn counts_read_like_words() {
        assert_eq!(count(0, "session"), "0 sessions");
        assert_eq!(count(1, "session"), "1 session");
        assert_eq!(count(1_234_567, "message"), "1,234,567 messages");
    }

    #[test]
    fn dates_are_right_at_the_edges() {
        let day = 86_400_000_000_000;
        for (days, date) in [(0, "1970-01-01"), (-1, "1969-12-31"), (11_016, "2000-02-29"), (11_017, "2000-03-01"), (20_484, "2026-01-31")]
        {
            assert_eq!(Moment::from_unix(days * day).date(), date);
        }
        assert_eq!(Moment::from_unix(20_484 * day + 50_602_123_456_789).time_ms(), "14:03:22.123");
    }
}
