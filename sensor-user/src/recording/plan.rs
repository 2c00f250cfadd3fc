//! What a recorder is to do.

use super::Choice;
use mcp_sensor_proto::v1::{Audit, audit, loss::Count};
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

impl Plan {
    /// What the sensor tells of the recording's beginning.
    pub(super) fn audit_start(&self) -> Audit {
        let what = if self.filter.is_empty() { "everything" } else { &self.filter };
        self.audit(audit::Kind::RecordingStarted, format!("level {}: {what}", self.level.name()))
    }

    /// What it tells of its end: these are not in it.
    pub(super) fn audit_stop(&self, losses: &[Count]) -> Audit {
        let lost: u64 = losses.iter().map(|count| count.count).sum();
        let detail = if lost == 0 { String::new() } else { format!("{lost} items did not get into it") };
        self.audit(audit::Kind::RecordingStopped, detail)
    }

    fn audit(&self, kind: audit::Kind, detail: String) -> Audit {
        Audit { kind: kind.into(), subject: self.subject.clone(), detail, time: None }
    }
}
