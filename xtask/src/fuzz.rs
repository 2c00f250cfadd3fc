//! `cargo xtask fuzz`: the targets in `fuzz/`, run with cargo-fuzz on rustup's nightly.

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use std::process::Command;

use crate::process::{output, run as run_command, say, succeeds, which};
use crate::report::timed;
use crate::workspace::Workspace;

const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// Fuzz the parsers, each target for a while.
#[derive(ClapArgs)]
#[command(after_help = "\
What a target finds lies in fuzz/artifacts/<target>; put into fuzz/corpus/<target>, a plain test
replays it for ever.

Examples:
  cargo xtask fuzz                        every target, 60 seconds each
  cargo xtask fuzz ndjson --seconds 600   one target, ten minutes")]
pub struct Args {
    /// The target; every target without.
    target: Option<String>,
    /// How long to run each target.
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u32,
}

/// Runs `cargo xtask fuzz`.
///
/// # Errors
/// When there is no such target, a tool is missing and cannot be installed, or a target found something.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    install_cargo_fuzz(workspace)?;
    let known = targets(workspace)?;
    let chosen = match &args.target {
        Some(target) if known.contains(target) => vec![target.clone()],
        Some(target) => bail!("there is no fuzz target {target}; there are: {}", known.join(", ")),
        None => known,
    };
    let mut failed = Vec::new();
    for target in chosen {
        let result = timed(&format!("fuzz {target}"), || {
            run_command(cargo_nightly(workspace).args(["fuzz", "run", &target, "--"]).arg(format!("-max_total_time={}", args.seconds)))
        });
        if let Err(error) = result {
            eprintln!("xtask: {error:#}");
            failed.push(target);
        }
    }
    if !failed.is_empty() {
        bail!("these targets failed, see fuzz/artifacts: {}", failed.join(", "));
    }
    Ok(())
}

fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let list = output(cargo_nightly(workspace).args(["fuzz", "list"])).context("listing the targets of fuzz/Cargo.toml")?;
    Ok(list.lines().map(str::to_owned).collect())
}

fn install_cargo_fuzz(workspace: &Workspace) -> Result<()> {
    if which("rustup").is_none() || !succeeds(cargo_nightly(workspace).arg("--version")) {
        bail!("fuzzing needs rustup's nightly (sanitizers are unstable): rustup toolchain install nightly");
    }
    if which("cargo-fuzz").is_some() || succeeds(cargo_nightly(workspace).args(["fuzz", "--version"])) {
        return Ok(());
    }
    say(format!("installing cargo-fuzz {CARGO_FUZZ_VERSION}"));
    run_command(workspace.command("cargo").env("CARGO_TARGET_DIR", workspace.target.join("cargo-fuzz")).args([
        "install",
        "cargo-fuzz",
        "--locked",
        "--version",
        CARGO_FUZZ_VERSION,
    ]))
}

/// rustup's `cargo`, not the one that runs xtask: only rustup's understands `+nightly`.
fn cargo_nightly(workspace: &Workspace) -> Command {
    let mut command = workspace.command("cargo");
    // fuzz/ is a workspace of its own, and cargo-fuzz looks for its builds there.
    command.env_remove("CARGO_TARGET_DIR").env_remove("RUSTUP_TOOLCHAIN").arg("+nightly");
    command
}
