//! The program itself: killed, told to stop, misconfigured, printing.

use std::io::{BufRead as _, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use mcp_sensor_proto::v1::collector_service_client::CollectorServiceClient;
use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::loss::Count;
use mcp_sensor_proto::v1::{self, Event, Loss, Peer, QueryRequest, Session, ToolCall};
use tonic::transport::Channel;

use crate::support::*;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-collector"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MCP_COLLECTOR_")) {
        command.env_remove(name);
    }
    command
}

/// A collector in a process of its own.
struct Process {
    child: Child,
}

impl Process {
    fn start(directory: &Path) -> Self {
        let mut command = program();
        command.arg("serve").arg("--directory").arg(directory.join("store")).arg("--listen");
        command.arg(format!("unix:{}", directory.join("socket").display()));
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        Self { child }
    }

    async fn channel(&self, directory: &Path) -> Channel {
        soon(async {
            while tokio::net::UnixStream::connect(directory.join("socket")).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        unix(&directory.join("socket")).await
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn stop(mut self) -> Option<i32> {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM).unwrap();
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::yield_now();
        }
        self.kill();
        panic!("it does not stop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_in_the_middle_every_acknowledged_event_is_there_once() {
    const TOTAL: u64 = 60_000;
    let directory = tempfile::tempdir().unwrap();
    let (mut acknowledged, mut highest) = (0, 0);
    for round in 0..4_u64 {
        let mut process = Process::start(directory.path());
        let channel = process.channel(directory.path()).await;
        let sensor = Sensor::connect(channel.clone(), 1).await.unwrap();
        assert!(sensor.welcome.acknowledged >= acknowledged, "what was acknowledged is stored");
        let from = sensor.welcome.acknowledged + 1;
        let Sensor { requests, mut answers, .. } = sensor;
        let sending = tokio::spawn(async move {
            for first in (from..=TOTAL).step_by(200) {
                if requests.send(batch(&events(1, first..(first + 200).min(TOTAL + 1)))).await.is_err() {
                    return;
                }
            }
            // Until the last acknowledgement has come.
            std::future::pending::<()>().await;
        });
        let goal = if round == 3 { TOTAL } else { (round + 1) * 10_000 };
        while acknowledged < goal {
            let answer = soon(answers.message()).await.unwrap().unwrap();
            if let Some(mcp_sensor_proto::v1::connect_response::Frame::Ack(ack)) = answer.frame {
                acknowledged = ack.sequence;
            }
        }
        if round == 3 {
            let mut reader = CollectorServiceClient::new(channel).max_decoding_message_size(64 << 20);
            let stored = query_all(&mut reader, QueryRequest { page_size: 1_000, ..QueryRequest::default() }).await;
            assert_eq!(sequences(&stored), (1..=TOTAL).collect::<Vec<_>>());
            assert!(stored.is_sorted_by(|a, b| a.cursor < b.cursor));
            assert!(stored[0].cursor > 0 && highest < stored[stored.len() - 1].cursor);
            sending.abort();
            drop(reader);
            drop(answers);
            assert_eq!(process.stop(), Some(0));
        } else {
            process.kill();
            sending.abort();
            highest += 1;
        }
    }
}

fn run(arguments: &[&str], directory: &Path) -> Output {
    let address = format!("unix:{}", directory.join("socket").display());
    program().args(arguments).env("MCP_COLLECTOR_ADDRESS", address).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_never_reaches_the_terminal_raw() {
    const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\r\ny\u{2028}";
    let directory = tempfile::tempdir().unwrap();
    let running = start_in(directory, |_| {}).await;
    let mut sensor = running.sensor(1).await;
    let peer = Peer { pid: 1, exe: HOSTILE.to_owned(), name: HOSTILE.to_owned(), address: HOSTILE.to_owned(), ..Peer::default() };
    let call = ToolCall { state: 2, tool: HOSTILE.to_owned(), arguments: HOSTILE.to_owned(), ..ToolCall::default() };
    let mut session = event(1, 1).session.unwrap();
    session.id = HOSTILE.to_owned();
    let hostile =
        Event { client: Some(peer.clone()), server: Some(peer), session: Some(session), body: Some(Body::ToolCall(call)), ..event(1, 1) };
    sensor.send(&[hostile]).await;
    sensor.acked(1).await;
    let path = running.directory.path().to_owned();
    for command in [&["events"][..], &["sessions"], &["sessions", "x"], &["sensors"]] {
        for form in ["", "--json", "--format=csv"] {
            let json = form == "--json";
            let mut arguments = command.to_vec();
            if command == ["sensors"] && form == "--format=csv" {
                continue;
            }
            arguments.extend(Some(form).filter(|form| !form.is_empty()));
            let (arguments, path): (Vec<String>, _) = (arguments.into_iter().map(str::to_owned).collect(), path.clone());
            let shown = arguments.join(" ");
            let output =
                tokio::task::spawn_blocking(move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &path)).await.unwrap();
            assert_eq!(output.status.code(), Some(0), "{shown}: {}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            let text = if form == "--format=csv" { text.replace("\r\n", "\n") } else { text };
            let obeyed = |character: char| (character.is_control() && character != '\n') || matches!(character, '\u{2028}' | '\u{202e}');
            assert!(!text.contains(obeyed), "{shown}: {text:?}");
            assert!(!text.is_empty());
            if json {
                assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{shown}");
            }
        }
    }
}

#[test]
fn exit_codes_are_as_documented() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("c.toml");
    std::fs::write(&config, "[store]\nmax_age = \"soon\"\n").unwrap();
    let config = config.to_str().unwrap();
    let cases: [(&[&str], i32, &str); 11] = [
        (&["serve", "--config", config], 2, "c.toml:2:11: `soon` is no time span"),
        (&["serve", "--listen", "0.0.0.0:1"], 2, "needs encryption"),
        (&["serve", "--listen", "nowhere"], 2, "is no address"),
        (&["tail", "--since", "soon"], 2, "is no time"),
        (&["tail", "--address", "192.0.2.1:1"], 2, "needs encryption"),
        (&["tail"], 4, "cannot reach the collector"),
        (&["health"], 4, "cannot reach the collector"),
        (&["events", "--json", "--format", "csv"], 2, "cannot be used with"),
        (&["events", "--format", "xml"], 2, "[possible values: table, json, csv]"),
        (&["config"], 0, ""),
        (&["completions", "bash"], 0, ""),
    ];
    for (arguments, code, said) in cases {
        let output = run(arguments, directory.path());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    for command in ["serve", "tail", "events", "sessions", "sensors", "replay", "health", "config", "completions"] {
        let output = run(&[command, "--help"], directory.path());
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(help.contains("Example"), "{command}: {help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_prints_each_event_as_it_comes() {
    let running = start().await;
    let address = format!("unix:{}", running.directory.path().join("socket").display());
    let mut sensor = running.sensor(1).await;
    sensor.send(&events(1, 1..=3)).await;
    sensor.acked(3).await;
    let mut child = program()
        .args(["tail", "--json", "--since", "2020-01-01T00:00:00Z", "--address", &address])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        let mut byte = [0];
        while text.iter().filter(|byte| **byte == b'\n').count() < 5 && stdout.read(&mut byte).unwrap() == 1 {
            text.push(byte[0]);
        }
        text
    });
    sensor.send(&events(1, 4..=5)).await;
    let text = String::from_utf8(soon(reading).await.unwrap()).unwrap();
    let found: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["sequence"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, ["1", "2", "3", "4", "5"]);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The program at work, its standard output and error read as they come.
struct Following {
    child: Child,
    lines: tokio::sync::mpsc::UnboundedReceiver<String>,
    said: std::thread::JoinHandle<String>,
}

impl Following {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let address = format!("unix:{}", directory.join("socket").display());
        let mut child =
            program().args(arguments).args(["--address", &address]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = tokio::sync::mpsc::unbounded_channel();
        let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut stderr = child.stderr.take().unwrap();
        let said = std::thread::spawn(move || {
            let mut said = String::new();
            stderr.read_to_string(&mut said).unwrap();
            said
        });
        Self { child, lines, said }
    }

    async fn sequences(&mut self, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        while found.len() < count {
            let line = soon(self.lines.recv()).await.expect("it goes on");
            found.push(serde_json::from_str::<serde_json::Value>(&line).unwrap()["sequence"].as_str().unwrap().to_owned());
        }
        found
    }

    fn end(mut self) -> (Option<i32>, String) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        (status.code(), self.said.join().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_goes_on_after_the_collector_was_killed_and_shows_each_event_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start(directory.path());
    let mut sensor = Sensor::connect(process.channel(directory.path()).await, 1).await.unwrap();
    let mut tail = Following::start(directory.path(), &["tail", "--json", "--since", "2020-01-01T00:00:00Z"]);
    sensor.send(&events(1, 1..=5)).await;
    sensor.acked(5).await;
    assert_eq!(tail.sequences(5).await, ["1", "2", "3", "4", "5"]);
    process.kill();
    drop(sensor);

    let process = Process::start(directory.path());
    let channel = process.channel(directory.path()).await;
    let mut sensor = Sensor::connect(channel, 1).await.unwrap();
    sensor.send(&events(1, 6..=8)).await;
    sensor.acked(8).await;
    assert_eq!(tail.sequences(3).await, ["6", "7", "8"]);
    let (code, said) = tail.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the connection was lost") && said.contains("no events were missed"), "{said}");
    assert_eq!(process.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_tells_where_events_were_missed_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start(directory.path());
    let mut sensor = Sensor::connect(process.channel(directory.path()).await, 1).await.unwrap();
    let mut tail = Following::start(directory.path(), &["tail", "--json", "--since", "2020-01-01T00:00:00Z"]);
    sensor.send(&events(1, 1..=5)).await;
    sensor.acked(5).await;
    assert_eq!(tail.sequences(5).await.len(), 5);
    process.kill();
    drop(sensor);
    // The store is gone, and what came after the tail's cursor with it.
    std::fs::remove_dir_all(directory.path().join("store")).unwrap();
    std::fs::create_dir(directory.path().join("store")).unwrap();
    std::fs::write(directory.path().join("store/events.db"), [0x5a; 4096]).unwrap();

    let process = Process::start(directory.path());
    let mut sensor = Sensor::connect(process.channel(directory.path()).await, 2).await.unwrap();
    sensor.send(&events(2, 1..=2)).await;
    sensor.acked(2).await;
    assert_eq!(tail.sequences(2).await, ["1", "2"]);
    let (code, said) = tail.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("events were missed: cannot go on where it was"), "{said}");
    assert_eq!(process.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_is_not_to_reconnect_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start(directory.path());
    let mut sensor = Sensor::connect(process.channel(directory.path()).await, 1).await.unwrap();
    let mut tail = Following::start(directory.path(), &["tail", "--json", "--no-reconnect", "--since", "2020-01-01T00:00:00Z"]);
    sensor.send(&events(1, 1..=1)).await;
    sensor.acked(1).await;
    assert_eq!(tail.sequences(1).await, ["1"]);
    process.kill();
    let Following { mut child, said, .. } = tail;
    let (status, said) = soon(tokio::task::spawn_blocking(move || (child.wait().unwrap(), said.join().unwrap()))).await.unwrap();
    assert_eq!(status.code(), Some(4), "{said}");
    assert!(said.contains("go on later with: tail --after"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_collector_is_healthy_and_tells_its_own_state() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::write(&tokens, "0123456789abcdef0123\n").unwrap();
    let running = start_in(directory, |settings| settings.security.reader_token_file = Some(tokens.clone())).await;
    let mut sensor = running.sensor(1).await;
    sensor.send(&events(1, 1..=3)).await;
    sensor.acked(3).await;
    let path = running.directory.path().to_owned();
    let (healthy, sensors) = tokio::task::spawn_blocking(move || {
        let tokens = path.join("tokens");
        (run(&["health"], &path), run(&["sensors", "--json", "--token-file", tokens.to_str().unwrap()], &path))
    })
    .await
    .unwrap();
    assert_eq!((healthy.status.code(), healthy.stdout, healthy.stderr), (Some(0), Vec::new(), Vec::new()), "no token is asked for");
    let lines: Vec<serde_json::Value> =
        String::from_utf8(sensors.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["node"]), (2, &serde_json::json!("host")));
    assert_eq!(lines[1]["collector"]["events"], "3");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_replayed_from_the_store_with_what_its_sensor_told() {
    let directory = tempfile::tempdir().unwrap();
    let running = start_in(directory, |settings| settings.store.partition_events = Some(700)).await;
    let mut sensor = running.sensor(1).await;
    // More than a page, other sessions between, and an id that another begins with.
    let told = |sequence: u64| {
        let id = ["abc0000000000000", "abc00000000000001", "abd0000000000000"][(sequence % 3) as usize];
        let call = ToolCall { state: 2, request_id: sequence.to_string(), tool: format!("tool_{sequence}"), ..ToolCall::default() };
        Event { session: Some(Session { id: id.to_owned(), ..Session::default() }), body: Some(Body::ToolCall(call)), ..event(1, sequence) }
    };
    let mut sent: Vec<Event> = (1..=4_000).map(told).collect();
    let count = Count { place: 1, reason: 1, count: 7, bytes: 700 };
    let lost = v1::Sensor { state: 2, loss: Some(Loss { counts: vec![count] }), ..v1::Sensor::default() };
    sent[1_999] = Event { session: None, client: None, server: None, body: Some(Body::Sensor(lost)), ..event(1, 2_000) };
    for part in sent.chunks(500) {
        sensor.send(part).await;
    }
    sensor.acked(4_000).await;
    let path = running.directory.path().to_owned();
    let page = path.join("page.html");
    let file = page.to_str().unwrap().to_owned();
    let outputs = tokio::task::spawn_blocking(move || {
        [
            &["replay", "abc0000000000000", "--json"][..],
            &["replay", "abd", "--lines", "0"],
            &["replay", "abd", "--markdown"],
            &["replay", "abd", "--html", &file],
            &["replay", "abd", "--html", &file],
            &["replay", "abd", "--html", &file, "--force"],
            &["replay", "ab"],
            &["replay", "ffff\u{1b}[2J"],
        ]
        .map(|arguments| run(arguments, &path))
    })
    .await
    .unwrap();
    let text = |output: &Output| {
        (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
    };
    let [json, steps, markdown, html, again, forced, several, none] = outputs;
    let (code, json, stderr) = text(&json);
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
    let calls = |text: &str| (1..=4_000_u64).filter(|sequence| text.contains(&format!("\"tool_{sequence}\""))).collect::<Vec<_>>();
    assert_eq!(calls(&json), (1..=4_000).filter(|sequence| sequence % 3 == 0).collect::<Vec<_>>(), "all of its calls and no others");
    assert!(json.contains("ring buffer"), "what was lost meanwhile is told");
    for shown in [&steps, &markdown] {
        let (code, shown, stderr) = text(shown);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(shown.contains("tool_3998") && !shown.contains("tool_3999"), "{shown}");
    }
    assert_eq!(text(&html).0, Some(0), "{html:?}");
    assert!(std::fs::read_to_string(&page).unwrap().contains("tool_3998"));
    let (code, _, stderr) = text(&again);
    assert!(code == Some(1) && stderr.contains("--force"), "{stderr}");
    assert_eq!(text(&forced).0, Some(0), "{forced:?}");
    let (code, _, stderr) = text(&several);
    assert!(code == Some(1) && stderr.contains("abd0000000000000 on host") && stderr.contains("give more of the id"), "{stderr}");
    let (code, _, stderr) = text(&none);
    assert!(code == Some(1) && stderr.contains("nothing is stored of a session `ffff\u{241b}[2J`"), "{stderr}");
}
