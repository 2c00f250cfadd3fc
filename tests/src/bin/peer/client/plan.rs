//! What the client asks, and what it must hear.

use super::{Handshake, Options};
use crate::rpc::{self, REVISION, numbers};
use crate::shape::Shape;
use anyhow::{Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

/// What to call.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Tool {
    /// Each of the tools in turn, and requests that are no tool calls.
    Mixed,
    Echo,
    /// A big result.
    Big,
    /// A big argument.
    Sink,
    Slow,
    Progress,
    Ask,
    /// Methods that no revision knows.
    Unknown,
}

/// What the answer must be.
#[derive(Clone, Debug)]
pub enum Expect {
    Text(String),
    ToolError,
    Error(i64),
    Result,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    pub id: Value,
    method: String,
    params: Value,
    expect: Expect,
}

impl Call {
    pub fn new(id: Value, method: &str, params: Value, expect: Expect) -> Self {
        Self { id, method: method.to_owned(), params, expect }
    }

    pub fn message(&self) -> Vec<u8> {
        rpc::request(&self.id, &self.method, &self.params)
    }

    /// Whether the answer is right.
    pub fn check(&self, answer: &Value) -> Result<()> {
        let text = answer.pointer("/result/content/0/text").and_then(Value::as_str);
        let is_error = answer.pointer("/result/isError").and_then(Value::as_bool).unwrap_or(false);
        let right = match &self.expect {
            Expect::Text(wanted) => text == Some(wanted) && !is_error,
            Expect::ToolError => is_error,
            Expect::Error(code) => answer.pointer("/error/code").and_then(Value::as_i64) == Some(*code),
            Expect::Result => answer.get("result").is_some(),
        };
        if !right {
            let answer = answer.to_string();
            let shown: String = answer.chars().take(300).collect();
            bail!("{} {} was answered with {shown} ({} bytes), not as {:.100?}", self.method, self.id, answer.len(), self.expect);
        }
        Ok(())
    }
}

/// The members that each request carries since 2026-07-28.
pub fn with_meta(mut params: Value) -> Value {
    if let Some(members) = params.as_object_mut() {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "peer-client", "version": "1.0.0"}});
        members.insert("_meta".to_owned(), meta);
    }
    params
}

/// The calls that the options ask for.
pub fn calls(options: &Options, next: &mut u64) -> Vec<Call> {
    (0..options.calls)
        .map(|number| {
            let id = options.shape.id(*next);
            *next += 1;
            one(options, number, id)
        })
        .collect()
}

fn one(options: &Options, number: usize, id: Value) -> Call {
    let kind = if options.tool == Tool::Mixed { MIXED[number % MIXED.len()] } else { Kind::of(options.tool, number) };
    let kind = if options.shape == Shape::Lf { kind } else { kind.shaped(number) };
    let text = numbers(options.size);
    let tool = |name: &str, arguments: Value, expect| {
        let mut params = json!({"name": name, "arguments": arguments});
        if options.handshake == Handshake::Discover {
            params = with_meta(params);
        }
        if name == "progress" {
            params["_meta"]["progressToken"] = id.clone();
        }
        Call::new(id.clone(), "tools/call", params, expect)
    };
    let asked = |text: String| Expect::Text(text);
    match kind {
        Kind::Echo => {
            // Each call differs, so that no two messages of a session are equal.
            let text = format!("{number} {text} grüße 漢字 \" \\ / \n <b>");
            tool("echo", json!({"text": text}), asked(text))
        }
        Kind::Big => tool("big", json!({"size": options.size}), asked(text)),
        Kind::Sink => tool("sink", json!({"data": text}), asked(text.len().to_string())),
        Kind::Slow => tool("slow", json!({"ms": options.slow_ms}), asked(format!("slept {}", options.slow_ms))),
        Kind::Progress => tool("progress", json!({"steps": 3}), asked("3 steps".to_owned())),
        Kind::Notify => tool("notify", json!({"count": 2}), asked("2 notes".to_owned())),
        Kind::Ask => tool("ask", json!({}), asked("hello Ada".to_owned())),
        Kind::Fail => tool("fail", json!({}), Expect::ToolError),
        Kind::Error => tool("error", json!({}), Expect::Error(-32050)),
        Kind::List => Call::new(id, "tools/list", json!({}), Expect::Result),
        Kind::Ping => Call::new(id, "ping", Value::Null, Expect::Result),
        Kind::Unknown => {
            Call::new(id, &format!("vendor.example/unknown-{number}"), json!({"protocolVersion": REVISION}), Expect::Error(-32601))
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Echo,
    Big,
    Sink,
    Slow,
    Progress,
    Notify,
    Ask,
    Fail,
    Error,
    List,
    Ping,
    Unknown,
}

const MIXED: [Kind; 12] = [
    Kind::List,
    Kind::Echo,
    Kind::Sink,
    Kind::Big,
    Kind::Progress,
    Kind::Ask,
    Kind::Fail,
    Kind::Error,
    Kind::Notify,
    Kind::Slow,
    Kind::Ping,
    Kind::Unknown,
];

impl Kind {
    fn of(tool: Tool, number: usize) -> Self {
        match tool {
            Tool::Mixed | Tool::Echo => Self::Echo,
            Tool::Big => Self::Big,
            Tool::Sink => Self::Sink,
            Tool::Slow => Self::Slow,
            Tool::Progress => Self::Progress,
            Tool::Ask => Self::Ask,
            Tool::Unknown if number % 4 == 3 => Self::Echo,
            Tool::Unknown => Self::Unknown,
        }
    }

    /// Shapes are about tool calls that answer at once.
    fn shaped(self, number: usize) -> Self {
        match self {
            Self::Echo | Self::Sink | Self::Big | Self::Progress | Self::Fail | Self::Error => self,
            _ if number.is_multiple_of(2) => Self::Sink,
            _ => Self::Echo,
        }
    }
}
