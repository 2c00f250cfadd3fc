//! Carrying an order out: who is meant, may it be done, the signal, and the account of it.

use super::{
    Enforcement, Marked, PARKED, Responder,
    order::{Case, Done, Order},
    stopped::{Entry, Held},
    tree::Branch,
};
use crate::identity::{Identities, Known, LiveProcess, NotHeld};
use mcp_sensor_proto::v1::{
    self,
    action::{Kind, Mechanism, Outcome, Victim},
};
use rustix::{io::Errno, process::Signal};
use sensor_core::input::ProcessId;
use sensor_ebpf::SignalRecord;
use std::time::Instant;

/// Processes that an action names at most.
const NAMED: usize = 128;
/// Marks at most: the kernel's map has more room.
const MARKED: usize = 2048;

/// A process that an order is aimed at, and how it fared.
struct Account {
    process: ProcessId,
    outcome: Outcome,
    detail: String,
}

impl Account {
    fn new(process: ProcessId, outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { process, outcome, detail: detail.into() }
    }
}

impl Responder {
    /// Does what an order asks for, as far as it may be done. What came of it is told by [`Self::take_done`]: at once, or,
    /// where the process began a moment ago, within some hundredths of a second.
    pub fn act(&mut self, order: &Order<'_>, known: &mut Known) {
        if self.mode == Enforcement::Off {
            return;
        }
        let case = Case::new(self.new_id(), order);
        self.carry_out(case, known);
    }

    /// An id for an action: 16 hexadecimal digits.
    pub(super) fn new_id(&mut self) -> String {
        self.number += 1;
        let digest = ring::digest::digest(&ring::digest::SHA256, &[self.seed.to_le_bytes(), self.number.to_le_bytes()].concat());
        format!("{:016x}", digest.as_ref().first_chunk().map_or(self.number, |bytes| u64::from_be_bytes(*bytes)))
    }

    /// True where signals are sent for this order.
    fn is_real(&self, case: &Case) -> bool {
        match self.mode {
            Enforcement::On => true,
            Enforcement::DryRun => case.force,
            Enforcement::Off => false,
        }
    }

    pub(super) fn carry_out(&mut self, case: Case, known: &mut Known) {
        let Some(identities) = known.identities() else { return };
        if self.foreign {
            let why = "the sensor runs in a pid namespace of its own, and cannot signal the host's processes (hostPID)";
            return self.finish_case(case, Outcome::Refused, why, Vec::new());
        }
        let aimed = self.sessions.aim(&case.session, case.target, case.client, case.server, |process| !identities.has_ended(process));
        let aim = match aimed {
            Ok(aim) => aim,
            Err(refusal) => return self.finish_case(case, Outcome::Refused, refusal.0, Vec::new()),
        };
        let (mut ready, mut accounts) = (Vec::new(), Vec::new());
        for &process in &aim.processes {
            match self.check(process, identities) {
                Ok(live) => ready.push(live),
                Err(Unfit::Young) => {
                    if self.parked.len() < PARKED {
                        self.parked.push_back(case);
                    } else {
                        self.finish_case(case, Outcome::Refused, "too many orders wait already", Vec::new());
                    }
                    return;
                }
                Err(Unfit::Not(outcome, detail)) => accounts.push(Account::new(process, outcome, detail)),
            }
        }
        if let Some(refusal) = &aim.refused {
            accounts.push(Account::new(ProcessId { pid: 0, start_time: 0 }, Outcome::Refused, refusal.0.clone()));
        }
        if !ready.is_empty() && !self.limit.take(Instant::now()) {
            let why = format!(
                "the limit of {} actions a minute is reached (enforcement.actions_per_minute); {} were refused so far",
                self.limit.per_minute(),
                self.limit.refused
            );
            accounts.extend(ready.drain(..).map(|live| Account::new(live.id, Outcome::Refused, why.clone())));
        }
        let mut latency = None;
        for live in ready {
            self.one(&case, live, identities, &mut accounts, &mut latency);
        }
        if self.is_real(&case) && latency.is_some() {
            self.condemn(&case, &aim.others, identities);
        }
        self.account(case, accounts, latency, Mechanism::Pidfd, known);
    }

    /// Does it to one process and, where asked for, its descendants.
    fn one(&mut self, case: &Case, live: LiveProcess, identities: &mut Identities, accounts: &mut Vec<Account>, latency: &mut Option<u64>) {
        let real = self.is_real(case);
        let (mut branches, mut frozen) = (Vec::new(), Vec::new());
        if case.tree {
            let (found, held, failure) = self.tree_of(&live, real, identities);
            (branches, frozen) = (found, held);
            if let Some(why) = failure {
                // Nobody is killed who was not meant to be, and nobody stays behind stopped.
                let touched = branches.iter().filter(|branch: &&Branch| branch.spared.is_none()).map(|branch| &branch.process);
                for process in std::iter::once(&live).chain(touched).filter(|_| real) {
                    let _ = process.signal(Signal::CONT);
                }
                frozen.into_iter().for_each(|number| self.let_go(number));
                accounts.push(Account::new(live.id, Outcome::Refused, why));
                return;
            }
        }
        let others = branches.into_iter().map(|Branch { process, spared }| (process, spared));
        for (process, spared) in std::iter::once((live, None)).chain(others) {
            let id = process.id;
            accounts.push(match spared {
                Some(why) => Account::new(id, Outcome::Refused, format!("exempt: {why}")),
                None if !real => Account::new(id, Outcome::DryRun, ""),
                None => {
                    let account = self.signal(case, process);
                    if account.outcome == Outcome::Done {
                        *latency = Some(nanoseconds(case.decided));
                    }
                    account
                }
            });
        }
        frozen.into_iter().for_each(|number| self.let_go(number));
    }

    /// Sends the signal.
    fn signal(&mut self, case: &Case, process: LiveProcess) -> Account {
        let id = process.id;
        if case.kind == Kind::Kill {
            let sent = process.signal(Signal::KILL);
            if sent == Err(Errno::PERM) && self.mark(case, id, Signal::KILL, None) {
                let detail = "the sensor lacks CAP_KILL; the process is marked, and the kernel kills it when it reads or writes next";
                return Account::new(id, Outcome::Failed, detail);
            }
            if sent.is_ok()
                && let Some(held) = self.stopped.remove(id)
            {
                self.let_go(held.number);
            }
            return sent_account(id, sent);
        }
        if self.stopped.iter().any(|entry| entry.held.process.id == id) {
            return Account::new(id, Outcome::Done, "it was stopped by an earlier action already");
        }
        if process.stopped && !case.tree {
            return Account::new(id, Outcome::Done, "it was stopped already, by somebody else; `resume` does not concern it");
        }
        if self.stopped.is_full() {
            let detail = "too many processes are stopped already; `mcp-sensor resume` lets them go on";
            return Account::new(id, Outcome::Refused, detail);
        }
        match self.entrust(process) {
            Err((_, why)) => Account::new(id, Outcome::Failed, why),
            Ok(held) => {
                let sent = held.process.signal(Signal::STOP);
                if sent.is_ok() {
                    self.stopped.push(Entry { held, case: Case { reply: None, ..case.clone() } });
                } else {
                    self.let_go(held.number);
                }
                sent_account(id, sent)
            }
        }
    }

    /// Marks the others of a condemned side, for the kernel to signal when they read or write next.
    fn condemn(&mut self, case: &Case, others: &[ProcessId], identities: &mut Identities) {
        for &process in others {
            // One of which it is not certain that it may be touched is not marked; the next order finds it, if need be.
            let Ok(live) = self.check(process, identities) else { continue };
            if case.kind == Kind::Kill {
                self.mark(case, process, Signal::KILL, None);
            } else if let Ok(held) = self.entrust(live) {
                self.mark(case, process, Signal::STOP, Some(held));
            }
        }
    }

    fn mark(&mut self, case: &Case, process: ProcessId, signal: Signal, held: Option<Held>) -> bool {
        self.unmark(process.pid);
        let room = self.marked.len() < MARKED;
        let number = u32::try_from(signal.as_raw()).unwrap_or(0);
        let set = room && self.marks.as_mut().is_some_and(|marks| marks.mark(process, number).is_ok());
        if set {
            self.marked.insert(process.pid, Marked { case: Case { reply: None, ..case.clone() }, process, held });
        } else if let Some(held) = held {
            self.let_go(held.number);
        }
        set
    }

    /// Makes sure of a process: that it is this one, runs what it ran, and may be touched.
    fn check(&self, process: ProcessId, identities: &mut Identities) -> Result<LiveProcess, Unfit> {
        let live = identities.hold(process, self.now).map_err(|error| match error {
            NotHeld::Gone => Unfit::Not(Outcome::Gone, "the process has ended".to_owned()),
            NotHeld::Young => Unfit::Young,
            NotHeld::Refused(error) => Unfit::Not(Outcome::Failed, format!("the process cannot be held: {error}")),
        })?;
        if let Some(why) = self.exemptions.reason(&live, &self.own, identities) {
            return Err(Unfit::Not(Outcome::Refused, format!("exempt: {why}")));
        }
        if !Identities::runs_what_is_known(&live) {
            return Err(Unfit::Not(Outcome::Refused, "it began another program meanwhile".to_owned()));
        }
        Ok(live)
    }

    /// Sums up what came of an order.
    fn account(&mut self, case: Case, accounts: Vec<Account>, latency: Option<u64>, mechanism: Mechanism, known: &mut Known) {
        let outcome = outcome_of(&accounts);
        let mut details: Vec<&str> = Vec::new();
        for account in accounts.iter().filter(|account| !account.detail.is_empty()) {
            if !details.contains(&account.detail.as_str()) && details.len() < 4 {
                details.push(&account.detail);
            }
        }
        let mut detail = details.join("; ");
        if outcome == Outcome::DryRun && detail.is_empty() {
            "enforcement is dry-run: no signal was sent".clone_into(&mut detail);
        }
        let named = accounts.iter().filter(|account| account.process.pid != 0);
        if named.clone().count() > NAMED {
            let more = format!("{} processes, of which {NAMED} are named", accounts.len());
            detail = if detail.is_empty() { more } else { format!("{detail}; {more}") };
        }
        let processes = named
            .take(NAMED)
            .map(|account| Victim {
                process: Some((*known.peer(account.process)).clone()),
                outcome: account.outcome.into(),
                detail: account.detail.clone(),
            })
            .collect();
        let mut action = case.action();
        action.set_outcome(outcome);
        (action.detail, action.processes, action.latency_ns) = (detail, processes, latency);
        if latency.is_some() {
            action.set_mechanism(mechanism);
        }
        self.told(case, action);
    }

    /// An order ends without anybody being signalled.
    pub(super) fn finish_case(&mut self, case: Case, outcome: Outcome, detail: impl Into<String>, processes: Vec<Victim>) {
        let mut action = case.action();
        action.set_outcome(outcome);
        (action.detail, action.processes) = (detail.into(), processes);
        self.told(case, action);
    }

    fn told(&mut self, case: Case, action: v1::Action) {
        let Case { session, client, server, reply, .. } = case;
        self.done.push(Done { action, session: Some(session), client, server, reply });
    }

    /// What the kernel did to a marked process.
    pub(super) fn tell_kernel_sent(&mut self, marked: Marked, record: &SignalRecord, known: &mut Known) {
        let Marked { case, process, held } = marked;
        let (id, latency) = (self.new_id(), nanoseconds(case.decided));
        let case = Case { id, ..case };
        let account = match record.result {
            0 => Account::new(process, Outcome::Done, ""),
            error => Account::new(process, Outcome::Failed, format!("the kernel refused: {}", Errno::from_raw_os_error(-error))),
        };
        match held {
            Some(held) if record.result == 0 => self.stopped.push(Entry { held, case: case.clone() }),
            Some(held) => self.let_go(held.number),
            None => {}
        }
        let latency = (record.result == 0).then_some(latency);
        self.account(case, vec![account], latency, Mechanism::Kernel, known);
    }
}

/// Why a process is not signalled.
enum Unfit {
    /// It has to be waited for.
    Young,
    Not(Outcome, String),
}

fn sent_account(process: ProcessId, sent: Result<(), Errno>) -> Account {
    match sent {
        Ok(()) => Account::new(process, Outcome::Done, ""),
        Err(Errno::SRCH) => Account::new(process, Outcome::Gone, "the process has ended"),
        Err(Errno::PERM) => Account::new(process, Outcome::Failed, "the sensor lacks CAP_KILL"),
        Err(error) => Account::new(process, Outcome::Failed, format!("the signal could not be sent: {error}")),
    }
}

/// What came of it all in all.
fn outcome_of(accounts: &[Account]) -> Outcome {
    let Some(first) = accounts.first() else { return Outcome::Refused };
    if accounts.iter().all(|account| account.outcome == first.outcome) {
        return first.outcome;
    }
    for outcome in [Outcome::Done, Outcome::DryRun] {
        if accounts.iter().any(|account| account.outcome == outcome) {
            let rest_is_gone = accounts.iter().all(|account| account.outcome == outcome || account.outcome == Outcome::Gone);
            // Whoever is gone needs no signal any more.
            return if rest_is_gone || outcome == Outcome::DryRun { outcome } else { Outcome::Partly };
        }
    }
    let has = |outcome| accounts.iter().any(|account| account.outcome == outcome);
    if has(Outcome::Failed) { Outcome::Failed } else { Outcome::Refused }
}

pub(super) fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
