//! The scenarios.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::client::{Connection, ServiceError};
use crate::content::{DOCUMENT_TEXT, DOCUMENT_URI, numbers};
use crate::truth::TruthLog;

const NAMES: [&str; 15] = [
    "small", "big300k", "big8m", "concurrent8", "progress", "notify", "errors", "ask", "resources", "subscribe", "short",
    "slow", "idle", "loop", "calls",
];

const TEXTS: [&str; 3] = [
    "hello",
    "grüße 漢字 🚀 \u{2028} <b>&amp;</b> ñ",
    "quote \" backslash \\ slash / tab \t newline \n return \r bell \x07 escape \x1b nul \x00 delete \x7f",
];

/// The server offers nothing to run the scenario with.
#[derive(Debug)]
pub struct Unsupported(String);

impl std::fmt::Display for Unsupported {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "no tool {}", self.0)
    }
}

impl std::error::Error for Unsupported {}

pub struct Options {
    pub names: Vec<String>,
    pub era: String,
    pub count: u32,
    pub pause: Duration,
    pub calls: String,
    pub timeout: Duration,
    pub command: Vec<String>,
}

impl Options {
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            names: vec!["small".into()],
            era: "auto".into(),
            count: 10,
            pause: Duration::from_millis(100),
            calls: "[]".into(),
            timeout: Duration::from_secs(300),
            command: Vec::new(),
        };
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            if name == "--" {
                options.command = arguments.cloned().collect();
                break;
            }
            let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--scenario" => options.names = value.split(',').map(str::to_owned).collect(),
                "--era" => options.era = value.clone(),
                "--count" => options.count = value.parse()?,
                "--pause-ms" => options.pause = Duration::from_millis(value.parse()?),
                "--calls" => options.calls = value.clone(),
                "--timeout" => options.timeout = Duration::from_secs_f64(value.parse()?),
                _ => bail!("no option {name}"),
            }
        }
        for name in &options.names {
            ensure!(NAMES.contains(&name.as_str()), "no scenario {name}; there are {}", NAMES.join(", "));
        }
        ensure!(["auto", "legacy", "modern"].contains(&options.era.as_str()), "no era {}", options.era);
        ensure!(!options.command.is_empty(), "no server command after --");
        Ok(options)
    }

    fn names_any(&self, names: &[&str]) -> bool {
        self.names.iter().any(|name| names.contains(&name.as_str()))
    }
}

pub async fn until(condition: impl Fn() -> bool, what: &str, seconds: f64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    while !condition() {
        ensure!(Instant::now() < deadline, "not within {seconds} s: {what}");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn ready() {
    eprintln!("ready");
}

async fn gate(options: &Options) -> Result<()> {
    match std::env::var("GATE") {
        Ok(path) => until(|| Path::new(&path).exists(), &format!("the gate {path}"), options.timeout.as_secs_f64()).await,
        Err(_) => Ok(()),
    }
}

async fn expect(c: &Connection, tool: &str, arguments: Value, wanted: &str) -> Result<()> {
    let (text, is_error) = c.call(tool, arguments).await.with_context(|| tool.to_owned())?;
    ensure!(!is_error && text == wanted, "{tool}: {:?}", text.chars().take(200).collect::<String>());
    Ok(())
}

async fn offers(c: &Connection, tool: &str) -> Result<()> {
    if !c.tools().await?.contains(tool) {
        return Err(Unsupported(tool.to_owned()).into());
    }
    Ok(())
}

async fn small(c: &Connection) -> Result<()> {
    offers(c, "echo").await?;
    for text in TEXTS {
        expect(c, "echo", json!({"text": text}), text).await?;
    }
    Ok(())
}

async fn large(c: &Connection, size: usize) -> Result<()> {
    expect(c, "big", json!({"size": size}), &numbers(size)).await?;
    expect(c, "sink", json!({"data": numbers(size)}), &size.to_string()).await
}

async fn concurrent8(c: &Connection) -> Result<()> {
    let calls = (0..8).map(|n| async move {
        if n % 2 == 1 {
            let ms = 50 * (8 - n);
            expect(c, "slow", json!({"ms": ms}), &format!("slept {ms}")).await
        } else {
            let text = format!("concurrent {n}");
            expect(c, "echo", json!({"text": text}), &text).await
        }
    });
    futures::future::try_join_all(calls).await.map(|_| ())
}

async fn progress(c: &Connection) -> Result<()> {
    // This SDK asks for progress on every request.
    let before = c.inbox.progress.load(Ordering::SeqCst);
    expect(c, "progress", json!({"steps": 5}), "5 steps").await?;
    until(|| c.inbox.progress.load(Ordering::SeqCst) == before + 5, "5 progress notifications", 10.0).await
}

async fn notify(c: &Connection) -> Result<()> {
    c.set_level().await?;
    let before = c.inbox.notes.load(Ordering::SeqCst);
    expect(c, "notify", json!({"count": 3}), "3 notes").await?;
    until(|| c.inbox.notes.load(Ordering::SeqCst) == before + 3, "3 log notifications", 10.0).await
}

fn refused<T: std::fmt::Debug>(result: Result<T, ServiceError>) -> Result<String> {
    match result {
        Err(ServiceError::McpError(error)) => Ok(error.message.into_owned()),
        other => bail!("not refused: {other:?}"),
    }
}

async fn errors(c: &Connection) -> Result<()> {
    let (text, is_error) = c.call("fail", json!({})).await?;
    ensure!(is_error && text.contains("on purpose"), "fail: {text}");
    if c.tools().await?.contains("error") {
        let message = refused(c.call("error", json!({})).await)?;
        ensure!(message.contains("on purpose"), "error: {message}");
    }
    match c.call("no_such_tool", json!({})).await {
        Ok((_, true)) => {}
        other => _ = refused(other)?,
    }
    refused(c.unknown_method().await).map(|_| ())
}

async fn ask(c: &Connection) -> Result<()> {
    offers(c, "ask").await?;
    expect(c, "ask", json!({}), "hello Ada").await
}

async fn resources(c: &Connection) -> Result<()> {
    ensure!(c.resources().await?.contains(DOCUMENT_URI), "the document is not listed");
    ensure!(c.read(DOCUMENT_URI).await? == DOCUMENT_TEXT, "the document says something else");
    Ok(())
}

async fn subscribe(c: &Connection) -> Result<()> {
    offers(c, "touch").await?;
    let mut subscribed = c.subscribe(DOCUMENT_URI).await?;
    c.inbox.updated.store(0, Ordering::SeqCst);
    expect(c, "touch", json!({}), "touched").await?;
    c.updated(&mut subscribed).await?;
    c.unsubscribe(subscribed, DOCUMENT_URI).await
}

async fn idle(c: &Connection, options: &Options) -> Result<()> {
    expect(c, "echo", json!({"text": "before"}), "before").await?;
    ready();
    gate(options).await?;
    expect(c, "echo", json!({"text": "after"}), "after").await
}

async fn repeat(c: &Connection, options: &Options) -> Result<()> {
    ready();
    gate(options).await?;
    for number in 0..options.count {
        let text = format!("call {number}");
        expect(c, "echo", json!({"text": text}), &text).await?;
        sleep(options.pause).await;
    }
    Ok(())
}

async fn calls(c: &Connection, options: &Options) -> Result<()> {
    let calls: Vec<Value> = serde_json::from_str(&options.calls)?;
    let tools = c.tools().await?;
    for call in calls {
        let tool = call["tool"].as_str().context("a call without a tool")?;
        ensure!(tools.contains(tool), "no tool {tool} among {tools:?}");
        let arguments = call.get("arguments").cloned().unwrap_or_else(|| json!({}));
        let (text, is_error) = match c.call(tool, arguments).await {
            Ok(answer) => answer,
            Err(ServiceError::McpError(error)) => (error.message.into_owned(), true),
            Err(error) => return Err(error.into()),
        };
        ensure!(is_error == call["isError"].as_bool().unwrap_or(false), "{tool}: {text}");
        ensure!(text.contains(call["contains"].as_str().unwrap_or("")), "{tool}: {text}");
    }
    Ok(())
}

pub async fn run(c: &Connection, options: &Options, log: &Arc<TruthLog>) -> Result<()> {
    if !options.names_any(&["idle", "loop"]) {
        ready();
    }
    for name in &options.names {
        log.set_scenario(name);
        match name.as_str() {
            "small" => small(c).await,
            "big300k" => large(c, 300_000).await,
            "big8m" => large(c, 8_000_000).await,
            "concurrent8" => concurrent8(c).await,
            "progress" => progress(c).await,
            "notify" => notify(c).await,
            "errors" => errors(c).await,
            "ask" => ask(c).await,
            "resources" => resources(c).await,
            "subscribe" => subscribe(c).await,
            "short" => expect(c, "echo", json!({"text": "short"}), "short").await,
            "slow" => expect(c, "slow", json!({"ms": 7000}), "slept 7000").await,
            "idle" => idle(c, options).await,
            "loop" => repeat(c, options).await,
            "calls" => calls(c, options).await,
            _ => unreachable!("checked when the options were read"),
        }?;
        println!("{}", json!({"scenario": name, "ok": true}));
    }
    Ok(())
}
