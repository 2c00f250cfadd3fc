//! How an error reaches the person at the terminal: what failed, why, how to mend it, and with which exit code.
//!
//! ```text
//! error: cannot attach the kernel program `capture`
//!   because: bpf(BPF_LINK_CREATE) failed
//!   because: Operation not permitted (os error 1)
//!   to mend: run mcp-sensor as root, or see `mcp-sensor check`
//! ```
//!
//! Never a backtrace: `RUST_BACKTRACE=1` brings one for a panic, which is a mistake in the program, never in its use.
//! Invariant: what is printed is sanitised, for errors name files and processes of others, and repeat what a server said.

use std::error::Error;
use std::fmt;
use std::io::{self, Write as _};
use std::panic;
use std::process::ExitCode;

use crate::sanitize::sanitize;
use crate::style::{ColorChoice, Style, Styles};

/// Causes that are told, of one error.
const MAX_CAUSES: usize = 8;

/// The codes with which the programs end, the same in both. They are part of their interface.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// All went well, also where the reader of the output went away or the operator pressed Ctrl-C.
    Ok = 0,
    /// Something failed while running.
    Failed = 1,
    /// The command line or the configuration cannot be understood. (The same code that the argument parser uses.)
    Usage = 2,
    /// This machine, or this user, cannot capture. `mcp-sensor check` tells why.
    CannotCapture = 3,
    /// The collector cannot be reached, or has refused.
    Unreachable = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that ends the program.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
    mend: Option<String>,
}

impl Failure {
    /// Something failed. `what` says what was being done to what: "cannot attach the kernel program `capture`".
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), cause: None, mend: None }
    }

    /// The output could not be written. Where its reader went away, that ends the program quietly and well.
    #[must_use]
    pub fn of_output(error: io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Ok } else { Exit::Failed };
        Self::new(exit, "cannot write the output").because(error)
    }

    /// The error behind it.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// How the program ends.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// As it is printed, with its line end. Empty where it is no failure: see [`Failure::of_output`].
    #[must_use]
    pub fn render(&self, styles: Styles) -> String {
        if self.exit == Exit::Ok {
            return String::new();
        }
        let mut shown = String::new();
        styles.paint(Style::ERROR, "error: ", &mut shown);
        shown.extend([&*sanitize(&self.what), "\n"]);
        for cause in self.causes() {
            push_detail(styles, Style::DIM, "because", &cause, &mut shown);
        }
        if let Some(mend) = &self.mend {
            push_detail(styles, Style::BOLD, "to mend", mend, &mut shown);
        }
        shown
    }

    /// What it is and why, in one line, safe to print: for a log, or where the program goes on.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        let causes = self.causes();
        let words = std::iter::once(&self.what).chain(&causes);
        words.map(|text| sanitize(text)).collect::<Vec<_>>().join(": ")
    }

    /// Prints it to standard error and tells how the program ends.
    pub fn report(&self, color: ColorChoice) -> Exit {
        let shown = self.render(Styles::choose(color, &io::stderr()));
        // Where standard error is closed, there is nobody to be told.
        let _ = io::stderr().write_all(shown.as_bytes());
        self.exit()
    }

    /// The causes in their own words, the nearest first. Many errors repeat their cause: that is not told twice.
    fn causes(&self) -> Vec<String> {
        let mut said = self.what.clone();
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(error) = next.filter(|_| causes.len() < MAX_CAUSES) {
            let text = error.to_string();
            if !said.ends_with(&text) {
                causes.push(text.clone());
                said = text;
            }
            next = error.source();
        }
        causes
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

/// Makes a panic of `program` one readable line, and the backtrace behind it a matter of `RUST_BACKTRACE`. Call it once,
/// first.
pub fn install_panic_hook(program: &'static str) {
    let inherited = panic::take_hook();
    panic::set_hook(Box::new(move |information| {
        let said = information.payload_as_str().unwrap_or("no words");
        let place = information.location().map_or_else(String::new, |location| format!(" ({}:{})", location.file(), location.line()));
        let line = format!("error: {program} has a mistake in it and stops: {}{place}\n", sanitize(said));
        let _ = io::stderr().write_all(line.as_bytes());
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            inherited(information);
        }
    }));
}

fn push_detail(styles: Styles, style: Style, label: &str, text: &str, shown: &mut String) {
    for (position, line) in text.lines().filter(|line| !line.is_empty()).enumerate() {
        shown.push_str("  ");
        if position == 0 {
            styles.paint(style, &format!("{label}: "), shown);
        } else {
            shown.push_str("         ");
        }
        shown.push_str(&sanitize(line));
        shown.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("bpf(BPF_LINK_CREATE) on {hook}: {source}")]
    struct Attach {
        hook: &'static str,
        source: io::Error,
    }

    fn failure() -> Failure {
        let attach = Attach { hook: "sys_exit", source: io::Error::from_raw_os_error(1) };
        Failure::new(Exit::CannotCapture, "cannot attach the kernel program `capture`").because(attach)
    }

    #[test]
    fn an_error_says_what_why_and_how_to_mend() {
        let shown = failure().mend("run mcp-sensor as root\nor see `mcp-sensor check`").render(Styles::PLAIN);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(
            lines,
            [
                "error: cannot attach the kernel program `capture`",
                "  because: bpf(BPF_LINK_CREATE) on sys_exit: Operation not permitted (os error 1)",
                "  to mend: run mcp-sensor as root",
                "           or see `mcp-sensor check`",
            ]
        );
        assert_eq!(failure().exit(), Exit::CannotCapture);
    }

    #[test]
    fn an_error_cannot_paint_the_terminal() {
        let failure = Failure::new(Exit::Failed, "cannot read /tmp/\u{1b}[2J").because("x\u{202e}y");
        assert_eq!(failure.render(Styles::PLAIN), "error: cannot read /tmp/␛[2J\n  because: x\\u{202e}y\n");
        assert_eq!(failure.in_one_line(), "cannot read /tmp/␛[2J: x\\u{202e}y");
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let failure = Failure::of_output(io::ErrorKind::BrokenPipe.into());
        assert_eq!((failure.exit(), failure.render(Styles::PLAIN).as_str()), (Exit::Ok, ""));
        let other = Failure::new(Exit::Failed, "x").because(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(other.exit(), Exit::Failed, "only the output's reader may go away");
    }

    #[test]
    fn a_full_disk_is_a_failure() {
        let failure = Failure::of_output(io::Error::from_raw_os_error(28));
        assert_eq!(failure.exit(), Exit::Failed);
        assert_eq!(failure.render(Styles::PLAIN), "error: cannot write the output\n  because: No space left on device (os error 28)\n");
    }
}
