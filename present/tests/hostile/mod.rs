//! Text that wants out of its place, in every place where a session can hold text.

use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::message::{Direction, Type};
use mcp_sensor_proto::v1::tool_call::State;
use mcp_sensor_proto::v1::{Ancestor, Container, Event, Message, Peer, Pod, ToolCall, session_change};
use serde_json::json;

use crate::session::{Script, message, said};

/// Pieces of the attacks, as a reader sees them.
pub const VISIBLE: [&str; 8] = [
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "javascript:document.title='owned'",
    "</pre></details></li></ol>",
    "${document.title='owned'}",
    "\\u{202e}",
    "\\x1b",
    "--><!--",
];

/// The attacks. `server` is where what loads would load from.
pub fn payloads(server: &str) -> Vec<String> {
    const RUN: &str = "document.title='owned'";
    let templates = [
        "<script>RUN</script>",
        "</script><script>RUN</script>",
        "</style><script>RUN</script>",
        "</title><script>RUN</script>",
        "</textarea></noscript></template></select><script>RUN</script>",
        "<img src=x onerror=\"RUN\">",
        "<img src=x onerror=RUN>",
        "\"><img src=x onerror=\"RUN\">",
        "'><img src=x onerror='document.documentElement.dataset.owned=1'>",
        "\" onfocus=\"RUN\" autofocus tabindex=\"0\" x=\"",
        "' onmouseover='RUN' x='",
        "<svg onload=\"RUN\"></svg>",
        "<svg><script>RUN</script></svg>",
        "<math><mtext></mtext><script>RUN</script></math>",
        "<body onload=\"RUN\">",
        "<details open ontoggle=\"RUN\">x</details>",
        "<iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>",
        "<iframe src=\"javascript:parent.document.title='owned'\"></iframe>",
        "<a href=\"javascript:RUN\" id=r1>x</a>",
        "javascript:RUN",
        "<meta http-equiv=\"refresh\" content=\"0;url=SERVER/refresh\">",
        "<link rel=\"stylesheet\" href=\"SERVER/style\">",
        "<img src=\"SERVER/image\">",
        "<style>@import 'SERVER/import'; body { background: url(SERVER/background) }</style>",
        "<object data=\"SERVER/object\"></object><embed src=\"SERVER/embed\">",
        "<base href=\"SERVER/\"><script src=\"SERVER/script\"></script>",
        "<form action=\"SERVER/form\"><button id=q>x</button></form>",
        "<p style=\"background:url(SERVER/inline)\">x</p>",
        "</pre></details></li></ol></main><script>RUN</script>",
        "--><!--><script>RUN</script><!--",
        "<!--<script>RUN//",
        "]]><script>RUN</script>",
        "<![CDATA[<script>RUN</script>]]>",
        "${RUN}",
        "`${RUN}`",
        "\\u003cscript\\u003eRUN\\u003c/script\\u003e",
        "&lt;script&gt;RUN&lt;/script&gt;",
        "&#60;script&#62;RUN&#60;/script&#62;",
        "'); RUN; ('",
        "\u{2028}RUN\u{2029}",
        "\u{0}<scr\u{0}ipt>RUN</script>",
        "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m",
        "\u{202e}>tpircs/<owned>tpircs<\u{202c}\u{2066}\u{200b}\u{feff}\u{e0041}",
        "+ADw-script+AD4-RUN+ADw-/script+AD4-",
        "<scr<script>ipt>RUN</scr</script>ipt>",
        "\r\n\r\n<script>RUN</script>",
        "{{constructor.constructor('RUN')()}}",
        "__proto__",
        "constructor",
    ];
    let mut payloads: Vec<String> = templates.iter().map(|template| template.replace("RUN", RUN).replace("SERVER", server)).collect();
    payloads.push(format!("{}<script>{RUN}</script>", "x".repeat(200_000)));
    payloads.push(format!("{}<img src=x onerror={RUN}>", "\u{0}\u{202e}".repeat(3_000)));
    payloads
}

/// The attacks as they would stand in a page that escapes nothing. Without the one that leaves the page.
pub fn careless(server: &str) -> String {
    payloads(server).into_iter().filter(|payload| !payload.contains("http-equiv")).collect::<Vec<_>>().join("\n")
}

/// A session that says all of it everywhere.
pub fn session(server: &str) -> Vec<Event> {
    let payloads = payloads(server);
    let mut script = Script::new();
    let all = payloads.iter().filter(|payload| payload.len() < 1000).cloned().collect::<Vec<_>>().join(" ");
    script.server = hostile_peer(&all);
    script.client = hostile_peer(&all);
    script.session.protocol_version.clone_from(&all);
    script.session.mcp_session_id.clone_from(&all);
    script.session.relay_of.clone_from(&all);
    script.session.tunnel.clone_from(&all);
    script.change(session_change::State::Opened, &all);
    for (number, payload) in (1_u64..).zip(&payloads) {
        script.wait(1);
        let id = serde_json::Value::from(payload.as_str()).to_string();
        // As a whole message that is no JSON.
        script.message(message(Direction::ServerToClient, Type::Notification, payload, payload, payload.clone()));
        // As arguments, names and a result.
        script.called(number, payload, json!({ payload.clone(): payload, "list": [payload, { "deep": payload }] }), said(payload), 1);
        // As structured content that is an error.
        let failed = json!({"content": [{"type": payload, "text": payload, "uri": payload}], "isError": true, payload.clone(): payload});
        script.wait(1).called(1000 + number, payload, json!({ "x": payload }), failed, 1);
        // As a JSON-RPC error, with an id of that text.
        let error = json!({"code": payload, "message": payload, "data": payload}).to_string();
        let call = ToolCall { request_id: id.clone(), tool: payload.clone(), arguments: payload.clone(), ..ToolCall::default() };
        script.event(Some(Body::ToolCall(ToolCall { state: State::Started.into(), ..call.clone() })));
        let reason = payload.clone();
        script.event(Some(Body::ToolCall(ToolCall { state: State::Failed.into(), error, task_id: id.clone(), reason, ..call })));
        // As another request without an answer, and with a hash that is none.
        let asked = message(Direction::ServerToClient, Type::Request, payload, &id, json!({ "params": { "a": payload } }).to_string());
        script.event(Some(Body::Message(Message { target: payload.clone(), sha256: payload.clone(), task_id: payload.clone(), ..asked })));
        script.change(session_change::State::Updated, payload);
    }
    script.close();
    script.events
}

fn hostile_peer(text: &str) -> Peer {
    let text = || text.to_owned();
    Peer {
        pid: 666,
        exe: text(),
        exe_sha256: text(),
        command_line: vec![text(), text()],
        working_directory: text(),
        user: text(),
        ancestors: vec![Ancestor { pid: 1, exe: text(), command_line: vec![text()], ..Ancestor::default() }],
        container: Some(Container { id: text(), runtime: text() }),
        pod: Some(Pod { uid: text(), namespace: text(), name: text() }),
        systemd_unit: text(),
        cgroup: text(),
        address: text(),
        name: text(),
        version: text(),
        ..Peer::default()
    }
}
