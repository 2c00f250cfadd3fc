//! What is wrong with a configuration: where, what, and how to mend it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Where a value comes from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Origin {
    /// Nowhere: it is the default.
    #[default]
    Default,
    /// A place in a file. Lines and columns (in characters) count from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { path, line, column } => write!(formatter, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => formatter.write_str(name),
            Self::Flag(name) => write!(formatter, "--{name}"),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct ConfigError(Box<Problem>);

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

/// What is wrong.
#[derive(Debug, Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What is wrong.
        message: String,
    },
    /// No such key.
    #[error("{origin}: there is no setting `{key}`")]
    UnknownKey {
        /// Where.
        origin: Origin,
        /// The key.
        key: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// A value of the wrong type.
    #[error("{origin}: {key} must be {wanted}, and is {found}")]
    WrongType {
        /// Where.
        origin: Origin,
        /// The key.
        key: String,
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        found: String,
        /// How to write it.
        mend: String,
    },
    /// A value that cannot be.
    #[error("{origin}: {key} cannot be {value}: {why}")]
    Impossible {
        /// Where.
        origin: Origin,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// Why it cannot be.
        why: String,
        /// How to mend it.
        mend: String,
    },
    /// A value that must be there.
    #[error("{key} is not set")]
    Missing {
        /// The key.
        key: String,
        /// How to mend it.
        mend: String,
    },
}

impl ConfigError {
    /// How to mend it.
    #[must_use]
    pub fn mend(&self) -> String {
        const LIST: &str = "`mcp-sensor config` prints all settings";
        match self.0.as_ref() {
            Problem::Read { .. } => "name another file with --config, or make this one with `mcp-sensor config > FILE`".to_owned(),
            Problem::Syntax { .. } => "see https://toml.io, or begin with the output of `mcp-sensor config`".to_owned(),
            Problem::UnknownKey { nearest: Some(nearest), .. } => format!("did you mean {nearest}? {LIST}"),
            Problem::UnknownKey { nearest: None, .. } => format!("remove it; {LIST}"),
            Problem::WrongType { mend, .. } | Problem::Impossible { mend, .. } | Problem::Missing { mend, .. } => mend.clone(),
        }
    }
}
