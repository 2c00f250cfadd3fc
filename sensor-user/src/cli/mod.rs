//! What people type and what they are told: arguments, filters, checks, errors, exit codes.
//!
//! Invariant: every end of the program has one of the codes in [`exit`], and every error says what failed, where, and how
//! to mend it, as far as that is known.

pub mod args;
pub mod check;
pub mod error;
pub mod exit;
pub mod filter;

use std::io::{self, IsTerminal as _, Write as _};

pub use args::{Args, Check, Command, Payload, Watch};
use clap::CommandFactory as _;
pub use error::Failure;
pub use exit::Exit;
pub use filter::Filter;

use crate::export::json::JsonLines;
use crate::export::output::Output;
use crate::export::style::Styles;
use crate::export::table::{Options, Size, Table};
use crate::export::{Exporter, sanitize};

/// The exporter that `watch` was asked for, to standard output.
///
/// # Errors
/// Standard output is closed.
pub fn exporter(watch: &Watch) -> io::Result<Box<dyn Exporter>> {
    let output = Output::stdout()?;
    if watch.json {
        return Ok(Box::new(JsonLines::new(output)));
    }
    let styles = Styles::choose(watch.color.into(), &io::stdout());
    let options = Options { styles, size: Size::of_stdout(), messages: watch.messages };
    Ok(Box::new(Table::new(output, options)))
}

/// The colours of what goes to standard error.
#[must_use]
pub fn stderr_styles(watch: &Watch) -> Styles {
    Styles::choose(watch.color.into(), &io::stderr())
}

/// Warns, on standard error, of what the operator's choices lead to.
pub fn warn_of_choices(watch: &Watch) {
    if watch.payload == Payload::Full {
        warn("--payload full: secrets in the traffic are shown as they are", stderr_styles(watch));
    }
    let is_seen_by_others = !watch.json && watch.payload == Payload::Full && !io::stdout().is_terminal();
    if is_seen_by_others {
        warn("--payload full: the output does not go to a terminal; keep it where only you can read it", stderr_styles(watch));
    }
}

/// Prints one warning to standard error.
pub fn warn(text: &str, styles: Styles) {
    let mut shown = String::new();
    styles.paint(crate::export::style::Style::WARNING, "warning: ", &mut shown);
    shown.push_str(&sanitize::sanitize(text));
    shown.push('\n');
    // Where standard error is closed, there is nobody to be told.
    let _ = io::stderr().write_all(shown.as_bytes());
}

/// Prints the completions for a shell to standard output.
///
/// # Errors
/// Standard output could not be written.
pub fn completions(shell: clap_complete::Shell) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "mcp-sensor", &mut script);
    io::stdout().write_all(&script)
}
