//! How events meet in exchanges.

use mcp_sensor_proto::v1::message::{Direction, Type};
use mcp_sensor_proto::v1::tool_call::State;
use mcp_sensor_proto::v1::{Event, Message, Session, ToolCall, event, loss, sensor, session_change};
use serde_json::{Value, json};

use super::session::{Script, call, message, said};
use super::{Finished, Limits, TextOptions, Timeline, finished, json as rendered, text};

const TO: Direction = Direction::ClientToServer;
const FROM: Direction = Direction::ServerToClient;

/// The entries of kind `CALL`.
fn calls(events: &[Event]) -> Vec<Value> {
    let entries = rendered(&finished(events))["entries"].take();
    entries.as_array().unwrap().iter().filter(|entry| entry["kind"] == "CALL").cloned().collect()
}

fn missing(finished: &Finished) -> Vec<String> {
    finished.missing.iter().map(crate::style::Line::text).collect()
}

fn with(messages: bool, calls: bool) -> Script {
    Script { messages, calls, ..Script::new() }
}

#[test]
fn a_call_is_one_entry_whichever_events_tell_of_it() {
    for (messages, tool_calls) in [(true, true), (true, false), (false, true)] {
        let mut script = with(messages, tool_calls);
        script
            .open()
            .called(1, "echo", json!({"message": "hi"}), said("hi"), 12)
            .wait(5)
            .called(2, "echo", json!({}), said("2"), 1)
            .close();
        let found = calls(&script.events);
        assert_eq!(found.len(), 2, "{messages} {tool_calls}");
        let first = &found[0];
        assert_eq!((&first["target"], &first["state"], &first["durationMs"]), (&json!("echo"), &json!("COMPLETED"), &json!(12.0)));
        assert_eq!(first["arguments"], json!({"message": "hi"}));
        assert_eq!(first["answers"].as_array().unwrap().len(), 1);
        assert_eq!(first["answers"][0]["result"], said("hi"));
    }
}

#[test]
fn the_order_of_a_message_and_its_tool_call_does_not_matter() {
    let mut script = Script::new();
    script.open().called(1, "echo", json!({"message": "hi"}), said("hi"), 12).close();
    let mut swapped = script.events.clone();
    swapped.swap(1, 2);
    swapped.swap(3, 4);
    let (straight, swapped) = (&calls(&script.events)[0], &calls(&swapped)[0]);
    assert_eq!(straight["answers"][0]["result"], swapped["answers"][0]["result"]);
    assert_eq!((&straight["sha256"], &straight["arguments"]), (&swapped["sha256"], &swapped["arguments"]));
    assert_eq!(swapped["answers"].as_array().unwrap().len(), 1);
}

#[test]
fn calls_side_by_side_are_kept_apart() {
    let mut script = Script::new();
    script.open().call(1, "slow", json!({})).call(2, "fast", json!({})).notify(FROM, "notifications/progress", "1", json!({})).wait(1);
    script.result(2, "fast", &json!({}), said("fast"), 1.0).wait(1).result(1, "slow", &json!({}), said("slow"), 2.0).close();
    let found = calls(&script.events);
    assert_eq!(found[0]["answers"][0]["result"], said("slow"));
    assert_eq!(found[1]["answers"][0]["result"], said("fast"));
    let shown = text(&finished(&script.events), &TextOptions { lines: 0, ..TextOptions::default() });
    let rows: Vec<&str> = shown.lines().filter(|line| line.contains(['┌', '│', '└'])).collect();
    let expected = ["→ ┌  #1 slow", "→ │┌ #2 fast", "← ││ #1 progress", "← │└ #2 fast → fast", "← └  #1 slow → slow"];
    for (row, expected) in rows.iter().zip(expected) {
        assert!(row.contains(expected), "{shown}");
    }
    assert_eq!(rows.len(), expected.len());
}

#[test]
fn an_id_that_is_used_again_is_another_call() {
    for (messages, tool_calls) in [(true, true), (true, false), (false, true)] {
        let mut script = with(messages, tool_calls);
        script.open().called(1, "a", json!({}), said("a"), 1).wait(1).called(1, "b", json!({}), said("b"), 1).close();
        let found = calls(&script.events);
        assert_eq!((&found[0]["target"], &found[1]["target"]), (&json!("a"), &json!("b")));
        assert_eq!(found[1]["answers"][0]["result"], said("b"));
    }
}

#[test]
fn the_same_id_in_the_other_direction_is_another_request() {
    let mut script = Script::new();
    script.open().call(1, "ask", json!({})).request(FROM, 1, "elicitation/create", json!({"message": "sure?"})).wait(1);
    script.answer(TO, 1, "elicitation/create", json!({"action": "accept"})).wait(1).result(1, "ask", &json!({}), said("ok"), 2.0);
    let entries = rendered(&finished(&script.events))["entries"].take();
    let asked = entries.as_array().unwrap().iter().find(|entry| entry["method"] == "elicitation/create").unwrap().clone();
    assert_eq!((&asked["direction"], &asked["answers"][0]["result"]["action"]), (&json!("SERVER_TO_CLIENT"), &json!("accept")));
    assert_eq!(calls(&script.events)[0]["answers"][0]["result"], said("ok"));
}

#[test]
fn a_call_that_became_a_task_has_two_turns() {
    for (messages, tool_calls) in [(true, true), (false, true)] {
        let mut script = with(messages, tool_calls);
        let created = json!({"resultType": "task", "task": {"taskId": "t1"}});
        script.open().call(1, "build", json!({})).wait(1).answer(FROM, 1, "tools/call", created.clone());
        script.told(ToolCall {
            state: State::TaskCreated.into(),
            result: created.to_string(),
            task_id: "t1".to_owned(),
            ..call(1, "build", &json!({}))
        });
        script.wait(50).request(TO, 2, "tasks/result", json!({"taskId": "t1"})).wait(1).answer(FROM, 2, "tasks/result", said("built"));
        script.told(ToolCall {
            state: State::Completed.into(),
            result: said("built").to_string(),
            duration_ms: Some(52.0),
            ..call(1, "build", &json!({}))
        });
        let found = calls(&script.events);
        let states: Vec<&Value> = found[0]["answers"].as_array().unwrap().iter().map(|answer| &answer["state"]).collect();
        assert_eq!(states, ["TASK_CREATED", "COMPLETED"]);
        assert_eq!((&found[0]["state"], &found[0]["answers"][1]["result"]), (&json!("COMPLETED"), &said("built")));
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn a_call_that_asked_for_input_is_no_problem() {
    let mut script = Script::new();
    let asks = json!({"resultType": "input_required", "inputRequests": {}});
    script.open().call(1, "refund", json!({})).wait(1).answer(FROM, 1, "tools/call", asks.clone());
    script.told(ToolCall { state: State::InputRequired.into(), result: asks.to_string(), ..call(1, "refund", &json!({})) });
    script.wait(9).call(2, "refund", json!({})).wait(1).result(2, "refund", &json!({}), said("done"), 1.0).close();
    let finished = finished(&script.events);
    assert_eq!(finished.wrongs(), "");
    assert_eq!(rendered(&finished)["entries"][1]["state"], "INPUT_REQUIRED");
}

#[test]
fn cancellation_is_one_turn_and_an_answer_behind_it_another() {
    for tool_calls in [true, false] {
        let mut script = with(true, tool_calls);
        script.open().call(1, "slow", json!({})).wait(10).notify(TO, "notifications/cancelled", "1", json!({"requestId": 1}));
        script.told(ToolCall { state: State::Cancelled.into(), duration_ms: Some(10.0), ..call(1, "slow", &json!({})) });
        script.wait(5).answer(FROM, 1, "tools/call", said("too late")).close();
        let found = calls(&script.events);
        let states: Vec<&Value> = found[0]["answers"].as_array().unwrap().iter().map(|answer| &answer["state"]).collect();
        assert_eq!(states, ["CANCELLED", "COMPLETED"], "{tool_calls}");
        assert_eq!(found[0]["parts"][0]["method"], "notifications/cancelled");
    }
}

#[test]
fn progress_stands_in_its_call() {
    let mut script = Script::new();
    script.open().call(1, "slow", json!({})).wait(1).notify(FROM, "notifications/progress", "1", json!({"progress": 1})).wait(1);
    script.result(1, "slow", &json!({}), said("done"), 2.0).close();
    let found = calls(&script.events);
    assert_eq!(found[0]["parts"][0]["params"], json!({"progress": 1}));
    assert_eq!(rendered(&finished(&script.events))["entries"].as_array().unwrap().len(), 3, "opened, the call, closed");
}

#[test]
fn the_end_of_a_call_whose_beginning_is_not_here() {
    let mut script = with(false, true);
    script.open().wait(100).result(7, "echo", &json!({"a": 1}), said("hi"), 40.0).close();
    let finished = finished(&script.events);
    assert!(missing(&finished).iter().any(|words| words == "The beginning of 1 call is not here."), "{:?}", missing(&finished));
    let entry = rendered(&finished)["entries"][1].take();
    assert_eq!((&entry["requestNotSeen"], &entry["offsetMs"], &entry["arguments"]), (&json!(true), &json!(60.0), &json!({"a": 1})));
}

#[test]
fn what_a_cut_message_lacks_comes_from_the_tool_call() {
    let mut script = Script::new();
    script.open();
    let cut = message(TO, Type::Request, "tools/call", "1", r#"{"jsonrpc":"2.0","method":"tools/call","id":1,"par"#.to_owned());
    script.message(Message { truncated: true, ..cut }).told(call(1, "echo", &json!({"a": [1, 2]}))).close();
    assert_eq!(calls(&script.events)[0]["arguments"], json!({"a": [1, 2]}));
    assert!(missing(&finished(&script.events)).iter().any(|words| words.contains("cut by the sensor")));
}

#[test]
fn nothing_missing_is_said_only_where_nothing_is() {
    let mut whole = Script::new();
    whole.sensor(sensor::State::Ready, 5, false).open().called(1, "echo", json!({}), said("x"), 1).close();
    whole.wait(30_000).sensor(sensor::State::Ready, 5, false);
    assert!(finished(&whole.events).is_complete(), "{:?}", missing(&finished(&whole.events)));

    let mut lossy = Script::new();
    lossy.sensor(sensor::State::Ready, 5, false).open().called(1, "echo", json!({}), said("x"), 1).close();
    lossy.wait(30_000).sensor(sensor::State::Ready, 6, false);
    assert!(missing(&finished(&lossy.events))[0].contains("lost 1 record"), "{:?}", missing(&finished(&lossy.events)));

    let mut without_opening = Script::new();
    without_opening.called(1, "echo", json!({}), said("x"), 1).close();
    assert!(missing(&finished(&without_opening.events))[0].contains("opening"));

    let mut late = Script::new();
    late.session.late_attach = true;
    late.open().called(1, "echo", json!({}), said("x"), 1).close();
    assert!(missing(&finished(&late.events))[0].contains("under way"));

    let mut holed = Script::new();
    holed.open().called(1, "echo", json!({}), said("x"), 1).gap(None, loss::Reason::OverLimit).close();
    assert!(missing(&finished(&holed.events))[0].contains("how many is not known"));

    let mut silent = Script::new();
    silent.open().called(1, "echo", json!({}), said("x"), 1).close();
    for event in &mut silent.events {
        match &mut event.body {
            Some(event::Body::Message(message)) => message.body.clear(),
            Some(event::Body::ToolCall(call)) => (call.arguments, call.result) = (String::new(), String::new()),
            _ => {}
        }
    }
    assert!(missing(&finished(&silent.events))[0].contains("payload level"), "{:?}", missing(&finished(&silent.events)));

    let mut newer = Script::new();
    newer.open().called(1, "echo", json!({}), said("x"), 1).event(None).close();
    assert!(missing(&finished(&newer.events))[0].contains("1 event of a kind"));

    let mut mixed = Script::new();
    mixed.open().called(1, "echo", json!({}), said("x"), 1).close();
    mixed.session = Session { id: "another".to_owned(), ..Session::default() };
    mixed.open();
    assert!(missing(&finished(&mixed.events))[0].contains("1 event of other sessions"));
}

#[test]
fn losses_of_another_time_are_not_of_this_session() {
    let mut script = Script::new();
    script.sensor(sensor::State::Ready, 1, false).wait(60_000).sensor(sensor::State::Ready, 9, true).wait(600_000);
    script.sensor(sensor::State::Ready, 9, false).open().called(1, "echo", json!({}), said("x"), 1).close();
    script.wait(600_000).sensor(sensor::State::Ready, 9, false).wait(60_000).sensor(sensor::State::Ready, 99, false);
    let finished = finished(&script.events);
    assert!(!missing(&finished).iter().any(|words| words.contains("lost")), "{:?}", missing(&finished));
}

#[test]
fn what_does_not_fit_is_told_and_what_is_kept_comes_to_its_end() {
    let limits = Limits { entries: 10, text: 64, total: 400 };
    let mut script = Script::new();
    script.open().call(1, "slow", json!({"text": "x".repeat(500)}));
    for number in 2..1000 {
        script.wait(1).called(number, "echo", json!({"message": "hi"}), said("hi"), 1);
    }
    script.wait(1).result(1, "slow", &json!({}), said("slow"), 2000.0).close();
    let mut timeline = Timeline::new(limits);
    for event in &script.events {
        timeline.add(event);
    }
    assert!(timeline.held <= limits.total && timeline.steps.len() <= 2 * limits.entries && timeline.latest.len() <= limits.entries);
    let finished = timeline.finish();
    let words = missing(&finished);
    assert!(words.iter().any(|words| words.contains("left out for their number")), "{words:?}");
    assert!(words.iter().any(|words| words.contains("cut here for their size")), "{words:?}");
    let entries = rendered(&finished)["entries"].take();
    assert_eq!((&entries[1]["target"], &entries[1]["state"]), (&json!("slow"), &json!("COMPLETED")));
    assert_eq!(entries[1]["argumentsIsText"], true);
}

#[test]
fn processes_that_took_part_besides_are_named() {
    let mut script = Script::new();
    script.open().called(1, "echo", json!({}), said("x"), 1);
    let worker = script.server.clone();
    script.server.pid = 4242;
    script.wait(1).called(2, "echo", json!({}), said("y"), 1);
    script.server = worker;
    script.wait(1).called(3, "echo", json!({}), said("z"), 1).change(session_change::State::Closed, "");
    let finished = finished(&script.events);
    assert_eq!(rendered(&finished)["otherServers"][0]["pid"], 81_290);
    assert!(text(&finished, &TextOptions::default()).contains("the server here is server-everything[81290]"));
}
