//! The tables, and how older ones become new ones.
//!
//! Events lie in partitions, each with two tables: `rows_N` with what can be asked for, narrow and numeric, and `blocks_N`
//! with the encoded events, some together and compressed; and what tells which blocks to look into (`signs_N` while it is open,
//! `slices_N` after: see [`super::sign`]). A partition that is full is sealed and never written again. Deleting by age or size
//! drops whole partitions.
//!
//! Invariant: a database is at exactly one version; each migration and its version are one transaction.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use crate::store::{Doing as _, StoreError};

/// What makes each version out of the one before.
pub(super) const MIGRATIONS: [&str; 3] = [
    // 1: the first.
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
     CREATE TABLE strings (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, last_partition INTEGER NOT NULL);
     CREATE TABLE peers (
         id INTEGER PRIMARY KEY, said TEXT NOT NULL, short TEXT NOT NULL, exe TEXT NOT NULL, address TEXT NOT NULL,
         last_partition INTEGER NOT NULL, UNIQUE (said, short, exe, address));
     CREATE TABLE sessions (
         id INTEGER PRIMARY KEY, name TEXT NOT NULL, node INTEGER NOT NULL,
         client INTEGER NOT NULL DEFAULT 0, server INTEGER NOT NULL DEFAULT 0,
         session_bytes BLOB, client_bytes BLOB, server_bytes BLOB,
         first INTEGER NOT NULL, last INTEGER NOT NULL, last_cursor INTEGER NOT NULL, closed INTEGER NOT NULL DEFAULT 0,
         messages INTEGER NOT NULL DEFAULT 0, calls INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
         UNIQUE (name, node));
     CREATE INDEX sessions_by_last ON sessions (last);
     CREATE TABLE session_tools (
         session INTEGER NOT NULL, tool INTEGER NOT NULL, calls INTEGER NOT NULL, failed INTEGER NOT NULL, max_ms REAL,
         PRIMARY KEY (session, tool)) WITHOUT ROWID;
     CREATE TABLE session_methods (
         session INTEGER NOT NULL, method INTEGER NOT NULL, PRIMARY KEY (session, method)) WITHOUT ROWID;
     CREATE TABLE runs (
         id BLOB PRIMARY KEY, node TEXT NOT NULL, version TEXT NOT NULL, started INTEGER NOT NULL,
         last_seen INTEGER NOT NULL, last_event INTEGER, last_sequence INTEGER NOT NULL DEFAULT 0,
         missing INTEGER NOT NULL DEFAULT 0, sensor_bytes BLOB) WITHOUT ROWID;
     CREATE TABLE partitions (
         number INTEGER PRIMARY KEY, first_cursor INTEGER NOT NULL, last_cursor INTEGER NOT NULL,
         min_time INTEGER NOT NULL, max_time INTEGER NOT NULL, min_id BLOB NOT NULL, max_id BLOB NOT NULL,
         events INTEGER NOT NULL, bytes INTEGER NOT NULL, first_received INTEGER NOT NULL, last_received INTEGER NOT NULL,
         sealed INTEGER NOT NULL);",
    // 2: where a sensor was, and the gaps of a session.
    "ALTER TABLE runs ADD COLUMN address TEXT NOT NULL DEFAULT '';
     ALTER TABLE sessions ADD COLUMN gaps INTEGER NOT NULL DEFAULT 0;",
    // 3: scripts, processes and containers. Partitions have a format; those of before keep theirs.
    "CREATE TABLE named_peers (
         id INTEGER PRIMARY KEY, said TEXT NOT NULL, short TEXT NOT NULL, exe TEXT NOT NULL, script TEXT NOT NULL,
         address TEXT NOT NULL, last_partition INTEGER NOT NULL, UNIQUE (said, short, exe, script, address));
     INSERT INTO named_peers SELECT id, said, short, exe, '', address, last_partition FROM peers;
     DROP TABLE peers;
     ALTER TABLE named_peers RENAME TO peers;
     CREATE TABLE processes (
         id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, container TEXT NOT NULL, pod_uid TEXT NOT NULL, pod_namespace TEXT NOT NULL,
         pod_name TEXT NOT NULL, last_partition INTEGER NOT NULL, UNIQUE (pid, container, pod_uid, pod_namespace, pod_name));
     CREATE INDEX processes_by_container ON processes (container) WHERE container > '';
     CREATE INDEX processes_by_pod_uid ON processes (pod_uid) WHERE pod_uid > '';
     CREATE INDEX processes_by_pod_name ON processes (pod_name) WHERE pod_name > '';
     ALTER TABLE sessions ADD COLUMN client_process INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE sessions ADD COLUMN server_process INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE partitions ADD COLUMN format INTEGER NOT NULL DEFAULT 1;",
];

/// The format of new partitions. Since 2 their rows have processes and failures, and their blocks signatures;
/// those of before have indexes of some columns, which nothing uses any more.
pub(super) const FORMAT: i64 = 2;

/// The newest version.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings a database to the newest version. Returns the version that it had; 0 where it was empty.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<i64, StoreError> {
    let has_version: Option<i64> = connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'", [], |row| row.get(0))
        .optional()
        .doing("reading the schema")?;
    let found = if has_version.is_none() {
        0
    } else {
        connection
            .query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| row.get(0))
            .doing("reading the schema's version")?
    };
    if found > VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    for (version, migration) in (1_i64..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        let transaction = connection.transaction().doing("beginning a migration")?;
        apply(&transaction, version, migration).doing("migrating the schema")?;
        transaction.commit().doing("committing a migration")?;
    }
    Ok(found)
}

/// One migration.
pub(super) fn apply(transaction: &Transaction<'_>, version: i64, migration: &str) -> rusqlite::Result<()> {
    transaction.execute_batch("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied INTEGER NOT NULL);")?;
    transaction.execute_batch(migration)?;
    transaction.execute("INSERT INTO schema_version VALUES (?1, unixepoch())", [version])?;
    Ok(())
}

/// The tables of a partition.
pub(super) fn create_partition(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "CREATE TABLE rows_{number} (
             cursor INTEGER PRIMARY KEY, id BLOB NOT NULL, time INTEGER NOT NULL, kind INTEGER NOT NULL, severity INTEGER NOT NULL,
             node INTEGER NOT NULL, session INTEGER NOT NULL, client INTEGER NOT NULL, server INTEGER NOT NULL,
             tool INTEGER NOT NULL, method INTEGER NOT NULL, client_process INTEGER NOT NULL, server_process INTEGER NOT NULL,
             failure INTEGER NOT NULL);
         CREATE UNIQUE INDEX ids_{number} ON rows_{number} (id);
         CREATE TABLE blocks_{number} (first INTEGER PRIMARY KEY, data BLOB NOT NULL);
         CREATE TABLE signs_{number} (first INTEGER PRIMARY KEY, bits BLOB NOT NULL);"
    ))
}

/// Removes a partition.
pub(super) fn drop_partition(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "DROP TABLE IF EXISTS rows_{number}; DROP TABLE IF EXISTS blocks_{number}; DROP TABLE IF EXISTS signs_{number};
         DROP TABLE IF EXISTS slices_{number};"
    ))
}

/// A number of the table `meta`.
pub(super) fn meta(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

/// Sets a number of the table `meta`.
pub(super) fn set_meta(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?.execute((name, value)).map(|_| ())
}
