//! Queries, sessions, paging.

use collector::event::{Filter as Compiled, keys::Reader};
use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::{
    Container, Event, Filter, Gap, GetSessionRequest, ListSessionsRequest, Message, Peer, Pod, QueryRequest, Session, SessionChange,
    SubscribeRequest, ToolCall,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use prost::Message as _;
use tonic::Code;

use crate::support::*;

/// Names out of few, so that filters hit.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[ab]{1,3}", Just("naïve".to_owned())]
}

/// Contents out of few, written in several ways.
fn contents() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        3 => "\\{\"path\":\"/[abAB]{1,3}/[ab]{1,2}\"\\}",
        1 => "\\{\"path\":\"\\\\u002f[ab]{2}\\\\/A\"\\}",
        1 => Just("{\"n\":\"na\\u00efve NAÏVE\"}".to_owned()),
    ]
}

fn any_peer() -> impl Strategy<Value = Peer> {
    let container = proptest::option::of("[0-3]{1,3}").prop_map(|id| id.map(|id| Container { id, ..Container::default() }));
    let pod = proptest::option::of(("[ab]", "[ab]", "u[0-3]").prop_map(|(namespace, name, uid)| Pod { namespace, name, uid }));
    let script = proptest::option::of("/x/[ab]{1,2}\\.js");
    (name(), "(/usr)?/bin/([ab]{1,2}|node)", name(), 0..12_u32, container, pod, script).prop_map(
        |(said, exe, address, pid, container, pod, script)| {
            let command_line = script.map_or_else(Vec::new, |script| vec!["node".to_owned(), script]);
            Peer { name: said, exe, address, pid, container, pod, command_line, ..Peer::default() }
        },
    )
}

/// An event of which filters find parts.
fn any_event() -> impl Strategy<Value = Event> {
    let call = (name(), 0..8_i32, contents(), contents(), contents(), any::<bool>(), name());
    let body = prop_oneof![
        4 => call.prop_map(|(tool, state, arguments, result, error, is_error, reason)| {
            Some(Body::ToolCall(ToolCall { tool, state, arguments, result, error, is_error, reason, ..ToolCall::default() }))
        }),
        2 => (name(), prop_oneof![Just("tools/call".to_owned()), name()], 0..5_i32, contents()).prop_map(|(target, method, r#type, body)| {
            Some(Body::Message(Message { target, method, r#type, body, ..Message::default() }))
        }),
        1 => (0..4_i32).prop_map(|state| Some(Body::SessionChange(SessionChange { state, ..SessionChange::default() }))),
        1 => Just(Some(Body::Gap(Gap { bytes: Some(1), ..Gap::default() }))),
        1 => Just(None),
    ];
    (proptest::option::of("[0-3]{1,3}"), proptest::option::of(any_peer()), proptest::option::of(any_peer()), 0..8_i32, body).prop_map(
        |(session, client, server, severity, body)| Event {
            session: session.map(|id| Session { id, ..Session::default() }),
            client,
            server,
            severity,
            body,
            ..Event::default()
        },
    )
}

fn any_filter() -> impl Strategy<Value = Filter> {
    fn rare<T: std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
        (any::<u8>(), proptest::collection::vec(value, 1..3)).prop_map(|(dice, values)| if dice < 60 { values } else { Vec::new() })
    }
    let globs = || rare("[abAB*?/]{1,3}");
    let old = (
        rare(prop_oneof![Just("host".to_owned()), Just("other".to_owned())]),
        globs(),
        globs(),
        globs(),
        rare(0..6_i32),
        prop_oneof![3 => Just(0), 1 => 0..7_i32],
        rare("[0-3]{1,2}"),
        globs(),
    );
    let new = (
        rare(prop_oneof!["[0-9]", "[1-3][0-9]", "[ab*]{1,2}", Just("a*.js".to_owned()), Just("NODE".to_owned())]),
        rare(prop_oneof!["[0-3]{1,2}", "[ab]", "[ab]/[ab]", "u[0-3]"]),
        rare(prop_oneof!["/[abAB]{1,2}", "[ab]", Just("Naïve n".to_owned()), Just("path\":\"/a".to_owned())]),
        rare(prop_oneof!["/[abAB]{1,2}", "[ab]{2}", Just("naïve".to_owned())]),
        rare(0..5_i32),
    );
    (old, new).prop_map(
        |(
            (nodes, servers, clients, tools, kinds, min_severity, sessions, methods),
            (processes, containers, arguments, errors, failures),
        )| Filter {
            nodes,
            servers,
            clients,
            tools,
            kinds,
            min_severity,
            sessions,
            methods,
            processes,
            containers,
            arguments,
            errors,
            failures,
        },
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_query_finds_is_what_filtering_by_hand_finds() {
    let running = start_with(|settings| settings.store.partition_events = Some(150)).await;
    let mut runner = TestRunner::deterministic();
    let sent: Vec<Event> = (1..=500)
        .map(|sequence| {
            let made = any_event().new_tree(&mut runner).unwrap().current();
            let frame = event(1, sequence);
            Event { id: frame.id, time: frame.time, node: frame.node, sequence, ..made }
        })
        .collect();
    let mut sensor = running.sensor(1).await;
    for part in sent.chunks(50) {
        sensor.send(part).await;
        sensor.acked(part[part.len() - 1].sequence).await;
    }
    let mut found = 0;
    let mut reader = Reader::default();
    let keys: Vec<_> = sent.iter().map(|event| reader.read(&event.encode_to_vec().into()).unwrap()).collect();
    for _ in 0..600 {
        let filter = any_filter().new_tree(&mut runner).unwrap().current();
        let (low, high) = (1..500_u64, 1..500_u64).new_tree(&mut runner).unwrap().current();
        let compiled = Compiled::new(Some(&filter)).unwrap();
        let mut expected: Vec<u64> =
            keys.iter().filter(|keys| compiled.matches(keys) && (low..high).contains(&keys.sequence)).map(|keys| keys.sequence).collect();
        found += usize::from(!expected.is_empty() && expected.len() < 100);
        for descending in [false, true] {
            let request = QueryRequest {
                filter: Some(filter.clone()),
                from: event(1, low).time,
                to: event(1, high).time,
                page_size: 7,
                descending,
                ..QueryRequest::default()
            };
            assert_eq!(sequences(&running.query(request).await), expected, "{filter:?} {low}..{high}");
            expected.reverse();
        }
    }
    assert!(found > 100, "the filters tell something: {found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_subscription_finds_what_a_query_finds() {
    let running = start_with(|settings| settings.store.partition_events = Some(50)).await;
    let mut runner = TestRunner::deterministic();
    let filters: Vec<Filter> = (0..40).map(|_| any_filter().new_tree(&mut runner).unwrap().current()).collect();
    let mut subscribers = Vec::new();
    for filter in &filters {
        let mut subscriber = running.subscribe(SubscribeRequest { filter: Some(filter.clone()), ..SubscribeRequest::default() }).await;
        subscriber.live().await;
        subscribers.push(subscriber);
    }
    let mut sensor = running.sensor(1).await;
    for sequence in 1..=200 {
        let made = any_event().new_tree(&mut runner).unwrap().current();
        let frame = event(1, sequence);
        sensor.send(&[Event { id: frame.id, time: frame.time, node: frame.node, sequence, ..made }]).await;
    }
    sensor.acked(200).await;
    for (filter, mut subscriber) in filters.into_iter().zip(subscribers) {
        let stored = sequences(&running.query(QueryRequest { filter: Some(filter.clone()), ..QueryRequest::default() }).await);
        let (live, missed) = subscriber.events(stored.len()).await;
        assert!(missed.is_empty());
        assert_eq!(live.iter().map(|(_, event)| event.sequence).collect::<Vec<_>>(), stored, "{filter:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_found_by_what_happened_in_them() {
    let running = start_with(|settings| settings.store.partition_events = Some(20)).await;
    let mut sensor = running.sensor(1).await;
    let told = |sequence: u64, call: ToolCall, pid: u32| {
        let session = Session { id: format!("{:016x}", sequence % 4), ..Session::default() };
        let container = Container { id: format!("c{}", sequence % 4), ..Container::default() };
        let server = Peer { pid, exe: "/usr/bin/node".to_owned(), container: Some(container), ..Peer::default() };
        Event { session: Some(session), server: Some(server), body: Some(Body::ToolCall(call)), ..event(1, sequence) }
    };
    let plain: Vec<Event> =
        (1..=60).map(|sequence| told(sequence, ToolCall { tool: "t".to_owned(), ..ToolCall::default() }, 100)).collect();
    sensor.send(&plain).await;
    let read = ToolCall { arguments: r#"{"path":"\u002fetc/shadow"}"#.to_owned(), state: 1, ..ToolCall::default() };
    let failed = ToolCall { error: r#"{"code":-32603,"message":"Permission DENIED"}"#.to_owned(), state: 3, ..ToolCall::default() };
    sensor.send(&[told(61, read, 100), told(62, failed, 4711)]).await;
    sensor.acked(62).await;
    let of = |filter: Filter| {
        let mut reader = running.reader();
        async move {
            let request = ListSessionsRequest { filter: Some(filter), ..ListSessionsRequest::default() };
            let sessions = reader.list_sessions(request).await.unwrap().into_inner().sessions;
            sessions.into_iter().map(|summary| summary.session.unwrap().id).collect::<Vec<_>>()
        }
    };
    let (first, second) = (["0000000000000001"], ["0000000000000002"]);
    let texts = |text: &str| vec![text.to_owned()];
    assert_eq!(of(Filter { arguments: texts("/etc/shadow"), ..Filter::default() }).await, first);
    assert_eq!(of(Filter { errors: texts("permission denied"), ..Filter::default() }).await, second);
    assert_eq!(of(Filter { failures: vec![0], ..Filter::default() }).await, second);
    assert_eq!(of(Filter { processes: texts("4711"), ..Filter::default() }).await, second);
    assert_eq!(of(Filter { containers: texts("c1"), ..Filter::default() }).await, first);
    assert_eq!(of(Filter { processes: texts("NODE"), ..Filter::default() }).await.len(), 4);
    assert!(of(Filter { errors: texts("permission granted"), ..Filter::default() }).await.is_empty());
    assert!(of(Filter { arguments: texts("/etc/shadow"), failures: vec![0], ..Filter::default() }).await.is_empty(), "of one event");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_belongs_to_its_query() {
    let running = start().await;
    let mut sensor = running.sensor(1).await;
    sensor.send(&events(1, 1..=20)).await;
    sensor.acked(20).await;
    let request = QueryRequest { page_size: 8, ..QueryRequest::default() };
    let page = running.reader().query(request.clone()).await.unwrap().into_inner();
    assert_eq!(page.events.len(), 8);
    let other = QueryRequest { page_token: page.next_page_token.clone(), descending: true, ..request.clone() };
    assert_eq!(running.reader().query(other).await.unwrap_err().code(), Code::InvalidArgument);
    let next = QueryRequest { page_token: page.next_page_token, page_size: 100, ..request };
    assert_eq!(running.reader().query(next).await.unwrap().into_inner().events.len(), 12);
    let too_many = QueryRequest { page_size: 100_000, ..QueryRequest::default() };
    assert_eq!(running.reader().query(too_many).await.unwrap().into_inner().events.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_summed_up() {
    let running = start().await;
    let mut sensor = running.sensor(1).await;
    sensor.send(&events(1, 1..=30)).await;
    let failed = ToolCall { state: 3, tool: "tool_0".to_owned(), duration_ms: Some(12.5), ..ToolCall::default() };
    let closed = SessionChange { state: 3, ..SessionChange::default() };
    let of_0 = |sequence, body| Event { session: event(1, 0).session, body: Some(body), ..event(1, sequence) };
    sensor.send(&[of_0(31, Body::ToolCall(failed)), of_0(32, Body::Gap(Gap::default())), of_0(33, Body::SessionChange(closed))]).await;
    sensor.acked(33).await;
    let list = |request| async { running.reader().list_sessions(request).await.unwrap().into_inner() };
    let all = list(ListSessionsRequest { page_size: 2, ..ListSessionsRequest::default() }).await;
    assert_eq!(all.sessions.len(), 2);
    let rest = list(ListSessionsRequest { page_size: 2, page_token: all.next_page_token, ..ListSessionsRequest::default() }).await;
    assert_eq!((rest.sessions.len(), rest.next_page_token.as_str()), (1, ""));
    let first = &all.sessions[0];
    assert_eq!(first.session.as_ref().unwrap().id, format!("{:016x}", 0));
    assert_eq!((first.tool_calls, first.failed_calls, first.gaps, first.closed), (5, 1, 1, true));
    assert_eq!((first.first, first.last), (event(1, 3).time, event(1, 33).time));
    assert_eq!(first.client.as_ref().unwrap().exe, "/usr/bin/claude");
    assert_eq!(list(ListSessionsRequest { open: true, ..ListSessionsRequest::default() }).await.sessions.len(), 2);
    let by_server = Filter { servers: vec!["SERVER-1".to_owned()], ..Filter::default() };
    let found = list(ListSessionsRequest { filter: Some(by_server), ..ListSessionsRequest::default() }).await;
    assert_eq!(found.sessions.len(), 1);

    let get = |id: &str| {
        let (mut reader, id) = (running.reader(), id.to_owned());
        async move { reader.get_session(GetSessionRequest { id }).await }
    };
    let one = get("0000000000000000").await.unwrap().into_inner();
    let slowest = one.tools.iter().find(|tool| tool.tool == "tool_0").unwrap();
    assert_eq!((slowest.failed, slowest.max_duration_ms), (1, Some(12.5)));
    assert_eq!(get("0000000000").await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(get("f").await.unwrap_err().code(), Code::NotFound);
}
