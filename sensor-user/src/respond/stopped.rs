//! The processes that were stopped and are to go on some day.

use super::order::Case;
use crate::identity::LiveProcess;
use rustix::fd::{AsFd as _, BorrowedFd};
use sensor_core::input::ProcessId;

/// Processes that may be stopped at a time.
pub const STOPPED: usize = 512;

/// A process that the guardian holds, too.
pub struct Held {
    /// Its number with the guardian.
    pub number: u64,
    /// The process.
    pub process: LiveProcess,
}

impl Held {
    /// The handle.
    pub fn process(&self) -> BorrowedFd<'_> {
        self.process.pidfd().as_fd()
    }
}

/// A process that was stopped.
pub struct Entry {
    /// It.
    pub held: Held,
    /// The order by which it was stopped.
    pub case: Case,
}

/// All of them.
#[derive(Default)]
pub struct Stopped(Vec<Entry>);

impl Stopped {
    /// True where there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True where no more may be stopped.
    pub const fn is_full(&self) -> bool {
        self.0.len() >= STOPPED
    }

    /// Those.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// One more.
    pub fn push(&mut self, entry: Entry) {
        self.0.push(entry);
    }

    /// Forgets a process, which has ended.
    pub fn remove(&mut self, process: ProcessId) -> Option<Held> {
        let at = self.0.iter().position(|entry| entry.held.process.id == process)?;
        Some(self.0.swap_remove(at).held)
    }

    /// Takes out those of which `wanted` is true.
    pub fn take(&mut self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(wanted);
        self.0 = left;
        taken
    }
}
