//! The writer thread: takes batches from the queue, commits them, and tells who waits.
//!
//! Invariants: a batch is tried until it is stored, or the collector stops; damage replaces the database and the batch goes into
//! the new one; nothing is told before the commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use super::database::{Database, now};
use super::{Opened, Shared, set_aside};
use crate::config::{StoreSettings, Sync};
use crate::live::Log;
use crate::store::{Queue, StoreError, Work};

/// Bytes of one commit, about.
const BATCH: usize = 8 * 1024 * 1024;

/// How long a commit waits for more where each one waits for the disk.
const LINGER: Duration = Duration::from_millis(5);

/// How often it looks after the database while nothing comes.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long it waits after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// Nanoseconds between two looks for what is to be deleted.
const CHORES: i64 = 5_000_000_000;

/// Tries to store what is left when the collector stops.
const LAST_TRIES: u32 = 5;

/// The running thread.
#[derive(Debug)]
pub struct Writer {
    thread: Option<JoinHandle<Result<(), StoreError>>>,
    queue: Arc<Queue>,
}

struct State {
    /// `None` only while it is being replaced.
    database: Option<Database>,
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    log: Arc<Log>,
    settings: StoreSettings,
    chores: i64,
}

impl Opened {
    /// Starts writing what comes through `queue`, and telling `log` what was committed.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(self, settings: &StoreSettings, queue: Arc<Queue>, log: Arc<Log>) -> Result<Writer, StoreError> {
        let Self { database, shared } = self;
        let path = shared.path.clone();
        let state = State { database: Some(database), shared, queue: Arc::clone(&queue), log, settings: settings.clone(), chores: 0 };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || state.run())
            .map_err(|source| StoreError::File { doing: "starting the writer of", path, source })?;
        Ok(Writer { thread: Some(thread), queue })
    }
}

impl Writer {
    /// Stores what is in the queue and closes the database. Blocks.
    ///
    /// # Errors
    /// Something could not be stored. It was not acknowledged either.
    pub fn finish(mut self) -> Result<(), StoreError> {
        self.queue.close();
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or(Err(StoreError::Closed)))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl State {
    fn run(mut self) -> Result<(), StoreError> {
        let linger = if self.settings.sync == Sync::Full { LINGER } else { Duration::ZERO };
        while let Some(works) = self.queue.take(BATCH, PATIENCE, linger) {
            self.shared.alive.store(now(), Ordering::Relaxed);
            if self.shared.suspect.swap(false, Ordering::AcqRel) {
                self.replace(&StoreError::Damaged("a reader has found it".to_owned()))?;
            }
            if !works.is_empty() {
                self.store(&works)?;
                self.tell(&works);
            }
            let result = self.chores();
            self.warn("chores", "looking after the database", result);
        }
        let database = self.database.take().ok_or(StoreError::Closed)?;
        database.close(self.log.head())
    }

    /// Stores a batch, however often it takes.
    fn store(&mut self, works: &[Work]) -> Result<(), StoreError> {
        let mut last_tries = 0;
        loop {
            let error = match self.database.as_mut().ok_or(StoreError::Closed)?.write(works) {
                Ok(_) => {
                    self.shared.warnings().remove("write");
                    return Ok(());
                }
                Err(error) => error,
            };
            if error.is_damage() {
                self.replace(&error)?;
                continue;
            }
            if self.queue.is_closed() {
                last_tries += 1;
                if last_tries > LAST_TRIES {
                    return Err(error);
                }
            }
            self.warn("write", "events cannot be stored", Err(error));
            self.shared.alive.store(now(), Ordering::Relaxed);
            self.queue.pause(PAUSE);
        }
    }

    /// Sets the database aside and begins a new one.
    fn replace(&mut self, damage: &StoreError) -> Result<(), StoreError> {
        let path = self.database.take().ok_or(StoreError::Closed)?.path().to_owned();
        let aside = set_aside(&path)?;
        let warning = format!("the database was damaged ({damage}) and set aside as {}", aside.display());
        tracing::error!("{warning}; going on with a new one");
        self.shared.warnings().insert("damaged", warning);
        self.database = Some(Database::open(&path, &self.settings, Some(super::sums::number(self.log.stored())))?);
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
        self.publish()
    }

    /// Tells who waits for the commit.
    fn tell(&mut self, works: &[Work]) {
        for work in works {
            let Work::Chunk(chunk, _) = work else { continue };
            if !chunk.entries.is_empty() {
                self.log.committed(chunk.last());
            }
            chunk.run.stored.send_modify(|stored| *stored = (*stored).max(chunk.sequence));
        }
        if let Some(database) = &self.database {
            self.shared.events.store(database.events().unsigned_abs(), Ordering::Relaxed);
        }
    }

    fn chores(&mut self) -> Result<(), StoreError> {
        let now = now();
        let Some(database) = self.database.as_mut() else { return Ok(()) };
        database.seal_if_due(now)?;
        if now.saturating_sub(self.chores)
            < self.settings.chores.map_or(CHORES, |chores| i64::try_from(chores.as_nanos()).unwrap_or(CHORES))
        {
            return Ok(());
        }
        self.chores = now;
        database.delete_old(now)?;
        self.publish()
    }

    fn publish(&self) -> Result<(), StoreError> {
        let Some(database) = &self.database else { return Ok(()) };
        self.shared.events.store(database.events().unsigned_abs(), Ordering::Relaxed);
        self.shared.deleted.store(database.deleted()?.unsigned_abs(), Ordering::Relaxed);
        self.shared.oldest.store(database.oldest()?.unwrap_or(i64::MAX), Ordering::Relaxed);
        Ok(())
    }

    /// Keeps a warning as long as what it warns of lasts; logs it when it comes.
    fn warn(&self, name: &'static str, what: &str, result: Result<(), StoreError>) {
        match result {
            Ok(()) => _ = self.shared.warnings().remove(name),
            Err(error) => {
                let warning = format!("{what}: {error}");
                let before = self.shared.warnings().insert(name, warning.clone());
                if before.as_ref() != Some(&warning) {
                    tracing::error!("{warning}");
                }
            }
        }
    }
}
