//! `cargo xtask test`: everything continuous integration checks, in one command.
//!
//! A part that fails does not stop the others, so that one run tells everything; only what depends on a failed part is left out.

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use std::process::{Command, ExitCode};

use crate::ebpf::{self, Object, toolchain::Toolchain};
use crate::kernels;
use crate::lint;
use crate::privilege::{can_be_root_unattended, is_root};
use crate::process::{Output, run as run_command, stream};
use crate::report::{Counts, Report};
use crate::setup::{self, Group};
use crate::workspace::{Arch, COLLECTOR_BIN, COLLECTOR_PACKAGE, END_TO_END_PACKAGE, SENSOR_BIN, SENSOR_PACKAGE, Workspace};

/// End-to-end tests that run side by side. Each drives real processes and a sensor of its own; more than this on a small machine
/// makes them wait for each other, not faster.
const END_TO_END_THREADS: &str = "2";
/// Tells the end-to-end tests which agent to test.
const SENSOR_BINARY_VARIABLE: &str = "MCP_SENSOR_BIN";

/// Run every check: lint, kernel objects, unit tests, end-to-end tests.
#[derive(ClapArgs)]
#[command(after_help = "\
The last line is `N passed, N failed`: the sum over all test results, and one failure for each
part that failed otherwise.

Examples:
  cargo xtask test            everything; installs what is missing; needs root or sudo
  cargo xtask test --quick    lint, stale kernel objects, unit and property tests; no root")]
pub struct Args {
    /// Only what needs neither root nor a rebuilt kernel object.
    #[arg(long)]
    quick: bool,
}

/// Runs `cargo xtask test`.
///
/// # Errors
/// Only when nothing could be run at all; failures of parts are told in the report and by the exit code.
pub fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let mut report = Report::new();
    if args.quick {
        quick(workspace, &mut report);
    } else {
        full(workspace, &mut report);
    }
    report.print();
    Ok(if report.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn quick(workspace: &Workspace, report: &mut Report) {
    report.part("lint", |_| lint::check(workspace, false));
    report.part("committed kernel objects", |_| ebpf::check_digests(workspace));
    unit_tests(workspace, report, &Object::Committed);
}

fn full(workspace: &Workspace, report: &mut Report) {
    let complete = report.part("set-up", |_| setup::ensure(workspace, &[Group::Ebpf, Group::Tests, Group::KernelsX86]));
    report.part("lint", |_| lint::check(workspace, complete));

    let mut object = Object::Committed;
    let current = report.part("rebuild and compare the kernel objects", |_| {
        let (rebuilt, result) = ebpf::check_objects(workspace, &Toolchain::find()?)?;
        object = rebuilt;
        result
    });
    if !current {
        println!("    going on with {object:?}");
    }
    unit_tests(workspace, report, &object);

    if can_be_root_unattended() {
        report.part("load the programs and compare with the budget", |_| ebpf::check_budget(workspace, &object, false));
        report.part("end-to-end tests", |counts| end_to_end(workspace, &object, counts));
        report.part("another kernel, in QEMU", |counts| {
            counts.passed = kernels::short(workspace, &object)?;
            Ok(())
        });
    } else {
        // Not a skip: whoever asks for everything must hear that the half that matters did not run.
        report
            .part("end-to-end tests", |_| bail!("root is needed to load kernel programs: run as root, or use `cargo xtask test --quick`"));
    }
}

fn unit_tests(workspace: &Workspace, report: &mut Report, object: &Object) {
    report.part("unit and property tests", |counts| {
        let mut command = workspace.cargo();
        command.args(["test", "--workspace", "--exclude", END_TO_END_PACKAGE, "--no-fail-fast"]);
        object.embed_for_host(&mut command)?;
        cargo_test(&mut command, counts)
    });
}

/// Builds as whoever we are and runs only the test programs as root, so that root owns nothing in a developer's target folder.
fn end_to_end(workspace: &Workspace, object: &Object, counts: &mut Counts) -> Result<()> {
    let mut agent = workspace.cargo();
    agent.args(["build", "--package", SENSOR_PACKAGE, "--bin", SENSOR_BIN]).args(["--package", COLLECTOR_PACKAGE, "--bin", COLLECTOR_BIN]);
    object.embed_for_host(&mut agent)?;
    run_command(&mut agent).context("building the agent and the collector under test")?;

    let mut command = workspace.cargo();
    command
        .env(SENSOR_BINARY_VARIABLE, workspace.built("debug", SENSOR_BIN))
        .args(["test", "--package", END_TO_END_PACKAGE, "--no-fail-fast"])
        .args(["--", "--test-threads", END_TO_END_THREADS]);
    object.embed_for_host(&mut command)?;
    if !is_root()
        && let Some(arch) = Arch::host()
    {
        let target = arch.target().replace('-', "_").to_uppercase();
        command.env(format!("CARGO_TARGET_{target}_RUNNER"), "sudo --preserve-env");
    }
    cargo_test(&mut command, counts)
}

fn cargo_test(command: &mut Command, counts: &mut Counts) -> Result<()> {
    let success = stream(command, Output::Stdout, |line| counts.read_line(line))?;
    if !success && counts.failed == 0 {
        bail!("the tests did not run to their end (a build that failed, or a crash): see above");
    }
    Ok(())
}
