//! Streams: their keys, what the kernel counts about them, and the verdicts that user space gives.

use crate::RecordHeader;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Payload bytes in one record at most. A longer call spans several records.
pub const CHUNK_CAPACITY: usize = 16 * 1024;

/// The kind of kernel object that carries a stream ([`StreamKey::kind`]).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum ObjectKind {
    /// A pipe or FIFO. Words: inode pointer, inode number, device.
    Pipe = 1,
    /// An `AF_UNIX` stream or seqpacket socket. Words: `struct sock` of the sender, of the receiver.
    Unix = 2,
    /// TCP. Words: source address (2), destination address (2), both as IPv6 in network order; network namespace cookie.
    Tcp = 3,
    /// A pseudo-terminal. Words: the smaller of the two `struct tty_struct` pointers.
    Pty = 4,
}

/// Which way a pseudo-terminal's stream goes ([`StreamKey::direction`]). 0 for every other kind: their words say it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Direction {
    /// The words name sender and receiver, or the object has one direction.
    Implied = 0,
    /// What the slave reads.
    ToSlave = 1,
    /// What the slave writes.
    FromSlave = 2,
}

/// The end of a stream at which something was seen ([`RecordHeader::end`], [`Verdict::end`]).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum End {
    /// The writer's call.
    Writer = 1,
    /// The reader's call.
    Reader = 2,
    /// Both (a verdict only).
    Both = 3,
}

/// Names one stream: one direction of one pipe, socket or pseudo-terminal.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Hash, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct StreamKey {
    /// See [`ObjectKind`].
    pub words: [u64; 5],
    /// TCP: source port in the upper, destination port in the lower half, in host order.
    pub ports: u32,
    /// An [`ObjectKind`].
    pub kind: u8,
    /// A [`Direction`].
    pub direction: u8,
    /// Zero.
    pub padding: u16,
}

/// Why bytes are missing, as bits of [`RecordHeader::loss`] and [`StreamState::loss`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Loss {
    /// The ring buffer had no room.
    RingFull = 1,
    /// The process's memory could not be read.
    ReadFault = 2,
    /// One call moved more than the limit for a call.
    OverLimit = 4,
    /// The bytes moved without a buffer that could be read (splice, `MSG_TRUNC`, registered buffers).
    NoBuffer = 8,
    /// No scratch space for the task.
    NoScratch = 16,
}

/// A piece of a stream, or (as [`crate::RecordKind::Touch`]) the news that an end was used.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct ChunkRecord {
    /// Who, when, at which end.
    pub header: RecordHeader,
    /// Which stream.
    pub key: StreamKey,
    /// When the kernel began to count this stream, in nanoseconds since boot. Another value for the same key is
    /// another stream: a socket's address came into use again, or its state was evicted.
    pub epoch: u64,
    /// Position in the stream of the first byte, counted at this end since `epoch`.
    pub offset: u64,
    /// Bytes that the whole call moved.
    pub call_bytes: u64,
}

/// What the kernel keeps about a stream that is not ignored. Written by the kernel only.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct StreamState {
    /// See [`ChunkRecord::epoch`].
    pub epoch: u64,
    /// Bytes counted at the writer's end.
    pub written: u64,
    /// Bytes counted at the reader's end.
    pub read: u64,
    /// Bytes before this position were not all taken at the writer's end: the reader's end takes them.
    pub unseen_until: u64,
    /// Start time of the process that wrote last.
    pub writer: u64,
    /// Start time of the process that read last.
    pub reader: u64,
    /// Inode number of the writer's socket; 0 while not known.
    pub writer_inode: u64,
    /// Inode number of the reader's socket; 0 while not known.
    pub reader_inode: u64,
    /// Process id of the last writer.
    pub writer_pid: u32,
    /// Process id of the last reader.
    pub reader_pid: u32,
    /// [`Loss`] bits not yet told with a record.
    pub loss: u32,
    /// 1: both ends are counted from the very first byte, so that their positions agree.
    pub exact: u8,
    /// An [`End`] at which every byte is taken because the writer's calls have no buffer; 0 where that is not so.
    pub taken_at: u8,
    /// 1: more than one process has written.
    pub writer_shared: u8,
    /// 1: more than one process has read.
    pub reader_shared: u8,
    /// Bytes before this position were all taken at the reader's end: a writer's call that is too big for others to come
    /// between need not take them again.
    pub reader_took: u64,
    /// Thread id of the last writer.
    pub writer_tid: u32,
    /// 1: more than one thread has written. How they end their calls need not be the order of their bytes.
    pub writer_threads: u32,
}

/// What user space wants done with a stream ([`Verdict::kind`]). A stream without a verdict is unknown, and captured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum VerdictKind {
    /// Take every byte.
    Capture = 1,
    /// Take nothing, but probe now and then, because a stream can turn to MCP late.
    Ignore = 2,
    /// Take nothing, ever: the configuration excludes it.
    Exclude = 3,
}

/// Elements of the map `GENERATIONS`: a number that the kernel raises when it takes a verdict back (element 0), and one that
/// user space raises ([`USER_GENERATION`]). What the kernel remembers of verdicts is worth nothing then.
pub const GENERATIONS: usize = 2;
/// The element of `GENERATIONS` that user space raises whenever it has set a verdict.
pub const USER_GENERATION: u32 = 1;

/// The verdict on a stream, in the map that user space writes. The kernel makes its own for streams that are no text.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct Verdict {
    /// A [`VerdictKind`].
    pub kind: u8,
    /// An [`End`]: where the bytes are taken. 0 is the writer's end, and the reader's where the writer's cannot be read.
    pub end: u8,
    /// Zero.
    pub padding: u16,
    /// Zero.
    pub reserved: u32,
    /// Ignored: before this moment (nanoseconds since boot) no call is taken for the beginning of a message.
    pub retry_at: u64,
}
