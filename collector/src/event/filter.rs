//! Which events someone asked for.
//!
//! Values of one field are alternatives, fields that are set must all match. The keys of an event ([`Keys`]) are all that
//! is looked at, live and in the store, so both decide alike.
//!
//! Invariants: a filter never fails once it is made, and takes time in proportion to its size, which is bounded.

use mcp_sensor_proto::v1::{self, event::Severity, filter::Kind};

use super::keys::{Keys, PeerKey};

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

/// Text in which `*` stands for any characters and `?` for one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Glob {
    pattern: Vec<char>,
    /// Capital letters do not matter.
    any_case: bool,
}

/// A filter, checked and ready.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    /// The node, exactly.
    pub nodes: Vec<String>,
    /// Any name of the server.
    pub servers: Vec<Glob>,
    /// Any name of the client.
    pub clients: Vec<Glob>,
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
}

impl Glob {
    /// A pattern. `any_case`: capital letters do not matter.
    #[must_use]
    pub fn new(pattern: &str, any_case: bool) -> Self {
        let fold = |character| if any_case { lower(character) } else { character };
        Self { pattern: pattern.chars().map(fold).collect(), any_case }
    }

    /// True where the whole text matches. Takes time in proportion to pattern times text, at most.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut pattern = self.pattern.as_slice();
        // Where to go on after the last `*`, if what follows it does not match where it was tried.
        let mut retry: Option<(&[char], std::str::Chars<'_>)> = None;
        loop {
            if let ['*', after @ ..] = pattern {
                retry = Some((after, rest.clone()));
                pattern = after;
                continue;
            }
            match (pattern, rest.next()) {
                ([], None) => return true,
                ([expected, after @ ..], Some(found))
                    if *expected == '?' || *expected == if self.any_case { lower(found) } else { found } =>
                {
                    pattern = after;
                    continue;
                }
                _ => {}
            }
            let Some((after, mut from)) = retry.take() else { return false };
            if from.next().is_none() {
                return false;
            }
            retry = Some((after, from.clone()));
            (pattern, rest) = (after, from);
        }
    }
}

fn lower(character: char) -> char {
    if character.is_ascii() { character.to_ascii_lowercase() } else { character.to_lowercase().next().unwrap_or(character) }
}

impl Filter {
    /// Checks a filter of the contract.
    ///
    /// # Errors
    /// It is too big, or asks for something that this version does not know.
    pub fn new(filter: Option<&v1::Filter>) -> Result<Self, FilterError> {
        let Some(v1::Filter { nodes, servers, clients, tools, kinds, min_severity, sessions, methods }) = filter else {
            return Ok(Self::default());
        };
        let severity =
            Severity::try_from(*min_severity).map_err(|_| FilterError::Unknown { field: "min_severity", value: *min_severity })?;
        let mut wanted = Vec::new();
        for &kind in kinds.iter().take(MAX_VALUES) {
            let kind = Kind::try_from(kind).map_err(|_| FilterError::Unknown { field: "kinds", value: kind })?;
            wanted.push(kind as i32 as u8);
        }
        if wanted.contains(&0) {
            wanted.clear();
        }
        wanted.sort_unstable();
        wanted.dedup();
        Ok(Self {
            nodes: texts("nodes", nodes)?.to_vec(),
            servers: globs("servers", servers, true)?,
            clients: globs("clients", clients, true)?,
            tools: globs("tools", tools, false)?,
            kinds: wanted,
            min_severity: severity as i32 as u8,
            sessions: texts("sessions", sessions)?.to_vec(),
            methods: globs("methods", methods, false)?,
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
        let Self { nodes, servers, clients, tools, kinds, min_severity, sessions, methods } = self;
        (kinds.is_empty() || kinds.contains(&keys.kind))
            && keys.severity >= *min_severity
            && (nodes.is_empty() || nodes.iter().any(|node| **node == *keys.node))
            && (sessions.is_empty() || Self::matches_session(sessions, &keys.session))
            && (tools.is_empty() || Self::matches_text(tools, &keys.tool))
            && (methods.is_empty() || Self::matches_text(methods, &keys.method))
            && (servers.is_empty() || keys.server.as_deref().is_some_and(|peer| Self::matches_peer(servers, peer)))
            && (clients.is_empty() || keys.client.as_deref().is_some_and(|peer| Self::matches_peer(clients, peer)))
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
    pub fn matches_peer(globs: &[Glob], peer: &PeerKey) -> bool {
        peer.names().any(|name| Self::matches_text(globs, name))
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

fn globs(field: &'static str, values: &[String], any_case: bool) -> Result<Vec<Glob>, FilterError> {
    Ok(texts(field, values)?.iter().map(|value| Glob::new(value, any_case)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_glob_matches_the_whole_text() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*b*", "abc", true),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("?", "", false),
            ("*", "", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("delete_*", "delete_all", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Glob::new(pattern, false).matches(text), expected, "{pattern} {text}");
        }
        assert!(Glob::new("GitHub*", true).matches("github-mcp"));
        assert!(!Glob::new("GitHub*", false).matches("github-mcp"));
    }

    #[test]
    fn a_hostile_glob_ends() {
        let glob = Glob::new(&format!("{}b", "*a".repeat(255)), false);
        assert!(!glob.matches(&"a".repeat(1_000)));
    }

    /// The same by recursion, slow and plain.
    fn by_hand(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', after @ ..], _) => (0..=text.len()).any(|skipped| by_hand(after, &text[skipped..])),
            (['?', after @ ..], [_, rest @ ..]) => by_hand(after, rest),
            ([expected, after @ ..], [found, rest @ ..]) => expected == found && by_hand(after, rest),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_glob_matches_what_it_says(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let (pattern_chars, text_chars): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(Glob::new(&pattern, false).matches(&text), by_hand(&pattern_chars, &text_chars));
        }
    }

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
