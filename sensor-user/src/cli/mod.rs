//! What people type and what they are told: arguments, filters, checks, errors, exit codes.
//!
//! Invariant: every end of the program has one of the codes in [`exit`], and every error says what failed, where, and how
//! to mend it, as far as that is known.

pub mod args;
pub mod check;
pub mod control;
pub mod error;
pub mod exit;
pub mod filter;
mod policy;
mod run;
mod service;
pub mod tape;

use std::io::{self, Write as _};

use clap::CommandFactory as _;

pub use self::args::{Args, Check, Command, Payload, Watch};
pub use self::error::Failure;
pub use self::exit::Exit;
pub use self::filter::Filter;
pub use self::run::run;

use crate::export::json::JsonLines;
use crate::export::output::Output;
use crate::export::style::{ColorChoice, Style, Styles};
use crate::export::table::{Options, Size, Table};
use crate::export::{Exporter, Outgoing, Summary, sanitize};

/// Shows events on standard output: as JSON, or as a table. At the end the summary goes to standard error.
///
/// # Errors
/// Standard output is closed.
pub fn show(json: bool, messages: bool, color: ColorChoice) -> io::Result<Box<dyn Exporter>> {
    let output = Output::stdout()?;
    let events: Box<dyn Exporter> = if json {
        Box::new(JsonLines::new(output))
    } else {
        let styles = Styles::choose(color, &io::stdout());
        Box::new(Table::new(output, Options { styles, size: Size::of_stdout(), messages }))
    };
    Ok(Box::new(WithSummary { events, styles: Styles::choose(color, &io::stderr()) }))
}

/// Warns, on standard error, of what the operator's choices lead to.
pub fn warn_of_choices(watch: &Watch) {
    if watch.payload == Payload::Full {
        warn("--payload full: secrets in the traffic are shown as they are", Styles::choose(watch.color, &io::stderr()));
    }
}

/// Prints one warning to standard error.
pub fn warn(text: &str, styles: Styles) {
    let mut shown = String::new();
    styles.paint(Style::WARNING, "warning: ", &mut shown);
    shown.push_str(&sanitize::sanitize(text));
    shown.push('\n');
    to_stderr(&shown);
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

fn to_stderr(text: &str) {
    // Where standard error is closed, there is nobody to be told.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// An exporter that says at the end, on standard error, what was seen and what was not.
struct WithSummary {
    events: Box<dyn Exporter>,
    styles: Styles,
}

impl Exporter for WithSummary {
    fn event(&mut self, event: &Outgoing) -> io::Result<()> {
        self.events.event(event)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.events.flush()
    }

    fn tick(&mut self, now: i64) -> io::Result<()> {
        self.events.tick(now)
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        self.events.finish(summary)?;
        to_stderr(&summary.render(self.styles));
        Ok(())
    }
}
