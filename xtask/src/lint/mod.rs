//! `cargo xtask lint`: formatting, clippy, documentation, the kernel programs' warnings, and the repository's own rules.

mod length;
mod lexer;
mod sources;
mod unsafe_code;

use anyhow::{Result, bail};
use clap::Args as ClapArgs;

use crate::ebpf;
use crate::ebpf::toolchain::Toolchain;
use crate::process::{run as run_command, succeeds};
use crate::report::timed;
use crate::workspace::Workspace;

type Check = fn(&Workspace) -> Result<()>;

/// The repository's own rules.
const RULES: [(&str, Check); 2] = [("file lengths", length::check), ("unsafe code", unsafe_code::check)];

/// Check formatting, lints, documentation and the repository's own rules.
#[derive(ClapArgs)]
#[command(after_help = "\
The repository's own rules:
  no source file over 500 lines (exceptions, with reasons: xtask/long-files.txt)
  unsafe only in sensor-ebpf, sensor-user/src/bpf, sensor-user/src/respond and tests

Examples:
  cargo xtask lint
  cargo xtask lint --rules     only the repository's own rules, in milliseconds
  cargo xtask lint --no-ebpf   without the BPF toolchain")]
pub struct Args {
    /// Check only the repository's own rules.
    #[arg(long)]
    rules: bool,
    /// Leave out the kernel programs, which need the BPF toolchain.
    #[arg(long)]
    no_ebpf: bool,
}

/// Runs `cargo xtask lint`.
///
/// # Errors
/// When a check complains; every check runs all the same.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if args.rules {
        return run_all(workspace, &RULES);
    }
    check(workspace, !args.no_ebpf)
}

/// Runs every check, those of the kernel programs only if `ebpf`.
///
/// # Errors
/// When a check complains; every check runs all the same.
pub fn check(workspace: &Workspace, ebpf: bool) -> Result<()> {
    let mut checks = RULES.to_vec();
    checks.extend([("formatting", format as Check), ("clippy", clippy), ("documentation", documentation)]);
    if ebpf {
        checks.push(("warnings in the kernel programs", kernel_programs));
    }
    checks.push(("dependencies", dependencies));
    run_all(workspace, &checks)
}

fn run_all(workspace: &Workspace, checks: &[(&'static str, Check)]) -> Result<()> {
    let mut failed = Vec::new();
    for &(name, check) in checks {
        if let Err(error) = timed(name, || check(workspace)) {
            eprintln!("xtask: {name}: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("lint failed: {}", failed.join(", "));
    }
    Ok(())
}

fn format(workspace: &Workspace) -> Result<()> {
    run_command(workspace.cargo().args(["fmt", "--all", "--", "--check"])).map_err(|error| error.context("mend it with `cargo fmt --all`"))
}

/// Every target of every package; of sensor-ebpf only the library, as its binary needs a feature and another target.
fn clippy(workspace: &Workspace) -> Result<()> {
    run_command(workspace.cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
}

fn documentation(workspace: &Workspace) -> Result<()> {
    run_command(workspace.cargo().env("RUSTDOCFLAGS", "--deny warnings").args(["doc", "--workspace", "--no-deps", "--quiet"]))
}

fn kernel_programs(workspace: &Workspace) -> Result<()> {
    if ebpf::warns(workspace, &Toolchain::find()?)? {
        bail!("the compiler warned, see above");
    }
    Ok(())
}

fn dependencies(workspace: &Workspace) -> Result<()> {
    if !workspace.root.join("deny.toml").is_file() {
        println!("    skipped: there is no deny.toml");
        return Ok(());
    }
    if !succeeds(workspace.cargo().args(["deny", "--version"])) {
        println!("    skipped: cargo-deny is not installed (cargo install cargo-deny)");
        return Ok(());
    }
    // Advisories come from a database on the network and change by themselves: not a reason for a lint to fail.
    run_command(workspace.cargo().args(["deny", "check", "bans", "licenses", "sources"]))
}
