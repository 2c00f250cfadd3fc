//! Errors of the collector's answers, in words: see [`present::failure`].

use std::error::Error;
use std::fmt;

pub use present::failure::{Exit, Failure};
use tonic::{Code, Status};

/// What a server said, and what lies behind it.
#[derive(Debug)]
struct Said(Status);

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.message())
    }
}

impl Error for Said {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// The collector said no, or is gone.
pub(super) fn of_status(doing: &str, status: &Status) -> Failure {
    let exit = match status.code() {
        Code::Internal | Code::DataLoss | Code::Unknown => Exit::Failed,
        _ => Exit::Unreachable,
    };
    let failure = Failure::new(exit, format!("cannot {doing}")).because(Said(status.clone()));
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => failure.mend("give a reader's token (--token-file) or certificate"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use present::style::Styles;

    use super::*;

    #[test]
    fn what_a_server_says_cannot_paint_the_terminal() {
        let failure = of_status("read events", &Status::unavailable("\u{1b}[2Jgone\u{202e}"));
        assert_eq!(failure.render(Styles::PLAIN), "error: cannot read events\n  because: ␛[2Jgone\\u{202e}\n");
        assert_eq!(failure.exit(), Exit::Unreachable);
    }
}
