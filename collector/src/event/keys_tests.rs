use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::{Action, Event, Finding, Message, Session, ToolCall};

use super::*;

fn event(body: Body) -> Event {
    Event {
        id: format!("{:032x}", 77),
        time: Some(timestamp(1_800_000_000_000_000_005)),
        node: "host".to_owned(),
        sequence: 3,
        session: Some(Session { id: "abc".to_owned(), ..Session::default() }),
        server: Some(Peer {
            exe: "/usr/bin/node".to_owned(),
            command_line: vec!["node".to_owned(), "/x/server-git/index.js".to_owned()],
            name: "git".to_owned(),
            ..Peer::default()
        }),
        severity: 2,
        body: Some(body),
        ..Event::default()
    }
}

#[test]
fn keys_are_read_from_the_bytes() {
    let call = ToolCall { state: 2, tool: "commit".to_owned(), is_error: true, duration_ms: Some(2.5), ..ToolCall::default() };
    let keys = Reader::default().read(&Bytes::from(event(Body::ToolCall(call)).encode_to_vec())).unwrap();
    assert_eq!((keys.id, keys.time, keys.sequence, keys.kind, keys.severity), (77, 1_800_000_000_000_000_005, 3, 1, 2));
    assert_eq!((&*keys.node, &*keys.session, &*keys.tool, &*keys.method), ("host", "abc", "commit", "tools/call"));
    let called = Called { said: "git", short: "server-git", exe: "/usr/bin/node", script: "index.js", address: "" };
    assert_eq!(keys.server.as_ref().unwrap().called(), called);
    assert_eq!(keys.tally, Tally { call: false, failed: true, duration_ms: Some(2.5), closed: None });
    assert!(keys.client.is_none());
}

#[test]
fn a_message_has_a_tool_only_where_it_calls_one() {
    let tool_of = |method: &str| {
        let message = Message { method: method.to_owned(), target: "x".to_owned(), ..Message::default() };
        Reader::default().read(&Bytes::from(event(Body::Message(message)).encode_to_vec())).unwrap().tool
    };
    assert_eq!(&*tool_of("tools/call"), "x");
    assert_eq!(&*tool_of("resources/read"), "");
}

#[test]
fn a_finding_is_found_by_the_tool_that_it_speaks_of() {
    let finding = Finding { method: "tools/call".to_owned(), tool: "rm".to_owned(), ..Finding::default() };
    let keys = Reader::default().read(&Bytes::from(event(Body::Finding(finding)).encode_to_vec())).unwrap();
    assert_eq!((keys.kind, &*keys.tool, &*keys.method), (6, "rm", "tools/call"));
    let keys = Reader::default().read(&Bytes::from(event(Body::Action(Action::default())).encode_to_vec())).unwrap();
    assert_eq!((keys.kind, &*keys.tool), (7, ""));
}

#[test]
fn an_id_that_is_none_is_refused() {
    for id in ["", "0", &"0".repeat(33), &"G".repeat(32), &"A".repeat(32), &"é".repeat(16)] {
        let event = Event { id: id.to_owned(), ..event(Body::Message(Message::default())) };
        assert_eq!(Reader::default().read(&Bytes::from(event.encode_to_vec())).unwrap_err(), Refused::Id, "{id}");
    }
    let event = Event { time: None, ..event(Body::Message(Message::default())) };
    assert_eq!(Reader::default().read(&Bytes::from(event.encode_to_vec())).unwrap_err(), Refused::Time);
}
