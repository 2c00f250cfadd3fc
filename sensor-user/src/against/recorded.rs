//! What was said in a recorded session.

use mcp_sensor_proto::v1::{
    Event, Message,
    event::Body,
    message::{Direction, Type},
};
use serde_json::Value;

/// Messages that are kept.
const MESSAGES: usize = 200_000;

/// Bytes of them.
const BYTES: usize = 256 << 20;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It wants an answer.
    Request,
    /// A result or an error.
    Answer,
    /// It wants none.
    Notification,
}

/// A message that was said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Which way it went.
    pub way: Way,
    /// What it is.
    pub kind: Kind,
    /// Its method; of an answer, the request's.
    pub method: String,
    /// Its id as JSON text; empty where it has none.
    pub id: String,
    /// What it names: a tool, a prompt, a resource.
    pub target: String,
    /// Id of the request that it is about, as JSON text: progress, cancellation.
    pub related: String,
    /// The message as JSON text.
    pub body: String,
    /// Something was left out of `body` for its size.
    pub cut: bool,
}

impl Said {
    /// The message; `None` where it is no JSON that can be read.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        serde_json::from_str(&self.body).ok()
    }
}

/// A session as it was recorded.
#[derive(Debug, Default)]
pub struct Conversation {
    /// Id of the session.
    pub session: String,
    /// What was said, in order.
    pub said: Vec<Said>,
    /// Runs of bytes that are missing.
    pub gaps: u64,
    /// What came before was not seen.
    pub late: bool,
    /// Secrets have been taken out of it.
    pub redacted: bool,
    /// There is more of it than is kept.
    pub too_long: bool,
    bytes: usize,
}

impl Conversation {
    /// Nothing said so far. `redacted`: of a recording from which secrets have been taken out.
    #[must_use]
    pub fn new(redacted: bool) -> Self {
        Self { redacted, ..Self::default() }
    }

    /// Takes an event of the session.
    pub fn add(&mut self, event: Event) {
        if let Some(session) = event.session {
            self.late |= session.late_attach;
            self.session = session.id;
        }
        match event.body {
            Some(Body::Message(message)) => self.message(message),
            Some(Body::Gap(_)) => self.gaps += 1,
            _ => {}
        }
    }

    fn message(&mut self, message: Message) {
        let way = match message.direction() {
            Direction::ClientToServer => Way::ToServer,
            Direction::ServerToClient => Way::ToClient,
            Direction::Unspecified => return,
        };
        let kind = match message.r#type() {
            Type::Request => Kind::Request,
            Type::Response | Type::Error => Kind::Answer,
            Type::Notification => Kind::Notification,
            Type::Unspecified => return,
        };
        self.bytes = self.bytes.saturating_add(message.body.len());
        if self.said.len() >= MESSAGES || self.bytes > BYTES {
            self.too_long = true;
            return;
        }
        self.said.push(Said {
            way,
            kind,
            method: message.method,
            id: message.request_id,
            target: message.target,
            related: message.related_request_id,
            body: message.body,
            cut: message.truncated,
        });
    }
}

/// An id of a message as JSON text, in the form that ids are compared in. Empty where it is none.
#[must_use]
pub fn id_text(id: Option<&Value>) -> String {
    match id {
        Some(id @ (Value::String(_) | Value::Number(_))) => id.to_string(),
        _ => String::new(),
    }
}

/// The same, of an id that is JSON text.
#[must_use]
pub fn id_of(text: &str) -> String {
    serde_json::from_str(text).ok().map_or_else(|| text.to_owned(), |id| id_text(Some(&id)))
}
