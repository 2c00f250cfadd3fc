//! Which sessions are recorded.

use crate::export::Outgoing;
use mcp_sensor_proto::v1::{
    Event,
    event::{Body, Severity},
    tool_call::State,
};
use sensor_core::input::Time;
use std::fmt;

/// Which sessions are recorded.
pub enum Choice {
    /// Every one, from its beginning.
    All,
    /// Those of which an event matches, from its beginning as far as it is still held.
    Matching(Box<dyn Fn(&Event) -> bool + Send>),
    /// Those in which something goes wrong, with so many nanoseconds before.
    Incidents(Time),
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "All",
            Self::Matching(_) => "Matching",
            Self::Incidents(_) => "Incidents",
        })
    }
}

impl Choice {
    /// True where this event makes its session one that is recorded.
    #[must_use]
    pub fn is_for(&self, event: &Outgoing) -> bool {
        match self {
            Self::All => true,
            Self::Matching(matches) => matches(&event.to_event()),
            Self::Incidents(_) => went_wrong(&event.frame),
        }
    }

    /// How long what is not chosen is held; `None` for as long as there is room.
    #[must_use]
    pub const fn patience(&self) -> Option<Time> {
        match self {
            Self::All | Self::Matching(_) => None,
            Self::Incidents(before) => Some(*before),
        }
    }
}

/// True for an event that tells of something gone wrong: a call that failed, was cancelled or never ended, a tool that reports an
/// error, or whatever asks for attention.
fn went_wrong(frame: &Event) -> bool {
    let failed = match &frame.body {
        Some(Body::ToolCall(call)) => call.is_error || matches!(call.state(), State::Failed | State::Cancelled | State::Abandoned),
        _ => false,
    };
    failed || frame.severity >= Severity::Low as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp_sensor_proto::v1::ToolCall;

    #[test]
    fn what_goes_wrong_is_an_incident() {
        let call = |state: State, is_error| Event {
            severity: Severity::Info.into(),
            body: Some(Body::ToolCall(ToolCall { state: state.into(), is_error, ..ToolCall::default() })),
            ..Event::default()
        };
        assert!(!went_wrong(&call(State::Started, false)) && !went_wrong(&call(State::Completed, false)));
        assert!(went_wrong(&call(State::Completed, true)) && went_wrong(&call(State::Failed, false)));
        assert!(went_wrong(&Event { severity: Severity::Medium.into(), ..Event::default() }));
    }
}
