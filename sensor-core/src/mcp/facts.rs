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
    key.split_once('/').and_then(|(prefix, _)| prefix.split('.').nth(1)).is_some_and(|label| label == "modelcontextprotocol" || label == "mcp")
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

/// What a message says of its conversation.
#[derive(Clone, Debug, Default)]
pub struct Identity<'a> {
    /// The protocol revision.
    pub version: Option<Value<'a>>,
    /// `clientInfo`.
    pub client: Option<Value<'a>>,
    /// `serverInfo`.
    pub server: Option<Value<'a>>,
}

/// Reads it from the metadata that any message may carry since 2026-07-28, in one pass.
#[must_use]
pub fn identity<'a>(meta: Value<'a>) -> Identity<'a> {
    let mut identity = Identity::default();
    for (key, value) in meta.entries() {
        let key = key.as_str().unwrap_or_default();
        match key.strip_prefix(RESERVED) {
            Some("protocolVersion") => identity.version = Some(value),
            Some("clientInfo") => identity.client = Some(value),
            Some("serverInfo") => identity.server = Some(value),
            _ => {}
        }
    }
    identity
}

/// Reads it from the handshake of the revisions before: `params` of `initialize`, or its result.
#[must_use]
pub fn handshake<'a>(body: Value<'a>) -> Identity<'a> {
    Identity { version: body.get("protocolVersion"), client: body.get("clientInfo"), server: body.get("serverInfo") }
}

/// The value that names a message's target.
#[must_use]
pub fn target<'a>(target: Target, params: Value<'a>) -> Option<Value<'a>> {
    match target {
        Target::Nothing => None,
        Target::Tool | Target::Prompt => params.get("name"),
        Target::Uri => params.get("uri"),
        Target::Task => params.get("taskId"),
        Target::Reference => params.get("ref").and_then(|reference| reference.get("name").or_else(|| reference.get("uri"))),
    }
}

/// The id of the task that a message is about, wherever it stands.
#[must_use]
pub fn task_id<'a>(message: &Message<'a>) -> Option<Cow<'a, str>> {
    let body = message.params.or(message.result)?;
    let id = body
        .get("taskId")
        .or_else(|| body.get("task").and_then(|task| task.get("taskId")))
        .or_else(|| meta(message).and_then(|meta| reserved(meta, "related-task")).and_then(|task| task.get("taskId")))?;
    id.as_str().filter(|id| !id.is_empty())
}

/// `result.resultType`; absent means complete.
#[must_use]
pub fn result_type<'a>(result: Value<'a>) -> Option<Cow<'a, str>> {
    result.get("resultType").and_then(Value::as_str)
}

/// The task that a result made of its request: `result.task` (2025-11-25) or a flat task (extension).
#[must_use]
pub fn created_task<'a>(result: Value<'a>) -> Option<Cow<'a, str>> {
    let task = match result_type(result).as_deref() {
        Some("task") => Some(result),
        None => result.get("task").filter(|task| task.get("status").is_some()),
        Some(_) => None,
    };
    task.and_then(|task| task.get("taskId")).and_then(Value::as_str).filter(|id| !id.is_empty())
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
