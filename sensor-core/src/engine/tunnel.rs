//! MCP that the Agent Client Protocol carries: `mcp/connect`, `mcp/message`, `mcp/disconnect`.
//!
//! An editor offers its MCP servers to an agent through the agent's own connection. Each connection inside is a session of
//! its own, with the peers of the messages that carry it; bytes and hashes of its messages are those of the carrying ones,
//! because these are what crossed the wire. The Agent Client Protocol itself gives no events.

use super::backlog::Meta;
use super::core::Core;
use super::deliver::Whence;
use super::exchange::cut;
use super::process::Peers;
use super::session::{Language, Phase, Record, Tunnel, direction_of, reverse};
use super::stream::State;
use crate::event::{MessageDirection, MessageType, Sink};
use crate::mcp::evidence::{Evidence, weigh};
use crate::mcp::id::Id;
use crate::mcp::message::Message;
use crate::mcp::method;

/// Sessions that one connection carries at a time.
const TUNNELS: usize = 64;

impl Core {
    /// Takes a message of an Agent Client Protocol connection.
    pub fn carry(&mut self, whence: Whence, peers: Peers, meta: Meta, message: &Message<'_>, sink: &mut dyn Sink) {
        if message.is_answer() {
            self.carry_answer(whence, peers, meta, message, sink);
            return;
        }
        match message.method.as_ref() {
            "mcp/message" => self.carry_message(whence, peers, meta, message, sink),
            "mcp/disconnect" => {
                self.counters.messages_foreign += 1;
                let connection = message.params.and_then(|params| params.get("connectionId")).and_then(|id| id.as_str());
                self.disconnect(whence.session, connection.as_deref().unwrap_or_default(), sink);
            }
            _ => self.counters.messages_foreign += 1,
        }
    }

    fn carry_message(&mut self, whence: Whence, peers: Peers, meta: Meta, message: &Message<'_>, sink: &mut dyn Sink) {
        let params = message.params;
        let get = |name: &str| params.and_then(|params| params.get(name));
        let connection = get("connectionId").and_then(|id| id.as_str());
        let method = get("method").and_then(|method| method.as_str());
        let (Some(connection), Some(method)) = (connection, method) else {
            self.counters.messages_foreign += 1;
            return;
        };
        let kind = if message.id.is_some() { MessageType::Request } else { MessageType::Notification };
        let sender = method::lookup(&method).and_then(|row| row.sender);
        let inner = Message { kind, method, params: get("params"), ..message.clone() };
        // A client asks first, so who sends what both may send is taken for the client.
        let turned = match sender {
            Some(role) => direction_of(role) != whence.direction,
            None => whence.direction == MessageDirection::ServerToClient,
        };
        let Some(tunnel) = self.tunnel(whence.session, &connection, turned, meta, sink) else { return };
        self.give_inner(&tunnel, whence, peers, meta, &inner, None, sink);
    }

    fn carry_answer(&mut self, whence: Whence, peers: Peers, meta: Meta, message: &Message<'_>, sink: &mut dyn Sink) {
        let keyed = self.keyed;
        let tunnels = self.sessions.get(whence.session).map(|record| record.tunnels.clone()).unwrap_or_default();
        if let Some(id) = message.id {
            let id = Id::new(id, keyed);
            for tunnel in tunnels {
                let direction = if tunnel.turned { reverse(whence.direction) } else { whence.direction };
                if let Some(answered) = self.exchanges.answer(tunnel.session, reverse(direction), &id) {
                    self.give_inner(&tunnel, whence, peers, meta, message, Some(answered), sink);
                    return;
                }
            }
        }
        self.counters.messages_foreign += 1;
    }

    #[expect(clippy::too_many_arguments, reason = "each is another thing")]
    fn give_inner(
        &mut self,
        tunnel: &Tunnel,
        whence: Whence,
        (client, server): Peers,
        meta: Meta,
        message: &Message<'_>,
        answered: Option<u32>,
        sink: &mut dyn Sink,
    ) {
        let (direction, peers) =
            if tunnel.turned { (reverse(whence.direction), (server, client)) } else { (whence.direction, (client, server)) };
        self.give_message(tunnel.session, direction, peers, meta, message, answered, sink);
    }

    /// The session inside, begun if it is new.
    fn tunnel(&mut self, host: u32, connection: &str, turned: bool, meta: Meta, sink: &mut dyn Sink) -> Option<Tunnel> {
        let connection = cut(connection, 256);
        let record = self.sessions.get(host)?;
        if let Some(tunnel) = record.tunnels.iter().find(|tunnel| tunnel.connection == connection) {
            return Some(tunnel.clone());
        }
        let oldest = record.tunnels.first().filter(|_| record.tunnels.len() >= TUNNELS).map(|tunnel| tunnel.connection.clone());
        let mut inner = Record::new(self.emitter.tunnel(record.info.id, connection), record.info.transport, Language::Mcp, meta.time);
        inner.info.late_attach = record.info.late_attach;
        inner.info.tunnel = Some(connection.to_owned());
        inner.phase = Phase::Open;
        if let Some(oldest) = oldest {
            self.disconnect(host, &oldest, sink);
        }
        for slot in self.sessions.get(host)?.sides.into_iter().flatten() {
            if let Some(stream) = self.streams.get(slot) {
                sink.bound(stream.key, inner.info.id);
            }
        }
        let session = self.open_session(inner);
        let tunnel = Tunnel { connection: connection.to_owned(), session, turned };
        if let Some(record) = self.sessions.get_mut(host) {
            record.tunnels.push(tunnel.clone());
        }
        Some(tunnel)
    }

    fn disconnect(&mut self, host: u32, connection: &str, sink: &mut dyn Sink) {
        let Some(record) = self.sessions.get_mut(host) else { return };
        let Some(at) = record.tunnels.iter().position(|tunnel| tunnel.connection == cut(connection, 256)) else { return };
        let tunnel = record.tunnels.remove(at);
        self.end_session(tunnel.session, "the connection inside was closed", sink);
    }

    /// Takes what was taken for the Agent Client Protocol for MCP, if a message shows it to be: one foreign line must not
    /// hide a session.
    pub fn unmask(&mut self, session: u32, direction: MessageDirection, message: &Message<'_>) {
        let Some(record) = self.sessions.get_mut(session).filter(|record| record.language == Language::AgentClient) else { return };
        let Evidence::Strong(Some(role)) = weigh(message) else { return };
        if !message.is_answer() && method::lookup(&message.method).is_none() {
            return;
        }
        record.language = Language::Mcp;
        if direction_of(role) == direction {
            return;
        }
        record.sides.reverse();
        std::mem::swap(&mut record.info.client, &mut record.info.server);
        for slot in record.sides.into_iter().flatten() {
            if let Some(stream) = self.streams.get_mut(slot)
                && let State::Bound(session, direction) = stream.state
            {
                stream.state = State::Bound(session, reverse(direction));
            }
        }
    }
}
