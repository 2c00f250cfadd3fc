//! What a recorder is to do.

use super::Choice;
use recording::Level;

/// What is to be recorded.
pub struct Plan {
    /// How much of the traffic.
    pub level: Level,
    /// Which sessions.
    pub choice: Choice,
    /// Bytes held in memory of what may have to be recorded yet.
    pub memory: usize,
    /// The level of the recording that is recorded again; `None` where it is live traffic.
    pub source: Option<Level>,
    /// It goes to files that follow each other.
    pub rolls: bool,
    /// Where it goes: a file or a folder, for people.
    pub subject: String,
    /// What is recorded, in words.
    pub filter: String,
}
