//! `cargo xtask run`: the agent with live events on the terminal, and a demo client and server to see some.

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::IsTerminal;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::privilege::as_root;
use crate::process::{line, run as run_command, say};
use crate::report::timed;
use crate::workspace::{END_TO_END_PACKAGE, PEER_BIN, SENSOR_BIN, SENSOR_PACKAGE, Workspace};

/// The demo: a client that calls the tools of a server, over and over, until it is told to stop.
const DEMO_ARGUMENTS: [&str; 1] = ["demo"];
/// How often children are looked after.
const TICK: Duration = Duration::from_millis(50);
/// The agent may take its time to leave: detaching a uprobe takes the kernel up to half a second.
const AGENT_GRACE: Duration = Duration::from_secs(60);
const DEMO_GRACE: Duration = Duration::from_secs(2);

/// Build the agent and watch live events until Ctrl-C.
#[derive(ClapArgs)]
#[command(after_help = "\
Loading kernel programs needs root; sudo is used when there is one.

Examples:
  cargo xtask run                        every MCP message on this machine
  cargo xtask run --demo                 with a demo client and server to watch
  cargo xtask run --demo -- --json       one JSON object a line
  cargo xtask run -- --help              the options of `mcp-sensor watch`")]
pub struct Args {
    /// Also run a demo client and server.
    #[arg(long)]
    demo: bool,
    /// Arguments for `mcp-sensor watch`.
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

    let agent = workspace.built("release", SENSOR_BIN);
    let mut command = as_root(&agent, "load kernel programs")?;
    command.current_dir(&workspace.root).arg("watch").args(&args.arguments);
    say(format!("{} (Ctrl-C ends it)", line(&command)));
    let mut agent = command.spawn().with_context(|| format!("starting {}", line(&command)))?;
    let mut demo = match args.demo {
        true => Some(Demo::start(workspace).inspect_err(|_| end_agent(&mut agent, Signal::TERM))?),
        false => None,
    };
    let status = watch(&mut agent, demo.as_mut(), &interrupted, &terminated)?;
    drop(demo);

    let asked_for = interrupted.load(Ordering::Relaxed) || terminated.load(Ordering::Relaxed);
    if !status.success() && !asked_for {
        bail!("`{}` ended by itself ({status})", line(&command));
    }
    Ok(ExitCode::SUCCESS)
}

fn build(workspace: &Workspace, demo: bool) -> Result<()> {
    run_command(workspace.cargo().args(["build", "--release", "--package", SENSOR_PACKAGE, "--bin", SENSOR_BIN]))?;
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

/// Waits for the agent to end, after passing on a signal that only we received.
fn watch(agent: &mut Child, mut demo: Option<&mut Demo>, interrupted: &AtomicBool, terminated: &AtomicBool) -> Result<ExitStatus> {
    let mut deadline = None;
    loop {
        if let Some(status) = agent.try_wait().context("waiting for the agent")? {
            return Ok(status);
        }
        if let Some(demo) = demo.as_deref_mut() {
            demo.report_early_end();
        }
        let signal = if terminated.load(Ordering::Relaxed) {
            Some(Signal::TERM)
        } else if interrupted.load(Ordering::Relaxed) {
            Some(Signal::INT)
        } else {
            None
        };
        match (signal, deadline) {
            (Some(signal), None) => {
                deadline = Some(Instant::now() + AGENT_GRACE);
                // Ctrl-C reaches every process of the terminal's foreground group; a second one would make the agent hurry.
                let agent_got_it_too = signal == Signal::INT && std::io::stdin().is_terminal();
                if !agent_got_it_too {
                    send(agent, signal);
                }
            }
            (_, Some(deadline)) if Instant::now() > deadline => {
                send(agent, Signal::KILL);
                bail!("the agent did not end within {} s and was killed", AGENT_GRACE.as_secs());
            }
            _ => {}
        }
        thread::sleep(TICK);
    }
}

fn end_agent(agent: &mut Child, signal: Signal) {
    send(agent, signal);
    let _ = agent.wait();
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
