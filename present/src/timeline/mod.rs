//! A session as a conversation: what the client asked, what the server answered, step by step.
//!
//! [`Timeline`] takes the events of one session in their order, [`Timeline::finish`] puts them together, and [`Finished`]
//! is rendered: as text for a terminal, as Markdown for a ticket, as JSON for programs, as one page of HTML for a person
//! who has to find out what happened.
//!
//! Steps stand in the order in which they happened. A request and its answer are one row where nothing came between them;
//! otherwise each stands in its place, and what ran meanwhile is seen beside the rows. What is missing is said first, then
//! what went wrong.
//!
//! Invariants: memory is bounded by [`Limits`], whatever comes in, and what was left out is told; nothing from outside is
//! shown but through [`crate::sanitize`]; no clock, no files, no network: the same events give the same bytes.

mod finish;
mod html;
mod intake;
mod json;
mod markdown;
mod model;
mod notices;
mod sections;
mod sensors;
mod text;
mod verdict;
mod view;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use mcp_sensor_proto::v1::{Peer, Session};

pub use self::finish::Finished;
pub use self::markdown::{Details, MarkdownOptions};
use self::model::{Exchange, Hole, Step, Way};
use self::sensors::Sensors;
pub use self::text::TextOptions;

/// How much of a session is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Steps: a request, an answer, a notification, a gap. Later ones are counted and left out; what ends a call that is
    /// kept is kept, too.
    pub entries: usize,
    /// Bytes of one captured text (arguments, a result, a message). What is longer is cut, and says so.
    pub text: usize,
    /// Bytes of all captured texts together. Behind that, steps are kept without their texts, and say so.
    pub total: usize,
}

impl Default for Limits {
    /// 100,000 steps, 64 KiB a text, 256 MiB in all.
    fn default() -> Self {
        Self { entries: 100_000, text: 64 * 1024, total: 256 * 1024 * 1024 }
    }
}

/// What did not fit into the limits.
#[derive(Clone, Copy, Debug, Default)]
struct LeftOut {
    count: u64,
    since: Option<i64>,
    until: i64,
}

/// Collects the events of one session.
#[derive(Default)]
pub struct Timeline {
    limits: Limits,
    session: Session,
    node: Box<str>,
    clients: Vec<Peer>,
    servers: Vec<Peer>,
    steps: Vec<Step>,
    exchanges: Vec<Exchange>,
    /// The latest exchange with an id, by the way of its request.
    latest: HashMap<(Way, Box<str>), usize>,
    sensors: Sensors,
    /// Bytes of captured text that are kept.
    held: usize,
    /// When the first and the last event of the session were.
    begin: Option<i64>,
    end: Option<i64>,
    opened: bool,
    closed: bool,
    /// Gaps: to the server, to the client, and where that is not known.
    holes: [Hole; 3],
    messages: u64,
    cut_by_sensor: u64,
    cut_here: u64,
    unknown: u64,
    other_sessions: u64,
    left_out: LeftOut,
}

impl Timeline {
    /// An empty one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// True while no event of a session has come.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.begin.is_none()
    }
}
