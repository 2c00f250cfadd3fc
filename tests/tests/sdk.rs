//! Real SDKs, live: each server under at least two clients, every message held against what both ends logged.
//!
//! The peers, what each can do and the published servers stand in `tests/peers/matrix.json`.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test: what is not in the matrix fails it")]

use end_to_end::{
    harness::{run, sensor, tests_folder},
    truth::compare::Options,
};
use serde_json::Value;
use std::{collections::BTreeSet, process::Command, sync::OnceLock};

/// What every pair plays, as far as both know it.
const SCENARIOS: [&str; 8] = ["small", "big300k", "concurrent8", "progress", "notify", "errors", "resources", "subscribe"];
/// What takes long enough that one pair a server is enough.
const ONCE: [&str; 2] = ["ask", "big8m"];

fn matrix() -> &'static Value {
    static MATRIX: OnceLock<Value> = OnceLock::new();
    MATRIX.get_or_init(|| {
        let text = std::fs::read(tests_folder().join("peers/matrix.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    })
}

fn peer(name: &str) -> &'static Value {
    let peers = matrix()["peers"].as_array().unwrap();
    peers.iter().find(|peer| peer["name"] == name).unwrap_or_else(|| panic!("{name} is not in the matrix"))
}

fn set(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

fn runner(arguments: &[&str]) -> Command {
    let mut command = Command::new(tests_folder().join("peers/run"));
    command.args(arguments);
    command
}

/// Plays scenarios between two peers and holds the sensor to what they logged.
fn play(client: &str, server: &str, scenarios: &[&str], era: Option<&str>) {
    let known = &set(&peer(client)["scenarios"]["client"]) & &set(&peer(server)["scenarios"]["server"]);
    let scenarios: Vec<_> = scenarios.iter().copied().filter(|scenario| known.contains(scenario)).collect();
    let run_script = tests_folder().join("peers/run");
    let mut command = runner(&[client, "client", "--scenario", &scenarios.join(",")]);
    command.args(era.map(|era| ["--era", era]).into_iter().flatten());
    command.arg("--").arg(run_script).args([server, "server"]);
    held_to_the_truth(&mut command, &format!("{client} to {server}, {}", era.unwrap_or("any era")));
}

fn held_to_the_truth(command: &mut Command, what: &str) {
    let sensor = sensor();
    let folder = tempfile::tempdir().unwrap();
    let status = run(command, folder.path(), what);
    assert!(status.success(), "{what}: the peers themselves failed ({status}): {command:?}");
    let report = sensor.compare(folder.path(), &Options { check_order: false, ..Options::default() });
    assert!(report.found > 0, "{what}: nothing was compared");
    assert!(report.is_right(), "{what}:\n{report}");
    println!("{what}: {} messages right", report.found);
}

/// A server under two clients, in each era that both know.
fn server(name: &str, clients: [&str; 2]) {
    for (turn, client) in clients.into_iter().enumerate() {
        let eras = &set(&peer(client)["eras"]) & &set(&peer(name)["eras"]);
        let eras: Vec<_> = if set(&peer(client)["eras"]).len() > 1 { eras.into_iter().map(Some).collect() } else { vec![None] };
        for era in eras {
            play(client, name, &SCENARIOS, era);
        }
        if turn == 0 {
            play(client, name, &ONCE, None);
        }
    }
}

#[test]
fn python_2_as_server_is_seen_whole() {
    server("python2", ["python2", "node2"]);
}

#[test]
fn python_1_as_server_is_seen_whole() {
    server("python1", ["python1", "node1"]);
}

#[test]
fn node_1_as_server_is_seen_whole() {
    server("node1", ["node1", "python1"]);
}

#[test]
fn node_2_as_server_is_seen_whole() {
    server("node2", ["node2", "go"]);
}

#[test]
fn bun_as_server_is_seen_whole() {
    server("bun1", ["bun1", "rmcp"]);
    server("bun2", ["bun2", "python2"]);
}

#[test]
fn deno_as_server_is_seen_whole() {
    server("deno1", ["deno1", "go"]);
}

#[test]
fn rmcp_as_server_is_seen_whole() {
    server("rmcp", ["rmcp", "node2"]);
    play("python2", "rmcp-pipes", &SCENARIOS, None);
}

#[test]
fn go_as_server_is_seen_whole() {
    server("go", ["go", "bun2"]);
}

#[test]
fn java_as_server_is_seen_whole() {
    server("java", ["python2", "deno1"]);
}

#[test]
fn a_client_that_lives_for_a_moment_is_seen_whole() {
    for client in ["go", "rmcp", "python2"] {
        play(client, "rmcp", &["short"], None);
    }
}

#[test]
fn a_slow_call_keeps_its_answer() {
    play("node1", "python1", &["slow"], None);
}

#[test]
fn published_servers_are_seen_by_their_client() {
    for published in matrix()["published"].as_array().unwrap() {
        let name = published["name"].as_str().unwrap();
        for client in ["python2", "node1"] {
            let mut command = runner(&[client, "client", "--scenario", "calls", "--calls", &published["calls"].to_string()]);
            command.arg("--").arg(tests_folder().join("peers/run")).args(["published", name]);
            held_to_the_truth(&mut command, &format!("{client} to published {name}"));
        }
    }
}
