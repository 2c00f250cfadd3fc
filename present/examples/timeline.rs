//! Makes a session of so many calls and writes it as a page, to look at it:
//!
//! ```text
//! cargo run -p mcp-sensor-present --example timeline -- 1000 html > /tmp/page.html
//! ```
//!
//! The second argument is the rendering: `html`, `text`, `markdown` or `json`. With `hostile` as the third, everything
//! that the peers say tries to get out of its place.

use std::error::Error;
use std::io::{self, BufWriter, Write};

use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::message::{Direction, Mark, Type};
use mcp_sensor_proto::v1::tool_call::State;
use mcp_sensor_proto::v1::{Container, Event, Gap, Message, Peer, Session, SessionChange, ToolCall, loss, session, session_change};
use present::timeline::{Details, Limits, MarkdownOptions, TextOptions, Timeline};
use prost_types::Timestamp;

const TOOLS: [(&str, &str, &str); 6] = [
    ("read_file", r#"{"path":"/home/ann/shop/src/cart.rs","limit":200}"#, "pub struct Cart {\n    items: Vec<Item>,\n}\n"),
    (
        "search_code",
        r#"{"query":"fn total","glob":"**/*.rs"}"#,
        "src/cart.rs:41: pub fn total(&self) -> Money\nsrc/tax.rs:9: fn total_tax()",
    ),
    ("run_tests", r#"{"package":"shop","filter":"cart::"}"#, "running 14 tests\ntest result: ok. 14 passed; 0 failed"),
    ("edit_file", r#"{"path":"/home/ann/shop/src/cart.rs","edits":[{"old":"let x = 1;","new":"let x = 2;"}]}"#, "1 edit applied"),
    ("fetch_url", r#"{"url":"https://example.com/prices?page=3"}"#, "{\"prices\":[1999,2499,899],\"currency\":\"EUR\"}"),
    ("query", r#"{"sql":"select id, total from orders where day = '2026-01-31'"}"#, "12 rows"),
];

const HOSTILE: &str =
    "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\u{1b}[31m\u{202e}`${x}` ]]>--> | **b** \0";

struct Writer {
    timeline: Timeline,
    now: i64,
    hostile: bool,
}

impl Writer {
    fn event(&mut self, body: Body) {
        let text = |plain: &str| if self.hostile { format!("{plain}{HOSTILE}") } else { plain.to_owned() };
        let time = 1_769_868_202_123_000_000 + self.now;
        let server = Peer {
            pid: 81_290,
            exe: "/usr/bin/node".to_owned(),
            command_line: vec!["node".to_owned(), text("/n/@shop/dev-server/dist/index.js")],
            working_directory: "/home/ann/shop".to_owned(),
            user: "ann".to_owned(),
            uid: Some(1000),
            container: Some(Container { id: "3f2a9c51d07b44".to_owned(), runtime: "docker".to_owned() }),
            name: text("shop-dev"),
            version: "1.4.0".to_owned(),
            ..Peer::default()
        };
        let client = Peer {
            pid: 81_234,
            exe: "/usr/bin/claude".to_owned(),
            name: "claude-code".to_owned(),
            version: "2.1.7".to_owned(),
            ..Peer::default()
        };
        let session = Session {
            id: "00f1e2d3c4b5a697".to_owned(),
            transport: session::Transport::Pipe.into(),
            framing: session::Framing::Ndjson.into(),
            protocol_version: "2025-11-25".to_owned(),
            ..Session::default()
        };
        self.timeline.add(&Event {
            time: Some(Timestamp { seconds: time / 1_000_000_000, nanos: i32::try_from(time % 1_000_000_000).unwrap_or(0) }),
            node: "ws-17".to_owned(),
            session: Some(session),
            client: Some(client),
            server: Some(server),
            body: Some(body),
            ..Event::default()
        });
    }

    fn message(&mut self, direction: Direction, kind: Type, method: &str, id: &str, body: String) {
        let related = if method == "notifications/progress" { id } else { "" };
        self.event(Body::Message(Message {
            direction: direction.into(),
            r#type: kind.into(),
            method: method.to_owned(),
            request_id: if related.is_empty() { id.to_owned() } else { String::new() },
            related_request_id: related.to_owned(),
            size_bytes: body.len() as u64,
            sha256: "5e".repeat(32),
            body,
            marks: if self.hostile { vec![Mark::DuplicateKey.into(), Mark::Ambiguous.into()] } else { Vec::new() },
            ..Message::default()
        }));
    }

    fn begin(&mut self, number: usize, tool: &str, arguments: &str) {
        let id = number.to_string();
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":{tool:?},"arguments":{arguments}}}}}"#);
        self.message(Direction::ClientToServer, Type::Request, "tools/call", &id, body);
        self.told(number, tool, arguments, State::Started, false);
    }

    fn told(&mut self, number: usize, tool: &str, arguments: &str, state: State, failed: bool) {
        self.event(Body::ToolCall(ToolCall {
            state: state.into(),
            request_id: number.to_string(),
            tool: tool.to_owned(),
            is_error: failed,
            arguments: arguments.to_owned(),
            reason: if state == State::Abandoned { "the server exited".to_owned() } else { String::new() },
            ..ToolCall::default()
        }));
    }

    fn end(&mut self, number: usize, tool: &str, arguments: &str, said: &str, failed: bool) {
        let id = number.to_string();
        let said = serde_json::Value::from(said);
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":{said}}}],"isError":{failed}}}}}"#);
        self.message(Direction::ServerToClient, Type::Response, "tools/call", &id, body);
        self.told(number, tool, arguments, State::Completed, failed);
    }
}

fn fill(writer: &mut Writer, calls: usize) {
    const MILLISECOND: i64 = 1_000_000;
    writer.event(Body::SessionChange(SessionChange { state: session_change::State::Opened.into(), reason: String::new() }));
    // A generator of its own, for the same page every time.
    let mut seed = 7_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut open: Vec<(usize, String, String, String)> = Vec::new();
    for number in 1..=calls {
        let (tool, arguments, said) = usize::try_from(random(6)).ok().and_then(|tool| TOOLS.get(tool)).copied().unwrap_or_default();
        let suffix = if writer.hostile { HOSTILE } else { "" };
        let arguments = if writer.hostile { serde_json::json!({ "path": HOSTILE, HOSTILE: 1 }).to_string() } else { arguments.to_owned() };
        let (tool, said) = (format!("{tool}{suffix}"), format!("{said}{suffix}"));
        writer.begin(number, &tool, &arguments);
        writer.now += MILLISECOND * i64::try_from(1 + random(60)).unwrap_or(1);
        match random(100) {
            0..=10 => open.push((number, tool, arguments, said)),
            11 => writer.end(number, &tool, &arguments, &format!("Permission denied: {said}"), true),
            12 => {
                let error = r#"{"code":-32602,"message":"Unknown tool"}"#;
                let body = format!(r#"{{"jsonrpc":"2.0","id":{number},"error":{error}}}"#);
                writer.message(Direction::ServerToClient, Type::Error, "tools/call", &number.to_string(), body);
            }
            13 if number > 3 => writer.told(number, &tool, &arguments, State::Abandoned, false),
            14 => {
                for done in 1..4 {
                    writer.now += 900 * MILLISECOND;
                    let body = format!(
                        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{number},"progress":{done},"total":4}}}}"#
                    );
                    writer.message(Direction::ServerToClient, Type::Notification, "notifications/progress", &number.to_string(), body);
                }
                writer.end(number, &tool, &arguments, &said, false);
            }
            15 if random(4) == 0 => {
                writer.end(number, &tool, &arguments, &said, false);
                let reasons = vec![loss::Reason::RingFull.into()];
                writer.event(Body::Gap(Gap { direction: Direction::ServerToClient.into(), bytes: Some(130_000), reasons }));
            }
            _ => writer.end(number, &tool, &arguments, &said, false),
        }
        if open.len() > 2 || (random(3) == 0 && !open.is_empty()) {
            let (number, tool, arguments, said) = open.remove(0);
            writer.now += 40 * MILLISECOND;
            writer.end(number, &tool, &arguments, &said, false);
        }
        writer.now += MILLISECOND * i64::try_from(if random(40) == 0 { 20_000 + random(200_000) } else { random(1_500) }).unwrap_or(0);
    }
    for (number, tool, arguments, said) in open {
        writer.end(number, &tool, &arguments, &said, false);
    }
    writer.event(Body::SessionChange(SessionChange { state: session_change::State::Closed.into(), reason: "client exited".to_owned() }));
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let calls = arguments.next().map_or(Ok(100), |calls| calls.parse())?;
    let rendering = arguments.next().unwrap_or_else(|| "html".to_owned());
    let hostile = arguments.next().is_some_and(|word| word == "hostile");
    let mut writer = Writer { timeline: Timeline::new(Limits::default()), now: 0, hostile };
    fill(&mut writer, calls);
    let finished = writer.timeline.finish();
    let mut out = BufWriter::new(io::stdout().lock());
    match rendering.as_str() {
        "text" => finished.render_text(&TextOptions::default(), &mut out)?,
        "markdown" => finished.render_markdown(&MarkdownOptions { details: Details::Problems, lines: 40 }, &mut out)?,
        "json" => finished.render_json(&mut out)?,
        _ => finished.render_html(&mut out)?,
    }
    out.flush()?;
    Ok(())
}
