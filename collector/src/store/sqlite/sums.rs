//! What a batch adds to sessions and runs, put together in memory and written once a batch.

use mcp_sensor_proto::v1::filter::Kind;
use rusqlite::Connection;
use rustc_hash::FxHashMap;

use bytes::Bytes;

use super::names::PeerIds;
use crate::event::Keys;
use crate::ingest::{Chunk, RunId};

/// The sums of one batch.
#[derive(Debug, Default)]
pub(super) struct Sums {
    sessions: FxHashMap<i64, Session>,
    tools: FxHashMap<(i64, i64), Tool>,
    methods: FxHashMap<(i64, i64), ()>,
    runs: FxHashMap<RunId, Run>,
}

#[derive(Debug, Default)]
struct Session {
    session: Bytes,
    client: Bytes,
    server: Bytes,
    client_ids: PeerIds,
    server_ids: PeerIds,
    first: i64,
    last: i64,
    last_cursor: i64,
    closed: Option<bool>,
    messages: i64,
    calls: i64,
    failed: i64,
    gaps: i64,
}

#[derive(Debug, Default)]
struct Tool {
    calls: i64,
    failed: i64,
    max_ms: Option<f64>,
}

#[derive(Debug, Default)]
struct Run {
    node: std::sync::Arc<str>,
    sequence: i64,
    missing: i64,
    last_seen: i64,
    last_event: Option<i64>,
    sensor: Bytes,
}

/// The numbers of an event's names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ids {
    pub(super) node: i64,
    pub(super) session: i64,
    pub(super) client: PeerIds,
    pub(super) server: PeerIds,
    pub(super) tool: i64,
    pub(super) method: i64,
}

impl Sums {
    /// Adds an event.
    pub(super) fn event(&mut self, keys: &Keys, ids: Ids, cursor: i64) {
        if ids.session == 0 {
            return;
        }
        let session = self.sessions.entry(ids.session).or_insert_with(|| Session { first: i64::MAX, last: i64::MIN, ..Session::default() });
        session.first = session.first.min(keys.time);
        session.last = session.last.max(keys.time);
        session.last_cursor = cursor;
        session.session = keys.session_bytes.clone();
        if ids.client.names > 0 {
            session.client = keys.client_bytes.clone();
            session.client_ids = ids.client;
        }
        if ids.server.names > 0 {
            session.server = keys.server_bytes.clone();
            session.server_ids = ids.server;
        }
        session.closed = keys.tally.closed.or(session.closed);
        session.messages += i64::from(keys.kind == Kind::Message as i32 as u8);
        session.gaps += i64::from(keys.kind == Kind::Gap as i32 as u8);
        session.calls += i64::from(keys.tally.call);
        session.failed += i64::from(keys.tally.failed);
        if ids.tool > 0 {
            let tool = self.tools.entry((ids.session, ids.tool)).or_default();
            tool.calls += i64::from(keys.tally.call);
            tool.failed += i64::from(keys.tally.failed);
            tool.max_ms = match (tool.max_ms, keys.tally.duration_ms) {
                (Some(known), Some(new)) => Some(known.max(new)),
                (known, new) => known.or(new),
            };
        }
        if ids.method > 0 {
            self.methods.insert((ids.session, ids.method), ());
        }
    }

    /// Adds what a chunk tells of its run.
    pub(super) fn chunk(&mut self, chunk: &Chunk) {
        let run = self.runs.entry(chunk.run.id).or_default();
        run.node = chunk.run.node.clone();
        run.sequence = run.sequence.max(number(chunk.sequence));
        run.missing = run.missing.saturating_add(number(chunk.missing));
        run.last_seen = run.last_seen.max(chunk.received);
        for entry in &chunk.entries {
            run.last_event = run.last_event.max(Some(entry.keys.time));
            if !entry.keys.sensor_bytes.is_empty() {
                run.sensor = entry.keys.sensor_bytes.clone();
            }
        }
    }

    /// Writes it all.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut update = connection.prepare_cached(
            "UPDATE sessions SET session_bytes = ?2, client_bytes = coalesce(?3, client_bytes), server_bytes = coalesce(?4, server_bytes),
                 client = iif(?5 > 0, ?5, client), server = iif(?6 > 0, ?6, server),
                 first = min(first, ?7), last = max(last, ?8), last_cursor = ?9, closed = coalesce(?10, closed),
                 messages = messages + ?11, calls = calls + ?12, failed = failed + ?13, gaps = gaps + ?14,
                 client_process = iif(?5 > 0, ?15, client_process), server_process = iif(?6 > 0, ?16, server_process)
             WHERE id = ?1",
        )?;
        for (id, session) in &self.sessions {
            let Session {
                session,
                client,
                server,
                client_ids,
                server_ids,
                first,
                last,
                last_cursor,
                closed,
                messages,
                calls,
                failed,
                gaps,
            } = session;
            update.execute(rusqlite::params![
                id,
                &**session,
                present(client),
                present(server),
                client_ids.names,
                server_ids.names,
                first,
                last,
                last_cursor,
                closed,
                messages,
                calls,
                failed,
                gaps,
                client_ids.process,
                server_ids.process
            ])?;
        }
        let mut upsert = connection.prepare_cached(
            "INSERT INTO session_tools VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
                 calls = calls + excluded.calls, failed = failed + excluded.failed,
                 max_ms = coalesce(max(max_ms, excluded.max_ms), max_ms, excluded.max_ms)",
        )?;
        for ((session, tool), sum) in &self.tools {
            upsert.execute((session, tool, sum.calls, sum.failed, sum.max_ms))?;
        }
        let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO session_methods VALUES (?1, ?2)")?;
        for (session, method) in self.methods.keys() {
            insert.execute((session, method))?;
        }
        let mut upsert = connection.prepare_cached(
            "INSERT INTO runs (id, node, version, started, last_seen, last_event, last_sequence, missing, sensor_bytes)
             VALUES (?1, ?2, '', ?3, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET
                 last_seen = max(last_seen, excluded.last_seen),
                 last_event = coalesce(max(last_event, excluded.last_event), last_event, excluded.last_event),
                 last_sequence = max(last_sequence, excluded.last_sequence), missing = missing + excluded.missing,
                 sensor_bytes = coalesce(excluded.sensor_bytes, sensor_bytes)",
        )?;
        for (id, run) in &self.runs {
            let Run { node, sequence, missing, last_seen, last_event, sensor } = run;
            upsert.execute((&id.0.to_be_bytes(), &**node, last_seen, last_event, sequence, missing, present(sensor)))?;
        }
        Ok(())
    }
}

fn present(bytes: &Bytes) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

/// A number as SQLite has them. Sequences and cursors are checked before to fit.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
