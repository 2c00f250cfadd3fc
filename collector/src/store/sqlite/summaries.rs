//! Reading sessions and sensors.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::conditions::{list, named, of_processes, places, strings};
use super::page;
use super::sums::number;
use crate::event::Filter;
use crate::ingest::RunId;
use crate::store::{Doing as _, StoreError};

/// Which sessions.
#[derive(Clone, Debug, Default)]
pub struct SessionQuery {
    /// With an event that matches; kinds and severity are not looked at.
    pub filter: Filter,
    /// With an event at this time or later.
    pub from: Option<i64>,
    /// With an event before this time.
    pub to: Option<i64>,
    /// Only those that are open.
    pub open: bool,
    /// After the session with this last time and number, in the order of the answer.
    pub after: Option<(i64, i64)>,
    /// So many at most.
    pub limit: usize,
}

/// A session as it is stored.
#[derive(Clone, Debug, Default)]
pub struct SessionRow {
    /// Its number in the database.
    pub id: i64,
    /// Its id.
    pub name: String,
    /// Its host.
    pub node: String,
    /// The encoded `Session`.
    pub session: Vec<u8>,
    /// The encoded `Peer` of the client.
    pub client: Vec<u8>,
    /// The encoded `Peer` of the server.
    pub server: Vec<u8>,
    /// Time of its first event, in nanoseconds since 1970.
    pub first: i64,
    /// Time of its last event.
    pub last: i64,
    /// It has been closed.
    pub closed: bool,
    /// Messages.
    pub messages: u64,
    /// Tool calls begun.
    pub calls: u64,
    /// Tool calls that failed.
    pub failed: u64,
    /// Gaps.
    pub gaps: u64,
}

/// The calls of one tool in one session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolRow {
    /// The tool.
    pub tool: String,
    /// Calls begun.
    pub calls: u64,
    /// Calls that failed.
    pub failed: u64,
    /// The longest, in milliseconds.
    pub max_ms: Option<f64>,
}

/// A run of a sensor as it is stored.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// The run.
    pub id: RunId,
    /// Its host.
    pub node: String,
    /// Its version.
    pub version: String,
    /// When it began, in nanoseconds since 1970.
    pub started: i64,
    /// Its address when it last connected.
    pub address: String,
    /// When something last came of it.
    pub last_seen: i64,
    /// Time of its newest event.
    pub last_event: Option<i64>,
    /// The highest sequence stored.
    pub last_sequence: u64,
    /// Sequences that were left out.
    pub missing: u64,
    /// The encoded `Sensor` of its last own event.
    pub sensor: Vec<u8>,
}

const COLUMNS: &str = "sessions.id, name, coalesce(text, ''), session_bytes, client_bytes, server_bytes, first, last, closed, messages,
    calls, failed, gaps FROM sessions LEFT JOIN strings ON strings.id = sessions.node";

fn session_row(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    let bytes = |column| row.get::<_, Option<Vec<u8>>>(column).map(Option::unwrap_or_default);
    let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
    Ok(SessionRow {
        id: row.get(0)?,
        name: row.get(1)?,
        node: row.get(2)?,
        session: bytes(3)?,
        client: bytes(4)?,
        server: bytes(5)?,
        first: row.get(6)?,
        last: row.get(7)?,
        closed: row.get(8)?,
        messages: count(9)?,
        calls: count(10)?,
        failed: count(11)?,
        gaps: count(12)?,
    })
}

/// See [`super::Store::sessions`].
pub(super) fn sessions(connection: &Connection, query: &SessionQuery) -> Result<Vec<SessionRow>, StoreError> {
    let SessionQuery { filter, from, to, open, after, limit } = query;
    let with_event = if filter.needs_events() {
        let filter = Filter { kinds: Vec::new(), min_severity: 0, ..filter.clone() };
        Some(page::sessions(connection, &filter, *from, *to)?)
    } else {
        None
    };
    let _snapshot = connection.unchecked_transaction().doing("beginning to read")?;
    let read = || -> rusqlite::Result<Vec<SessionRow>> {
        let mut wanted = String::from("1");
        if !filter.nodes.is_empty() {
            let ids = list(&strings(connection, |text| filter.nodes.iter().any(|node| node == text))?);
            wanted.push_str(&format!(" AND node IN ({ids})"));
        }
        if !filter.servers.is_empty() {
            wanted.push_str(&format!(" AND server IN ({})", list(&named(connection, &filter.servers)?)));
        }
        if !filter.clients.is_empty() {
            wanted.push_str(&format!(" AND client IN ({})", list(&named(connection, &filter.clients)?)));
        }
        if !filter.tools.is_empty() {
            let ids = list(&strings(connection, |text| Filter::matches_text(&filter.tools, text))?);
            wanted.push_str(&format!(" AND EXISTS (SELECT 1 FROM session_tools WHERE session = sessions.id AND tool IN ({ids}))"));
        }
        if !filter.methods.is_empty() {
            let ids = list(&strings(connection, |text| Filter::matches_text(&filter.methods, text))?);
            wanted.push_str(&format!(" AND EXISTS (SELECT 1 FROM session_methods WHERE session = sessions.id AND method IN ({ids}))"));
        }
        if !filter.processes.is_empty() {
            let (names, ids) = of_processes(connection, &filter.processes)?;
            let (names, ids) = (list(&names), list(&ids));
            wanted.push_str(&format!(
                " AND (client IN ({names}) OR server IN ({names}) OR client_process IN ({ids}) OR server_process IN ({ids}))"
            ));
        }
        if !filter.containers.is_empty() {
            let ids = list(&places(connection, &filter.containers)?);
            wanted.push_str(&format!(" AND (client_process IN ({ids}) OR server_process IN ({ids}))"));
        }
        if *open {
            wanted.push_str(" AND closed = 0");
        }
        if let Some(from) = from {
            wanted.push_str(&format!(" AND last >= {from}"));
        }
        if let Some(to) = to {
            wanted.push_str(&format!(" AND first < {to}"));
        }
        if let Some((last, id)) = after {
            wanted.push_str(&format!(" AND (last, sessions.id) < ({last}, {id})"));
        }
        let sql = format!("SELECT {COLUMNS} WHERE {wanted} ORDER BY last DESC, sessions.id DESC");
        let mut select = connection.prepare(&sql)?;
        let mut rows = select.query([])?;
        let mut found = Vec::new();
        while found.len() < *limit
            && let Some(row) = rows.next()?
        {
            let name = row.get_ref(1)?.as_str()?;
            let has_event = match &with_event {
                Some(sessions) => sessions.contains(&row.get::<_, i64>(0)?),
                None => true,
            };
            if has_event && (filter.sessions.is_empty() || Filter::matches_session(&filter.sessions, name)) {
                found.push(session_row(row)?);
            }
        }
        Ok(found)
    };
    read().doing("reading sessions")
}

/// See [`super::Store::sessions_named`].
pub(super) fn sessions_named(connection: &Connection, id: &str) -> Result<Vec<SessionRow>, StoreError> {
    let read = |condition: &str| -> rusqlite::Result<Vec<SessionRow>> {
        let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} WHERE {condition} ORDER BY last DESC LIMIT 2"))?;
        select.query_map([id], session_row)?.collect()
    };
    let exact = read("name = ?1").doing("reading a session")?;
    if exact.is_empty() { read("name >= ?1 AND name < ?1 || char(1114111)").doing("reading a session") } else { Ok(exact) }
}

/// See [`super::Store::tools`].
pub(super) fn tools(connection: &Connection, session: i64) -> Result<Vec<ToolRow>, StoreError> {
    let read = || -> rusqlite::Result<Vec<ToolRow>> {
        let mut select = connection.prepare_cached(
            "SELECT text, calls, failed, max_ms FROM session_tools JOIN strings ON strings.id = tool WHERE session = ?1 ORDER BY text",
        )?;
        let count = |row: &Row<'_>, column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        select
            .query_map([session], |row| {
                Ok(ToolRow { tool: row.get(0)?, calls: count(row, 1)?, failed: count(row, 2)?, max_ms: row.get(3)? })
            })?
            .collect()
    };
    read().doing("reading the tools of a session")
}

/// See [`super::Store::run`].
pub(super) fn run(connection: &Connection, id: RunId) -> Result<Option<(String, u64)>, StoreError> {
    connection
        .query_row("SELECT node, last_sequence FROM runs WHERE id = ?1", [id.0.to_be_bytes()], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
        })
        .optional()
        .doing("reading a sensor")
}

/// See [`super::Store::runs`].
pub(super) fn runs(connection: &Connection) -> Result<Vec<RunRow>, StoreError> {
    /// Runs that are read at most.
    const MAX: u64 = 10_000;
    let read = || -> rusqlite::Result<Vec<RunRow>> {
        let mut select = connection.prepare_cached(
            "SELECT id, node, version, started, address, last_seen, last_event, last_sequence, missing, sensor_bytes FROM runs
             ORDER BY node, started DESC, last_seen DESC LIMIT ?1",
        )?;
        select
            .query_map([number(MAX)], |row| {
                Ok(RunRow {
                    id: RunId(u128::from_be_bytes(row.get(0)?)),
                    node: row.get(1)?,
                    version: row.get(2)?,
                    started: row.get(3)?,
                    address: row.get(4)?,
                    last_seen: row.get(5)?,
                    last_event: row.get(6)?,
                    last_sequence: row.get::<_, i64>(7)?.unsigned_abs(),
                    missing: row.get::<_, i64>(8)?.unsigned_abs(),
                    sensor: row.get::<_, Option<Vec<u8>>>(9)?.unwrap_or_default(),
                })
            })?
            .collect()
    };
    read().doing("reading sensors")
}
