//! What the pipeline gives out. Everything is borrowed: an event costs no allocation on its way to the exporters.
//!
//! JSON text in an event (`arguments`, `result`, `error`, `body`) has been redacted to the configured level already.

use crate::input::{Between, Framed, LossReasons, ProcessId, StreamKey, Time, Verdict};
use crate::json::Value;

/// Takes what the pipeline gives out.
pub trait Sink {
    /// One event, in order within its session.
    fn event(&mut self, event: &Event<'_>);
    /// A decision about a stream, for the kernel. The stream is named with its epoch: the kernel forgets it with the stream.
    fn verdict(&mut self, stream: StreamKey, epoch: Time, verdict: Verdict);
    /// A stream belongs to a session from now on, and what came of it before as well. For a recorder, as is what follows.
    fn bound(&mut self, _stream: StreamKey, _session: SessionId) {}
    /// A message was found in a stream that is not known to be anything but MCP.
    fn framed(&mut self, _framed: &Framed<'_>) {}
    /// Something else was found there.
    fn between(&mut self, _stream: StreamKey, _epoch: Time, _time: Time, _what: Between) {}
    /// What time alone brings about is done now, before the record that the engine may have been given: what comes until
    /// [`Sink::swept`] is of that. See [`crate::engine::Config::paced`].
    fn sweeps(&mut self, _now: Time) {}
    /// It is done.
    fn swept(&mut self) {}
}

/// Names a session: the same for the same traffic, live or replayed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub u64);

/// Names an event: sorts by time, and is the same for the same traffic, live or replayed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EventId(pub u128);

/// What carries a session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// Pipes or FIFOs.
    Pipe,
    /// An `AF_UNIX` socket.
    Unix,
    /// TCP.
    Tcp,
    /// A pseudo-terminal.
    Pty,
}

/// How messages are told apart in the stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Framing {
    /// One JSON value a line, as the laxest server reads it.
    Ndjson,
}

/// What MCP said of one side: `clientInfo` or `serverInfo`. Self-reported.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Implementation {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One conversation of a client process with a server process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// What carries it.
    pub transport: Transport,
    /// How messages are told apart.
    pub framing: Framing,
    /// Protocol revision, as agreed or as the last request carried it; empty while not known.
    pub protocol_version: String,
    /// True where the conversation was under way when the sensor first saw it.
    pub late_attach: bool,
    /// The process that sends requests, as last seen.
    pub client: Option<ProcessId>,
    /// The process that answers, as last seen.
    pub server: Option<ProcessId>,
    /// What the client says of itself.
    pub client_info: Implementation,
    /// What the server says of itself.
    pub server_info: Implementation,
    /// The session whose bytes a relay (npx wrapper, `docker run -i`, proxy) passed on to make this one.
    pub relay_of: Option<SessionId>,
    /// True for a conversation that only probed the server's revision and was given up for another.
    pub probe: bool,
    /// The tunnel this session came through (ACP's `mcp/message`): its connection id.
    pub tunnel: Option<String>,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// Its name.
    pub id: EventId,
    /// When it happened.
    pub time: Time,
    /// The session that it belongs to.
    pub session: &'a Session,
    /// The client process of this very message; may differ from the session's last one (forked workers).
    pub client: Option<ProcessId>,
    /// The server process of this very message.
    pub server: Option<ProcessId>,
    /// Several processes take turns at reading this message's stream, and it did not show whose turn it was: the reader's
    /// process (the server of a request, the client of an answer) is the one that read last.
    pub reader_in_doubt: bool,
    /// What happened.
    pub body: Body<'a>,
}

/// What an event tells.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// One message crossed the wire.
    Message(Message<'a>),
    /// A tool call began or ended.
    ToolCall(ToolCall<'a>),
    /// A session opened, learned something of its peers, or closed.
    Session(SessionState),
    /// Bytes of a stream of this session are missing.
    Gap(Gap),
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum MessageDirection {
    /// From the client to the server.
    ClientToServer,
    /// From the server to the client.
    ServerToClient,
}

/// The JSON-RPC kind of a message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum MessageType {
    /// Has a method and an id.
    Request,
    /// Has a result.
    Response,
    /// Has an error.
    Error,
    /// Has a method and no id.
    Notification,
}

/// What was odd about a message: framing tricks and the like. A set.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Marks(pub u32);

impl Marks {
    /// An object has a key twice. The last one counts.
    pub const DUPLICATE_KEY: Self = Self(1);
    /// The bytes are not valid UTF-8.
    pub const INVALID_UTF8: Self = Self(1 << 1);
    /// A carriage return separates it from another message.
    pub const CARRIAGE_RETURN: Self = Self(1 << 2);
    /// It spans several lines.
    pub const SEVERAL_LINES: Self = Self(1 << 3);
    /// It shares its line with other values or with text.
    pub const SHARED_LINE: Self = Self(1 << 4);
    /// A byte order mark stands before it.
    pub const BYTE_ORDER_MARK: Self = Self(1 << 5);
    /// It is one of a batch.
    pub const BATCH: Self = Self(1 << 6);
    /// A key that JSON-RPC gives meaning to is written with escapes, or `method` is; with others than `\/`, which is no trick.
    pub const ESCAPED_NAME: Self = Self(1 << 7);
    /// `"id": null`, or an id that is no string and no integer.
    pub const ODD_ID: Self = Self(1 << 8);
    /// Bytes next to it are missing, or some of its own.
    pub const NEXT_TO_GAP: Self = Self(1 << 9);
    /// The method is in no revision of MCP.
    pub const UNKNOWN_METHOD: Self = Self(1 << 10);
    /// A response whose request was never seen.
    pub const NO_REQUEST: Self = Self(1 << 11);
    /// A request whose id was in use.
    pub const ID_IN_USE: Self = Self(1 << 12);
    /// No `"jsonrpc": "2.0"` in it.
    pub const NO_VERSION: Self = Self(1 << 13);
    /// The stream ended, or had not gone on, without a line end behind it.
    pub const NO_LINE_END: Self = Self(1 << 14);
    /// JSON that only a lax parser takes (depth, numbers, control characters in strings).
    pub const LAX_JSON: Self = Self(1 << 15);
    /// It stands inside another value that some servers would read as the message instead.
    pub const AMBIGUOUS: Self = Self(1 << 16);

    /// The marks and how they are called, as in the contract.
    pub const NAMES: [(Self, &'static str); 17] = [
        (Self::DUPLICATE_KEY, "DUPLICATE_KEY"),
        (Self::INVALID_UTF8, "INVALID_UTF8"),
        (Self::CARRIAGE_RETURN, "CARRIAGE_RETURN"),
        (Self::SEVERAL_LINES, "SEVERAL_LINES"),
        (Self::SHARED_LINE, "SHARED_LINE"),
        (Self::BYTE_ORDER_MARK, "BYTE_ORDER_MARK"),
        (Self::BATCH, "BATCH"),
        (Self::ESCAPED_NAME, "ESCAPED_NAME"),
        (Self::ODD_ID, "ODD_ID"),
        (Self::NEXT_TO_GAP, "NEXT_TO_GAP"),
        (Self::UNKNOWN_METHOD, "UNKNOWN_METHOD"),
        (Self::NO_REQUEST, "NO_REQUEST"),
        (Self::ID_IN_USE, "ID_IN_USE"),
        (Self::NO_VERSION, "NO_VERSION"),
        (Self::NO_LINE_END, "NO_LINE_END"),
        (Self::LAX_JSON, "LAX_JSON"),
        (Self::AMBIGUOUS, "AMBIGUOUS"),
    ];

    /// The names of those that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(mark, _)| self.contains(*mark)).map(|(_, name)| name)
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True where every mark of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A message as it crossed the wire.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Which way it went.
    pub direction: MessageDirection,
    /// Its kind.
    pub r#type: MessageType,
    /// Its method; of a response, the request's. Empty where not known.
    pub method: &'a str,
    /// Its id as JSON text (`7`, `"a"`); empty where it has none.
    pub request_id: &'a str,
    /// The tool, prompt or resource that a request names; empty where it names none.
    pub target: &'a str,
    /// Bytes of the JSON value, line end and surrounding white space not counted.
    pub size: u64,
    /// SHA-256 of these bytes.
    pub sha256: [u8; 32],
    /// The message as JSON text, redacted to the configured level; empty at level `none`.
    pub body: &'a str,
    /// True where `body` is not the whole message for its size.
    pub truncated: bool,
    /// What was odd about it.
    pub marks: Marks,
    /// The task it belongs to; empty where it belongs to none.
    pub task_id: &'a str,
    /// Id (JSON text) of the request that it belongs to: progress, cancellation, a retry with `inputResponses`.
    pub related_request_id: &'a str,
    /// What it says, for the policy.
    pub said: Said<'a>,
}

/// Parts of a message as they crossed the wire, secrets and all: what a policy judges. They never leave the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// The parameters of a message; the arguments of a tool call that begins.
    pub params: Option<Value<'a>>,
    /// The result.
    pub result: Option<Value<'a>>,
    /// The error.
    pub error: Option<Value<'a>>,
}

/// Where a tool call stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CallState {
    /// The request was seen.
    Started,
    /// The result was seen. `is_error` tells whether the tool failed.
    Completed,
    /// A JSON-RPC error was seen.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its end cannot be seen: a process died, the stream closed, or it was given up for memory.
    Abandoned,
    /// The server asked for input; a retry follows (`input_required`).
    InputRequired,
    /// The server made a task of it; the result follows.
    TaskCreated,
}

/// A tool call.
#[derive(Clone, Debug)]
pub struct ToolCall<'a> {
    /// Where it stands.
    pub state: CallState,
    /// Id of the request as JSON text.
    pub request_id: &'a str,
    /// Id of the first request, where this one is a retry of it with input; else empty.
    pub retry_of: &'a str,
    /// The tool's name.
    pub tool: &'a str,
    /// JSON text of the arguments, redacted; empty at level `none` or where none were given.
    pub arguments: &'a str,
    /// JSON text of the result, redacted; empty while there is none.
    pub result: &'a str,
    /// JSON text of the error, redacted; empty where there is none.
    pub error: &'a str,
    /// `isError` of the result.
    pub is_error: bool,
    /// From request to result, in nanoseconds; `None` while it runs.
    pub duration: Option<u64>,
    /// Bytes of the request.
    pub request_bytes: u64,
    /// Bytes of the response; 0 while there is none.
    pub response_bytes: u64,
    /// True where arguments or result were cut for their size.
    pub truncated: bool,
    /// Progress notifications seen.
    pub progress_count: u32,
    /// The task that it became; empty where it did not.
    pub task_id: &'a str,
    /// Why it was abandoned, in words; empty otherwise.
    pub reason: &'a str,
    /// What was odd about its messages.
    pub marks: Marks,
    /// What the message that brings this about says, for the policy.
    pub said: Said<'a>,
}

/// What became of a session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SessionState {
    /// It was recognised as MCP.
    Opened,
    /// One of its peers, its revision or its name became known or changed.
    Updated,
    /// Its streams closed or its processes ended.
    Closed,
}

/// Bytes of a stream that are known to be missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gap {
    /// Which way they went.
    pub direction: MessageDirection,
    /// How many; `None` where that is not known.
    pub bytes: Option<u64>,
    /// Why.
    pub reasons: LossReasons,
}
