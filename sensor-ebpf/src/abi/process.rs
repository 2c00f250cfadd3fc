//! Records of the life of processes. What only the live process can tell is taken at its exec.

use crate::RecordHeader;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Longest path component, terminator included (`NAME_MAX` + 1).
pub const COMPONENT_CAPACITY: usize = 256;
/// Bytes kept of a path.
pub const PATH_CAPACITY: usize = 2048;
/// Bytes kept of a cgroup path.
pub const CGROUP_CAPACITY: usize = 1024;
/// Bytes kept of the argument list.
pub const ARGUMENTS_CAPACITY: usize = 4096;
/// Bytes kept of the name that exec was called with.
pub const FILE_NAME_CAPACITY: usize = 256;

/// A process replaced its program.
///
/// Paths are components as NUL-terminated strings, the last component of the path first; user space turns them round.
/// A length that equals or exceeds the capacity means that the path was cut.
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct ExecRecord {
    /// Who and when.
    pub header: RecordHeader,
    /// Start time of the parent process, in nanoseconds since boot.
    pub parent_start_time: u64,
    /// Id of the cgroup in the v2 hierarchy.
    pub cgroup_id: u64,
    /// Inode number of the executable.
    pub executable_inode: u64,
    /// Device of the executable, as the kernel's `dev_t`.
    pub executable_device: u32,
    /// Process id of the parent.
    pub parent_pid: u32,
    /// Real user id.
    pub user: u32,
    /// Login user id of the audit system; `u32::MAX` where there was no login.
    pub login_user: u32,
    /// Inode number of the pid namespace.
    pub pid_namespace: u32,
    /// Bytes of the argument list in the process; more than [`ARGUMENTS_CAPACITY`] means that it was cut.
    pub arguments_length: u32,
    /// Bytes used of `executable`.
    pub executable_length: u32,
    /// Bytes used of `directory`.
    pub directory_length: u32,
    /// Bytes used of `cgroup`.
    pub cgroup_length: u32,
    /// Bytes used of `cgroup_v1`.
    pub cgroup_v1_length: u32,
    /// The name that exec was called with (of a script: the script), NUL-terminated.
    pub file_name: [u8; FILE_NAME_CAPACITY],
    /// The arguments, each NUL-terminated.
    pub arguments: [u8; ARGUMENTS_CAPACITY],
    /// Components of the path of the executable.
    pub executable: [u8; PATH_CAPACITY + COMPONENT_CAPACITY],
    /// Components of the working directory.
    pub directory: [u8; PATH_CAPACITY + COMPONENT_CAPACITY],
    /// Components of the cgroup's path in the v2 hierarchy.
    pub cgroup: [u8; CGROUP_CAPACITY + COMPONENT_CAPACITY],
    /// Components of the cgroup's path in the v1 hierarchy of the `pids` controller; empty where there is none.
    pub cgroup_v1: [u8; CGROUP_CAPACITY + COMPONENT_CAPACITY],
}

/// A process came to be. The header names the child.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct ForkRecord {
    /// The child, and when.
    pub header: RecordHeader,
    /// Start time of the parent, in nanoseconds since boot.
    pub parent_start_time: u64,
    /// Process id of the parent.
    pub parent_pid: u32,
    /// Zero.
    pub padding: u32,
}

/// A process ended: its last thread is gone.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct ExitRecord {
    /// Who and when.
    pub header: RecordHeader,
    /// Wait status, as in `wait(2)`.
    pub status: u32,
    /// Zero.
    pub padding: u32,
}
