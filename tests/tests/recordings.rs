//! Recordings of real peers: opened in Wireshark's reader, on a disk that fills up, and said again to a server.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test: what goes wrong fails it")]

use end_to_end::{
    harness::{Sensor, agent, beside, run, tests_folder},
    truth::compare::Options,
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Runs `mcp-sensor`.
fn sensor(arguments: &[&str], file: &Path) -> Output {
    Command::new(agent()).args(arguments).arg(file).output().unwrap()
}

/// The lines that it printed, which it must have ended well for.
fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// The raw peer under a name of its own, by which its sessions are told from those of whatever else runs here.
fn named_peer(folder: &Path) -> (String, PathBuf) {
    let name = format!("peer-{}", std::process::id());
    let path = folder.join(&name);
    fs::copy(beside("peer"), &path).unwrap();
    (name, path)
}

fn record(file: &Path, more: &[&str]) -> &'static Sensor {
    let mut arguments: Vec<OsString> = ["record", "--payload", "full", "--output"].map(Into::into).to_vec();
    arguments.push(file.into());
    arguments.extend(more.iter().map(Into::into));
    Sensor::start(&arguments)
}

/// Plays a session of the raw peer.
fn play(peer: &Path, logs: &Path, session: &str, arguments: &[&str]) {
    let mut command = Command::new(peer);
    command.arg("client").args(arguments).args(["--", "peer", "server"]);
    let status = run(&mut command, logs, session);
    assert!(status.success(), "{session}: {status}");
}

fn right(sensor: &Sensor, logs: &Path) -> usize {
    let report = sensor.compare(logs, &Options::default());
    assert!(report.found > 0 && report.is_right(), "{report}");
    report.found
}

/// Every value of a JSON text by its path, as Wireshark names it, less what it shows its own way: escapes, quotes, white space.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| paths(value, &format!("{path}/{key}"), found)),
        Value::Array(values) => values.iter().for_each(|value| paths(value, &format!("{path}/[]"), found)),
        Value::String(text) => found.push(plain(&format!("{path}:{text}"))),
        other => found.push(plain(&format!("{path}:{other}"))),
    }
}

fn plain(text: &str) -> String {
    text.chars().filter(|char| !char.is_control() && !char.is_whitespace() && !['"', '\\'].contains(char)).collect()
}

/// Without the escapes that Wireshark writes.
fn unescaped(text: &str) -> String {
    let mut chars = text.chars();
    let mut out = String::new();
    while let Some(char) = chars.next() {
        if char == '\\' {
            chars.next();
        } else {
            out.push(char);
        }
    }
    plain(&out)
}

/// What tshark shows of each packet of a stream: its payload as JSON, and the values that it found in it by their paths. And the
/// messages that share a packet, because a process wrote several at once: of these Wireshark dissects the first.
fn tshark(file: &Path) -> (Vec<(Value, Vec<String>)>, Vec<Value>) {
    let output = Command::new("tshark")
        .arg("-r")
        .arg(file)
        .args(["-Y", "exported_pdu.ipv4_src || exported_pdu.ipv6_src", "-T", "fields", "-E", "aggregator=\u{1f}"])
        .args(["-e", "exported_pdu.exported_pdu", "-e", "json.path_with_value"])
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| panic!("tshark: {error}; `cargo xtask setup tests` installs it"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut together = Vec::new();
    let packets = text.lines().filter_map(|line| {
        let (hex, shown) = line.split_once('\t').unwrap();
        // What has no payload tells of bytes that were not captured, or of the reader.
        let bytes: Vec<u8> = (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
        let values: Vec<Value> = serde_json::Deserializer::from_slice(&bytes).into_iter().collect::<Result<_, _>>().unwrap_or_default();
        if values.len() > 1 {
            together.extend(values);
            return None;
        }
        let value = values.into_iter().next()?;
        let mut shown: Vec<String> = shown.split('\u{1f}').map(unescaped).collect();
        shown.sort();
        Some((value, shown))
    });
    (packets.collect(), together)
}

/// Holds what tshark shows of a recording against the messages that its replay tells.
fn tshark_agrees(file: &Path, payload: &str) -> usize {
    let events = lines(&sensor(&["replay", "--json", "--messages", "--payload", payload], file));
    let mut said: Vec<(String, Vec<String>)> = events
        .iter()
        .filter_map(|event| event["message"].get("body"))
        .map(|body| {
            let mut found = Vec::new();
            paths(body, "", &mut found);
            found.sort();
            (body.to_string(), found)
        })
        .collect();
    let count = said.len();
    let (alone, together) = tshark(file);
    let mut shown: Vec<(String, Vec<String>)> = alone.into_iter().map(|(value, shown)| (value.to_string(), shown)).collect();
    for value in together.iter().map(Value::to_string) {
        let place = said.iter().position(|(text, _)| *text == value);
        said.swap_remove(place.unwrap_or_else(|| panic!("{}: no event tells of {value}", file.display())));
    }
    for message in &said {
        let place = shown.iter().position(|packet| packet == message);
        shown.swap_remove(place.unwrap_or_else(|| panic!("{}: no packet is {message:?}", file.display())));
    }
    // What both ends of a stream showed is in the file twice; a replay takes it once.
    for packet in &shown {
        assert!(said.contains(packet), "{}: no event tells of {packet:?}", file.display());
    }
    count
}

#[test]
fn wireshark_dissects_live_cases_to_the_messages_of_their_events() {
    let folder = tempfile::tempdir().unwrap();
    let logs = tempfile::tempdir().unwrap();
    let (name, peer) = named_peer(folder.path());
    let (full, redacted) = (folder.path().join("full.pcapng"), folder.path().join("redacted.pcapng"));
    let sensor_now = record(&full, &["--level", "full", "--process", &name]);
    for transport in ["pipe", "socketpair", "unix", "pty", "tcp4", "tcp6"] {
        // Messages that are one call each: what is a packet is a message then.
        play(&peer, logs.path(), transport, &["--transport", transport, "--calls", "24"]);
    }
    let found = right(sensor_now, logs.path());
    assert!(sensor_now.stop().success());
    let verified = sensor(&["verify"], &full);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    assert_eq!(tshark_agrees(&full, "full"), found);
    let made = Command::new(agent()).args(["replay", "--json", "--output"]).args([&redacted, &full]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(tshark_agrees(&redacted, "redacted"), found);
}

/// A small file system that ends with this value.
struct Small(tempfile::TempDir);

impl Small {
    fn new(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=0700");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).status().unwrap();
        assert!(status.success(), "mounting a small file system: {status}");
        Self(folder)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_that_fills_up_costs_the_recording_its_end_and_the_events_nothing() {
    let disk = Small::new("4m");
    let logs = tempfile::tempdir().unwrap();
    let file = disk.0.path().join("full.pcapng");
    let sensor_now = record(&file, &["--level", "full"]);
    let peer = beside("peer");
    play(&peer, logs.path(), "much", &["--tool", "echo", "--size", "20000", "--calls", "300"]);
    let lost = sensor_now.event("the loss", |event| recording_loss(event, "WRITE_FAILED") > 0);
    println!("told: {}", lost["sensor"]["loss"]);
    play(&peer, logs.path(), "behind", &["--calls", "24"]);
    let found = right(sensor_now, logs.path());
    assert!(found > 600, "{found}");
    sensor_now.stop();
    // What reached the disk can be read to the last whole block, and is not taken for all.
    assert_eq!(sensor(&["verify"], &file).status.code(), Some(1));
    let events = lines(&sensor(&["replay", "--json", "--messages"], &file));
    let messages = events.iter().filter(|event| event.get("message").is_some()).count();
    assert!(messages > 20, "{messages} messages in {} bytes", file.metadata().unwrap().len());
}

/// Items that a sensor's event says its recording lost for this reason.
fn recording_loss(event: &Value, reason: &str) -> u64 {
    let counts = event["sensor"]["loss"]["counts"].as_array();
    let of = counts.into_iter().flatten().find(|count| count["place"] == "RECORDING" && count["reason"] == reason);
    of.and_then(|count| count["count"].as_str()?.parse().ok()).unwrap_or(0)
}

/// Says a recorded session again to a server; gives how that ended and the report.
fn against(file: &Path, session: &str, server: &str) -> (Option<i32>, Value) {
    let mut command = Command::new(agent());
    command.arg("replay").arg(file).args(["--session", session, "--against", server, "--yes", "--json"]);
    let output = command.output().unwrap();
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| panic!("{command:?}: {error}\n{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), report)
}

#[test]
fn a_session_said_again_to_its_server_is_the_same_and_to_an_altered_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("full.pcapng");
    let sensor_now = record(&file, &["--level", "full"]);
    let script = tests_folder().join("peers/run");
    // A client and servers of real SDKs.
    let logs: Vec<_> = ["go", "python1", "node2"].map(|server| (server, tempfile::tempdir().unwrap())).into_iter().collect();
    for (server, logs) in &logs {
        let mut command = Command::new(&script);
        command.args(["python1", "client", "--scenario", "small,errors,progress,concurrent8", "--"]).arg(&script).args([server, "server"]);
        assert!(run(&mut command, logs.path(), server).success(), "{server}");
        let report = sensor_now.compare(logs.path(), &Options { check_order: false, ..Options::default() });
        assert!(report.found > 0 && report.is_right(), "{server}: {report}");
    }
    assert!(sensor_now.stop().success());
    let events = lines(&sensor(&["replay", "--json"], &file));
    for (server, logs) in &logs {
        let pids: BTreeSet<u64> =
            end_to_end::truth::TruthLog::read_directory(logs.path()).unwrap().iter().map(|log| log.pid.into()).collect();
        let theirs = events.iter().find(|event| event["server"]["pid"].as_u64().is_some_and(|pid| pids.contains(&pid))).unwrap();
        let session = theirs["session"]["id"].as_str().unwrap();
        let again = format!("{} {server} server", script.display());
        let (code, report) = against(&file, session, &again);
        assert_eq!(code, Some(0), "{server}: {report:#}");
        // The same server, but one of its tools says something else than it did.
        let altered = format!("sh -c '{again} | sed -u s/hello/other/g'");
        let (code, report) = against(&file, session, &altered);
        assert_eq!(code, Some(1), "{server}: {report:#}");
    }
}
