//! Each tool call is told when it begins, and once when it ends, by whatever way.

use super::*;
use crate::event::CallState::{self, Abandoned, Cancelled, Completed, Failed, InputRequired, Started, TaskCreated};

fn session() -> (World, Pair) {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    (world, pair)
}

/// A session of 2026-07-28.
fn modern() -> (World, Pair) {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.ask(&mut world, r#"{"jsonrpc":"2.0","id":0,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#);
    pair.answer(&mut world, r#"{"jsonrpc":"2.0","id":0,"result":{"supportedVersions":["2026-07-28"],"resultType":"complete"}}"#);
    (world, pair)
}

fn states(recorder: &Recorder) -> Vec<(String, CallState)> {
    recorder.calls().map(|(_, call)| (call.request_id.clone(), call.state)).collect()
}

fn expect(recorder: &Recorder, expected: &[(&str, CallState)]) {
    let expected: Vec<_> = expected.iter().map(|&(id, state)| (id.to_owned(), state)).collect();
    assert_eq!(states(recorder), expected);
}

#[test]
fn f7_a_call_of_an_hour_ends_with_its_result() {
    let (mut world, mut pair) = session();
    pair.ask(&mut world, &call(1, "slow"));
    world.tick(3_000_000_000);
    world.pass(3_600_000_000_000);
    world.tick(100_000_000);
    pair.answer(&mut world, &result(1, "slow"));
    let recorder = outcome(world);
    expect(&recorder, &[("1", Started), ("1", Completed)]);
    let (_, end) = recorder.calls().last().unwrap();
    assert!(end.duration.unwrap() >= 3_600_000_000_000);
    assert_eq!((end.tool.as_str(), end.arguments.as_str()), ("echo", r#"{"text":"slow"}"#));
    assert_eq!((end.request_bytes, end.response_bytes), (call(1, "slow").len() as u64, result(1, "slow").len() as u64));
}

#[test]
fn errors_of_the_protocol_and_of_the_tool_are_told_apart() {
    let (mut world, mut pair) = session();
    pair.ask(&mut world, &call(1, "a"));
    pair.answer(&mut world, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such tool"}}"#);
    pair.ask(&mut world, &call(2, "b"));
    pair.answer(&mut world, r#"{"result":{"content":[],"isError":true},"jsonrpc":"2.0","id":2}"#);
    let recorder = outcome(world);
    expect(&recorder, &[("1", Started), ("1", Failed), ("2", Started), ("2", Completed)]);
    let calls: Vec<_> = recorder.calls().map(|(_, call)| call).collect();
    assert!(calls[1].error.contains("no such tool") && calls[1].result.is_empty() && !calls[1].is_error);
    assert!(calls[3].is_error);
}

#[test]
fn progress_is_counted_by_its_token() {
    let (mut world, mut pair) = session();
    let with_token = |id: u32, token: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t","_meta":{{"progressToken":{token}}}}}}}"#)
    };
    let progress =
        |token: &str| format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#);
    pair.ask(&mut world, &with_token(1, "7"));
    pair.ask(&mut world, &with_token(2, "\"7\""));
    pair.answer(&mut world, &progress("7"));
    pair.answer(&mut world, &progress("\"7\""));
    pair.answer(&mut world, &progress("7"));
    pair.answer(&mut world, &progress("8"));
    pair.answer(&mut world, &result(1, "x"));
    pair.answer(&mut world, &result(2, "x"));
    pair.answer(&mut world, &progress("7"));
    let recorder = outcome(world);
    let counts: Vec<_> = recorder.calls().map(|(_, call)| call.progress_count).collect();
    assert_eq!(counts, [0, 0, 2, 1]);
    let related: Vec<_> =
        recorder.messages().filter(|(_, m)| m.method.ends_with("progress")).map(|(_, m)| m.related_request_id.as_str()).collect();
    assert_eq!(related, ["1", "2", "1", "", ""]);
}

#[test]
fn a_cancelled_call_ends_once_and_its_late_answer_is_still_paired() {
    let (mut world, mut pair) = session();
    pair.ask(&mut world, &call(1, "x"));
    pair.ask(&mut world, r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"user"}}"#);
    pair.answer(&mut world, &result(1, "late"));
    pair.ask(&mut world, &call(2, "y"));
    pair.ask(&mut world, r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#);
    // The id of a cancelled request that was never answered is free.
    pair.call(&mut world, 2, "again");
    let recorder = outcome(world);
    expect(&recorder, &[("1", Started), ("1", Cancelled), ("2", Started), ("2", Cancelled), ("2", Started), ("2", Completed)]);
    assert_eq!(methods(&recorder)[5], "<tools/call");
    assert!(recorder.messages().all(|(_, message)| message.marks == Default::default()));
    let cancelled = recorder.messages().find(|(_, message)| message.method == "notifications/cancelled").unwrap().1;
    assert_eq!(cancelled.related_request_id, "1");
}

fn asks(id: u32, state: Option<&str>) -> String {
    let state = state.map(|state| format!(r#","requestState":"{state}""#)).unwrap_or_default();
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"input_required","inputRequests":{{"ok":{{"method":"elicitation/create","params":{{}}}}}}{state}}}}}"#
    )
}

fn retry(id: u32, text: &str, state: Option<&str>) -> String {
    let state = state.map(|state| format!(r#""requestState":"{state}","#)).unwrap_or_default();
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"inputResponses":{{"ok":{{"action":"accept"}}}},{state}"name":"echo","arguments":{{"text":"{text}"}}}}}}"#
    )
}

#[test]
fn a_retry_with_input_is_linked_to_the_first_request() {
    for states in [[Some("v1.a"), Some("v1.b")], [None, None]] {
        let (mut world, mut pair) = modern();
        pair.ask(&mut world, &call(1, "other"));
        pair.answer(&mut world, &asks(1, states[0].map(|_| "v1.other")));
        pair.ask(&mut world, &call(2, "refund"));
        pair.answer(&mut world, &asks(2, states[0]));
        pair.ask(&mut world, &retry(3, "refund", states[0]));
        pair.answer(&mut world, &asks(3, states[1]));
        pair.ask(&mut world, &retry(4, "refund", states[1]));
        pair.answer(&mut world, &result(4, "done"));
        let recorder = outcome(world);
        expect(
            &recorder,
            &[
                ("1", Started),
                ("1", InputRequired),
                ("2", Started),
                ("2", InputRequired),
                ("3", Started),
                ("3", InputRequired),
                ("4", Started),
                ("4", Completed),
                ("1", Abandoned),
            ],
        );
        let of: Vec<_> = recorder.calls().map(|(_, call)| call.retry_of.as_str()).collect();
        assert_eq!(of, ["", "", "", "", "2", "2", "2", "2", ""]);
        assert_eq!(recorder.calls().last().unwrap().1.reason, "it asked for input and was not called again");
    }
}

#[test]
fn a_call_that_became_a_task_ends_with_the_tasks_result() {
    // 2025-11-25: polled, then fetched.
    let (mut world, mut pair) = session();
    let task = r#"{"taskId":"t-1","status":"working","ttl":1000,"pollInterval":1}"#;
    pair.ask(&mut world, r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","task":{"ttl":1000}}}"#);
    pair.answer(&mut world, &format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"task":{task}}}}}"#));
    pair.ask(&mut world, r#"{"jsonrpc":"2.0","id":2,"method":"tasks/get","params":{"taskId":"t-1"}}"#);
    pair.answer(&mut world, &format!(r#"{{"jsonrpc":"2.0","id":2,"result":{}}}"#, task.replace("working", "completed")));
    pair.ask(&mut world, r#"{"jsonrpc":"2.0","id":3,"method":"tasks/result","params":{"taskId":"t-1"}}"#);
    pair.answer(&mut world, &result(3, "of the task"));
    let recorder = outcome(world);
    expect(&recorder, &[("1", Started), ("1", TaskCreated), ("1", Completed)]);
    let (_, end) = recorder.calls().last().unwrap();
    assert!(end.result.contains("of the task") && end.task_id == "t-1");
    let of_task: Vec<_> = recorder.messages().skip(4).map(|(_, m)| (m.task_id.as_str(), m.related_request_id.as_str())).collect();
    assert_eq!(of_task, [("t-1", ""), ("t-1", "1"), ("t-1", ""), ("t-1", "1"), ("t-1", "")]);

    // The extension: inside `tasks/get`, or in a notification; it may be cancelled.
    let created = |id: u32, task: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"task","taskId":"{task}","status":"working"}}}}"#)
    };
    let (mut world, mut pair) = modern();
    for (id, task) in [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")] {
        pair.ask(&mut world, &call(id, task));
        pair.answer(&mut world, &created(id, task));
    }
    pair.ask(&mut world, r#"{"jsonrpc":"2.0","id":6,"method":"tasks/get","params":{"taskId":"b"}}"#);
    pair.answer(
        &mut world,
        r#"{"jsonrpc":"2.0","id":6,"result":{"resultType":"complete","taskId":"b","status":"completed","result":{"content":[]}}}"#,
    );
    pair.answer(&mut world, r#"{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"a","status":"completed","result":{"content":[{"type":"text","text":"A"}]}}}"#);
    pair.answer(
        &mut world,
        r#"{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"c","status":"failed","error":{"code":1,"message":"m"}}}"#,
    );
    pair.answer(&mut world, r#"{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"d","status":"cancelled"}}"#);
    let recorder = outcome(world);
    assert_eq!(
        states(&recorder).split_off(10),
        [("2", Completed), ("1", Completed), ("3", Failed), ("4", Cancelled), ("5", Abandoned)].map(|(id, state)| (id.to_owned(), state))
    );
}

#[test]
fn a_subscription_is_never_given_up_for_time() {
    let (mut world, mut pair) = modern();
    pair.ask(
        &mut world,
        r#"{"jsonrpc":"2.0","id":"listen-1","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true}}}"#,
    );
    world.tick(2_000_000_000);
    world.pass(86_400_000_000_000);
    world.tick(2_000_000_000);
    pair.answer(&mut world, r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"listen-1"}}}"#);
    pair.answer(&mut world, r#"{"jsonrpc":"2.0","id":"listen-1","result":{"resultType":"complete"}}"#);
    let recorder = outcome(world);
    let last: Vec<_> = recorder.messages().skip(3).map(|(_, m)| (m.method.as_str(), m.related_request_id.as_str())).collect();
    assert_eq!(last, [("notifications/tools/list_changed", "\"listen-1\""), ("subscriptions/listen", "")]);
}

#[test]
fn calls_of_a_dead_server_are_abandoned_and_the_session_is_closed() {
    let (mut world, mut pair) = session();
    pair.ask(&mut world, &call(1, "x"));
    world.exit(pair.server);
    world.tick(3_000_000_000);
    let mut run = Run::new();
    run.feed(&mut world);
    let recorder = &run.recorder;
    expect(recorder, &[("1", Started), ("1", Abandoned)]);
    let (event, call) = recorder.calls().last().unwrap();
    assert_eq!((event.server, call.reason.as_str()), (Some(pair.server), "a process of the session ended"));
    assert_eq!(recorder.sessions().last().unwrap().1, crate::event::SessionState::Closed);
    assert_eq!((run.engine.counters().sessions, run.engine.counters().streams), (0, 0));
}
