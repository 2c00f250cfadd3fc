//! The client: starts a server on the wanted transport, asks, and checks every answer.

mod link;
mod plan;
mod twin;

use crate::process::{self, pin};
use crate::rpc;
use crate::shape::Shape;
use crate::transport::{self, Ends, ServerEnds, Transport};
use crate::wire::{self, set_nonblocking};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use end_to_end::truth::{LogWriter, Role};
use link::Link;
use plan::Call;
pub use plan::Tool;
use serde_json::{Value, json};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Child;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How a session begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Handshake {
    /// `initialize`, `notifications/initialized`.
    Initialize,
    /// `server/discover`, and `_meta` in each request (2026-07-28).
    Discover,
    /// None: the first message is a call.
    None,
}

/// `peer client`
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    pub wire: wire::Options,
    /// What carries the bytes.
    #[arg(long, value_enum, default_value = "pipe")]
    pub transport: Transport,
    /// Hand the server the listening socket as its stdin; it accepts.
    #[arg(long)]
    pub pass_listener: bool,
    /// Write the first message before the connection is accepted and the server started.
    #[arg(long)]
    pub early: bool,
    #[arg(long, value_enum, default_value = "initialize")]
    pub handshake: Handshake,
    /// Form of the tool calls.
    #[arg(long, value_enum, default_value = "lf")]
    pub shape: Shape,
    /// What to call.
    #[arg(long, value_enum, default_value = "mixed")]
    pub tool: Tool,
    /// Bytes of argument or result.
    #[arg(long, default_value_t = 300)]
    pub size: usize,
    /// Milliseconds of slow calls.
    #[arg(long, default_value_t = 50)]
    pub slow_ms: u64,
    /// Calls in all.
    #[arg(long, default_value_t = 12)]
    pub calls: usize,
    /// Calls under way at a time, for each thread.
    #[arg(long, default_value_t = 1)]
    pub concurrency: usize,
    /// Messages in one write.
    #[arg(long, default_value_t = 1)]
    pub coalesce: usize,
    /// Threads that write, without taking turns if there are several.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Wait for no answer: the server cannot give any.
    #[arg(long)]
    pub one_way: bool,
    /// Put another file in the place of the descriptor during a blocked write of 1 MiB.
    #[arg(long)]
    pub swap_fd: bool,
    /// A write of half a message before the gate ($GATE), the rest behind it.
    #[arg(long)]
    pub half_before_gate: bool,
    /// Kill the server after so many calls, with one more under way.
    #[arg(long)]
    pub kill_server_after: Option<usize>,
    /// Die by SIGKILL after so many calls, with one more under way.
    #[arg(long)]
    pub kill_self_after: Option<usize>,
    /// What is sent may be cut short by the transport; expect no answer to the calls.
    #[arg(long)]
    pub cut: bool,
    /// Sessions one after another, each with a server of its own.
    #[arg(long, default_value_t = 1)]
    pub sessions: usize,
    /// Sessions at the same time, each with a server of its own.
    #[arg(long, default_value_t = 1)]
    pub parallel: usize,
    /// Bytes of text without a line end to write before the calls.
    #[arg(long, default_value_t = 0)]
    pub noise: usize,
    /// That text begins as a message whose end never comes.
    #[arg(long)]
    pub open_noise: bool,
    /// Unlink, before the calls, files of another file system that have the pipes' inode numbers.
    #[arg(long)]
    pub unlink_twins: bool,
    /// No end of this client's stream can be read, so nobody can demand that its messages are reported.
    #[arg(long)]
    pub unseeable: bool,
    /// Hold an answered session open so long before it ends.
    #[arg(long, default_value_t = 0)]
    pub linger_ms: u64,
    /// Run on this processor.
    #[arg(long)]
    pub processor: Option<usize>,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 120)]
    pub timeout: u32,
    /// The server command; `peer` as its first word is this program.
    #[arg(last = true, required = true)]
    pub server: Vec<String>,
}

/// Runs one session.
pub fn run(options: &Options) -> Result<()> {
    process::limit_life(options.timeout);
    let session = process::session();
    if options.sessions <= 1 && options.parallel <= 1 {
        return run_session(options, &session);
    }
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..options.parallel.max(1))
            .map(|lane| {
                let session = &session;
                scope
                    .spawn(move || (0..options.sessions).try_for_each(|number| run_session(options, &format!("{session}.{lane}.{number}"))))
            })
            .collect();
        lanes.into_iter().try_for_each(|lane| lane.join().map_err(|_| anyhow::anyhow!("a session panicked"))?)
    })
}

/// Runs one session of this name.
fn run_session(options: &Options, session: &str) -> Result<()> {
    if let Some(processor) = options.processor {
        pin(processor);
    }
    let log = Arc::new(LogWriter::open(Role::Client, session)?);
    let Ends { client_in, client_out, server, echo } = options.transport.open()?;
    let terminal = matches!(options.transport, Transport::Pty | Transport::PtyCooked);
    if options.wire.nonblock {
        set_nonblocking(client_in.as_raw_fd(), true)?;
        set_nonblocking(client_out.as_raw_fd(), true)?;
    }
    let link = Arc::new(Link::new(client_out.as_raw_fd(), options, echo, Arc::clone(&log))?);
    link.set_optional(options.unseeable);
    let mut client = Client { options, link, next: 1 };
    let hello = if options.early { Some(client.hello()?) } else { None };
    let mut child = start_server(options, server, session)?;
    let reader = {
        let (link, wire) = (Arc::clone(&client.link), options.wire.clone());
        thread::Builder::new().name("reader".to_owned()).spawn(move || link.read(client_in, &wire, terminal))?
    };
    let outcome = client.converse(hello, &mut child, &client_out);
    if outcome.is_err() {
        // What blocks the reader goes away with the server.
        let _ = child.kill();
    }
    client.link.close();
    drop_writer(client_out);
    let status = process::wait(&mut child, Duration::from_secs(60)).context("the server")?;
    reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?.context("reader")?;
    outcome?;
    if options.kill_server_after.is_none() && !status.success() {
        if status.code() == Some(process::SKIPPED) {
            return Err(wire::Unsupported("what the server wants".to_owned()).into());
        }
        bail!("the server ended with {status}");
    }
    log.end();
    Ok(())
}

fn start_server(options: &Options, ends: ServerEnds, session: &str) -> Result<Child> {
    if options.pass_listener {
        let ServerEnds::Listening(listener) = ends else { bail!("{:?} has no listener", options.transport) };
        let null = std::fs::File::options().write(true).open("/dev/null")?;
        return process::spawn_server(&options.server, session, listener.into_fd(), null.into(), false);
    }
    let (stdin, stdout, terminal) = ends.accept()?;
    process::spawn_server(&options.server, session, stdin, stdout, terminal)
}

/// Tells the server that no more comes: closes a pipe, shuts half of a socket.
fn drop_writer(client_out: OwnedFd) {
    // SAFETY: takes no pointers. Fails on what is no socket, which is closed then.
    unsafe { libc::shutdown(client_out.as_raw_fd(), libc::SHUT_WR) };
}

struct Client<'a> {
    options: &'a Options,
    link: Arc<Link>,
    next: u64,
}

impl Client<'_> {
    /// Sends the first message, if the handshake has one; its id.
    fn hello(&mut self) -> Result<Option<Value>> {
        let id = Value::from(0);
        let message = match self.options.handshake {
            Handshake::None => return Ok(None),
            Handshake::Initialize => rpc::initialize(&id),
            Handshake::Discover => rpc::request(&id, "server/discover", &plan::with_meta(json!({}))),
        };
        self.link.expect(&id);
        self.link.say(0, Shape::Lf, &[message])?;
        Ok(Some(id))
    }

    fn converse(&mut self, hello: Option<Option<Value>>, child: &mut Child, out: &OwnedFd) -> Result<()> {
        let gated = std::env::var_os("GATE").is_some();
        self.link.set_unseen(gated);
        let hello = match hello {
            Some(hello) => hello,
            None => self.hello()?,
        };
        if let Some(id) = hello {
            if !self.options.one_way {
                let answer = self.link.wait(&id)?;
                if answer.pointer("/result/serverInfo").is_none() {
                    bail!("the handshake was answered with {answer}");
                }
            }
            if self.options.handshake == Handshake::Initialize {
                self.link.say(0, Shape::Lf, &[rpc::notification("notifications/initialized", &Value::Null)])?;
            }
        }
        if gated {
            self.through_gate()?;
        }
        if self.options.swap_fd {
            self.swapped_write(child, out)?;
        }
        if self.options.noise > 0 {
            self.link.say_noise(self.options.noise, self.options.open_noise)?;
        }
        if self.options.unlink_twins {
            twin::unlink_twin(out)?;
        }
        let plan = plan::calls(self.options, &mut self.next);
        self.calls(plan, child)?;
        if !self.options.shape.is_executed() || self.options.cut {
            // The session goes on behind what nobody executes.
            let call = Call::new(
                Shape::Lf.id(self.next),
                "tools/call",
                json!({"name": "echo", "arguments": {"text": "behind"}}),
                plan::Expect::Text("behind".to_owned()),
            );
            self.next += 1;
            self.link.exchange(0, Shape::Lf, &[call], 1)?;
        }
        thread::sleep(Duration::from_millis(self.options.linger_ms));
        Ok(())
    }

    /// One call that the sensor does not see, then the gate.
    fn through_gate(&mut self) -> Result<()> {
        let before = self.echo("before the gate");
        self.link.exchange(0, Shape::Lf, &[before], 1)?;
        if !self.options.half_before_gate {
            process::gate()?;
            self.link.set_unseen(false);
            return Ok(());
        }
        let call = self.echo("half before the gate, half behind it");
        self.link.exchange_halves(&call, || {
            process::gate()?;
            Ok(())
        })
    }

    fn echo(&mut self, text: &str) -> Call {
        let id = Value::from(self.next);
        self.next += 1;
        Call::new(id, "tools/call", json!({"name": "echo", "arguments": {"text": text}}), plan::Expect::Text(text.to_owned()))
    }

    /// All calls, by as many threads as wanted.
    fn calls(&self, plan: Vec<Call>, child: &Child) -> Result<()> {
        let Options { threads, concurrency, coalesce, one_way, .. } = *self.options;
        let shape = self.options.shape;
        let coalesce = coalesce.max(if shape.pairs() { 2 } else { 1 });
        let window = concurrency.max(coalesce);
        if one_way || self.options.cut || !shape.is_executed() {
            self.link.set_optional(self.options.cut || self.options.unseeable);
            for calls in plan.chunks(coalesce) {
                self.link.say(0, shape, &calls.iter().map(Call::message).collect::<Vec<_>>())?;
            }
            self.link.set_optional(self.options.unseeable);
            return Ok(());
        }
        if let Some((after, victim)) = self.victim(child) {
            for call in plan.iter().take(after) {
                self.link.exchange(0, shape, std::slice::from_ref(call), 1)?;
            }
            return self.kill(victim, plan.get(after));
        }
        if threads <= 1 {
            return plan.chunks(window).try_for_each(|calls| self.link.exchange(0, shape, calls, coalesce));
        }
        let share = plan.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            let workers: Vec<_> = plan
                .chunks(share)
                .enumerate()
                .map(|(number, share)| {
                    let link = &self.link;
                    scope.spawn(move || share.chunks(window).try_for_each(|calls| link.exchange(number, shape, calls, coalesce)))
                })
                .collect();
            workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?)
        })
    }

    /// Whom to kill, and after how many calls.
    fn victim(&self, child: &Child) -> Option<(usize, u32)> {
        let server = self.options.kill_server_after.map(|after| (after, child.id()));
        server.or_else(|| self.options.kill_self_after.map(|after| (after, std::process::id())))
    }

    /// Kills a side with a call under way.
    fn kill(&self, victim: u32, call: Option<&Call>) -> Result<()> {
        if let Some(call) = call {
            self.link.say(0, self.options.shape, &[call.message()])?;
        }
        process::signal(victim, libc::SIGKILL)?;
        Ok(())
    }

    /// A write of 1 MiB that blocks, because the server is stopped; meanwhile another file takes the descriptor's place.
    fn swapped_write(&mut self, child: &Child, out: &OwnedFd) -> Result<()> {
        let data = rpc::numbers(1 << 20);
        let expect = plan::Expect::Text(data.len().to_string());
        let call = Call::new(Value::from(self.next), "tools/call", json!({"name": "sink", "arguments": {"data": data}}), expect);
        self.next += 1;
        let kept = out.try_clone()?;
        process::signal(child.id(), libc::SIGSTOP)?;
        let link = &self.link;
        let swapped = thread::scope(|scope| {
            let writer = scope.spawn(|| link.exchange(0, Shape::Lf, &[call], 1));
            let outcome = wait_blocked(&kept).and_then(|()| transport::swap_for_null(out.as_raw_fd()));
            process::signal(child.id(), libc::SIGCONT)?;
            writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
            outcome
        });
        process::replace_fd(kept.as_raw_fd(), out.as_raw_fd())?;
        swapped
    }
}

/// Waits until a write is as far as it can go: the file holds bytes and takes no more.
fn wait_blocked(fd: &OwnedFd) -> Result<()> {
    for _ in 0..10_000 {
        if wire::unread(fd.as_raw_fd())? > 0 && !wire::wait_ready(fd.as_raw_fd(), libc::POLLOUT, Some(Duration::ZERO))? {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
    bail!("the write did not block")
}
