//! How strongly one message speaks for or against MCP.
//!
//! Bias: for recall. One strong message is enough, because each of these shapes occurs in no other protocol in use; what is
//! weak confirms nothing alone; and what speaks against MCP must be said twice before a stream is given up, because
//! one foreign line on a real MCP stream is skipped by every server and would be the cheapest evasion there is.

use super::Role;
use super::facts;
use super::message::{Message, Version};
use super::method::{self, Method, Weight};
use crate::event::MessageType;
use crate::json::{Kind, Value};
use std::borrow::Cow;

/// A protocol that looks like MCP and is not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// Agent Client Protocol: the same framing, and it can carry MCP inside.
    AgentClient,
    /// Methods that the Agent Client Protocol has, but others may have as well.
    PerhapsAgentClient,
    /// Language Server Protocol and its relatives.
    LanguageServer,
    /// A2A.
    AgentToAgent,
    /// Ethereum and other nodes' RPC.
    Chain,
    /// JSON with methods or ids, but not JSON-RPC 2.0.
    NoVersion,
}

/// What one message says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Evidence {
    /// Only MCP has this. The role is the sender's, where it follows.
    Strong(Option<Role>),
    /// MCP has this, others may. `kind` names the reason, so that a repeated one counts once.
    Weak {
        /// 1 or 2.
        weight: u8,
        /// Which reason, as a bit.
        kind: u16,
        /// The sender's role, where it follows.
        sender: Option<Role>,
    },
    /// JSON-RPC 2.0 of which nothing more is known.
    Neutral,
    /// Another protocol.
    Against(Protocol),
}

const CANCELLED: u16 = 1;
const PING: u16 = 1 << 1;
const LOGGING: u16 = 1 << 2;
const PROGRESS: u16 = 1 << 3;
const TASKS: u16 = 1 << 4;
const SERVER_REQUEST: u16 = 1 << 5;
const INITIALIZE: u16 = 1 << 6;
const CONTENT: u16 = 1 << 7;
const TOOLS: u16 = 1 << 8;
const CONTENTS: u16 = 1 << 9;
const TASK_NOTICE: u16 = 1 << 10;
const RESULT_TYPE: u16 = 1 << 11;

fn text<'a>(value: Option<Value<'a>>) -> Option<Cow<'a, str>> {
    value.and_then(Value::as_str)
}

fn is_kind(value: Option<Value<'_>>, kind: Kind) -> bool {
    value.is_some_and(|value| value.kind() == kind)
}

/// Weighs one message.
#[must_use]
pub fn weigh(message: &Message<'_>) -> Evidence {
    if message.version != Version::Two {
        return Evidence::Against(Protocol::NoVersion);
    }
    let row = method::lookup(&message.method);
    match message.kind {
        MessageType::Request | MessageType::Notification => row.map_or_else(|| unlisted(message), |row| listed(row, message)),
        MessageType::Response => message.result.map_or(Evidence::Neutral, |result| answered(message, result)),
        MessageType::Error => {
            let code = message.error.and_then(|error| error.get("code")).and_then(Value::as_i64);
            if matches!(code, Some(-32022..=-32020 | -32042)) { Evidence::Strong(Some(Role::Server)) } else { Evidence::Neutral }
        }
    }
}

fn listed(row: &'static Method, message: &Message<'_>) -> Evidence {
    let params = message.params;
    let get = |name: &str| params.and_then(|params| params.get(name));
    let weak = |weight, kind| Evidence::Weak { weight, kind, sender: row.sender };
    let evidence = match (row.weight, row.name) {
        (Weight::Strong, _) => return Evidence::Strong(row.sender),
        (_, "initialize") => return initialize(message),
        (_, "tasks/get" | "tasks/cancel" | "tasks/result" | "tasks/update") => {
            // A2A names the task `id`.
            match (get("taskId"), get("id")) {
                (Some(id), _) if id.kind() == Kind::String => weak(1, TASKS),
                (None, Some(_)) => Evidence::Against(Protocol::AgentToAgent),
                _ => Evidence::Neutral,
            }
        }
        (_, "notifications/message") if get("level").is_some() && get("data").is_some() => weak(1, LOGGING),
        (_, "notifications/progress") if get("progressToken").is_some() && is_kind(get("progress"), Kind::Number) => weak(1, PROGRESS),
        (_, "notifications/tasks" | "notifications/tasks/status") if get("taskId").is_some() => weak(1, TASK_NOTICE),
        (_, "notifications/cancelled") if get("requestId").is_some() => weak(1, CANCELLED),
        (_, "ping") => weak(1, PING),
        (_, "roots/list" | "elicitation/create") => weak(1, SERVER_REQUEST),
        _ => Evidence::Neutral,
    };
    reserved_meta(message).unwrap_or(evidence)
}

/// `initialize` is MCP's by its date and its client, the Agent Client Protocol's by its number, and else a language server's.
fn initialize(message: &Message<'_>) -> Evidence {
    let Some(params) = message.params else { return Evidence::Neutral };
    let get = |name| params.get(name);
    match get("protocolVersion") {
        Some(version) if version.kind() == Kind::Number => Evidence::Against(Protocol::AgentClient),
        Some(version) if version.as_str().is_some_and(|version| facts::is_revision(&version)) => {
            if text(get("clientInfo").and_then(|client| client.get("name"))).is_some() {
                Evidence::Strong(Some(Role::Client))
            } else {
                Evidence::Weak { weight: 2, kind: INITIALIZE, sender: Some(Role::Client) }
            }
        }
        _ if get("processId").is_some() || get("rootUri").is_some() || get("rootPath").is_some() || get("workspaceFolders").is_some() => {
            Evidence::Against(Protocol::LanguageServer)
        }
        _ if get("capabilities").is_some_and(|capabilities| capabilities.get("textDocument").is_some()) => {
            Evidence::Against(Protocol::LanguageServer)
        }
        // A server agrees with any string by naming its own revision, so the answer decides.
        Some(version) if version.kind() == Kind::String => Evidence::Weak { weight: 1, kind: INITIALIZE, sender: Some(Role::Client) },
        _ => Evidence::Neutral,
    }
}

fn answered(message: &Message<'_>, result: Value<'_>) -> Evidence {
    if result.kind() != Kind::Object {
        return Evidence::Neutral;
    }
    let get = |name: &str| result.get(name);
    let version = get("protocolVersion");
    if is_kind(version, Kind::Number) && (get("agentCapabilities").is_some() || get("authMethods").is_some()) {
        return Evidence::Against(Protocol::AgentClient);
    }
    if is_kind(get("serverInfo"), Kind::Object)
        && is_kind(get("capabilities"), Kind::Object)
        && text(version).is_some_and(|version| facts::is_revision(&version))
    {
        return Evidence::Strong(Some(Role::Server));
    }
    if is_kind(get("supportedVersions"), Kind::Array) && get("resultType").is_some() {
        return Evidence::Strong(Some(Role::Server));
    }
    if let Some(evidence) = reserved_meta(message) {
        return evidence;
    }
    let sender = Some(Role::Server);
    let first = |name| get(name).filter(|list| list.kind() == Kind::Array).and_then(|list| list.elements().next());
    if first("tools").is_some_and(|tool| tool.get("inputSchema").is_some() && tool.get("name").is_some()) {
        return Evidence::Weak { weight: 2, kind: TOOLS, sender };
    }
    if first("contents").is_some_and(|content| content.get("uri").is_some()) {
        return Evidence::Weak { weight: 1, kind: CONTENTS, sender };
    }
    // A client's answer to `sampling/createMessage` has content as well, and a model.
    if get("model").is_none() && first("content").is_some_and(|content| text(content.get("type")).is_some()) {
        return Evidence::Weak { weight: 1, kind: CONTENT, sender };
    }
    if text(get("resultType")).is_some_and(|kind| matches!(kind.as_ref(), "complete" | "input_required" | "task")) {
        return Evidence::Weak { weight: 1, kind: RESULT_TYPE, sender };
    }
    if matches!(text(get("kind")).as_deref(), Some("task" | "message" | "status-update" | "artifact-update")) {
        return Evidence::Against(Protocol::AgentToAgent);
    }
    Evidence::Neutral
}

/// A metadata key with MCP's prefix.
fn reserved_meta(message: &Message<'_>) -> Option<Evidence> {
    let meta = facts::meta(message)?;
    let mut found = None;
    for (key, _) in meta.entries() {
        let key = key.as_str().unwrap_or_default();
        if !facts::is_reserved(&key) {
            continue;
        }
        let name = key.split_once('/').map_or("", |(_, name)| name);
        let sender = match name {
            "protocolVersion" | "clientInfo" | "clientCapabilities" | "logLevel" => Some(Role::Client),
            "serverInfo" | "subscriptionId" => Some(Role::Server),
            _ => None,
        };
        found = Some(Evidence::Strong(sender));
    }
    found
}

/// A method that MCP has in no revision.
fn unlisted(message: &Message<'_>) -> Evidence {
    let method = message.method.as_ref();
    if let Some(evidence) = reserved_meta(message) {
        return evidence;
    }
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| method.starts_with(prefix));
    if starts(&["session/"]) || matches!(method, "mcp/connect" | "mcp/message" | "mcp/disconnect") {
        return Evidence::Against(Protocol::AgentClient);
    }
    if starts(&["fs/", "terminal/"]) || matches!(method, "authenticate" | "logout" | "$/cancel_request") {
        return Evidence::Against(Protocol::PerhapsAgentClient);
    }
    if starts(&[
        "textDocument/",
        "workspace/",
        "window/",
        "$/",
        "client/",
        "callHierarchy/",
        "typeHierarchy/",
        "completionItem/",
        "codeLens/",
        "codeAction/",
        "documentLink/",
        "inlayHint/",
        "workspaceSymbol/",
        "notebookDocument/",
        "telemetry/",
        "build/",
        "buildTarget/",
        "rust-analyzer/",
        "java/",
        "run/",
    ]) || matches!(method, "initialized" | "shutdown" | "exit" | "onBuildTaskProgress")
    {
        return Evidence::Against(Protocol::LanguageServer);
    }
    if starts(&["message/", "agent/"])
        || matches!(
            method,
            "tasks/send"
                | "tasks/sendSubscribe"
                | "tasks/resubscribe"
                | "tasks/pushNotification/set"
                | "tasks/pushNotificationConfig/set"
                | "tasks/pushNotificationConfig/get"
                | "tasks/pushNotificationConfig/list"
                | "tasks/pushNotificationConfig/delete"
                | "SendMessage"
                | "SendStreamingMessage"
                | "GetTask"
                | "ListTasks"
                | "CancelTask"
                | "SubscribeToTask"
                | "GetExtendedAgentCard"
        )
    {
        return Evidence::Against(Protocol::AgentToAgent);
    }
    if starts(&["eth_", "net_", "web3_", "engine_", "personal_", "debug_", "trace_", "txpool_", "parity_", "admin_", "miner_"]) {
        return Evidence::Against(Protocol::Chain);
    }
    Evidence::Neutral
}

/// The part that the sender of a message of the Agent Client Protocol plays in it.
#[must_use]
pub fn agent_client_sender(message: &Message<'_>) -> Option<Role> {
    match message.method.as_ref() {
        "initialize" | "authenticate" | "logout" | "session/new" | "session/load" | "session/prompt" | "session/cancel"
        | "session/list" => Some(Role::Client),
        "session/update" | "session/request_permission" => Some(Role::Server),
        method if method.starts_with("fs/") || method.starts_with("terminal/") => Some(Role::Server),
        "" => message.result.filter(|result| result.get("agentCapabilities").is_some()).map(|_| Role::Server),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Tape;

    fn weighed(text: &str) -> Evidence {
        let mut tape = Tape::new();
        tape.parse(text.as_bytes()).unwrap();
        weigh(&Message::read(tape.root(text.as_bytes()).unwrap()).unwrap())
    }

    #[test]
    fn each_strong_rule_tells_who_speaks() {
        let (client, server) = (Evidence::Strong(Some(Role::Client)), Evidence::Strong(Some(Role::Server)));
        let cases = [
            (r#"{"method":"tools/call","params":{"name":"x"},"jsonrpc":"2.0","id":1}"#, client),
            (r#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#, client),
            (r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#, server),
            (r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#, server),
            (
                r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2024-11-05","clientInfo":{"name":"c"},"processId":1}}"#,
                client,
            ),
            (r#"{"jsonrpc":"2.0","id":0,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/clientInfo":{}}}}"#, client),
            (r#"{"jsonrpc":"2.0","id":0,"result":{"_meta":{"io.modelcontextprotocol/serverInfo":{}}}}"#, server),
            (r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s"}}}"#, server),
            (r#"{"jsonrpc":"2.0","id":0,"result":{"supportedVersions":["2026-07-28"],"resultType":"complete"}}"#, server),
            (r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32022,"message":"m"}}"#, server),
            (r#"{"jsonrpc":"2.0","id":0,"method":"vendor/x","params":{"_meta":{"dev.mcp/x":1}}}"#, Evidence::Strong(None)),
        ];
        for (text, evidence) in cases {
            assert_eq!(weighed(text), evidence, "{text}");
        }
    }

    #[test]
    fn what_others_say_speaks_against() {
        let cases = [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":7,"rootUri":null,"capabilities":{}}}"#,
                Protocol::LanguageServer,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1,"clientCapabilities":{}}}"#,
                Protocol::AgentClient,
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":"session/new","params":{}}"#, Protocol::AgentClient),
            (r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"id":"t"}}"#, Protocol::AgentToAgent),
            (r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[]}"#, Protocol::Chain),
            (r#"{"id":1,"method":"tools/call","params":{"name":"x"}}"#, Protocol::NoVersion),
            (r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#, Protocol::NoVersion),
        ];
        for (text, protocol) in cases {
            assert_eq!(weighed(text), Evidence::Against(protocol), "{text}");
        }
    }

    #[test]
    fn what_a_client_answers_does_not_look_like_a_server() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"role":"assistant","model":"m","content":[{"type":"text","text":"t"}]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[{"uri":"file:///x"}]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"action":"accept","content":{"name":"x"}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        ] {
            assert_eq!(weighed(text), Evidence::Neutral, "{text}");
        }
    }
}
