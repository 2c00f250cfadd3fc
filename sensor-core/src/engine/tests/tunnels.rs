//! MCP inside the Agent Client Protocol is unwrapped; the protocol itself gives no events.

use super::*;
use crate::event::MessageDirection;

#[test]
fn mcp_inside_acp_is_a_session_of_its_own() {
    let mut world = World::default();
    let mut editor = Pair::on_pipes(&mut world);
    let agent = editor.server;
    editor.ask(&mut world, r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":1,"clientCapabilities":{}}}"#);
    editor.answer(&mut world, r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":1,"agentCapabilities":{}}}"#);
    editor
        .ask(&mut world, r#"{"jsonrpc":"2.0","id":1,"method":"session/new","params":{"cwd":"/","mcpServers":[{"type":"acp","id":"m"}]}}"#);
    // The agent is the client of the editor's server.
    editor.answer(&mut world, r#"{"jsonrpc":"2.0","id":0,"method":"mcp/connect","params":{"acpId":"m"}}"#);
    editor.ask(&mut world, r#"{"jsonrpc":"2.0","id":0,"result":{"connectionId":"c-1"}}"#);
    let wrapped = |id: u32, method: &str, params: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"mcp/message","params":{{"connectionId":"c-1","method":"{method}","params":{params}}}}}"#
        )
    };
    editor.answer(&mut world, &wrapped(1, "tools/call", r#"{"name":"open","arguments":{"path":"/x"}}"#));
    let progress = r#"{"jsonrpc":"2.0","method":"mcp/message","params":{"connectionId":"c-1","method":"notifications/message","params":{"level":"info","data":1}}}"#;
    editor.ask(&mut world, progress);
    editor.ask(&mut world, r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"opened"}]}}"#);
    editor.answer(&mut world, r#"{"jsonrpc":"2.0","id":2,"method":"mcp/disconnect","params":{"connectionId":"c-1"}}"#);
    let recorder = outcome(world);
    assert_eq!(methods(&recorder), ["tools/call", "<notifications/message", "<tools/call"]);
    for (event, message) in recorder.messages() {
        assert_eq!(event.session.tunnel.as_deref(), Some("c-1"));
        assert_eq!((event.client, event.server), (Some(agent), Some(editor.client)), "{message:?}");
    }
    assert_eq!(recorder.messages().nth(1).unwrap().1.size, progress.len() as u64);
    let (_, end) = recorder.calls().last().unwrap();
    assert!(end.tool == "open" && end.result.contains("opened"));
    assert_eq!(recorder.sessions().last().unwrap().1, crate::event::SessionState::Closed);
}

#[test]
fn one_line_of_acp_does_not_hide_a_session() {
    for first in
        [r#"{"jsonrpc":"2.0","method":"session/cancel","params":{}}"#, r#"{"jsonrpc":"2.0","method":"session/update","params":{}}"#]
    {
        let mut world = World::default();
        let mut pair = Pair::on_pipes(&mut world);
        pair.ask(&mut world, first);
        pair.handshake(&mut world);
        pair.call(&mut world, 1, "x");
        let recorder = outcome(world);
        let expected = [MessageDirection::ClientToServer, MessageDirection::ServerToClient];
        let calls: Vec<_> = recorder.messages().filter(|(_, m)| m.method == "tools/call").map(|(_, m)| m.direction).collect();
        assert_eq!(calls, expected);
        assert!(recorder.messages().all(|(event, _)| (event.client, event.server) == (Some(pair.client), Some(pair.server))));
    }
}
