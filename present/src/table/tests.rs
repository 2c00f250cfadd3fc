//! What the table shows of a small day, at several widths, with text that means harm.

use std::sync::{Arc, Mutex};

use mcp_sensor_proto::v1::{
    BlindSpot, Container, Event, Gap, Loss, Message, Peer, Sensor, Session, SessionChange, ToolCall, blind_spot, loss, message, sensor,
    session, session_change, tool_call,
};
use proptest::prelude::*;
use prost_types::Timestamp;

use super::*;
use crate::sanitize;

/// 2026-01-31 14:03:22 UTC.
const START: i64 = 1_769_868_202_000_000_000;
const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLISECOND;

/// A writer whose text can be read later.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What happens in a table.
enum Step {
    Event(Box<Event>),
    Tick(i64),
}

fn run(steps: &[Step], columns: usize, styles: Styles, messages: bool) -> String {
    let written = Shared::default();
    let options = Options { styles, size: Size::Columns(columns), messages };
    let mut table = Table::new(Output::to(Box::new(written.clone())), options);
    for step in steps {
        match step {
            Step::Event(event) => table.event(event).unwrap(),
            Step::Tick(after) => table.tick(START + after).unwrap(),
        }
    }
    table.finish().unwrap();
    let bytes = written.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn claude() -> Peer {
    Peer { pid: 81234, exe: "/usr/bin/claude".to_owned(), name: "claude-code".to_owned(), ..Peer::default() }
}

fn everything() -> Peer {
    Peer {
        pid: 81290,
        exe: "/usr/bin/node".to_owned(),
        command_line: strings(&["node", "/n/@modelcontextprotocol/server-everything/dist/index.js"]),
        name: "mcp-servers/everything".to_owned(),
        container: Some(Container { id: "3f2a".to_owned(), runtime: "docker".to_owned() }),
        ..Peer::default()
    }
}

/// A server that lies about everything it can.
fn liar() -> Peer {
    Peer {
        pid: 666,
        exe: "/tmp/\u{1b}]0;owned\u{7}nc → root[1]".to_owned(),
        name: "bank\u{202e}\u{9b}2J\u{200b}\u{e0041}".to_owned(),
        ..Peer::default()
    }
}

fn event(after: i64, server: Peer, body: Body) -> Step {
    let time = START + after;
    let session = Session {
        id: format!("{:016x}", server.pid),
        transport: session::Transport::Pipe.into(),
        framing: session::Framing::Ndjson.into(),
        protocol_version: "2025-11-25".to_owned(),
        late_attach: server.pid == 666,
        ..Session::default()
    };
    Step::Event(Box::new(Event {
        time: Some(Timestamp { seconds: time / SECOND, nanos: i32::try_from(time % SECOND).unwrap() }),
        session: Some(session),
        client: Some(claude()),
        server: Some(server),
        body: Some(body),
        ..Event::default()
    }))
}

fn call(id: &str, tool: &str, arguments: &str) -> ToolCall {
    ToolCall {
        state: tool_call::State::Started.into(),
        request_id: id.to_owned(),
        tool: tool.to_owned(),
        arguments: arguments.to_owned(),
        request_bytes: 120,
        ..ToolCall::default()
    }
}

fn answered(id: &str, tool: &str, arguments: &str, result: &str, duration_ms: f64) -> ToolCall {
    ToolCall {
        state: tool_call::State::Completed.into(),
        result: result.to_owned(),
        duration_ms: Some(duration_ms),
        response_bytes: 312,
        ..call(id, tool, arguments)
    }
}

fn text(said: &str) -> String {
    serde_json::json!({"content": [{"type": "text", "text": said}]}).to_string()
}

fn sensor(state: sensor::State, lost: u64, blind_spots: Vec<BlindSpot>) -> Step {
    let count = loss::Count { place: loss::Place::Kernel.into(), reason: loss::Reason::RingFull.into(), count: lost, bytes: lost * 1000 };
    let loss = Some(Loss { counts: vec![count] });
    let told = Sensor { state: state.into(), loss, blind_spots, version: "0.1.0".to_owned(), ..Sensor::default() };
    let time = Some(Timestamp { seconds: START / SECOND + 30, nanos: 0 });
    Step::Event(Box::new(Event { time, body: Some(Body::Sensor(told)), ..Event::default() }))
}

fn message(method: &str, kind: message::Type, direction: message::Direction, body: &str) -> Body {
    Body::Message(Message {
        method: method.to_owned(),
        r#type: kind.into(),
        direction: direction.into(),
        body: body.to_owned(),
        size_bytes: 1234,
        marks: if method == "evil" { vec![message::Mark::DuplicateKey.into(), message::Mark::Batch.into()] } else { Vec::new() },
        ..Message::default()
    })
}

/// A small day in which everything happens once.
fn day() -> Vec<Step> {
    let change =
        |state: session_change::State, reason: &str| Body::SessionChange(SessionChange { state: state.into(), reason: reason.to_owned() });
    let gap = |bytes| {
        Body::Gap(Gap {
            direction: message::Direction::ServerToClient.into(),
            bytes,
            reasons: vec![loss::Reason::RingFull.into(), loss::Reason::OverLimit.into()],
        })
    };
    let blind = BlindSpot {
        process: Some(Peer { pid: 4242, exe: "/opt/\u{1b}[8mcodex".to_owned(), ..Peer::default() }),
        reason: blind_spot::Reason::TlsSymbols.into(),
        detail: "rustls 0.23 in a stripped program; run `mcp-sensor check` to see which programs it knows".to_owned(),
        bytes: 0,
        since: None,
    };
    let to_server = message::Direction::ClientToServer;
    let to_client = message::Direction::ServerToClient;
    let hostile_arguments = r#"{"path":"/etc/\u001b[31mpasswd\u202e","note":"a\nb\r\u0000"}"#;
    let hostile_result = text("\u{1b}]52;c;aGk=\u{7}line one\nline two\u{2028}\u{9b}0m\u{e0041}e\u{301}\u{301}\u{301}\u{301}\u{301}");
    vec![
        Step::Tick(0),
        sensor(sensor::State::Ready, 0, Vec::new()),
        event(MILLISECOND, everything(), change(session_change::State::Opened, "")),
        event(2 * MILLISECOND, everything(), message("tools/list", message::Type::Request, to_server, r#"{"method":"tools/list"}"#)),
        event(
            3 * MILLISECOND,
            everything(),
            message("tools/list", message::Type::Response, to_client, r#"{"result":{"tools":[{"name":"echo"}]}}"#),
        ),
        event(123 * MILLISECOND, everything(), Body::ToolCall(call("1", "echo", r#"{"message":"hi"}"#))),
        event(135 * MILLISECOND, everything(), Body::ToolCall(answered("1", "echo", r#"{"message":"hi"}"#, &text("Echo: hi"), 12.3))),
        event(
            400 * MILLISECOND,
            everything(),
            Body::ToolCall(answered(
                "2",
                "get-structured-content",
                r#"{"location":"東京都千代田区","days":[1,2,3]}"#,
                r#"{"content":[],"structuredContent":{"temperature":22.5,"conditions":"晴れ"}}"#,
                0.42,
            )),
        ),
        event(500 * MILLISECOND, liar(), change(session_change::State::Opened, "")),
        event(
            600 * MILLISECOND,
            liar(),
            Body::ToolCall(answered("7", "read\u{202e}\u{1b}[1A", hostile_arguments, &hostile_result, 1_234.0)),
        ),
        event(
            610 * MILLISECOND,
            liar(),
            message("evil", message::Type::Notification, to_client, r#"{"method":"evil","params":{"x":"\u001bc"}}"#),
        ),
        event(
            700 * MILLISECOND,
            liar(),
            Body::ToolCall(ToolCall {
                is_error: true,
                marks: vec![message::Mark::Ambiguous.into(), message::Mark::EscapedName.into()],
                ..answered("8", "rm", "{}", &text("no such file"), 3.0)
            }),
        ),
        event(
            800 * MILLISECOND,
            everything(),
            Body::ToolCall(ToolCall {
                state: tool_call::State::Failed.into(),
                error: r#"{"code":-32602,"message":"Unknown tool: nope"}"#.to_owned(),
                ..answered("3", "nope", "", "", 1.0)
            }),
        ),
        event(900 * MILLISECOND, everything(), Body::ToolCall(answered("4", "secret", "", "", 5.0))),
        event(SECOND, everything(), Body::ToolCall(call("5", "long-running-operation", r#"{"duration":60,"steps":5}"#))),
        event(SECOND, everything(), Body::ToolCall(call("6", "sampling", r#"{"prompt":"why"}"#))),
        event(SECOND, everything(), gap(Some(1_300_000))),
        event(SECOND, everything(), gap(Some(200_000))),
        event(SECOND, everything(), gap(None)),
        Step::Tick(2 * SECOND),
        Step::Tick(3 * SECOND),
        Step::Tick(11 * SECOND),
        event(
            12 * SECOND,
            everything(),
            Body::ToolCall(ToolCall {
                state: tool_call::State::Cancelled.into(),
                duration_ms: Some(11_000.0),
                ..call("6", "sampling", r#"{"prompt":"why"}"#)
            }),
        ),
        sensor(sensor::State::Degraded, 12, vec![blind]),
        sensor(sensor::State::Ready, 15, Vec::new()),
        event(
            40 * SECOND,
            liar(),
            Body::ToolCall(ToolCall {
                state: tool_call::State::Abandoned.into(),
                reason: "the server exited".to_owned(),
                ..call("9", "rm", "{}")
            }),
        ),
        event(40 * SECOND, liar(), change(session_change::State::Closed, "server exited")),
        event(36_000 * SECOND, everything(), Body::ToolCall(answered("10", "echo", "{}", &text("next day"), 1.0))),
    ]
}

#[test]
fn the_table_at_several_widths() {
    for columns in [60, 80, 120, 200] {
        insta::assert_snapshot!(format!("table_{columns}"), run(&day(), columns, Styles::PLAIN, false));
    }
}

#[test]
fn the_table_with_every_message() {
    insta::assert_snapshot!("table_messages_120", run(&day(), 120, Styles::PLAIN, true));
}

#[test]
fn the_table_in_colour() {
    insta::assert_snapshot!("table_coloured_120", run(&day(), 120, Styles::COLOURED, false).replace('\u{1b}', "<ESC>"));
}

#[test]
fn a_call_is_told_while_it_runs_and_ever_more_seldom() {
    let begin = event(0, everything(), Body::ToolCall(call("1", "slow", "{}")));
    let steps: Vec<Step> = std::iter::once(begin).chain((1..=300).map(|second| Step::Tick(second * SECOND))).collect();
    let shown = run(&steps, 120, Styles::PLAIN, false);
    let ages: Vec<&str> =
        shown.lines().filter(|line| line.contains("…running")).filter_map(|line| line.split("  ").last()).map(str::trim).collect();
    assert_eq!(ages, ["2.00 s", "10.0 s", "50.0 s", "4m10s"]);
    assert!(shown.lines().last().unwrap().contains("no answer yet"));
}

#[test]
fn a_fast_call_is_told_once() {
    let steps = [
        event(0, everything(), Body::ToolCall(call("1", "fast", "{}"))),
        event(MILLISECOND, everything(), Body::ToolCall(answered("1", "fast", "{}", "{}", 1.0))),
        Step::Tick(60 * SECOND),
    ];
    assert_eq!(run(&steps, 120, Styles::PLAIN, false).matches("fast").count(), 1);
}

#[test]
fn a_burst_of_gaps_is_a_few_lines_and_none_is_left_out() {
    let gap = || event(0, everything(), Body::Gap(Gap { bytes: Some(1024), ..Gap::default() }));
    let mut steps: Vec<Step> = (0..10_000).map(|_| gap()).collect();
    steps.push(Step::Tick(SECOND));
    steps.extend((0..5).map(|_| gap()));
    let shown = run(&steps, 120, Styles::PLAIN, false);
    let told: Vec<&str> = shown.lines().filter(|line| line.contains("missing")).map(|line| line.split(": ").last().unwrap()).collect();
    assert_eq!(told, ["1.0 KiB missing", "9.8 MiB missing in 9,999 gaps", "5.0 KiB missing in 5 gaps"]);
}

/// What the tests let through of control characters: line ends and, where there is colour, the sequences of our own.
fn without_own_sequences(shown: &str) -> String {
    let mut shown = shown.to_owned();
    for parameters in ["0", "1", "2", "31", "32", "33", "2;31", "2;32", "2;33"] {
        shown = shown.replace(&format!("\u{1b}[{parameters}m"), "");
    }
    shown
}

fn is_safe(shown: &str) -> bool {
    let ours = |character: char| matches!(character, '\n' | '\u{2400}'..='\u{241f}' | '\u{2421}');
    !shown.chars().any(|character| sanitize::is_unsafe(character) && !ours(character))
}

#[test]
fn no_line_of_the_day_is_too_wide_or_unsafe_at_any_width() {
    for columns in 40..260 {
        for messages in [false, true] {
            let shown = run(&day(), columns, Styles::PLAIN, messages);
            assert!(is_safe(&shown));
            for line in shown.lines() {
                assert!(sanitize::width(line) <= columns, "{columns}: {line}");
            }
            assert_eq!(without_own_sequences(&run(&day(), columns, Styles::COLOURED, messages)).replace(' ', ""), shown.replace(' ', ""));
        }
    }
}

proptest! {
    #[test]
    fn nothing_from_outside_reaches_the_terminal_raw(
        texts in proptest::collection::vec("[\\x00-\\x{ff}\\u{2000}-\\u{2fff}\\u{e0000}-\\u{e0fff}\\u{300}a\"{}\\\\]{0,40}", 12),
        state in 0..8_i32,
        columns in 40_usize..200,
        coloured in any::<bool>(),
    ) {
        let word = |position: usize| texts[position].clone();
        let peer = |position: usize| Peer {
            pid: 7,
            exe: word(position),
            command_line: vec![word(position), word(position + 1)],
            working_directory: word(position),
            name: word(position + 1),
            address: word(position),
            ..Peer::default()
        };
        let call = ToolCall {
            state,
            request_id: word(0),
            tool: word(1),
            arguments: word(2),
            result: format!("{{\"content\":[{{\"type\":\"text\",\"text\":\"{}\"}}]}}", word(3)),
            error: word(4),
            task_id: word(5),
            reason: word(6),
            marks: vec![1, 2, 99],
            ..ToolCall::default()
        };
        let message = Message { method: word(7), target: word(8), body: word(9), r#type: state, ..Message::default() };
        let blind = BlindSpot { process: Some(peer(10)), detail: word(3), ..BlindSpot::default() };
        let bodies = [
            Body::ToolCall(call),
            Body::Message(message),
            Body::SessionChange(SessionChange { state, reason: word(0) }),
            Body::Gap(Gap::default()),
            Body::Sensor(Sensor { state, detail: word(1), blind_spots: vec![blind], ..Sensor::default() }),
        ];
        let steps: Vec<Step> = bodies.into_iter().map(|body| {
            let session = Session { id: word(2), protocol_version: word(3), relay_of: word(4), tunnel: word(5), ..Session::default() };
            let (client, server) = (Some(peer(10)), Some(peer(6)));
            Step::Event(Box::new(Event { session: Some(session), client, server, body: Some(body), ..Event::default() }))
        }).chain([Step::Tick(0)]).collect();
        let styles = if coloured { Styles::COLOURED } else { Styles::PLAIN };
        let shown = without_own_sequences(&run(&steps, columns, styles, true));
        prop_assert!(is_safe(&shown), "{:?}", shown);
        for line in shown.lines() {
            prop_assert!(sanitize::width(line) <= columns, "{}: {:?}", columns, line);
        }
    }
}
