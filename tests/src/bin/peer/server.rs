//! The server: reads as the laxest one does, answers, logs.

use crate::lax::{Item, Splitter};
use crate::process::{self, pin};
use crate::rpc::{self, REVISION, numbers, text_result};
use crate::shape::Shape;
use crate::speaker::Speaker;
use crate::turn::Turn;
use crate::wire::{self, Inlet, Received, set_nonblocking};
use anyhow::{Result, bail};
use clap::Args;
use end_to_end::truth::{LogWriter, Note, Role, Way};
use serde_json::{Map, Value, json};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// `peer server`
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    pub wire: wire::Options,
    /// Descriptor to read from.
    #[arg(long = "in", default_value_t = 0)]
    pub input: RawFd,
    /// Descriptor to write to.
    #[arg(long = "out", default_value_t = 1)]
    pub output: RawFd,
    /// Form of the answers to tool calls.
    #[arg(long, value_enum, default_value = "lf")]
    pub shape: Shape,
    /// Answers to what one read brought go out in one write.
    #[arg(long)]
    pub coalesce: bool,
    /// A value is one line, as for strict servers: for lines that may be cut short.
    #[arg(long)]
    pub strict_lines: bool,
    /// No end of this server's stream can be read, so nobody can demand that its messages are reported.
    #[arg(long)]
    pub unseeable: bool,
    /// Run on this processor.
    #[arg(long)]
    pub processor: Option<usize>,
}

/// Runs a server until its input ends.
pub fn run(options: &Options) -> Result<()> {
    ignore_hangup();
    if let Some(processor) = options.processor {
        pin(processor);
    }
    let log = Arc::new(LogWriter::open(Role::Server, &process::session())?);
    Server::new(options, log)?.serve(None)
}

/// A terminal's end is told by the end of its stream.
fn ignore_hangup() {
    // SAFETY: ignoring a signal runs no handler.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}

/// A server on two descriptors.
pub struct Server {
    options: Options,
    inlet: Inlet,
    speaker: Arc<Speaker>,
    log: Arc<LogWriter>,
    splitter: Splitter,
    /// Questions asked of the client: their ids, and the ids of the calls that wait for them.
    questions: Vec<(String, Value)>,
    asked: u64,
}

/// A message to say, and whether in the shape of tool answers.
type Answer = (Vec<u8>, bool);

impl Server {
    pub fn new(options: &Options, log: Arc<LogWriter>) -> Result<Self> {
        if options.wire.nonblock {
            set_nonblocking(options.input, true)?;
            set_nonblocking(options.output, true)?;
        }
        let speaker = Speaker::new(options.output, &options.wire, 1, Arc::clone(&log))?;
        speaker.set_optional(options.unseeable);
        Ok(Self {
            inlet: Inlet::new(options.input, &options.wire)?,
            speaker: Arc::new(speaker),
            log,
            splitter: if options.strict_lines { Splitter::strict() } else { Splitter::default() },
            options: options.clone(),
            questions: Vec::new(),
            asked: 0,
        })
    }

    /// Serves until the input ends. Workers of one input take turns: each reads whole messages and answers them in its turn.
    pub fn serve(mut self, turn: Option<&Turn>) -> Result<()> {
        loop {
            if let Some(turn) = turn {
                turn.wait()?;
            }
            let more = self.read_some()?;
            while more && turn.is_some() && !self.splitter.is_empty() && self.read_some()? {}
            if let Some(turn) = turn {
                turn.pass();
            }
            if !more {
                break;
            }
        }
        let rest = std::mem::take(self.splitter.buffer());
        if !rest.trim_ascii().is_empty() {
            self.log.noise(Way::Received, &rest, None);
        }
        self.log.end();
        Ok(())
    }

    /// One read, and the answers to what it completed. False at the end of the input.
    fn read_some(&mut self) -> Result<bool> {
        match self.inlet.read(self.splitter.buffer())? {
            Received::End => return Ok(false),
            Received::Discarded(_) => {
                self.log.blind();
                return Ok(true);
            }
            Received::Bytes(_) => {}
        }
        let mut answers = Vec::new();
        for item in self.splitter.take() {
            match item {
                Item::Noise(bytes) => self.log.noise(Way::Received, &bytes, None),
                Item::Message { bytes, members } => {
                    self.log.message(Way::Received, &bytes, Note::default());
                    self.handle(&members, &mut answers)?;
                }
            }
        }
        self.say(answers)?;
        Ok(true)
    }

    fn say(&self, answers: Vec<Answer>) -> Result<()> {
        let together = self.options.coalesce || self.options.shape.pairs();
        if together && answers.iter().all(|(_, shaped)| *shaped) && !answers.is_empty() {
            let messages: Vec<Vec<u8>> = answers.into_iter().map(|(bytes, _)| bytes).collect();
            return self.speaker.say(0, self.options.shape, &messages);
        }
        for (bytes, shaped) in answers {
            self.speaker.say(0, if shaped { self.options.shape } else { Shape::Lf }, &[bytes])?;
        }
        Ok(())
    }

    fn handle(&mut self, message: &Map<String, Value>, answers: &mut Vec<Answer>) -> Result<()> {
        let null = Value::Null;
        let id = message.get("id").unwrap_or(&null);
        let params = message.get("params").unwrap_or(&null);
        let Some(method) = message.get("method").and_then(Value::as_str) else {
            self.answered(id, message, answers);
            return Ok(());
        };
        if id.is_null() {
            return Ok(());
        }
        let result = match method {
            "initialize" => {
                let wanted = params.get("protocolVersion").and_then(Value::as_str).unwrap_or(REVISION);
                json!({"protocolVersion": wanted, "capabilities": {"tools": {}}, "serverInfo": {"name": "peer-server", "version": "1.0.0"}})
            }
            "server/discover" => json!({
                "supportedVersions": ["2026-07-28", REVISION], "capabilities": {"tools": {}},
                "serverInfo": {"name": "peer-server", "version": "1.0.0"}, "resultType": "complete"
            }),
            "ping" => json!({}),
            "tools/list" => json!({"tools": tools()}),
            "tools/call" => return self.call(id, params, answers),
            _ => {
                answers.push((rpc::error(id, -32601, &format!("no method {method}")), false));
                return Ok(());
            }
        };
        answers.push((rpc::result(id, &result), false));
        Ok(())
    }

    /// An answer to a question: the call that waited for it can be answered.
    fn answered(&mut self, id: &Value, message: &Map<String, Value>, answers: &mut Vec<Answer>) {
        let Some(at) = self.questions.iter().position(|(question, _)| id.as_str() == Some(question)) else { return };
        let (_, call) = self.questions.remove(at);
        let name = message.get("result").and_then(|result| result.pointer("/content/name")).and_then(Value::as_str);
        let text = name.map_or("no answer".to_owned(), |name| format!("hello {name}"));
        answers.push((rpc::result(&call, &text_result(&text, name.is_none())), true));
    }

    fn call(&mut self, id: &Value, params: &Value, answers: &mut Vec<Answer>) -> Result<()> {
        let null = Value::Null;
        let arguments = params.get("arguments").unwrap_or(&null);
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| arguments.get(name).and_then(Value::as_u64).unwrap_or_default();
        let (text, is_error) = match params.get("name").and_then(Value::as_str).unwrap_or_default() {
            "echo" => (text("text").to_owned(), false),
            "big" => (numbers(number("size") as usize), false),
            "sink" => (text("data").len().to_string(), false),
            "fail" => ("failed on purpose".to_owned(), true),
            "error" => {
                answers.push((rpc::error(id, -32050, "error on purpose"), true));
                return Ok(());
            }
            "slow" => return self.slow(id, number("ms")),
            "progress" => {
                let token = params.pointer("/_meta/progressToken").unwrap_or(id);
                let steps = number("steps");
                answers.extend((1..=steps).map(|step| {
                    let params = json!({"progressToken": token, "progress": step, "total": steps, "message": format!("step {step}")});
                    (rpc::notification("notifications/progress", &params), true)
                }));
                (format!("{steps} steps"), false)
            }
            "notify" => {
                let count = number("count");
                answers.extend((1..=count).map(|note| {
                    let params = json!({"level": "info", "logger": "peer", "data": format!("note {note}")});
                    (rpc::notification("notifications/message", &params), true)
                }));
                (format!("{count} notes"), false)
            }
            "ask" => {
                self.asked += 1;
                let question = format!("ask-{}-{}", std::process::id(), self.asked);
                let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
                let params = json!({"message": "What is your name?", "requestedSchema": schema});
                answers.push((rpc::request(&Value::from(question.as_str()), "elicitation/create", &params), true));
                self.questions.push((question, id.clone()));
                return Ok(());
            }
            tool => {
                answers.push((rpc::error(id, -32602, &format!("no tool {tool}")), true));
                return Ok(());
            }
        };
        answers.push((rpc::result(id, &text_result(&text, is_error)), true));
        Ok(())
    }

    /// Answers later, from another thread; other calls go on meanwhile.
    fn slow(&self, id: &Value, milliseconds: u64) -> Result<()> {
        let speaker = Arc::clone(&self.speaker);
        let shape = self.options.shape;
        let answer = rpc::result(id, &text_result(&format!("slept {milliseconds}"), false));
        let spawned = thread::Builder::new().name("slow".to_owned()).spawn(move || {
            thread::sleep(Duration::from_millis(milliseconds));
            if let Err(error) = speaker.say(0, shape, &[answer]) {
                eprintln!("peer {}: late answer: {error:#}", std::process::id());
            }
        });
        match spawned {
            Ok(_) => Ok(()),
            Err(error) => bail!("no thread for a slow call: {error}"),
        }
    }
}

fn tools() -> Value {
    let tool = |name: &str, description: &str, properties: Value| json!({"name": name, "description": description, "inputSchema": {"type": "object", "properties": properties}});
    let (string, number) = (json!({"type": "string"}), json!({"type": "integer"}));
    json!([
        tool("echo", "Returns the text.", json!({"text": string})),
        tool("big", "Returns so many bytes of text.", json!({"size": number})),
        tool("sink", "Returns the length of the data.", json!({"data": string})),
        tool("slow", "Answers after so many milliseconds.", json!({"ms": number})),
        tool("fail", "Fails as a tool fails.", json!({})),
        tool("error", "Fails as a request fails.", json!({})),
        tool("progress", "Reports progress so many times.", json!({"steps": number})),
        tool("notify", "Sends so many log notifications.", json!({"count": number})),
        tool("ask", "Asks the user for a name.", json!({})),
    ])
}
