//! What only looks like MCP gives no event, live: whatever carries it.
#![expect(clippy::unwrap_used, reason = "a test: what goes wrong fails it")]

use end_to_end::{
    harness::{Sensor, beside, run, sensor, tests_folder},
    truth::compare::Options,
};
use std::{fs, path::Path, process::Command};

/// One conversation that is MCP, as the corpus would hold it.
const TO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}
{"jsonrpc":"2.0","method":"notifications/initialized"}
{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}
"#;
const FROM: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}

{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"hello"}]}}
"#;

/// Plays a corpus; its logs are in `logs`.
fn play(corpus: &Path, transports: &str, logs: &Path) {
    let mut command = Command::new(beside("peer"));
    command.args(["lookalike", "--transport", transports, "--corpus"]).arg(corpus);
    let status = run(&mut command, logs, "lookalike");
    assert!(status.success(), "{command:?}: {status}");
}

/// Waits until the sensor has told of all that was there before: a session that begins now is told whole.
fn settle(sensor: &Sensor) {
    let logs = tempfile::tempdir().unwrap();
    let mut command = Command::new(beside("peer"));
    command.args(["client", "--calls", "24", "--", "peer", "server"]);
    assert!(run(&mut command, logs.path(), "behind").success());
    let report = sensor.compare(logs.path(), &Options::default());
    assert!(report.found > 0 && report.is_right(), "{report}");
}

#[test]
fn no_event_comes_of_a_lookalike_whatever_carries_it() {
    const TRANSPORTS: &str = "pipe,socketpair,unix,pty";
    let sensor = sensor();
    let logs = tempfile::tempdir().unwrap();
    play(&tests_folder().join("../sensor-core/tests/lookalikes"), TRANSPORTS, logs.path());
    // The same way, what is MCP is seen on each of them: else silence would prove nothing.
    let corpus = tempfile::tempdir().unwrap();
    fs::write(corpus.path().join("mcp.to.ndjson"), TO).unwrap();
    fs::write(corpus.path().join("mcp.from.ndjson"), FROM).unwrap();
    let seen: Vec<_> = TRANSPORTS.split(',').map(|transport| (transport, tempfile::tempdir().unwrap())).collect();
    for (transport, logs) in &seen {
        play(corpus.path(), transport, logs.path());
    }
    settle(sensor);
    for (transport, logs) in &seen {
        let events = sensor.events_of(logs.path());
        // Five messages, a call and its session.
        assert!(events.len() >= 8, "{transport}: {events:#?}");
    }
    let events = sensor.events_of(logs.path());
    assert!(events.is_empty(), "{} events of what is no MCP:\n{}", events.len(), events.join("\n"));
}
