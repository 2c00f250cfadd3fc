//! Every odd input of `mcp-on-the-wire.md` §3.4 and of `failure-cases.md` that goes over pipes, sockets and terminals, by name.
//!
//! A row is a client with a server; both log what a lax server executes as messages, and all else as noise.

mod rows;

use crate::crowd::Crowd;
use crate::{Cli, Command, client, process, replay};
use anyhow::{Context, Result, bail};
use clap::{Args, Parser};
use rows::{Play, Row};
use serde_json::json;

pub use rows::ROWS;

/// `peer odd`
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The row.
    #[arg(required_unless_present = "list")]
    row: Option<String>,
    /// Print all rows.
    #[arg(long)]
    list: bool,
    /// Print them as a JSON array.
    #[arg(long, requires = "list")]
    json: bool,
}

/// Plays a row, or lists them.
pub fn run(options: &Options) -> Result<()> {
    if options.list {
        list(options.json);
        return Ok(());
    }
    let name = options.row.as_deref().unwrap_or_default();
    let row = ROWS.iter().find(|row| row.name == name).with_context(|| format!("no row {name}; see --list"))?;
    play(row)
}

fn list(as_json: bool) {
    if as_json {
        let rows: Vec<_> = ROWS
            .iter()
            .map(|row| json!({"name": row.name, "source": row.source, "description": row.description, "gate": row.gate, "seconds": row.seconds}))
            .collect();
        println!("{}", json!(rows));
        return;
    }
    for Row { name, source, description, .. } in ROWS {
        println!("{name:<14} {source:<6} {description}");
    }
}

fn play(row: &Row) -> Result<()> {
    match row.play {
        Play::Pair { client, server } => run_client(client, server),
        Play::Named { name, client, server } => {
            process::rename(name)?;
            run_client(client, server)
        }
        Play::Crowded { count, sockets } => {
            let _crowd = Crowd::open(count, sockets)?;
            run_client("", "peer server")
        }
        Play::Twice { client, server } => run_twice(client, server),
        Play::LanguageServer => replay::play(&replay::language_server(), crate::transport::Transport::Pipe, &process::session()),
    }
}

/// Runs `peer client` with these words in this process.
fn run_client(client: &str, server: &str) -> Result<()> {
    let words = ["peer", "client"].into_iter().chain(client.split_whitespace()).chain(["--"]).chain(server.split_whitespace());
    match Cli::try_parse_from(words)?.command {
        Command::Client(options) => client::run(&options),
        _ => bail!("not a client"),
    }
}

/// Two clients with their servers at the same time.
fn run_twice(client: &str, server: &str) -> Result<()> {
    let session = process::session();
    let mut children = Vec::new();
    for number in 0..2 {
        let words = ["peer", "client"].into_iter().chain(client.split_whitespace()).chain(["--"]).chain(server.split_whitespace());
        let words: Vec<String> = words.map(str::to_owned).collect();
        children.push(process::command(&words)?.env("TRUTH_SESSION", format!("{session}.{number}")).spawn()?);
    }
    for mut child in children {
        let status = child.wait()?;
        if !status.success() {
            bail!("a client ended with {status}");
        }
    }
    Ok(())
}
