//! Subscribers that are not of this project: code made from the contract, and tools that know only what the collector tells.

use super::{
    collector::{ADDRESS, Collector, call_tools, peers},
    package::repository,
    process::{Lines, command, output, wait_for},
};
use end_to_end::harness::beside;
use serde_json::{Value, json};

#[test]
fn the_example_subscriber_prints_each_tool_call() {
    let python = peers().join("python-grpc/bin/python");
    let made = tempfile::tempdir().unwrap();
    let contract = "set -eu; python=$1; cd \"$2\"; \"$python\" -m grpc_tools.protoc -I proto --python_out=\"$3\" --grpc_python_out=\"$3\" \
                    proto/mcp_sensor/v1/*.proto";
    output(command("sh").args(["-c", contract, "sh"]).arg(&python).arg(repository()).arg(made.path()));

    let collector = Collector::start();
    let mut subscriber = collector.enter(&python.to_string_lossy());
    subscriber.arg(repository().join("deploy/examples/subscriber.py")).arg(ADDRESS).arg(collector.token("reader"));
    let mut subscriber = Lines::start(subscriber.env("PYTHONPATH", made.path()));
    wait_for("the subscription", || (collector.subscribers() == 1).then_some(()));
    call_tools();
    let peer = beside("peer").display().to_string();
    let line = format!("{peer} {peer} echo {{");
    subscriber.line("the answered call", |said| (said.contains(&line) && said.ends_with(" COMPLETED")).then_some(()));
}

#[test]
fn a_client_that_knows_nothing_of_the_contract_lists_subscribes_and_queries() {
    let collector = Collector::start();
    let services = output(collector.grpcurl().args([ADDRESS, "list"]));
    for service in ["mcp_sensor.v1.CollectorService", "mcp_sensor.v1.IngestService", "grpc.health.v1.Health"] {
        assert!(services.lines().any(|line| line == service), "{services}");
    }

    call_tools();
    let begin = json!({"filter": {"kinds": ["TOOL_CALL"]}, "from": "2000-01-01T00:00:00Z"}).to_string();
    let mut subscription = Lines::start(collector.grpcurl().args(["-d", &begin, ADDRESS, "mcp_sensor.v1.CollectorService/Subscribe"]));
    subscription.line("the tool", |line| (line.trim() == r#""tool": "echo","#).then_some(()));

    let wanted = json!({"filter": {"tools": ["ech*"]}, "pageSize": 10}).to_string();
    let page = output(collector.grpcurl().args(["-d", &wanted, ADDRESS, "mcp_sensor.v1.CollectorService/Query"]));
    let page: Value = serde_json::from_str(&page).unwrap();
    assert!(page["events"].as_array().is_some_and(|events| !events.is_empty()), "{page:#}");

    let health = output(collector.grpcurl().args([ADDRESS, "grpc.health.v1.Health/Check"]));
    assert!(health.contains("SERVING"), "{health}");
}
