//! A filter as SQL.
//!
//! Each pattern is compared with the names once, not with the events; what is left are conditions on numbers. In a sealed
//! partition one of them, that has an index and few numbers, leads: each of its numbers is looked up by itself, in the order of
//! the cursors, so that a page costs what it has in it, however many events there are.

use present::find::{Name, Place};
use rusqlite::Connection;

use crate::event::{Filter, PeerKey};
use crate::store::{Doing as _, StoreError};

/// Numbers of a condition above which it does not lead.
const MANY: usize = 64;

/// One field's condition: one of these columns has one of these numbers.
#[derive(Clone, Debug)]
struct Condition {
    choices: Vec<(&'static str, Vec<i64>)>,
    /// Its columns have indexes in sealed partitions.
    has_index: bool,
}

/// All conditions on the rows of a partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    /// Begins with ` AND`, or is empty: what cannot lead.
    plain: String,
    /// The first that can, leads.
    fields: Vec<Condition>,
}

/// A column and the numbers that a field of a filter asks for.
type Find<'a> = dyn Fn() -> rusqlite::Result<Vec<(&'static str, Vec<i64>)>> + 'a;

/// Conditions on the rows of partitions that have the columns of `format`. `None` where nothing can match.
pub(super) fn conditions(connection: &Connection, filter: &Filter, format: i64) -> Result<Option<Conditions>, StoreError> {
    // Text is not looked for here, but in what the rows stand for.
    let Filter { nodes, servers, clients, tools, kinds, min_severity, sessions, methods, processes, containers, failures, .. } = filter;
    let mut conditions = Conditions::default();
    if !kinds.is_empty() {
        let list: Vec<String> = kinds.iter().map(u8::to_string).collect();
        conditions.plain.push_str(&format!(" AND kind IN ({})", list.join(",")));
    }
    if *min_severity > 0 {
        conditions.plain.push_str(&format!(" AND severity >= {min_severity}"));
    }
    let of_processes = || -> rusqlite::Result<Vec<(&'static str, Vec<i64>)>> {
        let named = peers(connection, |peer| processes.iter().any(|process| process.is_named(&peer.called())))?;
        let mut ids = Vec::new();
        for pid in processes.iter().filter_map(present::find::Process::pid) {
            ids.extend(process_ids(connection, pid)?);
        }
        Ok(vec![("client", named.clone()), ("server", named), ("client_process", ids.clone()), ("server_process", ids)])
    };
    let of_containers = || -> rusqlite::Result<Vec<(&'static str, Vec<i64>)>> {
        let ids = places(connection, containers)?;
        Ok(vec![("client_process", ids.clone()), ("server_process", ids)])
    };
    let is_new = format >= super::schema::FORMAT;
    // In the order in which they lead: those that most often have the fewest events first.
    let wanted: [(bool, bool, &Find<'_>); 9] = [
        (!sessions.is_empty(), true, &|| Ok(vec![("session", session_ids(connection, sessions)?)])),
        (!containers.is_empty() && is_new, true, &of_containers),
        (!failures.is_empty() && is_new, true, &|| Ok(vec![("failure", failures.iter().map(|failure| i64::from(*failure)).collect())])),
        (!tools.is_empty(), true, &|| Ok(vec![("tool", strings(connection, |text| Filter::matches_text(tools, text))?)])),
        (!processes.is_empty() && is_new, true, &of_processes),
        (!servers.is_empty(), true, &|| Ok(vec![("server", named(connection, servers)?)])),
        (!clients.is_empty(), true, &|| Ok(vec![("client", named(connection, clients)?)])),
        (!methods.is_empty(), false, &|| Ok(vec![("method", strings(connection, |text| Filter::matches_text(methods, text))?)])),
        (!nodes.is_empty(), false, &|| Ok(vec![("node", strings(connection, |text| nodes.iter().any(|node| node == text))?)])),
    ];
    for (is_asked, has_index, find) in wanted {
        if !is_asked {
            continue;
        }
        let mut choices = find().doing("looking up names")?;
        choices.retain(|(_, ids)| !ids.is_empty());
        if choices.is_empty() {
            return Ok(None);
        }
        conditions.fields.push(Condition { choices, has_index });
    }
    Ok(Some(conditions))
}

impl Condition {
    fn leads(&self) -> bool {
        self.has_index && self.choices.iter().map(|(_, ids)| ids.len()).sum::<usize>() <= MANY
    }

    /// Without use of an index.
    fn sql(&self) -> String {
        let one = |(column, ids): &(&str, Vec<i64>)| format!("+{column} IN ({})", list(ids));
        format!(" AND ({})", self.choices.iter().map(one).collect::<Vec<_>>().join(" OR "))
    }
}

impl Conditions {
    /// Only events between these times.
    pub(super) fn times(&mut self, from: Option<i64>, to: Option<i64>) {
        if let Some(from) = from {
            self.plain.push_str(&format!(" AND time >= {from}"));
        }
        if let Some(to) = to {
            self.plain.push_str(&format!(" AND time < {to}"));
        }
    }

    /// True where, in a sealed partition, a condition leads.
    pub(super) fn lead(&self) -> bool {
        self.fields.iter().any(Condition::leads)
    }

    /// All conditions without use of an index. Begins with ` AND`, or is empty.
    pub(super) fn sql(&self) -> String {
        self.fields.iter().fold(self.plain.clone(), |sql, condition| sql + &condition.sql())
    }

    /// Selects cursor and session of rows with a cursor above `?1` and below `?2`, `?3` at most, in the order of the cursors.
    pub(super) fn select(&self, partition: i64, sealed: bool, descending: bool) -> String {
        let order = if descending { "DESC" } else { "ASC" };
        let arm = |condition: &str| {
            format!(
                "SELECT cursor, session FROM rows_{partition} WHERE cursor > ?1 AND cursor < ?2{condition} ORDER BY cursor {order} LIMIT ?3"
            )
        };
        let leader = self.fields.iter().position(Condition::leads).filter(|_| sealed);
        let Some(leading) = leader.and_then(|position| self.fields.get(position)) else { return arm(&self.sql()) };
        let others = self.fields.iter().enumerate().filter(|(position, _)| Some(*position) != leader);
        let rest = others.fold(self.plain.clone(), |sql, (_, condition)| sql + &condition.sql());
        let arms: Vec<String> = leading
            .choices
            .iter()
            .flat_map(|(column, ids)| ids.iter().map(move |id| (column, id)))
            // The indexes leave out 0, and SQLite must be told that it is not asked for.
            .map(|(column, id)| format!("SELECT * FROM ({})", arm(&format!(" AND {column} = {id} AND {column} > 0{rest}"))))
            .collect();
        match arms.as_slice() {
            [one] => one.clone(),
            _ => format!("{} ORDER BY 1 {order} LIMIT ?3", arms.join(" UNION ")),
        }
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
pub(super) fn peers(connection: &Connection, wanted: impl Fn(&PeerKey) -> bool) -> rusqlite::Result<Vec<i64>> {
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

/// Numbers of the processes with this id.
pub(super) fn process_ids(connection: &Connection, pid: u32) -> rusqlite::Result<Vec<i64>> {
    connection.prepare_cached("SELECT id FROM processes WHERE pid = ?1")?.query_map([pid], |row| row.get(0))?.collect()
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
