//! What the pipeline is fed: decoded records, in the order in which the ring (or a recording) gave them.
//!
//! Times are nanoseconds since boot, taken in the kernel. Nothing here reads a clock.

use crate::event::Marks;
use std::net::SocketAddrV6;

/// A moment, in nanoseconds since boot.
pub type Time = u64;

/// A process for its whole life: a pid alone is used again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProcessId {
    /// Process id (thread group) in the first pid namespace.
    pub pid: u32,
    /// Start time of the process, in nanoseconds since boot.
    pub start_time: Time,
}

/// Names one stream: the ordered bytes of one direction of one pipe, socket or pseudo-terminal.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum StreamKey {
    /// A pipe or FIFO. One has one direction; which pipe carries the answers is learned from the processes.
    Pipe {
        /// Device of the inode.
        device: u64,
        /// Inode number. Consecutive numbers often are one child's stdin and stdout.
        inode: u64,
        /// Address of the inode.
        address: u64,
    },
    /// One direction of an `AF_UNIX` socket pair.
    Unix {
        /// Address of the sender's `struct sock`.
        from: u64,
        /// Address of the receiver's `struct sock`.
        to: u64,
    },
    /// One direction of a TCP connection.
    Tcp {
        /// Source (IPv4 as v4-mapped IPv6).
        from: SocketAddrV6,
        /// Destination.
        to: SocketAddrV6,
        /// Cookie of the network namespace.
        namespace: u64,
    },
    /// One direction of a pseudo-terminal.
    Pty {
        /// Address that names the pair.
        terminal: u64,
        /// True for what the slave reads, false for what it writes.
        to_slave: bool,
    },
}

impl StreamKey {
    /// The other direction of the same object; `None` for a pipe, which has one direction.
    #[must_use]
    pub const fn reverse(&self) -> Option<Self> {
        match *self {
            Self::Pipe { .. } => None,
            Self::Unix { from, to } => Some(Self::Unix { from: to, to: from }),
            Self::Tcp { from, to, namespace } => Some(Self::Tcp { from: to, to: from, namespace }),
            Self::Pty { terminal, to_slave } => Some(Self::Pty { terminal, to_slave: !to_slave }),
        }
    }
}

/// An end of a stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum End {
    /// Where bytes go in.
    Writer,
    /// Where bytes come out.
    Reader,
}

/// Why bytes of a stream are missing. A set of reasons.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct LossReasons(pub u8);

impl LossReasons {
    /// The ring buffer had no room.
    pub const RING_FULL: Self = Self(1);
    /// The process's memory could not be read.
    pub const READ_FAULT: Self = Self(2);
    /// One call moved more than the limit for a call.
    pub const OVER_LIMIT: Self = Self(4);
    /// The bytes moved without a buffer that could be read.
    pub const NO_BUFFER: Self = Self(8);
    /// The kernel had no scratch space for the task.
    pub const NO_SCRATCH: Self = Self(16);
    /// User space gave the bytes up to stay within its memory.
    pub const MEMORY: Self = Self(32);
    /// The cause is not known.
    pub const UNKNOWN: Self = Self(64);
    /// The sensor's own queue behind the ring was full.
    pub const QUEUE_FULL: Self = Self(128);

    /// True where no reason is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Bytes of a stream, taken at one end of it.
///
/// Both ends count positions from the same beginning, so a byte that was taken at both ends shows as the same position.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// When the call ended.
    pub time: Time,
    /// Which stream.
    pub stream: StreamKey,
    /// When the kernel began to count this stream. Another value for the same key is another stream.
    pub epoch: Time,
    /// The end at which the bytes were taken.
    pub end: End,
    /// Who made the call.
    pub process: ProcessId,
    /// Position in the stream of the first byte.
    pub offset: u64,
    /// Why bytes before `offset` that never came may be missing.
    pub loss: LossReasons,
    /// The bytes end a packet of a socket that keeps packets apart.
    pub packet_end: bool,
    /// Taken at the reader's end before the writer's call had ended. The writer's own chunk comes, or a touch in its place:
    /// it knows better where the bytes stand, since several threads may write at once.
    pub ahead: bool,
    /// The stream is counted since its object was made: its epoch is that moment, for both directions alike.
    pub since_birth: bool,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// The news that a process used an end of a stream, where the bytes were taken at the other end.
/// Told when the process at that end is another than the last time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Touch {
    /// When the call ended.
    pub time: Time,
    /// Which stream.
    pub stream: StreamKey,
    /// See [`Chunk::epoch`].
    pub epoch: Time,
    /// The end that was used.
    pub end: End,
    /// Who made the call.
    pub process: ProcessId,
    /// Position in the stream at which the call began.
    pub offset: u64,
    /// Bytes that the call moved.
    pub moved: u64,
    /// The bytes were taken at neither end: they moved by a way that shows none.
    pub unseen: bool,
    /// See [`Chunk::since_birth`].
    pub since_birth: bool,
}

/// The news that bytes of a stream passed: all that a [`Chunk`] tells but the bytes themselves. A redacted recording has
/// these in place of chunks; what the bytes said stands in it as [`Framed`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Passed {
    /// See [`Chunk::time`].
    pub time: Time,
    /// See [`Chunk::stream`].
    pub stream: StreamKey,
    /// See [`Chunk::epoch`].
    pub epoch: Time,
    /// See [`Chunk::end`].
    pub end: End,
    /// See [`Chunk::process`].
    pub process: ProcessId,
    /// See [`Chunk::offset`].
    pub offset: u64,
    /// See [`Chunk::loss`].
    pub loss: LossReasons,
    /// See [`Chunk::packet_end`].
    pub packet_end: bool,
    /// See [`Chunk::ahead`].
    pub ahead: bool,
    /// See [`Chunk::since_birth`].
    pub since_birth: bool,
    /// Bytes that the chunk had.
    pub length: u64,
}

impl From<&Chunk<'_>> for Passed {
    fn from(chunk: &Chunk<'_>) -> Self {
        let Chunk { time, stream, epoch, end, process, offset, loss, packet_end, ahead, since_birth, bytes } = *chunk;
        Self { time, stream, epoch, end, process, offset, loss, packet_end, ahead, since_birth, length: bytes.len() as u64 }
    }
}

/// A JSON-RPC message as the framer found it in a stream, before anything was decided about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Framed<'a> {
    /// When its last byte came.
    pub time: Time,
    /// Its stream.
    pub stream: StreamKey,
    /// See [`Chunk::epoch`].
    pub epoch: Time,
    /// Its position in the stream.
    pub start: u64,
    /// What was odd about it.
    pub marks: Marks,
    /// Bytes of the message as it crossed the wire.
    pub size: u64,
    /// SHA-256 of these.
    pub sha256: [u8; 32],
    /// Its text: these very bytes, or in a redacted recording what redaction left of them.
    pub bytes: &'a [u8],
}

/// What a framer found in a stream beside messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Between {
    /// So many bytes of text that is no JSON of interest.
    Noise(u64),
    /// Bytes are missing: how many, where that is known, and why.
    Gap(Option<u64>, LossReasons),
}

/// What user space decided about a stream, for the kernel to obey.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Take every byte.
    Capture,
    /// Take nothing, but probe now and then.
    Ignore,
}
