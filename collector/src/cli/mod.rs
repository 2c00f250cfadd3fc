//! The command line.
//!
//! - `args` has commands and flags; `serve` runs the server; `events` and `summaries` ask a running one, `follow` stays
//!   with it, `replay` puts a session together.
//! - `client` is the way to it; `failure` is how its errors reach the person; `shown`, `json`, `csv` and `text` write what is
//!   shown.
//!
//! Invariants: what comes from outside reaches a terminal only sanitised; output is flushed with each batch; a reader of the output
//! that goes away ends the program well.

mod args;
mod client;
mod csv;
mod events;
mod failure;
mod follow;
mod json;
mod replay;
mod serve;
mod shown;
mod summaries;
mod text;
mod time;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

pub use args::{Args, Command};
pub use failure::{Exit, Failure};

use present::style::ColorChoice;

use crate::config::file::default_file;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    present::failure::install_panic_hook("mcp-collector");
    let args = Args::parse();
    let color = match &args.command {
        Command::Tail(tail) => tail.output.color,
        Command::Events(events) => events.export.color,
        Command::Sessions(sessions) => sessions.export.color,
        Command::Sensors(sensors) => sensors.output.color,
        Command::Replay(replay) => replay.color,
        Command::Serve(_) | Command::Config | Command::Health(_) | Command::Completions { .. } => ColorChoice::Auto,
    };
    match run(args.command) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => failure.report(color).into(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::run(*args),
        Command::Config => print(default_file().as_bytes()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "mcp-collector", &mut script);
            print(&script)
        }
        Command::Tail(args) => client::block_on(events::tail(*args)),
        Command::Events(args) => client::block_on(events::events(*args)),
        Command::Sessions(args) => client::block_on(summaries::sessions(*args)),
        Command::Sensors(args) => client::block_on(summaries::sensors(*args)),
        Command::Replay(args) => client::block_on(replay::replay(*args)),
        Command::Health(connection) => client::block_on(client::health(&connection)),
    }
}

/// Writes to standard output.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Failure::of_output)
}
