//! What the engine knows of one stream.

use super::backlog::Backlog;
use super::track::Track;
use crate::event::{MessageDirection, Transport};
use crate::input::{End, ProcessId, StreamKey, Time, Verdict};
use crate::mcp::classify::{Classifier, Reason};

/// Changes of the process at an end that are remembered.
const HISTORY: usize = 64;
/// Processes at an end that are remembered.
const PROCESSES: usize = 64;

/// The processes at one end of a stream.
#[derive(Debug, Default)]
pub struct Users {
    /// From which position on which process used the end; sorted by position.
    history: Vec<(u64, ProcessId)>,
    /// Every process that used it, and whether it lives.
    known: Vec<(ProcessId, bool)>,
    /// Up to this position it is known who used it.
    known_until: u64,
    /// True where several living processes use it.
    several: bool,
    /// True where a process uses it whose siblings may, too.
    has_siblings: bool,
}

impl Users {
    /// Learns that a process used the end at these positions. True where the process is new to it.
    pub fn learn(&mut self, process: ProcessId, offset: u64, bytes: u64) -> bool {
        self.known_until = self.known_until.max(offset.saturating_add(bytes));
        match self.history.last() {
            Some(&(from, last)) if last == process && from <= offset => return false,
            Some(&(from, _)) if from > offset => {
                // Told late: another CPU was faster.
                let at = self.history.partition_point(|&(from, _)| from <= offset);
                self.history.insert(at, (offset, process));
            }
            _ => self.history.push((offset, process)),
        }
        if self.history.len() > HISTORY {
            self.history.drain(..HISTORY / 2);
        }
        if self.known.iter().any(|&(known, _)| known == process) {
            return false;
        }
        if self.known.len() >= PROCESSES {
            let oldest_dead = self.known.iter().position(|&(_, alive)| !alive).unwrap_or(0);
            self.known.remove(oldest_dead);
        }
        self.known.push((process, true));
        self.count();
        true
    }

    /// Processes like the one that uses it may use it as well: workers that were forked with its descriptor.
    pub const fn expect_siblings(&mut self) {
        self.has_siblings = true;
    }

    fn count(&mut self) {
        self.several = self.known.iter().filter(|&&(_, alive)| alive).count() > 1;
    }

    /// True where several processes take turns at the end, and whose turn this position is has not shown yet.
    #[inline]
    pub const fn is_open_at(&self, offset: u64) -> bool {
        (self.several || self.has_siblings) && offset >= self.known_until
    }

    /// Takes it for known who used the end up to a position: nothing more will show.
    pub fn settle(&mut self, offset: u64) {
        self.known_until = self.known_until.max(offset);
    }

    /// Forgets who has ended; gives who that was.
    pub fn forget_dead(&mut self) -> Vec<ProcessId> {
        let dead: Vec<ProcessId> = self.known.iter().filter(|&&(_, alive)| !alive).map(|&(process, _)| process).collect();
        self.known.retain(|&(_, alive)| alive);
        self.history.retain(|(_, process)| !dead.contains(process));
        dead
    }

    /// The process that used the end at a position, as far as known: else the nearest known one.
    pub fn at(&self, offset: u64) -> Option<ProcessId> {
        let found = self.history.iter().rev().find(|&&(from, _)| from <= offset).or_else(|| self.history.first());
        found.map(|&(_, process)| process)
    }

    /// The process that used it last.
    pub fn last(&self) -> Option<ProcessId> {
        self.history.last().map(|&(_, process)| process)
    }

    /// Every process that used it.
    pub fn iter(&self) -> impl Iterator<Item = ProcessId> {
        self.known.iter().map(|&(process, _)| process)
    }

    /// True where nobody is known to have used it.
    pub const fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// True where a process used both this end and the other.
    pub fn shares(&self, other: &Self) -> bool {
        self.iter().any(|process| other.known.iter().any(|&(known, _)| known == process))
    }

    /// Notes that a process has ended.
    pub fn bury(&mut self, process: ProcessId) {
        for known in self.known.iter_mut().filter(|known| known.0 == process) {
            known.1 = false;
        }
        self.count();
    }

    /// True where every process that used it has ended, and there was one.
    pub fn all_dead(&self) -> bool {
        !self.known.is_empty() && self.known.iter().all(|&(_, alive)| !alive)
    }
}

/// What a stream is taken for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Not known yet.
    Candidate,
    /// One direction of a session (by its slot).
    Bound(u32, MessageDirection),
    /// Not MCP. What is left of it tells who used it, in case that a session's answers come this way after all.
    Ignored(Reason),
}

/// One stream.
#[derive(Debug)]
pub struct Stream {
    /// Its key.
    pub key: StreamKey,
    /// See [`crate::input::Chunk::epoch`].
    pub epoch: Time,
    /// Tells it from another stream in the same slot.
    pub serial: u64,
    /// What it is taken for.
    pub state: State,
    /// The verdict given last, and when.
    pub told: Option<(Verdict, Time)>,
    /// Who writes.
    pub writers: Users,
    /// Who reads.
    pub readers: Users,
    /// What speaks for and against MCP.
    pub classifier: Classifier,
    /// Messages that wait.
    pub backlog: Backlog,
    /// What passed lately, where it is JSON-RPC.
    pub track: Option<Box<Track>>,
    /// Position of the first byte that was seen.
    pub first_offset: Option<u64>,
    /// When it was used last.
    pub last_time: Time,
    /// When everybody at one of its ends was dead.
    pub dead_since: Option<Time>,
    /// Times that a partner was looked for after waiting.
    pub attempts: u8,
}

impl Stream {
    /// A stream of which nothing is known.
    pub fn new(key: StreamKey, epoch: Time, serial: u64, time: Time) -> Self {
        Self {
            key,
            epoch,
            serial,
            state: State::Candidate,
            told: None,
            writers: Users::default(),
            readers: Users::default(),
            classifier: Classifier::default(),
            backlog: Backlog::default(),
            track: None,
            first_offset: None,
            last_time: time,
            dead_since: None,
            attempts: 0,
        }
    }

    /// The processes at an end.
    pub const fn users_mut(&mut self, end: End) -> &mut Users {
        match end {
            End::Writer => &mut self.writers,
            End::Reader => &mut self.readers,
        }
    }

    /// What carries it.
    pub const fn transport(&self) -> Transport {
        match self.key {
            StreamKey::Pipe { .. } => Transport::Pipe,
            StreamKey::Unix { .. } => Transport::Unix,
            StreamKey::Tcp { .. } => Transport::Tcp,
            StreamKey::Pty { .. } => Transport::Pty,
        }
    }

    /// True where the answers may come on another object: a pipe, or one of two socket pairs (Node makes one for each of
    /// a child's stdin and stdout).
    pub const fn is_one_way(&self) -> bool {
        matches!(self.key, StreamKey::Pipe { .. } | StreamKey::Unix { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> ProcessId {
        ProcessId { pid, start_time: 1 }
    }

    #[test]
    fn each_position_has_the_process_that_used_it_then() {
        let mut users = Users::default();
        assert!(users.learn(process(1), 0, 50));
        assert!(!users.learn(process(1), 50, 50));
        assert!(users.learn(process(2), 100, 100));
        assert!(!users.learn(process(1), 200, 1));
        // News that comes late finds its place.
        assert!(users.learn(process(3), 150, 50));
        let at = |offset| users.at(offset).unwrap().pid;
        assert_eq!((at(0), at(99), at(100), at(149), at(150), at(200), at(9999)), (1, 1, 2, 2, 3, 1, 1));
    }

    #[test]
    fn thousands_of_changes_and_processes_stay_small() {
        let mut users = Users::default();
        for n in 0..10_000_u32 {
            users.learn(process(n), u64::from(n) * 10, 10);
            users.bury(process(n));
        }
        assert!(users.history.len() <= HISTORY && users.known.len() <= PROCESSES);
        assert_eq!(users.at(99_990), Some(process(9_999)));
    }
}
