//! What is kept of a session: its steps in the order in which they came, and the exchanges that they belong to.

use mcp_sensor_proto::v1::message::{Direction, Type};
use mcp_sensor_proto::v1::tool_call;

/// Which way something went.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(super) enum Way {
    /// Not known.
    #[default]
    Unknown,
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Way {
    /// Of a direction of the contract.
    pub(super) const fn of(direction: Direction) -> Self {
        match direction {
            Direction::Unspecified => Self::Unknown,
            Direction::ClientToServer => Self::ToServer,
            Direction::ServerToClient => Self::ToClient,
        }
    }

    /// In the terms of the contract.
    pub(super) const fn direction(self) -> Direction {
        match self {
            Self::Unknown => Direction::Unspecified,
            Self::ToServer => Direction::ClientToServer,
            Self::ToClient => Direction::ServerToClient,
        }
    }

    /// The other way.
    pub(super) const fn back(self) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// Captured text, as much of it as was kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    pub(super) text: Box<str>,
    /// The sensor had cut it already.
    pub(super) was_cut: bool,
    /// Bytes that were cut off here.
    pub(super) left_out: u64,
}

impl Text {
    /// True where all of it is here.
    pub(super) const fn is_whole(&self) -> bool {
        !self.was_cut && self.left_out == 0
    }
}

/// A message as it crossed the wire.
#[derive(Clone, Debug, Default)]
pub(super) struct Wire {
    /// False where only the tool call's event told of it.
    pub(super) seen: bool,
    pub(super) size: u64,
    pub(super) sha256: Box<str>,
    pub(super) marks: Vec<i32>,
    /// The whole message.
    pub(super) body: Text,
}

/// How an exchange stands after a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// A result.
    Completed,
    /// A result that says that the tool failed.
    ToolFailed,
    /// A JSON-RPC error.
    Failed,
    /// Cancelled.
    Cancelled,
    /// Its end cannot be seen.
    Abandoned,
    /// Answered by asking for input.
    InputRequired,
    /// Answered by a task.
    TaskCreated,
    /// Something that this version does not know.
    Unknown,
}

impl State {
    /// In the terms of the contract.
    pub(super) const fn contract(self) -> tool_call::State {
        use tool_call::State as Contract;
        match self {
            Self::Completed | Self::ToolFailed => Contract::Completed,
            Self::Failed => Contract::Failed,
            Self::Cancelled => Contract::Cancelled,
            Self::Abandoned => Contract::Abandoned,
            Self::InputRequired => Contract::InputRequired,
            Self::TaskCreated => Contract::TaskCreated,
            Self::Unknown => Contract::Unspecified,
        }
    }

    /// True where nothing more is to come.
    pub(super) const fn is_end(self) -> bool {
        !matches!(self, Self::InputRequired | Self::TaskCreated)
    }

    /// True where it is worth a look.
    pub(super) const fn is_problem(self) -> bool {
        matches!(self, Self::ToolFailed | Self::Failed | Self::Cancelled | Self::Abandoned)
    }
}

/// What ended an exchange, or changed where it stands.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) time: i64,
    pub(super) state: State,
    /// The message that brought it.
    pub(super) wire: Wire,
    /// The result or error, where the message does not have all of it.
    pub(super) value: Text,
    /// In nanoseconds since the request.
    pub(super) duration: Option<u64>,
    /// Why it was abandoned.
    pub(super) reason: Box<str>,
    /// A tool call's event told of it.
    pub(super) told: bool,
}

/// A request and what answers it.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange {
    /// Which way the request went.
    pub(super) way: Way,
    pub(super) time: i64,
    /// False where only its end was told.
    pub(super) began: bool,
    /// JSON text.
    pub(super) id: Box<str>,
    pub(super) method: Box<str>,
    /// The tool, prompt or resource.
    pub(super) target: Box<str>,
    /// The request.
    pub(super) wire: Wire,
    /// A tool call's event told of it.
    pub(super) told: bool,
    /// The arguments, where the request does not have all of them.
    pub(super) arguments: Text,
    pub(super) retry_of: Box<str>,
    pub(super) task: Box<str>,
    pub(super) progress: u32,
    pub(super) turns: Vec<Turn>,
}

impl Exchange {
    /// True for `tools/call`.
    pub(super) fn is_call(&self) -> bool {
        self.told || &*self.method == CALL
    }

    /// Where it stands; `None` while it runs.
    pub(super) fn state(&self) -> Option<State> {
        self.turns.last().map(|turn| turn.state)
    }
}

/// The method of tool calls.
pub(super) const CALL: &str = "tools/call";

/// Which of the client's and the server's processes: positions in the lists of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Pair {
    pub(super) client: Option<u8>,
    pub(super) server: Option<u8>,
}

/// A message that is no part of an exchange's own two: a notification, or an answer without a request.
#[derive(Clone, Debug)]
pub(super) struct Single {
    pub(super) way: Way,
    pub(super) kind: Type,
    pub(super) method: Box<str>,
    pub(super) id: Box<str>,
    pub(super) wire: Wire,
    /// The exchange that it belongs to.
    pub(super) of: Option<usize>,
    /// It cancelled that exchange.
    pub(super) cancels: bool,
}

/// Bytes that are missing, of one stretch of one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Hole {
    pub(super) way: Way,
    pub(super) gaps: u64,
    pub(super) bytes: u64,
    pub(super) of_unknown_size: u64,
    pub(super) reasons: Vec<i32>,
}

impl Hole {
    /// Adds a gap.
    pub(super) fn add(&mut self, bytes: Option<u64>, reasons: &[i32]) {
        self.gaps += 1;
        self.bytes = self.bytes.saturating_add(bytes.unwrap_or(0));
        self.of_unknown_size += u64::from(bytes.is_none());
        for &reason in reasons {
            if !self.reasons.contains(&reason) && self.reasons.len() < 16 {
                self.reasons.push(reason);
            }
        }
    }
}

/// What a rule found, or what was done.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    /// The event's severity, by number.
    pub(super) severity: i32,
    /// The rule; empty where somebody gave an order by hand.
    pub(super) rule: Box<str>,
    /// The rule's title; of an action, what was done, in words that are safe to print.
    pub(super) title: Box<str>,
    /// What made the rule match.
    pub(super) reason: Box<str>,
    pub(super) tags: Vec<Box<str>>,
    pub(super) tool: Box<str>,
    /// The request that it is about.
    pub(super) request: Box<str>,
    pub(super) suppressed: u64,
    /// An action's outcome, by number; `None` for a finding.
    pub(super) outcome: Option<i32>,
}

/// What a step is.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// An exchange's request: its position.
    Begin(usize),
    /// A turn of an exchange: both positions.
    Turn(usize, usize),
    /// A message of its own.
    Single(Box<Single>),
    /// The session opened, changed or closed: the state's number, and what is said of it.
    Session(i32, Box<str>),
    /// Bytes are missing.
    Hole(Box<Hole>),
    /// A rule found something, or something was done.
    Verdict(Box<Verdict>),
    /// The sensor told news: each in words that are safe to print, and whether it is a warning.
    Sensor(Vec<(bool, String)>),
}

/// One step of the conversation.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Nanoseconds since 1970.
    pub(super) time: i64,
    pub(super) what: What,
    pub(super) peers: Pair,
}
