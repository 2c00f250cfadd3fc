//! Names as numbers: nodes, tools and methods, peers, sessions.
//!
//! Rows carry integers; the text is stored once. The writer remembers the numbers it has used, so that a name costs one look-up
//! in memory. Each name knows the last partition that uses it, and goes with it.
//!
//! Invariants: what is remembered is in the database or in the transaction under way: after a rollback, [`Names::forget`];
//! what is remembered is bounded.

use std::sync::Arc;

use rusqlite::Connection;
use rustc_hash::FxHashMap;

use crate::event::PeerKey;

/// Names of one sort that are remembered at most.
const MAX_REMEMBERED: usize = 64 * 1024;

/// A number and the last partition in which it is known to be used.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: i64,
    partition: i64,
}

/// The numbers of a peer; 0 for none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PeerIds {
    /// Of its names.
    pub(super) names: i64,
    /// Of its process and where that runs.
    pub(super) process: i64,
}

/// What the writer remembers.
#[derive(Debug, Default)]
pub(super) struct Names {
    strings: FxHashMap<Arc<str>, Known>,
    peers: FxHashMap<Arc<PeerKey>, (PeerIds, i64)>,
    sessions: FxHashMap<(Arc<str>, i64), i64>,
}

impl Names {
    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        self.strings.clear();
        self.peers.clear();
        self.sessions.clear();
    }

    /// The number of a node, a tool or a method, used in `partition`; 0 for the empty text.
    pub(super) fn string(&mut self, connection: &Connection, text: &Arc<str>, partition: i64) -> rusqlite::Result<i64> {
        if text.is_empty() {
            return Ok(0);
        }
        if let Some(known) = self.strings.get(text)
            && known.partition == partition
        {
            return Ok(known.id);
        }
        let id = connection
            .prepare_cached(
                "INSERT INTO strings (text, last_partition) VALUES (?1, ?2)
                 ON CONFLICT (text) DO UPDATE SET last_partition = excluded.last_partition RETURNING id",
            )?
            .query_row((&**text, partition), |row| row.get(0))?;
        if self.strings.len() >= MAX_REMEMBERED {
            self.strings.clear();
        }
        self.strings.insert(Arc::clone(text), Known { id, partition });
        Ok(id)
    }

    /// The numbers of a peer, used in `partition`.
    pub(super) fn peer(&mut self, connection: &Connection, peer: Option<&Arc<PeerKey>>, partition: i64) -> rusqlite::Result<PeerIds> {
        let Some(peer) = peer else { return Ok(PeerIds::default()) };
        if let Some((ids, of)) = self.peers.get(peer)
            && *of == partition
        {
            return Ok(*ids);
        }
        let PeerKey { said, short, exe, script, address, pid, container, pod_uid, pod_namespace, pod_name } = &**peer;
        let names = connection
            .prepare_cached(
                "INSERT INTO peers (said, short, exe, script, address, last_partition) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (said, short, exe, script, address) DO UPDATE SET last_partition = excluded.last_partition RETURNING id",
            )?
            .query_row((&**said, &**short, &**exe, &**script, &**address, partition), |row| row.get(0))?;
        let process = if *pid == 0 && container.is_empty() && pod_uid.is_empty() && pod_name.is_empty() {
            0
        } else {
            connection
                .prepare_cached(
                    "INSERT INTO processes (pid, container, pod_uid, pod_namespace, pod_name, last_partition) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (pid, container, pod_uid, pod_namespace, pod_name)
                         DO UPDATE SET last_partition = excluded.last_partition RETURNING id",
                )?
                .query_row((pid, &**container, &**pod_uid, &**pod_namespace, &**pod_name, partition), |row| row.get(0))?
        };
        if self.peers.len() >= MAX_REMEMBERED {
            self.peers.clear();
        }
        let ids = PeerIds { names, process };
        self.peers.insert(Arc::clone(peer), (ids, partition));
        Ok(ids)
    }

    /// The number of a session; 0 for none. It is made with an event of this time and cursor.
    pub(super) fn session(&mut self, connection: &Connection, name: &Arc<str>, node: i64, time: i64, cursor: i64) -> rusqlite::Result<i64> {
        if name.is_empty() {
            return Ok(0);
        }
        let key = (Arc::clone(name), node);
        if let Some(id) = self.sessions.get(&key) {
            return Ok(*id);
        }
        let id = connection
            .prepare_cached(
                "INSERT INTO sessions (name, node, first, last, last_cursor) VALUES (?1, ?2, ?3, ?3, ?4)
                 ON CONFLICT (name, node) DO UPDATE SET last_cursor = excluded.last_cursor RETURNING id",
            )?
            .query_row((&**name, node, time, cursor), |row| row.get(0))?;
        if self.sessions.len() >= MAX_REMEMBERED {
            self.sessions.clear();
        }
        self.sessions.insert(key, id);
        Ok(id)
    }
}
