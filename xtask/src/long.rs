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

/// Record and replay 10 GB, and hold the memory of both against that of a short recording.
#[derive(ClapArgs)]
#[command(after_help = "\
Needs as much room in TMPDIR as the payload takes, twice over, and no root.

Examples:
  cargo xtask long              10 GiB, full and redacted: about ten minutes
  cargo xtask long --mib 1024   less")]
pub struct Args {
    /// How much payload, in MiB.
    #[arg(long, default_value_t = 10 * 1024, value_name = "N")]
    mib: u64,
}

/// Runs `cargo xtask long`.
///
/// # Errors
/// When the test does not build, or fails.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut command = workspace.cargo();
    command.env(LENGTH_VARIABLE, args.mib.to_string());
    command.args(["test", "--release", "--package", SENSOR_PACKAGE, "--test", RECORDING_TEST, "--", "--nocapture"]);
    timed("a long recording", || run_command(&mut command))
}
