//! The embedded store: one SQLite database, one writer thread, readers beside it.
//!
//! - `database` is the writer's side: batches, partitions, deleting by age and size.
//! - `page` reads events, by `conditions`; `summaries` reads sessions and sensors.
//! - `schema` has the tables and how they change; `block` packs events; `sign` finds text in them; `names` turns names into numbers.
//!
//! Invariants: one collector has the directory (a locked file); only the writer thread writes; a reader that finds damage tells
//! the writer, which sets the database aside.

mod block;
mod conditions;
mod database;
mod names;
mod page;
mod partition;
mod schema;
mod sign;
mod summaries;
mod sums;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

pub use summaries::{RunRow, SessionQuery, SessionRow, ToolRow};
pub use writer::Writer;

use self::database::Database;
use super::{Doing as _, Page, PageRequest, Status, StoreError};
use crate::config::StoreSettings;
use crate::event::Filter;
use crate::ingest::RunId;

/// Readers at once.
const READERS: usize = 4;

/// The database's file in its directory.
const FILE: &str = "events.db";

/// Reads what is stored. Clones share one store.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

/// What the writer and the readers share.
#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Connections that nobody uses, with the generation of the database that they read.
    idle: Mutex<Vec<(u64, Connection)>>,
    readers: Semaphore,
    /// Grows when the database is replaced.
    generation: AtomicU64,
    /// A reader has found damage.
    suspect: AtomicBool,
    events: AtomicU64,
    deleted: AtomicU64,
    oldest: AtomicI64,
    warnings: Mutex<BTreeMap<&'static str, String>>,
    /// When the writer was last seen at work or waiting for it, in nanoseconds since 1970.
    alive: AtomicI64,
    _lock: File,
}

/// A store that was opened and does not write yet.
pub struct Opened {
    database: Database,
    shared: Arc<Shared>,
}

impl Opened {
    /// Opens the store in the directory of `settings`, which is made where it is missing.
    ///
    /// A damaged database is set aside; see [`Status::warnings`].
    ///
    /// # Errors
    /// The directory cannot be used, another collector has it, or the database was written by a newer one.
    pub fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        let directory = &settings.directory;
        let failed = |doing| move |source| StoreError::File { doing, path: directory.clone(), source };
        make_directory(directory).map_err(failed("making the directory"))?;
        let lock = File::create(directory.join("lock")).map_err(failed("locking the directory"))?;
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(StoreError::InUse(directory.clone()));
        }
        let path = directory.join(FILE);
        let mut warnings = BTreeMap::new();
        let database = match Database::open(&path, settings, None) {
            Err(error) if error.is_damage() => {
                let aside = set_aside(&path)?;
                let warning = format!("the database was damaged ({error}) and set aside as {}", aside.display());
                tracing::error!("{warning}; going on with a new one");
                warnings.insert("damaged", warning);
                Database::open(&path, settings, Some(database::clock()))?
            }
            opened => opened?,
        };
        let shared = Shared {
            path,
            idle: Mutex::default(),
            readers: Semaphore::new(READERS),
            generation: AtomicU64::new(0),
            suspect: AtomicBool::new(false),
            events: AtomicU64::new(database.events().unsigned_abs()),
            deleted: AtomicU64::new(database.deleted()?.unsigned_abs()),
            oldest: AtomicI64::new(database.oldest()?.unwrap_or(i64::MAX)),
            warnings: Mutex::new(warnings),
            alive: AtomicI64::new(database::now()),
            _lock: lock,
        };
        Ok(Self { database, shared: Arc::new(shared) })
    }

    /// No event has this cursor or a higher one, and all that are given from now on must.
    #[must_use]
    pub const fn next_cursor(&self) -> u64 {
        self.database.highest.unsigned_abs() + 1
    }

    /// The reading side.
    #[must_use]
    pub fn store(&self) -> Store {
        Store(Arc::clone(&self.shared))
    }
}

impl Store {
    /// Reads events, in the order of their cursors.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn page(&self, request: PageRequest) -> Result<Page, StoreError> {
        self.read(move |connection| page::page(connection, &request)).await
    }

    /// Counts the events with a cursor above `after`, up to `through`; with the first and the last cursor. `None` where there
    /// are none.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn count(
        &self,
        filter: Arc<Filter>,
        from: Option<i64>,
        after: u64,
        through: u64,
    ) -> Result<Option<(u64, u64, u64)>, StoreError> {
        self.read(move |connection| page::count(connection, &filter, from, after, through)).await
    }

    /// The host and the highest stored sequence of a run. `None` where nothing is known of it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn run(&self, id: RunId) -> Result<Option<(String, u64)>, StoreError> {
        self.read(move |connection| summaries::run(connection, id)).await
    }

    /// All runs, by host, the newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn runs(&self) -> Result<Vec<RunRow>, StoreError> {
        self.read(summaries::runs).await
    }

    /// Sessions, newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn sessions(&self, query: SessionQuery) -> Result<Vec<SessionRow>, StoreError> {
        self.read(move |connection| summaries::sessions(connection, &query)).await
    }

    /// The sessions, two at most, with this id; or if there are none, whose id begins so.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn sessions_named(&self, id: String) -> Result<Vec<SessionRow>, StoreError> {
        self.read(move |connection| summaries::sessions_named(connection, &id)).await
    }

    /// The tools that were called in a session.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn tools(&self, session: i64) -> Result<Vec<ToolRow>, StoreError> {
        self.read(move |connection| summaries::tools(connection, session)).await
    }

    /// The cursor up to which events were deleted.
    #[must_use]
    pub fn deleted(&self) -> u64 {
        self.0.deleted.load(Ordering::Relaxed)
    }

    /// How the store is.
    #[must_use]
    pub fn status(&self) -> Status {
        let size = |suffix: &str| std::fs::metadata(with_suffix(&self.0.path, suffix)).map_or(0, |metadata| metadata.len());
        let oldest = self.0.oldest.load(Ordering::Relaxed);
        Status {
            events: self.0.events.load(Ordering::Relaxed),
            bytes: size("") + size("-wal") + size("-shm"),
            oldest: (oldest != i64::MAX).then_some(oldest),
            warnings: self.0.warnings().values().cloned().collect(),
        }
    }

    /// When the writer was last seen at work, in nanoseconds since 1970.
    #[must_use]
    pub fn alive(&self) -> i64 {
        self.0.alive.load(Ordering::Relaxed)
    }

    /// False where the writer was not seen for so long that it must hang.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        const SILENCE: i64 = 30_000_000_000;
        database::now().saturating_sub(self.alive()) < SILENCE
    }

    async fn read<T: Send + 'static>(
        &self,
        reading: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.0);
        // The semaphore is never closed.
        let _turn = self.0.readers.acquire().await.map_err(|_| StoreError::Closed)?;
        let read = tokio::task::spawn_blocking(move || {
            let generation = shared.generation.load(Ordering::Acquire);
            let connection = shared.connection(generation)?;
            let result = reading(&connection);
            match &result {
                Err(error) if error.is_damage() => shared.suspect.store(true, Ordering::Release),
                _ => shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push((generation, connection)),
            }
            result
        });
        read.await.map_err(|_| StoreError::Closed)?
    }
}

impl Shared {
    fn connection(&self, generation: u64) -> Result<Connection, StoreError> {
        {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|(of, _)| *of == generation);
            if let Some((_, connection)) = idle.pop() {
                return Ok(connection);
            }
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).doing("opening the database")?;
        connection.set_prepared_statement_cache_capacity(64);
        connection
            .execute_batch("PRAGMA busy_timeout = 10000; PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY; PRAGMA query_only = 1;")
            .doing("configuring the database")?;
        Ok(connection)
    }

    fn warnings(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_directory(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Renames a database and what belongs to it, so that a new one can begin. Returns its new name.
fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let seconds = database::now() / 1_000_000_000;
    let mut aside = with_suffix(path, &format!(".damaged-{seconds}"));
    let mut again = 1;
    while aside.exists() {
        again += 1;
        aside = with_suffix(path, &format!(".damaged-{seconds}-{again}"));
    }
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&aside, suffix));
        match std::fs::rename(&from, to) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::File { doing: "setting aside", path: from, source });
            }
            _ => {}
        }
    }
    Ok(aside)
}
