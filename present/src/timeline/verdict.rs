//! What a finding or an action says in a timeline.

use mcp_sensor_proto::v1::{Action, Finding};

use super::intake::clip;
use super::model::Verdict;
use crate::words;

/// Bytes of what made a rule match.
const MAX_REASON: usize = 4096;

/// What a finding tells.
pub(super) fn found(severity: i32, finding: &Finding) -> Verdict {
    Verdict {
        severity,
        rule: clip(&finding.rule),
        title: clip(&finding.title),
        reason: finding.reason.get(..finding.reason.floor_char_boundary(MAX_REASON)).unwrap_or_default().into(),
        tags: finding.tags.iter().take(16).map(|tag| clip(tag)).collect(),
        tool: clip(&finding.tool),
        request: clip(&finding.request_id),
        suppressed: finding.suppressed,
        outcome: None,
    }
}

/// What an action tells.
pub(super) fn done(severity: i32, action: &Action) -> Verdict {
    let title = words::action(action);
    Verdict { severity, rule: clip(&action.rule), title: title.into(), outcome: Some(action.outcome), ..Verdict::default() }
}
