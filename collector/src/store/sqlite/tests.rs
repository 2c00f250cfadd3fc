//! The store by itself: older schemas, interrupted writing, names that are forgotten.

use std::sync::Arc;

use bytes::Bytes;
use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::{self, Container, Event, Peer, Session, ToolCall};
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
    let state = if sequence.is_multiple_of(4) { 3 } else { 1 };
    let arguments = format!("{{\"x\":\"argument {sequence} \"}}");
    let call = ToolCall { tool: format!("tool_{sequence}"), state, arguments, ..ToolCall::default() };
    let container = Container { id: format!("c{}", sequence % 2), ..Container::default() };
    let server = Peer { pid: 100 + sequence as u32, exe: "/usr/bin/node".to_owned(), container: Some(container), ..Peer::default() };
    let event = Event {
        id: format!("{sequence:032x}"),
        time: Some(timestamp(1_800_000_000_000_000_000 + sequence as i64)),
        node: "host".to_owned(),
        sequence,
        session: Some(Session { id: "s".to_owned(), ..Session::default() }),
        server: Some(server),
        severity: if sequence == 77 { 6 } else { 2 },
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
    matching(database, &v1::Filter::default())
}

/// The sequences of what matches.
fn found(database: &Database, filter: &v1::Filter) -> Vec<u64> {
    matching(database, filter).iter().map(|(_, event)| Event::decode(event.clone()).unwrap().sequence).collect()
}

fn matching(database: &Database, filter: &v1::Filter) -> Vec<(u64, Bytes)> {
    let request = PageRequest {
        filter: Arc::new(Filter::new(Some(filter)).unwrap()),
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

#[tokio::test]
async fn partitions_of_the_second_version_are_searched_by_what_they_have_and_new_events_go_into_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.db");
    {
        let mut connection = Connection::open(&path).unwrap();
        let transaction = connection.transaction().unwrap();
        schema::apply(&transaction, 1, schema::MIGRATIONS[0]).unwrap();
        schema::apply(&transaction, 2, schema::MIGRATIONS[1]).unwrap();
        transaction.commit().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE rows_1 (
                     cursor INTEGER PRIMARY KEY, id BLOB NOT NULL, time INTEGER NOT NULL, kind INTEGER NOT NULL,
                     severity INTEGER NOT NULL, node INTEGER NOT NULL, session INTEGER NOT NULL, client INTEGER NOT NULL,
                     server INTEGER NOT NULL, tool INTEGER NOT NULL, method INTEGER NOT NULL);
                 CREATE UNIQUE INDEX ids_1 ON rows_1 (id);
                 CREATE TABLE blocks_1 (first INTEGER PRIMARY KEY, data BLOB NOT NULL);
                 INSERT INTO strings VALUES (1, 'tool_3', 1);
                 INSERT INTO partitions VALUES (1, 1, 9, 0, 9223372036854775807, zeroblob(16), x'ffffffffffffffffffffffffffffffff', 9, 900, 5, 5, 0);",
            )
            .unwrap();
        let mut block = super::block::Builder::default();
        for sequence in 1..=9_u64 {
            block.add(sequence, &event(sequence));
            let time = 1_800_000_000_000_000_000 + sequence as i64;
            let tool = i64::from(sequence == 3);
            connection
                .execute(
                    "INSERT INTO rows_1 VALUES (?1, ?2, ?3, 1, 0, 0, 0, 0, 0, ?4, 0)",
                    (sequence as i64, u128::from(sequence).to_be_bytes(), time, tool),
                )
                .unwrap();
        }
        let mut data = Vec::new();
        block.compress(&mut super::block::compressor().unwrap(), &mut data).unwrap();
        connection.execute("INSERT INTO blocks_1 VALUES (1, ?1)", [data]).unwrap();
    }
    let mut database = Database::open(&path, &settings(&directory), None).unwrap();
    database.write(&[work(10..=12).await]).unwrap();
    let formats: Vec<(i64, bool)> = {
        let mut select = database.connection.prepare("SELECT format, sealed FROM partitions ORDER BY number").unwrap();
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(formats, [(1, true), (2, false)]);
    assert_eq!(all(&database).len(), 12);
    let texts = |text: &str| vec![text.to_owned()];
    let found = |filter: v1::Filter| found(&database, &filter);
    assert_eq!(found(v1::Filter { tools: texts("tool_3"), ..v1::Filter::default() }), [3]);
    assert_eq!(found(v1::Filter { arguments: texts("argument 3 "), ..v1::Filter::default() }), [3]);
    assert_eq!(found(v1::Filter { arguments: texts("argument 11"), ..v1::Filter::default() }), [11]);
    assert_eq!(found(v1::Filter { processes: texts("107"), ..v1::Filter::default() }), [7]);
    assert_eq!(found(v1::Filter { processes: texts("111"), ..v1::Filter::default() }), [11]);
    assert_eq!(found(v1::Filter { failures: vec![0], ..v1::Filter::default() }), [4, 8, 12]);
}

#[tokio::test]
async fn text_is_found_across_restarts_and_sealing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.db");
    let mut settings = settings(&directory);
    settings.partition_events = Some(300);
    for round in 0..10_u64 {
        let mut database = Database::open(&path, &settings, None).unwrap();
        database.write(&[work(round * 70 + 1..=round * 70 + 70).await]).unwrap();
        database.seal_if_due(0).unwrap();
        for sequence in [1, round * 35 + 1, round * 70 + 70] {
            let filter = v1::Filter { arguments: vec![format!("argument {sequence} ")], ..v1::Filter::default() };
            assert_eq!(found(&database, &filter), [sequence], "round {round}");
        }
        database.close(1 << 53).unwrap();
    }
    let database = Database::open(&path, &settings, None).unwrap();
    let sealed: i64 = database.connection.query_row("SELECT count(*) FROM partitions WHERE sealed = 1", [], |row| row.get(0)).unwrap();
    assert_eq!(sealed, 2);
}

#[tokio::test]
async fn signatures_tell_which_blocks_to_look_into_in_open_and_sealed_partitions() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&directory);
    settings.partition_events = Some(1_000);
    let mut database = Database::open(&directory.path().join("events.db"), &settings, None).unwrap();
    database.write(&[work(1..=1_000).await]).unwrap();
    let texts = |text: &str| vec![text.to_owned()];
    let cases = [
        (v1::Filter { tools: texts("tool_300"), ..v1::Filter::default() }, 1),
        (v1::Filter { processes: texts("807"), ..v1::Filter::default() }, 1),
        (v1::Filter { arguments: texts("argument 300 "), ..v1::Filter::default() }, 1),
        (v1::Filter { tools: texts("tool_300"), processes: texts("107"), ..v1::Filter::default() }, 0),
        (v1::Filter { min_severity: 5, ..v1::Filter::default() }, 1),
        (v1::Filter { kinds: vec![5], ..v1::Filter::default() }, 0),
        (v1::Filter { sessions: texts("s"), containers: texts("c1"), failures: vec![0], ..v1::Filter::default() }, 16),
    ];
    for sealed in [false, true] {
        for (filter, expected) in &cases {
            let made = super::conditions::conditions(&database.connection, &Filter::new(Some(filter)).unwrap(), schema::FORMAT);
            let asked = made.unwrap().unwrap();
            let ranges = super::sign::candidates(&database.connection, 1, sealed, i64::MAX - 1, asked.asked()).unwrap();
            // A signature may promise too much, seldom.
            assert!((*expected..=*expected + 1).contains(&ranges.len()), "{filter:?}: {ranges:?}");
        }
        database.seal_if_due(0).unwrap();
    }
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
