//! One exchange, and what it can be found by.

use super::{NONE, cut};
use crate::event::{Marks, MessageDirection};
use crate::input::{ProcessId, Time};
use crate::mcp::id::KeptId;
use crate::mcp::method::Method;

/// Bytes of a text that stay allocated for the next exchange.
const POOLED: usize = 16 * 1024;

/// What an exchange can be found by.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(super) enum Space {
    /// Nothing.
    #[default]
    Loose,
    /// The id of a request from client to server.
    FromClient,
    /// The id of a request from server to client.
    FromServer,
    /// The progress token of a request from client to server.
    ClientToken,
    /// The progress token of a request from server to client.
    ServerToken,
    /// The id of its task.
    Task,
    /// What its retry will carry.
    Retry,
}

impl Space {
    pub(super) const fn requests(direction: MessageDirection) -> Self {
        match direction {
            MessageDirection::ClientToServer => Self::FromClient,
            MessageDirection::ServerToClient => Self::FromServer,
        }
    }

    pub(super) const fn tokens(direction: MessageDirection) -> Self {
        match direction {
            MessageDirection::ClientToServer => Self::ClientToken,
            MessageDirection::ServerToClient => Self::ServerToken,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Place {
    pub(super) session: u32,
    pub(super) space: Space,
    pub(super) hash: u64,
}

/// A request and what is known of what became of it.
#[derive(Debug)]
pub struct Exchange {
    /// Its session.
    pub session: u32,
    /// Which way the request went.
    pub direction: MessageDirection,
    /// Its id.
    pub id: KeptId,
    /// Its method, where MCP has it.
    pub row: Option<&'static Method>,
    /// Its method, where MCP does not.
    other_method: String,
    /// What it names: tool, prompt, resource, task.
    pub target: String,
    /// When it was seen.
    pub time: Time,
    /// Bytes of the request.
    pub request_bytes: u64,
    /// What was odd about it.
    pub marks: Marks,
    /// True for `tools/call` of the client: it has events of its own.
    pub is_call: bool,
    /// True once it was cancelled: a late answer is paired, but ends nothing.
    pub cancelled: bool,
    /// Redacted arguments.
    pub arguments: String,
    /// True where they were cut.
    pub truncated: bool,
    /// Progress notifications seen.
    pub progress: u32,
    /// Id of the first request of a chain of retries.
    pub retry_of: String,
    /// The task that it became.
    pub task_id: String,
    /// What its task said of itself last.
    pub task_status: String,
    /// Method, target and arguments in one number, to find a retry that carries no state.
    pub likeness: u64,
    /// The client process of the request.
    pub client: Option<ProcessId>,
    /// The server process of the request.
    pub server: Option<ProcessId>,
    pub(super) token: KeptId,
    pub(super) has_token: bool,
    pub(super) at: Place,
    /// The next one in the same place.
    pub(super) next: u32,
    /// In the first one of a place: the last one.
    pub(super) last: u32,
    pub(super) older: u32,
    pub(super) newer: u32,
    pub(super) session_older: u32,
    pub(super) session_newer: u32,
    pub(super) held: usize,
}

impl Exchange {
    pub(super) fn new() -> Self {
        Self {
            session: 0,
            direction: MessageDirection::ClientToServer,
            id: KeptId::default(),
            row: None,
            other_method: String::new(),
            target: String::new(),
            time: 0,
            request_bytes: 0,
            marks: Marks::default(),
            is_call: false,
            cancelled: false,
            arguments: String::new(),
            truncated: false,
            progress: 0,
            retry_of: String::new(),
            task_id: String::new(),
            task_status: String::new(),
            likeness: 0,
            client: None,
            server: None,
            token: KeptId::default(),
            has_token: false,
            at: Place::default(),
            next: NONE,
            last: NONE,
            older: NONE,
            newer: NONE,
            session_older: NONE,
            session_newer: NONE,
            held: 0,
        }
    }

    /// Its method's name.
    pub fn method(&self) -> &str {
        self.row.map_or(self.other_method.as_str(), |row| row.name)
    }

    /// Sets a method that MCP does not have.
    pub fn set_other_method(&mut self, name: &str) {
        self.other_method.push_str(cut(name, 256));
    }

    /// Id of the first request of its chain of retries: its own, where it is no retry.
    pub fn first_id(&self) -> &str {
        if self.retry_of.is_empty() { self.id.text() } else { &self.retry_of }
    }

    fn texts(&mut self) -> [&mut String; 6] {
        [&mut self.other_method, &mut self.target, &mut self.arguments, &mut self.retry_of, &mut self.task_id, &mut self.task_status]
    }

    pub(super) fn measure(&mut self) -> usize {
        let ids = self.id.held() + self.token.held();
        size_of::<Self>() + ids + self.texts().iter().map(|text| text.capacity()).sum::<usize>()
    }

    /// Makes it ready for the next use. Memory that an unusual one took is given back.
    pub(super) fn clear(&mut self) {
        for text in self.texts() {
            text.clear();
            if text.capacity() > POOLED {
                *text = String::new();
            }
        }
        self.id.clear();
        self.token.clear();
        self.has_token = false;
        self.row = None;
        self.marks = Marks::default();
        (self.is_call, self.cancelled, self.truncated) = (false, false, false);
        (self.progress, self.likeness, self.request_bytes, self.held) = (0, 0, 0, 0);
        (self.client, self.server) = (None, None);
    }
}
