//! `cargo xtask run`: a collector, the agent that sends to it, and the subscription on the terminal; and a demo client and
//! server to see some events.

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::IsTerminal;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::privilege::as_root;
use crate::process::{line, run as run_command, say};
use crate::report::timed;
use crate::workspace::{COLLECTOR_BIN, COLLECTOR_PACKAGE, END_TO_END_PACKAGE, PEER_BIN, SENSOR_BIN, SENSOR_PACKAGE, Workspace};

/// The demo: a client that calls the tools of a server, over and over, until it is told to stop.
const DEMO_ARGUMENTS: [&str; 1] = ["demo"];
/// How often children are looked after.
const TICK: Duration = Duration::from_millis(50);
/// How long a program may take to end: the agent hands on what it holds.
const GRACE: Duration = Duration::from_secs(15);
const DEMO_GRACE: Duration = Duration::from_secs(2);

/// Build the agent and the collector, start both, and show the subscription until Ctrl-C.
#[derive(ClapArgs)]
#[command(after_help = "\
Loading kernel programs needs root; sudo is used when there is one. What the collector stores is
deleted at the end.

Examples:
  cargo xtask run                        every tool call on this machine
  cargo xtask run --demo                 with a demo client and server to watch
  cargo xtask run --demo -- --json       one JSON object a line
  cargo xtask run -- --help              the options of `mcp-collector tail`")]
pub struct Args {
    /// Also run a demo client and server.
    #[arg(long)]
    demo: bool,
    /// Arguments for `mcp-collector tail`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs `cargo xtask run`, until the agent ends or a signal ends it.
///
/// # Errors
/// When something does not build or start, or we cannot become root.
pub fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    timed("build", || build(workspace, args.demo))?;

    // From here on a signal must not end us before our children: it is noted, and the loop below ends them.
    let interrupted = noted(SIGINT)?;
    let terminated = noted(SIGTERM)?;

    let folder = tempfile::tempdir().context("making a folder for the collector's socket and store")?;
    let socket = folder.path().join("collector.sock");
    let address = format!("unix:{}", socket.display());
    let collector = workspace.built("release", COLLECTOR_BIN);
    let mut command = Command::new(&collector);
    command.args(["serve", "--log-level", "warn", "--listen", &address, "--directory"]).arg(folder.path().join("store"));
    let mut collecting = Service::start(&mut command)?;
    collecting.await_socket(&socket)?;
    let mut command = as_root(workspace.built("release", SENSOR_BIN), "load kernel programs")?;
    command.args(["run", "--log-level", "warn", "--collector", &address]);
    let sensing = Service::start(&mut command)?;

    let mut command = Command::new(&collector);
    command.current_dir(&workspace.root).args(["tail", "--address", &address]).args(&args.arguments);
    say(format!("{} (Ctrl-C ends it)", line(&command)));
    let mut tail = command.spawn().with_context(|| format!("starting {}", line(&command)))?;
    let mut demo = match args.demo {
        true => Some(Demo::start(workspace).inspect_err(|_| end(&mut tail))?),
        false => None,
    };
    let mut services = [sensing, collecting];
    let ended = watch(&mut tail, &mut services, demo.as_mut(), &interrupted, &terminated)?;
    drop(demo);
    // The sensor first, so that the collector gets its last events.
    drop(services);

    let asked_for = interrupted.load(Ordering::Relaxed) || terminated.load(Ordering::Relaxed);
    match ended {
        Some(failure) if !asked_for => bail!(failure),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A program that runs beside the one that is shown, and ends with this value.
struct Service {
    name: String,
    child: Child,
}

impl Service {
    /// Waits until it listens: who comes before is turned away.
    fn await_socket(&mut self, socket: &Path) -> Result<()> {
        let deadline = Instant::now() + GRACE;
        while UnixStream::connect(socket).is_err() {
            if let Some(status) = self.child.try_wait().with_context(|| format!("waiting for `{}`", self.name))? {
                bail!("`{}` ended by itself ({status}): see above", self.name);
            }
            if Instant::now() > deadline {
                bail!("`{}` does not listen at {} within {GRACE:?}", self.name, socket.display());
            }
            thread::sleep(TICK);
        }
        Ok(())
    }

    fn start(command: &mut Command) -> Result<Self> {
        say(line(command));
        // In a group of its own: Ctrl-C is for what is shown, and this one is ended after it.
        let child = command.stdin(Stdio::null()).process_group(0).spawn().with_context(|| format!("starting {}", line(command)))?;
        Ok(Self { name: line(command), child })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn build(workspace: &Workspace, demo: bool) -> Result<()> {
    let programs = ["--package", SENSOR_PACKAGE, "--bin", SENSOR_BIN, "--package", COLLECTOR_PACKAGE, "--bin", COLLECTOR_BIN];
    run_command(workspace.cargo().args(["build", "--release"]).args(programs))?;
    if demo {
        run_command(workspace.cargo().args(["build", "--package", END_TO_END_PACKAGE, "--bin", PEER_BIN]))?;
    }
    Ok(())
}

fn noted(signal: i32) -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal, Arc::clone(&flag)).with_context(|| format!("catching signal {signal}"))?;
    Ok(flag)
}

/// Waits until what is shown ends, after passing on a signal that only we received, or a service ends by itself. Says what
/// ended that should not have.
fn watch(
    shown: &mut Child,
    services: &mut [Service],
    mut demo: Option<&mut Demo>,
    interrupted: &AtomicBool,
    terminated: &AtomicBool,
) -> Result<Option<String>> {
    loop {
        if let Some(status) = shown.try_wait().context("waiting for what is shown")? {
            return Ok((!status.success()).then(|| format!("`mcp-collector tail` ended by itself ({status})")));
        }
        for Service { name, child } in services.iter_mut() {
            if let Some(status) = child.try_wait().with_context(|| format!("waiting for `{name}`"))? {
                end(shown);
                return Ok(Some(format!("`{name}` ended by itself ({status})")));
            }
        }
        if let Some(demo) = demo.as_deref_mut() {
            demo.report_early_end();
        }
        // Ctrl-C reaches every process of the terminal's foreground group by itself.
        let got_it_too = interrupted.load(Ordering::Relaxed) && std::io::stdin().is_terminal();
        if terminated.load(Ordering::Relaxed) || (interrupted.load(Ordering::Relaxed) && !got_it_too) {
            end(shown);
        }
        thread::sleep(TICK);
    }
}

/// Asks a child to end, and sees to it that it does.
fn end(child: &mut Child) {
    send(child, Signal::TERM);
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(TICK);
    }
    send(child, Signal::KILL);
    let _ = child.wait();
}

fn send(child: &Child, signal: Signal) {
    if let Some(pid) = pid(child) {
        // It may be gone already, and sudo's child may not be ours to signal: then the terminal's own signal must do.
        let _ = kill_process(pid, signal);
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// The demo's processes, in a group of their own so that all of them can be ended.
struct Demo {
    child: Child,
    ended: bool,
}

impl Demo {
    fn start(workspace: &Workspace) -> Result<Self> {
        let mut command = Command::new(workspace.built("debug", PEER_BIN));
        command.args(DEMO_ARGUMENTS).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let child = command.spawn().with_context(|| format!("starting the demo: {}", line(&command)))?;
        Ok(Self { child, ended: false })
    }

    fn report_early_end(&mut self) {
        if self.ended {
            return;
        }
        if let Ok(Some(status)) = self.child.try_wait() {
            self.ended = true;
            eprintln!("xtask: the demo ended ({status}); still watching");
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = pid(&self.child) {
            // The group outlives its leader as long as a member does; an empty one is an error of no interest.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + DEMO_GRACE;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(TICK);
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}
