//! Tool calls that have begun and not ended, so that a slow one shows while it runs.
//!
//! A call is told after two seconds, then each time it has become five times as old: at 2 s, 10 s, 50 s, 4 min, 21 min.
//! Invariant: at most [`MAX_CALLS`] are remembered, each in a few kilobytes; what is beyond is told when it ends.

use std::collections::BTreeMap;

use mcp_sensor_proto::v1::tool_call::State;
use mcp_sensor_proto::v1::{Event, ToolCall};

use super::peers::Peers;
use crate::style::Line;

/// Calls that are remembered.
const MAX_CALLS: usize = 4096;

/// Bytes of a session's and a request's id together, of a call that is remembered.
const MAX_KEY: usize = 512;

/// Age at which a call is told, in nanoseconds.
const FIRST: i64 = 2_000_000_000;

/// A call that runs.
#[derive(Clone)]
pub(super) struct Call {
    /// When it began, in nanoseconds since 1970.
    pub(super) started: i64,
    /// Who talks to whom.
    pub(super) peers: Peers,
    /// The tool.
    pub(super) tool: Line,
    /// Its arguments, in short.
    pub(super) arguments: Line,
    /// The age at which it is told next.
    next: i64,
}

/// The calls that run, by session and request.
#[derive(Default)]
pub(super) struct Running {
    calls: BTreeMap<(String, String), Call>,
}

impl Running {
    /// Remembers a call that began, forgets one that ended.
    pub(super) fn follow(&mut self, event: &Event, call: &ToolCall, time: i64, shown: impl FnOnce() -> (Peers, Line, Line)) {
        let session = event.session.as_ref().map_or("", |session| session.id.as_str());
        if session.len() + call.request_id.len() > MAX_KEY {
            return;
        }
        let key = (session.to_owned(), call.request_id.clone());
        match call.state() {
            State::Started if self.calls.len() < MAX_CALLS => {
                let (peers, tool, arguments) = shown();
                self.calls.insert(key, Call { started: time, peers, tool, arguments, next: FIRST });
            }
            // The task that was made of it goes on.
            State::Started | State::TaskCreated | State::Unspecified => {}
            State::Completed | State::Failed | State::Cancelled | State::Abandoned | State::InputRequired => {
                self.calls.remove(&key);
            }
        }
    }

    /// Forgets the calls of a session that closed.
    pub(super) fn forget(&mut self, session: &str) {
        self.calls.retain(|(of, _), _| of != session);
    }

    /// The calls that are to be told now, the oldest first.
    pub(super) fn due(&mut self, now: i64) -> Vec<Call> {
        let mut due = Vec::new();
        for call in self.calls.values_mut() {
            let age = now.saturating_sub(call.started);
            if age < call.next {
                continue;
            }
            while call.next <= age {
                call.next = call.next.saturating_mul(5).max(call.next.saturating_add(1));
            }
            due.push(call.clone());
        }
        due.sort_by_key(|call| call.started);
        due
    }

    /// All of them, the oldest first.
    pub(super) fn take(&mut self) -> Vec<Call> {
        let mut calls: Vec<Call> = std::mem::take(&mut self.calls).into_values().collect();
        calls.sort_by_key(|call| call.started);
        calls
    }
}
