//! JSON is the proto3 form of an event, one line, whatever the event holds.

use std::sync::LazyLock;

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;

use super::write_event;
use crate::v1::{Event, Message, ToolCall, event, message, tool_call};

mod arbitrary;

fn descriptor() -> MessageDescriptor {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(crate::DESCRIPTOR).expect("the descriptor is valid"));
    POOL.get_message_by_name("mcp_sensor.v1.Event").expect("the contract has an event")
}

fn line(event: &Event) -> String {
    let mut out = b"before".to_vec();
    write_event(event, &mut out);
    let out = String::from_utf8(out).expect("the output is UTF-8");
    out.strip_prefix("before").expect("the output is appended").to_owned()
}

fn tool_call(arguments: &str) -> Event {
    let call = ToolCall { arguments: arguments.into(), ..ToolCall::default() };
    Event { body: Some(event::Body::ToolCall(call)), ..Event::default() }
}

/// The members of the tool call of an event with these arguments.
fn with_arguments(arguments: &str) -> Value {
    let line = line(&tool_call(arguments));
    serde_json::from_str::<Value>(&line).expect("the line is JSON")["toolCall"].clone()
}

/// One line for every reader, and nothing that a terminal obeys.
fn assert_safe_line(line: &str) {
    let unsafe_character =
        |character: char| character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    assert_eq!(line.find(unsafe_character), None, "{line:?}");
}

proptest! {
    #[test]
    fn an_event_without_captured_json_is_its_proto3_form(event in arbitrary::event("".boxed())) {
        let line = line(&event);
        assert_safe_line(&line);
        prop_assert!(serde_json::from_str::<Value>(&line).is_ok());
        let mut reader = serde_json::Deserializer::from_str(&line);
        let read = DynamicMessage::deserialize(descriptor(), &mut reader).map_err(|error| TestCaseError::fail(error.to_string()))?;
        reader.end().map_err(|error| TestCaseError::fail(error.to_string()))?;
        let encoded = DynamicMessage::decode(descriptor(), event.encode_to_vec().as_slice()).expect("prost writes what it reads");
        prop_assert!(read == encoded);
    }

    #[test]
    fn captured_json_stands_as_json_and_the_rest_is_the_proto3_form(event in arbitrary::event(arbitrary::json_text())) {
        check_captured(&event)?;
    }

    #[test]
    fn any_captured_text_gives_one_line_of_json(event in arbitrary::event(arbitrary::nearly_json())) {
        check_captured(&event)?;
    }

    #[test]
    fn times_are_rfc_3339_with_nine_digits(seconds in -62_135_596_800_i64..=253_402_300_799, nanos in 0..1_000_000_000_i32) {
        let time = prost_types::Timestamp { seconds, nanos };
        let line = line(&Event { time: Some(time), ..Event::default() });
        let written = line.strip_prefix("{\"time\":\"").and_then(|rest| rest.strip_suffix("\"}")).expect("only the time is set");
        prop_assert_eq!(written.len(), "2026-11-20T12:00:00.000000000Z".len());
        prop_assert_eq!(written.parse::<prost_types::Timestamp>().expect("prost-types reads it"), time);
    }
}

/// The fields of captured JSON in an event, with their names in JSON.
fn captured(event: &Event) -> Vec<(&'static str, &'static str, &str)> {
    match &event.body {
        Some(event::Body::Message(message)) => vec![("message", "body", &message.body)],
        Some(event::Body::ToolCall(call)) => {
            vec![("toolCall", "arguments", &call.arguments), ("toolCall", "result", &call.result), ("toolCall", "error", &call.error)]
        }
        _ => Vec::new(),
    }
}

/// The event with its captured fields emptied.
fn without_captured(event: &Event) -> Event {
    let mut event = event.clone();
    match &mut event.body {
        Some(event::Body::Message(message)) => message.body.clear(),
        Some(event::Body::ToolCall(call)) => {
            call.arguments.clear();
            call.result.clear();
            call.error.clear();
        }
        _ => {}
    }
    event
}

fn check_captured(event: &Event) -> Result<(), TestCaseError> {
    let line = line(event);
    assert_safe_line(&line);
    let mut value: Value = serde_json::from_str(&line).map_err(|error| TestCaseError::fail(error.to_string()))?;
    for (parent, name, text) in captured(event) {
        let object = value[parent].as_object_mut().expect("the body is written");
        let (written, mark) = (object.remove(name), object.remove(&format!("{name}IsText")));
        match (written, mark) {
            (None, None) => prop_assert_eq!(text, ""),
            (Some(written), Some(mark)) => {
                prop_assert_eq!(written, Value::from(text));
                prop_assert_eq!(mark, Value::from(true));
            }
            (Some(written), None) => prop_assert_eq!(Some(written), serde_json::from_str::<Value>(text).ok()),
            (None, Some(_)) => prop_assert!(false, "{} is marked but not written", name),
        }
    }
    let read = DynamicMessage::deserialize(descriptor(), value).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let encoded = without_captured(event).encode_to_vec();
    prop_assert!(read == DynamicMessage::decode(descriptor(), encoded.as_slice()).expect("prost writes what it reads"));
    Ok(())
}

#[test]
fn the_frame_reads_as_the_design_has_it() {
    let event = Event {
        id: "0f".into(),
        time: Some(prost_types::Timestamp { seconds: 1_795_176_000, nanos: 1 }),
        node: "host".into(),
        sequence: 17,
        body: Some(event::Body::ToolCall(ToolCall {
            state: tool_call::State::Started.into(),
            request_id: "\"a\"".into(),
            arguments: r#"{"path": "/etc/passwd"}"#.into(),
            duration_ms: Some(1.5),
            marks: vec![message::Mark::DuplicateKey.into()],
            ..ToolCall::default()
        })),
        ..Event::default()
    };
    assert_eq!(
        line(&event),
        r#"{"id":"0f","time":"2026-11-20T12:00:00.000000001Z","node":"host","sequence":"17","#.to_owned()
            + r#""toolCall":{"state":"STARTED","requestId":"\"a\"","arguments":{"path": "/etc/passwd"},"#
            + r#""durationMs":1.5,"marks":["DUPLICATE_KEY"]}}"#
    );
}

#[test]
fn an_empty_event_is_an_empty_object() {
    assert_eq!(line(&Event::default()), "{}");
    let event = Event { body: Some(event::Body::Message(Message::default())), ..Event::default() };
    assert_eq!(line(&event), r#"{"message":{}}"#);
}

#[test]
fn captured_text_that_is_no_json_is_a_marked_string() {
    for text in [
        " ",
        "x",
        "{",
        "}",
        "[1,]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "nul",
        "truex",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "-",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\t\"",
        "[1]]",
        "{}{}",
        "1 2",
        "NaN",
        "'a'",
        "[}",
        "{]",
    ] {
        let call = with_arguments(text);
        assert_eq!(call["arguments"], Value::from(text));
        assert_eq!(call["argumentsIsText"], Value::from(true));
    }
}

#[test]
fn captured_json_that_parsers_refuse_is_a_marked_string() {
    let deep = "[".repeat(101) + &"]".repeat(101);
    let long = "9".repeat(400);
    for text in [r#""\ud800""#, r#""\udc00\ud800""#, r#""\ud800\u0041""#, "1e999", &long, &deep, "[1,\n2]", "[1]\r", "\t{}"] {
        let call = with_arguments(text);
        assert_eq!(call["arguments"], Value::from(text));
        assert_eq!(call["argumentsIsText"], Value::from(true));
    }
}

#[test]
fn captured_json_stands_as_it_is() {
    let deep = "[".repeat(100) + &"]".repeat(100);
    for text in [r#"{"a":[1,-0.5e3,true,null,"\ud83d\ude00é"], "a":{}}"#, " [ ] ", "0", "\"\"", "1e-999", &deep] {
        assert_eq!(line(&tool_call(text)), format!(r#"{{"toolCall":{{"arguments":{text}}}}}"#));
    }
}

#[test]
fn characters_that_a_terminal_obeys_are_escaped_in_captured_json_too() {
    let line = line(&tool_call("[\"\u{7f}\u{9b}31m\u{2028}\u{202e}\u{feff}\u{e0041}é\u{200d}\", \"\\\"\"]"));
    assert_eq!(
        line,
        r#"{"toolCall":{"arguments":["\u007f\u009b31m\u2028\u202e\ufeff\udb40\udc41é"#.to_owned() + "\u{200d}" + r#"", "\""]}}"#
    );
}

#[test]
fn times_that_json_cannot_tell_are_the_nearest_that_it_can() {
    let written = |seconds, nanos| line(&Event { time: Some(prost_types::Timestamp { seconds, nanos }), ..Event::default() });
    assert_eq!(written(i64::MIN, i32::MIN), r#"{"time":"0001-01-01T00:00:00.000000000Z"}"#);
    assert_eq!(written(i64::MAX, i32::MAX), r#"{"time":"9999-12-31T23:59:59.999999999Z"}"#);
}

/// `cargo test --release -p mcp-sensor-proto measure -- --ignored --nocapture` prints the figure.
#[test]
#[ignore = "a measurement"]
fn measure() {
    let body = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"content":[{{"type":"text","text":"{}"}}]}}}}"#, "a word ".repeat(32));
    let mut event = arbitrary::example();
    event.body = Some(event::Body::Message(Message { body, method: "tools/call".into(), request_id: "7".into(), ..Message::default() }));
    let mut out = Vec::new();
    let rounds = 1_000_000_u32;
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        out.clear();
        write_event(std::hint::black_box(&event), &mut out);
        std::hint::black_box(&out);
    }
    println!("{} bytes in {:?}", out.len(), start.elapsed() / rounds);
}
