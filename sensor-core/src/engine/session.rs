//! What the engine knows of one session, and how its events are made.

use super::config::Counters;
use crate::event::{Body, Event, EventId, Framing, Implementation, MessageDirection, Session, SessionId, SessionState, Sink, Transport};
use crate::input::{ProcessId, StreamKey, Time};
use crate::json::Value;
use crate::mcp::Role;
use crate::mcp::facts::Identity;
use crate::mcp::hash::Keyed;

/// Bytes of a name, a version or a revision that are kept.
const NAME: usize = 256;
/// Processes of one side that are told as new.
const PEERS: usize = 32;

/// What is spoken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Language {
    /// MCP.
    Mcp,
    /// The Agent Client Protocol: no events of its own, but the sessions that it carries have.
    AgentClient,
}

/// Whether events are given out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Not yet: its peers, or its other direction, are not known.
    Holding,
    /// Yes.
    Open,
}

/// A session that this one carries.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// The connection's id.
    pub connection: String,
    /// Its session.
    pub session: u32,
    /// True where the client of the inner session is the server of this one.
    pub turned: bool,
}

/// One session.
#[derive(Debug)]
pub struct Record {
    /// What leaves with every event.
    pub info: Session,
    /// What is spoken.
    pub language: Language,
    /// Whether events are given out.
    pub phase: Phase,
    /// Its streams by direction.
    pub sides: [Option<u32>; 2],
    /// The record time of its first message.
    pub since: Time,
    /// When a message of it was seen last.
    pub last_time: Time,
    /// True once its opening was told.
    pub opened: bool,
    /// True where what was told has changed.
    pub changed: bool,
    /// See [`Event::reader_in_doubt`]; of the message that is being given out.
    pub reader_in_doubt: bool,
    /// Events given out.
    pub sequence: u64,
    /// True where requests carry their identity (2026-07-28 and later).
    pub modern: bool,
    /// Requests of the client.
    pub requests: u64,
    /// Of these, `server/discover`.
    pub discovers: u64,
    /// True while it is in the list of sessions that something is due for.
    pub waiting: bool,
    /// Times that a partner was looked for after waiting.
    pub attempts: u8,
    /// Whether its two processes have another session; `None` while that was not looked up.
    pub is_beside: Option<bool>,
    /// When everybody on one of its sides was dead.
    pub dead_since: Option<Time>,
    /// The sessions that it carries.
    pub tunnels: Vec<Tunnel>,
    /// Bytes that it is charged with, by estimate.
    pub charged: usize,
    clients: Vec<ProcessId>,
    servers: Vec<ProcessId>,
}

/// The place of a direction in [`Record::sides`].
#[must_use]
pub const fn side(direction: MessageDirection) -> usize {
    match direction {
        MessageDirection::ClientToServer => 0,
        MessageDirection::ServerToClient => 1,
    }
}

/// The other way.
#[must_use]
pub const fn reverse(direction: MessageDirection) -> MessageDirection {
    match direction {
        MessageDirection::ClientToServer => MessageDirection::ServerToClient,
        MessageDirection::ServerToClient => MessageDirection::ClientToServer,
    }
}

/// The way that messages of a process with this part go.
#[must_use]
pub const fn direction_of(role: Role) -> MessageDirection {
    match role {
        Role::Client => MessageDirection::ClientToServer,
        Role::Server => MessageDirection::ServerToClient,
    }
}

impl Record {
    /// A session that nothing is known of but its id.
    #[must_use]
    pub fn new(id: SessionId, transport: Transport, language: Language, time: Time) -> Self {
        Self {
            info: Session {
                id,
                transport,
                framing: Framing::Ndjson,
                protocol_version: String::new(),
                late_attach: false,
                client: None,
                server: None,
                client_info: Implementation::default(),
                server_info: Implementation::default(),
                relay_of: None,
                probe: false,
                tunnel: None,
            },
            language,
            phase: Phase::Holding,
            sides: [None, None],
            since: time,
            last_time: time,
            opened: false,
            changed: false,
            reader_in_doubt: false,
            sequence: 0,
            modern: false,
            requests: 0,
            discovers: 0,
            waiting: false,
            attempts: 0,
            is_beside: None,
            dead_since: None,
            tunnels: Vec::new(),
            // Names of two implementations at their longest, and the sets of peers.
            charged: size_of::<Self>() + 2048,
            clients: Vec::new(),
            servers: Vec::new(),
        }
    }

    /// Notes the peers of a message.
    pub fn meet(&mut self, client: Option<ProcessId>, server: Option<ProcessId>) {
        self.changed |= meet(&mut self.info.client, &mut self.clients, client);
        self.changed |= meet(&mut self.info.server, &mut self.servers, server);
    }

    /// Notes what a message says of the conversation.
    pub fn learn(&mut self, identity: &Identity<'_>) {
        let Session { protocol_version, client_info, server_info, .. } = &mut self.info;
        let mut changed = identity.version.is_some_and(|version| set(protocol_version, version));
        for (to, from) in [(client_info, identity.client), (server_info, identity.server)] {
            let Some(from) = from else { continue };
            changed |= from.get("name").is_some_and(|name| set(&mut to.name, name));
            changed |= from.get("version").is_some_and(|version| set(&mut to.version, version));
        }
        self.changed |= changed;
    }
}

fn meet(last: &mut Option<ProcessId>, known: &mut Vec<ProcessId>, process: Option<ProcessId>) -> bool {
    if process.is_none() || *last == process {
        return false;
    }
    *last = process;
    // A worker among others that takes its turn again is no news.
    let new = process.filter(|process| !known.contains(process));
    if let Some(process) = new {
        if known.len() >= PEERS {
            known.remove(0);
        }
        known.push(process);
    }
    new.is_some()
}

fn set(to: &mut String, from: Value<'_>) -> bool {
    if from.is_str(to) {
        return false;
    }
    let Some(text) = from.as_str() else { return false };
    let text = super::exchange::cut(&text, NAME);
    if text == to {
        return false;
    }
    to.clear();
    to.push_str(text);
    true
}

/// Makes ids that are the same for the same traffic, and events.
#[derive(Clone, Copy, Debug)]
pub struct Emitter {
    node: Keyed,
    boot_time: u64,
}

impl Emitter {
    /// For a host.
    #[must_use]
    pub const fn new(node: u64, boot_time: u64) -> Self {
        Self { node: Keyed::new(node), boot_time }
    }

    /// The id of a session: its stream, that stream's beginning, and where in it the session begins.
    #[must_use]
    pub fn session(&self, key: &StreamKey, epoch: Time, start: u64) -> SessionId {
        let node = self.node;
        let stream = match *key {
            StreamKey::Pipe { device, inode, address } => node.pair(node.pair(device, inode), address),
            StreamKey::Unix { from, to } => node.pair(node.pair(2, from), to),
            StreamKey::Tcp { from, to, namespace } => {
                let end = |end: std::net::SocketAddrV6| node.pair(node.bytes(&end.ip().octets()), u64::from(end.port()));
                node.pair(node.pair(node.pair(3, end(from)), end(to)), namespace)
            }
            StreamKey::Pty { terminal, to_slave } => node.pair(node.pair(4, terminal), u64::from(to_slave)),
        };
        SessionId(node.pair(node.pair(stream, epoch), start))
    }

    /// The id of a session in a tunnel.
    #[must_use]
    pub fn tunnel(&self, host: SessionId, connection: &str) -> SessionId {
        SessionId(self.node.pair(host.0, self.node.bytes(connection.as_bytes())))
    }

    /// Gives out an event of a session. What the session learned before is told first.
    pub fn give(
        &self,
        record: &mut Record,
        time: Time,
        peers: (Option<ProcessId>, Option<ProcessId>),
        body: Body<'_>,
        counters: &mut Counters,
        sink: &mut dyn Sink,
    ) {
        let news = if record.opened {
            record.changed.then_some(SessionState::Updated)
        } else {
            counters.sessions_opened += 1;
            Some(SessionState::Opened)
        };
        (record.opened, record.changed) = (true, false);
        if let Some(state) = news
            && !matches!(body, Body::Session(_))
        {
            self.send(record, time, (record.info.client, record.info.server), Body::Session(state), counters, sink);
        }
        self.send(record, time, peers, body, counters, sink);
    }

    fn send(
        &self,
        record: &mut Record,
        time: Time,
        (client, server): (Option<ProcessId>, Option<ProcessId>),
        body: Body<'_>,
        counters: &mut Counters,
        sink: &mut dyn Sink,
    ) {
        record.sequence += 1;
        counters.events += 1;
        let unique = self.node.pair(record.info.id.0, record.sequence);
        let id = EventId((u128::from(self.boot_time.wrapping_add(time)) << 64) | u128::from(unique));
        let reader_in_doubt = record.reader_in_doubt;
        sink.event(&Event { id, time, session: &record.info, client, server, reader_in_doubt, body });
    }
}
