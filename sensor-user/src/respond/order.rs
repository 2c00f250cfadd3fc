//! What is asked for, and what came of it.

use super::Answer;
use mcp_sensor_proto::v1::{
    self,
    action::{Delivered, Kind, Target},
};
use sensor_core::{event::Session, input::ProcessId};
use std::{sync::mpsc::Sender, time::Instant};

/// Who orders an action.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// A rule of the policy.
    Rule {
        /// Its id.
        rule: &'a str,
        /// Id of the finding's event.
        finding_id: &'a str,
    },
    /// Somebody.
    Hand {
        /// The user's number, as the kernel tells it.
        uid: u32,
        /// The user's name.
        user: &'a str,
        /// The pid of the command.
        pid: u32,
    },
}

impl By<'_> {
    /// As `ordered_by` has it; empty where a rule orders.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Rule { .. } => String::new(),
            Self::Hand { uid, user: "", pid } => format!("uid {uid}, pid {pid}"),
            Self::Hand { uid, user, pid } => format!("uid {uid} ({user}), pid {pid}"),
        }
    }
}

/// An order to stop or kill one side of a session.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// [`Kind::Stop`] or [`Kind::Kill`].
    pub kind: Kind,
    /// Which side.
    pub target: Target,
    /// With all descendants.
    pub tree: bool,
    /// Who orders it.
    pub by: By<'a>,
    /// The session.
    pub session: &'a Session,
    /// The client of the message that led to it; see [`super::peers_of`].
    pub client: Option<ProcessId>,
    /// The server of the message that led to it.
    pub server: Option<ProcessId>,
    /// Whether that message has reached the other side.
    pub delivered: Delivered,
    /// When it was decided.
    pub decided: Instant,
}

/// Why nothing is done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal(pub String);

impl Refusal {
    /// It is not certain who is meant.
    #[must_use]
    pub fn uncertain(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What came of an order.
pub struct Done {
    /// The action, to be told.
    pub action: v1::Action,
    /// The session of the event that led to it.
    pub session: Option<Session>,
    /// Its client.
    pub client: Option<ProcessId>,
    /// Its server.
    pub server: Option<ProcessId>,
    /// Who waits for the answer.
    pub reply: Option<Sender<Answer>>,
}

/// An order on its way.
#[derive(Clone)]
pub(super) struct Case {
    pub id: String,
    pub kind: Kind,
    pub target: Target,
    pub tree: bool,
    pub rule: String,
    pub finding_id: String,
    pub ordered_by: String,
    pub session: Session,
    pub client: Option<ProcessId>,
    pub server: Option<ProcessId>,
    pub delivered: Delivered,
    pub decided: Instant,
    /// By hand, although enforcement is in dry-run.
    pub force: bool,
    pub reply: Option<Sender<Answer>>,
}

impl Case {
    pub fn new(id: String, order: &Order<'_>) -> Self {
        let Order { kind, target, tree, by, session, client, server, delivered, decided } = *order;
        let (rule, finding_id) = match by {
            By::Rule { rule, finding_id } => (rule, finding_id),
            By::Hand { .. } => ("", ""),
        };
        Self {
            id,
            kind,
            target,
            tree,
            rule: rule.to_owned(),
            finding_id: finding_id.to_owned(),
            ordered_by: by.in_words(),
            session: session.clone(),
            client,
            server,
            delivered,
            decided,
            force: false,
            reply: None,
        }
    }

    /// The action, of which it is not known yet what came of it.
    pub fn action(&self) -> v1::Action {
        v1::Action {
            kind: self.kind.into(),
            target: self.target.into(),
            tree: self.tree,
            rule: self.rule.clone(),
            finding_id: self.finding_id.clone(),
            ordered_by: self.ordered_by.clone(),
            delivered_before_kill: self.delivered.into(),
            action_id: self.id.clone(),
            decided: Some(wall(self.decided)),
            ..v1::Action::default()
        }
    }
}

/// A moment as people tell it.
pub(super) fn wall(moment: Instant) -> prost_types::Timestamp {
    let now = std::time::SystemTime::now();
    now.checked_sub(moment.elapsed()).unwrap_or(now).into()
}
