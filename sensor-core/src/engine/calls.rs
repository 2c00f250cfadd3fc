//! Follows tool calls to their end, by whatever way it comes.
//!
//! A call begins with its request and ends once: with its answer, by cancellation, by its task's end, or unseen. Two
//! answers are no end: `input_required` (its retry, another request, goes on) and a task (its result comes later, on
//! `tasks/result`, inside `tasks/get`, or in a notification).

use super::core::{Core, Scratch};
use super::exchange::Exchange;
use super::process::{Peers, Read, part_of};
use crate::event::{Body, CallState, Marks, Said, Sink, ToolCall};
use crate::input::Time;
use crate::json::{Kind, Value};
use crate::mcp::facts::Outcome;
use crate::redact::Level;

/// What ends a call, or changes where it stands.
#[derive(Clone, Copy, Debug)]
struct Turn<'a> {
    state: CallState,
    time: Time,
    peers: Peers,
    arguments: Option<Value<'a>>,
    result: Option<Value<'a>>,
    error: Option<Value<'a>>,
    bytes: u64,
    marks: Marks,
    reason: &'a str,
    /// The message, where its body is its bytes.
    verbatim: Option<Value<'a>>,
}

impl<'a> Turn<'a> {
    fn new(state: CallState, read: &Read<'_, 'a>) -> Self {
        Self {
            state,
            time: read.meta.time,
            peers: read.peers,
            arguments: if state == CallState::Started { read.params.arguments } else { None },
            result: None,
            error: None,
            bytes: read.meta.size,
            marks: read.marks,
            reason: "",
            verbatim: read.is_verbatim.then_some(read.message.whole),
        }
    }
}

fn call<'e>(exchange: &'e Exchange, turn: &'e Turn<'_>) -> ToolCall<'e> {
    let is_start = turn.state == CallState::Started;
    ToolCall {
        state: turn.state,
        request_id: exchange.id.text(),
        retry_of: &exchange.retry_of,
        tool: &exchange.target,
        arguments: &exchange.arguments,
        result: "",
        error: "",
        is_error: false,
        duration: (!is_start).then(|| turn.time.saturating_sub(exchange.time)),
        request_bytes: exchange.request_bytes,
        response_bytes: if is_start { 0 } else { turn.bytes },
        truncated: exchange.truncated,
        progress_count: exchange.progress,
        task_id: &exchange.task_id,
        reason: turn.reason,
        marks: exchange.marks.union(turn.marks),
        said: Said { params: turn.arguments, result: turn.result, error: turn.error },
    }
}

impl Core {
    /// A request has been given out.
    pub fn call_began(&mut self, read: &Read<'_, '_>, sink: &mut dyn Sink) {
        if let Some(before) = read.related
            && self.exchanges.get(before).is_some_and(|before| before.task_id.is_empty())
        {
            // The call that this one retries has had its say (`InputRequired`).
            self.retried(before);
        }
        let Some(node) = read.exchange else { return };
        if self.exchanges.get(node).is_some_and(|exchange| exchange.is_call) {
            self.counters.calls_started += 1;
            self.counters.calls_open += 1;
            self.turn(node, &Turn::new(CallState::Started, read), sink);
        }
    }

    fn retried(&mut self, before: u32) {
        if self.exchanges.get(before).is_some_and(|before| before.is_call && !before.cancelled) {
            self.counters.calls_open -= 1;
            self.counters.calls_retried += 1;
        }
        self.exchanges.end(before);
    }

    /// A notification has been given out.
    pub fn call_notified(&mut self, read: &Read<'_, '_>, sink: &mut dyn Sink) {
        match read.row.map(|row| row.name) {
            Some("notifications/cancelled") => {
                let Some(node) = read.related else { return };
                self.cancel(node, &Turn { bytes: 0, ..Turn::new(CallState::Cancelled, read) }, sink);
            }
            Some("notifications/tasks" | "notifications/tasks/status") => {
                if let (Some(node), Some(task)) = (read.related, read.message.params) {
                    self.task_told(node, &Outcome::read(task), read, sink);
                }
            }
            _ => {}
        }
    }

    /// An answer has been given out.
    pub fn call_answered(&mut self, read: &Read<'_, '_>, sink: &mut dyn Sink) {
        let Some(node) = read.exchange else { return };
        let Some(exchange) = self.exchanges.get(node) else { return };
        if exchange.row.is_some_and(|row| row.name.starts_with("tasks/")) {
            let by = exchange.row.map_or("", |row| row.name);
            if let Some(task) = self.exchanges.by_task(read.session, &exchange.target) {
                self.task_answered(task, by, read, sink);
            }
            self.exchanges.end(node);
            return;
        }
        let asks_input = read.outcome.result_type.is_some_and(|kind| kind.is_str("input_required"));
        let (is_call, cancelled, likeness) = (exchange.is_call, exchange.cancelled, exchange.likeness);
        if asks_input && likeness != 0 {
            if is_call && !cancelled {
                self.turn(node, &Turn { result: read.message.result, ..Turn::new(CallState::InputRequired, read) }, sink);
            }
            let state = read.outcome.request_state.and_then(|state| super::process::state_number(self.keyed, state));
            self.exchanges.set_retry(node, state.unwrap_or(likeness));
            return;
        }
        if !is_call || cancelled {
            self.exchanges.end(node);
            return;
        }
        if let Some(task) = read.outcome.created_task() {
            self.exchanges.set_task(node, &task);
            self.turn(node, &Turn { result: read.message.result, ..Turn::new(CallState::TaskCreated, read) }, sink);
            return;
        }
        self.ended(node, read.message.result, read.message.error, read, sink);
    }

    /// A call's result or error has come.
    fn ended(&mut self, node: u32, result: Option<Value<'_>>, error: Option<Value<'_>>, read: &Read<'_, '_>, sink: &mut dyn Sink) {
        let state = if error.is_some() && result.is_none_or(|result| result.kind() == Kind::Null) {
            self.counters.calls_failed += 1;
            CallState::Failed
        } else {
            self.counters.calls_completed += 1;
            CallState::Completed
        };
        self.counters.calls_open -= 1;
        let (result, error) = if state == CallState::Failed { (None, error) } else { (result, None) };
        self.turn(node, &Turn { result, error, ..Turn::new(state, read) }, sink);
        self.exchanges.end(node);
    }

    fn cancel(&mut self, node: u32, turn: &Turn<'_>, sink: &mut dyn Sink) {
        let Some(exchange) = self.exchanges.get_mut(node) else { return };
        if exchange.cancelled {
            return;
        }
        exchange.cancelled = true;
        if exchange.is_call {
            self.counters.calls_cancelled += 1;
            self.counters.calls_open -= 1;
            self.turn(node, turn, sink);
        }
    }

    /// A request about the task of a call has been answered.
    fn task_answered(&mut self, node: u32, by: &str, read: &Read<'_, '_>, sink: &mut dyn Sink) {
        if by == "tasks/result" {
            self.ended(node, read.message.result, read.message.error, read, sink);
        } else if read.message.result.is_some() {
            self.task_told(node, &read.outcome, read, sink);
        }
    }

    /// The state of a call's task has been told.
    fn task_told(&mut self, node: u32, task: &Outcome<'_>, read: &Read<'_, '_>, sink: &mut dyn Sink) {
        let status = task.status.and_then(Value::as_str).unwrap_or_default();
        if status == "cancelled" {
            self.cancel(node, &Turn::new(CallState::Cancelled, read), sink);
            self.exchanges.end(node);
        } else if task.result.is_some() || task.error.is_some_and(|error| error.kind() == Kind::Object) {
            self.ended(node, task.result, task.error, read, sink);
        } else if let Some(exchange) = self.exchanges.get_mut(node) {
            // The result, or the error, is fetched by `tasks/result`.
            exchange.task_status.clear();
            exchange.task_status.push_str(super::exchange::cut(&status, 32));
        }
    }

    /// Ends an exchange whose end cannot be seen.
    pub fn abandon(&mut self, node: u32, time: Time, reason: &str, is_probe: bool, sink: &mut dyn Sink) {
        let Some(exchange) = self.exchanges.get(node) else { return };
        if exchange.is_call && !exchange.cancelled {
            self.counters.calls_open -= 1;
            self.counters.calls_abandoned += 1;
            if !is_probe {
                let said = match exchange.task_status.as_str() {
                    "completed" | "failed" => "its task ended, and the result was not fetched",
                    _ if self.exchanges.awaits_retry(node) => "it asked for input and was not called again",
                    _ => reason,
                };
                let peers = (exchange.client, exchange.server);
                let (state, marks) = (CallState::Abandoned, Marks::default());
                let turn =
                    Turn { state, time, peers, arguments: None, result: None, error: None, bytes: 0, marks, reason: said, verbatim: None };
                self.turn(node, &turn, sink);
            }
        }
        self.exchanges.end(node);
    }

    /// Gives out where a call stands.
    fn turn(&mut self, node: u32, turn: &Turn<'_>, sink: &mut dyn Sink) {
        let Self { sessions, exchanges, redactor, scratch, emitter, counters, config, .. } = self;
        let Some(exchange) = exchanges.get(node) else { return };
        let Some(record) = sessions.get_mut(exchange.session) else { return };
        let Scratch { body, result, .. } = scratch;
        result.clear();
        let mut tool_call = call(exchange, turn);
        let mut text = "";
        if config.level != Level::None
            && let Some(value) = turn.result.or(turn.error)
        {
            let part = turn.verbatim.and_then(|whole| part_of(body, whole, value));
            text = part.unwrap_or_else(|| {
                tool_call.truncated |= redactor.value(value, config.body_limit, result).truncated;
                result
            });
        }
        if turn.error.is_some() {
            tool_call.error = text;
        } else {
            tool_call.result = text;
        }
        let is_error = turn.result.and_then(|result| result.get("isError")).and_then(Value::as_bool);
        tool_call.is_error = is_error == Some(true);
        emitter.give(record, turn.time, turn.peers, Body::ToolCall(tool_call), counters, sink);
    }
}
