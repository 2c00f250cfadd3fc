//! What people type and what they are told: arguments, filters, checks, errors, exit codes.
//!
//! Invariant: every end of the program has one of the codes in [`exit`], and every error says what failed, where, and how
//! to mend it, as far as that is known.

pub mod args;
pub mod check;
pub mod error;
pub mod exit;
pub mod filter;
mod run;
mod service;

use std::io::{self, Write as _};

use clap::CommandFactory as _;

pub use self::args::{Args, Check, Command, Payload, Watch};
pub use self::error::Failure;
pub use self::exit::Exit;
pub use self::filter::Filter;
pub use self::run::run;

use crate::export::json::JsonLines;
use crate::export::output::Output;
use crate::export::style::{Style, Styles};
use crate::export::table::{Options, Size, Table};
use crate::export::{Exporter, Outgoing, Summary, sanitize};

/// The exporter that `watch` was asked for, to standard output. At the end the summary goes to standard error.
///
/// # Errors
/// Standard output is closed.
pub fn exporter(watch: &Watch) -> io::Result<Box<dyn Exporter>> {
    let output = Output::stdout()?;
    let events: Box<dyn Exporter> = if watch.json {
        Box::new(JsonLines::new(output))
    } else {
        let styles = Styles::choose(watch.color, &io::stdout());
        Box::new(Table::new(output, Options { styles, size: Size::of_stdout(), messages: watch.messages }))
    };
    Ok(Box::new(WithSummary { events, styles: stderr_styles(watch) }))
}

/// Warns, on standard error, of what the operator's choices lead to.
pub fn warn_of_choices(watch: &Watch) {
    if watch.payload == Payload::Full {
        warn("--payload full: secrets in the traffic are shown as they are", stderr_styles(watch));
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

/// The colours of what goes to standard error.
fn stderr_styles(watch: &Watch) -> Styles {
    Styles::choose(watch.color, &io::stderr())
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
