//! Events as JSON: the canonical proto3 form, with captured JSON standing as JSON.
//!
//! What a consumer may rely on is written at the head of `event.proto`. The writer is made by hand because it stands on
//! the way of every message: it allocates nothing but the room in the output, and goes once over the text.
//!
//! It trusts no event: captured text is checked before it is embedded, and whatever could end the line, or change what a
//! terminal shows, is escaped. So one line out is one event, and every line is JSON that common parsers take.

mod captured;
mod object;
#[cfg(test)]
mod tests;

use crate::v1::{
    Action, Ancestor, Audit, BlindSpot, Container, Event, Finding, Gap, Loss, Message, Peer, Pod, Sensor, Session, SessionChange, ToolCall,
    action, audit, blind_spot, event, finding, loss, message, sensor, session, session_change, tool_call,
};
pub use object::Object;

/// Appends `event` to `out` as one JSON object on one line, without a line end.
///
/// Times outside of the years 1 to 9999, which JSON cannot tell, are written as the nearest one inside.
pub fn write_event(event: &Event, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    event_fields(event, None, &mut object);
    object.end();
}

/// Parts of an event that were written before, by [`write_session`] and [`write_peer`].
#[derive(Clone, Copy, Debug, Default)]
pub struct EncodedParts<'a> {
    /// Its session.
    pub session: Option<&'a [u8]>,
    /// Its client.
    pub client: Option<&'a [u8]>,
    /// Its server.
    pub server: Option<&'a [u8]>,
}

/// As [`write_event`], with `parts` for the event's own session, client and server.
pub fn write_event_with(event: &Event, parts: EncodedParts<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    event_fields(event, Some(parts), &mut object);
    object.end();
}

/// Appends a session as one JSON object, as it stands in an event.
pub fn write_session(session: &Session, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    session_fields(session, &mut object);
    object.end();
}

/// Appends a peer as one JSON object, as it stands in an event.
pub fn write_peer(peer: &Peer, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    peer_fields(peer, &mut object);
    object.end();
}

// The functions below take their message apart by pattern, so that a new field of the contract is not forgotten here.

fn event_fields(event: &Event, parts: Option<EncodedParts<'_>>, object: &mut Object<'_>) {
    let Event { id, time, node, sequence, session, client, server, severity, body } = event;
    object.string("id", id);
    object.time("time", time.as_ref());
    object.string("node", node);
    object.unsigned64("sequence", *sequence);
    if let Some(EncodedParts { session, client, server }) = parts {
        object.encoded("session", session);
        object.encoded("client", client);
        object.encoded("server", server);
    } else {
        object.message("session", session.as_ref(), session_fields);
        object.message("client", client.as_ref(), peer_fields);
        object.message("server", server.as_ref(), peer_fields);
    }
    object.enumeration("severity", *severity, event::Severity::as_str_name);
    match body {
        Some(event::Body::ToolCall(call)) => object.message("toolCall", Some(call), tool_call_fields),
        Some(event::Body::Message(message)) => object.message("message", Some(message), message_fields),
        Some(event::Body::SessionChange(change)) => {
            object.message("sessionChange", Some(change), session_change_fields);
        }
        Some(event::Body::Gap(gap)) => object.message("gap", Some(gap), gap_fields),
        Some(event::Body::Sensor(sensor)) => object.message("sensor", Some(sensor), sensor_fields),
        Some(event::Body::Finding(finding)) => object.message("finding", Some(finding), finding_fields),
        Some(event::Body::Action(action)) => object.message("action", Some(action), action_fields),
        None => {}
    }
}

/// Writes the members of a session.
pub fn session_fields(session: &Session, object: &mut Object<'_>) {
    let Session { id, transport, framing, tls, protocol_version, mcp_session_id, late_attach, relay_of, probe, tunnel } = session;
    object.string("id", id);
    object.enumeration("transport", *transport, session::Transport::as_str_name);
    object.enumeration("framing", *framing, session::Framing::as_str_name);
    object.enumeration("tls", *tls, session::Tls::as_str_name);
    object.string("protocolVersion", protocol_version);
    object.string("mcpSessionId", mcp_session_id);
    object.boolean("lateAttach", *late_attach);
    object.string("relayOf", relay_of);
    object.boolean("probe", *probe);
    object.string("tunnel", tunnel);
}

fn session_change_fields(change: &SessionChange, object: &mut Object<'_>) {
    let SessionChange { state, reason } = change;
    object.enumeration("state", *state, session_change::State::as_str_name);
    object.string("reason", reason);
}

/// Writes the members of a peer.
pub fn peer_fields(peer: &Peer, object: &mut Object<'_>) {
    let Peer {
        pid,
        start_time,
        exe,
        exe_sha256,
        command_line,
        working_directory,
        uid,
        user,
        login_uid,
        ancestors,
        container,
        pod,
        systemd_unit,
        cgroup,
        address,
        name,
        version,
    } = peer;
    object.unsigned32("pid", *pid);
    object.time("startTime", start_time.as_ref());
    object.string("exe", exe);
    object.string("exeSha256", exe_sha256);
    object.strings("commandLine", command_line);
    object.string("workingDirectory", working_directory);
    object.optional32("uid", *uid);
    object.string("user", user);
    object.optional32("loginUid", *login_uid);
    object.messages("ancestors", ancestors, ancestor_fields);
    object.message("container", container.as_ref(), container_fields);
    object.message("pod", pod.as_ref(), pod_fields);
    object.string("systemdUnit", systemd_unit);
    object.string("cgroup", cgroup);
    object.string("address", address);
    object.string("name", name);
    object.string("version", version);
}

fn ancestor_fields(ancestor: &Ancestor, object: &mut Object<'_>) {
    let Ancestor { pid, start_time, exe, command_line } = ancestor;
    object.unsigned32("pid", *pid);
    object.time("startTime", start_time.as_ref());
    object.string("exe", exe);
    object.strings("commandLine", command_line);
}

fn container_fields(container: &Container, object: &mut Object<'_>) {
    let Container { id, runtime } = container;
    object.string("id", id);
    object.string("runtime", runtime);
}

fn pod_fields(pod: &Pod, object: &mut Object<'_>) {
    let Pod { uid, namespace, name } = pod;
    object.string("uid", uid);
    object.string("namespace", namespace);
    object.string("name", name);
}

fn message_fields(message: &Message, object: &mut Object<'_>) {
    let Message { direction, r#type, method, request_id, target, size_bytes, sha256, body, truncated, marks, task_id, related_request_id } =
        message;
    object.enumeration("direction", *direction, message::Direction::as_str_name);
    object.enumeration("type", *r#type, message::Type::as_str_name);
    object.string("method", method);
    object.string("requestId", request_id);
    object.string("target", target);
    object.unsigned64("sizeBytes", *size_bytes);
    object.string("sha256", sha256);
    object.captured("body", body);
    object.boolean("truncated", *truncated);
    object.enumerations("marks", marks, message::Mark::as_str_name);
    object.string("taskId", task_id);
    object.string("relatedRequestId", related_request_id);
}

fn tool_call_fields(call: &ToolCall, object: &mut Object<'_>) {
    let ToolCall {
        state,
        request_id,
        retry_of,
        tool,
        arguments,
        result,
        error,
        is_error,
        duration_ms,
        request_bytes,
        response_bytes,
        truncated,
        progress_count,
        task_id,
        reason,
        marks,
    } = call;
    object.enumeration("state", *state, tool_call::State::as_str_name);
    object.string("requestId", request_id);
    object.string("retryOf", retry_of);
    object.string("tool", tool);
    object.captured("arguments", arguments);
    object.captured("result", result);
    object.captured("error", error);
    object.boolean("isError", *is_error);
    object.optional_double("durationMs", *duration_ms);
    object.unsigned64("requestBytes", *request_bytes);
    object.unsigned64("responseBytes", *response_bytes);
    object.boolean("truncated", *truncated);
    object.unsigned32("progressCount", *progress_count);
    object.string("taskId", task_id);
    object.string("reason", reason);
    object.enumerations("marks", marks, message::Mark::as_str_name);
}

fn gap_fields(gap: &Gap, object: &mut Object<'_>) {
    let Gap { direction, bytes, reasons } = gap;
    object.enumeration("direction", *direction, message::Direction::as_str_name);
    object.optional64("bytes", *bytes);
    object.enumerations("reasons", reasons, loss::Reason::as_str_name);
}

fn finding_fields(finding: &Finding, object: &mut Object<'_>) {
    let Finding { rule, title, reason, tags, event_id, method, tool, request_id, evidence, suppressed, policy } = finding;
    object.string("rule", rule);
    object.string("title", title);
    object.string("reason", reason);
    object.strings("tags", tags);
    object.string("eventId", event_id);
    object.string("method", method);
    object.string("tool", tool);
    object.string("requestId", request_id);
    object.messages("evidence", evidence, evidence_fields);
    object.unsigned64("suppressed", *suppressed);
    object.string("policy", policy);
}

fn evidence_fields(evidence: &finding::Evidence, object: &mut Object<'_>) {
    let finding::Evidence { field, value } = evidence;
    object.string("field", field);
    object.string("value", value);
}

fn action_fields(action: &Action, object: &mut Object<'_>) {
    let Action {
        kind,
        target,
        tree,
        outcome,
        detail,
        mechanism,
        rule,
        finding_id,
        ordered_by,
        latency_ns,
        delivered_before_kill,
        processes,
        action_id,
        decided,
    } = action;
    object.enumeration("kind", *kind, action::Kind::as_str_name);
    object.enumeration("target", *target, action::Target::as_str_name);
    object.boolean("tree", *tree);
    object.enumeration("outcome", *outcome, action::Outcome::as_str_name);
    object.string("detail", detail);
    object.enumeration("mechanism", *mechanism, action::Mechanism::as_str_name);
    object.string("rule", rule);
    object.string("findingId", finding_id);
    object.string("orderedBy", ordered_by);
    object.optional64("latencyNs", *latency_ns);
    object.enumeration("deliveredBeforeKill", *delivered_before_kill, action::Delivered::as_str_name);
    object.messages("processes", processes, victim_fields);
    object.string("actionId", action_id);
    object.time("decided", decided.as_ref());
}

fn victim_fields(victim: &action::Victim, object: &mut Object<'_>) {
    let action::Victim { process, outcome, detail } = victim;
    object.message("process", process.as_ref(), peer_fields);
    object.enumeration("outcome", *outcome, action::Outcome::as_str_name);
    object.string("detail", detail);
}

fn sensor_fields(sensor: &Sensor, object: &mut Object<'_>) {
    let Sensor { state, detail, version, started, loss, blind_spots, audits } = sensor;
    object.enumeration("state", *state, sensor::State::as_str_name);
    object.string("detail", detail);
    object.string("version", version);
    object.time("started", started.as_ref());
    object.message("loss", loss.as_ref(), loss_fields);
    object.messages("blindSpots", blind_spots, blind_spot_fields);
    object.messages("audits", audits, audit_fields);
}

fn audit_fields(audit: &Audit, object: &mut Object<'_>) {
    let Audit { kind, subject, detail, time } = audit;
    object.enumeration("kind", *kind, audit::Kind::as_str_name);
    object.string("subject", subject);
    object.string("detail", detail);
    object.time("time", time.as_ref());
}

fn loss_fields(loss: &Loss, object: &mut Object<'_>) {
    let Loss { counts } = loss;
    object.messages("counts", counts, count_fields);
}

fn count_fields(count: &loss::Count, object: &mut Object<'_>) {
    let loss::Count { place, reason, count, bytes } = count;
    object.enumeration("place", *place, loss::Place::as_str_name);
    object.enumeration("reason", *reason, loss::Reason::as_str_name);
    object.unsigned64("count", *count);
    object.unsigned64("bytes", *bytes);
}

fn blind_spot_fields(spot: &BlindSpot, object: &mut Object<'_>) {
    let BlindSpot { process, reason, detail, bytes, since } = spot;
    object.message("process", process.as_ref(), peer_fields);
    object.enumeration("reason", *reason, blind_spot::Reason::as_str_name);
    object.string("detail", detail);
    object.unsigned64("bytes", *bytes);
    object.time("since", since.as_ref());
}
