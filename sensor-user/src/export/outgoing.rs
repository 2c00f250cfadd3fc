//! An event on its way out, and the parts of it that many events share.
//!
//! Nearly all bytes of an event say who its peers are and which session it belongs to, and those seldom change: they are
//! made and encoded once ([`Shared`]), and each event carries them along.

use std::sync::{Arc, OnceLock};

use mcp_sensor_proto::json::{self, EncodedParts};
use mcp_sensor_proto::v1::{Event, Peer, Session};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use sensor_core::event::SessionId;

/// Field numbers of `Event` in the contract.
const SESSION: u32 = 5;
const CLIENT: u32 = 6;
const SERVER: u32 = 7;

/// A part of many events, with its encodings as they are asked for.
#[derive(Debug, Default)]
pub struct Shared<M> {
    value: M,
    protobuf: OnceLock<Box<[u8]>>,
    json: OnceLock<Box<[u8]>>,
}

impl<M: Message> Shared<M> {
    /// Shares a part.
    #[must_use]
    pub fn new(value: M) -> Arc<Self> {
        Arc::new(Self { value, protobuf: OnceLock::new(), json: OnceLock::new() })
    }

    /// The part itself.
    #[must_use]
    pub const fn get(&self) -> &M {
        &self.value
    }

    fn append(&self, field: u32, out: &mut Vec<u8>) {
        let encoded = self.protobuf.get_or_init(|| self.value.encode_to_vec().into());
        encode_key(field, WireType::LengthDelimited, out);
        encode_varint(encoded.len() as u64, out);
        out.extend_from_slice(encoded);
    }

    fn json(&self, write: fn(&M, &mut Vec<u8>)) -> &[u8] {
        self.json.get_or_init(|| {
            let mut text = Vec::new();
            write(&self.value, &mut text);
            text.into()
        })
    }
}

/// An event on its way out.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// The event, but for its session and its peers.
    pub frame: Event,
    /// Its session.
    pub session: Option<Arc<Shared<Session>>>,
    /// Its client.
    pub client: Option<Arc<Shared<Peer>>>,
    /// Its server.
    pub server: Option<Arc<Shared<Peer>>>,
}

impl Outgoing {
    /// The whole event.
    #[must_use]
    pub fn to_event(&self) -> Event {
        let Self { frame, session, client, server } = self;
        Event {
            session: session.as_deref().map(|session| session.value.clone()),
            client: client.as_deref().map(|client| client.value.clone()),
            server: server.as_deref().map(|server| server.value.clone()),
            ..frame.clone()
        }
    }

    /// The id of its session.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        u64::from_str_radix(&self.session.as_ref()?.get().id, 16).ok().map(SessionId)
    }

    /// Appends the event as protobuf.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let Self { frame, session, client, server } = self;
        frame.encode_raw(out);
        if let Some(session) = session {
            session.append(SESSION, out);
        }
        for (field, peer) in [(CLIENT, client), (SERVER, server)] {
            if let Some(peer) = peer {
                peer.append(field, out);
            }
        }
    }

    /// Appends the event as one line of JSON, without a line end.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let Self { frame, session, client, server } = self;
        let parts = EncodedParts {
            session: session.as_deref().map(|session| session.json(json::write_session)),
            client: client.as_deref().map(|client| client.json(json::write_peer)),
            server: server.as_deref().map(|server| server.json(json::write_peer)),
        };
        json::write_event_with(frame, parts, out);
    }
}

impl From<Event> for Outgoing {
    fn from(mut event: Event) -> Self {
        let session = event.session.take().map(Shared::new);
        let [client, server] = [event.client.take(), event.server.take()].map(|peer| peer.map(Shared::new));
        Self { frame: event, session, client, server }
    }
}

#[cfg(test)]
mod tests {
    use mcp_sensor_proto::v1::Ancestor;

    use super::*;

    #[test]
    fn both_encodings_are_those_of_the_whole_event() {
        let peer = |pid| Peer { pid, exe: "/bin/x".to_owned(), ancestors: vec![Ancestor::default()], ..Peer::default() };
        let event = Event {
            id: "1".to_owned(),
            session: Some(Session { id: "s".to_owned(), ..Session::default() }),
            client: Some(peer(1)),
            server: Some(peer(2)),
            ..Event::default()
        };
        for event in [event.clone(), Event { server: None, ..event }, Event::default()] {
            let outgoing = Outgoing::from(event.clone());
            assert_eq!(outgoing.to_event(), event);
            let (mut protobuf, mut text, mut expected) = (Vec::new(), Vec::new(), Vec::new());
            outgoing.encode(&mut protobuf);
            assert_eq!(Event::decode(protobuf.as_slice()).unwrap(), event);
            outgoing.write_json(&mut text);
            json::write_event(&event, &mut expected);
            assert_eq!(String::from_utf8(text), String::from_utf8(expected));
        }
    }
}
