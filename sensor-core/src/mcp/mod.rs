//! What MCP is: its methods, its messages, and what tells it from other protocols that speak JSON-RPC.
//!
//! Everything here is a pure view of one JSON value: no state of sessions, no order. The state lives in [`crate::engine`].
//!
//! * [`method`]: every method of every revision, as one table.
//! * [`message`]: a JSON value read as a JSON-RPC message, as the laxest server reads it.
//! * [`id`]: typed JSON-RPC ids (`"7"` is not `7`, `7` is `7.0`).
//! * [`facts`]: what a message says of versions, peers, progress, tasks and retries.
//! * [`evidence`]: how strongly one message speaks for or against MCP.
//! * [`classify`]: the evidence of a whole stream.

pub mod classify;
pub mod evidence;
pub mod facts;
pub mod hash;
pub mod id;
pub mod message;
pub mod method;

/// Which part a process plays: what a stream's writer shows itself to be.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// Sends requests such as `tools/call`.
    Client,
    /// Answers them.
    Server,
}

impl Role {
    /// The other part.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}
