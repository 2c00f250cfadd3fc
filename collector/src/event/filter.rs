//! Which events someone asked for.
//!
//! Values of one field are alternatives, fields that are set must all match. The keys of an event ([`Keys`]) are all that
//! is looked at, live and in the store, so both decide alike; contents are looked into only where text is asked for.
//!
//! Invariants: a filter never fails once it is made, and takes time in proportion to its size, which is bounded.

use std::str::FromStr;

use mcp_sensor_proto::v1::{
    self,
    event::Severity,
    filter::{Failure, Kind},
};

use present::find::{EmptyPattern, Glob, Name, Process};

use super::keys::{Keys, PeerKey};
use super::text::Words;

/// Values of one field at most.
pub const MAX_VALUES: usize = 1_000;

/// Bytes of one value at most.
pub const MAX_VALUE: usize = 512;

/// A filter that cannot be obeyed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FilterError {
    /// Too many values.
    #[error("filter.{field}: more than {MAX_VALUES} values")]
    TooMany {
        /// The field.
        field: &'static str,
    },
    /// A value that is empty, and would match nothing.
    #[error("filter.{field}: an empty value matches nothing")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// A value is too long.
    #[error("filter.{field}: a value of more than {MAX_VALUE} bytes")]
    TooLong {
        /// The field.
        field: &'static str,
    },
    /// A kind or a severity that this collector does not know.
    #[error("filter.{field}: {value} is not known to this collector")]
    Unknown {
        /// The field.
        field: &'static str,
        /// The value.
        value: i32,
    },
}

/// A filter, checked and ready.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    /// The node, exactly.
    pub nodes: Vec<String>,
    /// Any name of the server.
    pub servers: Vec<Name>,
    /// Any name of the client.
    pub clients: Vec<Name>,
    /// The tool.
    pub tools: Vec<Glob>,
    /// Numbers of kinds; empty means any.
    pub kinds: Vec<u8>,
    /// Number of the lowest severity; 0 means any.
    pub min_severity: u8,
    /// The session's id, or its beginning.
    pub sessions: Vec<String>,
    /// The method.
    pub methods: Vec<Glob>,
    /// Client or server, by name or process id.
    pub processes: Vec<Process>,
    /// The container or the pod of client or server.
    pub containers: Vec<String>,
    /// Words in the arguments.
    pub arguments: Vec<Words>,
    /// Words in what went wrong.
    pub errors: Vec<Words>,
    /// Numbers of ways to fail; empty means that none has to.
    pub failures: Vec<u8>,
}

impl Filter {
    /// Checks a filter of the contract.
    ///
    /// # Errors
    /// It is too big, or asks for something that this version does not know.
    pub fn new(filter: Option<&v1::Filter>) -> Result<Self, FilterError> {
        let Some(filter) = filter else { return Ok(Self::default()) };
        let v1::Filter {
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
        let severity =
            Severity::try_from(*min_severity).map_err(|_| FilterError::Unknown { field: "min_severity", value: *min_severity })?;
        let mut wanted = numbers("kinds", kinds, |kind| Kind::try_from(kind).ok().map(|kind| kind as i32))?;
        if wanted.contains(&0) {
            wanted.clear();
        }
        let mut failed = numbers("failures", failures, |failure| Failure::try_from(failure).ok().map(|failure| failure as i32))?;
        if failed.contains(&0) {
            failed = vec![Failure::ToolError as u8, Failure::RpcError as u8, Failure::Cancelled as u8, Failure::Abandoned as u8];
        }
        Ok(Self {
            nodes: texts("nodes", nodes)?.to_vec(),
            servers: parsed("servers", servers)?,
            clients: parsed("clients", clients)?,
            tools: parsed("tools", tools)?,
            kinds: wanted,
            min_severity: severity as i32 as u8,
            sessions: texts("sessions", sessions)?.to_vec(),
            methods: parsed("methods", methods)?,
            processes: parsed("processes", processes)?,
            containers: texts("containers", containers)?.to_vec(),
            arguments: words("arguments", arguments)?,
            errors: words("errors", errors)?,
            failures: failed,
        })
    }

    /// True where it lets everything through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True where the event with these keys is wanted.
    #[must_use]
    pub fn matches(&self, keys: &Keys) -> bool {
        let Self {
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
        } = self;
        let peers = || keys.client.iter().chain(&keys.server);
        // What costs most comes last.
        (kinds.is_empty() || kinds.contains(&keys.kind))
            && keys.severity >= *min_severity
            && (nodes.is_empty() || nodes.iter().any(|node| **node == *keys.node))
            && (sessions.is_empty() || Self::matches_session(sessions, &keys.session))
            && (tools.is_empty() || Self::matches_text(tools, &keys.tool))
            && (methods.is_empty() || Self::matches_text(methods, &keys.method))
            && (servers.is_empty() || keys.server.as_deref().is_some_and(|peer| Self::matches_peer(servers, peer)))
            && (clients.is_empty() || keys.client.as_deref().is_some_and(|peer| Self::matches_peer(clients, peer)))
            && (failures.is_empty() || failures.contains(&keys.failure))
            && (containers.is_empty() || peers().any(|peer| containers.iter().any(|asked| peer.place().is(asked))))
            && (processes.is_empty() || peers().any(|peer| processes.iter().any(|asked| asked.is(peer.pid, &peer.called()))))
            && (arguments.is_empty() || arguments.iter().any(|words| words.are_in(&keys.arguments)))
            && (errors.is_empty() || errors.iter().any(|words| words.are_in(&keys.error)))
    }

    /// True where contents have to be looked into.
    #[must_use]
    pub fn has_text(&self) -> bool {
        !self.arguments.is_empty() || !self.errors.is_empty()
    }

    /// True where it asks for what only single events tell, not their session.
    #[must_use]
    pub fn needs_events(&self) -> bool {
        self.has_text() || !self.failures.is_empty()
    }

    /// True where the text, which is there, matches one of the patterns.
    #[must_use]
    pub fn matches_text(globs: &[Glob], text: &str) -> bool {
        !text.is_empty() && globs.iter().any(|glob| glob.matches(text))
    }

    /// True where a session's id begins with one of the values.
    #[must_use]
    pub fn matches_session(prefixes: &[String], id: &str) -> bool {
        !id.is_empty() && prefixes.iter().any(|prefix| id.starts_with(prefix.as_str()))
    }

    /// True where one of the peer's names matches one of the patterns.
    #[must_use]
    pub fn matches_peer(names: &[Name], peer: &PeerKey) -> bool {
        names.iter().any(|name| name.is_called(&peer.called()))
    }
}

fn texts<'a>(field: &'static str, values: &'a [String]) -> Result<&'a [String], FilterError> {
    if values.len() > MAX_VALUES {
        return Err(FilterError::TooMany { field });
    }
    if values.iter().any(String::is_empty) {
        return Err(FilterError::Empty { field });
    }
    if values.iter().any(|value| value.len() > MAX_VALUE) {
        return Err(FilterError::TooLong { field });
    }
    Ok(values)
}

fn parsed<T: FromStr<Err = EmptyPattern>>(field: &'static str, values: &[String]) -> Result<Vec<T>, FilterError> {
    texts(field, values)?.iter().map(|value| value.parse().map_err(|EmptyPattern| FilterError::Empty { field })).collect()
}

fn words(field: &'static str, values: &[String]) -> Result<Vec<Words>, FilterError> {
    Ok(texts(field, values)?.iter().map(|value| Words::new(value)).collect())
}

/// Numbers of an enumeration, each once, in order.
fn numbers(field: &'static str, values: &[i32], known: impl Fn(i32) -> Option<i32>) -> Result<Vec<u8>, FilterError> {
    let mut numbers = Vec::new();
    for &value in values {
        let number = known(value).and_then(|number| u8::try_from(number).ok());
        numbers.push(number.ok_or(FilterError::Unknown { field, value })?);
        numbers.dedup();
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_obeyed_is_an_error() {
        let error = |filter: v1::Filter| Filter::new(Some(&filter)).unwrap_err().to_string();
        assert_eq!(error(v1::Filter { kinds: vec![99], ..v1::Filter::default() }), "filter.kinds: 99 is not known to this collector");
        assert_eq!(
            error(v1::Filter { tools: vec![String::new()], ..v1::Filter::default() }),
            "filter.tools: an empty value matches nothing"
        );
    }
}
