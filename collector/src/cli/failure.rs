//! How an error reaches the person at the terminal: what failed, why, and with which exit code.
//!
//! Invariant: what is printed is sanitised, for errors name files of others and repeat what a server said.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use present::sanitize::sanitize;
use present::style::{ColorChoice, Style, Styles};
use tonic::{Code, Status};

/// How the program ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// All went well.
    Ok,
    /// Something failed while running.
    Failed,
    /// The command line or the configuration cannot be understood.
    Usage,
    /// The collector cannot be reached, or has refused.
    Unreachable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 4,
        })
    }
}

/// An error that ends the program.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    causes: Vec<String>,
    mend: Option<String>,
}

impl Failure {
    /// Something failed. `what` says what was being done to what.
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), causes: Vec::new(), mend: None }
    }

    /// The output could not be written; where its reader went away, that is well.
    #[must_use]
    pub fn of_output(error: io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Ok } else { Exit::Failed };
        Self::new(exit, "cannot write the output").because(&error)
    }

    /// The collector said no, or is gone.
    #[must_use]
    pub fn of_status(doing: &str, status: &Status) -> Self {
        let exit = match status.code() {
            Code::Internal | Code::DataLoss | Code::Unknown => Exit::Failed,
            _ => Exit::Unreachable,
        };
        let failure = Self { causes: vec![status.message().to_owned()], ..Self::new(exit, format!("cannot {doing}")) };
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => failure.mend("give a reader's token (--token-file) or certificate"),
            _ => match status.source() {
                Some(source) => failure.because(source),
                None => failure,
            },
        }
    }

    /// The error behind it.
    #[must_use]
    pub fn because(mut self, error: &dyn Error) -> Self {
        const MOST: usize = 8;
        let mut next = Some(error);
        while let Some(error) = next.filter(|_| self.causes.len() < MOST) {
            let text = error.to_string();
            if self.causes.last().unwrap_or(&self.what).ends_with(&text) || text.is_empty() {
                next = error.source();
                continue;
            }
            self.causes.push(text);
            next = error.source();
        }
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

    /// As it is printed, with its line end. Empty where it is no failure.
    #[must_use]
    pub fn render(&self, styles: Styles) -> String {
        if self.exit == Exit::Ok {
            return String::new();
        }
        let mut shown = String::new();
        styles.paint(Style::ERROR, "error: ", &mut shown);
        shown.extend([&*sanitize(&self.what), "\n"]);
        let details = self.causes.iter().map(|cause| ("because", Style::DIM, cause));
        for (label, style, text) in details.chain(self.mend.iter().map(|mend| ("to mend", Style::BOLD, mend))) {
            for line in text.lines().filter(|line| !line.is_empty()) {
                styles.paint(style, &format!("  {label}: "), &mut shown);
                shown.extend([&*sanitize(line), "\n"]);
            }
        }
        shown
    }

    /// Prints it to standard error and tells how the program ends.
    #[must_use]
    pub fn report(&self, color: ColorChoice) -> Exit {
        let shown = self.render(Styles::choose(color, &io::stderr()));
        // Where standard error is closed, there is nobody to be told.
        let _ = io::stderr().write_all(shown.as_bytes());
        self.exit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_paint_the_terminal() {
        let failure = Failure::of_status("read events", &Status::unavailable("\u{1b}[2Jgone\u{202e}"));
        assert_eq!(failure.render(Styles::PLAIN), "error: cannot read events\n  because: ␛[2Jgone\\u{202e}\n");
        assert_eq!(failure.exit(), Exit::Unreachable);
    }
}
