//! Processes that user space has condemned: the kernel sends them a signal itself when they read or write next.

use crate::RecordHeader;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What is to be sent to a process; its pid is the key. Taken off when it was sent.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct Mark {
    /// Start time of the process, in nanoseconds since boot: another process that has the pid by now is not meant.
    pub start_time: u64,
    /// The signal.
    pub signal: u32,
    /// Zero.
    pub padding: u32,
}

/// A marked process moved bytes at an end of a stream and was sent its signal for it. The header names the process.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct SignalRecord {
    /// Who and when, and at which end.
    pub header: RecordHeader,
    /// The signal.
    pub signal: u32,
    /// 0 where it was sent, else the negative error number.
    pub result: i32,
}
