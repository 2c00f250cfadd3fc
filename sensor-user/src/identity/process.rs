//! What is told about a process.

use super::cgroup::Cgroup;
use mcp_sensor_proto::v1;
use sensor_core::input::{ProcessId, Time};
use std::sync::Arc;

/// Where what is known of a process comes from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Origin {
    /// The kernel told it at the process's exec.
    Exec,
    /// The process runs its parent's program: it was forked and never called exec.
    Fork,
    /// Read from `/proc` while the process lived: it is older than the sensor, or its records were lost.
    Proc,
    /// Nothing is known but the id.
    #[default]
    Unknown,
}

/// A file, as the kernel names it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FileId {
    /// Device in the kernel's form: the major number above 20 bits of the minor. Of a process from `/proc` it is what
    /// `stat` says, which on btrfs and some overlays is another device than the kernel's own.
    pub device: u32,
    /// Inode number.
    pub inode: u64,
}

impl FileId {
    /// From the numbers that `stat` gives.
    #[must_use]
    pub const fn new(major: u32, minor: u32, inode: u64) -> Self {
        Self { device: (major << 20) | (minor & 0xf_ffff), inode }
    }
}

/// A process that another comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ancestor {
    /// Its id. The start time of one that is older than the sensor and was never seen since is rounded down to 10 ms.
    pub id: ProcessId,
    /// Path of the program that it ran when its child was forked.
    pub executable: Arc<str>,
    /// Its first few arguments, each cut short, redacted.
    pub arguments: Arc<[String]>,
}

impl Ancestor {
    fn to_message(&self, boot: i64) -> v1::Ancestor {
        let mut ancestor = v1::Ancestor {
            pid: self.id.pid,
            exe: self.executable.to_string(),
            command_line: self.arguments.to_vec(),
            ..v1::Ancestor::default()
        };
        if let Some((seconds, nanos)) = since_epoch(boot, self.id.start_time) {
            let start = ancestor.start_time.get_or_insert_default();
            (start.seconds, start.nanos) = (seconds, nanos);
        }
        ancestor
    }
}

/// A process, as far as it is known. What is not known is empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Process {
    /// Its id.
    pub id: ProcessId,
    /// Where the rest comes from.
    pub origin: Origin,
    /// Path of the program, in the process's own mount namespace. Begins with `…` where its beginning was cut.
    pub executable: Arc<str>,
    /// The program's file.
    pub file: Option<FileId>,
    /// SHA-256 of the program's file.
    pub sha256: Option<[u8; 32]>,
    /// The name that exec was called with: of a script, the script. Empty for a process from `/proc`.
    pub called_as: Arc<str>,
    /// The arguments, redacted: as given to exec, and for a process from `/proc` as it shows them now.
    pub arguments: Arc<[String]>,
    /// True where there were more arguments than are kept.
    pub arguments_cut: bool,
    /// Working directory, in the process's own mount namespace: at exec, or when it was first seen.
    pub directory: Arc<str>,
    /// Real user id in the first user namespace.
    pub user: Option<u32>,
    /// The user's name on the host.
    pub user_name: Arc<str>,
    /// Login user id of the audit system; `None` where there was no login.
    pub login_user: Option<u32>,
    /// The processes it comes from, its parent first, without the first process.
    pub ancestors: Arc<[Ancestor]>,
    /// Its control group: container, pod, unit.
    pub cgroup: Arc<Cgroup>,
}

impl Process {
    /// A process of which nothing is known but its id.
    #[must_use]
    pub fn unknown(id: ProcessId) -> Self {
        Self {
            id,
            origin: Origin::Unknown,
            executable: Arc::from(""),
            file: None,
            sha256: None,
            called_as: Arc::from(""),
            arguments: Arc::from([]),
            arguments_cut: false,
            directory: Arc::from(""),
            user: None,
            user_name: Arc::from(""),
            login_user: None,
            ancestors: Arc::from([]),
            cgroup: Arc::default(),
        }
    }

    /// As it stands in an event. `boot` is when the host booted, in nanoseconds since the Unix epoch. The caller adds
    /// what is no fact of the process: address, and the name and version that MCP tells.
    #[must_use]
    pub fn to_peer(&self, boot: i64) -> v1::Peer {
        let mut peer = v1::Peer {
            pid: self.id.pid,
            exe: self.executable.to_string(),
            exe_sha256: self.sha256.as_ref().map(hexadecimal).unwrap_or_default(),
            command_line: self.arguments.to_vec(),
            working_directory: self.directory.to_string(),
            uid: self.user,
            user: self.user_name.to_string(),
            login_uid: self.login_user,
            ancestors: self.ancestors.iter().map(|ancestor| ancestor.to_message(boot)).collect(),
            container: self
                .cgroup
                .container
                .as_ref()
                .map(|container| v1::Container { id: container.id.clone(), runtime: container.runtime.name().to_owned() }),
            pod: (!self.cgroup.pod_uid.is_empty()).then(|| v1::Pod { uid: self.cgroup.pod_uid.clone(), ..v1::Pod::default() }),
            systemd_unit: self.cgroup.systemd_unit.clone(),
            cgroup: self.cgroup.path.to_string(),
            ..v1::Peer::default()
        };
        if let Some((seconds, nanos)) = since_epoch(boot, self.id.start_time) {
            let start = peer.start_time.get_or_insert_default();
            (start.seconds, start.nanos) = (seconds, nanos);
        }
        peer
    }
}

/// Seconds and nanoseconds since the Unix epoch of a time since boot; `None` where that is not known.
fn since_epoch(boot: i64, time: Time) -> Option<(i64, i32)> {
    if time == 0 {
        return None;
    }
    let nanoseconds = i128::from(boot) + i128::from(time);
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?;
    Some((seconds, i32::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()?))
}

/// Lower-case digits.
fn hexadecimal(bytes: &[u8; 32]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
