//! What a recorder says of itself: what did not get into the recording, and that it begins and ends.

use super::Recorder;
use crate::recording::{Choice, held::Overflow};
use mcp_sensor_proto::v1::Audit;
use mcp_sensor_proto::v1::loss::{Count, Place, Reason};

impl Recorder {
    /// What did not get into the recording so far.
    #[must_use]
    pub fn losses(&self) -> Vec<Count> {
        let mut losses = self.spool.losses();
        // A session chosen late has no claim on its beginning; where all are recorded, what is held is needed.
        let held = if matches!(self.plan.choice, Choice::All) { self.held.lost() } else { Overflow::default() };
        let (count, bytes) = (held.items + self.spool.forgotten(), held.bytes);
        if count > 0 {
            losses.push(Count { place: Place::Recording.into(), reason: Reason::Memory.into(), count, bytes });
        }
        losses
    }

    /// Why the file could not be written, once.
    #[must_use]
    pub fn take_failure(&self) -> Option<String> {
        self.spool.take_failure()
    }

    /// What the sensor tells of the recording's beginning.
    #[must_use]
    pub fn audit_start(&self) -> Audit {
        self.plan.audit_start()
    }

    /// What the sensor tells of its end.
    #[must_use]
    pub fn audit_stop(&self) -> Audit {
        self.plan.audit_stop(&self.losses())
    }
}
