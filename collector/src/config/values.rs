//! The sorts of value, each with one way to be written, on the command line, in the environment and in the file alike.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};

/// A value that cannot be understood.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ValueError {
    /// No address.
    #[error("`{0}` is no address: expected IP:PORT, [IPv6]:PORT or unix:PATH")]
    Address(String),
    /// No size.
    #[error("`{0}` is no size: expected a number with B, KiB, MiB, GiB or TiB")]
    Size(String),
    /// No time.
    #[error("`{0}` is no time span: expected a number with ms, s, m, h or d")]
    Span(String),
    /// Out of range.
    #[error("{value} is out of range: expected {least} to {most}")]
    Range {
        /// What was written.
        value: String,
        /// The least.
        least: String,
        /// The most.
        most: String,
    },
}

/// Where to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Default for Address {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], 4780)))
    }
}

impl Address {
    /// True where nobody on another host can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for Address {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.strip_prefix("unix:") {
            Some("") => Err(ValueError::Address(text.to_owned())),
            Some(path) => Ok(Self::Unix(path.into())),
            None => {
                let text = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
                text.parse().map(Self::Tcp).map_err(|_| ValueError::Address(text))
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "{address}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// A number of bytes: `64MiB`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ByteSize(pub u64);

const SIZES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl FromStr for ByteSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        with_unit(text, &SIZES).map(Self).ok_or_else(|| ValueError::Size(text.to_owned()))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fitting = SIZES.iter().find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size));
        let (unit, size) = fitting.copied().unwrap_or(("B", 1));
        write!(formatter, "{}{unit}", self.0 / size)
    }
}

/// A stretch of time: `30d`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Span(pub Duration);

const SPANS: [(&str, u64); 5] = [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

impl FromStr for Span {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let milliseconds = with_unit(text, &SPANS).filter(|milliseconds| *milliseconds <= 36_500 * 86_400_000);
        milliseconds.map(|count| Self(Duration::from_millis(count))).ok_or_else(|| ValueError::Span(text.to_owned()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let units = SPANS.iter().skip(1).chain(SPANS.first());
        let fitting = units.clone().find(|(_, length)| milliseconds >= *length && milliseconds.is_multiple_of(*length));
        let (unit, length) = fitting.copied().unwrap_or(("ms", 1));
        write!(formatter, "{}{unit}", milliseconds / length)
    }
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Something that may be limited, or not: `none` says that it is not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OrNone<T>(pub Option<T>);

impl<T: FromStr> FromStr for OrNone<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|value| Self(Some(value))) }
    }
}

impl<T: fmt::Display> fmt::Display for OrNone<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(formatter),
            None => formatter.write_str("none"),
        }
    }
}

/// A value with bounds: `LEAST` to `MOST`, in the unit of the value (bytes, milliseconds, things).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Within<T, const LEAST: u64, const MOST: u64>(pub T);

/// A value that can be compared with bounds, and a bound as a value of its sort.
pub trait Bounded: Sized + fmt::Display {
    /// As a number.
    fn amount(&self) -> u64;
    /// The other way.
    fn of(amount: u64) -> Self;
}

impl Bounded for ByteSize {
    fn amount(&self) -> u64 {
        self.0
    }

    fn of(amount: u64) -> Self {
        Self(amount)
    }
}

impl Bounded for Span {
    fn amount(&self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    fn of(amount: u64) -> Self {
        Self(Duration::from_millis(amount))
    }
}

impl Bounded for u32 {
    fn amount(&self) -> u64 {
        u64::from(*self)
    }

    fn of(amount: u64) -> Self {
        Self::try_from(amount).unwrap_or(Self::MAX)
    }
}

impl<T: Bounded, const LEAST: u64, const MOST: u64> Within<T, LEAST, MOST> {
    fn new(value: T) -> Result<Self, ValueError> {
        if (LEAST..=MOST).contains(&value.amount()) {
            return Ok(Self(value));
        }
        Err(ValueError::Range { value: value.to_string(), least: T::of(LEAST).to_string(), most: T::of(MOST).to_string() })
    }
}

impl<T: Bounded + FromStr, const LEAST: u64, const MOST: u64> FromStr for Within<T, LEAST, MOST>
where
    T::Err: fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value: T = text.parse().map_err(|error: T::Err| error.to_string())?;
        Self::new(value).map_err(|error| error.to_string())
    }
}

impl<T: fmt::Display, const LEAST: u64, const MOST: u64> fmt::Display for Within<T, LEAST, MOST> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl<'de, T: Bounded + Deserialize<'de>, const LEAST: u64, const MOST: u64> Deserialize<'de> for Within<T, LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(T::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Reads a value from the text that the command line takes, too.
macro_rules! from_text {
    ($($sort:ty),*) => {$(
        impl<'de> Deserialize<'de> for $sort {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

from_text!(Address, ByteSize, Span, OrNone<ByteSize>, OrNone<Span>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_is_written() {
        for text in ["64MiB", "1KiB", "1000B", "3TiB", "0B"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        for text in ["30d", "1500ms", "90s", "36h", "5m"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["127.0.0.1:4780", "[::1]:80", "unix:/run/a b"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("none".parse::<OrNone<Span>>().unwrap(), OrNone(None));
    }

    #[test]
    fn what_is_no_value_is_an_error() {
        for text in ["", "5", "MiB", "-1MiB", "99999999999TiB", "1 MB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        for text in ["", "5", "1y", "99999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["", "host:1", "unix:", "127.0.0.1"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        let error = "0".parse::<Within<u32, 1, 10>>().unwrap_err();
        assert_eq!(error, "0 is out of range: expected 1 to 10");
    }
}
