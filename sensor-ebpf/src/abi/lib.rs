//! The ABI between the kernel programs and the agent: records, keys, map values, counters and the names of globals.
//!
//! Both sides compile this same file, so a field can differ in neither. [`ABI_DIGEST`] is a digest of it that is built
//! into the object and compared by the loader: an object of another ABI is refused before anything is loaded.
//!
//! Every record in the ring starts with a [`RecordHeader`]. All integers are in the host's byte order.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod counters;
mod digest;
mod mark;
mod offsets;
mod process;
mod stream;
mod syscalls;

pub use counters::{COUNTERS, Counter};
pub use digest::ABI_DIGEST;
pub use mark::{Mark, SignalRecord};
pub use offsets::{OFFSETS, Offset};
pub use process::{
    ARGUMENTS_CAPACITY, CGROUP_CAPACITY, COMPONENT_CAPACITY, ExecRecord, ExitRecord, FILE_NAME_CAPACITY, ForkRecord, PATH_CAPACITY,
};
pub use stream::{
    CHUNK_CAPACITY, ChunkRecord, Direction, End, GENERATIONS, Loss, ObjectKind, StreamKey, StreamState, USER_GENERATION, Verdict,
    VerdictKind,
};
pub use syscalls::{Call, Shape, compat_call, native_call};

/// What the loader tells the programs, in the one element of the map `SETTINGS`.
#[derive(Clone, Copy, Debug, Default, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct Settings {
    /// The sensor's own process id in the first pid namespace: its own traffic is not captured.
    pub own_pid: u32,
    /// How many processes are marked: the map of marks is looked at only where this is not 0.
    pub marks: u32,
    /// Bytes of one call that are taken at most. The rest is a declared gap.
    pub call_limit: u64,
}

/// An entry of the iterator over open files: who holds which end of which stream.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct HeldRecord {
    /// The holder; the time is that of the iteration, the end the one that its descriptor can use.
    pub header: RecordHeader,
    /// The stream.
    pub key: StreamKey,
}

/// Bytes that the iterator writes first: the process id of its reader, and the digest of the ABI, each a `u64`.
pub const ITERATOR_GREETING: usize = 16;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a record in the ring buffer is ([`RecordHeader::kind`]).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum RecordKind {
    /// Payload bytes of a stream: a [`ChunkRecord`] and the bytes behind it.
    Chunk = 1,
    /// An end of a stream was used and its bytes were not taken here: a [`ChunkRecord`] without payload.
    Touch = 2,
    /// A process replaced its program: an [`ExecRecord`].
    Exec = 3,
    /// A process came to be: a [`ForkRecord`].
    Fork = 4,
    /// A process ended: an [`ExitRecord`].
    Exit = 5,
    /// A marked process was sent its signal: a [`SignalRecord`].
    Signal = 6,
}

impl RecordKind {
    /// The kind that a byte of a record stands for; `None` where this ABI has no such kind.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Chunk),
            2 => Some(Self::Touch),
            3 => Some(Self::Exec),
            4 => Some(Self::Fork),
            5 => Some(Self::Exit),
            6 => Some(Self::Signal),
            _ => None,
        }
    }
}

/// What else is to be said of a record, as bits of [`RecordHeader::flags`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Flags {
    /// The bytes end a packet of a socket that keeps packets apart (`SOCK_SEQPACKET`).
    PacketEnd = 1,
    /// Taken at the reader's end before the writer's call had ended. That call's own record comes, or a touch in its
    /// place, and knows better: of several threads that write at once, the reader cannot tell which was counted first.
    Ahead = 2,
    /// The stream is counted since its object was made: its epoch is that moment, for both directions alike.
    SinceBirth = 4,
}

/// The head of every record.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct RecordHeader {
    /// A [`RecordKind`].
    pub kind: u8,
    /// An [`End`]; 0 where the kind has none.
    pub end: u8,
    /// [`Loss`] bits: why bytes of this stream before this record may be missing.
    pub loss: u8,
    /// [`Flags`] bits.
    pub flags: u8,
    /// Bytes of the whole record, this head included.
    pub length: u32,
    /// When, in nanoseconds since boot (`CLOCK_BOOTTIME`).
    pub time: u64,
    /// Start time of the process (of its thread group leader), in nanoseconds since boot. With `pid` it names a
    /// process for ever.
    pub start_time: u64,
    /// Process id (thread group) in the first pid namespace.
    pub pid: u32,
    /// Thread id in the first pid namespace.
    pub tid: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::size_of;

    #[test]
    fn layouts_are_the_ones_that_both_sides_were_built_for() {
        assert_eq!(size_of::<RecordHeader>(), 32);
        assert_eq!(size_of::<StreamKey>(), 48);
        assert_eq!(size_of::<ChunkRecord>(), 104);
        assert_eq!(size_of::<StreamState>() % 8, 0);
        assert_eq!(size_of::<Verdict>(), 16);
        assert_eq!((size_of::<Mark>(), size_of::<SignalRecord>()), (16, 40));
        assert!(size_of::<ExecRecord>() < 16 * 1024);
    }

    #[test]
    fn a_record_kind_survives_its_byte() {
        use RecordKind::{Chunk, Exec, Exit, Fork, Signal, Touch};
        for kind in [Chunk, Touch, Exec, Fork, Exit, Signal] {
            assert_eq!(RecordKind::from_byte(kind as u8), Some(kind));
        }
        assert_eq!(RecordKind::from_byte(0), None);
        assert_eq!(RecordKind::from_byte(7), None);
    }
}
