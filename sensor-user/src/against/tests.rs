//! Conversations with servers that are made up: a function from what it is sent to what it says.

use super::{
    Conversation, Plan, Report, Tolerance, Transport,
    plan::tests::conversation,
    play::{Settings, play},
    report::Difference,
    transport::{Ended, Received, Unsent},
};
use proptest::prelude::*;
use sensor_core::redact::Level;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

/// A server that says what a function says.
struct MadeUp<F> {
    answers: F,
    says: VecDeque<String>,
    sent: Vec<String>,
    closed: bool,
}

impl<F: FnMut(&Value) -> Vec<String>> MadeUp<F> {
    fn new(answers: F) -> Self {
        Self { answers, says: VecDeque::new(), sent: Vec::new(), closed: false }
    }
}

impl<F: FnMut(&Value) -> Vec<String>> Transport for MadeUp<F> {
    fn send(&mut self, message: &str) -> Result<(), Unsent> {
        self.sent.push(message.to_owned());
        self.says.extend((self.answers)(&serde_json::from_str(message).unwrap()));
        Ok(())
    }

    fn receive(&mut self, _until: Instant) -> Received {
        match self.says.pop_front() {
            Some(line) if line == "close" => Received::Closed,
            Some(line) => Received::Line(line.into_bytes()),
            None if self.closed => Received::Closed,
            None => Received::Nothing,
        }
    }

    fn close(&mut self) {
        self.closed = true;
    }

    fn end(&mut self) -> Ended {
        Ended { how: String::new(), complaints: "password=hunter22 oh".to_owned() }
    }
}

fn settings() -> Settings {
    Settings { timeout: Duration::from_millis(20), tolerance: Tolerance::default(), level: Level::Full, command: "made up".to_owned() }
}

fn run(conversation: &Conversation, answers: impl FnMut(&Value) -> Vec<String>) -> (Report, Vec<String>) {
    let mut server = MadeUp::new(answers);
    let plan = Plan::new(conversation, &[]);
    let level = if conversation.redacted { Level::Redacted } else { Level::Full };
    let report = play(conversation, &plan, &mut server, &Settings { level, ..settings() }, &AtomicBool::new(false));
    assert!(!report.text(present::style::Styles::PLAIN, 100).is_empty());
    (report, server.sent)
}

/// Answers with what stands in the conversation, as long as nothing else is said of a message.
fn as_then(conversation: &Conversation, message: &Value) -> Vec<String> {
    let id = super::recorded::id_text(message.get("id"));
    let is_request = message.get("method").is_some() && !id.is_empty();
    let answers =
        conversation.said.iter().filter(|said| said.way == super::Way::ToClient && said.id == id && !said.body.contains("method"));
    if is_request { answers.map(|said| said.body.clone()).take(1).collect() } else { Vec::new() }
}

fn session() -> Conversation {
    conversation(&[
        r#">{"id":0,"method":"initialize","params":{}}"#,
        r#"<{"id":0,"result":{"protocolVersion":"2025-11-25"}}"#,
        r#">{"method":"notifications/initialized"}"#,
        r#">{"id":1,"method":"tools/list"}"#,
        r#"<{"id":1,"result":{"tools":[{"name":"a","description":"d"}]}}"#,
        r#">{"id":2,"method":"tools/call","params":{"name":"a","arguments":{"n": 12345678901234567890123}}}"#,
        r#"<{"id":2,"result":{"content":[{"type":"text","text":"at 2026-01-31T12:00:00Z"}],"ok":1}}"#,
        r#">{"id":"x","method":"tools/call","params":{"name":"a"}}"#,
        r#"<{"id":"x","error":{"code":-1,"message":"no"}}"#,
    ])
}

#[test]
fn the_same_server_makes_no_difference() {
    let session = session();
    let (report, sent) = run(&session, |message| as_then(&session, message));
    assert!(report.same, "{report:?}");
    assert_eq!((report.answers_compared, report.tools_compared, report.sent.tool_calls), (4, 1, 2));
    let said: Vec<&str> = session.said.iter().filter(|said| said.way == super::Way::ToServer).map(|said| said.body.as_str()).collect();
    assert_eq!(sent, said, "byte for byte");
    assert!(report.text(present::style::Styles::PLAIN, 100).contains("no difference (4 answers, 1 tool compared)"));
}

#[test]
fn what_differs_is_told() {
    let session = session();
    let (report, _) = run(&session, |message| match message["id"].as_u64() {
        Some(1) => vec![json!({"id": 1, "result": {"tools": [{"name": "a", "description": "D"}, {"name": "b"}]}}).to_string()],
        Some(2) => {
            vec![json!({"id": 2, "result": {"content": [{"type": "text", "text": "at 2027-01-31T12:00:00Z"}], "ok": 2}}).to_string()]
        }
        None if message["id"] == "x" => vec![json!({"id": "x", "result": {}}).to_string()],
        _ => as_then(&session, message),
    });
    let kinds: Vec<Value> = report.differences.iter().map(|difference| serde_json::to_value(difference).unwrap()).collect();
    assert_eq!(
        kinds,
        [
            json!({"kind": "toolChanged", "tool": "a", "changes": [{"pointer": "/tools/a/description", "then": "\"d\"", "now": "\"D\""}]}),
            json!({"kind": "toolAdded", "tool": "b", "now": "{\"name\":\"b\"}"}),
            json!({"kind": "answer", "request": "tools/call a (id 2)", "changes": [{"pointer": "/result/ok", "then": "1", "now": "2"}]}),
            json!({"kind": "resultNow", "request": "tools/call a (id \"x\")", "then": "{\"code\":-1,\"message\":\"no\"}", "now": "{}"}),
        ]
    );
    assert_eq!(report.tolerated, 1);
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let session = session();
    let (report, sent) = run(&session, |_| Vec::new());
    assert_eq!(sent.len(), 1, "nothing comes behind `initialize`");
    assert!(matches!(&report.differences[1], Difference::Ended { unsent: 3, .. }), "{report:?}");
    assert!(report.complaints.contains("oh"));
    let (report, _) = run(&session, |message| if message["id"] == 0 { as_then(&session, message) } else { Vec::new() });
    assert_eq!(report.differences.len(), 4);
}

#[test]
fn a_late_answer_is_taken_for_nothing_else() {
    let session = session();
    let mut late = None;
    let (report, _) = run(&session, |message| {
        let mut answers = as_then(&session, message);
        if message["id"] == 2 {
            late = answers.pop();
        } else if let Some(late) = late.take() {
            answers.insert(0, late);
        }
        answers
    });
    assert!(matches!(report.differences.as_slice(), [Difference::NoAnswer { request, .. }] if request.contains("(id 2)")), "{report:?}");
}

#[test]
fn the_server_is_answered_as_the_client_answered() {
    let session = conversation(&[
        r#">{"id":1,"method":"tools/call","params":{"name":"a"}}"#,
        r#"<{"id":"s1","method":"sampling/createMessage","params":{"maxTokens":5}}"#,
        r#">{"id":"s1","result":{"model":"m"}}"#,
        r#"<{"id":"s2","method":"roots/list"}"#,
        r#">{"id":"s2","error":{"code":-2,"message":"none"}}"#,
        r#"<{"id":1,"result":{"n":1}}"#,
    ]);
    let (report, sent) = run(&session, |message| match (message["id"].as_u64(), message["id"].as_str()) {
        (Some(1), _) => vec![r#"{"id":77,"method":"sampling/createMessage","params":{"maxTokens":6}}"#.to_owned()],
        (Some(77), _) => vec![
            r#"{"id":78,"method":"roots/list"}"#.to_owned(),
            r#"{"id":79,"method":"ping"}"#.to_owned(),
            r#"{"id":"e","method":"elicitation/create","params":{"message":"your password?"}}"#.to_owned(),
        ],
        (_, Some("e")) => vec![r#"{"id":1,"result":{"n":1}}"#.to_owned()],
        _ => Vec::new(),
    });
    let answers: Vec<Value> = sent[1..].iter().map(|sent| serde_json::from_str(sent).unwrap()).collect();
    assert_eq!(answers[0], json!({"id": 77, "result": {"model": "m"}}));
    assert_eq!(answers[1], json!({"id": 78, "error": {"code": -2, "message": "none"}}));
    assert_eq!(answers[2], json!({"jsonrpc": "2.0", "id": 79, "result": {}}));
    assert_eq!(answers[3]["error"]["code"], -32601);
    assert!(
        matches!(&report.differences[0], Difference::AskedOtherwise { changes, .. } if changes.changes[0].pointer == "/params/maxTokens")
    );
    assert!(matches!(&report.differences[1], Difference::AskedNow { method, count: 1, .. } if method == "elicitation/create"));
    assert_eq!(report.differences.len(), 2);
}

#[test]
fn a_server_that_does_not_ask_any_more_keeps_nobody_waiting() {
    let session = conversation(&[
        r#">{"id":1,"method":"tools/call","params":{"name":"a"}}"#,
        r#"<{"id":"s1","method":"sampling/createMessage","params":{}}"#,
        r#">{"id":"s1","result":{"model":"m"}}"#,
        r#"<{"id":1,"result":{}}"#,
    ]);
    let plan = Plan::new(&session, &[]);
    let mut server = MadeUp::new(|_: &Value| vec![r#"{"id":1,"result":{}}"#.to_owned()]);
    let settings = Settings { timeout: Duration::from_secs(3600), ..settings() };
    let report = play(&session, &plan, &mut server, &settings, &AtomicBool::new(false));
    assert!(matches!(report.differences.as_slice(), [Difference::NotAsked { .. }]), "{report:?}");
}

#[test]
fn tools_are_compared_over_all_pages_of_now() {
    let session = conversation(&[
        r#">{"id":1,"method":"tools/list","params":{"_meta":{"v":1}}}"#,
        r#"<{"id":1,"result":{"tools":[{"name":"a"}],"nextCursor":"p2"}}"#,
        r#">{"id":2,"method":"tools/list","params":{"cursor":"p2"}}"#,
        r#"<{"id":2,"result":{"tools":[{"name":"b"}]}}"#,
    ]);
    // The same tools, and one more, on three pages with other cursors.
    let page = |message: &Value| {
        let id = &message["id"];
        let result = match message["params"]["cursor"].as_str() {
            None => json!({"tools": [{"name": "b"}], "nextCursor": "X"}),
            Some("X") => json!({"tools": [{"name": "a"}], "nextCursor": "Y"}),
            Some("Y") => json!({"tools": [{"name": "c"}], "nextCursor": "Y"}),
            Some(_) => json!(null),
        };
        vec![json!({"id": id, "result": result}).to_string()]
    };
    let (report, sent) = run(&session, page);
    assert!(matches!(report.differences.as_slice(), [Difference::ToolAdded { tool, .. }] if tool == "c"), "{report:?}");
    assert_eq!(sent.len(), 3, "a cursor that comes again is not followed: {sent:?}");
    assert!(sent[2].contains(r#""_meta":{"v":1}"#));
    // All on one page: the second is not asked for.
    let (report, sent) =
        run(&session, |message| vec![json!({"id": message["id"], "result": {"tools": [{"name": "a"}, {"name": "b"}]}}).to_string()]);
    assert!(report.same && sent.len() == 1 && report.skipped.len() == 1, "{report:?}");
}

#[test]
fn a_redacted_recording_is_compared_as_far_as_it_goes() {
    let mut session = conversation(&[
        r#">{"id":1,"method":"tools/call","params":{"name":"a"}}"#,
        r#"<{"id":1,"result":{"password":"[redacted:password:8]","text":"x password=[redacted:password:8] y","n":1}}"#,
        r#">{"id":2,"method":"tools/call","params":{"name":"b","arguments":{"password":"[redacted:password:8]"}}}"#,
        r#"<{"id":2,"result":{}}"#,
    ]);
    session.redacted = true;
    let (report, sent) = run(&session, |message| match message["id"].as_u64() {
        Some(1) => vec![
            r#"{"id":9,"method":"elicitation/create","params":{"password":"other-secret"}}"#.to_owned(),
            r#"{"id":1,"result":{"password":"other-secret","text":"x password=hunter22 y","n":2}}"#.to_owned(),
        ],
        _ => Vec::new(),
    });
    assert_eq!((sent.len(), report.skipped.len()), (2, 1));
    let [Difference::Answer { changes, .. }, Difference::AskedNow { now, .. }] = report.differences.as_slice() else {
        panic!("{report:?}")
    };
    assert_eq!((changes.changes.len(), now.as_str()), (1, r#"{"password":"[redacted:password:12]"}"#));
    assert!(!report.json().contains("other-secret") && !report.json().contains("hunter22"));
}

#[test]
fn secrets_of_a_full_recording_are_compared_and_not_shown() {
    let session = conversation(&[r#">{"id":1,"method":"x"}"#, r#"<{"id":1,"result":{"password":"hunter22","n":1}}"#]);
    let plan = Plan::new(&session, &[]);
    for (level, shown) in [(Level::Redacted, Some("\"[redacted:password:8]\"".to_owned())), (Level::None, None)] {
        let mut server = MadeUp::new(|_: &Value| vec![r#"{"id":1,"result":{"password":"hunter33","n":1}}"#.to_owned()]);
        let report = play(&session, &plan, &mut server, &Settings { level, ..settings() }, &AtomicBool::new(false));
        let Difference::Answer { changes, .. } = &report.differences[0] else { panic!("{report:?}") };
        assert_eq!((changes.changes[0].pointer.as_str(), &changes.changes[0].now), ("/result/password", &shown));
        assert!(!report.json().contains("hunter"), "{}", report.json());
    }
}

#[test]
fn the_operator_can_stop_it() {
    let session = session();
    let plan = Plan::new(&session, &[]);
    let settings = Settings { timeout: Duration::from_secs(3600), ..settings() };
    let report = play(&session, &plan, &mut MadeUp::new(|_: &Value| Vec::new()), &settings, &AtomicBool::new(true));
    assert!(matches!(report.differences.as_slice(), [.., Difference::Ended { why, .. }] if why.contains("operator")), "{report:?}");
}

#[test]
fn a_document_that_costs_too_much_is_not_read() {
    let session = conversation(&[r#">{"id":1,"method":"x"}"#, r#"<{"id":1,"result":{}}"#]);
    let bomb = format!(r#"{{"id":1,"result":[{}]}}"#, "{},".repeat(1_000_000));
    let (report, _) = run(&session, |_| vec![bomb.clone()]);
    assert!(matches!(&report.differences[0], Difference::NoAnswer { .. }));
    assert!(report.notes.iter().any(|note| note.contains("cannot be read")), "{:?}", report.notes);
}

fn lines() -> impl Strategy<Value = Vec<String>> {
    let id = prop_oneof![Just(json!(0)), Just(json!(1)), Just(json!(2)), Just(json!("x")), Just(json!(null)), Just(json!([1]))];
    let method = prop_oneof![Just("roots/list"), Just("ping"), Just("tools/list_changed"), Just("\u{1b}[2J")];
    let line = prop_oneof![
        ".{0,20}".prop_map(|text| text.replace('\n', " ")),
        (id.clone(), super::diff::tests::documents()).prop_map(|(id, result)| json!({"id": id, "result": result}).to_string()),
        (id.clone(), super::diff::tests::documents()).prop_map(|(id, error)| json!([{"id": id, "error": error}]).to_string()),
        (id, method, super::diff::tests::documents())
            .prop_map(|(id, method, params)| json!({"id": id, "method": method, "params": params}).to_string()),
        Just("close".to_owned()),
    ];
    prop::collection::vec(line, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_server_says_the_report_is_safe_to_print(said in prop::collection::vec(lines(), 8)) {
        let session = session();
        let mut said = said.into_iter();
        let mut server = MadeUp::new(|_: &Value| said.next().unwrap_or_default());
        let settings = Settings { timeout: Duration::from_millis(1), ..settings() };
        let report = play(&session, &Plan::new(&session, &[]), &mut server, &settings, &AtomicBool::new(false));
        for text in [report.text(present::style::Styles::PLAIN, 80), report.json()] {
            // Control pictures are what `sanitize` makes of control characters.
            let is_safe = |character| matches!(character, '\n' | '\u{2400}'..='\u{2426}') || !present::sanitize::is_unsafe(character);
            prop_assert!(text.chars().all(is_safe), "{text:?}");
        }
    }
}
