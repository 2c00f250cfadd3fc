//! Processes older than the sensor, and repair after records were lost.

use super::{
    Identities, Key,
    proc::{self, ProcessDir},
};
use rustc_hash::FxHashSet;
use std::{io, path::Path};

/// What to do about a process that is known.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Known {
    /// The kernel's record tells more.
    Keep,
    /// Records may be missing: believe `/proc` if it shows another program.
    Check,
}

impl Identities {
    /// Enters every process that lives now and that no record told of; returns how many those are.
    ///
    /// Call it once, after the hooks are attached: what starts while it runs is told by records. Where `/proc` is not
    /// the host's ([`Self::proc_is_host`]) it does nothing.
    ///
    /// # Errors
    ///
    /// The list of processes could not be read. Processes that end meanwhile are no error.
    pub fn scan(&mut self) -> io::Result<usize> {
        self.walk(Known::Keep)
    }

    /// Like [`Self::scan`], after records of processes were lost: corrects those whose exec was missed, too, and notes
    /// the end of those whose exit was missed. Returns how many were wrong.
    ///
    /// # Errors
    ///
    /// As [`Self::scan`].
    pub fn repair(&mut self) -> io::Result<usize> {
        self.walk(Known::Check)
    }

    fn walk(&mut self, known: Known) -> io::Result<usize> {
        let Some(root) = self.proc.clone() else { return Ok(0) };
        let before = self.table.living();
        let mut seen = FxHashSet::default();
        let mut entered = 0;
        for pid in proc::pids(&root)? {
            let Ok(dir) = ProcessDir::open(&root, pid) else { continue };
            if dir.stat.kernel_thread || dir.stat.ended {
                continue;
            }
            let key = Key { pid, tick: dir.stat.tick };
            seen.insert(key);
            if !self.is_right(key, &dir, known) {
                self.load(pid, &dir);
                entered += 1;
            }
        }
        if known == Known::Check {
            entered += self.bury(&root, before, &seen);
        }
        // The parents of those that were told already may be known now.
        self.table.retell();
        Ok(entered)
    }

    /// True where nothing is to be learned of a process from its `/proc`.
    fn is_right(&mut self, key: Key, dir: &ProcessDir, known: Known) -> bool {
        let Some(entry) = self.table.get_by_tick(key) else { return false };
        if entry.program.is_unknown() {
            return false;
        }
        let (path, file) = (entry.program.executable.clone(), entry.program.file);
        known == Known::Keep
            || dir.executable().map_or(true, |now| {
                let same_inode = file.is_some_and(|file| file.inode == now.facts.id.inode);
                same_inode && (file == Some(now.facts.id) || *path == *now.path)
            })
    }

    /// Notes the end of processes that `/proc` does not show any more.
    fn bury(&mut self, root: &Path, before: Vec<Key>, seen: &FxHashSet<Key>) -> usize {
        let mut ended = 0;
        for key in before.into_iter().filter(|key| !seen.contains(key)) {
            // A list that changes while it is read can leave one out.
            let lives = ProcessDir::open(root, key.pid).is_ok_and(|dir| dir.stat.tick == key.tick);
            if !lives {
                self.table.end(key);
                ended += 1;
            }
        }
        ended
    }
}
