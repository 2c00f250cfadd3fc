//! Makes events of one message.

use super::backlog::Meta;
use super::core::Core;
use super::deliver::Whence;
use super::exchange::cut;
use super::session::{Language, Record, reverse, side};
use crate::event::{self, Body, Marks, MessageDirection, MessageType, Said, Sink};
use crate::input::ProcessId;
use crate::json::{Kind, Value};
use crate::mcp::facts::{Identity, Outcome, Params};
use crate::mcp::hash::Keyed;
use crate::mcp::id::Id;
use crate::mcp::message::Message;
use crate::mcp::method::{self, Method, Target};
use crate::redact::{Level, Redactor};
use std::borrow::Cow;

/// Bytes of a target that are given out.
const TARGET: usize = 1024;
/// Bytes of a method's name that are given out.
const METHOD: usize = 256;

/// Client and server.
pub type Peers = (Option<ProcessId>, Option<ProcessId>);

/// A message and what was read from it.
#[derive(Debug)]
pub struct Read<'m, 'a> {
    /// Its session.
    pub session: u32,
    /// Which way it goes.
    pub direction: MessageDirection,
    /// Its peers.
    pub peers: Peers,
    /// About it.
    pub meta: Meta,
    /// The message.
    pub message: &'m Message<'a>,
    /// Its method, where MCP has it.
    pub row: Option<&'static Method>,
    /// Its id.
    pub id: Option<Id<'a>>,
    /// Its parameters.
    pub params: Params<'a>,
    /// Its result.
    pub outcome: Outcome<'a>,
    /// Its metadata.
    pub identity: Identity<'a>,
    /// What was odd about it.
    pub marks: Marks,
    /// The exchange that it begins or answers.
    pub exchange: Option<u32>,
    /// The exchange that it belongs to otherwise.
    pub related: Option<u32>,
    /// True where its redacted body is cut.
    pub truncated: bool,
    /// True where its redacted body is its bytes: then so are its parts, and need not be redacted again.
    pub is_verbatim: bool,
}

/// The text of a part of a message, where the message's body is its very bytes.
pub fn part_of<'b>(body: &'b str, whole: Value<'_>, part: Value<'_>) -> Option<&'b str> {
    let (whole, part) = (whole.span(), part.span());
    body.get(part.start.checked_sub(whole.start)?..part.end.checked_sub(whole.start)?)
}

impl Core {
    /// Gives out a message of a stream.
    pub fn process(&mut self, whence: Whence, meta: Meta, message: &Message<'_>, answered: Option<u32>, sink: &mut dyn Sink) {
        let in_doubt = self.streams.get(whence.slot).is_some_and(|stream| stream.readers.is_open_at(meta.start));
        if let Some(record) = self.sessions.get_mut(whence.session) {
            record.reader_in_doubt = in_doubt;
        }
        let Some(record) = self.sessions.get(whence.session) else { return };
        let peers = self.peers(record, whence, meta.start);
        match record.language {
            Language::Mcp => self.give_message(whence.session, whence.direction, peers, meta, message, answered, sink),
            Language::AgentClient => self.carry(whence, peers, meta, message, sink),
        }
    }

    /// Who wrote a message and who read it, as far as known; else who did last.
    fn peers(&self, record: &Record, whence: Whence, start: u64) -> Peers {
        let Some(stream) = self.streams.get(whence.slot) else { return (None, None) };
        let (writer, reader) = (stream.writers.at(start), stream.readers.at(start));
        let (mut client, mut server) = match whence.direction {
            MessageDirection::ClientToServer => (writer, reader),
            MessageDirection::ServerToClient => (reader, writer),
        };
        if client.is_none() || server.is_none() {
            let back = record.sides.get(side(reverse(whence.direction))).copied().flatten().and_then(|slot| self.streams.get(slot));
            let (writer, reader) = (back.and_then(|back| back.writers.last()), back.and_then(|back| back.readers.last()));
            let (back_client, back_server) = match whence.direction {
                MessageDirection::ClientToServer => (reader, writer),
                MessageDirection::ServerToClient => (writer, reader),
            };
            client = client.or(back_client).or(record.info.client);
            server = server.or(back_server).or(record.info.server);
        }
        (client, server)
    }

    /// Gives out a message, and what it means for exchanges and tool calls.
    #[expect(clippy::too_many_arguments, reason = "each is another thing, and two callers do not make a struct")]
    pub fn give_message(
        &mut self,
        session: u32,
        direction: MessageDirection,
        peers: Peers,
        meta: Meta,
        message: &Message<'_>,
        answered: Option<u32>,
        sink: &mut dyn Sink,
    ) {
        let params = message.params.map(Params::read).unwrap_or_default();
        let outcome = message.result.map(Outcome::read).unwrap_or_default();
        let identity = params.meta.or(outcome.meta).map(Identity::of_meta).unwrap_or_default();
        let mut read = Read {
            session,
            direction,
            peers,
            meta,
            message,
            row: method::lookup(&message.method),
            id: message.id.map(|id| Id::new(id, self.keyed)),
            params,
            outcome,
            identity,
            marks: meta.marks.union(message.marks),
            exchange: answered,
            related: None,
            truncated: false,
            is_verbatim: false,
        };
        self.redact(&mut read);
        self.learn(&read);
        match message.kind {
            MessageType::Request => {
                self.begin_exchange(&mut read);
            }
            MessageType::Notification => read.related = self.notified_exchange(&read),
            MessageType::Response | MessageType::Error => {
                if read.exchange.is_none() && message.id.is_some_and(|id| id.kind() != Kind::Null) {
                    read.marks = read.marks.union(Marks::NO_REQUEST);
                }
            }
        }
        if read.row.is_none() && !message.is_answer() {
            read.marks = read.marks.union(Marks::UNKNOWN_METHOD);
        }
        if let Some(task) = read.params.task_id.or(read.identity.related_task)
            && read.related.is_none()
            && let Some(task) = task.as_str()
        {
            read.related = self.exchanges.by_task(session, &task);
        }
        self.give(&read, sink);
        match message.kind {
            MessageType::Request => self.call_began(&read, sink),
            MessageType::Notification => self.call_notified(&read, sink),
            MessageType::Response | MessageType::Error => self.call_answered(&read, sink),
        }
    }

    /// Takes what the message says of the conversation. Each side is believed about itself only.
    fn learn(&mut self, read: &Read<'_, '_>) {
        let Some(record) = self.sessions.get_mut(read.session) else { return };
        record.last_time = read.meta.time;
        record.meet(read.peers.0, read.peers.1);
        let is_client = read.direction == MessageDirection::ClientToServer;
        let believed = |record: &mut Record, identity: Identity<'_>| {
            let (client, server) = if is_client { (identity.client, None) } else { (None, identity.server) };
            record.learn(&Identity { client, server, ..identity });
        };
        if read.identity.version.is_some() && is_client {
            record.modern = true;
        }
        let method = match read.exchange {
            Some(exchange) => self.exchanges.get(exchange).map_or("", |exchange| exchange.method()),
            None => read.message.method.as_ref(),
        };
        let handshake = if method == "initialize" { read.message.params.or(read.message.result) } else { None };
        if let Some(body) = handshake {
            believed(record, Identity::of_handshake(body));
        } else if read.params.meta.or(read.outcome.meta).is_some() {
            // A server names its revision only in a handshake.
            believed(record, Identity { version: read.identity.version.filter(|_| is_client), ..read.identity });
        }
        if is_client && read.message.kind == MessageType::Request {
            record.requests += 1;
            record.discovers += u64::from(method == "server/discover");
        }
    }

    /// Writes the message's body, as far as it may leave.
    fn redact(&mut self, read: &mut Read<'_, '_>) {
        let Self { redactor, scratch, config, .. } = self;
        scratch.body.clear();
        if config.level != Level::None {
            let redacted = redactor.value(read.message.whole, config.body_limit, &mut scratch.body);
            read.truncated = redacted.truncated;
            read.is_verbatim = scratch.body.as_bytes() == read.message.whole.raw();
        }
    }

    /// Begins the exchange of a request, and finds the one that it retries.
    fn begin_exchange(&mut self, read: &mut Read<'_, '_>) {
        let Some(id) = &read.id else { return };
        let modern = self.sessions.get(read.session).is_some_and(|record| record.modern);
        let (node, in_use) = self.exchanges.begin(read.session, read.direction, id, read.meta.time);
        if in_use {
            read.marks = read.marks.union(Marks::ID_IN_USE);
        }
        read.exchange = Some(node);
        if let Some(token) = read.identity.progress_token {
            self.exchanges.set_token(node, &Id::new(token, self.keyed));
        }
        let target = target(read.row, &read.params, &mut self.redactor, &mut self.scratch.target);
        let is_call = read.direction == MessageDirection::ClientToServer && read.row.is_some_and(|row| row.name == "tools/call");
        let mut likeness = 0;
        if modern && matches!(read.row.map(|row| row.target), Some(Target::Tool | Target::Prompt | Target::Uri)) {
            let named = self.keyed.pair(self.keyed.bytes(read.message.method.as_bytes()), self.keyed.bytes(target.as_bytes()));
            likeness = self.keyed.pair(named, self.keyed.bytes(read.params.arguments.map(Value::raw).unwrap_or_default()));
            if read.params.input_responses.is_some() || read.params.request_state.is_some() {
                let state = read.params.request_state.and_then(|state| state_number(self.keyed, state));
                let before = state.and_then(|state| self.exchanges.retried(read.session, state));
                read.related = before.or_else(|| self.exchanges.retried(read.session, likeness));
            }
        }
        let first_id = read.related.and_then(|before| self.exchanges.get(before)).map(|before| before.first_id().to_owned());
        let Some(exchange) = self.exchanges.get_mut(node) else { return };
        exchange.row = read.row;
        if read.row.is_none() {
            exchange.set_other_method(&read.message.method);
        }
        exchange.target.push_str(&target);
        exchange.request_bytes = read.meta.size;
        exchange.marks = read.marks;
        exchange.is_call = is_call;
        exchange.likeness = likeness;
        (exchange.client, exchange.server) = read.peers;
        if let Some(first_id) = first_id {
            exchange.retry_of.push_str(&first_id);
        }
        if is_call
            && self.config.level != Level::None
            && let Some(arguments) = read.params.arguments
        {
            let part = part_of(&self.scratch.body, read.message.whole, arguments).filter(|_| read.is_verbatim);
            if let Some(part) = part {
                exchange.arguments.push_str(part);
            } else {
                let redacted = self.redactor.value(arguments, self.config.body_limit, &mut exchange.arguments);
                exchange.truncated = redacted.truncated;
            }
        }
        self.exchanges.measure(node);
    }

    /// The exchange that a notification is about.
    fn notified_exchange(&mut self, read: &Read<'_, '_>) -> Option<u32> {
        let (session, direction) = (read.session, read.direction);
        match read.row.map(|row| row.name) {
            Some("notifications/progress") => {
                let token = Id::new(read.params.progress_token?, self.keyed);
                let node = self.exchanges.by_token(session, reverse(direction), &token)?;
                if let Some(exchange) = self.exchanges.get_mut(node) {
                    exchange.progress = exchange.progress.saturating_add(1);
                }
                Some(node)
            }
            Some("notifications/cancelled") => {
                let id = Id::new(read.params.request_id?, self.keyed);
                // The sender's own request; or a server ends a subscription of its client.
                let own = self.exchanges.request(session, direction, &id);
                own.or_else(|| self.exchanges.request(session, reverse(direction), &id))
            }
            _ => {
                let id = Id::new(read.identity.subscription?, self.keyed);
                self.exchanges.request(session, reverse(direction), &id)
            }
        }
    }

    /// Gives out the message's event.
    fn give(&mut self, read: &Read<'_, '_>, sink: &mut dyn Sink) {
        let Self { sessions, exchanges, redactor, scratch, emitter, counters, .. } = self;
        let Some(record) = sessions.get_mut(read.session) else { return };
        let message = read.message;
        let request = read.exchange.and_then(|node| exchanges.get(node));
        let (method, target) = match request {
            Some(request) if message.is_answer() => (request.method(), Cow::Borrowed(request.target.as_str())),
            Some(request) => (cut(&message.method, METHOD), Cow::Borrowed(request.target.as_str())),
            None => (cut(&message.method, METHOD), target(read.row, &read.params, redactor, &mut scratch.target)),
        };
        let related = read.related.and_then(|node| exchanges.get(node));
        let related_id = related.map_or("", |related| related.first_id());
        let task = read.params.task_id.or(read.outcome.task_id).or(read.identity.related_task);
        let task = task.or_else(|| read.outcome.task.and_then(|task| task.get("taskId")));
        let mut task_id = task.and_then(Value::as_str).unwrap_or_default();
        if task_id.is_empty()
            && let Some(request) = request
            && request.row.is_some_and(|row| row.target == Target::Task)
        {
            task_id = Cow::Borrowed(&request.target);
        }
        counters.messages_given += 1;
        let body = Body::Message(event::Message {
            direction: read.direction,
            r#type: message.kind,
            method,
            request_id: &read.id.map(|id| id.text()).unwrap_or_default(),
            target: &target,
            size: read.meta.size,
            sha256: read.meta.sha256,
            body: &scratch.body,
            truncated: read.truncated,
            marks: read.marks,
            task_id: cut(&task_id, TARGET),
            related_request_id: related_id,
            said: Said { params: message.params, result: message.result, error: message.error },
        });
        emitter.give(record, read.meta.time, read.peers, body, counters, sink);
    }
}

/// The number by which a retry with this `requestState` is found. What is no string is taken by its bytes.
pub fn state_number(keyed: Keyed, state: Value<'_>) -> Option<u64> {
    match state.kind() {
        Kind::Null => None,
        Kind::String => state.as_str().map(|text| keyed.bytes(text.as_bytes())),
        _ => Some(keyed.bytes(state.raw())),
    }
}

/// What a message names: tool, prompt, resource, task. A URI may carry a secret and is redacted; a name is what rules are
/// written about and is not.
fn target<'t>(row: Option<&Method>, params: &Params<'t>, redactor: &mut Redactor, scratch: &'t mut String) -> Cow<'t, str> {
    let Some(row) = row else { return Cow::Borrowed("") };
    let Some(value) = params.target(row.target) else { return Cow::Borrowed("") };
    if !matches!(row.target, Target::Uri | Target::Reference) {
        return match value.as_str() {
            Some(Cow::Borrowed(text)) => Cow::Borrowed(cut(text, TARGET)),
            Some(Cow::Owned(text)) => Cow::Owned(cut(&text, TARGET).to_owned()),
            None => Cow::Borrowed(""),
        };
    }
    scratch.clear();
    redactor.value(value, TARGET, scratch);
    let plain = scratch.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(scratch);
    if plain.contains('\\') {
        let mut tape = crate::json::Tape::new();
        let unescaped = tape.parse(scratch.as_bytes()).ok().and_then(|_| tape.root(scratch.as_bytes())).and_then(Value::as_str);
        return Cow::Owned(unescaped.unwrap_or_default().into_owned());
    }
    Cow::Borrowed(plain)
}
