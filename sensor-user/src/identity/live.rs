//! A process that is to be signalled: held by a pidfd, and made sure of.
//!
//! `/proc` tells start times in ticks of 10 ms, so a pid that comes into use again within the tick would pass for the
//! process before. It cannot where the process was alive after its first tick: whoever has the pid later started in a later
//! tick. [`Identities::is_settled`] tells from what moment on that is certain.

use super::{
    Identities, Process, hash,
    proc::{self, FIRST_PID_NAMESPACE, ProcessDir},
    process::FileId,
};
use rustix::{
    fd::{AsFd as _, OwnedFd},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use sensor_core::input::{ProcessId, Time};
use std::{io, path::Path, sync::Arc};

/// Ticks after the start of a process in which its pid may have come into use again unnoticed: its first one, and one more
/// for records of other CPUs that come late.
const UNSETTLED: u64 = 2;
/// Bytes that `/proc/<pid>/task/<tid>/children` may have.
const CHILDREN: usize = 1 << 20;
/// Write permission for others than the owner.
const WRITABLE_BY_OTHERS: u16 = 0o022;

/// A live process, held: what is asked of it later is asked of it or fails.
pub struct LiveProcess {
    /// Which.
    pub id: ProcessId,
    /// What is known of it.
    pub known: Arc<Process>,
    /// A thread of the kernel.
    pub kernel_thread: bool,
    /// Stopped by a signal.
    pub stopped: bool,
    /// The program that it runs now; absent where it cannot be told.
    pub program: Option<RunningProgram>,
    /// It is seen in the first pid namespace, that of the host.
    pub on_host: bool,
    pidfd: OwnedFd,
}

/// What a process runs, by the file itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunningProgram {
    /// Its path in the process's mount namespace.
    pub path: String,
    /// The file, as `stat` tells it.
    pub file: FileId,
    /// The mount that it is reached by.
    mount: u64,
    /// It has no name any more.
    pub unlinked: bool,
    /// Root owns it, and nobody else may write it.
    pub of_system: bool,
}

/// Why a process cannot be held.
#[derive(Debug)]
pub enum NotHeld {
    /// It has ended; another may have its pid.
    Gone,
    /// It began so shortly ago that its pid tells nothing yet; see [`Identities::is_settled`].
    Young,
    /// The system refuses.
    Refused(io::Error),
}

impl LiveProcess {
    /// Sends a signal to this very process.
    ///
    /// # Errors
    /// `ESRCH` where it has ended, and what the system says.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        pidfd_send_signal(&self.pidfd, signal)
    }

    /// The handle.
    #[must_use]
    pub fn into_pidfd(self) -> OwnedFd {
        self.pidfd
    }

    /// The handle, for somebody else to hold.
    #[must_use]
    pub const fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }
}

impl Identities {
    /// True where the records say that a process has ended.
    #[must_use]
    pub fn has_ended(&self, process: ProcessId) -> bool {
        self.table.peek(process).is_some_and(|entry| entry.dead)
    }

    /// True where a process that has not ended by the records up to `now` is told from others by its pid and its start time
    /// as `/proc` tells it.
    #[must_use]
    pub const fn is_settled(process: ProcessId, now: Time) -> bool {
        proc::tick(now) >= proc::tick(process.start_time) + UNSETTLED
    }

    /// The moment from which on [`Self::is_settled`] is true.
    #[must_use]
    pub const fn settled_at(process: ProcessId) -> Time {
        proc::start_of(proc::tick(process.start_time) + UNSETTLED)
    }

    /// Takes hold of a process. `now`: every record before that moment was given to this table.
    ///
    /// # Errors
    /// Where it is not there, or not certain.
    pub fn hold(&mut self, process: ProcessId, now: Time) -> Result<LiveProcess, NotHeld> {
        if self.has_ended(process) {
            return Err(NotHeld::Gone);
        }
        if !Self::is_settled(process, now) {
            return Err(NotHeld::Young);
        }
        let Some(root) = self.proc.clone() else {
            return Err(NotHeld::Refused(io::Error::other("the sensor does not see the host's processes in /proc")));
        };
        let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).ok_or(NotHeld::Gone)?;
        // The handle first: what is read behind it is of this process, or of one that began later, in another tick.
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(gone)?;
        let dir = ProcessDir::open(&root, process.pid).map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(errno) => gone(errno),
            None => NotHeld::Refused(error),
        })?;
        if dir.stat.ended || dir.stat.tick != proc::tick(process.start_time) {
            return Err(NotHeld::Gone);
        }
        Ok(LiveProcess {
            known: self.get(process),
            kernel_thread: dir.stat.kernel_thread,
            stopped: dir.stat.stopped,
            program: running_program(&dir),
            on_host: dir.pid_namespace() == Some(FIRST_PID_NAMESPACE),
            id: process,
            pidfd,
        })
    }

    /// Takes hold of whichever process has a pid now; it is `parent`'s child.
    ///
    /// # Errors
    /// As for [`Self::hold`].
    pub fn hold_child(&mut self, pid: u32, parent: u32) -> Result<LiveProcess, NotHeld> {
        let Some(root) = self.proc.clone() else { return Err(NotHeld::Gone) };
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(NotHeld::Gone)?;
        let pidfd = pidfd_open(raw, PidfdFlags::empty()).map_err(gone)?;
        let dir = ProcessDir::open(&root, pid).map_err(|_| NotHeld::Gone)?;
        if dir.stat.ended || dir.stat.parent != parent {
            return Err(NotHeld::Gone);
        }
        let id = ProcessId { pid, start_time: self.exact_start(pid, dir.stat.tick) };
        Ok(LiveProcess {
            known: self.get(id),
            kernel_thread: dir.stat.kernel_thread,
            stopped: dir.stat.stopped,
            program: running_program(&dir),
            on_host: dir.pid_namespace() == Some(FIRST_PID_NAMESPACE),
            id,
            pidfd,
        })
    }

    /// The pids of the children of a process, as `/proc` tells them now.
    #[must_use]
    pub fn children(&self, pid: u32) -> Vec<u32> {
        let Some(root) = &self.proc else { return Vec::new() };
        let tasks = root.join(pid.to_string()).join("task");
        let mut children = Vec::new();
        // Threads have children of their own.
        for thread in proc::pids(&tasks).unwrap_or_default() {
            match proc::read_file(&tasks.join(thread.to_string()), "children", CHILDREN) {
                Ok(text) => {
                    children.extend(String::from_utf8_lossy(&text).split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok()))
                }
                // A kernel without this list (CONFIG_PROC_CHILDREN).
                Err(error) if error.kind() == io::ErrorKind::NotFound && thread == pid => return children_by_scan(root, pid),
                Err(_) => {}
            }
        }
        children
    }

    /// A process and those it comes from, as `/proc` tells it now, the process itself first.
    #[must_use]
    pub fn line_of(&self, pid: u32) -> Vec<u32> {
        let mut line = vec![pid];
        let Some(root) = &self.proc else { return line };
        let mut current = pid;
        // A line without end would be one that changes while it is read.
        for _ in 0..256 {
            let Ok(dir) = ProcessDir::open(root, current) else { break };
            current = dir.stat.parent;
            if current == 0 {
                break;
            }
            line.push(current);
        }
        line
    }

    /// True where a process runs what the records say that it runs; also where they say nothing.
    #[must_use]
    pub fn runs_what_is_known(process: &LiveProcess) -> bool {
        let (Some(known), Some(now)) = (process.known.file, &process.program) else { return true };
        // `stat` tells another device than the kernel's own on btrfs and some overlays.
        known.inode == now.file.inode
            && (known.device == now.file.device
                || *process.known.executable == *now.path
                || hash::mount_device(Path::new("/proc"), now.mount) == Some(known.device))
    }

    fn exact_start(&mut self, pid: u32, tick: u64) -> Time {
        self.table.get_by_tick(super::Key { pid, tick }).map_or(proc::start_of(tick), |entry| entry.start_time)
    }
}

/// The children of a process, by asking every process for its parent.
fn children_by_scan(root: &Path, parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| ProcessDir::open(root, *pid).is_ok_and(|dir| dir.stat.parent == parent);
    proc::pids(root).unwrap_or_default().into_iter().filter(is_child).collect()
}

fn gone(error: Errno) -> NotHeld {
    match error {
        Errno::SRCH | Errno::NOENT => NotHeld::Gone,
        other => NotHeld::Refused(other.into()),
    }
}

fn running_program(dir: &ProcessDir) -> Option<RunningProgram> {
    let executable = dir.executable().ok()?;
    let facts = executable.facts;
    let owner = rustix::fs::fstat(executable.file.as_fd()).ok()?;
    Some(RunningProgram {
        path: executable.path,
        file: facts.id,
        mount: facts.mount,
        unlinked: facts.links == 0,
        of_system: owner.st_uid == 0 && u16::try_from(owner.st_mode & 0o777).unwrap_or(u16::MAX) & WRITABLE_BY_OTHERS == 0,
    })
}
