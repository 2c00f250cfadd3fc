//! Events and sessions as CSV, one row each, for spreadsheets: see [`present::csv`].
//!
//! The columns are those that a person sorts and filters by, and the contents as JSON text. JSON Lines have everything.

use mcp_sensor_proto::v1::event::{Body, Severity};
use mcp_sensor_proto::v1::{Event, Peer, SessionSummary, action, loss, message, sensor, session, session_change, tool_call};
use prost_types::Timestamp;

use present::{csv, names};

/// Columns of an event.
const EVENT: [&str; 31] = [
    "time",
    "node",
    "sequence",
    "id",
    "session",
    "transport",
    "severity",
    "kind",
    "state",
    "direction",
    "type",
    "method",
    "tool",
    "request_id",
    "is_error",
    "duration_ms",
    "client",
    "client_pid",
    "client_user",
    "client_container",
    "client_pod",
    "server",
    "server_pid",
    "server_user",
    "server_container",
    "server_pod",
    "arguments",
    "result",
    "error",
    "body",
    "detail",
];

/// Columns of a session.
const SESSION: [&str; 20] = [
    "session",
    "node",
    "transport",
    "protocol_version",
    "first",
    "last",
    "closed",
    "messages",
    "tool_calls",
    "failed_calls",
    "gaps",
    "client",
    "client_pid",
    "client_container",
    "client_pod",
    "server",
    "server_pid",
    "server_container",
    "server_pod",
    "relay_of",
];

/// Appends the names of an event's columns.
pub(super) fn event_header(out: &mut Vec<u8>) {
    csv::row(EVENT, out);
}

/// Appends the names of a session's columns.
pub(super) fn session_header(out: &mut Vec<u8>) {
    csv::row(SESSION, out);
}

/// What differs between the kinds of events.
#[derive(Default)]
struct Told<'a> {
    kind: &'a str,
    state: &'a str,
    direction: &'a str,
    r#type: &'a str,
    method: &'a str,
    tool: &'a str,
    request_id: &'a str,
    is_error: bool,
    duration_ms: Option<f64>,
    arguments: &'a str,
    result: &'a str,
    error: &'a str,
    body: &'a str,
    detail: String,
}

/// Appends an event.
pub(super) fn event(event: &Event, out: &mut Vec<u8>) {
    let told = told(event.body.as_ref());
    let session = event.session.as_ref();
    let (client, server) = (Side::of(event.client.as_ref()), Side::of(event.server.as_ref()));
    let transport = session.map_or("", |session| word(session.transport, session::Transport::as_str_name));
    let (time, sequence) = (moment(event.time.as_ref()), event.sequence.to_string());
    let duration = told.duration_ms.map_or_else(String::new, |duration| duration.to_string());
    let is_error = if told.is_error { "true" } else { "" };
    let cells: [&str; EVENT.len()] = [
        &time,
        &event.node,
        &sequence,
        &event.id,
        session.map_or("", |session| &session.id),
        transport,
        word(event.severity, Severity::as_str_name),
        told.kind,
        told.state,
        told.direction,
        told.r#type,
        told.method,
        told.tool,
        told.request_id,
        is_error,
        &duration,
        client.name,
        &client.pid,
        client.user,
        client.container,
        &client.pod,
        server.name,
        &server.pid,
        server.user,
        server.container,
        &server.pod,
        told.arguments,
        told.result,
        told.error,
        told.body,
        &told.detail,
    ];
    csv::row(cells, out);
}

fn told(body: Option<&Body>) -> Told<'_> {
    match body {
        Some(Body::ToolCall(call)) => Told {
            kind: "TOOL_CALL",
            state: word(call.state, tool_call::State::as_str_name),
            method: "tools/call",
            tool: &call.tool,
            request_id: &call.request_id,
            is_error: call.is_error,
            duration_ms: call.duration_ms,
            arguments: &call.arguments,
            result: &call.result,
            error: &call.error,
            detail: call.reason.clone(),
            ..Told::default()
        },
        Some(Body::Message(message)) => Told {
            kind: "MESSAGE",
            direction: word(message.direction, message::Direction::as_str_name),
            r#type: word(message.r#type, message::Type::as_str_name),
            method: &message.method,
            tool: if message.method == "tools/call" { &message.target } else { "" },
            request_id: &message.request_id,
            body: &message.body,
            ..Told::default()
        },
        Some(Body::SessionChange(change)) => Told {
            kind: "SESSION_CHANGE",
            state: word(change.state, session_change::State::as_str_name),
            detail: change.reason.clone(),
            ..Told::default()
        },
        Some(Body::Gap(gap)) => {
            let reasons: Vec<&str> = gap.reasons.iter().map(|&reason| word(reason, loss::Reason::as_str_name)).collect();
            let bytes = gap.bytes.map_or_else(|| "bytes are".to_owned(), |bytes| format!("{bytes} bytes are"));
            Told {
                kind: "GAP",
                direction: word(gap.direction, message::Direction::as_str_name),
                detail: format!("{bytes} missing {}", reasons.join(" ")),
                ..Told::default()
            }
        }
        Some(Body::Sensor(sensor)) => {
            Told { kind: "SENSOR", state: word(sensor.state, sensor::State::as_str_name), detail: sensor.detail.clone(), ..Told::default() }
        }
        Some(Body::Finding(finding)) => Told {
            kind: "FINDING",
            state: &finding.rule,
            method: &finding.method,
            tool: &finding.tool,
            request_id: &finding.request_id,
            detail: format!("{}: {}", finding.title, finding.reason),
            ..Told::default()
        },
        Some(Body::Action(action)) => Told {
            kind: "ACTION",
            state: word(action.outcome, action::Outcome::as_str_name),
            detail: format!("{} {} {}", word(action.kind, action::Kind::as_str_name), action.rule, action.detail),
            ..Told::default()
        },
        None => Told::default(),
    }
}

/// Appends a session.
pub(super) fn session(summary: &SessionSummary, out: &mut Vec<u8>) {
    let session = summary.session.clone().unwrap_or_default();
    let (client, server) = (Side::of(summary.client.as_ref()), Side::of(summary.server.as_ref()));
    let [messages, calls, failed, gaps] =
        [summary.messages, summary.tool_calls, summary.failed_calls, summary.gaps].map(|count| count.to_string());
    let cells: [&str; SESSION.len()] = [
        &session.id,
        &summary.node,
        word(session.transport, session::Transport::as_str_name),
        &session.protocol_version,
        &moment(summary.first.as_ref()),
        &moment(summary.last.as_ref()),
        if summary.closed { "true" } else { "" },
        &messages,
        &calls,
        &failed,
        &gaps,
        client.name,
        &client.pid,
        client.container,
        &client.pod,
        server.name,
        &server.pid,
        server.container,
        &server.pod,
        &session.relay_of,
    ];
    csv::row(cells, out);
}

/// One end, as it is found by.
#[derive(Default)]
struct Side<'a> {
    name: &'a str,
    pid: String,
    user: &'a str,
    container: &'a str,
    pod: String,
}

impl<'a> Side<'a> {
    fn of(peer: Option<&'a Peer>) -> Self {
        let Some(peer) = peer else { return Self::default() };
        let name = [names::short(peer), &peer.name, &peer.address].into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        let pod = peer
            .pod
            .as_ref()
            .map_or_else(String::new, |pod| if pod.name.is_empty() { pod.uid.clone() } else { format!("{}/{}", pod.namespace, pod.name) });
        let pid = if peer.pid > 0 { peer.pid.to_string() } else { String::new() };
        let container = peer.container.as_ref().map_or("", |container| &container.id);
        Self { name, pid, user: &peer.user, container, pod }
    }
}

/// An enumeration's word; nothing for one that is not known or not set.
fn word<E: TryFrom<i32>>(value: i32, name: impl Fn(&E) -> &'static str) -> &'static str {
    let name = E::try_from(value).map_or("", |value| name(&value));
    if name.ends_with("_UNSPECIFIED") { "" } else { name }
}

fn moment(time: Option<&Timestamp>) -> String {
    time.map_or_else(String::new, Timestamp::to_string)
}

#[cfg(test)]
mod tests {
    use mcp_sensor_proto::v1::{Action, Finding, Gap, Message, Sensor, SessionChange, ToolCall};

    use super::*;

    #[test]
    fn each_kind_of_event_has_as_many_cells_as_the_header() {
        let bodies = [
            Body::ToolCall(ToolCall { state: 2, tool: "=cmd".to_owned(), duration_ms: Some(1.5), ..ToolCall::default() }),
            Body::Message(Message::default()),
            Body::SessionChange(SessionChange { state: 3, reason: "client exited".to_owned() }),
            Body::Gap(Gap { bytes: Some(7), reasons: vec![1], ..Gap::default() }),
            Body::Sensor(Sensor::default()),
            Body::Finding(Finding { rule: "r".to_owned(), title: "a b".to_owned(), ..Finding::default() }),
            Body::Action(Action { outcome: 3, detail: "it is exempt".to_owned(), ..Action::default() }),
        ];
        let peer = Peer { pid: 7, exe: "/usr/bin/node".to_owned(), ..Peer::default() };
        for body in bodies {
            let mut out = Vec::new();
            event_header(&mut out);
            event(&Event { body: Some(body), client: Some(peer.clone()), ..Event::default() }, &mut out);
            let text = String::from_utf8(out).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines[1].matches(',').count(), EVENT.len() - 1, "{text}");
        }
    }

    #[test]
    fn a_call_is_told_by_its_words() {
        let call = ToolCall { state: 2, tool: "=cmd".to_owned(), duration_ms: Some(1.5), ..ToolCall::default() };
        let mut out = Vec::new();
        event(&Event { body: Some(Body::ToolCall(call)), severity: 2, ..Event::default() }, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(",INFO,TOOL_CALL,COMPLETED,,,tools/call,'=cmd,,,1.5,"), "{text}");
    }

    #[test]
    fn a_session_has_as_many_cells_as_the_header() {
        let mut out = Vec::new();
        session_header(&mut out);
        session(&SessionSummary { closed: true, node: "a".to_owned(), ..SessionSummary::default() }, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.matches(',').count() == SESSION.len() - 1), "{text}");
    }
}
