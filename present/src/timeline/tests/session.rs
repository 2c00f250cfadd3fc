//! A session under construction: events as the sensor gives them out.

use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::message::{Direction, Mark, Type};
use mcp_sensor_proto::v1::tool_call::State;
use mcp_sensor_proto::v1::{
    BlindSpot, Container, Event, Gap, Loss, Message, Peer, Pod, Sensor, Session, SessionChange, ToolCall, blind_spot, loss, sensor,
    session, session_change,
};
use prost_types::Timestamp;
use serde_json::{Value, json};

/// 2026-01-31 14:03:22.123 UTC.
pub const START: i64 = 1_769_868_202_123_000_000;
pub const MILLISECOND: i64 = 1_000_000;

/// Events of one session, in order.
pub struct Script {
    pub events: Vec<Event>,
    /// Nanoseconds since the start.
    pub now: i64,
    /// Which kinds of events there are.
    pub messages: bool,
    pub calls: bool,
    pub client: Peer,
    pub server: Peer,
    pub session: Session,
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

pub fn claude() -> Peer {
    Peer {
        pid: 81_234,
        exe: "/usr/bin/claude".to_owned(),
        command_line: strings(&["claude", "--resume"]),
        working_directory: "/home/ann/shop".to_owned(),
        uid: Some(1000),
        user: "ann".to_owned(),
        name: "claude-code".to_owned(),
        version: "2.1.7".to_owned(),
        ..Peer::default()
    }
}

pub fn everything() -> Peer {
    Peer {
        pid: 81_290,
        exe: "/usr/bin/node".to_owned(),
        command_line: strings(&["node", "/n/@modelcontextprotocol/server-everything/dist/index.js"]),
        working_directory: "/home/ann/shop".to_owned(),
        uid: Some(1000),
        user: "ann".to_owned(),
        name: "mcp-servers/everything".to_owned(),
        version: "2026.8.31".to_owned(),
        container: Some(Container { id: "3f2a9c51d07b44".to_owned(), runtime: "docker".to_owned() }),
        pod: Some(Pod { uid: String::new(), namespace: "shop".to_owned(), name: "agent-7d9f".to_owned() }),
        ..Peer::default()
    }
}

impl Script {
    pub fn new() -> Self {
        let session = Session {
            id: "00f1e2d3c4b5a697".to_owned(),
            transport: session::Transport::Pipe.into(),
            framing: session::Framing::Ndjson.into(),
            protocol_version: "2025-11-25".to_owned(),
            ..Session::default()
        };
        Self { events: Vec::new(), now: 0, messages: true, calls: true, client: claude(), server: everything(), session }
    }

    pub fn wait(&mut self, milliseconds: i64) -> &mut Self {
        self.now += milliseconds * MILLISECOND;
        self
    }

    pub fn event(&mut self, body: Option<Body>) -> &mut Self {
        let (time, is_sensor) = (START + self.now, matches!(body, Some(Body::Sensor(_))));
        self.events.push(Event {
            id: format!("{:032x}", self.events.len()),
            time: Some(Timestamp {
                seconds: time.div_euclid(1_000_000_000),
                nanos: i32::try_from(time.rem_euclid(1_000_000_000)).unwrap(),
            }),
            node: "ws-17".to_owned(),
            session: (!is_sensor).then(|| self.session.clone()),
            client: (!is_sensor).then(|| self.client.clone()),
            server: (!is_sensor).then(|| self.server.clone()),
            body,
            ..Event::default()
        });
        self
    }

    pub fn message(&mut self, message: Message) -> &mut Self {
        if self.messages { self.event(Some(Body::Message(message))) } else { self }
    }

    pub fn told(&mut self, call: ToolCall) -> &mut Self {
        if self.calls { self.event(Some(Body::ToolCall(call))) } else { self }
    }

    pub fn change(&mut self, state: session_change::State, reason: &str) -> &mut Self {
        self.event(Some(Body::SessionChange(SessionChange { state: state.into(), reason: reason.to_owned() })))
    }

    pub fn open(&mut self) -> &mut Self {
        self.change(session_change::State::Opened, "")
    }

    pub fn close(&mut self) -> &mut Self {
        self.change(session_change::State::Closed, "client exited")
    }

    pub fn request(&mut self, direction: Direction, id: u64, method: &str, params: Value) -> &mut Self {
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        self.message(message(direction, Type::Request, method, &id.to_string(), body))
    }

    pub fn answer(&mut self, direction: Direction, id: u64, method: &str, result: Value) -> &mut Self {
        let body = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
        self.message(message(direction, Type::Response, method, &id.to_string(), body))
    }

    pub fn notify(&mut self, direction: Direction, method: &str, related: &str, params: Value) -> &mut Self {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string();
        self.message(Message { related_request_id: related.to_owned(), ..message(direction, Type::Notification, method, "", body) })
    }

    /// A tool call begins.
    pub fn call(&mut self, id: u64, tool: &str, arguments: Value) -> &mut Self {
        let params = json!({"name": tool, "arguments": arguments.clone()});
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string();
        let request = message(Direction::ClientToServer, Type::Request, "tools/call", &id.to_string(), body);
        self.message(Message { target: tool.to_owned(), ..request });
        self.told(call(id, tool, &arguments))
    }

    /// A tool call ends with a result.
    pub fn result(&mut self, id: u64, tool: &str, arguments: &Value, result: Value, took: f64) -> &mut Self {
        self.answer(Direction::ServerToClient, id, "tools/call", result.clone());
        let is_error = result["isError"] == true;
        self.told(ToolCall {
            state: State::Completed.into(),
            result: result.to_string(),
            is_error,
            duration_ms: Some(took),
            response_bytes: 312,
            ..call(id, tool, arguments)
        })
    }

    /// A tool call and its result.
    pub fn called(&mut self, id: u64, tool: &str, arguments: Value, result: Value, took: i64) -> &mut Self {
        self.call(id, tool, arguments.clone()).wait(took);
        #[expect(clippy::cast_precision_loss, reason = "the tests' durations are short")]
        self.result(id, tool, &arguments, result, took as f64)
    }

    pub fn gap(&mut self, bytes: Option<u64>, reason: loss::Reason) -> &mut Self {
        self.event(Some(Body::Gap(Gap { direction: Direction::ServerToClient.into(), bytes, reasons: vec![reason.into()] })))
    }

    pub fn sensor(&mut self, state: sensor::State, lost: u64, blind: bool) -> &mut Self {
        let count =
            loss::Count { place: loss::Place::Kernel.into(), reason: loss::Reason::RingFull.into(), count: lost, bytes: lost * 1000 };
        let spot = BlindSpot {
            process: Some(Peer { pid: 4242, exe: "/opt/\u{1b}[8mcodex".to_owned(), ..Peer::default() }),
            reason: blind_spot::Reason::TlsSymbols.into(),
            detail: "rustls 0.23 in a stripped program".to_owned(),
            ..BlindSpot::default()
        };
        self.event(Some(Body::Sensor(Sensor {
            state: state.into(),
            version: "0.1.0".to_owned(),
            started: Some(Timestamp { seconds: START / 1_000_000_000 - 3600, nanos: 0 }),
            loss: Some(Loss { counts: vec![count] }),
            blind_spots: if blind { vec![spot] } else { Vec::new() },
            ..Sensor::default()
        })))
    }
}

pub fn message(direction: Direction, kind: Type, method: &str, id: &str, body: String) -> Message {
    Message {
        direction: direction.into(),
        r#type: kind.into(),
        method: method.to_owned(),
        request_id: id.to_owned(),
        size_bytes: body.len() as u64,
        sha256: "ab".repeat(32),
        body,
        ..Message::default()
    }
}

pub fn call(id: u64, tool: &str, arguments: &Value) -> ToolCall {
    ToolCall {
        state: State::Started.into(),
        request_id: id.to_string(),
        tool: tool.to_owned(),
        arguments: arguments.to_string(),
        request_bytes: 120,
        ..ToolCall::default()
    }
}

pub fn said(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

/// A session in which everything happens once.
pub fn day() -> Script {
    const TO: Direction = Direction::ClientToServer;
    const FROM: Direction = Direction::ServerToClient;
    let mut script = Script::new();
    fill(&mut script, TO, FROM);
    script
}

pub fn fill(script: &mut Script, to: Direction, from: Direction) {
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "claude-code", "version": "2.1.7"}});
    let welcome = json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {"listChanged": true}},
        "serverInfo": {"name": "mcp-servers/everything", "version": "2026.8.31"}});
    script.sensor(sensor::State::Ready, 3, false).open();
    script.wait(1).request(to, 0, "initialize", hello).wait(4).answer(from, 0, "initialize", welcome);
    script.notify(to, "notifications/initialized", "", json!({}));
    script.wait(2).request(to, 1, "tools/list", json!({})).wait(3).answer(
        from,
        1,
        "tools/list",
        json!({"tools": [{"name": "echo", "description": "says it again", "inputSchema": {"type": "object"}}, {"name": "rm", "description": "removes"}]}),
    );
    script.wait(400).called(2, "echo", json!({"message": "hi"}), said("Echo: hi"), 12);
    // Three at once; the server asks back in the middle of one.
    let long = json!({"duration": 8, "steps": 4});
    script.wait(100).call(3, "long-running-operation", long.clone());
    script.wait(50).call(4, "sampling", json!({"prompt": "why?\nsay why"}));
    script.wait(10).request(
        from,
        0,
        "sampling/createMessage",
        json!({"messages": [{"role": "user", "content": {"type": "text", "text": "why?"}}], "maxTokens": 100}),
    );
    script.wait(20).notify(from, "notifications/progress", "3", json!({"progressToken": 3, "progress": 1, "total": 4}));
    script.wait(20).called(
        5,
        "get-structured-content",
        json!({"location": "東京都千代田区", "days": [1, 2, 3]}),
        json!({"content": [], "structuredContent": {"temperature": 22.5, "conditions": "晴れ"}}),
        3,
    );
    script.wait(900).answer(
        to,
        0,
        "sampling/createMessage",
        json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "because"}}),
    );
    script.wait(5).result(4, "sampling", &json!({"prompt": "why?\nsay why"}), said("because"), 1003.0);
    script.wait(3000).notify(from, "notifications/progress", "3", json!({"progressToken": 3, "progress": 2, "total": 4}));
    script.wait(4000).result(
        3,
        "long-running-operation",
        &long,
        said("Long running operation completed.\nDuration: 8 seconds\n\tSteps: 4"),
        8050.0,
    );
    // What goes wrong.
    script
        .wait(60_000)
        .gap(Some(1_300_000), loss::Reason::RingFull)
        .gap(Some(200_000), loss::Reason::RingFull)
        .gap(None, loss::Reason::OverLimit);
    script.wait(100).called(
        6,
        "rm",
        json!({"path": "/etc/\u{1b}[31mpasswd\u{202e}", "note": "a\nb\r\0"}),
        json!({"content": [{"type": "text", "text": "rm: cannot remove '/etc/passwd': Permission denied"}], "isError": true}),
        7,
    );
    let unknown =
        json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32602, "message": "Unknown tool: nope", "data": {"known": ["echo", "rm"]}}});
    script.wait(30).call(7, "nope", json!({})).wait(1);
    script.message(message(from, Type::Error, "tools/call", "7", unknown.to_string()));
    script.told(ToolCall {
        state: State::Failed.into(),
        error: unknown["error"].to_string(),
        duration_ms: Some(1.0),
        response_bytes: 99,
        ..call(7, "nope", &json!({}))
    });
    script.wait(10).call(8, "slow", json!({"of": "molasses"})).wait(2_500);
    script.notify(to, "notifications/cancelled", "8", json!({"requestId": 8, "reason": "user pressed escape"}));
    script.told(ToolCall { state: State::Cancelled.into(), duration_ms: Some(2_500.0), ..call(8, "slow", &json!({"of": "molasses"})) });
    script.wait(5).notify(from, "notifications/tools/list_changed", "", json!({}));
    let odd = message(
        from,
        Type::Notification,
        "notifications/message",
        "",
        r#"{"method":"notifications/message","params":{"level":"info","data":"x\u001bc"}}"#.to_owned(),
    );
    script.wait(1).message(Message { marks: vec![Mark::DuplicateKey.into(), Mark::Batch.into(), Mark::EscapedName.into()], ..odd });
    script.wait(1).answer(from, 99, "", json!({"ok": true}));
    script.wait(1).called(9, "get-image", json!({}), json!({"content": [{"type": "text", "text": "here"}, {"type": "image", "mimeType": "image/png", "data": "AAAABBBB"}], "_meta": {"took": 1}}), 2);
    script.sensor(sensor::State::Degraded, 12, true);
    script.wait(20).call(10, "rm", json!({"path": "/"}));
    script.wait(1000);
    script.told(ToolCall {
        state: State::Abandoned.into(),
        reason: "the server exited".to_owned(),
        ..call(10, "rm", &json!({"path": "/"}))
    });
    script.close();
}
