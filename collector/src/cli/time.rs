//! A moment, as people write it: a time, or how long ago.

use std::str::FromStr;

use prost_types::Timestamp;

use crate::config::Span;
use crate::event::keys::timestamp;
use crate::ingest::stream::now;

/// A moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment(pub Timestamp);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(Span(span)) = text.parse::<Span>() {
            let ago = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
            return Ok(Self(timestamp(now().saturating_sub(ago))));
        }
        let time = text.parse::<Timestamp>().ok().filter(|_| text.contains('-'));
        time.map(Self).ok_or_else(|| format!("`{text}` is no time (2026-01-31T12:00:00Z) and no span (10m, 2h, 1d)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        assert_eq!("2026-01-31T12:00:00Z".parse::<Moment>().unwrap().0.seconds, 1_769_860_800);
        let ago = now() / 1_000_000_000 - "10m".parse::<Moment>().unwrap().0.seconds;
        assert!((599..=601).contains(&ago), "{ago}");
        assert!("soon".parse::<Moment>().is_err());
    }
}
