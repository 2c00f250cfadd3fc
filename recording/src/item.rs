//! What a recording holds.

use mcp_sensor_proto::v1;
use sensor_core::input::{Chunk, LossReasons, ProcessId, StreamKey, Time, Touch};
pub use sensor_core::input::{Framed, Passed};

/// One thing in a recording. They stand in the order in which they were written.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "items go by reference to the writer, and one at a time from the reader")]
pub enum Item<'a> {
    /// Who a process is, as the sensor resolved it. Stands before what refers to the process.
    Process {
        /// When it was resolved.
        time: Time,
        /// The process.
        id: ProcessId,
        /// What is known of it.
        peer: v1::Peer,
    },
    /// Captured bytes. Level [`Level::Full`] alone.
    Chunk(Chunk<'a>),
    /// A process used the other end of a stream.
    Touch(Touch),
    /// A chunk without its bytes. Level [`Level::Redacted`] alone.
    Passed(Passed),
    /// A message after redaction. Level [`Level::Redacted`] alone.
    Message(Framed<'a>),
    /// Bytes that are no message. Level [`Level::Redacted`] alone.
    Noise {
        /// When the last of them came.
        time: Time,
        /// Which stream.
        stream: StreamKey,
        /// See [`Chunk::epoch`].
        epoch: Time,
        /// How many.
        bytes: u64,
    },
    /// Bytes of a stream that are known to be missing.
    Gap {
        /// When it was noticed.
        time: Time,
        /// Which stream.
        stream: StreamKey,
        /// See [`Chunk::epoch`].
        epoch: Time,
        /// How many; `None` where that is not known.
        bytes: Option<u64>,
        /// Why.
        reasons: LossReasons,
    },
    /// A process made another.
    Fork {
        /// When.
        time: Time,
        /// The process that was there.
        parent: ProcessId,
        /// The new one.
        child: ProcessId,
    },
    /// A process began to run another program.
    Exec {
        /// When.
        time: Time,
        /// The process.
        process: ProcessId,
    },
    /// A process ended.
    Exit {
        /// When.
        time: Time,
        /// The process.
        process: ProcessId,
    },
    /// A moment at which live periodic work gave something out.
    Tick {
        /// When.
        time: Time,
    },
    /// An event of the sensor about itself: losses, blind spots, start and stop of the recording.
    Event(v1::Event),
}

/// How much of the traffic a recording holds.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Level {
    /// Messages after redaction, and where the bytes passed.
    Redacted,
    /// Every captured byte.
    Full,
}

impl Level {
    /// Its name in configuration and in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redacted => "redacted",
            Self::Full => "full",
        }
    }
}

/// What a recording says of itself at its beginning.
///
/// A recording of which any text here is longer than 64 KiB cannot be written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    /// Name of the host.
    pub node: String,
    /// When the host booted, in nanoseconds since 1970: what to add to a [`Time`].
    pub boot_time: u64,
    /// How much it holds.
    pub level: Level,
    /// Version of the sensor that wrote it.
    pub sensor_version: String,
    /// What was recorded, in the words of the filter; empty for everything.
    pub filter: String,
    /// The sensor's limit for one message, in bytes.
    pub message_bytes: u64,
    /// The sensor's limit for a body in an event, in bytes.
    pub body_limit: u64,
    /// When the recording began, in nanoseconds since 1970.
    pub started: u64,
    /// Why it was made, in words.
    pub reason: String,
}

/// The kinds of items, with their numbers in the file.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the variants of `Item`")]
pub enum Kind {
    Process = 1,
    Chunk = 2,
    Touch = 3,
    Passed = 4,
    Message = 5,
    Noise = 6,
    Gap = 7,
    Fork = 8,
    Exec = 9,
    Exit = 10,
    Tick = 11,
    Event = 12,
}

impl Kind {
    /// Every kind, by number.
    pub const ALL: [Self; 12] = [
        Self::Process,
        Self::Chunk,
        Self::Touch,
        Self::Passed,
        Self::Message,
        Self::Noise,
        Self::Gap,
        Self::Fork,
        Self::Exec,
        Self::Exit,
        Self::Tick,
        Self::Event,
    ];

    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// What several are called.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Process => "processes",
            Self::Chunk => "chunks",
            Self::Touch => "touches",
            Self::Passed => "chunks without bytes",
            Self::Message => "messages",
            Self::Noise => "runs of noise",
            Self::Gap => "gaps",
            Self::Fork => "forks",
            Self::Exec => "execs",
            Self::Exit => "exits",
            Self::Tick => "ticks",
            Self::Event => "events",
        }
    }
}

impl Item<'_> {
    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Process { .. } => Kind::Process,
            Self::Chunk(_) => Kind::Chunk,
            Self::Touch(_) => Kind::Touch,
            Self::Passed(_) => Kind::Passed,
            Self::Message(_) => Kind::Message,
            Self::Noise { .. } => Kind::Noise,
            Self::Gap { .. } => Kind::Gap,
            Self::Fork { .. } => Kind::Fork,
            Self::Exec { .. } => Kind::Exec,
            Self::Exit { .. } => Kind::Exit,
            Self::Tick { .. } => Kind::Tick,
            Self::Event(_) => Kind::Event,
        }
    }

    /// When it happened; `None` of an event, which has wall-clock time.
    #[must_use]
    pub const fn time(&self) -> Option<Time> {
        match self {
            Self::Chunk(chunk) => Some(chunk.time),
            Self::Touch(touch) => Some(touch.time),
            Self::Passed(passed) => Some(passed.time),
            Self::Message(message) => Some(message.time),
            Self::Process { time, .. }
            | Self::Noise { time, .. }
            | Self::Gap { time, .. }
            | Self::Fork { time, .. }
            | Self::Exec { time, .. }
            | Self::Exit { time, .. }
            | Self::Tick { time } => Some(*time),
            Self::Event(_) => None,
        }
    }
}
