//! The operator's policy: what is allowed, what is worth an alert, what must be stopped.
//!
//! [`Policy::parse`] takes a YAML file and compiles it once. A [`Judge`] is given each event ([`Subject`]), remembers what
//! rules ask of the past (windows, sessions, tools), and tells which rules match. It acts on nothing: what is done about a
//! finding is the caller's affair.
//!
//! ```text
//! Subject ─► Memory, windows ─► rules of its kind (and tool) ─ cheap tests ─ CEL ─► Finding
//! ```
//!
//! # Invariants
//!
//! * The same policy and the same events give the same findings: time is the events' own. (Where a clock is given, a rule
//!   that takes too long is switched off, which another machine may not do.)
//! * What is remembered is bounded by [`Limits`], whatever comes in, and what is forgotten before its time is counted.
//! * A condition that cannot be evaluated switches off its rule and is told; the others go on.
//!
//! The language is described in `rules/LANGUAGE.md`.

mod altered;
mod compile;
mod diagnostic;
mod expression;
mod fact;
mod field;
mod file;
mod glob;
mod index;
mod judge;
mod kept;
mod memory;
mod plain;
mod sample;
mod subject;
#[cfg(test)]
mod tests;
mod view;
mod walk;
mod window;
mod written;

pub use compile::{Policy, Rule};
pub use diagnostic::Diagnostic;
pub use expression::Part;
pub use field::{FIELDS, Field, Row, Type};
pub use judge::{Finding, Judge, Limits, News};
pub use kept::Kept;
pub use sample::{Case, Explained, Failure, cases, explain};
pub use subject::{Party, Subject};

bitflags::bitflags! {
    /// Kinds of events that are judged.
    #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
    pub struct Kinds: u8 {
        /// A tool is called.
        const CALL = 1;
        /// A call has ended.
        const RESULT = 1 << 1;
        /// A tool is listed.
        const TOOL = 1 << 2;
        /// A session opened or learned something.
        const SESSION = 1 << 3;
        /// A message crossed the wire.
        const MESSAGE = 1 << 4;
    }

    /// What must be remembered because a rule asks for it.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub struct Needs: u8 {
        /// Hashes of arguments.
        const ARGUMENTS = 1;
        /// Calls of sessions.
        const SESSIONS = 1 << 1;
        /// Definitions of tools.
        const TOOLS = 1 << 2;
        /// Secrets.
        const SECRETS = 1 << 3;
        /// The calls of a session one by one, not only their number.
        const PREVIOUS = 1 << 4;
    }
}

impl Kinds {
    /// All of them, empty sets of fields included.
    pub const ALL: Self = Self::all();

    /// How policies write them.
    pub const NAMES: [(&'static str, Self); 5] =
        [("call", Self::CALL), ("result", Self::RESULT), ("tool", Self::TOOL), ("session", Self::SESSION), ("message", Self::MESSAGE)];

    /// The name of a single kind.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The place of a single kind in a table.
    const fn place(self) -> usize {
        self.bits().trailing_zeros() as usize
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Worth a look.
    Low,
    /// Not as it should be.
    Medium,
    /// Needs action.
    High,
    /// Needs action now.
    Critical,
}

impl Severity {
    /// How policies write them.
    pub const NAMES: [(&'static str, Self); 5] =
        [("info", Self::Info), ("low", Self::Low), ("medium", Self::Medium), ("high", Self::High), ("critical", Self::Critical)];
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Response {
    /// The finding is all.
    #[default]
    Alert,
    /// The process is to be stopped until somebody resumes it.
    Stop,
    /// The process is to be killed.
    Kill,
}

impl Response {
    /// How policies write them.
    pub const NAMES: [(&'static str, Self); 3] = [("alert", Self::Alert), ("stop", Self::Stop), ("kill", Self::Kill)];
}

/// Whose process is meant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Target {
    /// The one that answers.
    #[default]
    Server,
    /// The one that asks.
    Client,
    /// Both.
    Both,
}

impl Target {
    /// How policies write them.
    pub const NAMES: [(&'static str, Self); 3] = [("server", Self::Server), ("client", Self::Client), ("both", Self::Both)];
}
