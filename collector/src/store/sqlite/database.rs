//! The database as its one writer has it.
//!
//! Invariants: [`Database::write`] does all of a batch or nothing; what is kept in memory (the open partition, the open block,
//! the numbers of names) is what the database says: after a failure it is read anew.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};

use super::block::{self, Builder};
use super::names::Names;
use super::partition::{self, Partition, Sealed};
use super::schema;
use super::sign::{self, Signature};
use super::sums::{Ids, Sums, number};
use crate::config::{StoreSettings, Sync};
use crate::ingest::{Entry, RunInfo};
use crate::store::{Doing as _, StoreError, Work};

/// Events after which a partition is full.
const PARTITION_EVENTS: i64 = 200_000;

/// Bytes of events after which a partition is full.
const PARTITION_BYTES: i64 = 256 * 1024 * 1024;

/// Cursors that are left out after an unclean end: more than can have been given out and not stored.
const LEFT_OUT: i64 = 1 << 32;

/// A database up to this size is checked whole after an unclean end; of a bigger one, what can have been written last.
const CHECK_WHOLE: i64 = 512 * 1024 * 1024;

/// See the module.
pub(super) struct Database {
    pub(super) connection: Connection,
    path: PathBuf,
    settings: StoreSettings,
    compressor: zstd::bulk::Compressor<'static>,
    names: Names,
    partition: Option<Partition>,
    sealed: Vec<Sealed>,
    block: Builder,
    signature: Signature,
    scratch: Vec<u8>,
    /// Every cursor that is given from now on is above this.
    pub(super) highest: i64,
}

impl Database {
    /// Opens it; makes it where there is none, migrates it where it is old, checks it where its last writer did not end well.
    ///
    /// `lost`: it takes the place of one that was damaged, with all events up to this cursor.
    pub(super) fn open(path: &Path, settings: &StoreSettings, lost: Option<i64>) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path).doing("opening the database")?;
        configure(&connection, settings.sync).doing("configuring the database")?;
        let found = schema::migrate(&mut connection, path)?;
        let highest = if found == 0 {
            schema::set_meta(&connection, "deleted", lost.unwrap_or(0)).doing("setting up the database")?;
            clock()
        } else {
            let last: i64 = connection
                .query_row("SELECT coalesce(max(last_cursor), 0) FROM partitions", [], |row| row.get(0))
                .doing("reading the partitions")?;
            let last = last.max(schema::meta(&connection, "highest").doing("reading the cursor")?.unwrap_or(0));
            if schema::meta(&connection, "clean").doing("reading how the database was left")? == Some(1) {
                last
            } else {
                tracing::warn!("the database was not closed; checking it");
                check(&connection)?;
                last.saturating_add(LEFT_OUT).max(clock())
            }
        };
        schema::set_meta(&connection, "clean", 0).doing("marking the database as open")?;
        schema::set_meta(&connection, "highest", highest).doing("storing the cursor")?;
        let compressor =
            block::compressor().map_err(|source| StoreError::File { doing: "preparing to compress", path: path.to_owned(), source })?;
        let mut database = Self {
            connection,
            path: path.to_owned(),
            settings: settings.clone(),
            compressor,
            names: Names::default(),
            partition: None,
            sealed: Vec::new(),
            block: Builder::default(),
            signature: Signature::default(),
            scratch: Vec::new(),
            highest,
        };
        database.reload()?;
        if database.partition.as_ref().is_some_and(|partition| partition.format < schema::FORMAT) {
            // Rows of another format go into another partition.
            database.seal()?;
        }
        Ok(database)
    }

    /// Marks it as left well, with the highest cursor that was given out, and closes it.
    pub(super) fn close(self, highest: u64) -> Result<(), StoreError> {
        schema::set_meta(&self.connection, "highest", number(highest)).doing("storing the cursor")?;
        schema::set_meta(&self.connection, "clean", 1).doing("marking the database as closed")?;
        self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").doing("closing the database")?;
        self.connection.close().map_err(|(_, source)| source).doing("closing the database")
    }

    /// Events in it.
    pub(super) fn events(&self) -> i64 {
        self.sealed.iter().map(|sealed| sealed.events).sum::<i64>() + self.partition.as_ref().map_or(0, |partition| partition.events)
    }

    /// Stores a batch, whole or not at all. Returns how many of its events were there already.
    pub(super) fn write(&mut self, works: &[Work]) -> Result<u64, StoreError> {
        let result = self.try_write(works);
        if result.is_err() {
            self.reload()?;
        }
        result
    }

    fn try_write(&mut self, works: &[Work]) -> Result<u64, StoreError> {
        let transaction = self.connection.unchecked_transaction().doing("beginning to write")?;
        let mut sums = Sums::default();
        let mut duplicates = 0;
        let has_events = works.iter().any(|work| matches!(work, Work::Chunk(chunk, _) if !chunk.entries.is_empty()));
        if has_events && self.partition.is_none() {
            self.partition = Some(partition::new(&transaction).doing("making a partition")?);
        }
        if has_events && let Some(partition) = &mut self.partition {
            let mut writing = Writing {
                connection: &transaction,
                insert: transaction
                    .prepare_cached(&format!(
                        "INSERT OR IGNORE INTO rows_{} VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
                        partition.number
                    ))
                    .doing("preparing to write")?,
                names: &mut self.names,
                sealed: &self.sealed,
                sums: &mut sums,
                partition,
            };
            for work in works {
                let Work::Chunk(chunk, _) = work else { continue };
                for entry in &chunk.entries {
                    if self.block.is_full() {
                        write_block(&transaction, writing.partition.number, &mut self.block, &mut self.compressor, &mut self.scratch)
                            .and_then(|first| self.signature.write(&transaction, writing.partition.number, first))
                            .doing("writing a block")?;
                        self.block.clear();
                        self.signature.clear();
                    }
                    if let Some(ids) = writing.entry(entry, chunk.received).doing("writing an event")? {
                        self.block.add(entry.cursor, &entry.event);
                        self.signature.add(&entry.keys, &ids);
                    } else {
                        duplicates += 1;
                    }
                }
            }
            if self.block.is_dirty() {
                write_block(&transaction, writing.partition.number, &mut self.block, &mut self.compressor, &mut self.scratch)
                    .and_then(|first| self.signature.write(&transaction, writing.partition.number, first))
                    .doing("writing a block")?;
            }
            partition::update(&transaction, writing.partition).doing("writing the partition")?;
        }
        for work in works {
            match work {
                Work::Chunk(chunk, _) => sums.chunk(chunk),
                Work::Hello(info) => write_run(&transaction, info).doing("writing a sensor")?,
                Work::Seen(run, time) => {
                    transaction
                        .prepare_cached("UPDATE runs SET last_seen = max(last_seen, ?2) WHERE id = ?1")
                        .and_then(|mut update| update.execute((run.0.to_be_bytes(), time)))
                        .doing("writing a sensor")?;
                }
            }
        }
        sums.write(&transaction).doing("writing sessions")?;
        transaction.commit().doing("committing")?;
        Ok(duplicates)
    }

    /// Reads what is kept in memory from the database.
    fn reload(&mut self) -> Result<(), StoreError> {
        self.names.forget();
        self.block.clear();
        self.signature.clear();
        self.partition = partition::read(&self.connection).optional().doing("reading the partitions")?;
        self.sealed = partition::read_sealed(&self.connection).doing("reading the partitions")?;
        if let Some(partition) = &self.partition {
            let last = self
                .connection
                .query_row(&format!("SELECT first, data FROM blocks_{} ORDER BY first DESC LIMIT 1", partition.number), [], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
                })
                .optional()
                .doing("reading the last block")?;
            if let Some((first, data)) = last {
                let plain = block::decompressor().and_then(|mut zstd| block::plain(&mut zstd, &data)).map_err(StoreError::Damaged)?;
                self.block = Builder::reopen(first.unsigned_abs(), plain).map_err(StoreError::Damaged)?;
                if partition.format >= schema::FORMAT {
                    self.signature = sign::read(&self.connection, partition.number, first).doing("reading the last block")?;
                }
            }
        }
        Ok(())
    }

    /// Seals the open partition where it is full, or old enough that deleting by age would wait for it.
    pub(super) fn seal_if_due(&mut self, now: i64) -> Result<(), StoreError> {
        let Some(partition) = &self.partition else { return Ok(()) };
        let max_bytes = self.settings.max_bytes.map_or(PARTITION_BYTES, |bytes| (number(bytes) / 4).clamp(1, PARTITION_BYTES));
        let max_age = self.settings.max_age.map_or(i64::MAX, |age| i64::try_from(age.as_nanos() / 16).unwrap_or(i64::MAX));
        let is_due = partition.events >= self.settings.partition_events.map_or(PARTITION_EVENTS, number)
            || partition.bytes >= max_bytes
            || now.saturating_sub(partition.first_received) >= max_age;
        if is_due { self.seal() } else { Ok(()) }
    }

    /// Seals the open partition.
    fn seal(&mut self) -> Result<(), StoreError> {
        let Some(partition) = &self.partition else { return Ok(()) };
        let (number, format) = (partition.number, partition.format);
        let transaction = self.connection.unchecked_transaction().doing("beginning to seal a partition")?;
        if format >= schema::FORMAT {
            sign::seal(&transaction, number).doing("indexing a partition")?;
        }
        transaction.execute("UPDATE partitions SET sealed = 1 WHERE number = ?1", [number]).doing("sealing a partition")?;
        transaction.commit().doing("sealing a partition")?;
        self.sealed.push(Sealed { number, min_id: partition.min_id, max_id: partition.max_id, events: partition.events });
        self.partition = None;
        self.block.clear();
        self.signature.clear();
        Ok(())
    }

    /// Deletes sealed partitions that are too old, or the oldest while all together are too big.
    pub(super) fn delete_old(&mut self, now: i64) -> Result<(), StoreError> {
        let oldest_allowed =
            self.settings.max_age.map_or(i64::MIN, |age| now.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)));
        while let Some(oldest) = self.sealed.first().copied() {
            let received: i64 = self
                .connection
                .query_row("SELECT last_received FROM partitions WHERE number = ?1", [oldest.number], |row| row.get(0))
                .doing("reading a partition's age")?;
            let is_too_big = match self.settings.max_bytes {
                Some(max) => self.used_bytes()? > number(max),
                None => false,
            };
            if received >= oldest_allowed && !is_too_big {
                break;
            }
            self.delete(oldest.number).doing("deleting a partition")?;
            tracing::info!(events = oldest.events, reason = if is_too_big { "size" } else { "age" }, "deleted the oldest events");
            self.sealed.remove(0);
            self.names.forget();
        }
        self.connection.execute("DELETE FROM runs WHERE last_seen < ?1", [oldest_allowed]).doing("forgetting sensors")?;
        Ok(())
    }

    fn delete(&self, partition: i64) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        let last_cursor: i64 =
            transaction.query_row("DELETE FROM partitions WHERE number = ?1 RETURNING last_cursor", [partition], |row| row.get(0))?;
        schema::drop_partition(&transaction, partition)?;
        schema::set_meta(&transaction, "deleted", last_cursor)?;
        transaction
            .execute("DELETE FROM session_tools WHERE session IN (SELECT id FROM sessions WHERE last_cursor <= ?1)", [last_cursor])?;
        transaction
            .execute("DELETE FROM session_methods WHERE session IN (SELECT id FROM sessions WHERE last_cursor <= ?1)", [last_cursor])?;
        transaction.execute("DELETE FROM sessions WHERE last_cursor <= ?1", [last_cursor])?;
        transaction.execute("DELETE FROM peers WHERE last_partition <= ?1", [partition])?;
        transaction.execute("DELETE FROM processes WHERE last_partition <= ?1", [partition])?;
        transaction.execute(
            "DELETE FROM strings WHERE last_partition <= ?1 AND id NOT IN (SELECT tool FROM session_tools)
                 AND id NOT IN (SELECT method FROM session_methods) AND id NOT IN (SELECT node FROM sessions)",
            [partition],
        )?;
        transaction.commit()
    }

    /// Bytes of the database that hold something.
    fn used_bytes(&self) -> Result<i64, StoreError> {
        let pragma =
            |name| self.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).doing("measuring the database");
        Ok((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?)
    }

    /// When the oldest event happened.
    pub(super) fn oldest(&self) -> Result<Option<i64>, StoreError> {
        self.connection.query_row("SELECT min(min_time) FROM partitions", [], |row| row.get(0)).doing("reading the partitions")
    }

    /// The cursor up to which events were deleted.
    pub(super) fn deleted(&self) -> Result<i64, StoreError> {
        Ok(schema::meta(&self.connection, "deleted").doing("reading the cursor")?.unwrap_or(0))
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// What writing one event needs.
struct Writing<'a> {
    connection: &'a Connection,
    insert: rusqlite::CachedStatement<'a>,
    names: &'a mut Names,
    sealed: &'a [Sealed],
    sums: &'a mut Sums,
    partition: &'a mut Partition,
}

impl Writing<'_> {
    /// Writes an event's row. `None` where an event with its id is there already.
    fn entry(&mut self, entry: &Entry, received: i64) -> rusqlite::Result<Option<Ids>> {
        let Entry { cursor, keys, event } = entry;
        let (connection, number) = (self.connection, self.partition.number);
        let id = keys.id.to_be_bytes();
        for sealed in self.sealed.iter().rev().filter(|sealed| (sealed.min_id..=sealed.max_id).contains(&id)) {
            let mut look = connection.prepare_cached(&format!("SELECT 1 FROM rows_{} WHERE id = ?1", sealed.number))?;
            if look.exists([id])? {
                return Ok(None);
            }
        }
        let cursor = super::sums::number(*cursor);
        let node = self.names.string(connection, &keys.node, number)?;
        let ids = Ids {
            node,
            session: self.names.session(connection, &keys.session, node, keys.time, cursor)?,
            client: self.names.peer(connection, keys.client.as_ref(), number)?,
            server: self.names.peer(connection, keys.server.as_ref(), number)?,
            tool: self.names.string(connection, &keys.tool, number)?,
            method: self.names.string(connection, &keys.method, number)?,
        };
        let Ids { node, session, client, server, tool, method } = ids;
        let row = rusqlite::params![
            cursor,
            &id[..],
            keys.time,
            keys.kind,
            keys.severity,
            node,
            session,
            client.names,
            server.names,
            tool,
            method,
            client.process,
            server.process,
            keys.failure
        ];
        if self.insert.execute(row)? == 0 {
            return Ok(None);
        }
        self.sums.event(keys, ids, cursor);
        let partition = &mut *self.partition;
        if partition.events == 0 {
            partition.first_cursor = cursor;
            partition.first_received = received;
        }
        partition.last_cursor = cursor;
        partition.last_received = partition.last_received.max(received);
        partition.min_time = partition.min_time.min(keys.time);
        partition.max_time = partition.max_time.max(keys.time);
        partition.min_id = partition.min_id.min(id);
        partition.max_id = partition.max_id.max(id);
        partition.events += 1;
        partition.bytes += i64::try_from(event.len()).unwrap_or(i64::MAX);
        Ok(Some(ids))
    }
}

/// Writes the open block. Returns its first cursor.
fn write_block(
    connection: &Connection,
    number: i64,
    block: &mut Builder,
    compressor: &mut zstd::bulk::Compressor<'_>,
    scratch: &mut Vec<u8>,
) -> rusqlite::Result<i64> {
    let first = block.compress(compressor, scratch).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let first = super::sums::number(first);
    connection.prepare_cached(&format!("INSERT OR REPLACE INTO blocks_{number} VALUES (?1, ?2)"))?.execute((first, &*scratch))?;
    Ok(first)
}

fn write_run(connection: &Connection, info: &RunInfo) -> rusqlite::Result<()> {
    let RunInfo { id, node, version, started, address } = info;
    connection
        .prepare_cached(
            "INSERT INTO runs (id, node, version, started, last_seen, address) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET version = excluded.version, started = excluded.started, last_seen = excluded.last_seen,
                 address = excluded.address",
        )?
        .execute((id.0.to_be_bytes(), &**node, version, started, now(), address))
        .map(|_| ())
}

fn configure(connection: &Connection, sync: Sync) -> rusqlite::Result<()> {
    let synchronous = match sync {
        Sync::Full => "FULL",
        Sync::Normal => "NORMAL",
    };
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(&format!(
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA busy_timeout = 10000;
         PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 4096; PRAGMA journal_size_limit = 67108864;"
    ))
}

/// Looks for damage.
fn check(connection: &Connection) -> Result<(), StoreError> {
    let quick = |what: &str| -> Result<(), StoreError> {
        let said: String =
            connection.query_row(&format!("PRAGMA quick_check({what})"), [], |row| row.get(0)).doing("checking the database")?;
        if said == "ok" { Ok(()) } else { Err(StoreError::Damaged(said)) }
    };
    let pragma = |name| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).doing("measuring the database");
    if pragma("page_count")?.saturating_mul(pragma("page_size")?) <= CHECK_WHOLE {
        return quick("1");
    }
    let mut newest = connection.prepare("SELECT number FROM partitions ORDER BY number DESC LIMIT 2").doing("reading the partitions")?;
    let numbers: Vec<i64> = newest.query_map([], |row| row.get(0)).and_then(Iterator::collect).doing("reading the partitions")?;
    let small = ["meta", "strings", "peers", "processes", "sessions", "session_tools", "session_methods", "runs", "partitions"];
    small.into_iter().try_for_each(&quick)?;
    numbers.iter().try_for_each(|number| quick(&format!("rows_{number}")).and_then(|()| quick(&format!("blocks_{number}"))))
}

/// Below this a new store does not begin: a cursor for each microsecond since 1970. No collector gives them away faster, so what
/// was given before, by a store that is gone, is below it.
pub(super) fn clock() -> i64 {
    now() / 1_000
}

/// Nanoseconds since 1970.
pub(super) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
