//! A filter as SQL, and as bits of signatures.
//!
//! Each pattern is compared with the names once, not with the events; what is left are conditions on numbers. By these the
//! signatures of blocks ([`super::sign`]) tell where to look, and SQL looks there.

use present::find::{Name, Place, Process};
use rusqlite::Connection;

use super::sign::{self, Asked, Column};
use crate::event::{Filter, PeerKey};
use crate::store::{Doing as _, StoreError};

/// Numbers of a field above which it does not tell where to look.
const MANY: usize = 512;

/// Conditions on the rows of a partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    /// Begins with ` AND`, or is empty.
    sql: String,
    /// What the signature of a block with a match has.
    asked: Vec<Asked>,
}

/// Conditions on the rows of partitions of `format`. `None` where nothing can match.
pub(super) fn conditions(connection: &Connection, filter: &Filter, format: i64) -> Result<Option<Conditions>, StoreError> {
    let made = Conditions::new(connection, filter, format >= super::schema::FORMAT);
    made.doing("looking up names")
}

impl Conditions {
    fn new(connection: &Connection, filter: &Filter, is_new: bool) -> rusqlite::Result<Option<Self>> {
        let Filter {
            nodes,
            servers,
            clients,
            tools,
            kinds,
            min_severity,
            sessions,
            methods,
            processes,
            containers,
            arguments,
            errors,
            failures,
        } = filter;
        let mut made = Self::default();
        let mut can_match = true;
        let mut one_of = |choices: &[(Column, Vec<i64>)]| can_match &= made.one_of(choices);
        let numbers = |values: &[u8]| values.iter().copied().map(i64::from).collect::<Vec<_>>();
        if !kinds.is_empty() {
            one_of(&[(Column::Kind, numbers(kinds))]);
        }
        if !nodes.is_empty() {
            one_of(&[(Column::Node, strings(connection, |text| nodes.iter().any(|node| node == text))?)]);
        }
        if !sessions.is_empty() {
            one_of(&[(Column::Session, session_ids(connection, sessions)?)]);
        }
        if !tools.is_empty() {
            one_of(&[(Column::Tool, strings(connection, |text| Filter::matches_text(tools, text))?)]);
        }
        if !methods.is_empty() {
            one_of(&[(Column::Method, strings(connection, |text| Filter::matches_text(methods, text))?)]);
        }
        if !servers.is_empty() {
            one_of(&[(Column::Server, named(connection, servers)?)]);
        }
        if !clients.is_empty() {
            one_of(&[(Column::Client, named(connection, clients)?)]);
        }
        if !processes.is_empty() && is_new {
            let (names, ids) = of_processes(connection, processes)?;
            let choices = [(Column::Client, names.clone()), (Column::Server, names)];
            let by_id = [(Column::ClientProcess, ids.clone()), (Column::ServerProcess, ids)];
            one_of(&[choices, by_id].concat());
        }
        if !containers.is_empty() && is_new {
            let ids = places(connection, containers)?;
            one_of(&[(Column::ClientProcess, ids.clone()), (Column::ServerProcess, ids)]);
        }
        if !failures.is_empty() && is_new {
            one_of(&[(Column::Failure, numbers(failures))]);
        }
        if *min_severity > 0 {
            made.sql.push_str(&format!(" AND severity >= {min_severity}"));
            made.asked.push(sign::severities(*min_severity));
        }
        made.asked.extend([arguments, errors].into_iter().filter(|words| !words.is_empty()).map(|words| sign::words(words)));
        Ok(can_match.then_some(made))
    }

    /// One of these columns has one of its numbers. False where none has any.
    fn one_of(&mut self, choices: &[(Column, Vec<i64>)]) -> bool {
        let choices: Vec<_> = choices.iter().filter(|(_, ids)| !ids.is_empty()).collect();
        let sql: Vec<String> = choices.iter().map(|(column, ids)| format!("{} IN ({})", column.name(), list(ids))).collect();
        self.sql.push_str(&format!(" AND ({})", sql.join(" OR ")));
        if choices.iter().map(|(_, ids)| ids.len()).sum::<usize>() <= MANY {
            let bits = |(column, ids): &&(Column, Vec<i64>)| ids.iter().map(|id| column.bits(*id).to_vec()).collect::<Vec<_>>();
            self.asked.push(choices.iter().flat_map(bits).collect());
        }
        !choices.is_empty()
    }

    /// Only events between these times.
    pub(super) fn times(&mut self, from: Option<i64>, to: Option<i64>) {
        if let Some(from) = from {
            self.sql.push_str(&format!(" AND time >= {from}"));
        }
        if let Some(to) = to {
            self.sql.push_str(&format!(" AND time < {to}"));
        }
    }

    /// What the signature of a block with a match has: one of the alternatives of each field.
    pub(super) fn asked(&self) -> &[Asked] {
        &self.asked
    }

    /// Selects cursor and session of rows with a cursor above `?1` and below `?2`, `?3` at most, in the order of the cursors.
    pub(super) fn select(&self, partition: i64, descending: bool) -> String {
        let order = if descending { "DESC" } else { "ASC" };
        let sql = &self.sql;
        format!("SELECT cursor, session FROM rows_{partition} WHERE cursor > ?1 AND cursor < ?2{sql} ORDER BY cursor {order} LIMIT ?3")
    }
}

/// As SQL has a list.
pub(super) fn list(ids: &[i64]) -> String {
    ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
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

/// Numbers of the peers that are called so.
pub(super) fn named(connection: &Connection, names: &[Name]) -> rusqlite::Result<Vec<i64>> {
    peers(connection, |peer| Filter::matches_peer(names, peer))
}

/// Numbers of the peers that are wanted, by their names.
fn peers(connection: &Connection, wanted: impl Fn(&PeerKey) -> bool) -> rusqlite::Result<Vec<i64>> {
    let mut select = connection.prepare_cached("SELECT id, said, short, exe, script, address FROM peers")?;
    let mut rows = select.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |column| -> rusqlite::Result<Box<str>> { Ok(row.get_ref(column)?.as_str()?.into()) };
        let peer = PeerKey { said: text(1)?, short: text(2)?, exe: text(3)?, script: text(4)?, address: text(5)?, ..PeerKey::default() };
        if wanted(&peer) {
            ids.push(row.get(0)?);
        }
    }
    Ok(ids)
}

/// Numbers of the peers that have one of the names, and of the processes that have one of the ids.
pub(super) fn of_processes(connection: &Connection, wanted: &[Process]) -> rusqlite::Result<(Vec<i64>, Vec<i64>)> {
    let names = peers(connection, |peer| wanted.iter().any(|process| process.is_named(&peer.called())))?;
    let mut select = connection.prepare_cached("SELECT id FROM processes WHERE pid = ?1")?;
    let mut ids = Vec::new();
    for pid in wanted.iter().filter_map(Process::pid) {
        for id in select.query_map([pid], |row| row.get(0))? {
            ids.push(id?);
        }
    }
    Ok((names, ids))
}

/// Numbers of the processes that run in one of these containers or pods.
pub(super) fn places(connection: &Connection, asked: &[String]) -> rusqlite::Result<Vec<i64>> {
    // One index each; what they find is looked at once more, by the rule for live events.
    let mut select = connection.prepare_cached(
        "SELECT id, container, pod_uid, pod_namespace, pod_name FROM processes
             WHERE container >= ?1 AND container < ?1 || char(1114111) AND container > ''
         UNION SELECT id, container, pod_uid, pod_namespace, pod_name FROM processes WHERE pod_uid = ?1 AND pod_uid > ''
         UNION SELECT id, container, pod_uid, pod_namespace, pod_name FROM processes WHERE pod_name IN (?1, ?2) AND pod_name > ''",
    )?;
    let mut ids = Vec::new();
    for asked in asked {
        let name = asked.split_once('/').map_or(asked.as_str(), |(_, name)| name);
        let mut rows = select.query((asked, name))?;
        while let Some(row) = rows.next()? {
            let text = |column| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
            let place = Place { container: text(1)?, pod_uid: text(2)?, pod_namespace: text(3)?, pod_name: text(4)? };
            if place.is(asked) {
                ids.push(row.get(0)?);
            }
        }
    }
    ids.sort_unstable();
    ids.dedup();
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
