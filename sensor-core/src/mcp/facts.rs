//! What one message says: versions, peers, tokens, tasks, retries. All self-reported, none of it checked here.

use super::message::Message;
use super::method::Target;
use crate::json::{Kind, Value};
use std::borrow::Cow;

/// Prefix of the metadata keys that the specification reserves.
const RESERVED: &str = "io.modelcontextprotocol/";

/// True for a metadata key that MCP reserves: the second label of its prefix is `modelcontextprotocol` or `mcp`.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    key.split_once('/')
        .and_then(|(prefix, _)| prefix.split('.').nth(1))
        .is_some_and(|label| label == "modelcontextprotocol" || label == "mcp")
}

/// True for `2025-11-25` and for `DRAFT-…`: what `protocolVersion` looks like in MCP, and in no look-alike.
#[must_use]
pub fn is_revision(text: &str) -> bool {
    let bytes = text.as_bytes();
    let date = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() });
    date || text.starts_with("DRAFT-")
}

/// `_meta` of `params` or of `result`.
#[must_use]
pub fn meta<'a>(message: &Message<'a>) -> Option<Value<'a>> {
    message.params.or(message.result)?.get("_meta").filter(|meta| meta.kind() == Kind::Object)
}

/// The value of a reserved metadata key, named without its prefix.
#[must_use]
pub fn reserved<'a>(meta: Value<'a>, name: &str) -> Option<Value<'a>> {
    let mut found = None;
    for (key, value) in meta.entries() {
        let key = key.as_str().unwrap_or_default();
        if key.strip_prefix(RESERVED) == Some(name) {
            found = Some(value);
        }
    }
    found
}

/// Members of an object by name, in one pass: the last of each name counts. Made for the hot path.
#[must_use]
pub fn members<'a, const N: usize>(object: Value<'a>, names: [&str; N]) -> [Option<Value<'a>>; N] {
    let mut found = [None; N];
    for (key, value) in object.entries() {
        let raw = key.raw();
        let plain = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        let escaped = key.has_escapes();
        let same = |name: &&str| if escaped { key.is_str(name) } else { plain == name.as_bytes() };
        if let Some(place) = names.iter().position(same).and_then(|at| found.get_mut(at)) {
            *place = Some(value);
        }
    }
    found
}

/// What `params` says that sessions and exchanges are made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a> {
    /// `name`.
    pub name: Option<Value<'a>>,
    /// `uri`.
    pub uri: Option<Value<'a>>,
    /// `taskId`.
    pub task_id: Option<Value<'a>>,
    /// `ref`.
    pub reference: Option<Value<'a>>,
    /// `arguments`.
    pub arguments: Option<Value<'a>>,
    /// `_meta`.
    pub meta: Option<Value<'a>>,
    /// `inputResponses`.
    pub input_responses: Option<Value<'a>>,
    /// `requestState`.
    pub request_state: Option<Value<'a>>,
    /// `requestId`.
    pub request_id: Option<Value<'a>>,
    /// `progressToken`.
    pub progress_token: Option<Value<'a>>,
}

impl<'a> Params<'a> {
    /// Reads `params`.
    #[must_use]
    pub fn read(params: Value<'a>) -> Self {
        let names = ["name", "uri", "taskId", "ref", "arguments", "_meta", "inputResponses", "requestState", "requestId", "progressToken"];
        let [name, uri, task_id, reference, arguments, meta, input_responses, request_state, request_id, progress_token] =
            members(params, names);
        Self { name, uri, task_id, reference, arguments, meta, input_responses, request_state, request_id, progress_token }
    }

    /// The value that names the target.
    #[must_use]
    pub fn target(&self, target: Target) -> Option<Value<'a>> {
        match target {
            Target::Nothing => None,
            Target::Tool | Target::Prompt => self.name,
            Target::Uri => self.uri,
            Target::Task => self.task_id,
            Target::Reference => self.reference.and_then(|reference| reference.get("name").or_else(|| reference.get("uri"))),
        }
    }
}

/// What a result says that sessions and exchanges are made of. A task that a notification carries reads alike.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome<'a> {
    /// `_meta`.
    pub meta: Option<Value<'a>>,
    /// `resultType`; absent means complete.
    pub result_type: Option<Value<'a>>,
    /// `task` (2025-11-25).
    pub task: Option<Value<'a>>,
    /// `taskId`.
    pub task_id: Option<Value<'a>>,
    /// `status` of a task.
    pub status: Option<Value<'a>>,
    /// `isError`.
    pub is_error: Option<Value<'a>>,
    /// `requestState`.
    pub request_state: Option<Value<'a>>,
    /// `result` of a task (extension).
    pub result: Option<Value<'a>>,
    /// `error` of a task (extension).
    pub error: Option<Value<'a>>,
}

impl<'a> Outcome<'a> {
    /// Reads a result, or a task.
    #[must_use]
    pub fn read(result: Value<'a>) -> Self {
        let names = ["_meta", "resultType", "task", "taskId", "status", "isError", "requestState", "result", "error"];
        let [meta, result_type, task, task_id, status, is_error, request_state, result, error] = members(result, names);
        Self { meta, result_type, task, task_id, status, is_error, request_state, result, error }
    }

    /// The task that the result made of its request: `task` (2025-11-25), or a flat one (extension).
    #[must_use]
    pub fn created_task(&self) -> Option<Cow<'a, str>> {
        let id = match self.result_type {
            Some(kind) if kind.is_str("task") => self.task_id,
            Some(_) => None,
            None => self.task.filter(|task| task.get("status").is_some()).and_then(|task| task.get("taskId")),
        };
        id.and_then(Value::as_str).filter(|id| !id.is_empty())
    }
}

/// What a message says of its conversation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity<'a> {
    /// The protocol revision.
    pub version: Option<Value<'a>>,
    /// `clientInfo`.
    pub client: Option<Value<'a>>,
    /// `serverInfo`.
    pub server: Option<Value<'a>>,
    /// Id of the task that the message belongs to.
    pub related_task: Option<Value<'a>>,
    /// Id of the subscription that the message belongs to.
    pub subscription: Option<Value<'a>>,
    /// The token by which progress of the request is told.
    pub progress_token: Option<Value<'a>>,
}

impl<'a> Identity<'a> {
    /// Reads the metadata that any message may carry, in one pass.
    #[must_use]
    pub fn of_meta(meta: Value<'a>) -> Self {
        let names = [
            "progressToken",
            "io.modelcontextprotocol/protocolVersion",
            "io.modelcontextprotocol/clientInfo",
            "io.modelcontextprotocol/serverInfo",
            "io.modelcontextprotocol/related-task",
            "io.modelcontextprotocol/subscriptionId",
        ];
        let [progress_token, version, client, server, related_task, subscription] = members(meta, names);
        let related_task = related_task.and_then(|task| task.get("taskId"));
        Self { version, client, server, related_task, subscription, progress_token }
    }

    /// Reads the handshake of the revisions before 2026-07-28: `params` of `initialize`, or its result.
    #[must_use]
    pub fn of_handshake(body: Value<'a>) -> Self {
        let [version, client, server] = members(body, ["protocolVersion", "clientInfo", "serverInfo"]);
        Self { version, client, server, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_prefixes_are_told_by_their_second_label() {
        for key in ["io.modelcontextprotocol/clientInfo", "dev.mcp/x", "org.modelcontextprotocol.api/y"] {
            assert!(is_reserved(key), "{key}");
        }
        for key in ["progressToken", "traceparent", "mcp/x", "com.example.mcp/x", "io.modelcontextprotocol"] {
            assert!(!is_reserved(key), "{key}");
        }
    }

    #[test]
    fn revisions_are_dates_or_drafts() {
        assert!(is_revision("2024-11-05") && is_revision("DRAFT-2026-v1"));
        assert!(!is_revision("1") && !is_revision("2024-11-5") && !is_revision("2024/11/05") && !is_revision("1.2.3-2024"));
    }
}
