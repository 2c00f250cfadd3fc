//! What is done about processes: stop, kill, resume, on exactly the right one or not at all.
//!
//! ```text
//! a rule's finding ─► Order ─► Sessions: who is meant ─► held by pidfd, start time and program compared ─► exempt?
//!   by hand ────────►                                                                 ─► limit ─► signal ─► Action
//! ```
//!
//! Invariants: a signal goes through a pidfd whose process was made sure of ([`crate::identity::LiveProcess`]), or is sent by
//! the kernel to a marked process in its own context after its start time was compared; nobody exempt is ever signalled or
//! marked; whoever is stopped is held by the [`guardian`] first, so that it goes on when the sensor ends; every order leaves
//! an [`v1::Action`], whatever came of it, but for orders of rules while enforcement is off.
//!
//! What is meant by "the right one" stands in `CASES.md`.
#![forbid(unsafe_code)]

mod act;
mod exempt;
pub mod guardian;
mod hand;
mod limit;
mod order;
mod sessions;
mod stopped;
#[cfg(test)]
mod tests;
mod tree;

pub use exempt::{Exempt, Own};
pub use guardian::Guardian;
pub use hand::{Answer, ByHand, Denied, Request, Side, Which};
pub use order::{By, Done, Order, Refusal};
pub use sessions::peers_of;

use crate::{
    capture::{Record, process_of},
    identity::Known,
};
use exempt::Exemptions;
use limit::Limit;
use mcp_sensor_proto::v1;
use order::Case;
use rustc_hash::FxHashMap;
use sensor_core::{
    event::Event,
    input::{ProcessId, Time},
};
use sensor_ebpf::SignalRecord;
use sessions::Sessions;
use std::{collections::VecDeque, io};
use stopped::Stopped;

/// Actions that are remembered for `mcp-sensor actions`.
pub const REMEMBERED: usize = 1000;
/// Orders that wait for their process to be told from others, at most.
const PARKED: usize = 256;
/// Time between two looks after the guardian.
const LOOK: Time = 1_000_000_000;

/// What orders lead to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Enforcement {
    /// To nothing.
    Off,
    /// To all checks and the event, and to no signal.
    #[default]
    DryRun,
    /// To signals.
    On,
}

/// What the configuration says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// What orders lead to.
    pub mode: Enforcement,
    /// Who is never touched, beside the fixed list.
    pub exempt: Exempt,
    /// Actions a minute on this host, at most.
    pub actions_per_minute: u32,
}

/// Has the kernel send a signal to a process when it reads or writes next.
pub trait Marks: Send {
    /// Marks a process.
    ///
    /// # Errors
    /// Where the kernel refuses, or the map is full.
    fn mark(&mut self, process: ProcessId, signal: u32) -> io::Result<()>;
    /// Takes the mark off again, if it is there still.
    fn unmark(&mut self, process: ProcessId);
}

/// A process that the kernel is to signal, and why.
struct Marked {
    case: Case,
    process: ProcessId,
    /// Its number with the guardian, where it is to be stopped.
    held: Option<stopped::Held>,
}

/// See the module.
pub struct Responder {
    mode: Enforcement,
    exemptions: Exemptions,
    limit: Limit,
    own: Own,
    sessions: Sessions,
    guardian: Option<Guardian>,
    marks: Option<Box<dyn Marks>>,
    marked: FxHashMap<u32, Marked>,
    stopped: Stopped,
    parked: VecDeque<Case>,
    done: Vec<Done>,
    history: VecDeque<v1::Event>,
    /// Every record before this moment was seen.
    now: Time,
    looked: Time,
    /// The pids of the kernel's records are not those that this process can signal.
    foreign: bool,
    /// Makes ids of actions.
    seed: u64,
    number: u64,
}

impl Responder {
    /// `own_pid`: the sensor's pid in the host's pid namespace; `seed`: what tells this run's ids from other runs'.
    #[must_use]
    pub fn new(settings: Settings, own_pid: u32, guardian: Option<Guardian>, marks: Option<Box<dyn Marks>>, seed: u64) -> Self {
        let Settings { mode, exempt, actions_per_minute } = settings;
        let own = Own { sensor: own_pid, guardian: guardian.as_ref().map(Guardian::pid) };
        Self {
            mode,
            exemptions: Exemptions::new(exempt),
            limit: Limit::new(actions_per_minute),
            own,
            sessions: Sessions::default(),
            guardian,
            marks,
            marked: FxHashMap::default(),
            stopped: Stopped::default(),
            parked: VecDeque::new(),
            done: Vec::new(),
            history: VecDeque::new(),
            now: 0,
            looked: 0,
            foreign: own_pid != std::process::id(),
            seed,
            number: 0,
        }
    }

    /// What orders lead to.
    #[must_use]
    pub const fn mode(&self) -> Enforcement {
        self.mode
    }

    /// Takes new settings over. What was stopped stays so; where nothing is to be done any more, no mark is left.
    pub fn set(&mut self, settings: Settings) {
        let Settings { mode, exempt, actions_per_minute } = settings;
        self.mode = mode;
        self.exemptions = Exemptions::new(exempt);
        self.limit.set(actions_per_minute);
        // Who is marked may be exempt by now; who is not will be marked again when it comes to that.
        self.unmark_all();
        if mode != Enforcement::Off && self.guardian.is_none() {
            self.replace_guardian();
        }
    }

    /// Learns from an event, before anything is decided about it.
    pub fn seen(&mut self, event: &Event<'_>) {
        self.sessions.seen(event);
    }

    /// Learns from a record, after the table of processes has learned from it.
    pub fn record(&mut self, record: &Record<'_>, known: &mut Known) {
        match record {
            Record::Chunk(chunk) => self.now = self.now.max(chunk.time),
            Record::Touch(touch) => self.now = self.now.max(touch.time),
            Record::Exec(exec) => self.sessions.exec(process_of(&exec.header)),
            Record::Exit(exit) => self.exit(process_of(&exit.header)),
            Record::Signal(signal) => self.kernel_sent(signal, known),
            Record::Fork(_) | Record::Recorded(_) => {}
        }
    }

    fn exit(&mut self, process: ProcessId) {
        if self.marked.get(&process.pid).is_some_and(|marked| marked.process == process) {
            self.unmark(process.pid);
        }
        if let Some(held) = self.stopped.remove(process) {
            self.let_go(held.number);
        }
    }

    /// Periodic work. `now`: every record before that moment was given.
    pub fn tick(&mut self, now: Time, known: &mut Known) {
        self.now = self.now.max(now);
        for case in std::mem::take(&mut self.parked) {
            self.carry_out(case, known);
        }
        if now.saturating_sub(self.looked) >= LOOK {
            self.looked = now;
            if self.guardian.as_mut().is_some_and(|guardian| !guardian.is_alive()) {
                tracing::warn!("the guardian of stopped processes has ended, and is started anew");
                self.replace_guardian();
            }
        }
    }

    /// The end: whoever was stopped goes on, and no mark is left.
    pub fn finish(&mut self, known: &mut Known) {
        for case in std::mem::take(&mut self.parked) {
            self.finish_case(case, v1::action::Outcome::Refused, "the sensor ends", Vec::new());
        }
        self.unmark_all();
        if !self.stopped.is_empty() {
            self.resume_for(&Which::All, "the sensor ends".to_owned(), String::new(), None, known);
        }
    }

    /// What was done since the last call, to be told.
    pub fn take_done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.done)
    }

    /// Keeps an action's event for `mcp-sensor actions`.
    pub fn remember(&mut self, event: &v1::Event) {
        if self.history.len() >= REMEMBERED {
            self.history.pop_front();
        }
        let mut event = v1::Event { client: None, server: None, ..event.clone() };
        if let Some(v1::event::Body::Action(action)) = &mut event.body {
            for victim in &mut action.processes {
                if let Some(peer) = &mut victim.process {
                    // What fills memory and is in the stream anyway.
                    (peer.command_line, peer.ancestors) = (Vec::new(), Vec::new());
                }
            }
        }
        self.history.push_back(event);
    }

    /// Orders that the limit refused so far.
    #[must_use]
    pub const fn refused_by_limit(&self) -> u64 {
        self.limit.refused
    }

    fn unmark(&mut self, pid: u32) -> Option<Marked> {
        let marked = self.marked.remove(&pid)?;
        if let Some(marks) = &mut self.marks {
            marks.unmark(marked.process);
        }
        if let Some(held) = &marked.held {
            self.let_go(held.number);
        }
        Some(marked)
    }

    fn unmark_all(&mut self) {
        let pids: Vec<u32> = self.marked.keys().copied().collect();
        for pid in pids {
            self.unmark(pid);
        }
    }

    fn let_go(&self, number: u64) {
        if let Some(guardian) = &self.guardian {
            // Where it cannot be told, the process gets a SIGCONT too many in the end.
            let _ = guardian.let_go(number);
        }
    }

    /// Starts another guardian, and hands it all that is to be held.
    ///
    /// The old one's socket goes first, so that the new one gets its number, a low one. The kernel closes the files of a
    /// process that was killed in the order of their numbers, and those of BPF programs take long: a guardian whose socket
    /// comes behind them learns of the sensor's end only then.
    fn replace_guardian(&mut self) {
        drop(self.guardian.take());
        match Guardian::start() {
            Ok(guardian) => {
                self.own.guardian = Some(guardian.pid());
                let marked = self.marked.values().filter_map(|marked| marked.held.as_ref());
                for held in self.stopped.iter().map(|entry| &entry.held).chain(marked) {
                    if let Err(error) = guardian.hold(held.number, held.process()) {
                        tracing::error!("the guardian does not take a stopped process: {error}");
                    }
                }
                self.guardian = Some(guardian);
            }
            Err(error) => {
                tracing::error!("no guardian of stopped processes can be started, so that nothing will be stopped: {error}");
                (self.guardian, self.own.guardian) = (None, None);
            }
        }
    }

    /// The kernel has sent a signal to a marked process.
    fn kernel_sent(&mut self, record: &SignalRecord, known: &mut Known) {
        let process = process_of(&record.header);
        let Some(marked) = self.marked.remove(&process.pid) else { return };
        if marked.process != process {
            self.marked.insert(process.pid, marked);
            return;
        }
        // The kernel has taken its mark off; the count of marks must learn it.
        if let Some(marks) = &mut self.marks {
            marks.unmark(process);
        }
        self.tell_kernel_sent(marked, record, known);
    }
}
