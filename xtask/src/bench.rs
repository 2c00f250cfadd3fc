//! `cargo xtask bench`: hands over to the benchmark program of the end-to-end package.

use anyhow::Result;
use clap::Args as ClapArgs;

use crate::process::run as run_command;
use crate::report::timed;
use crate::workspace::{COLLECTOR_BIN, COLLECTOR_PACKAGE, END_TO_END_PACKAGE, PEER_BIN, SENSOR_BIN, SENSOR_PACKAGE, Workspace};

const BENCH_BIN: &str = "bench";

/// Measures the collector's store.
const COLLECTOR_EXAMPLE: &str = "ingest_speed";

/// Measure the numbers the design promises to hold.
#[derive(ClapArgs)]
#[command(after_help = "\
Rows that load kernel programs need root.

Examples:
  cargo xtask bench               every row
  cargo xtask bench --ci          every row, shortly: fails where a promise is broken
  cargo xtask bench tax user      only these rows
  cargo xtask bench -- --help     the benchmark program's own options")]
pub struct Args {
    /// Short runs, and a failure where a promise is broken.
    #[arg(long)]
    ci: bool,
    /// Rows to measure; all without.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rows: Vec<String>,
}

/// Runs `cargo xtask bench`.
///
/// # Errors
/// When the benchmarks do not build, or fail.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    // What the rows about whole programs start.
    let programs = [(SENSOR_PACKAGE, SENSOR_BIN), (COLLECTOR_PACKAGE, COLLECTOR_BIN), (END_TO_END_PACKAGE, PEER_BIN)];
    let mut build = workspace.cargo();
    build.args(["build", "--release"]);
    for (package, program) in programs {
        build.args(["--package", package, "--bin", program]);
    }
    timed("build", || run_command(&mut build))?;
    let mut example = workspace.cargo();
    example.args(["build", "--release", "--package", COLLECTOR_PACKAGE, "--example", COLLECTOR_EXAMPLE]);
    timed("build", || run_command(&mut example))?;
    let mut command = workspace.cargo();
    command
        .args(["run", "--release", "--package", END_TO_END_PACKAGE, "--bin", BENCH_BIN, "--"])
        .args(args.ci.then_some("--ci"))
        .args(&args.rows);
    timed("benchmarks", || run_command(&mut command))
}
