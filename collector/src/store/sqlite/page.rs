//! Reading events.
//!
//! A filter becomes conditions on numbers: each of its patterns is compared with the names once, not with the events. Partitions
//! are read one after the other, those that cannot have anything left out by their bounds, until there are enough events,
//! enough bytes, or it has taken long enough.
//!
//! Invariant: with the same filter, what this finds is what [`Filter::matches`] says (tested).

use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _};

use super::block;
use super::sums::number;
use crate::event::filter::Glob;
use crate::event::{Filter, PeerKey};
use crate::store::{Doing as _, Page, PageRequest, StoreError};

/// Bytes of the events of one page, about; one event alone may be bigger.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// How long one page searches before it hands back what it has.
const MAX_TIME: Duration = Duration::from_millis(60);

/// Numbers of one field above which an index does not help: the rows are walked instead.
const MANY: usize = 16;

/// Finds the numbers that a field of a filter asks for.
type Find<'a> = dyn Fn(&Connection) -> rusqlite::Result<Vec<i64>> + 'a;

/// A filter as SQL.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    /// Begins with ` AND`, or is empty.
    sql: String,
}

/// Conditions on the rows of any partition. `None` where nothing can match.
pub(super) fn conditions(connection: &Connection, filter: &Filter) -> Result<Option<Conditions>, StoreError> {
    let Filter { nodes, servers, clients, tools, kinds, min_severity, sessions, methods } = filter;
    let mut conditions = Conditions::default();
    if !kinds.is_empty() {
        conditions.one_of("kind", kinds.iter().map(|kind| i64::from(*kind)).collect(), false);
    }
    if *min_severity > 0 {
        conditions.sql.push_str(&format!(" AND severity >= {min_severity}"));
    }
    let wanted: [(&str, bool, &Find<'_>); 6] = [
        ("node", nodes.is_empty(), &|connection| strings(connection, |text| nodes.iter().any(|node| node == text))),
        ("session", sessions.is_empty(), &|connection| session_ids(connection, sessions)),
        ("tool", tools.is_empty(), &|connection| strings(connection, |text| Filter::matches_text(tools, text))),
        ("method", methods.is_empty(), &|connection| strings(connection, |text| Filter::matches_text(methods, text))),
        ("server", servers.is_empty(), &|connection| peers(connection, servers)),
        ("client", clients.is_empty(), &|connection| peers(connection, clients)),
    ];
    for (column, any, find) in wanted {
        if any {
            continue;
        }
        let ids = find(connection).doing("looking up names")?;
        if ids.is_empty() {
            return Ok(None);
        }
        conditions.one_of(column, ids, column != "node" && column != "method");
    }
    Ok(Some(conditions))
}

impl Conditions {
    fn one_of(&mut self, column: &str, numbers: Vec<i64>, has_index: bool) {
        let is_many = numbers.len() > MANY;
        let list: Vec<String> = numbers.iter().map(i64::to_string).collect();
        let list = list.join(",");
        // The late indexes leave out 0, and SQLite must be told that it is not asked for.
        let (plus, not_zero) = if has_index && !is_many { ("", format!(" AND {column} > 0")) } else { ("+", String::new()) };
        self.sql.push_str(&format!(" AND {plus}{column} IN ({list}){not_zero}"));
    }

    fn times(&mut self, from: Option<i64>, to: Option<i64>) {
        if let Some(from) = from {
            self.sql.push_str(&format!(" AND time >= {from}"));
        }
        if let Some(to) = to {
            self.sql.push_str(&format!(" AND time < {to}"));
        }
    }
}

/// Numbers of the strings that are wanted.
pub(super) fn strings(connection: &Connection, wanted: impl Fn(&str) -> bool) -> rusqlite::Result<Vec<i64>> {
    let mut select = connection.prepare_cached("SELECT id, text FROM strings")?;
    let mut rows = select.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        if row.get_ref(1)?.as_str().is_ok_and(&wanted) {
            ids.push(row.get(0)?);
        }
    }
    Ok(ids)
}

/// Numbers of the peers of which a name matches.
pub(super) fn peers(connection: &Connection, globs: &[Glob]) -> rusqlite::Result<Vec<i64>> {
    let mut select = connection.prepare_cached("SELECT id, said, short, exe, address FROM peers")?;
    let mut rows = select.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |column| -> rusqlite::Result<Box<str>> { Ok(row.get::<_, String>(column)?.into()) };
        let peer = PeerKey { said: text(1)?, short: text(2)?, exe: text(3)?, address: text(4)? };
        if Filter::matches_peer(globs, &peer) {
            ids.push(row.get(0)?);
        }
    }
    Ok(ids)
}

/// Numbers of the sessions whose id begins with one of the values.
fn session_ids(connection: &Connection, prefixes: &[String]) -> rusqlite::Result<Vec<i64>> {
    let mut select = connection.prepare_cached("SELECT id FROM sessions WHERE name >= ?1 AND name < ?1 || char(1114111)")?;
    let mut ids = Vec::new();
    for prefix in prefixes {
        for id in select.query_map([prefix], |row| row.get(0))? {
            ids.push(id?);
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// A partition that may have something.
struct Part {
    number: i64,
    first: i64,
    last: i64,
}

fn parts(connection: &Connection, after: u64, before: u64, from: Option<i64>, to: Option<i64>) -> Result<Vec<Part>, StoreError> {
    let read = || -> rusqlite::Result<Vec<Part>> {
        let mut select = connection.prepare_cached(
            "SELECT number, first_cursor, last_cursor FROM partitions
             WHERE events > 0 AND last_cursor > ?1 AND first_cursor < ?2 AND max_time >= ?3 AND min_time < ?4 ORDER BY number",
        )?;
        let bounds = (number(after), number(before), from.unwrap_or(i64::MIN), to.unwrap_or(i64::MAX));
        let rows = select.query_map(bounds, |row| Ok(Part { number: row.get(0)?, first: row.get(1)?, last: row.get(2)? }))?;
        rows.collect()
    };
    read().doing("reading the partitions")
}

/// See [`super::Store::page`].
pub(super) fn page(connection: &Connection, request: &PageRequest) -> Result<Page, StoreError> {
    let PageRequest { filter, from, to, after, before, limit, descending } = request;
    let began = Instant::now();
    // One snapshot for all statements.
    let _snapshot = connection.unchecked_transaction().doing("beginning to read")?;
    let Some(mut conditions) = conditions(connection, filter)? else { return Ok(Page::default()) };
    conditions.times(*from, *to);
    let mut page = Page::default();
    let mut bytes = 0;
    let mut parts = parts(connection, *after, *before, *from, *to)?;
    if *descending {
        parts.reverse();
    }
    let count = parts.len();
    let mut zstd = block::decompressor().map_err(StoreError::Damaged)?;
    for (position, part) in parts.into_iter().enumerate() {
        let left = limit.saturating_sub(page.events.len());
        let cursors = cursors(connection, &part, &conditions, *after, *before, left, *descending).doing("searching events")?;
        let is_full = cursors.len() >= left;
        let mut blocks = Blocks { connection, part: &part, zstd: &mut zstd, events: Vec::new() };
        for cursor in cursors {
            let event = blocks.event(cursor)?;
            if bytes > 0 && (bytes + event.len() > MAX_BYTES || began.elapsed() > MAX_TIME) {
                page.next = page.events.last().map(|(cursor, _)| *cursor);
                return Ok(page);
            }
            bytes += event.len();
            page.events.push((cursor, event));
        }
        if is_full {
            page.next = page.events.last().map(|(cursor, _)| *cursor);
            return Ok(page);
        }
        if position + 1 < count && began.elapsed() > MAX_TIME {
            page.next = Some(if *descending { part.first } else { part.last }.unsigned_abs());
            return Ok(page);
        }
    }
    Ok(page)
}

fn cursors(
    connection: &Connection,
    part: &Part,
    conditions: &Conditions,
    after: u64,
    before: u64,
    limit: usize,
    descending: bool,
) -> rusqlite::Result<Vec<u64>> {
    let order = if descending { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT cursor FROM rows_{} WHERE cursor > ?1 AND cursor < ?2{} ORDER BY cursor {order} LIMIT ?3",
        part.number, conditions.sql
    );
    let mut select = connection.prepare(&sql)?;
    let bounds = (number(after), number(before), number(limit as u64));
    let rows = select.query_map(bounds, |row| row.get::<_, i64>(0).map(i64::unsigned_abs))?;
    rows.collect()
}

/// Fetches events by cursor; keeps the last block, for the next event is most often in it.
struct Blocks<'a> {
    connection: &'a Connection,
    part: &'a Part,
    zstd: &'a mut zstd::bulk::Decompressor<'static>,
    events: Vec<(u64, Bytes)>,
}

impl Blocks<'_> {
    fn event(&mut self, cursor: u64) -> Result<Bytes, StoreError> {
        if let Some(event) = self.kept(cursor) {
            return Ok(event);
        }
        let sql = format!("SELECT first, data FROM blocks_{} WHERE first <= ?1 ORDER BY first DESC LIMIT 1", self.part.number);
        let zstd = &mut *self.zstd;
        let block = self
            .connection
            .prepare_cached(&sql)
            .and_then(|mut select| {
                select
                    .query_row([number(cursor)], |row| {
                        let first = row.get::<_, i64>(0)?.unsigned_abs();
                        Ok((first, row.get_ref(1)?.as_blob().map(|data| block::plain(zstd, data))))
                    })
                    .optional()
            })
            .doing("reading a block")?;
        if let Some((first, plain)) = block {
            let plain = plain.map_err(|error| StoreError::Damaged(error.to_string()))?.map_err(StoreError::Damaged)?;
            self.events = block::read(first, &plain.into()).map_err(StoreError::Damaged)?;
        }
        self.kept(cursor).ok_or_else(|| StoreError::Damaged(format!("event {cursor} has a row and no bytes")))
    }

    fn kept(&self, cursor: u64) -> Option<Bytes> {
        let position = self.events.binary_search_by_key(&cursor, |(cursor, _)| *cursor).ok()?;
        self.events.get(position).map(|(_, event)| event.clone())
    }
}

/// See [`super::Store::count`].
pub(super) fn count(
    connection: &Connection,
    filter: &Filter,
    from: Option<i64>,
    after: u64,
    through: u64,
) -> Result<Option<(u64, u64, u64)>, StoreError> {
    let _snapshot = connection.unchecked_transaction().doing("beginning to read")?;
    let Some(mut conditions) = conditions(connection, filter)? else { return Ok(None) };
    conditions.times(from, None);
    let mut sum: Option<(u64, u64, u64)> = None;
    for part in parts(connection, after, through.saturating_add(1), from, None)? {
        let sql = format!(
            "SELECT count(*), min(cursor), max(cursor) FROM rows_{} WHERE cursor > ?1 AND cursor <= ?2{}",
            part.number, conditions.sql
        );
        let (events, first, last): (i64, Option<i64>, Option<i64>) = connection
            .query_row(&sql, (number(after), number(through)), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .doing("counting events")?;
        if let (Some(first), Some(last)) = (first, last) {
            let (before, earliest, _) = sum.unwrap_or((0, first.unsigned_abs(), 0));
            sum = Some((before + events.unsigned_abs(), earliest, last.unsigned_abs()));
        }
    }
    Ok(sum)
}
