//! A raw MCP client and server without any SDK, which drives every way of moving bytes and logs the truth of it.
//!
//! What crosses the wire is logged as `end_to_end::truth` describes (`TRUTH_DIR`, `TRUTH_SESSION`). Exit codes: 0 all right, 1 something is wrong,
//! 77 not possible on this machine. With `--patience`-like limits everywhere, nothing hangs for ever.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, reason = "a test tool: a panic is a failed test")]

mod client;
mod lax;
mod prepare;
mod process;
mod rpc;
mod selftest;
mod server;
mod shape;
mod speaker;
mod transport;
mod turn;
mod wire;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// A raw MCP peer.
#[derive(Debug, Parser)]
#[command(name = "peer", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer on stdin and stdout.
    Server(server::Options),
    /// Start a server and ask it.
    Client(client::Options),
    /// Run cases against a sensor and compare.
    Selftest(selftest::Options),
}

fn main() {
    let cli = Cli::parse();
    std::process::exit(process::exit_code(run(cli.command)));
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Server(options) => server::run(&options),
        Command::Client(options) => client::run(&options),
        Command::Selftest(options) => selftest::run(&options),
    }
}
