//! Orders by hand: what the control socket takes, and how it is answered.

use super::{
    Enforcement, Responder,
    act::nanoseconds,
    order::{By, Case, Done, Order, wall},
};
use crate::identity::Known;
use mcp_sensor_proto::v1::{
    self,
    action::{Delivered, Kind, Mechanism, Outcome, Target, Victim},
};
use rustix::{io::Errno, process::Signal};
use sensor_core::event::Session;
use serde::{Deserialize, Serialize};
use std::{sync::mpsc::Sender, time::Instant};

/// Open sessions that are shown to who asks for another.
const SHOWN: usize = 32;

/// What is asked for, as it stands on the line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Kill or stop one side of a session.
    Kill {
        /// The beginning of the session's id.
        session: String,
        /// `server`, `client` or `both`.
        target: Side,
        /// Which process of that side, where there are several.
        pid: Option<u32>,
        /// With all descendants.
        tree: bool,
        /// Stop, do not kill.
        stop: bool,
        /// Also where enforcement is dry-run.
        force: bool,
    },
    /// Let go on what was stopped.
    Resume(Which),
    /// The last actions.
    Actions,
}

/// Which side of a session.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The process that answers
    Server,
    /// The process that asks
    Client,
    /// Both
    Both,
}

/// Which of the stopped processes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// All of them.
    All,
    /// Those of an action (the beginning of its id).
    Action(String),
    /// The process with this pid.
    Pid(u32),
}

/// The answer: events, or why not.
pub type Answer = Result<Vec<v1::Event>, Denied>;

/// Why an order cannot be given.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Denied {
    /// What is wrong.
    pub error: String,
    /// How to mend it.
    pub mend: String,
}

impl Denied {
    /// With what is wrong and how to mend it.
    #[must_use]
    pub fn new(error: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { error: error.into(), mend: mend.into() }
    }
}

/// An order by hand, on its way to the pipeline.
#[derive(Clone, Debug)]
pub struct ByHand {
    /// What is asked for.
    pub request: Request,
    /// Who asks, as the kernel tells it.
    pub uid: u32,
    /// The user's name; empty where there is none.
    pub user: String,
    /// The pid of the command.
    pub pid: u32,
    /// Who waits for the answer.
    pub reply: Sender<Answer>,
}

impl ByHand {
    /// Who orders it, as events tell it.
    #[must_use]
    pub fn ordered_by(&self) -> String {
        By::Hand { uid: self.uid, user: &self.user, pid: self.pid }.in_words()
    }

    /// What is ordered and to whom, for the audit; `None` for a mere question.
    #[must_use]
    pub fn in_words(&self) -> Option<(String, String)> {
        match &self.request {
            Request::Kill { session, target, pid, tree, stop, force } => {
                let verb = if *stop { "stop" } else { "kill" };
                let of = pid.map_or_else(String::new, |pid| format!(" process {pid}"));
                let more = format!("{of}{}{}", if *tree { " with descendants" } else { "" }, if *force { " by force" } else { "" });
                Some((format!("session {session}"), format!("{verb} {}{more}, ordered by {}", target.word(), self.ordered_by())))
            }
            Request::Resume(which) => {
                let subject = match which {
                    Which::All => "all that is stopped".to_owned(),
                    Which::Action(id) => format!("action {id}"),
                    Which::Pid(pid) => format!("process {pid}"),
                };
                Some((subject, format!("resume, ordered by {}", self.ordered_by())))
            }
            Request::Actions => None,
        }
    }
}

impl Side {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Both => "both",
        }
    }
}

impl From<Side> for Target {
    fn from(side: Side) -> Self {
        match side {
            Side::Server => Self::Server,
            Side::Client => Self::Client,
            Side::Both => Self::Both,
        }
    }
}

impl Responder {
    /// Does what somebody orders.
    pub fn by_hand(&mut self, order: ByHand, known: &mut Known) {
        let ByHand { request, uid, user, pid, reply } = order;
        let by = By::Hand { uid, user: &user, pid };
        let denied = match request {
            Request::Actions => {
                // Where nobody waits any more, nobody is to be told; so below.
                let _ = reply.send(Ok(self.history.iter().cloned().collect()));
                return;
            }
            Request::Resume(which) => {
                if self.resume_for(&which, String::new(), by.in_words(), Some(reply.clone()), known) {
                    return;
                }
                let mend = "`mcp-sensor actions` shows what was stopped";
                Denied::new(if which == Which::All { "no process is stopped" } else { "no such process is stopped by the sensor" }, mend)
            }
            Request::Kill { session, target, pid: named, tree, stop, force } => match self.session(&session) {
                Ok(session) => {
                    let named = named.map(|pid| self.sessions.named(&session, target.into(), pid)).transpose();
                    let process = named.as_ref().copied().unwrap_or_default();
                    let order = Order {
                        kind: if stop { Kind::Stop } else { Kind::Kill },
                        target: target.into(),
                        tree,
                        by,
                        session: &session,
                        client: process.filter(|_| target == Side::Client),
                        server: process.filter(|_| target == Side::Server),
                        delivered: Delivered::Unknown,
                        decided: Instant::now(),
                    };
                    let case = Case { force, reply: Some(reply), ..Case::new(self.new_id(), &order) };
                    if self.mode == Enforcement::Off {
                        let why = "enforcement is off: enforcement.mode of the configuration";
                        return self.finish_case(case, Outcome::Refused, why, Vec::new());
                    }
                    if let Err(refusal) = named {
                        return self.finish_case(case, Outcome::Refused, refusal.0, Vec::new());
                    }
                    return self.carry_out(case, known);
                }
                Err(denied) => denied,
            },
        };
        let _ = reply.send(Err(denied));
    }

    fn session(&self, prefix: &str) -> Result<Session, Denied> {
        self.sessions.find(prefix).cloned().map_err(|error| {
            let open = self.sessions.open(SHOWN);
            let mend = if open.is_empty() { "no session is open".to_owned() } else { format!("open sessions: {}", open.join(", ")) };
            Denied::new(error, mend)
        })
    }

    /// Lets processes go on; false where none of that kind is stopped.
    pub(super) fn resume_for(
        &mut self,
        which: &Which,
        detail: String,
        ordered_by: String,
        reply: Option<Sender<Answer>>,
        known: &mut Known,
    ) -> bool {
        let wanted = |id: &str, pid: u32| match which {
            Which::All => true,
            Which::Action(prefix) => !prefix.is_empty() && id.starts_with(prefix.as_str()),
            Which::Pid(wanted) => pid == *wanted,
        };
        let decided = Instant::now();
        // Whoever would be stopped yet by the same order is not any more.
        let marked: Vec<u32> = self
            .marked
            .values()
            .filter(|marked| marked.held.is_some() && wanted(&marked.case.id, marked.process.pid))
            .map(|marked| marked.process.pid)
            .collect();
        let spared = marked.into_iter().filter_map(|pid| self.unmark(pid)).count();
        let entries = self.stopped.take(|entry| wanted(&entry.case.id, entry.held.process.id.pid));
        if entries.is_empty() && spared == 0 {
            return false;
        }
        let mut action = v1::Action {
            kind: Kind::Resume.into(),
            detail,
            ordered_by,
            action_id: self.new_id(),
            decided: Some(wall(decided)),
            delivered_before_kill: Delivered::Unspecified.into(),
            ..v1::Action::default()
        };
        let (mut worst, mut sessions) = (Outcome::Done, Vec::new());
        for entry in &entries {
            let sent = entry.held.process.signal(Signal::CONT);
            self.let_go(entry.held.number);
            let (outcome, detail) = match sent {
                Ok(()) => (Outcome::Done, String::new()),
                Err(Errno::SRCH) => (Outcome::Gone, "the process has ended".to_owned()),
                Err(error) => (Outcome::Failed, format!("SIGCONT could not be sent: {error}")),
            };
            if outcome == Outcome::Failed {
                worst = Outcome::Partly;
            }
            let process = Some((*known.peer(entry.held.process.id)).clone());
            action.processes.push(Victim { process, outcome: outcome.into(), detail });
            if !sessions.contains(&entry.case.session.id) {
                sessions.push(entry.case.session.id);
            }
        }
        if action.processes.iter().all(|victim| victim.outcome() == Outcome::Failed) && !action.processes.is_empty() {
            worst = Outcome::Failed;
        }
        if !action.processes.is_empty() {
            action.latency_ns = Some(nanoseconds(decided));
            action.set_mechanism(Mechanism::Pidfd);
        }
        action.set_outcome(worst);
        // Of one session, or of none in particular.
        let first = entries.into_iter().next().filter(|_| sessions.len() == 1).map(|entry| entry.case);
        action.set_target(first.as_ref().map_or(Target::Unspecified, |case| case.target));
        let (client, server) = first.as_ref().map_or((None, None), |case| (case.client, case.server));
        self.done.push(Done { action, session: first.map(|case| case.session), client, server, reply });
        true
    }
}
