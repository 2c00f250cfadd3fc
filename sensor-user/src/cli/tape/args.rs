//! Arguments of the commands about recordings.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, ValueEnum, value_parser};
use present::find::Glob;
use prost_types::Timestamp;
use recording::{Level, Recipient};

use super::super::args::{Color, ExcludeArgs, FilterArgs, LimitArgs, Payload};
use crate::against::Pattern;
use crate::capture::Pace;

const RECORD_EXAMPLES: &str = "\
Examples:
  mcp-sensor record -o today.pcapng                     all sessions, secrets replaced
  mcp-sensor record -o today.pcapng.zst                 the same, compressed
  mcp-sensor record -o s.pcapng --server github         the sessions with one server
  mcp-sensor record -o s.pcapng --level full --recipient age1...
                                                        every byte, for one responder's eyes

A session is recorded from its first event that matches, and what came before as far as it is still \
held in memory. The file opens in Wireshark. `mcp-sensor replay` shows it.";

const REPLAY_EXAMPLES: &str = "\
Examples:
  mcp-sensor replay today.pcapng                        the table of tool calls, as `watch` shows it
  mcp-sensor replay today.pcapng --json --messages      every event, one JSON object a line
  mcp-sensor replay /var/lib/mcp-sensor/recordings/*    files that follow each other, as one
  mcp-sensor replay today.pcapng --session 3f2a         one session as a timeline
  mcp-sensor replay today.pcapng --session 3f2a --html page.html
  mcp-sensor replay today.pcapng --session 3f2a -o one.pcapng
                                                        that session as a recording of its own
  mcp-sensor replay today.pcapng --speed 10x --from 5m --to 2026-01-31T12:00:00Z
  mcp-sensor replay today.pcapng --session 3f2a --against 'python3 server.py'
                                                        the same requests to a server of now: what is different?
  mcp-sensor replay today.pcapng --session 3f2a --against './server --stdio' \\
      --allow 'get_*' --ignore '/result/structuredContent/time' --yes --json
                                                        a regression test: ends with 1 where something differs

--against asks before it starts the server; the tools are called for real. Clocks and ids may differ, see --exact. \
It ends with 0 without a difference, 1 with one, 2 where it could not be done.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  mcp-sensor verify today.pcapng --key /etc/mcp-sensor/recording.pub
  mcp-sensor verify today.pcapng.zst --json

Ends with 0 where the recording is complete and unaltered and, with --key, signed by one of the keys; \
with 1 where it is not; with 2 where the file is no recording that can be read.";

/// How much of the traffic a recording holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum RecordLevel {
    /// Messages with secrets replaced, each with the size and hash of its original
    Redacted,
    /// Every captured byte, secrets too
    Full,
}

impl From<RecordLevel> for Level {
    fn from(level: RecordLevel) -> Self {
        match level {
            RecordLevel::Redacted => Self::Redacted,
            RecordLevel::Full => Self::Full,
        }
    }
}

/// How a recording is made.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "The recording")]
pub struct RecordArgs {
    /// The new file; compressed where its name ends with .zst or .zst.age
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// How much of the traffic it holds
    #[arg(long, value_enum, default_value_t = RecordLevel::Redacted, value_name = "LEVEL")]
    pub level: RecordLevel,

    /// Encrypt it for this public key of age (age1...); may be repeated
    #[arg(long, value_name = "KEY", action = ArgAction::Append)]
    pub recipient: Vec<Recipient>,

    /// Sign it with this key, as `mcp-sensor keygen` makes it
    #[arg(long, value_name = "FILE")]
    pub signing_key: Option<PathBuf>,

    /// How much is held in memory of sessions that may have to be recorded yet, in MiB
    #[arg(long, value_name = "MIB", default_value = "8", value_parser = value_parser!(u32).range(1..=65_536))]
    pub held_mib: u32,
}

/// `mcp-sensor record`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = RECORD_EXAMPLES)]
pub struct Record {
    /// How it is made.
    #[command(flatten)]
    pub recording: RecordArgs,

    /// Print events as well, as `watch --json` does: one object a line
    #[arg(long)]
    pub json: bool,

    /// Judge by this policy, and record what it finds; `shipped` stands for the rules that come along
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// With --json: every message, not only tool calls
    #[arg(long, requires = "json")]
    pub messages: bool,

    /// With --json: how much of the contents to print
    #[arg(long, value_enum, default_value_t = Payload::Redacted, value_name = "LEVEL")]
    pub payload: Payload,

    /// When to colour what is said at the end
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,

    /// Which sessions.
    #[command(flatten)]
    pub filters: FilterArgs,

    /// What not to look at.
    #[command(flatten)]
    pub exclude: ExcludeArgs,

    /// What the sensor may use.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// `mcp-sensor replay`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = REPLAY_EXAMPLES)]
pub struct Replay {
    /// The recording; several that follow each other (of one folder) are replayed as one
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Print events as JSON, one object a line; with --session, the timeline as one JSON object
    #[arg(long)]
    pub json: bool,

    /// Show every message, not only tool calls
    #[arg(long)]
    pub messages: bool,

    /// How much of the contents to show
    #[arg(long, value_enum, default_value_t = Payload::Redacted, value_name = "LEVEL")]
    pub payload: Payload,

    /// When to colour the output
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,

    /// Judge by this policy, in place of the findings that were recorded; `shipped` stands for the rules that come along
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// How fast: 1x as it was, 10x ten times as fast, max
    #[arg(long, value_name = "SPEED", default_value = "max")]
    pub speed: Speed,

    /// Show what happened from here on: a time, or how long after the beginning (90s, 5m)
    #[arg(long, value_name = "TIME")]
    pub from: Option<Moment>,

    /// Show what happened up to here
    #[arg(long, value_name = "TIME")]
    pub to: Option<Moment>,

    /// Identities of age that open an encrypted recording
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,

    /// With --session: write the timeline as a page of HTML to this new file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "markdown"])]
    pub html: Option<PathBuf>,

    /// With --session: print the timeline as Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,

    /// Let --html replace a file that exists
    #[arg(long, requires = "html")]
    pub force: bool,

    /// Record what is shown again, to this new file: one session, or without secrets
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["from", "to"])]
    pub output: Option<PathBuf>,

    /// With --output: how much of the traffic it holds
    #[arg(long, value_enum, default_value_t = RecordLevel::Redacted, value_name = "LEVEL", requires = "output")]
    pub level: RecordLevel,

    /// How much may be held of unfinished messages and calls, in MiB
    #[arg(long, value_name = "MIB", default_value = "32", value_parser = value_parser!(u32).range(8..=1_048_576))]
    pub memory_mib: u32,

    /// What to show.
    #[command(flatten)]
    pub filters: FilterArgs,

    /// A server to compare with.
    #[command(flatten)]
    pub against: AgainstArgs,
}

/// `mcp-sensor replay --against`.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Against a server")]
pub struct AgainstArgs {
    /// With --session: start this server, send it what the client sent, and show what is different
    #[arg(long, value_name = "COMMAND", requires = "session",
        conflicts_with_all = ["html", "markdown", "output", "from", "to", "speed", "messages"])]
    pub against: Option<String>,

    /// Call only these tools; may be repeated
    #[arg(long, value_name = "GLOB", requires = "against", action = ArgAction::Append)]
    pub allow: Vec<Glob>,

    /// What may differ: a JSON pointer in the message (/result/structuredContent/time), also with *, ?, ** (**/timestamp); may be
    /// repeated
    #[arg(long, value_name = "POINTER", requires = "against", action = ArgAction::Append)]
    pub ignore: Vec<Pattern>,

    /// Compare clocks and ids, too: times, epochs, UUIDs, long hexadecimal ids, durations, progress tokens, cursors, _meta
    #[arg(long, requires = "against")]
    pub exact: bool,

    /// How long to wait for each answer (500ms, 30s, 2m)
    #[arg(long, value_name = "TIME", requires = "against", default_value = "30s")]
    pub timeout: Span,

    /// Do not ask before the server is started
    #[arg(long, requires = "against")]
    pub yes: bool,
}

/// How long something may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(Moment::After(span)) if !span.is_zero() && span <= Duration::from_secs(7 * 86_400) => Ok(Self(span)),
            _ => Err("write how long, up to 7 days: 500ms, 30s, 2m".to_owned()),
        }
    }
}

/// `mcp-sensor verify`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub struct Verify {
    /// The recording
    pub file: PathBuf,

    /// Public keys, one of which must have signed it; may be repeated
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    pub key: Vec<PathBuf>,

    /// Identities of age that open an encrypted recording
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,

    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,

    /// When to colour the result
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
}

/// `mcp-sensor keygen`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  mcp-sensor keygen /etc/mcp-sensor/recording.pem   and beside it recording.pub, to give to responders")]
pub struct Keygen {
    /// The new file of the private key; the public one gets the ending .pub
    pub file: PathBuf,
}

/// How fast a recording is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed(pub Pace);

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self(Pace::Max));
        }
        let times = text.strip_suffix('x').and_then(|times| times.parse::<f64>().ok());
        let times = times.filter(|times| (0.001..=1e6).contains(times));
        times.map(|times| Self(Pace::Times(times))).ok_or_else(|| "write 1x, 10x, 0.5x or max".to_owned())
    }
}

/// A moment of a recording.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// In nanoseconds since 1970.
    At(u64),
    /// So long after the beginning.
    After(Duration),
}

impl Moment {
    /// In nanoseconds since 1970, of a recording that began then.
    #[must_use]
    pub fn since_1970(self, began: u64) -> u64 {
        match self {
            Self::At(time) => time,
            Self::After(span) => began.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, u64); 5] =
            [("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000), ("d", 86_400_000_000_000)];
        for (unit, nanoseconds) in UNITS {
            if let Some(number) = text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok()) {
                return Ok(Self::After(Duration::from_nanos(number.saturating_mul(nanoseconds))));
            }
        }
        let time = text.parse::<Timestamp>().ok().filter(|_| text.contains('-'));
        let since = time
            .and_then(|time| u64::try_from(time.seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(u64::try_from(time.nanos).ok()?));
        since.map(Self::At).ok_or_else(|| "write a time (2026-01-31T12:00:00Z), or how long after the beginning (90s, 5m, 2h)".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_and_moments_are_what_people_write() {
        assert_eq!("500ms".parse(), Ok(Span(Duration::from_millis(500))));
        assert!(["", "0s", "8d", "2026-01-31T12:00:00Z"].iter().all(|text| text.parse::<Span>().is_err()));
        assert_eq!("10x".parse(), Ok(Speed(Pace::Times(10.0))));
        assert_eq!("max".parse(), Ok(Speed(Pace::Max)));
        assert!(["", "x", "0x", "-1x", "NaNx", "10"].iter().all(|text| text.parse::<Speed>().is_err()));
        assert_eq!("90s".parse::<Moment>().map(|moment| moment.since_1970(5)), Ok(90_000_000_005));
        assert_eq!("5m".parse::<Moment>().map(|moment| moment.since_1970(0)), Ok(300_000_000_000));
        assert_eq!("1970-01-01T00:00:01Z".parse::<Moment>().map(|moment| moment.since_1970(5)), Ok(1_000_000_000));
        assert!(["", "5", "soon", "-5m", "1969-01-01T00:00:00Z"].iter().all(|text| text.parse::<Moment>().is_err()));
    }
}
