//! The pipeline's events as the proto has them.
//!
//! Invariant: the same event of the same traffic becomes the same proto event, live or replayed, but for `sequence` and
//! `node`. Nothing is decided here: fields are carried over, numbers become what the contract says.

use mcp_sensor_proto::v1::{
    self,
    event::{Body, Severity},
    loss, message, session, session_change, tool_call,
};
use prost_types::Timestamp;
use sensor_core::event as core;
use sensor_core::input::{LossReasons, Time};

/// Makes the proto's event, but for its session and its peers: see [`session()`] and [`peer`].
///
/// `boot_time` is when the host booted, in nanoseconds since 1970.
#[must_use]
pub fn frame(event: &core::Event<'_>, node: &str, boot_time: u64) -> v1::Event {
    let core::Event { id, time, session: _, client: _, server: _, reader_in_doubt: _, body } = event;
    v1::Event {
        id: hexadecimal(&id.0.to_be_bytes()),
        time: Some(timestamp(*time, boot_time)),
        node: node.to_owned(),
        severity: severity(body).into(),
        body: Some(self::body(body)),
        ..v1::Event::default()
    }
}

/// How much attention an event asks for: what it says stands at the proto's `Severity`.
const fn severity(body: &core::Body<'_>) -> Severity {
    match body {
        core::Body::Message(_) => Severity::Debug,
        core::Body::ToolCall(_) | core::Body::Session(_) => Severity::Info,
        core::Body::Gap(_) => Severity::Medium,
    }
}

/// Makes the event of an action, but for its session and its peers.
#[must_use]
pub fn action_frame(action: v1::Action, node: &str) -> v1::Event {
    let time = action.decided.unwrap_or_default();
    let wall = u128::try_from(i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)).unwrap_or(0);
    let severity = if action.outcome() == v1::action::Outcome::DryRun { Severity::Medium } else { Severity::High };
    v1::Event {
        id: format!("{wall:016x}{}", action.action_id),
        time: Some(time),
        node: node.to_owned(),
        severity: severity.into(),
        body: Some(Body::Action(action)),
        ..v1::Event::default()
    }
}

/// A time since boot as wall-clock time. `boot_time` is in nanoseconds since 1970.
#[must_use]
pub fn timestamp(time: Time, boot_time: u64) -> Timestamp {
    const SECOND: u128 = 1_000_000_000;
    let nanoseconds = u128::from(time) + u128::from(boot_time);
    // Both fit: the sum of two u64 is below 2^65, so there are fewer than 2^36 seconds.
    Timestamp { seconds: i64::try_from(nanoseconds / SECOND).unwrap_or(i64::MAX), nanos: i32::try_from(nanoseconds % SECOND).unwrap_or(0) }
}

/// A process as identity has resolved it, with what MCP says of it. A peer that is known by its words alone still is one.
#[must_use]
pub fn peer(resolved: Option<&v1::Peer>, said: &core::Implementation) -> Option<v1::Peer> {
    let core::Implementation { name, version } = said;
    if resolved.is_none() && name.is_empty() && version.is_empty() {
        return None;
    }
    let mut peer = resolved.cloned().unwrap_or_default();
    peer.name.clone_from(name);
    peer.version.clone_from(version);
    Some(peer)
}

/// The proto's session.
#[must_use]
pub fn session(session: &core::Session) -> v1::Session {
    let core::Session {
        id,
        transport,
        framing,
        protocol_version,
        late_attach,
        client: _,
        server: _,
        client_info: _,
        server_info: _,
        relay_of,
        probe,
        tunnel,
    } = session;
    let transport = match transport {
        core::Transport::Pipe => session::Transport::Pipe,
        core::Transport::Unix => session::Transport::Unix,
        core::Transport::Tcp => session::Transport::Tcp,
        core::Transport::Pty => session::Transport::Pty,
    };
    let framing = match framing {
        core::Framing::Ndjson => session::Framing::Ndjson,
    };
    v1::Session {
        id: session_id(*id),
        transport: transport.into(),
        framing: framing.into(),
        tls: session::Tls::None.into(),
        protocol_version: protocol_version.clone(),
        mcp_session_id: String::new(),
        late_attach: *late_attach,
        relay_of: relay_of.map_or_else(String::new, session_id),
        probe: *probe,
        tunnel: tunnel.clone().unwrap_or_default(),
    }
}

fn session_id(id: core::SessionId) -> String {
    format!("{:016x}", id.0)
}

fn body(body: &core::Body<'_>) -> Body {
    match body {
        core::Body::Message(message) => Body::Message(self::message(message)),
        core::Body::ToolCall(call) => Body::ToolCall(tool_call(call)),
        core::Body::Session(state) => Body::SessionChange(session_change(*state)),
        core::Body::Gap(gap) => Body::Gap(self::gap(gap)),
    }
}

fn message(message: &core::Message<'_>) -> v1::Message {
    let core::Message {
        direction,
        r#type,
        method,
        request_id,
        target,
        size,
        sha256,
        body,
        truncated,
        marks,
        task_id,
        related_request_id,
        said: _,
    } = message;
    let kind = match r#type {
        core::MessageType::Request => message::Type::Request,
        core::MessageType::Response => message::Type::Response,
        core::MessageType::Error => message::Type::Error,
        core::MessageType::Notification => message::Type::Notification,
    };
    v1::Message {
        direction: self::direction(*direction).into(),
        r#type: kind.into(),
        method: (*method).to_owned(),
        request_id: (*request_id).to_owned(),
        target: (*target).to_owned(),
        size_bytes: *size,
        sha256: hexadecimal(sha256),
        body: (*body).to_owned(),
        truncated: *truncated,
        marks: self::marks(*marks),
        task_id: (*task_id).to_owned(),
        related_request_id: (*related_request_id).to_owned(),
    }
}

fn tool_call(call: &core::ToolCall<'_>) -> v1::ToolCall {
    let core::ToolCall {
        state,
        request_id,
        retry_of,
        tool,
        arguments,
        result,
        error,
        is_error,
        duration,
        request_bytes,
        response_bytes,
        truncated,
        progress_count,
        task_id,
        reason,
        marks,
        said: _,
    } = call;
    let state = match state {
        core::CallState::Started => tool_call::State::Started,
        core::CallState::Completed => tool_call::State::Completed,
        core::CallState::Failed => tool_call::State::Failed,
        core::CallState::Cancelled => tool_call::State::Cancelled,
        core::CallState::Abandoned => tool_call::State::Abandoned,
        core::CallState::InputRequired => tool_call::State::InputRequired,
        core::CallState::TaskCreated => tool_call::State::TaskCreated,
    };
    v1::ToolCall {
        state: state.into(),
        request_id: (*request_id).to_owned(),
        retry_of: (*retry_of).to_owned(),
        tool: (*tool).to_owned(),
        arguments: (*arguments).to_owned(),
        result: (*result).to_owned(),
        error: (*error).to_owned(),
        is_error: *is_error,
        duration_ms: duration.map(|nanoseconds| nanoseconds as f64 / 1e6),
        request_bytes: *request_bytes,
        response_bytes: *response_bytes,
        truncated: *truncated,
        progress_count: *progress_count,
        task_id: (*task_id).to_owned(),
        reason: (*reason).to_owned(),
        marks: self::marks(*marks),
    }
}

fn session_change(state: core::SessionState) -> v1::SessionChange {
    let state = match state {
        core::SessionState::Opened => session_change::State::Opened,
        core::SessionState::Updated => session_change::State::Updated,
        core::SessionState::Closed => session_change::State::Closed,
    };
    v1::SessionChange { state: state.into(), reason: String::new() }
}

fn gap(gap: &core::Gap) -> v1::Gap {
    let core::Gap { direction, bytes, reasons } = gap;
    v1::Gap { direction: self::direction(*direction).into(), bytes: *bytes, reasons: self::reasons(*reasons) }
}

fn direction(direction: core::MessageDirection) -> message::Direction {
    match direction {
        core::MessageDirection::ClientToServer => message::Direction::ClientToServer,
        core::MessageDirection::ServerToClient => message::Direction::ServerToClient,
    }
}

/// The pipeline's marks and the contract's.
const MARKS: [(core::Marks, message::Mark); 17] = [
    (core::Marks::DUPLICATE_KEY, message::Mark::DuplicateKey),
    (core::Marks::INVALID_UTF8, message::Mark::InvalidUtf8),
    (core::Marks::CARRIAGE_RETURN, message::Mark::CarriageReturn),
    (core::Marks::SEVERAL_LINES, message::Mark::SeveralLines),
    (core::Marks::SHARED_LINE, message::Mark::SharedLine),
    (core::Marks::BYTE_ORDER_MARK, message::Mark::ByteOrderMark),
    (core::Marks::BATCH, message::Mark::Batch),
    (core::Marks::ESCAPED_NAME, message::Mark::EscapedName),
    (core::Marks::ODD_ID, message::Mark::OddId),
    (core::Marks::NEXT_TO_GAP, message::Mark::NextToGap),
    (core::Marks::UNKNOWN_METHOD, message::Mark::UnknownMethod),
    (core::Marks::NO_REQUEST, message::Mark::NoRequest),
    (core::Marks::ID_IN_USE, message::Mark::IdInUse),
    (core::Marks::NO_VERSION, message::Mark::NoVersion),
    (core::Marks::NO_LINE_END, message::Mark::NoLineEnd),
    (core::Marks::LAX_JSON, message::Mark::LaxJson),
    (core::Marks::AMBIGUOUS, message::Mark::Ambiguous),
];

fn marks(marks: core::Marks) -> Vec<i32> {
    MARKS.iter().filter(|(mark, _)| marks.contains(*mark)).map(|&(_, mark)| mark.into()).collect()
}

/// The pipeline's reasons and the contract's.
const REASONS: [(LossReasons, loss::Reason); 8] = [
    (LossReasons::RING_FULL, loss::Reason::RingFull),
    (LossReasons::READ_FAULT, loss::Reason::ReadFault),
    (LossReasons::OVER_LIMIT, loss::Reason::OverLimit),
    (LossReasons::NO_BUFFER, loss::Reason::NoBuffer),
    (LossReasons::NO_SCRATCH, loss::Reason::NoScratch),
    (LossReasons::MEMORY, loss::Reason::Memory),
    (LossReasons::UNKNOWN, loss::Reason::Unknown),
    (LossReasons::QUEUE_FULL, loss::Reason::QueueFull),
];

/// Reasons of a loss as the contract has them.
#[must_use]
pub fn reasons(reasons: LossReasons) -> Vec<i32> {
    REASONS.iter().filter(|(reason, _)| reasons.0 & reason.0 != 0).map(|&(_, reason)| reason.into()).collect()
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    const fn digit(nibble: u8) -> char {
        (if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble }) as char
    }
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

#[cfg(test)]
mod tests {
    use sensor_core::event::{EventId, Implementation, Marks, SessionId};
    use sensor_core::input::ProcessId;

    use super::*;

    const BOOT: u64 = 1_769_860_000_500_000_000;

    fn core_session() -> core::Session {
        core::Session {
            id: SessionId(0xbeef),
            transport: core::Transport::Unix,
            framing: core::Framing::Ndjson,
            protocol_version: "2025-11-25".to_owned(),
            late_attach: true,
            client: Some(ProcessId { pid: 1, start_time: 2 }),
            server: None,
            client_info: Implementation { name: "claude-code".to_owned(), version: "2.1".to_owned() },
            server_info: Implementation::default(),
            relay_of: Some(SessionId(0xfeed)),
            probe: false,
            tunnel: None,
        }
    }

    fn built(body: core::Body<'_>) -> v1::Event {
        let session = core_session();
        let event = core::Event {
            id: EventId(0xabc),
            time: 1_750_000_000,
            session: &session,
            client: None,
            server: None,
            reader_in_doubt: false,
            body,
        };
        frame(&event, "host", BOOT)
    }

    #[test]
    fn an_event_keeps_its_frame() {
        let event = built(core::Body::Session(core::SessionState::Opened));
        assert_eq!(event.id, "00000000000000000000000000000abc");
        assert_eq!(event.time, Some(Timestamp { seconds: 1_769_860_002, nanos: 250_000_000 }));
        assert_eq!(event.node, "host");
        let (known, session) = (v1::Peer { pid: 7, exe: "/bin/claude".to_owned(), ..v1::Peer::default() }, core_session());
        let client = peer(Some(&known), &session.client_info).unwrap();
        assert_eq!((client.pid, client.name.as_str(), client.version.as_str()), (7, "claude-code", "2.1"));
        assert_eq!(peer(None, &session.server_info), None, "nothing is known of the server");
        let session = self::session(&session);
        assert_eq!((session.id.as_str(), session.relay_of.as_str()), ("000000000000beef", "000000000000feed"));
        assert_eq!(session.transport(), session::Transport::Unix);
        assert!(session.late_attach);
    }

    #[test]
    fn a_tool_call_keeps_what_it_says() {
        let event = built(core::Body::ToolCall(core::ToolCall {
            state: core::CallState::Completed,
            request_id: "7",
            retry_of: "",
            tool: "echo",
            arguments: "{}",
            result: "{\"a\":1}",
            error: "",
            is_error: true,
            duration: Some(1_500_000),
            request_bytes: 10,
            response_bytes: 20,
            truncated: false,
            progress_count: 3,
            task_id: "t",
            reason: "",
            marks: Marks::BATCH.union(Marks::AMBIGUOUS),
            said: core::Said::default(),
        }));
        let Some(Body::ToolCall(call)) = event.body else { panic!("a tool call stays one") };
        assert_eq!(call.state(), tool_call::State::Completed);
        assert_eq!(call.duration_ms, Some(1.5));
        assert_eq!(call.marks().collect::<Vec<_>>(), [message::Mark::Batch, message::Mark::Ambiguous]);
        assert_eq!((call.tool.as_str(), call.result.as_str(), call.is_error), ("echo", "{\"a\":1}", true));
    }

    #[test]
    fn every_mark_and_reason_has_its_counterpart() {
        assert_eq!(marks(Marks(u32::MAX)).len(), 17);
        assert_eq!(MARKS.iter().fold(0, |set, (mark, _)| set | mark.0), (1 << 17) - 1);
        assert_eq!(reasons(LossReasons(u8::MAX)).len(), 8);
        assert_eq!(REASONS.iter().fold(0, |set, (reason, _)| set | reason.0), u8::MAX);
    }

    #[test]
    fn times_at_the_edge_do_not_wrap() {
        assert_eq!(timestamp(u64::MAX, u64::MAX).seconds, 36_893_488_147);
        assert_eq!(hexadecimal(&[0, 0xab, 0xff]), "00abff");
    }
}
