//! `cargo xtask long`: the long forms of tests that continuous integration runs shortly.

use anyhow::Result;
use clap::Args as ClapArgs;

use crate::process::run as run_command;
use crate::report::timed;
use crate::workspace::{SENSOR_PACKAGE, Workspace};

/// The test of `sensor-user` that records and replays.
const RECORDING_TEST: &str = "constant_memory";
/// Tells it how long a recording to make.
const LENGTH_VARIABLE: &str = "MCP_LONG_MIB";

/// Tells the race for pids how often to run it.
const TRIES_VARIABLE: &str = "MCP_LONG_TRIES";

/// Record and replay 10 GB, and hold the memory of both against that of a short recording; give a pid out again 10,000 times.
#[derive(ClapArgs)]
#[command(after_help = "\
Needs as much room in TMPDIR as the payload takes, twice over. The race for pids needs root, and a host on
which nothing else is tested meanwhile.

Examples:
  cargo xtask long              10 GiB, full and redacted: about ten minutes
  cargo xtask long --mib 1024   less")]
pub struct Args {
    /// How much payload, in MiB.
    #[arg(long, default_value_t = 10 * 1024, value_name = "N")]
    mib: u64,
    /// How often a pid is given out again.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    tries: u32,
}

/// Runs `cargo xtask long`.
///
/// # Errors
/// When the test does not build, or fails.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut command = workspace.cargo();
    command.env(LENGTH_VARIABLE, args.mib.to_string());
    command.args(["test", "--release", "--package", SENSOR_PACKAGE, "--test", RECORDING_TEST, "--", "--nocapture"]);
    timed("a long recording", || run_command(&mut command))?;
    let mut command = workspace.cargo();
    command.env(TRIES_VARIABLE, args.tries.to_string());
    command.args(["test", "--package", "end-to-end", "--test", "respond", "pid_reused", "--", "--nocapture"]);
    timed("pids that are given out again", || run_command(&mut command))
}
