//! A small conversation to look at: an assistant that works with a few tools. Endless, until SIGINT, SIGTERM, or the end of its parent.

use crate::process;
use crate::rpc::{self, REVISION};
use crate::transport::{Ends, Transport};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::thread;
use std::time::{Duration, Instant};

/// `peer demo`
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Milliseconds between calls.
    #[arg(long, default_value_t = 500)]
    pause_ms: u64,
    /// End after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// What carries the bytes.
    #[arg(long, value_enum, default_value = "pipe")]
    transport: Transport,
}

/// Runs both processes.
pub fn run(options: &Options) -> Result<()> {
    process::end_with_parent();
    let Ends { client_in, client_out, server, .. } = options.transport.open()?;
    let (server_in, server_out, _) = server.accept()?;
    let mut ends = Some((client_in, client_out));
    let server = process::fork(|| {
        ends.take();
        process::end_with_parent();
        process::rename("demo-server")?;
        serve(File::from(server_in), File::from(server_out))
    })?;
    println!("client {} and server {server} talk over a {:?}. Ctrl-C ends both.", std::process::id(), options.transport);
    process::rename("demo-client")?;
    let (client_in, client_out) = ends.context("the client's ends")?;
    ask(options, File::from(client_in), File::from(client_out))?;
    match process::join(server)? {
        0 => Ok(()),
        code => bail!("the server ended with {code}"),
    }
}

/// What is called in turn: tool and arguments.
fn calls() -> Vec<(&'static str, Value)> {
    vec![
        ("read_file", json!({"path": "/home/ada/notes/plan.md"})),
        ("search_issues", json!({"query": "is:open label:bug", "limit": 5})),
        ("read_file", json!({"path": "/home/ada/.ssh/config"})),
        ("run_query", json!({"database": "orders", "sql": "SELECT count(*) FROM orders WHERE state = 'open'"})),
        // No real key: the shape is what matters.
        ("deploy", json!({"service": "shop", "token": "ghp_000000000000000000000000000000000000", "region": "eu-west-1"})),
        ("read_file", json!({"path": "/does/not/exist"})),
        ("fetch", json!({"url": "https://example.com/?api_key=sk-demo-0000000000000000"})),
        ("slow_build", json!({"target": "release"})),
        ("no_such_tool", json!({})),
        ("send_mail", json!({"to": "grace@example.com", "subject": "status", "body": "All green."})),
    ]
}

fn ask(options: &Options, input: File, mut output: File) -> Result<()> {
    let mut lines = BufReader::new(input).lines();
    let mut next = 0_u64;
    let mut request = |method: &str, params: &Value| -> Result<Value> {
        let id = Value::from(next);
        next += 1;
        output.write_all(&[rpc::request(&id, method, params), b"\n".to_vec()].concat())?;
        if method == "initialize" {
            let answer = lines.next().context("the server ended")??;
            output.write_all(&[rpc::notification("notifications/initialized", &Value::Null), b"\n".to_vec()].concat())?;
            return Ok(serde_json::from_str(&answer)?);
        }
        loop {
            let answer: Value = serde_json::from_str(&lines.next().context("the server ended")??)?;
            if answer.get("id") == Some(&id) {
                return Ok(answer);
            }
        }
    };
    let deadline = options.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    request(
        "initialize",
        &json!({"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "demo-assistant", "version": "1.0.0"}}),
    )?;
    request("tools/list", &json!({}))?;
    for (tool, arguments) in calls().into_iter().cycle() {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
        request("tools/call", &json!({"name": tool, "arguments": arguments}))?;
        thread::sleep(Duration::from_millis(options.pause_ms));
    }
    Ok(())
}

fn serve(input: File, mut output: File) -> Result<()> {
    for line in BufReader::new(input).lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let Some(id) = message.get("id") else { continue };
        let answer = match message.get("method").and_then(Value::as_str).unwrap_or_default() {
            "initialize" => rpc::result(
                id,
                &json!({"protocolVersion": REVISION, "capabilities": {"tools": {}}, "serverInfo": {"name": "demo-tools", "version": "1.0.0"}}),
            ),
            "tools/list" => {
                let names = ["read_file", "search_issues", "run_query", "deploy", "fetch", "slow_build", "send_mail"];
                let tools: Vec<Value> = names
                    .iter()
                    .map(|name| json!({"name": name, "description": format!("Demo: {name}."), "inputSchema": {"type": "object"}}))
                    .collect();
                rpc::result(id, &json!({"tools": tools}))
            }
            "tools/call" => call(id, &message, &mut output)?,
            method => rpc::error(id, -32601, &format!("no method {method}")),
        };
        output.write_all(&[answer, b"\n".to_vec()].concat())?;
    }
    Ok(())
}

fn call(id: &Value, message: &Value, output: &mut File) -> Result<Vec<u8>> {
    let argument = |name: &str| message.pointer(&format!("/params/arguments/{name}")).and_then(Value::as_str).unwrap_or_default();
    let text = match message.pointer("/params/name").and_then(Value::as_str).unwrap_or_default() {
        "read_file" if argument("path").starts_with("/does") => {
            return Ok(rpc::result(id, &rpc::text_result(&format!("{}: no such file", argument("path")), true)));
        }
        "read_file" => format!("# {}\n\n- ship the release\n- call Grace\n", argument("path")),
        "search_issues" => "#12 crash on empty input\n#15 wrong total in the cart".to_owned(),
        "run_query" => "count\n-----\n   42".to_owned(),
        "deploy" => format!("{} deployed to {}", argument("service"), argument("region")),
        "fetch" => "<html><body>Hello</body></html>".to_owned(),
        "slow_build" => {
            for step in 1..=3 {
                thread::sleep(Duration::from_millis(400));
                let params = json!({"level": "info", "data": format!("build step {step} of 3")});
                output.write_all(&[rpc::notification("notifications/message", &params), b"\n".to_vec()].concat())?;
            }
            "built in 1.2 s".to_owned()
        }
        "send_mail" => format!("sent to {}", argument("to")),
        tool => return Ok(rpc::error(id, -32602, &format!("no tool {tool}"))),
    };
    Ok(rpc::result(id, &rpc::text_result(&text, false)))
}
