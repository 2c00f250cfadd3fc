//! What of an event can be asked for, read from its bytes.
//!
//! Only the fields that filters and summaries need are decoded; contents are skipped by their length. Peers come in the
//! same bytes again and again, so what was read of them is remembered by the bytes.
//!
//! Invariants: what is remembered is bounded; a key is [`MAX_KEY`] bytes at most, cut the same for live and stored events.

use std::sync::Arc;

use bytes::Bytes;
use mcp_sensor_proto::v1::{
    Peer,
    filter::{Failure, Kind},
    message, session_change, tool_call,
};
use present::find::{Called, Place};
use prost::Message as _;
use prost_types::Timestamp;
use rustc_hash::FxHashMap;

use super::valid::{self, Invalid};

/// Bytes of one key at most; a longer name is cut.
pub const MAX_KEY: usize = 1024;

/// Bytes of names, and of peers, that one reader remembers at most, about.
const MAX_REMEMBERED: usize = 512 * 1024;

/// The method of a tool call.
const TOOLS_CALL: &str = "tools/call";

/// The names of a peer.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct PeerKey {
    /// What it says of itself.
    pub said: Box<str>,
    /// What a person calls it: its program, or the script or module that this runs.
    pub short: Box<str>,
    /// Path of its program.
    pub exe: Box<str>,
    /// What its interpreter runs.
    pub script: Box<str>,
    /// Its address.
    pub address: Box<str>,
    /// Its process id; 0 where it is no process of its host.
    pub pid: u32,
    /// Id of its container.
    pub container: Box<str>,
    /// UID of its pod.
    pub pod_uid: Box<str>,
    /// Namespace of its pod.
    pub pod_namespace: Box<str>,
    /// Name of its pod.
    pub pod_name: Box<str>,
}

impl PeerKey {
    fn of(peer: &Peer) -> Self {
        let boxed = |text: &str| Box::from(cut(text));
        let Called { said, short, exe, script, address } = Called::of(peer);
        let Place { container, pod_uid, pod_namespace, pod_name } = Place::of(peer);
        Self {
            said: boxed(said),
            short: boxed(short),
            exe: boxed(exe),
            script: boxed(script),
            address: boxed(address),
            pid: peer.pid,
            container: boxed(container),
            pod_uid: boxed(pod_uid),
            pod_namespace: boxed(pod_namespace),
            pod_name: boxed(pod_name),
        }
    }

    /// The names it goes by.
    #[must_use]
    pub fn called(&self) -> Called<'_> {
        let Self { said, short, exe, script, address, .. } = self;
        Called { said, short, exe, script, address }
    }

    /// Where it runs.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        let Self { container, pod_uid, pod_namespace, pod_name, .. } = self;
        Place { container, pod_uid, pod_namespace, pod_name }
    }

    /// Bytes of text in it.
    #[must_use]
    pub fn size(&self) -> usize {
        self.said.len() + self.short.len() + self.exe.len() + self.script.len() + self.address.len()
    }
}

/// What an event adds to the sums of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// A tool call began.
    pub call: bool,
    /// A tool call failed.
    pub failed: bool,
    /// How long a call took, in milliseconds; where it ended.
    pub duration_ms: Option<f64>,
    /// The session opened (false) or closed (true).
    pub closed: Option<bool>,
}

/// The keys of one event.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// The event's id.
    pub id: u128,
    /// Nanoseconds since 1970.
    pub time: i64,
    /// Its place in its run.
    pub sequence: u64,
    /// Number of its `Filter.Kind`; 0 where it is of a kind that this version does not know.
    pub kind: u8,
    /// Number of its severity.
    pub severity: u8,
    /// Its host.
    pub node: Arc<str>,
    /// Its session's id; empty where it has none.
    pub session: Arc<str>,
    /// Its client.
    pub client: Option<Arc<PeerKey>>,
    /// Its server.
    pub server: Option<Arc<PeerKey>>,
    /// Its tool; empty where it has none.
    pub tool: Arc<str>,
    /// Its method; empty where it has none.
    pub method: Arc<str>,
    /// Number of its `Filter.Failure`; 0 where nothing went wrong.
    pub failure: u8,
    /// The arguments of a tool call, as JSON text.
    pub arguments: Bytes,
    /// What went wrong, as JSON text or in words.
    pub error: Bytes,
    /// What it adds to its session.
    pub tally: Tally,
    /// The encoded `Session`.
    pub session_bytes: Bytes,
    /// The encoded `Peer` of the client.
    pub client_bytes: Bytes,
    /// The encoded `Peer` of the server.
    pub server_bytes: Bytes,
    /// The encoded `Sensor`, where the event is one.
    pub sensor_bytes: Bytes,
}

/// Why an event is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// No consumer could decode it.
    #[error("an event cannot be decoded: {0}")]
    Invalid(#[from] Invalid),
    /// Its id is not 32 lower-case hexadecimal digits.
    #[error("an event's id is not 32 lower-case hexadecimal digits")]
    Id,
    /// It has no time, or one outside of what can be stored (the years 1678 to 2262).
    #[error("an event's time is missing or out of range")]
    Time,
}

/// The fields of an `Event` that are read; wire-compatible with it.
#[derive(Clone, PartialEq, prost::Message)]
struct Head {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(message, optional, tag = "2")]
    time: Option<Timestamp>,
    #[prost(bytes = "bytes", tag = "3")]
    node: Bytes,
    #[prost(uint64, tag = "4")]
    sequence: u64,
    #[prost(bytes = "bytes", tag = "5")]
    session: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    client: Bytes,
    #[prost(bytes = "bytes", tag = "7")]
    server: Bytes,
    #[prost(int32, tag = "8")]
    severity: i32,
    #[prost(bytes = "bytes", optional, tag = "10")]
    tool_call: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "11")]
    message: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "12")]
    session_change: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "16")]
    gap: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "17")]
    sensor: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "14")]
    finding: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "15")]
    action: Option<Bytes>,
}

/// Of a `Finding`.
#[derive(Clone, PartialEq, prost::Message)]
struct FindingHead {
    #[prost(bytes = "bytes", tag = "6")]
    method: Bytes,
    #[prost(bytes = "bytes", tag = "7")]
    tool: Bytes,
}

/// Of a `ToolCall`.
#[derive(Clone, PartialEq, prost::Message)]
struct CallHead {
    #[prost(int32, tag = "1")]
    state: i32,
    #[prost(bytes = "bytes", tag = "4")]
    tool: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    arguments: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    result: Bytes,
    #[prost(bytes = "bytes", tag = "7")]
    error: Bytes,
    #[prost(bool, tag = "8")]
    is_error: bool,
    #[prost(double, optional, tag = "9")]
    duration_ms: Option<f64>,
    #[prost(bytes = "bytes", tag = "15")]
    reason: Bytes,
}

impl CallHead {
    /// What went wrong, and how it is told.
    fn failure(self) -> Option<(Failure, Bytes)> {
        use tool_call::State;
        match State::try_from(self.state).unwrap_or_default() {
            State::Failed => Some((Failure::RpcError, self.error)),
            State::Completed if self.is_error => Some((Failure::ToolError, self.result)),
            State::Cancelled => Some((Failure::Cancelled, self.reason)),
            State::Abandoned => Some((Failure::Abandoned, self.reason)),
            _ => None,
        }
    }
}

/// Of a `Message`.
#[derive(Clone, PartialEq, prost::Message)]
struct MessageHead {
    #[prost(int32, tag = "2")]
    r#type: i32,
    #[prost(bytes = "bytes", tag = "3")]
    method: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    target: Bytes,
    #[prost(bytes = "bytes", tag = "8")]
    body: Bytes,
}

/// Of a `Session`.
#[derive(Clone, PartialEq, prost::Message)]
struct SessionHead {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
}

/// Of a `SessionChange`.
#[derive(Clone, PartialEq, prost::Message)]
struct ChangeHead {
    #[prost(int32, tag = "1")]
    state: i32,
}

/// Reads keys; one for each stream.
#[derive(Debug, Default)]
pub struct Reader {
    peers: Memory<PeerKey>,
    sessions: Memory<str>,
    texts: Memory<str>,
    empty: Arc<str>,
}

/// What was read of some bytes.
#[derive(Debug)]
struct Memory<T: ?Sized> {
    known: FxHashMap<Bytes, Arc<T>>,
    bytes: usize,
}

impl<T: ?Sized> Default for Memory<T> {
    fn default() -> Self {
        Self { known: FxHashMap::default(), bytes: 0 }
    }
}

impl<T: ?Sized> Memory<T> {
    fn get(&self, bytes: &Bytes) -> Option<Arc<T>> {
        self.known.get(bytes).map(Arc::clone)
    }

    /// Keeps what was read of some bytes, with a copy of them: a slice would keep the whole batch in memory.
    fn insert(&mut self, bytes: &Bytes, value: &Arc<T>) {
        const ENTRY: usize = 128;
        let size = bytes.len() * 2 + ENTRY;
        if size > MAX_REMEMBERED / 16 {
            return;
        }
        if self.bytes + size > MAX_REMEMBERED {
            self.known.clear();
            self.bytes = 0;
        }
        self.bytes += size;
        self.known.insert(Bytes::copy_from_slice(bytes), Arc::clone(value));
    }
}

impl Reader {
    /// Checks an event's bytes and reads its keys.
    ///
    /// # Errors
    /// Why the event cannot be taken.
    pub fn read(&mut self, event: &Bytes) -> Result<Keys, Refused> {
        valid::check(event)?;
        let broken = |_| Refused::Invalid(Invalid::Encoding);
        let head = Head::decode(event.clone()).map_err(broken)?;
        let mut keys = Keys {
            id: parse_id(&head.id).ok_or(Refused::Id)?,
            time: head.time.and_then(|time| nanoseconds(&time)).ok_or(Refused::Time)?,
            sequence: head.sequence,
            severity: u8::try_from(head.severity).unwrap_or(u8::MAX),
            node: self.text(&head.node),
            session: self.session(&head.session).map_err(broken)?,
            client: self.peer(&head.client).map_err(broken)?,
            server: self.peer(&head.server).map_err(broken)?,
            tool: Arc::clone(&self.empty),
            method: Arc::clone(&self.empty),
            session_bytes: head.session,
            client_bytes: head.client,
            server_bytes: head.server,
            ..Keys::default()
        };
        if let Some(call) = head.tool_call {
            let call = CallHead::decode(call).map_err(broken)?;
            let state = tool_call::State::try_from(call.state).unwrap_or_default();
            keys.kind = Kind::ToolCall as i32 as u8;
            keys.tool = self.text(&call.tool);
            keys.method = self.text(&Bytes::from_static(TOOLS_CALL.as_bytes()));
            keys.tally.call = state == tool_call::State::Started;
            keys.tally.failed = state == tool_call::State::Failed || (state == tool_call::State::Completed && call.is_error);
            keys.tally.duration_ms = call.duration_ms.filter(|duration| duration.is_finite());
            keys.arguments = call.arguments.clone();
            if let Some((failure, error)) = call.failure() {
                (keys.failure, keys.error) = (failure as i32 as u8, error);
            }
        } else if let Some(message) = head.message {
            let message = MessageHead::decode(message).map_err(broken)?;
            keys.kind = Kind::Message as i32 as u8;
            if *message.method == *TOOLS_CALL.as_bytes() {
                keys.tool = self.text(&message.target);
            }
            keys.method = self.text(&message.method);
            if message.r#type == message::Type::Error as i32 {
                (keys.failure, keys.error) = (Failure::RpcError as i32 as u8, message.body);
            }
        } else if let Some(change) = head.session_change {
            use session_change::State;
            keys.kind = Kind::SessionChange as i32 as u8;
            keys.tally.closed = match State::try_from(ChangeHead::decode(change).map_err(broken)?.state) {
                Ok(State::Opened) => Some(false),
                Ok(State::Closed) => Some(true),
                _ => None,
            };
        } else if head.gap.is_some() {
            keys.kind = Kind::Gap as i32 as u8;
        } else if let Some(finding) = head.finding {
            let finding = FindingHead::decode(finding).map_err(broken)?;
            keys.kind = Kind::Finding as i32 as u8;
            keys.tool = self.text(&finding.tool);
            keys.method = self.text(&finding.method);
        } else if head.action.is_some() {
            keys.kind = Kind::Action as i32 as u8;
        } else if let Some(sensor) = head.sensor {
            keys.kind = Kind::Sensor as i32 as u8;
            keys.sensor_bytes = sensor;
        }
        Ok(keys)
    }

    fn text(&mut self, bytes: &Bytes) -> Arc<str> {
        if bytes.is_empty() {
            return Arc::clone(&self.empty);
        }
        if let Some(known) = self.texts.get(bytes) {
            return known;
        }
        let text: Arc<str> = Arc::from(cut(std::str::from_utf8(bytes).unwrap_or_default()));
        self.texts.insert(bytes, &text);
        text
    }

    fn session(&mut self, bytes: &Bytes) -> Result<Arc<str>, prost::DecodeError> {
        if bytes.is_empty() {
            return Ok(Arc::clone(&self.empty));
        }
        if let Some(known) = self.sessions.get(bytes) {
            return Ok(known);
        }
        let head = SessionHead::decode(bytes.clone())?;
        let id = self.text(&head.id);
        self.sessions.insert(bytes, &id);
        Ok(id)
    }

    fn peer(&mut self, bytes: &Bytes) -> Result<Option<Arc<PeerKey>>, prost::DecodeError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.peers.get(bytes) {
            return Ok(Some(known));
        }
        let key = Arc::new(PeerKey::of(&Peer::decode(bytes.clone())?));
        self.peers.insert(bytes, &key);
        Ok(Some(key))
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_KEY)).unwrap_or_default()
}

/// 32 lower-case hexadecimal digits.
#[must_use]
pub fn parse_id(text: &str) -> Option<u128> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == 32 && digits).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// Nanoseconds since 1970; `None` outside of what 64 bits hold, or where the nanoseconds are no part of a second.
#[must_use]
pub fn nanoseconds(time: &Timestamp) -> Option<i64> {
    let nanos = (0..1_000_000_000).contains(&time.nanos).then_some(i64::from(time.nanos))?;
    time.seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// The other way.
#[must_use]
pub fn timestamp(nanoseconds: i64) -> Timestamp {
    const SECOND: i64 = 1_000_000_000;
    Timestamp { seconds: nanoseconds.div_euclid(SECOND), nanos: i32::try_from(nanoseconds.rem_euclid(SECOND)).unwrap_or(0) }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
