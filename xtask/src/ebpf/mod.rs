//! `cargo xtask ebpf`: the kernel programs, built into objects that are committed.
//!
//! `cargo build` embeds `sensor-ebpf/dist/<arch>/sensor.bpf.o` and so needs stable Rust alone. The price is that the object can
//! fall behind its source; each object's manifest says what it was built from, and `check` refuses what is stale.

mod budget;
mod build;
mod check;
mod manifest;
mod object;
pub mod toolchain;

use anyhow::Result;
use clap::{Args as ClapArgs, Subcommand};

use crate::report::timed;
use crate::workspace::Workspace;
pub use build::warns;
pub use check::{Object, check_budget, check_digests, check_objects};
use toolchain::Toolchain;

/// Build the kernel programs, or check that the committed objects are up to date.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  cargo xtask ebpf build                   rebuild the committed objects
  cargo xtask ebpf check                   fail if one is stale, or a program grew too much
  cargo xtask ebpf check --update-budget   accept the programs' present size")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build both architectures into `sensor-ebpf/dist/`, each with its manifest.
    #[command(after_help = "\
The result depends on the sources and the toolchain only, not on where it was built.

Example:
  cargo xtask ebpf build && git diff --stat sensor-ebpf/dist")]
    Build,
    /// Rebuild into a temporary folder, compare with what is committed, load every program and compare with the budget.
    #[command(after_help = "\
Loading the programs needs root (sudo is used when there is one).

Examples:
  cargo xtask ebpf check
  cargo xtask ebpf check --no-load         staleness only, which needs no root
  cargo xtask ebpf check --update-budget   rewrite sensor-ebpf/dist/budget.json")]
    Check {
        /// Rewrite the budget instead of comparing with it.
        #[arg(long, conflicts_with = "no_load")]
        update_budget: bool,
        /// Do not load the programs into the kernel.
        #[arg(long)]
        no_load: bool,
    },
}

/// Runs `cargo xtask ebpf`.
///
/// # Errors
/// When the toolchain is missing, the programs do not build, a committed object is stale, or a program exceeds its budget.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let toolchain = Toolchain::find()?;
    match args.command {
        Command::Build => timed("build the kernel programs", || build::build_all(workspace, &toolchain)),
        Command::Check { update_budget, no_load } => {
            let object = timed("rebuild and compare the kernel objects", || {
                let (object, result) = check_objects(workspace, &toolchain)?;
                result.map(|()| object)
            })?;
            if no_load {
                return Ok(());
            }
            timed("load the programs and compare with the budget", || check_budget(workspace, &object, update_budget))
        }
    }
}
