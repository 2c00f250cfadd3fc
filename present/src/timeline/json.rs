//! The timeline as JSON, for programs.
//!
//! One object. Names, times, 64-bit integers, enums and captured JSON stand as in an event's JSON (see `event.proto`);
//! members with their default value are left out. Members may be added; a reader ignores what it does not know.
//!
//! ```text
//! { "format": "mcp-sensor.timeline.v1",
//!   "session": { as in an event },  "node": "...",
//!   "client": { as in an event },   "server": { as in an event },
//!   "otherClients": [...],          "otherServers": [...],        processes that took part besides (forked workers)
//!   "begin": time, "end": time, "durationMs": 1234.5,             of the session's first and last event
//!   "missing": ["words", ...],                                    what is missing; absent where nothing is known to be
//!   "counts": { "calls", "otherRequests", "serverRequests", "notifications", "failed", "cancelled", "unanswered", "odd" },
//!   "entries": [ in the order in which they began
//!     { "kind": "CALL" | "REQUEST", "number": 3, "time", "offsetMs", "direction", "method", "target", "requestId",
//!       "retryOf", "taskId", "state": "COMPLETED" | ..., "isError", "durationMs",
//!       "requestNotSeen": true,                                   where only its end was told
//!       "arguments" (of a call) | "params" (of another), "meta",
//!       "sizeBytes", "sha256", "marks", "truncated", "leftOutBytes",
//!       "answers": [ { "time", "offsetMs", "state", "isError", "durationMs", "result" | "error", "reason",
//!                      "sizeBytes", "sha256", "marks", "truncated", "leftOutBytes" } ],
//!       "parts": [ entries of kind NOTIFICATION that belong to it: progress, cancellation ] },
//!     { "kind": "NOTIFICATION" | "ANSWER" (without a request), "time", "offsetMs", "direction", "type", "method",
//!       "requestId", "params" | "result" | "error", "sizeBytes", "sha256", "marks", "truncated", "leftOutBytes" },
//!     { "kind": "FINDING" | "ACTION", "time", "offsetMs", "severity", "rule", "title", "reason", "tags", "tool",
//!       "requestId", "suppressed", "outcome" (of an action) },
//!     { "kind": "SESSION", "time", "offsetMs", "state": "OPENED" | ..., "reason" },
//!     { "kind": "GAP", "time", "offsetMs", "direction", "gaps", "bytes", "sizeUnknown": gaps, "reasons" },
//!     { "kind": "SENSOR", "time", "offsetMs", "news": ["words"], "warning": true } ] }
//! ```
//!
//! `state` of an exchange is absent while it has no answer; its values are those of `ToolCall.state`, also for other
//! requests. `isError` says that the tool failed. A text that was cut, by the sensor (`truncated`) or here
//! (`leftOutBytes`), is no JSON any more and stands as a string, marked `"argumentsIsText": true` and the like.

use std::collections::BTreeMap;
use std::io::{self, Write};

use mcp_sensor_proto::json::{Object, peer_fields, session_fields};
use mcp_sensor_proto::v1::event::Severity;
use mcp_sensor_proto::v1::message::{Direction, Mark, Type};
use mcp_sensor_proto::v1::{action, loss, session_change, tool_call};
use prost_types::Timestamp;

use super::finish::Finished;
use super::model::{Exchange, Single, State, Step, Text, Turn, What, Wire};
use super::sections;
use crate::json;

/// The name of this shape.
const FORMAT: &str = "mcp-sensor.timeline.v1";

/// Bytes that are put together before they are written.
const BUFFER: usize = 64 * 1024;

impl Finished {
    /// Writes the timeline as one JSON object and a line end. Its members are described in the source of this module
    /// (`present/src/timeline/json.rs`).
    ///
    /// # Errors
    /// `out` could not be written.
    pub fn render_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(2 * BUFFER);
        self.head_fields(&mut Object::begin(&mut buffer));
        buffer.extend_from_slice(b",\"entries\":[");
        let parts = self.parts();
        let mut is_first = true;
        for step in &self.timeline.steps {
            if !self.is_entry(step) {
                continue;
            }
            if !is_first {
                buffer.push(b',');
            }
            is_first = false;
            let mut object = Object::begin(&mut buffer);
            self.entry(step, &parts, &mut object);
            object.end();
            if buffer.len() >= BUFFER {
                out.write_all(&buffer)?;
                buffer.clear();
            }
        }
        buffer.extend_from_slice(b"]}\n");
        out.write_all(&buffer)
    }

    fn head_fields(&self, object: &mut Object<'_>) {
        let timeline = &self.timeline;
        object.string("format", FORMAT);
        object.message("session", Some(&timeline.session), session_fields);
        object.string("node", &timeline.node);
        for (name, others, peers) in [("client", "otherClients", &timeline.clients), ("server", "otherServers", &timeline.servers)] {
            if let Some((main, rest)) = peers.split_last() {
                object.message(name, Some(main), peer_fields);
                object.messages(others, rest, peer_fields);
            }
        }
        if let (Some(begin), Some(end)) = (timeline.begin, timeline.end) {
            object.time("begin", Some(&timestamp(begin)));
            object.time("end", Some(&timestamp(end)));
            object.optional_double("durationMs", Some(milliseconds(end.saturating_sub(begin))));
        }
        let missing: Vec<String> = self.missing.iter().map(crate::style::Line::text).collect();
        object.strings("missing", &missing);
        object.message("counts", Some(&self.tally), |tally, object| {
            object.unsigned64("calls", tally.calls);
            object.unsigned64("otherRequests", tally.other_requests);
            object.unsigned64("serverRequests", tally.from_server);
            object.unsigned64("notifications", tally.notifications);
            object.unsigned64("failed", tally.failed);
            object.unsigned64("cancelled", tally.cancelled);
            object.unsigned64("unanswered", tally.unanswered);
            object.unsigned64("odd", tally.odd);
        });
    }

    /// The steps that stand inside of exchanges, by exchange.
    fn parts(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (position, step) in self.timeline.steps.iter().enumerate() {
            if let What::Single(single) = &step.what
                && let Some(of) = single.of
            {
                parts.entry(of).or_default().push(position);
            }
        }
        parts
    }

    /// True for what does not stand inside of an exchange.
    fn is_entry(&self, step: &Step) -> bool {
        match &step.what {
            What::Turn(exchange, number) => *number == 0 && self.exchange(*exchange).is_some_and(|exchange| !exchange.began),
            What::Single(single) => single.of.is_none(),
            What::Begin(_) | What::Session(..) | What::Hole(_) | What::Verdict(_) | What::Sensor(_) => true,
        }
    }

    fn entry(&self, step: &Step, parts: &BTreeMap<usize, Vec<usize>>, object: &mut Object<'_>) {
        match &step.what {
            What::Begin(exchange) | What::Turn(exchange, _) => {
                let Some(found) = self.exchange(*exchange) else { return };
                self.exchange_fields(*exchange, found, object);
                if let Some(parts) = parts.get(exchange) {
                    let steps = parts.iter().filter_map(|part| self.timeline.steps.get(*part));
                    object.objects("parts", steps, |step, object| self.step_fields(step, object));
                }
            }
            _ => self.step_fields(step, object),
        }
    }

    fn exchange_fields(&self, position: usize, exchange: &Exchange, object: &mut Object<'_>) {
        object.string("kind", if exchange.is_call() { "CALL" } else { "REQUEST" });
        object.unsigned32("number", u32::try_from(position + 1).unwrap_or(u32::MAX));
        self.time_fields(exchange.time, object);
        object.enumeration("direction", exchange.way.direction().into(), Direction::as_str_name);
        object.string("method", &exchange.method);
        object.string("target", &exchange.target);
        object.string("requestId", &exchange.id);
        object.string("retryOf", &exchange.retry_of);
        object.string("taskId", &exchange.task);
        if let Some(last) = exchange.turns.last() {
            state_fields(last, object);
        }
        object.boolean("requestNotSeen", !exchange.began);
        object.captured(if exchange.is_call() { "arguments" } else { "params" }, sections::asked(exchange));
        if exchange.is_call()
            && let Some(params) = json::member(&exchange.wire.body.text, "params")
        {
            object.captured("meta", json::member(params, "_meta").unwrap_or_default());
        }
        wire_fields(&exchange.wire, &exchange.arguments, object);
        let answers = exchange.turns.iter().filter(|turn| turn.wire.seen || turn.told || turn.state == State::Cancelled);
        object.objects("answers", answers, |turn, object| self.answer_fields(turn, object));
    }

    fn answer_fields(&self, turn: &Turn, object: &mut Object<'_>) {
        self.time_fields(turn.time, object);
        state_fields(turn, object);
        object.captured(if turn.state == State::Failed { "error" } else { "result" }, sections::answered(turn));
        object.string("reason", &turn.reason);
        wire_fields(&turn.wire, &turn.value, object);
    }

    fn time_fields(&self, time: i64, object: &mut Object<'_>) {
        object.time("time", Some(&timestamp(time)));
        object.optional_double("offsetMs", Some(milliseconds(self.offset(time))));
    }

    fn step_fields(&self, step: &Step, object: &mut Object<'_>) {
        match &step.what {
            What::Single(single) => self.single_fields(step, single, object),
            What::Session(state, reason) => {
                object.string("kind", "SESSION");
                self.time_fields(step.time, object);
                object.enumeration("state", *state, session_change::State::as_str_name);
                object.string("reason", reason);
            }
            What::Hole(hole) => {
                object.string("kind", "GAP");
                self.time_fields(step.time, object);
                object.enumeration("direction", hole.way.direction().into(), Direction::as_str_name);
                object.unsigned64("gaps", hole.gaps);
                object.unsigned64("bytes", hole.bytes);
                object.unsigned64("sizeUnknown", hole.of_unknown_size);
                object.enumerations("reasons", &hole.reasons, loss::Reason::as_str_name);
            }
            What::Verdict(verdict) => {
                object.string("kind", if verdict.outcome.is_some() { "ACTION" } else { "FINDING" });
                self.time_fields(step.time, object);
                object.enumeration("severity", verdict.severity, Severity::as_str_name);
                object.string("rule", &verdict.rule);
                object.string("title", &verdict.title);
                object.string("reason", &verdict.reason);
                let tags: Vec<String> = verdict.tags.iter().map(ToString::to_string).collect();
                object.strings("tags", &tags);
                object.string("tool", &verdict.tool);
                object.string("requestId", &verdict.request);
                object.unsigned64("suppressed", verdict.suppressed);
                object.enumeration("outcome", verdict.outcome.unwrap_or_default(), action::Outcome::as_str_name);
            }
            What::Sensor(news) => {
                object.string("kind", "SENSOR");
                self.time_fields(step.time, object);
                let words: Vec<String> = news.iter().map(|(_, words)| words.clone()).collect();
                object.strings("news", &words);
                object.boolean("warning", news.iter().any(|(is_warning, _)| *is_warning));
            }
            What::Begin(_) | What::Turn(..) => {}
        }
    }

    fn single_fields(&self, step: &Step, single: &Single, object: &mut Object<'_>) {
        object.string("kind", if super::view::is_answer(single.kind) { "ANSWER" } else { "NOTIFICATION" });
        self.time_fields(step.time, object);
        object.enumeration("direction", single.way.direction().into(), Direction::as_str_name);
        object.enumeration("type", single.kind.into(), Type::as_str_name);
        object.string("method", &single.method);
        object.string("requestId", &single.id);
        for key in ["params", "result", "error"] {
            object.captured(key, json::member(&single.wire.body.text, key).unwrap_or_default());
        }
        wire_fields(&single.wire, &Text::default(), object);
    }
}

fn state_fields(turn: &Turn, object: &mut Object<'_>) {
    object.enumeration("state", turn.state.contract().into(), tool_call::State::as_str_name);
    object.boolean("isError", turn.state == State::ToolFailed);
    #[expect(clippy::cast_precision_loss, reason = "a duration beyond 2⁵³ ns is 104 days")]
    object.optional_double("durationMs", turn.duration.map(|duration| duration as f64 / 1e6));
}

fn wire_fields(wire: &Wire, value: &Text, object: &mut Object<'_>) {
    object.unsigned64("sizeBytes", wire.size);
    object.string("sha256", &wire.sha256);
    object.enumerations("marks", &wire.marks, Mark::as_str_name);
    object.boolean("truncated", wire.body.was_cut || value.was_cut);
    object.unsigned64("leftOutBytes", wire.body.left_out + value.left_out);
}

fn timestamp(nanoseconds: i64) -> Timestamp {
    // What is left is below 10⁹.
    let nanos = i32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or_default();
    Timestamp { seconds: nanoseconds.div_euclid(1_000_000_000), nanos }
}

fn milliseconds(nanoseconds: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a time beyond 2⁵³ ns is 104 days")]
    let milliseconds = nanoseconds as f64 / 1e6;
    milliseconds
}
