//! The store: what has been acknowledged is here.
//!
//! Work goes to one writer thread through [`Queue`], bounded by bytes; whoever reads does so beside it. The store knows nothing
//! of the network. What there is now is [`sqlite`], embedded, for one machine; another kind of store stands beside it as
//! another module and offers what [`Store`] offers.
//!
//! Invariants:
//! - Chunks are committed in the order in which they were queued, whole, together with their run's high-water mark.
//! - The live log and the run hear of a commit only after it.
//! - A cursor never names two events: a new store begins with the clock (so many cursors a second that no collector gives
//!   them away faster), and after an unclean end a stretch is left out, bigger than what could have been under way.
//! - A damaged database is set aside under another name, told, and replaced by a new one; ingestion goes on.

mod queue;
pub mod sqlite;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

pub use queue::{Permit, Queue, Work};
pub use sqlite::Store;

use crate::event::Filter;

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says no.
    #[error("{doing}: {source}")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// The file system says no.
    #[error("{doing} {path}: {source}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Another collector has it.
    #[error("{0} is in use by another collector")]
    InUse(PathBuf),
    /// It was written by a newer collector.
    #[error("{path} has schema version {found}; this collector knows up to {known}")]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// A part of it is not what was written.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A search would take too long.
    #[error("searching took more than {} s", .0.as_secs())]
    TooLong(std::time::Duration),
    /// The writer thread or a reader has ended.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// True where the database itself is broken, not what was done with it.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Damaged(_) => true,
            Self::Sqlite { source, .. } => matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
            _ => false,
        }
    }
}

/// Says what was being done when SQLite said no.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for Result<T, rusqlite::Error> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Sqlite { doing, source })
    }
}

/// Which events to read.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// Those that match.
    pub filter: Arc<Filter>,
    /// Of this time and later, in nanoseconds since 1970.
    pub from: Option<i64>,
    /// Before this time.
    pub to: Option<i64>,
    /// With a cursor above this.
    pub after: u64,
    /// With a cursor below this.
    pub before: u64,
    /// So many at most.
    pub limit: usize,
    /// Highest cursor first.
    pub descending: bool,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Cursors and events, in the order asked for.
    pub events: Vec<(u64, Bytes)>,
    /// Where to go on: after (or, descending, before) this cursor. `None` where all was read.
    pub next: Option<u64>,
}

/// How the store is.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Events in it.
    pub events: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// When the oldest event happened.
    pub oldest: Option<i64>,
    /// What is not well.
    pub warnings: Vec<String>,
}
