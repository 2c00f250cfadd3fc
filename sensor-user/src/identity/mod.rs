//! Who is behind a process id: program, arguments, user, ancestors, container, pod, unit.
//!
//! The kernel tells everything at a process's exec ([`ExecRecord`]), so that a process which is gone a moment later is
//! known as well as any; a process that was forked and never called exec runs its parent's program. Processes older
//! than the sensor come from one scan of `/proc`, made after the hooks are attached, so that none slips through
//! between. What only the live process can tell (the digest of the very file it runs) is taken when it is first seen
//! speaking ([`Identities::observe`]).
//!
//! Invariants:
//! - A process is its pid and its start time. Nothing of another process is ever told of it, though its pid be used
//!   again; where that cannot be made sure of, the field stays empty. So it is with digests, too.
//! - What the kernel told at exec wins over `/proc`, but for what can change since: user and control group.
//! - [`Identities::get`] never fails and never waits: what may take long is done by a thread of its own, and
//!   [`Identities::pending`] tells that it is under way.
//! - Memory is bounded ([`Limits`]), whatever the host does.
//! - Arguments leave this module redacted only.

mod cgroup;
mod exclude;
mod hash;
mod known;
mod live;
mod observe;
mod proc;
mod process;
mod program;
mod record;
mod scan;
mod table;
#[cfg(test)]
mod tests;
mod users;
mod worker;

pub use cgroup::{Cgroup, Container, Runtime};
pub use exclude::{Exclusion, Exclusions};
pub(crate) use exclude::{is_file, is_within};
pub use known::{Known, Recorded};
pub use live::{LiveProcess, NotHeld, RunningProgram};
pub use process::{Ancestor, FileId, Origin, Process};
pub use table::Limits;
pub use worker::Counts;

use program::{Meter, Program, Source};
use rustix::time::{ClockId, clock_gettime};
use sensor_core::input::{ProcessId, Time};
use sensor_ebpf::{ARGUMENTS_CAPACITY, CGROUP_CAPACITY, ExecRecord, ExitRecord, ForkRecord, PATH_CAPACITY, RecordHeader};
use std::{path::PathBuf, sync::Arc};
use table::{Entry, Key, Link, Table, Told};
use users::Users;
use worker::{Wall, Worker};

/// True where `/proc` shows the processes of the whole host, not those of a pid namespace of the sensor's own.
#[must_use]
pub fn proc_is_host() -> bool {
    proc::is_host("/proc".as_ref())
}

/// The number of a user: a number as it is, or the one that `/etc/passwd` has for a name.
#[must_use]
pub fn user_id(user: &str) -> Option<u32> {
    Users::new(Some("/etc/passwd".into())).number(user)
}

/// The name of a user, as `/etc/passwd` has it; empty where it has none.
#[must_use]
pub fn user_name(user: u32) -> String {
    Users::new(Some("/etc/passwd".into())).name(user).to_string()
}

/// Replaces the secrets in an argument list.
pub type Redact = Box<dyn Fn(&[String]) -> Vec<String> + Send>;

/// Where identities come from and how much is kept.
pub struct Settings {
    /// Where the host's procfs is mounted. `None`: records alone tell (replay).
    pub proc: Option<PathBuf>,
    /// The host's list of users. `None`: users have no names.
    pub passwd: Option<PathBuf>,
    /// How much is kept.
    pub limits: Limits,
    /// Bytes of the largest executable that is digested.
    pub hash_limit: u64,
    /// Redacts arguments.
    pub redact: Redact,
}

impl Settings {
    /// For the machine that the sensor runs on.
    #[must_use]
    pub fn new(redact: Redact) -> Self {
        Self { proc: Some("/proc".into()), passwd: Some("/etc/passwd".into()), limits: Limits::default(), hash_limit: 4 << 30, redact }
    }
}

/// The processes of this host, as far as they are known.
pub struct Identities {
    table: Table,
    users: Users,
    worker: Worker,
    redact: Redact,
    meter: Meter,
    /// The host's procfs, if it is that.
    proc: Option<PathBuf>,
    cgroups_are_host: bool,
    /// Runs where nothing is known.
    unknown: Arc<Program>,
    /// The control group and directory of the last exec: most are their predecessor's.
    last: (Arc<Cgroup>, Arc<str>),
}

impl Identities {
    /// Reads nothing of any process yet, only whose processes `/proc` shows.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { proc, passwd, limits, hash_limit, redact } = settings;
        let proc = proc.filter(|root| proc::is_host(root));
        let meter = Meter::default();
        let unknown = Program::new(&meter, Source::default());
        // Nobody asks for what cannot be known.
        unknown.set_arguments(Vec::new(), false);
        Self {
            table: Table::new(limits, Arc::clone(&meter)),
            users: Users::new(passwd),
            worker: Worker::new(proc.clone().unwrap_or_default(), hash_limit),
            redact,
            meter,
            cgroups_are_host: proc.as_deref().is_some_and(proc::cgroups_are_host),
            proc,
            unknown,
            last: (Arc::default(), Arc::from("")),
        }
    }

    /// False where the sensor sees the processes of a pid namespace of its own in `/proc`, not the host's: then nothing
    /// is read from it, and processes older than the sensor stay unknown. Told to the operator.
    #[must_use]
    pub fn proc_is_host(&self) -> bool {
        self.proc.is_some()
    }

    /// What the background thread did.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.worker.counts()
    }

    /// Processes that are known to live, and that ended and are kept.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        self.table.len()
    }

    /// True where no process is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// Processes that were forgotten for lack of room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.table.evicted
    }

    /// A process replaced its program.
    pub fn exec(&mut self, record: &ExecRecord) {
        let id = process_of(&record.header);
        let parent = parent_of(record.parent_pid, record.parent_start_time);
        let cgroup = self.cgroup_of(record);
        let directory = record::path(&record.directory, record.directory_length, PATH_CAPACITY);
        if *self.last.1 != *directory {
            self.last.1 = directory.into();
        }
        let directory = Arc::clone(&self.last.1);
        let executable = match record.executable_length {
            0 => String::new(),
            length => record::path(&record.executable, length, PATH_CAPACITY),
        };
        let length = usize::try_from(record.arguments_length).unwrap_or(usize::MAX);
        let arguments = record.arguments.get(..length).unwrap_or(&record.arguments).to_vec();
        let program = Program::new(
            &self.meter,
            Source {
                executable: executable.into(),
                file: Some(FileId { device: record.executable_device, inode: record.executable_inode }),
                called_as: record::string(&record.file_name).into_owned(),
                since: Some(record.header.time),
                arguments: Some((arguments, length > ARGUMENTS_CAPACITY)),
                more: directory.len() + cgroup.path.len(),
            },
        );

        let old = self.table.get(id).map(|old| (old.parent, old.forked_from.take(), old.lineage.take(), old.used));
        // Who forked it says more than whose child it is now: a parent may have ended meanwhile.
        let (parent, forked_from, lineage, used) = match old {
            Some((Some(parent), forked_from, lineage, used)) => (Some(parent), forked_from, lineage, used),
            Some((None, _, _, used)) => (parent, None, None, used),
            None => (parent, None, None, false),
        };
        let lineage = lineage.or_else(|| self.table.lineage_of_children(parent?));
        self.table.insert(
            id.pid,
            Entry {
                start_time: id.start_time,
                exact: true,
                origin: Origin::Exec,
                parent,
                forked_from,
                lineage,
                directory,
                user: Some(record.user),
                login_user: Some(record.login_user).filter(|user| *user != u32::MAX),
                pid_namespace: Some(record.pid_namespace).filter(|number| *number != 0),
                cgroup,
                used,
                ..Entry::new(program)
            },
        );
    }

    /// A process came to be.
    pub fn fork(&mut self, record: &ForkRecord) {
        let id = process_of(&record.header);
        let parent = parent_of(record.parent_pid, record.parent_start_time);
        let lineage = parent.and_then(|parent| self.table.lineage_of_children(parent));
        if let Some(child) = self.table.get(id).filter(|child| !child.program.is_unknown()) {
            // The scan came before its record was read, and saw the child itself: its parent may run another program now.
            (child.parent, child.lineage, child.told) = (parent, lineage, None);
            return;
        }
        let mut entry = match parent.and_then(|parent| self.table.get(parent)) {
            Some(parent) => Entry {
                origin: if parent.program.is_unknown() { Origin::Unknown } else { Origin::Fork },
                forked_from: Some(Arc::clone(&parent.program)).filter(|program| !program.is_unknown()),
                directory: Arc::clone(&parent.directory),
                user: parent.user,
                login_user: parent.login_user,
                pid_namespace: parent.pid_namespace,
                cgroup: Arc::clone(&parent.cgroup),
                ..Entry::new(Arc::clone(&parent.program))
            },
            None => Entry::new(Arc::clone(&self.unknown)),
        };
        (entry.start_time, entry.exact, entry.parent, entry.lineage) = (id.start_time, true, parent, lineage);
        self.table.insert(id.pid, entry);
    }

    /// A process ended. It stays known for what is still on its way.
    pub fn exit(&mut self, record: &ExitRecord) {
        let id = process_of(&record.header);
        if self.table.get(id).is_some() {
            self.table.end(Key::from(id));
        }
    }

    /// What is known of a process; it costs next to nothing when nothing changed.
    ///
    /// A process that no record told of is looked up in `/proc`, once.
    pub fn get(&mut self, process: ProcessId) -> Arc<Process> {
        self.look_up(process);
        let answers = self.worker.answers();
        let Some(entry) = self.table.get(process) else { return Arc::new(Process::unknown(process)) };
        entry.used = true;
        if let Some(told) = &entry.told
            && told.pending.is_none_or(|then| then == answers)
        {
            return Arc::clone(&told.process);
        }
        let links = self.links(process);
        let pending = self.ask_arguments(process, &links);
        self.tell(process, &links, pending.then_some(answers))
    }

    /// True while something of the process is being computed or read: [`Self::get`] will tell more. It may be true for
    /// as long as a file system does not answer, so whoever waits for it sets a limit.
    #[must_use]
    pub fn pending(&self, process: ProcessId) -> bool {
        self.table.peek(process).is_some_and(|entry| {
            let mut ancestors = entry.lineage.iter().flat_map(|links| links.iter());
            entry.program.hash_pending() || entry.program.arguments_pending() || ancestors.any(|link| link.program.arguments_pending())
        })
    }

    /// True while the command line of the process, or of one that it comes from, is being read.
    #[must_use]
    pub fn arguments_pending(&self, process: ProcessId) -> bool {
        self.table.peek(process).is_some_and(|entry| {
            let mut ancestors = entry.lineage.iter().flat_map(|links| links.iter());
            entry.program.arguments_pending() || ancestors.any(|link| link.program.arguments_pending())
        })
    }

    /// Its ancestors; those that the table lost are read from `/proc` again.
    fn links(&mut self, process: ProcessId) -> Arc<[Link]> {
        self.load_parents(process);
        self.table.lineage(Key::from(process))
    }

    /// Builds what is told of a process, and keeps it; with `pending` until the worker's answers are more than that.
    fn tell(&mut self, id: ProcessId, links: &[Link], pending: Option<u64>) -> Arc<Process> {
        let Some(entry) = self.table.get(id) else { return Arc::new(Process::unknown(id)) };
        let program = &entry.program;
        let shown = program.shown(&self.redact);
        let ancestors = links
            .iter()
            .map(|Link { id, program }| Ancestor {
                id: *id,
                executable: Arc::clone(&program.executable),
                arguments: program.shown(&self.redact).map_or_else(|| Arc::from([]), |shown| Arc::clone(&shown.short)),
            })
            .collect();
        let unknown = Process::unknown(id);
        let told = Arc::new(Process {
            origin: entry.origin,
            executable: Arc::clone(&program.executable),
            file: program.file,
            sha256: program.hash(),
            called_as: Arc::clone(&program.called_as),
            arguments: shown.map_or(unknown.arguments, |shown| Arc::clone(&shown.full)),
            arguments_cut: shown.is_some_and(|shown| shown.cut),
            directory: Arc::clone(&entry.directory),
            user: entry.user,
            user_name: entry.user.map_or(unknown.user_name, |user| self.users.name(user)),
            login_user: entry.login_user,
            ancestors,
            cgroup: with_runtime(&entry.cgroup, links),
            id,
        });
        entry.told = Some(Told::new(&told, pending, &self.meter));
        told
    }

    fn cgroup_of(&mut self, record: &ExecRecord) -> Arc<Cgroup> {
        let path = |bytes: &[u8], length: u32| record::path(bytes, length, CGROUP_CAPACITY);
        // The root of the hierarchy has no name.
        let v2 = if record.cgroup_id == 0 { String::new() } else { path(&record.cgroup, record.cgroup_length) };
        let v1 = match record.cgroup_v1_length {
            0 => String::new(),
            length => path(&record.cgroup_v1, length),
        };
        self.share_cgroup(Cgroup::new(&v2, &v1, is_namespaced(record.pid_namespace)))
    }

    fn share_cgroup(&mut self, cgroup: Cgroup) -> Arc<Cgroup> {
        if *self.last.0 != cgroup {
            self.last.0 = Arc::new(cgroup);
        }
        Arc::clone(&self.last.0)
    }
}

/// Completes a container whose control group does not tell what runs it: its monitor is one of the ancestors.
fn with_runtime(cgroup: &Arc<Cgroup>, links: &[Link]) -> Arc<Cgroup> {
    let Some(container) = cgroup.container.as_ref().filter(|found| found.runtime == Runtime::Unknown) else {
        return Arc::clone(cgroup);
    };
    let name = |link: &Link| link.program.executable.rsplit('/').next().unwrap_or_default().to_owned();
    let shim = links.iter().find(|link| name(link).starts_with("containerd-shim"));
    let runtime = match shim {
        // dockerd has its containers in a namespace of containerd that it calls so.
        Some(shim) if shim.program.has_argument("moby") => Some(Runtime::Docker),
        Some(_) => Some(Runtime::Containerd),
        None => {
            let direct = links.iter().any(|link| matches!(name(link).as_str(), "runc" | "crun" | "youki"));
            direct.then_some(Runtime::Runc)
        }
    };
    let Some(runtime) = runtime else { return Arc::clone(cgroup) };
    Arc::new(Cgroup { container: Some(Container { id: container.id.clone(), runtime }), ..Cgroup::clone(cgroup) })
}

fn is_namespaced(pid_namespace: u32) -> bool {
    pid_namespace != 0 && pid_namespace != proc::FIRST_PID_NAMESPACE
}

fn process_of(header: &RecordHeader) -> ProcessId {
    ProcessId { pid: header.pid, start_time: header.start_time }
}

fn parent_of(pid: u32, start_time: Time) -> Option<ProcessId> {
    (pid != 0).then_some(ProcessId { pid, start_time })
}

/// Now, and a moment of the kernel's clock, as file systems tell time.
fn wall_clocks(time: Time) -> (Wall, Wall) {
    let nanoseconds = |clock| {
        let now = clock_gettime(clock);
        i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
    };
    let now = nanoseconds(ClockId::Realtime);
    let then = now - nanoseconds(ClockId::Boottime) + i128::from(time);
    let wall = |time: i128| {
        let seconds = i64::try_from(time.div_euclid(1_000_000_000)).unwrap_or_default();
        (seconds, u32::try_from(time.rem_euclid(1_000_000_000)).unwrap_or_default())
    };
    (wall(now), wall(then))
}
