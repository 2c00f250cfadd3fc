//! Stopping and killing: how long it takes from the decision to the signal, and until the process is dead.

use crate::{kernel::loss::existing, table::Row};
use anyhow::{Context as _, ensure};
use mcp_sensor_proto::v1::action::{Delivered, Kind, Outcome, Target};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fd::OwnedFd,
    process::{Pid, PidfdFlags, pidfd_open},
};
use sensor_core::{
    event::{Framing, Implementation, Session, SessionId, Transport},
    input::ProcessId,
    redact::Level,
};
use sensor_user::{
    agent,
    bpf::{Options, Programs, boot_clock},
    capture::{Live, Record, Source as _, process_of},
    identity::Known,
    respond::{By, Enforcement, Exempt, Marks as _, Order, Responder, Settings},
};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(10);
const SIGKILL: u32 = 9;

/// The rule that the whole way is measured with.
const RULE: &str = r#"
version: 1
rules:
  - {id: offence, title: An offence, on: call, when: call.tool == "offend", severity: high, action: kill}
"#;
/// A server that answers, whatever it is asked.
const SERVER: &str = r#"read line; echo '{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"bench","version":"1"}}}'
n=1; while read line; do echo '{"jsonrpc":"2.0","id":'$n',"result":{"content":[]}}'; n=$((n+1)); done"#;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
/// How old a server is at least when it is killed: two ticks, from where on its start time tells it from others at once.
const GROWN: Duration = Duration::from_millis(50);

/// A child that ends with this value.
struct Running(Child);

impl Running {
    fn start() -> anyhow::Result<Self> {
        Self::of(Command::new("/bin/cat").stdin(Stdio::piped()).stdout(Stdio::null()))
    }

    fn of(command: &mut Command) -> anyhow::Result<Self> {
        Ok(Self(command.spawn().with_context(|| format!("starting {command:?}"))?))
    }

    fn pidfd(&self) -> anyhow::Result<OwnedFd> {
        Ok(pidfd_open(Pid::from_child(&self.0), PidfdFlags::empty())?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a process is dead.
fn await_end(process: &OwnedFd) -> anyhow::Result<()> {
    let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&LIMIT.try_into()?))?;
    ensure!(ended == 1, "the process does not end");
    Ok(())
}

/// Measures the rows.
pub fn rows(ci: bool) -> anyhow::Result<Vec<Row>> {
    let tries = if ci { 20 } else { 1_000 };
    let mut programs = Programs::load(Options::default())?;
    let mut marks = programs.take_marks()?;
    let mut source = Live::start(programs.take_ring()?)?;
    programs.attach()?;
    let mut known = Known::live(agent::identities(Level::Redacted), 0);
    let settings = Settings { mode: Enforcement::On, exempt: Exempt::default(), actions_per_minute: 1_000_000 };
    let mut responder = Responder::new(settings, programs.own_pid(), None, None, 1);
    let (mut sent, mut dead, mut by_kernel) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..tries {
        let reader = Running::start()?;
        let process = started(&mut source, &mut known, reader.0.id())?;
        let pidfd = reader.pidfd()?;
        // A server that lives for longer than two ticks, as nearly all do.
        responder.tick(boot_clock().max(process.start_time + 30_000_000), &mut known);
        let session = session(number, process);
        let begin = Instant::now();
        responder.act(
            &Order {
                kind: Kind::Kill,
                target: Target::Server,
                tree: false,
                by: By::Rule { rule: "bench", finding_id: "" },
                session: &session,
                client: None,
                server: Some(process),
                delivered: Delivered::Unknown,
                decided: begin,
            },
            &mut known,
        );
        await_end(&pidfd)?;
        dead.push(begin.elapsed());
        let action = &responder.take_done()[0].action;
        ensure!(action.outcome() == Outcome::Done, "{}", action.detail);
        sent.push(Duration::from_nanos(action.latency_ns.unwrap_or(0)));
    }
    for _ in 0..tries {
        let mut reader = Running::start()?;
        let process = started(&mut source, &mut known, reader.0.id())?;
        let pidfd = reader.pidfd()?;
        let mut input = reader.0.stdin.take().context("its input")?;
        marks.mark(process, SIGKILL)?;
        let begin = Instant::now();
        input.write_all(b"x")?;
        await_end(&pidfd)?;
        by_kernel.push(begin.elapsed());
        marks.unmark(process);
    }
    source.stop();
    drop((responder, programs));
    let whole = by_a_rule(tries)?;
    Ok(vec![
        row(format!("decision → SIGKILL sent, {tries} processes"), sent, Some(Duration::from_millis(1))),
        row("… → the process is dead".to_owned(), dead, None),
        row("write to a marked process → dead by the kernel's own signal".to_owned(), by_kernel, None),
        row(format!("write of an offending call → its server is dead, by a rule, {tries} sessions"), whole, None),
    ])
}

/// The whole way: a client writes a call into a pipe, a sensor with a policy sees, judges and kills.
fn by_a_rule(tries: usize) -> anyhow::Result<Vec<Duration>> {
    let folder = tempfile::tempdir()?;
    let (policy, socket) = (folder.path().join("policy.yaml"), folder.path().join("control.sock"));
    std::fs::write(&policy, RULE)?;
    let program = existing(std::env::current_exe()?.parent().unwrap_or(Path::new("/")), "mcp-sensor")?;
    let mut command = Command::new(&program);
    command.args(["run", "--log-level", "error", "--shutdown", "0s", "--enforcement", "on", "--actions-per-minute", "100000", "--policy"]);
    command.arg(policy).arg("--control-socket").arg(&socket);
    // Nobody is there to send events to: that does not keep it from acting.
    command.arg("--collector").arg(format!("unix:{}", folder.path().join("nobody").display()));
    let mut sensor = Running::of(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
    let deadline = Instant::now() + LIMIT;
    while !Command::new(&program).args(["actions", "--json", "--control-socket"]).arg(&socket).output()?.status.success() {
        ensure!(Instant::now() < deadline && sensor.0.try_wait()?.is_none(), "the sensor does not get ready");
    }
    let mut times = Vec::new();
    for _ in 0..tries {
        let mut server = Running::of(Command::new("/bin/sh").args(["-c", SERVER]).stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let (pidfd, born) = (server.pidfd()?, Instant::now());
        let mut input = server.0.stdin.take().context("its input")?;
        let mut output = BufReader::new(server.0.stdout.take().context("its output")?);
        let mut number = 0;
        let call = |number: u32, tool: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}"#) + "\n"
        };
        let mut line = format!("{INITIALIZE}\n");
        while born.elapsed() < GROWN || number < 2 {
            input.write_all(line.as_bytes())?;
            ensure!(output.read_line(&mut String::new())? > 0, "the server ended by itself");
            number += 1;
            line = call(number, "harmless");
        }
        let offence = call(number, "offend");
        let begin = Instant::now();
        input.write_all(offence.as_bytes())?;
        await_end(&pidfd)?;
        times.push(begin.elapsed());
    }
    Ok(times)
}

/// Waits for the news that a child has begun its program; gives its exact id.
fn started(source: &mut Live, known: &mut Known, pid: u32) -> anyhow::Result<ProcessId> {
    let (deadline, mut found) = (Instant::now() + LIMIT, None);
    while found.is_none() {
        ensure!(Instant::now() < deadline, "no news of a child");
        source.read(Duration::from_millis(20), &mut |record| match (&record, known.identities()) {
            (Record::Fork(fork), Some(identities)) => identities.fork(fork),
            (Record::Exit(exit), Some(identities)) => identities.exit(exit),
            (Record::Exec(exec), Some(identities)) => {
                identities.exec(exec);
                if exec.header.pid == pid {
                    found = Some(process_of(&exec.header));
                }
            }
            _ => {}
        });
    }
    found.context("no news of a child")
}

fn session(number: usize, server: ProcessId) -> Session {
    Session {
        id: SessionId(number as u64),
        transport: Transport::Pipe,
        framing: Framing::Ndjson,
        protocol_version: String::new(),
        late_attach: false,
        client: None,
        server: Some(server),
        client_info: Implementation::default(),
        server_info: Implementation::default(),
        relay_of: None,
        probe: false,
        tunnel: None,
    }
}

fn row(what: String, mut times: Vec<Duration>, to_hold: Option<Duration>) -> Row {
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6);
    let (p50, p99) = (at(0.5), at(0.99));
    Row {
        what,
        measured: format!("p50 {p50:.0} µs, p99 {p99:.0} µs"),
        to_hold: to_hold.map_or_else(String::new, |limit| format!("p99 ≤ {} ms", limit.as_millis())),
        held: to_hold.map(|limit| p99 <= limit.as_secs_f64() * 1e6),
    }
}
