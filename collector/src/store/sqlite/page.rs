//! Reading events.
//!
//! Partitions are read one after the other, those that cannot have anything left out by their bounds, until there are enough
//! events, enough bytes, or it has taken long enough. Within a partition conditions ([`super::conditions`]) choose the rows.
//! Where text is looked for, only blocks that may have it are looked into ([`super::sign`]), and what is found is read and
//! compared.
//!
//! Invariant: with the same filter, what this finds is what [`Filter::matches`] says (tested).

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _};
use rustc_hash::FxHashSet;

use super::conditions::{Conditions, conditions};
use super::sums::number;
use super::{block, schema, sign};
use crate::event::Filter;
use crate::event::keys::Reader;
use crate::store::{Doing as _, Page, PageRequest, StoreError};

/// Bytes of the events of one page, about; one event alone may be bigger.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// How long one page searches before it hands back what it has.
const MAX_TIME: Duration = Duration::from_millis(60);

/// How long searching for the sessions of events may take.
const MAX_GATHER: Duration = Duration::from_secs(10);

/// Rows that are looked up at once where each is compared.
const CHUNK: usize = 512;

/// Where to look, and how.
struct Scan<'a> {
    connection: &'a Connection,
    filter: &'a Filter,
    from: Option<i64>,
    to: Option<i64>,
    after: u64,
    before: u64,
    descending: bool,
}

/// A partition that may have something.
#[derive(Clone, Copy)]
struct Part {
    number: i64,
    first: i64,
    last: i64,
    sealed: bool,
    format: i64,
}

/// What a scan finds.
struct Hit {
    cursor: u64,
    session: i64,
    /// Its bytes, where they were read already.
    event: Option<Bytes>,
}

/// What looks at the hits of a scan.
trait Look {
    /// Rows that are wanted at most.
    fn limit(&self) -> usize;
    /// False where an event of this session is not worth reading.
    fn wants(&self, session: i64) -> bool;
    /// A hit.
    fn hit(&mut self, hit: Hit, blocks: &mut Blocks<'_>) -> Result<ControlFlow<()>, StoreError>;
    /// Everything up to this cursor, in the order of the scan, was looked at.
    fn progress(&mut self, cursor: u64) -> Result<ControlFlow<()>, StoreError>;
}

impl Scan<'_> {
    fn parts(&self) -> Result<Vec<Part>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Part>> {
            let mut select = self.connection.prepare_cached(
                "SELECT number, first_cursor, last_cursor, sealed, format FROM partitions
                 WHERE events > 0 AND last_cursor > ?1 AND first_cursor < ?2 AND max_time >= ?3 AND min_time < ?4 ORDER BY number",
            )?;
            let bounds = (number(self.after), number(self.before), self.from.unwrap_or(i64::MIN), self.to.unwrap_or(i64::MAX));
            let rows = select.query_map(bounds, |row| {
                Ok(Part { number: row.get(0)?, first: row.get(1)?, last: row.get(2)?, sealed: row.get(3)?, format: row.get(4)? })
            })?;
            rows.collect()
        };
        let mut parts = read().doing("reading the partitions")?;
        if self.descending {
            parts.reverse();
        }
        Ok(parts)
    }

    /// Shows `look` what matches, in the order of the cursors, until it has enough.
    fn run(&self, look: &mut impl Look) -> Result<(), StoreError> {
        // One snapshot for all statements.
        let _snapshot = self.connection.unchecked_transaction().doing("beginning to read")?;
        let (mut of_new, mut of_old): (Option<Option<Conditions>>, Option<Option<Conditions>>) = (None, None);
        let mut zstd = block::decompressor().map_err(StoreError::Damaged)?;
        let mut reader = Reader::default();
        let mut parts = self.parts()?.into_iter().peekable();
        while let Some(part) = parts.next() {
            let known = if part.format >= schema::FORMAT { &mut of_new } else { &mut of_old };
            if known.is_none() {
                let mut made = conditions(self.connection, self.filter, part.format)?;
                made.iter_mut().for_each(|conditions| conditions.times(self.from, self.to));
                *known = Some(made);
            }
            if let Some(Some(conditions)) = known
                && self.part(part, conditions, &mut zstd, &mut reader, look)?.is_break()
            {
                return Ok(());
            }
            if parts.peek().is_none() {
                return Ok(());
            }
            if look.progress(if self.descending { part.first } else { part.last }.unsigned_abs())?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn part(
        &self,
        part: Part,
        conditions: &Conditions,
        zstd: &mut zstd::bulk::Decompressor<'static>,
        reader: &mut Reader,
        look: &mut impl Look,
    ) -> Result<ControlFlow<()>, StoreError> {
        let is_new = part.format >= schema::FORMAT;
        let compare = self.filter.has_text()
            || (!is_new && (!self.filter.failures.is_empty() || !self.filter.processes.is_empty() || !self.filter.containers.is_empty()));
        let bounds = (number(self.after).max(part.first - 1), number(self.before).min(part.last.saturating_add(1)));
        let mut ranges = if is_new && !conditions.asked().is_empty() { self.candidates(part, conditions, bounds)? } else { vec![bounds] };
        if self.descending {
            ranges.reverse();
        }
        let sql = conditions.select(part.number, self.descending);
        let mut select = self.connection.prepare(&sql).doing("searching events")?;
        let mut blocks = Blocks { connection: self.connection, partition: part.number, zstd, events: Vec::new() };
        for (mut after, mut before) in ranges {
            loop {
                let limit = if compare { CHUNK } else { look.limit() };
                let rows: Vec<(i64, i64)> = select
                    .query_map((after, before, number(limit as u64)), |row| Ok((row.get(0)?, row.get(1)?)))
                    .and_then(Iterator::collect)
                    .doing("searching events")?;
                let is_last = rows.len() < limit;
                for (cursor, session) in rows {
                    *if self.descending { &mut before } else { &mut after } = cursor;
                    let mut hit = Hit { cursor: cursor.unsigned_abs(), session, event: None };
                    if look.wants(session) {
                        if compare {
                            let event = blocks.event(hit.cursor)?;
                            // What is stored was checked when it came.
                            if reader.read(&event).is_ok_and(|keys| self.filter.matches(&keys)) {
                                hit.event = Some(event);
                            }
                        }
                        if (!compare || hit.event.is_some()) && look.hit(hit, &mut blocks)?.is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                    if compare && look.progress(cursor.unsigned_abs())?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Where in a partition matches may be: pairs of cursors, what is between them; neighbours are one.
    fn candidates(&self, part: Part, conditions: &Conditions, (after, before): (i64, i64)) -> Result<Vec<(i64, i64)>, StoreError> {
        let blocks =
            sign::candidates(self.connection, part.number, part.sealed, part.last, conditions.asked()).doing("searching events")?;
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for (first, end) in blocks {
            let range = ((first - 1).max(after), end.min(before));
            match ranges.last_mut() {
                Some(last) if last.1 == first => last.1 = range.1,
                _ if range.0 + 1 < range.1 => ranges.push(range),
                _ => {}
            }
        }
        Ok(ranges)
    }
}

/// Fills a page.
struct Filling {
    page: Page,
    bytes: usize,
    limit: usize,
    began: Instant,
}

impl Filling {
    fn is_late(&self) -> bool {
        self.began.elapsed() > MAX_TIME
    }
}

impl Look for Filling {
    fn limit(&self) -> usize {
        self.limit.saturating_sub(self.page.events.len())
    }

    fn wants(&self, _: i64) -> bool {
        true
    }

    fn hit(&mut self, hit: Hit, blocks: &mut Blocks<'_>) -> Result<ControlFlow<()>, StoreError> {
        let event = match hit.event {
            Some(event) => event,
            None => blocks.event(hit.cursor)?,
        };
        if self.bytes > 0 && (self.bytes + event.len() > MAX_BYTES || self.is_late()) {
            self.page.next = self.page.events.last().map(|(cursor, _)| *cursor);
            return Ok(ControlFlow::Break(()));
        }
        self.bytes += event.len();
        self.page.events.push((hit.cursor, event));
        if self.page.events.len() < self.limit {
            return Ok(ControlFlow::Continue(()));
        }
        self.page.next = Some(hit.cursor);
        Ok(ControlFlow::Break(()))
    }

    fn progress(&mut self, cursor: u64) -> Result<ControlFlow<()>, StoreError> {
        if !self.is_late() {
            return Ok(ControlFlow::Continue(()));
        }
        self.page.next = Some(cursor);
        Ok(ControlFlow::Break(()))
    }
}

/// See [`super::Store::page`].
pub(super) fn page(connection: &Connection, request: &PageRequest) -> Result<Page, StoreError> {
    let PageRequest { filter, from, to, after, before, limit, descending } = request;
    let scan = Scan { connection, filter, from: *from, to: *to, after: *after, before: *before, descending: *descending };
    let mut filling = Filling { page: Page::default(), bytes: 0, limit: *limit, began: Instant::now() };
    scan.run(&mut filling)?;
    Ok(filling.page)
}

/// Counts.
#[derive(Default)]
struct Counting(Option<(u64, u64, u64)>);

impl Look for Counting {
    fn limit(&self) -> usize {
        CHUNK
    }

    fn wants(&self, _: i64) -> bool {
        true
    }

    fn hit(&mut self, hit: Hit, _: &mut Blocks<'_>) -> Result<ControlFlow<()>, StoreError> {
        let (events, first, _) = self.0.unwrap_or((0, hit.cursor, 0));
        self.0 = Some((events + 1, first, hit.cursor));
        Ok(ControlFlow::Continue(()))
    }

    fn progress(&mut self, _: u64) -> Result<ControlFlow<()>, StoreError> {
        Ok(ControlFlow::Continue(()))
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
    let scan = Scan { connection, filter, from, to: None, after, before: through.saturating_add(1), descending: false };
    let mut counting = Counting::default();
    scan.run(&mut counting)?;
    Ok(counting.0)
}

/// Gathers sessions.
struct Gathering {
    sessions: FxHashSet<i64>,
    began: Instant,
}

impl Look for Gathering {
    fn limit(&self) -> usize {
        CHUNK
    }

    fn wants(&self, session: i64) -> bool {
        session > 0 && !self.sessions.contains(&session)
    }

    fn hit(&mut self, hit: Hit, _: &mut Blocks<'_>) -> Result<ControlFlow<()>, StoreError> {
        self.sessions.insert(hit.session);
        Ok(ControlFlow::Continue(()))
    }

    fn progress(&mut self, _: u64) -> Result<ControlFlow<()>, StoreError> {
        if self.began.elapsed() > MAX_GATHER { Err(StoreError::TooLong(MAX_GATHER)) } else { Ok(ControlFlow::Continue(())) }
    }
}

/// The numbers of the sessions with an event that matches.
pub(super) fn sessions(connection: &Connection, filter: &Filter, from: Option<i64>, to: Option<i64>) -> Result<FxHashSet<i64>, StoreError> {
    let scan = Scan { connection, filter, from, to, after: 0, before: u64::MAX, descending: true };
    let mut gathering = Gathering { sessions: FxHashSet::default(), began: Instant::now() };
    scan.run(&mut gathering)?;
    Ok(gathering.sessions)
}

/// Fetches events by cursor; keeps the last block, for the next event is most often in it.
struct Blocks<'a> {
    connection: &'a Connection,
    partition: i64,
    zstd: &'a mut zstd::bulk::Decompressor<'static>,
    events: Vec<(u64, Bytes)>,
}

impl Blocks<'_> {
    fn event(&mut self, cursor: u64) -> Result<Bytes, StoreError> {
        if let Some(event) = self.kept(cursor) {
            return Ok(event);
        }
        let sql = format!("SELECT first, data FROM blocks_{} WHERE first <= ?1 ORDER BY first DESC LIMIT 1", self.partition);
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
