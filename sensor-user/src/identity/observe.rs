//! What is taken from a live process when it is first seen, and looked up where no record told.

use super::{
    Identities, Key, Link, is_namespaced,
    proc::{self, Executable, ProcessDir},
    process::Origin,
    program::{Program, Source},
    table::{ANCESTORS, Entry},
    wall_clocks,
    worker::Lost,
};
use crate::identity::{Cgroup, FileId, hash};
use sensor_core::input::ProcessId;
use std::sync::Arc;

/// Living relatives in whose mount namespaces a file is looked for.
const RELATIVES: usize = 3;

/// What `/proc` tells of a process at once.
pub(super) struct Snapshot {
    pub executable: Option<Executable>,
    pub directory: String,
    pub user: Option<u32>,
    pub login_user: Option<u32>,
    pub pid_namespace: Option<u32>,
    pub cgroups: (String, String),
}

impl Snapshot {
    pub fn take(dir: &ProcessDir) -> Self {
        Self {
            executable: dir.executable().ok(),
            directory: dir.directory().unwrap_or_default(),
            user: dir.user(),
            login_user: dir.login_user(),
            pid_namespace: dir.pid_namespace(),
            cgroups: dir.cgroups().unwrap_or_default(),
        }
    }
}

impl Identities {
    /// The process was seen speaking on a candidate stream: takes what only the live process can tell, above all the
    /// file that it runs, whose digest is computed in the background.
    ///
    /// Call it as soon as possible, and as often as is convenient: it does its work once for each program. It waits for
    /// nothing, and takes some 0.1 ms the first time.
    pub fn observe(&mut self, process: ProcessId) {
        self.look_up(process);
        let Some(entry) = self.table.get(process) else { return };
        entry.used = true;
        if entry.observed {
            return;
        }
        let (program, forked) = (Arc::clone(&entry.program), entry.origin == Origin::Fork);
        let Some(root) = self.proc.clone() else { return };
        let live = ProcessDir::open_process(&root, process).ok();
        match live.map(|dir| (dir.executable(), dir)) {
            Some((Ok(executable), dir)) => {
                self.refresh(process, &dir, forked);
                // Else another exec is on its way, and brings a program of its own to observe.
                if is_same(&program, &executable) {
                    self.worker.hash_live(executable, dir, &program);
                    self.observed(process, program.hash_pending() || program.hash().is_some());
                }
            }
            _ => {
                if let Some(lost) = self.lost(process, &program) {
                    self.worker.hash_lost(lost, &program);
                }
                self.observed(process, true);
            }
        }
    }

    fn observed(&mut self, process: ProcessId, done: bool) {
        if let Some(entry) = self.table.get(process) {
            (entry.observed, entry.told) = (done, None);
        }
    }

    /// Takes what can have changed since exec, or since the fork.
    fn refresh(&mut self, process: ProcessId, dir: &ProcessDir, forked: bool) {
        let user = dir.user();
        let directory = if forked { dir.directory() } else { None };
        let cgroups = if self.cgroups_are_host { dir.cgroups() } else { None };
        let Some(entry) = self.table.get(process) else { return };
        entry.told = None;
        entry.user = user.or(entry.user);
        if let Some(directory) = directory.filter(|directory| **directory != *entry.directory) {
            entry.directory = directory.into();
        }
        if let Some((v2, v1)) = cgroups
            && !v2.is_empty()
        {
            let cgroup = Cgroup::new(&v2, &v1, entry.pid_namespace.is_some_and(is_namespaced));
            if *entry.cgroup != cgroup {
                entry.cgroup = Arc::new(cgroup);
            }
        }
    }

    /// Where to look for the file that a process ran which is gone.
    fn lost(&mut self, process: ProcessId, program: &Program) -> Option<Lost> {
        let id = program.file?;
        let (_, since) = wall_clocks(program.since?);
        let relatives = self.table.lineage(Key::from(process)).iter().take(RELATIVES).map(|link| link.id).collect();
        Some(Lost { id, path: program.executable.to_string(), since, relatives })
    }

    /// Asks `/proc`, once, for a process of which no record told.
    pub(super) fn look_up(&mut self, process: ProcessId) {
        let known = match self.table.get(process) {
            Some(entry) => std::mem::replace(&mut entry.looked_up, true) || !entry.program.is_unknown(),
            // Another of the same tick, which `/proc` does not tell from this one.
            None => self.table.contains(Key::from(process)),
        };
        if known {
            return;
        }
        let dir = self.proc.as_deref().and_then(|root| ProcessDir::open_process(root, process).ok());
        match dir.filter(|dir| !dir.stat.ended) {
            Some(dir) => self.load(process.pid, &dir),
            // It is kept among the dead, so that nobody looks again.
            None if self.table.get(process).is_none() => {
                let entry = Entry { dead: true, observed: true, looked_up: true, ..Entry::new(Arc::clone(&self.unknown)) };
                self.table.insert(process.pid, Entry { start_time: process.start_time, exact: true, ..entry });
            }
            None => {}
        }
        // Learns the exact start time of what `/proc` told.
        let _ = self.table.get(process);
    }

    /// Enters a live process as `/proc` shows it. Of one that is known already, the parent and the start time stay.
    pub(super) fn load(&mut self, pid: u32, dir: &ProcessDir) {
        let snapshot = Snapshot::take(dir);
        let key = Key { pid, tick: dir.stat.tick };
        let namespaced = snapshot.pid_namespace.is_some_and(is_namespaced);
        let (v2, v1) = &snapshot.cgroups;
        let cgroup = self.share_cgroup(Cgroup::new(v2, v1, namespaced));
        let (executable, file) = match snapshot.executable {
            Some(Executable { path, facts, .. }) => (path, Some(facts.id)),
            None => (String::new(), None),
        };
        let more = snapshot.directory.len() + cgroup.path.len();
        let source = Source { executable: executable.into(), file, more, ..Source::default() };
        let old = self.table.get_by_tick(key);
        let (start_time, exact, parent, forked_from, lineage, used) = match old {
            Some(old) => (old.start_time, old.exact, old.parent, old.forked_from.take(), old.lineage.take(), old.used),
            None => (proc::start_of(key.tick), false, None, None, None, false),
        };
        let parent = parent.or_else(|| self.parent(dir));
        let program = Program::new(&self.meter, source);
        self.table.insert(
            pid,
            Entry {
                start_time,
                exact,
                origin: Origin::Proc,
                parent,
                forked_from,
                lineage,
                directory: snapshot.directory.into(),
                user: snapshot.user,
                login_user: snapshot.login_user,
                pid_namespace: snapshot.pid_namespace,
                cgroup,
                looked_up: true,
                used,
                ..Entry::new(program)
            },
        );
    }

    /// The parent of a live process, as `/proc` shows it now.
    fn parent(&mut self, dir: &ProcessDir) -> Option<ProcessId> {
        let pid = dir.stat.parent;
        let parent = ProcessDir::open(self.proc.as_deref()?, pid).ok()?;
        // A parent is older than its child; another that has its pid is not.
        if pid == 0 || parent.stat.tick > dir.stat.tick {
            return None;
        }
        let key = Key { pid, tick: parent.stat.tick };
        let start_time = self.table.get_by_tick(key).map_or(proc::start_of(key.tick), |entry| entry.start_time);
        Some(ProcessId { pid, start_time })
    }

    /// Looks up the ancestors that are not known, where they live.
    pub(super) fn load_parents(&mut self, process: ProcessId) {
        let mut key = Key::from(process);
        for _ in 0..ANCESTORS {
            let Some(entry) = self.table.get_by_tick(key) else { return };
            if entry.lineage.is_some() {
                return;
            }
            let Some(parent) = entry.parent.filter(|parent| parent.pid > 1) else { return };
            key = Key::from(parent);
            if !self.table.contains(key)
                && let Some(dir) = self.proc.as_deref().and_then(|root| ProcessDir::open_process(root, parent).ok())
            {
                self.load(parent.pid, &dir);
            }
        }
    }

    /// Asks for the arguments that are not known of a process and its ancestors; true while some are to come, or the
    /// digest.
    pub(super) fn ask_arguments(&mut self, process: ProcessId, links: &[Link]) -> bool {
        let Some(program) = self.table.get(process).map(|entry| Arc::clone(&entry.program)) else { return false };
        let mut pending = program.hash_pending();
        for (id, program) in std::iter::once((process, &program)).chain(links.iter().map(|link| (link.id, &link.program))) {
            if self.proc.is_some() {
                self.worker.arguments(id, program);
            }
            pending |= program.arguments_pending();
        }
        pending
    }
}

/// True where `executable` is the file of `program`.
fn is_same(program: &Program, executable: &Executable) -> bool {
    let Some(FileId { device, inode }) = program.file else { return false };
    let facts = &executable.facts;
    // `stat` tells another device than the kernel's own on btrfs and some overlays: there the path must be the same.
    let named = device == facts.id.device || *program.executable == *executable.path;
    facts.id.inode == inode
        && named
        && program.since.is_none_or(|since| {
            let (now, since) = wall_clocks(since);
            hash::unchanged_since(facts, since, now)
        })
}
