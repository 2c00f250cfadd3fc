//! The development commands of this repository, run as `cargo xtask <command>`.
//!
//! Each command is one module. A command says what it does before it does it, streams what its children print, and says how
//! long each part took. Nothing here is needed to build or to run the product itself: `cargo build` alone does that.

mod bench;
mod ebpf;
mod fuzz;
mod kernels;
mod libraries;
mod lint;
mod long;
mod package;
mod privilege;
mod process;
mod report;
mod run;
mod setup;
mod test;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

use workspace::Workspace;

/// Every development command of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask setup          install what building and testing need
  cargo xtask run --demo     see live events from a demo client and server
  cargo xtask test           everything that continuous integration checks
  cargo xtask test --quick   the checks worth running before each commit

Every command has its own examples: cargo xtask <command> --help";

#[derive(Subcommand)]
enum Command {
    Setup(setup::Args),
    Ebpf(ebpf::Args),
    Lint(lint::Args),
    Test(test::Args),
    Run(run::Args),
    Bench(bench::Args),
    Fuzz(fuzz::Args),
    Long(long::Args),
    Kernels(kernels::Args),
    Package(package::Args),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Setup(args) => setup::run(&workspace, &args)?,
        Command::Ebpf(args) => ebpf::run(&workspace, &args)?,
        Command::Lint(args) => lint::run(&workspace, &args)?,
        Command::Test(args) => return test::run(&workspace, &args),
        Command::Run(args) => return run::run(&workspace, &args),
        Command::Bench(args) => bench::run(&workspace, &args)?,
        Command::Fuzz(args) => fuzz::run(&workspace, &args)?,
        Command::Long(args) => long::run(&workspace, &args)?,
        Command::Kernels(args) => return kernels::run(&workspace, &args),
        Command::Package(args) => package::run(&workspace, &args)?,
    }
    Ok(ExitCode::SUCCESS)
}
