//! What is read of a sensor's event for comparing.

use super::Options;
use crate::truth::Entry;
use serde::Deserialize;
use serde_json::Value;
use std::fmt;

/// A `message` event: the parts that are compared. Bodies are left behind.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// Pid of the client.
    pub client: Option<u32>,
    /// Pid of the server.
    pub server: Option<u32>,
    /// True from the client to the server.
    pub to_server: bool,
    /// `REQUEST`, `RESPONSE`, `ERROR`, `NOTIFICATION`.
    pub kind: String,
    /// The method; of a response, the request's.
    pub method: String,
    /// The id as JSON text.
    pub request_id: String,
    /// Bytes of the JSON value.
    pub size: u64,
    /// SHA-256 of these bytes, hexadecimal.
    pub sha256: String,
    /// Names of the marks.
    pub marks: Vec<String>,
}

/// The parts of an event that are read; the rest (bodies of megabytes among it) is skipped while parsing.
#[derive(Deserialize)]
struct Parts {
    client: Option<Peer>,
    server: Option<Peer>,
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Peer {
    pid: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Message {
    direction: String,
    r#type: String,
    method: String,
    request_id: Value,
    size_bytes: Value,
    sha256: String,
    marks: Vec<String>,
}

impl Seen {
    /// Reads an event; `None` where it is no `message` event.
    #[must_use]
    pub fn from_event(event: &Value) -> Option<Self> {
        Self::from_parts(Parts::deserialize(event).ok()?)
    }

    /// Reads an event from its line of JSON; `None` where it is no `message` event.
    ///
    /// # Errors
    /// The line is no event.
    pub fn from_line(line: &[u8]) -> serde_json::Result<Option<Self>> {
        serde_json::from_slice(line).map(Self::from_parts)
    }

    fn from_parts(parts: Parts) -> Option<Self> {
        let Message { direction, r#type: kind, method, request_id, size_bytes, sha256, marks } = parts.message?;
        let pid = |peer: Option<Peer>| number(&peer?.pid?).and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
        Some(Self {
            client: pid(parts.client),
            server: pid(parts.server),
            to_server: direction.ends_with("CLIENT_TO_SERVER"),
            kind,
            method,
            request_id: match request_id {
                Value::String(id) => id,
                Value::Null => String::new(),
                id => id.to_string(),
            },
            size: number(&size_bytes).unwrap_or_default(),
            sha256: sha256.to_ascii_lowercase(),
            marks,
        })
    }

    /// Reads the `message` events among these.
    #[must_use]
    pub fn all(events: &[Value]) -> Vec<Self> {
        events.iter().filter_map(Self::from_event).collect()
    }

    pub(super) fn key(&self) -> super::Key {
        (self.to_server, self.size, self.sha256.clone())
    }

    pub(super) fn sender(&self) -> Option<u32> {
        if self.to_server { self.client } else { self.server }
    }

    pub(super) fn receiver(&self) -> Option<u32> {
        if self.to_server { self.server } else { self.client }
    }
}

/// A 64-bit number, which proto3 JSON writes as a string.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pid = |pid: Option<u32>| pid.map_or("?".to_owned(), |pid| pid.to_string());
        let Self { kind, method, request_id, size, sha256, .. } = self;
        let sha256 = sha256.get(..12).unwrap_or(sha256);
        write!(f, "{} {kind} {method} id {request_id} {size} bytes {sha256}", if self.to_server { '>' } else { '<' })?;
        write!(f, " of client {}, server {}", pid(self.client), pid(self.server))
    }
}

/// What the event says otherwise than the log.
pub(super) fn wrong_fields(entry: &Entry, event: &Seen, options: &Options) -> Vec<String> {
    let mut wrong = Vec::new();
    if options.check_fields {
        if let Some(method) = &entry.method
            && *method != event.method
        {
            wrong.push(format!("{event}: method {method:?}"));
        }
        if let (Some(id), Some(_)) = (&entry.id, &entry.method)
            && !id.is_null()
            && !same_id(id, &event.request_id)
        {
            wrong.push(format!("{event}: id {id}"));
        }
    }
    wrong
}

/// `requestId` is JSON text: `7`, `"a"`. Numbers may be written another way.
fn same_id(id: &Value, text: &str) -> bool {
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    parsed.as_ref() == Some(id)
        || parsed.and_then(|parsed| parsed.as_f64()).is_some_and(|number| id.as_f64() == Some(number))
        || id.as_str() == Some(text)
}

/// Marks of which the sensor is to set one on some message of a row of `peer odd` (not on each: the first of two values on a line is reported before
/// the second is there).
pub(super) fn expected_marks(row: &str) -> &'static [&'static str] {
    match row {
        "dupkey" => &["DUPLICATE_KEY"],
        "badutf8" => &["INVALID_UTF8"],
        "cr" => &["CARRIAGE_RETURN"],
        "pretty" => &["SEVERAL_LINES"],
        "twovalues" | "nospace" => &["SHARED_LINE"],
        "bom" => &["BYTE_ORDER_MARK"],
        "batch" => &["BATCH"],
        "escaped" => &["ESCAPED_NAME"],
        "nonewline" => &["NO_LINE_END", "SHARED_LINE"],
        "within" => &["AMBIGUOUS", "SEVERAL_LINES"],
        _ => &[],
    }
}

/// Whether an event carries one of these.
pub(super) fn has_mark(event: &Seen, marks: &[&str]) -> bool {
    event.marks.iter().any(|name| marks.contains(&name.strip_prefix("MARK_").unwrap_or(name)))
}
