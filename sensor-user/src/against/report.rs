//! What came out of it.

use serde::Serialize;
use std::collections::BTreeMap;

/// Differences that are kept; more are counted.
const DIFFERENCES: usize = 1000;

/// Bytes of them.
const BYTES: usize = 32 << 20;

/// Kinds of a thing that are told apart.
pub const KINDS: usize = 64;

/// Bytes of a name that a server gave.
pub const NAME: usize = 200;

/// A place that differs.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Change {
    /// Where: a JSON pointer.
    pub pointer: String,
    /// What was there: JSON text, cut where it is long, from about where it differs. Absent where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
    /// What is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
}

/// What differs in two documents.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Changes {
    /// The places.
    pub changes: Vec<Change>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u64,
}

/// A difference.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Difference {
    /// The server lists a tool that it did not.
    ToolAdded {
        /// Its name.
        tool: String,
        /// What it says of it.
        now: String,
    },
    /// It does not list a tool that it did.
    ToolRemoved {
        /// Its name.
        tool: String,
    },
    /// It says something else of a tool.
    ToolChanged {
        /// Its name.
        tool: String,
        /// What.
        #[serde(flatten)]
        changes: Changes,
    },
    /// An answer differs.
    Answer {
        /// The request.
        request: String,
        /// Where.
        #[serde(flatten)]
        changes: Changes,
    },
    /// An error in place of a result.
    ErrorNow {
        /// The request.
        request: String,
        /// The error.
        now: String,
    },
    /// A result in place of an error.
    ResultNow {
        /// The request.
        request: String,
        /// The error of then.
        then: String,
        /// The result.
        now: String,
    },
    /// No answer came.
    NoAnswer {
        /// The request.
        request: String,
        /// Why not.
        why: String,
    },
    /// The server asks what it did not ask.
    AskedNow {
        /// The method.
        method: String,
        /// How often.
        count: u64,
        /// The parameters of the first.
        now: String,
    },
    /// It does not ask what it asked.
    NotAsked {
        /// The method.
        method: String,
    },
    /// It asks something else.
    AskedOtherwise {
        /// The method.
        method: String,
        /// Where.
        #[serde(flatten)]
        changes: Changes,
    },
    /// The conversation could not be brought to its end.
    Ended {
        /// Why.
        why: String,
        /// Requests that were not sent.
        unsent: u64,
    },
}

/// What was not sent.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Skipped {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// Requests, tool calls too.
    pub requests: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Notifications.
    pub notifications: u64,
    /// Answers to the server's requests.
    pub answers: u64,
}

/// Counts by name; names from outside, of which only so many are told apart.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Counts one.
    pub fn count(&mut self, name: &str) {
        let name = super::screen::cut(name, NAME);
        let name = if self.0.len() < KINDS || self.0.contains_key(name) { name } else { "(others)" };
        *self.0.entry(name.to_owned()).or_default() += 1;
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }

    /// The sum.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.values().sum()
    }
}

/// What came out of saying a session again.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Id of the session.
    pub session: String,
    /// The command that the server was started with.
    pub command: String,
    /// True where there is no difference.
    pub same: bool,
    /// What differs, in the order in which it was found; tools first.
    pub differences: Vec<Difference>,
    /// How many more there are.
    pub more_differences: u64,
    /// Answers that were compared.
    pub answers_compared: u64,
    /// Tools that were compared.
    pub tools_compared: u64,
    /// What was sent.
    pub sent: Sent,
    /// What was not sent.
    pub skipped: Vec<Skipped>,
    /// Places that were not compared, because the recording hides what was there.
    pub hidden: u64,
    /// Places that differ and may.
    pub tolerated: u64,
    /// Notifications of the server then.
    pub notifications_then: Counts,
    /// Notifications of the server now.
    pub notifications_now: Counts,
    /// What else there is to know.
    pub notes: Vec<String>,
    /// The end of what the server wrote to its standard error; where it did not go well.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub complaints: String,
    #[serde(skip)]
    bytes: usize,
}

impl Report {
    /// Of a session that is said again to the server of a command.
    #[must_use]
    pub fn new(session: &str, command: &str) -> Self {
        Self { session: session.to_owned(), command: command.to_owned(), ..Self::default() }
    }

    /// True where further differences are only counted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.differences.len() >= DIFFERENCES
    }

    /// Tells a difference.
    pub fn differs(&mut self, difference: Difference) {
        let bytes = difference.bytes();
        if self.is_full() || self.bytes + bytes > BYTES {
            self.more_differences += 1;
        } else {
            self.bytes += bytes;
            self.differences.push(difference);
        }
    }

    /// The report as one line of JSON that is safe to print.
    #[must_use]
    pub fn json(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        // Such characters stand in strings only, where they may be written as escapes.
        let mut safe = String::with_capacity(text.len() + 1);
        for character in text.chars() {
            if present::sanitize::is_unsafe(character) {
                let mut units = [0; 2];
                safe.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
            } else {
                safe.push(character);
            }
        }
        safe.push('\n');
        safe
    }
}

impl Difference {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        let of = |changes: &Changes| {
            let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
            changes.changes.iter().map(|change| change.pointer.len() + length(&change.then) + length(&change.now) + 72).sum::<usize>()
        };
        100 + match self {
            Self::ToolAdded { tool, now } => tool.len() + now.len(),
            Self::ToolRemoved { tool } => tool.len(),
            Self::ToolChanged { tool: name, changes }
            | Self::Answer { request: name, changes }
            | Self::AskedOtherwise { method: name, changes } => name.len() + of(changes),
            Self::ErrorNow { request, now } => request.len() + now.len(),
            Self::ResultNow { request, then, now } => request.len() + then.len() + now.len(),
            Self::NoAnswer { request, why } => request.len() + why.len(),
            Self::AskedNow { method, now, .. } => method.len() + now.len(),
            Self::NotAsked { method } => method.len(),
            Self::Ended { why, .. } => why.len(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_cannot_paint_a_terminal() {
        let mut report = Report::default();
        report.differs(Difference::NotAsked { method: "\u{1b}[2J\u{202e}\u{7f}\u{e0041}".to_owned() });
        let json = report.json();
        assert!(json.trim_end().chars().all(|character| !present::sanitize::is_unsafe(character)), "{json}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["differences"][0]["method"], "\u{1b}[2J\u{202e}\u{7f}\u{e0041}");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut report, mut counts) = (Report::default(), Counts::default());
        for number in 0..5000 {
            report.differs(Difference::ToolRemoved { tool: number.to_string().repeat(10_000) });
            counts.count(&"x".repeat(number));
        }
        assert!(report.bytes <= BYTES && report.differences.len() as u64 + report.more_differences == 5000);
        assert_eq!((counts.sum(), counts.iter().count()), (5000, KINDS + 1));
    }
}
