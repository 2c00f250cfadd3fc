//! Partitions as the writer knows them.
//!
//! Invariants: one partition at most is open, the newest; what is in memory of it is written in the transaction that changed it.

use rusqlite::Connection;

use super::schema;

/// The open partition.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    pub(super) number: i64,
    pub(super) first_cursor: i64,
    pub(super) last_cursor: i64,
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    pub(super) min_id: [u8; 16],
    pub(super) max_id: [u8; 16],
    pub(super) events: i64,
    pub(super) bytes: i64,
    pub(super) first_received: i64,
    pub(super) last_received: i64,
    pub(super) format: i64,
}

/// The ids of a sealed partition lie between these.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed {
    pub(super) number: i64,
    pub(super) min_id: [u8; 16],
    pub(super) max_id: [u8; 16],
    pub(super) events: i64,
}

/// Makes the next partition, empty.
pub(super) fn new(connection: &Connection) -> rusqlite::Result<Partition> {
    let number: i64 = connection.query_row("SELECT coalesce(max(number), 0) + 1 FROM partitions", [], |row| row.get(0))?;
    let number = number.max(schema::meta(connection, "partition")?.unwrap_or(0) + 1);
    schema::set_meta(connection, "partition", number)?;
    schema::create_partition(connection, number)?;
    let partition = Partition {
        number,
        first_cursor: 0,
        last_cursor: 0,
        min_time: i64::MAX,
        max_time: i64::MIN,
        min_id: [u8::MAX; 16],
        max_id: [0; 16],
        events: 0,
        bytes: 0,
        first_received: 0,
        last_received: 0,
        format: schema::FORMAT,
    };
    connection.execute("INSERT INTO partitions VALUES (?1, 0, 0, 0, 0, x'', x'', 0, 0, 0, 0, 0, ?2)", [number, schema::FORMAT])?;
    Ok(partition)
}

/// Writes what is known of the open partition.
pub(super) fn update(connection: &Connection, partition: &Partition) -> rusqlite::Result<()> {
    let Partition {
        number,
        first_cursor,
        last_cursor,
        min_time,
        max_time,
        min_id,
        max_id,
        events,
        bytes,
        first_received,
        last_received,
        format,
    } = partition;
    connection
        .prepare_cached("INSERT OR REPLACE INTO partitions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, ?12)")?
        .execute((
            number,
            first_cursor,
            last_cursor,
            min_time,
            max_time,
            &min_id[..],
            &max_id[..],
            events,
            bytes,
            first_received,
            last_received,
            format,
        ))
        .map(|_| ())
}

/// The open partition; an error of no rows where there is none.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Partition> {
    connection.query_row(
        "SELECT number, first_cursor, last_cursor, min_time, max_time, min_id, max_id, events, bytes, first_received, last_received, format
         FROM partitions WHERE sealed = 0 ORDER BY number DESC LIMIT 1",
        [],
        |row| {
            Ok(Partition {
                number: row.get(0)?,
                first_cursor: row.get(1)?,
                last_cursor: row.get(2)?,
                min_time: row.get(3)?,
                max_time: row.get(4)?,
                min_id: row.get(5)?,
                max_id: row.get(6)?,
                events: row.get(7)?,
                bytes: row.get(8)?,
                first_received: row.get(9)?,
                last_received: row.get(10)?,
                format: row.get(11)?,
            })
        },
    )
}

/// The sealed partitions, the oldest first.
pub(super) fn read_sealed(connection: &Connection) -> rusqlite::Result<Vec<Sealed>> {
    let mut select = connection.prepare("SELECT number, min_id, max_id, events FROM partitions WHERE sealed = 1 ORDER BY number")?;
    let rows =
        select.query_map([], |row| Ok(Sealed { number: row.get(0)?, min_id: row.get(1)?, max_id: row.get(2)?, events: row.get(3)? }))?;
    rows.collect()
}
