//! Queries, sessions, paging.

use collector::event::{Filter as Compiled, keys::Reader};
use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::{
    Event, Filter, Gap, GetSessionRequest, ListSessionsRequest, Message, Peer, QueryRequest, Session, SessionChange, ToolCall,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use prost::Message as _;
use tonic::Code;

use crate::support::*;

/// An event with names out of few, so that filters hit.
fn any_event() -> impl Strategy<Value = Event> {
    let name = || prop_oneof![Just(String::new()), "[ab]{1,3}", Just("naïve".to_owned())];
    let peer = move || {
        (name(), "(/usr)?/bin/[ab]{1,2}", name()).prop_map(|(said, exe, address)| Peer { name: said, exe, address, ..Peer::default() })
    };
    let body = prop_oneof![
        (name(), 0..5_i32).prop_map(|(tool, state)| Some(Body::ToolCall(ToolCall { tool, state, ..ToolCall::default() }))),
        (name(), prop_oneof![Just("tools/call".to_owned()), name()]).prop_map(|(target, method)| Some(Body::Message(Message {
            target,
            method,
            ..Message::default()
        }))),
        (0..4_i32).prop_map(|state| Some(Body::SessionChange(SessionChange { state, ..SessionChange::default() }))),
        Just(Some(Body::Gap(Gap { bytes: Some(1), ..Gap::default() }))),
        Just(None),
    ];
    (proptest::option::of("[0-3]{1,3}"), proptest::option::of(peer()), proptest::option::of(peer()), 0..8_i32, body).prop_map(
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
    let globs = || proptest::collection::vec("[abAB*?/]{1,3}", 0..2);
    let nodes = proptest::collection::vec(prop_oneof![Just("host".to_owned()), Just("other".to_owned())], 0..2);
    (
        nodes,
        globs(),
        globs(),
        globs(),
        proptest::collection::vec(0..6_i32, 0..2),
        0..7_i32,
        proptest::collection::vec("[0-3]{1,2}", 0..2),
        globs(),
    )
        .prop_map(|(nodes, servers, clients, tools, kinds, min_severity, sessions, methods)| Filter {
            nodes,
            servers,
            clients,
            tools,
            kinds,
            min_severity,
            sessions,
            methods,
        })
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
    let mut reader = Reader::default();
    let keys: Vec<_> = sent.iter().map(|event| reader.read(&event.encode_to_vec().into()).unwrap()).collect();
    for _ in 0..300 {
        let filter = any_filter().new_tree(&mut runner).unwrap().current();
        let (low, high) = (1..500_u64, 1..500_u64).new_tree(&mut runner).unwrap().current();
        let compiled = Compiled::new(Some(&filter)).unwrap();
        let mut expected: Vec<u64> =
            keys.iter().filter(|keys| compiled.matches(keys) && (low..high).contains(&keys.sequence)).map(|keys| keys.sequence).collect();
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
