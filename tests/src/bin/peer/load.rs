//! Paced load: pairs of processes that exchange calls, for tests of loss and for benches. No truth log: counts only.

use crate::process;
use crate::rpc::{self, numbers};
use crate::transport::{Ends, Transport, pipe};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// `peer load`
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Messages a second in all, requests and answers.
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Pairs of a client and a server.
    #[arg(long, default_value_t = 1)]
    sessions: u64,
    /// Bytes of each request and of each answer.
    #[arg(long, default_value_t = 300)]
    size: usize,
    /// Wait for the answer before the next request, however late that makes it. Otherwise as many as fit the transport are under way.
    #[arg(long)]
    wait: bool,
    /// What carries the bytes.
    #[arg(long, value_enum, default_value = "pipe")]
    transport: Transport,
}

/// What one client did.
#[derive(Default)]
struct Count {
    requests: u64,
    answers: u64,
    request_bytes: u64,
    answer_bytes: u64,
    /// Longest time from a request's due moment to its write, in microseconds.
    late_us: u64,
}

/// Requests and answers are counted apart from the handshake, which is 3 messages a session.
pub fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..options.sessions.max(1) {
        let (report, answer) = pipe()?;
        let pid = process::fork(|| {
            process::end_with_parent();
            session(options, answer)
        })?;
        clients.push((pid, report));
    }
    let mut all = Vec::new();
    for (pid, report) in clients {
        let mut text = String::new();
        File::from(report).read_to_string(&mut text)?;
        if process::join(pid)? != 0 {
            bail!("client {pid} failed");
        }
        all.push(serde_json::from_str::<Value>(&text).context("a client's report")?);
    }
    let sum = |name: &str| all.iter().filter_map(|report| report[name].as_u64()).sum::<u64>();
    let most = |name: &str| all.iter().filter_map(|report| report[name].as_u64()).max().unwrap_or_default();
    let (requests, answers) = (sum("requests"), sum("answers"));
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({"rate": options.rate, "seconds": seconds, "sessions": options.sessions, "size": options.size,
            "messages": requests + answers, "requests": requests, "answers": answers,
            "handshakeMessages": 3 * options.sessions, "bytes": sum("requestBytes") + sum("answerBytes"),
            "messagesPerSecond": ((requests + answers) as f64 / seconds).round(), "latestMicroseconds": most("lateUs"),
            "clients": all.iter().map(|report| &report["pid"]).collect::<Vec<_>>(),
            "servers": all.iter().map(|report| &report["server"]).collect::<Vec<_>>()})
    );
    Ok(())
}

/// A client, which forks its server.
fn session(options: &Options, report: OwnedFd) -> Result<()> {
    let Ends { client_in, client_out, server, .. } = options.transport.open()?;
    let (server_in, server_out, _) = server.accept()?;
    let mut ends = Some((client_in, client_out));
    let size = options.size;
    let server = process::fork(|| {
        ends.take();
        process::end_with_parent();
        serve(File::from(server_in), File::from(server_out), size)
    })?;
    let (client_in, client_out) = ends.context("the client's ends")?;
    let count = ask(options, &File::from(client_in), File::from(client_out))?;
    if process::join(server)? != 0 {
        bail!("server {server} failed");
    }
    let Count { requests, answers, request_bytes, answer_bytes, late_us } = count;
    let text = json!({"pid": std::process::id(), "server": server, "requests": requests, "answers": answers,
        "requestBytes": request_bytes, "answerBytes": answer_bytes, "lateUs": late_us});
    File::from(report).write_all(text.to_string().as_bytes())?;
    Ok(())
}

/// A message whose id can be put in place: what stands before and behind it.
struct Template {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Template {
    /// `make` makes the message with an id and a filling text; it is filled to `size` bytes with ids of 10 digits, without the line end.
    fn new(size: usize, make: impl Fn(&Value, &str) -> Vec<u8>) -> Result<Self> {
        const ID: u64 = 1_000_000_000;
        let filled = |text: &str| make(&Value::from(ID), text);
        let text = numbers(size.saturating_sub(filled("").len()));
        let message = filled(&text);
        let id = ID.to_string();
        let at = message.windows(id.len()).rposition(|part| part == id.as_bytes()).context("no id")?;
        let (head, tail) = message.split_at(at);
        Ok(Self { head: head.to_vec(), tail: [&tail[id.len()..], b"\n"].concat() })
    }

    fn put(&self, id: u64, into: &mut Vec<u8>) {
        into.clear();
        into.extend_from_slice(&self.head);
        into.extend_from_slice((1_000_000_000 + id).to_string().as_bytes());
        into.extend_from_slice(&self.tail);
    }
}

fn request_template(size: usize) -> Result<Template> {
    Template::new(size, |id, text| rpc::request(id, "tools/call", &json!({"name": "echo", "arguments": {"text": text}})))
}

fn answer_template(size: usize) -> Result<Template> {
    Template::new(size, |id, text| rpc::result(id, &rpc::text_result(text, false)))
}

/// Lines of a stream, counted; the last bytes of each read belong to the next.
#[derive(Default)]
struct Lines {
    count: u64,
    bytes: u64,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> u64 {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.count += lines;
        self.bytes += bytes.len() as u64;
        lines
    }
}

fn ask(options: &Options, input: &File, mut output: File) -> Result<Count> {
    let template = request_template(options.size)?;
    let mut buffer = vec![0; 1 << 20];
    let mut line = Vec::new();
    handshake(input, &mut output)?;
    let mut count = Count::default();
    let mut answers = Lines::default();
    let pair_rate = options.rate as f64 / 2.0 / options.sessions.max(1) as f64;
    let total = (pair_rate * options.seconds as f64).round() as u64;
    let window = if options.wait { 1 } else { (48 * 1024 / options.size.max(1)).max(1) as u64 };
    let start = Instant::now();
    while count.requests < total {
        let due = Duration::from_secs_f64(count.requests as f64 / pair_rate);
        let now = start.elapsed();
        if let Some(early) = due.checked_sub(now) {
            // Ticks of a millisecond; what is due by then goes out together.
            read_ready(input, &mut buffer, &mut answers, early.min(Duration::from_millis(1)).max(Duration::from_micros(200)))?;
            continue;
        }
        while count.requests - answers.count >= window {
            read_ready(input, &mut buffer, &mut answers, Duration::from_secs(30))?;
        }
        template.put(count.requests, &mut line);
        output.write_all(&line)?;
        count.requests += 1;
        count.request_bytes += line.len() as u64;
        count.late_us = count.late_us.max((start.elapsed().saturating_sub(due)).as_micros() as u64);
    }
    while answers.count < count.requests {
        read_ready(input, &mut buffer, &mut answers, Duration::from_secs(30))?;
    }
    // SAFETY: takes no pointers. Fails on what is no socket, which is closed now.
    unsafe { libc::shutdown(output.as_raw_fd(), libc::SHUT_WR) };
    (count.answers, count.answer_bytes) = (answers.count, answers.bytes);
    Ok(count)
}

/// Reads once, if anything comes within the time.
fn read_ready(mut input: &File, buffer: &mut [u8], lines: &mut Lines, limit: Duration) -> Result<()> {
    let limit = libc::timespec { tv_sec: limit.as_secs() as _, tv_nsec: limit.subsec_nanos() as _ };
    let mut poll = libc::pollfd { fd: input.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd, a valid time, no signal mask.
    let ready = unsafe { libc::ppoll(&raw mut poll, 1, &raw const limit, std::ptr::null()) };
    if ready > 0 {
        match input.read(buffer)? {
            0 => bail!("the server ended"),
            length => lines.take(&buffer[..length]),
        };
    } else if limit.tv_sec > 1 {
        bail!("no answer within {} s", limit.tv_sec);
    }
    Ok(())
}

fn handshake(mut input: &File, output: &mut File) -> Result<()> {
    output.write_all(&[rpc::initialize(&Value::from(0)), b"\n".to_vec()].concat())?;
    let mut answer = vec![0; 4096];
    if input.read(&mut answer)? == 0 {
        bail!("no answer to initialize");
    }
    output.write_all(&[rpc::notification("notifications/initialized", &Value::Null), b"\n".to_vec()].concat())?;
    Ok(())
}

/// Answers each call by its id, each with one write.
fn serve(mut input: File, mut output: File, size: usize) -> Result<()> {
    let template = answer_template(size)?;
    let mut pending = Vec::new();
    let mut buffer = vec![0; 65536];
    let mut line = Vec::new();
    loop {
        let length = input.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        pending.extend_from_slice(&buffer[..length]);
        let mut done = 0;
        while let Some(end) = pending[done..].iter().position(|byte| *byte == b'\n') {
            let message = &pending[done..done + end];
            done += end + 1;
            match id_of(message) {
                Some(id) => {
                    template.put(id, &mut line);
                    output.write_all(&line)?;
                }
                None => answer_handshake(message, &mut output)?,
            }
        }
        pending.drain(..done);
    }
}

/// The number behind `"id":1` of a call made by the template (10 digits, the first a 1).
fn id_of(message: &[u8]) -> Option<u64> {
    let at = message.windows(5).rposition(|part| part == b"\"id\":")? + 5;
    let digits = message.get(at..at + 10)?;
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    number.checked_sub(1_000_000_000)
}

fn answer_handshake(message: &[u8], output: &mut File) -> Result<()> {
    let message: Value = serde_json::from_slice(message)?;
    if message.get("id").is_some() {
        let result = json!({"protocolVersion": rpc::REVISION, "capabilities": {"tools": {}}, "serverInfo": {"name": "peer-load", "version": "1.0.0"}});
        output.write_all(&[rpc::result(&Value::from(0), &result), b"\n".to_vec()].concat())?;
    }
    Ok(())
}
