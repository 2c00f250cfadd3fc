//! A raw MCP client and server without any SDK, which drives every way of moving bytes and logs the truth of it.
//!
//! What crosses the wire is logged as `end_to_end::truth` describes (`TRUTH_DIR`, `TRUTH_SESSION`). Exit codes: 0 all right, 1 something is wrong,
//! 77 not possible on this machine. With `--patience`-like limits everywhere, nothing hangs for ever.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, reason = "a test tool: a panic is a failed test")]

mod client;
mod crowd;
mod demo;
mod forked;
mod lax;
mod load;
mod odd;
mod prepare;
mod process;
mod relay;
mod replay;
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
    /// A client that lives for less than 100 ms: one call.
    Short(client::Options),
    /// Pass on bytes between stdin and stdout and a server.
    Relay(relay::Options),
    /// Start a server that inherits stdin and stdout, and wait for it.
    Launcher {
        /// The server command.
        #[arg(last = true, required = true)]
        server: Vec<String>,
    },
    /// A server of forked workers that share stdin and stdout.
    Prefork(forked::Prefork),
    /// A server that accepts on the listening socket that is its stdin, and hands each connection to a forked worker.
    Handoff(forked::Handoff),
    /// Run a peer (`rename NAME -- client ...`) under another process name.
    Rename {
        name: String,
        /// The command line of this program.
        #[arg(last = true, required = true)]
        words: Vec<String>,
    },
    /// Keep many pipes open, each given eleven bytes, while a command runs (or until stdin ends).
    ManyPipes {
        count: usize,
        /// Unix sockets instead.
        #[arg(long)]
        sockets: bool,
        /// The command line of this program.
        #[arg(last = true)]
        words: Vec<String>,
    },
    /// Play an odd input.
    Odd(odd::Options),
    /// Play files that only look like MCP between two processes.
    Lookalike(replay::Options),
    /// An endless conversation to look at.
    Demo(demo::Options),
    /// Paced load; counts what was sent.
    Load(load::Options),
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
        Command::Short(options) => client::run(&client::Options { calls: 1, tool: client::Tool::Echo, ..options }),
        Command::Relay(options) => relay::relay(&options),
        Command::Launcher { server } => relay::launch(&server),
        Command::Prefork(options) => forked::prefork(&options),
        Command::Handoff(options) => forked::handoff(&options),
        Command::Rename { name, words } => {
            process::rename(&name)?;
            run_words(&words)
        }
        Command::ManyPipes { count, sockets, words } => {
            let _crowd = crowd::Crowd::open(count, sockets)?;
            if words.is_empty() {
                eprintln!("ready");
                std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
                return Ok(());
            }
            run_words(&words)
        }
        Command::Odd(options) => odd::run(&options),
        Command::Lookalike(options) => replay::lookalikes(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Load(options) => load::run(&options),
        Command::Selftest(options) => selftest::run(&options),
    }
}

/// Runs another command line of this program in this process.
fn run_words(words: &[String]) -> Result<()> {
    let words = std::iter::once("peer").chain(words.iter().map(String::as_str));
    run(Cli::try_parse_from(words)?.command)
}
