//! Events of every shape.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use prost_types::Timestamp;

use crate::v1::{
    Ancestor, Audit, BlindSpot, Container, Event, Gap, Loss, Message, Peer, Pod, Sensor, Session, SessionChange, ToolCall, event, loss,
};

/// Text that is often empty, and often odd.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        2 => "[ -~]{0,12}",
        1 => ".{0,8}",
        1 => any::<String>(),
        1 => vec(odd_character(), 0..6).prop_map(String::from_iter),
    ]
}

fn odd_character() -> impl Strategy<Value = char> {
    let characters = "\"\\/\n\r\t\0\u{1b}\u{7f}\u{80}\u{85}\u{9b}\u{ad}\u{200b}\u{200d}\u{2027}\u{2028}\u{2029}\u{202e}\
        \u{2066}\u{feff}\u{ffff}\u{e0041}\u{10ffff}é漢a";
    prop::sample::select(characters.chars().collect::<Vec<_>>())
}

/// JSON as several writers write it.
pub(super) fn json_text() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<f64>().prop_filter("JSON has no others", |value| value.is_finite()).prop_map(|value| format!("{value:?}")),
        any::<i64>().prop_map(|value| value.to_string()),
        text().prop_map(|text| serde_json::to_string(&text).expect("a string can be written")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(", "))),
            vec((text(), inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(key, value)| format!("{}:{value}", serde_json::to_string(&key).expect("a string can be written")))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
    .boxed()
}

/// JSON that has been damaged, and text of its pieces.
pub(super) fn nearly_json() -> BoxedStrategy<String> {
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\\u",
        "d800",
        "\\ud83d\\ude00",
        "null",
        "tru",
        "0",
        "-",
        "1.5",
        "e999",
        " ",
        "\t",
        "\n",
        "\"a\"",
        "\"a\":",
        "\u{85}",
        "\u{2028}",
        "é",
    ]);
    let cut = (json_text(), any::<prop::sample::Index>(), vec(pieces.clone(), 0..2), any::<bool>());
    let cut = cut.prop_map(|(mut text, index, insert, keep)| {
        let at = text.char_indices().map(|(at, _)| at).nth(index.index(text.chars().count().max(1))).unwrap_or(0);
        let tail = text.split_off(at);
        text + &insert.concat() + if keep { &tail } else { "" }
    });
    prop_oneof![cut, vec(pieces, 0..12).prop_map(|pieces| pieces.concat()), text()].boxed()
}

fn time() -> impl Strategy<Value = Option<Timestamp>> {
    of((-62_135_596_800_i64..=253_402_300_799, 0..1_000_000_000_i32).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos }))
}

/// A value of an enum, known or not.
fn number() -> impl Strategy<Value = i32> {
    prop_oneof![4 => 0..20_i32, 1 => any::<i32>()]
}

fn peer() -> impl Strategy<Value = Option<Peer>> {
    let kernel = (any::<u32>(), time(), text(), text(), vec(text(), 0..3), text(), of(any::<u32>()), text(), of(0..3_u32));
    let ancestor = (any::<u32>(), time(), text(), vec(text(), 0..3)).prop_map(|(pid, start_time, exe, command_line)| Ancestor {
        pid,
        start_time,
        exe,
        command_line,
    });
    let container = of((text(), text()).prop_map(|(id, runtime)| Container { id, runtime }));
    let pod = of((text(), text(), text()).prop_map(|(uid, namespace, name)| Pod { uid, namespace, name }));
    let rest = (vec(ancestor, 0..3), container, pod, text(), text(), text(), text(), text());
    of((kernel, rest).prop_map(|(kernel, rest)| {
        let (pid, start_time, exe, exe_sha256, command_line, working_directory, uid, user, login_uid) = kernel;
        let (ancestors, container, pod, systemd_unit, cgroup, address, name, version) = rest;
        Peer {
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
        }
    }))
}

fn session() -> impl Strategy<Value = Option<Session>> {
    let texts = (text(), text(), text(), text(), text());
    of((texts, number(), number(), number(), any::<bool>(), any::<bool>()).prop_map(
        |((id, protocol_version, mcp_session_id, relay_of, tunnel), transport, framing, tls, late_attach, probe)| Session {
            id,
            transport,
            framing,
            tls,
            protocol_version,
            mcp_session_id,
            late_attach,
            relay_of,
            probe,
            tunnel,
        },
    ))
}

fn message(captured: BoxedStrategy<String>) -> impl Strategy<Value = Message> {
    let texts = (text(), text(), text(), text(), text(), text());
    (texts, number(), number(), any::<u64>(), captured, any::<bool>(), vec(number(), 0..4)).prop_map(
        |((method, request_id, target, sha256, task_id, related_request_id), direction, r#type, size_bytes, body, truncated, marks)| {
            Message {
                direction,
                r#type,
                method,
                request_id,
                target,
                size_bytes,
                sha256,
                body,
                truncated,
                marks,
                task_id,
                related_request_id,
            }
        },
    )
}

/// Durations, of those that serde_json reads without rounding.
fn double() -> impl Strategy<Value = f64> {
    prop_oneof![any::<i32>().prop_map(|value| f64::from(value) / 64.0), Just(0.0), Just(f64::INFINITY), Just(f64::NEG_INFINITY)]
}

fn tool_call(captured: BoxedStrategy<String>) -> impl Strategy<Value = ToolCall> {
    let texts = (text(), text(), text(), text(), text());
    let captured = (captured.clone(), captured.clone(), captured);
    let numbers = (number(), of(double()), any::<u64>(), 0..3_u64, any::<u32>(), vec(number(), 0..4));
    (texts, captured, numbers, any::<bool>(), any::<bool>()).prop_map(|(texts, captured, numbers, is_error, truncated)| {
        let (request_id, retry_of, tool, task_id, reason) = texts;
        let (arguments, result, error) = captured;
        let (state, duration_ms, request_bytes, response_bytes, progress_count, marks) = numbers;
        ToolCall {
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
        }
    })
}

fn sensor() -> impl Strategy<Value = Sensor> {
    let count =
        (number(), number(), any::<u64>(), 0..2_u64).prop_map(|(place, reason, count, bytes)| loss::Count { place, reason, count, bytes });
    let loss = of(vec(count, 0..3).prop_map(|counts| Loss { counts }));
    let blind_spot = (peer(), number(), text(), any::<u64>(), time()).prop_map(|(process, reason, detail, bytes, since)| BlindSpot {
        process,
        reason,
        detail,
        bytes,
        since,
    });
    let audit = (number(), text(), text(), time()).prop_map(|(kind, subject, detail, time)| Audit { kind, subject, detail, time });
    (number(), text(), text(), time(), loss, vec(blind_spot, 0..2), vec(audit, 0..2)).prop_map(
        |(state, detail, version, started, loss, blind_spots, audits)| Sensor {
            state,
            detail,
            version,
            started,
            loss,
            blind_spots,
            audits,
        },
    )
}

/// Any event whose captured fields come from `captured`.
pub(super) fn event(captured: BoxedStrategy<String>) -> impl Strategy<Value = Event> {
    let body = prop_oneof![
        message(captured.clone()).prop_map(event::Body::Message),
        tool_call(captured).prop_map(event::Body::ToolCall),
        (number(), text()).prop_map(|(state, reason)| event::Body::SessionChange(SessionChange { state, reason })),
        (number(), of(any::<u64>()), vec(number(), 0..3)).prop_map(|(direction, bytes, reasons)| event::Body::Gap(Gap {
            direction,
            bytes,
            reasons
        })),
        sensor().prop_map(event::Body::Sensor),
    ];
    (text(), time(), text(), any::<u64>(), session(), peer(), peer(), number(), of(body)).prop_map(
        |(id, time, node, sequence, session, client, server, severity, body)| Event {
            id,
            time,
            node,
            sequence,
            session,
            client,
            server,
            severity,
            body,
        },
    )
}

/// An event with two peers as they are on a host.
pub(super) fn example() -> Event {
    let peer = |pid, exe: &str| Peer {
        pid,
        start_time: Some(Timestamp { seconds: 1_795_176_000, nanos: 5 }),
        exe: exe.into(),
        exe_sha256: "ab".repeat(32),
        command_line: vec![exe.into(), "/srv/server/index.js".into(), "--root".into(), "/home/user".into()],
        working_directory: "/home/user".into(),
        uid: Some(1000),
        user: "user".into(),
        name: "everything".into(),
        version: "1.2.3".into(),
        ..Peer::default()
    };
    Event {
        id: "0".repeat(32),
        time: Some(Timestamp { seconds: 1_795_176_000, nanos: 5 }),
        node: "host".into(),
        sequence: 17,
        session: Some(Session { id: "0".repeat(16), transport: 1, framing: 1, tls: 1, ..Session::default() }),
        client: Some(peer(7, "/usr/bin/python3")),
        server: Some(peer(8, "/usr/bin/node")),
        severity: 2,
        body: None,
    }
}
