//! The store by itself: older schemas, interrupted writing, names that are forgotten.

use std::sync::Arc;

use bytes::Bytes;
use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::{Event, Session, ToolCall};
use prost::Message as _;
use rusqlite::Connection;

use super::database::Database;
use super::{page, schema, summaries};
use crate::config::StoreSettings;
use crate::event::{Filter, keys::Reader, keys::timestamp};
use crate::ingest::{Chunk, Entry, Run, RunId};
use crate::store::{PageRequest, Queue, StoreError, Work};

fn settings(directory: &tempfile::TempDir) -> StoreSettings {
    StoreSettings { directory: directory.path().to_owned(), ..StoreSettings::default() }
}

fn event(sequence: u64) -> Bytes {
    let call = ToolCall { tool: format!("tool_{sequence}"), state: 1, ..ToolCall::default() };
    let event = Event {
        id: format!("{sequence:032x}"),
        time: Some(timestamp(1_800_000_000_000_000_000 + sequence as i64)),
        node: "host".to_owned(),
        sequence,
        session: Some(Session { id: "s".to_owned(), ..Session::default() }),
        body: Some(Body::ToolCall(call)),
        ..Event::default()
    };
    event.encode_to_vec().into()
}

/// Work with these events; cursor and sequence are the same.
async fn work(sequences: std::ops::RangeInclusive<u64>) -> Work {
    let mut reader = Reader::default();
    let entries: Vec<_> = sequences
        .map(|sequence| {
            let event = event(sequence);
            Entry { cursor: (1 << 52) + sequence, keys: reader.read(&event).unwrap(), event }
        })
        .collect();
    let run = Arc::new(Run::new(RunId(1), "host".into(), 0));
    let sequence = entries.last().unwrap().keys.sequence;
    Work::Chunk(Arc::new(Chunk { run, entries, sequence, missing: 0, received: 5 }), Queue::new(1).reserve(1).await)
}

fn all(database: &Database) -> Vec<(u64, Bytes)> {
    let request = PageRequest {
        filter: Arc::new(Filter::default()),
        from: None,
        to: None,
        after: 0,
        before: u64::MAX,
        limit: 10_000,
        descending: false,
    };
    page::page(&database.connection, &request).unwrap().events
}

#[tokio::test]
async fn a_database_of_the_first_version_is_migrated_and_keeps_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.db");
    {
        let mut connection = Connection::open(&path).unwrap();
        let transaction = connection.transaction().unwrap();
        schema::apply(&transaction, 1, schema::MIGRATIONS[0]).unwrap();
        transaction.commit().unwrap();
        connection
            .execute(
                "INSERT INTO runs (id, node, version, started, last_seen, last_sequence) VALUES (?1, 'host', '1', 1, ?2, 77)",
                (1_u128.to_be_bytes(), i64::MAX),
            )
            .unwrap();
    }
    let mut database = Database::open(&path, &settings(&directory), None).unwrap();
    let version: i64 = database.connection.query_row("SELECT max(version) FROM schema_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, schema::VERSION);
    assert_eq!(summaries::run(&database.connection, RunId(1)).unwrap(), Some(("host".to_owned(), 77)));
    database.write(&[work(78..=80).await]).unwrap();
    assert_eq!(all(&database).len(), 3);
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.db");
    drop(Database::open(&path, &settings(&directory), None).unwrap());
    Connection::open(&path).unwrap().execute("INSERT INTO schema_version VALUES (99, 0)", []).unwrap();
    let error = Database::open(&path, &settings(&directory), None).err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }) && !error.is_damage(), "{error}");
}

#[tokio::test]
async fn small_batches_fill_blocks_also_across_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.db");
    let mut sequence = 0;
    for _ in 0..3 {
        let mut database = Database::open(&path, &settings(&directory), None).unwrap();
        for _ in 0..50 {
            sequence += 1;
            database.write(&[work(sequence..=sequence).await]).unwrap();
        }
        database.close(1 << 53).unwrap();
    }
    let database = Database::open(&path, &settings(&directory), None).unwrap();
    assert_eq!(all(&database).into_iter().map(|(_, event)| event).collect::<Vec<_>>(), (1..=150).map(event).collect::<Vec<_>>());
    let blocks: i64 = database.connection.query_row("SELECT count(*) FROM blocks_1", [], |row| row.get(0)).unwrap();
    assert_eq!(blocks, 3, "64 events each");
}

#[tokio::test]
async fn after_an_unclean_end_cursors_leave_out_what_may_have_been_given() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.db");
    let mut database = Database::open(&path, &settings(&directory), None).unwrap();
    let begun = database.highest;
    database.write(&[work(1..=9).await]).unwrap();
    database.close((1 << 52) + 9).unwrap();
    let database = Database::open(&path, &settings(&directory), None).unwrap();
    assert_eq!(database.highest, (1 << 52) + 9, "well closed: it goes on where it was");
    assert!(database.highest > begun);
    drop(database);
    let database = Database::open(&path, &settings(&directory), None).unwrap();
    assert!(database.highest > (1 << 52) + 9 + (1 << 31));
}

#[tokio::test]
async fn ids_are_unique_across_partitions_and_names_go_with_the_last_partition_that_has_them() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&directory);
    settings.partition_events = Some(5);
    let mut database = Database::open(&directory.path().join("events.db"), &settings, None).unwrap();
    database.write(&[work(1..=5).await]).unwrap();
    database.seal_if_due(0).unwrap();
    assert_eq!(database.write(&[work(4..=10).await]).unwrap(), 2);
    database.seal_if_due(0).unwrap();
    assert_eq!(database.events(), 10);
    settings.max_bytes = Some(0);
    let names =
        |database: &Database| -> i64 { database.connection.query_row("SELECT count(*) FROM strings", [], |row| row.get(0)).unwrap() };
    assert_eq!(names(&database), 1 + 1 + 10);
    drop(database);
    let mut database = Database::open(&directory.path().join("events.db"), &settings, None).unwrap();
    database.delete_old(1).unwrap();
    assert_eq!((database.events(), names(&database), all(&database).len()), (0, 0, 0));
    assert_eq!(database.deleted().unwrap(), (1 << 52) + 10);
}

#[test]
fn a_failed_batch_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut database = Database::open(&directory.path().join("events.db"), &settings(&directory), None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (first, second) = runtime.block_on(async { (work(1..=3).await, work(4..=6).await) });
    database.write(std::slice::from_ref(&first)).unwrap();
    database.connection.execute_batch("PRAGMA query_only = 1").unwrap();
    assert!(database.write(std::slice::from_ref(&second)).is_err());
    database.connection.execute_batch("PRAGMA query_only = 0").unwrap();
    assert_eq!(all(&database).len(), 3);
    assert_eq!(database.write(&[second]).unwrap(), 0);
    assert_eq!(all(&database).len(), 6);
}
