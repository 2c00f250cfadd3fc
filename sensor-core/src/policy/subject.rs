//! What a policy judges: one event with its session and peers, and what is found out about it when a rule asks.

use super::Kinds;
use crate::detect;
use crate::event::{Body, CallState, Event, Framing, Marks, MessageDirection, MessageType, Said, Session, SessionState, Transport};
use crate::input::Time;
use crate::json::Value;
use std::borrow::Cow;
use std::sync::OnceLock;

/// A peer, as rules see it. Made once for a process, not for each event.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Party {
    /// Its process; 0 where it is not known.
    pub pid: u32,
    /// Its executable.
    pub exe: String,
    /// What it calls itself in MCP.
    pub name: String,
    /// Its version, by its own account.
    pub version: String,
    /// Its command line, secrets taken out.
    pub command_line: Vec<String>,
    /// The same as one text.
    pub command: String,
    /// Its working directory.
    pub directory: String,
    /// Its user's number.
    pub uid: Option<u32>,
    /// Its user.
    pub user: String,
    /// Its container's id.
    pub container: String,
    /// Its pod.
    pub pod: String,
    /// Its pod's namespace.
    pub namespace: String,
    /// Its systemd unit.
    pub unit: String,
    /// Its address, of a peer on another host.
    pub address: String,
    /// Executables of its ancestors, the parent first.
    pub ancestors: Vec<String>,
    /// What fetched and started it.
    pub launch: detect::Launch,
}

impl Party {
    /// Names the program behind it, whichever process runs it: what a server's tools are remembered under.
    #[must_use]
    pub fn program(&self) -> [&str; 4] {
        [&self.launch.package, if self.launch.package.is_empty() { &self.exe } else { "" }, &self.name, &self.address]
    }
}

/// What is judged.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The kind of event.
    pub kind: Kinds,
    /// When it happened.
    pub time: Time,
    /// The host's name.
    pub node: &'a str,
    /// The session's name, as text.
    pub session: Cow<'a, str>,
    /// What carries the session.
    pub transport: &'static str,
    /// The revision of MCP.
    pub protocol_version: &'a str,
    /// The session was under way when the sensor first saw it.
    pub late_attach: bool,
    /// Its bytes come through a relay.
    pub relayed: bool,
    /// The session has closed.
    pub closed: bool,
    /// The client.
    pub client: &'a Party,
    /// The server.
    pub server: &'a Party,
    /// The method of a message.
    pub method: &'a str,
    /// The JSON-RPC kind of a message.
    pub message_type: &'static str,
    /// Which way a message went.
    pub direction: &'static str,
    /// What a message names.
    pub target: &'a str,
    /// What was odd about it.
    pub marks: Marks,
    /// The tool that is called, or listed.
    pub tool: Cow<'a, str>,
    /// The request.
    pub request_id: &'a str,
    /// Size of the request of a call, or of a message.
    pub bytes: u64,
    /// Size of the response of a call.
    pub response_bytes: u64,
    /// How a call ended.
    pub state: &'static str,
    /// The tool says that it failed.
    pub is_error: bool,
    /// From request to response, in nanoseconds.
    pub duration: u64,
    /// What the message says. Of a `call` the arguments are `params`.
    pub said: Said<'a>,
    /// The definition of a listed tool.
    pub definition: Option<Value<'a>>,
    pub(super) arguments: OnceLock<detect::Arguments>,
    pub(super) text: OnceLock<detect::Text>,
}

const fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Pipe => "PIPE",
        Transport::Unix => "UNIX",
        Transport::Tcp => "TCP",
        Transport::Pty => "PTY",
    }
}

/// The states of a call that end it, by name.
const fn ended(state: CallState) -> Option<&'static str> {
    match state {
        CallState::Completed => Some("COMPLETED"),
        CallState::Failed => Some("FAILED"),
        CallState::Cancelled => Some("CANCELLED"),
        CallState::Abandoned => Some("ABANDONED"),
        CallState::Started | CallState::InputRequired | CallState::TaskCreated => None,
    }
}

/// The method by which tools are listed.
const TOOLS_LIST: &str = "tools/list";

impl<'a> Subject<'a> {
    /// A subject of which nothing but its kind, time and peers is known.
    #[must_use]
    pub const fn new(kind: Kinds, time: Time, client: &'a Party, server: &'a Party) -> Self {
        Self {
            kind,
            time,
            node: "",
            session: Cow::Borrowed(""),
            transport: "PIPE",
            protocol_version: "",
            late_attach: false,
            relayed: false,
            closed: false,
            client,
            server,
            method: "",
            message_type: "",
            direction: "",
            target: "",
            marks: Marks(0),
            tool: Cow::Borrowed(""),
            request_id: "",
            bytes: 0,
            response_bytes: 0,
            state: "",
            is_error: false,
            duration: 0,
            said: Said { params: None, result: None, error: None },
            definition: None,
            arguments: OnceLock::new(),
            text: OnceLock::new(),
        }
    }

    /// What an event gives to judge. `None` for one that rules do not speak of.
    #[must_use]
    pub fn of(event: &'a Event<'_>, session: &'a str, node: &'a str, client: &'a Party, server: &'a Party) -> Option<Self> {
        let Session { transport: carrier, framing: Framing::Ndjson, protocol_version, late_attach, relay_of, .. } = event.session;
        let mut subject = Self {
            node,
            session: Cow::Borrowed(session),
            transport: transport(*carrier),
            protocol_version,
            late_attach: *late_attach,
            relayed: relay_of.is_some(),
            ..Self::new(Kinds::SESSION, event.time, client, server)
        };
        match &event.body {
            Body::Message(message) => {
                subject.kind = Kinds::MESSAGE;
                subject.method = message.method;
                subject.message_type = match message.r#type {
                    MessageType::Request => "REQUEST",
                    MessageType::Response => "RESPONSE",
                    MessageType::Error => "ERROR",
                    MessageType::Notification => "NOTIFICATION",
                };
                subject.direction = match message.direction {
                    MessageDirection::ClientToServer => "CLIENT_TO_SERVER",
                    MessageDirection::ServerToClient => "SERVER_TO_CLIENT",
                };
                subject.target = message.target;
                subject.marks = message.marks;
                subject.request_id = message.request_id;
                subject.bytes = message.size;
                subject.said = message.said;
            }
            Body::ToolCall(call) => {
                subject.tool = Cow::Borrowed(call.tool);
                subject.request_id = call.request_id;
                subject.bytes = call.request_bytes;
                subject.marks = call.marks;
                subject.said = call.said;
                if call.state == CallState::Started {
                    subject.kind = Kinds::CALL;
                } else {
                    subject.kind = Kinds::RESULT;
                    subject.state = ended(call.state)?;
                    subject.is_error = call.is_error;
                    subject.response_bytes = call.response_bytes;
                    subject.duration = call.duration.unwrap_or(0);
                }
            }
            Body::Session(SessionState::Closed) => subject.closed = true,
            Body::Session(SessionState::Opened | SessionState::Updated) => {}
            Body::Gap(_) => return None,
        }
        Some(subject)
    }

    /// The tools that a message lists.
    pub fn tools(&self) -> impl Iterator<Item = Self> + use<'a> {
        let is_list = self.kind == Kinds::MESSAGE && self.method == TOOLS_LIST && self.message_type == "RESPONSE";
        let tools = self.said.result.filter(|_| is_list).and_then(|result| result.get("tools"));
        let (time, client, server, node) = (self.time, self.client, self.server, self.node);
        let (session, transport, protocol_version) = (self.session.clone(), self.transport, self.protocol_version);
        let (late_attach, relayed, marks, bytes, request_id) = (self.late_attach, self.relayed, self.marks, self.bytes, self.request_id);
        tools.into_iter().flat_map(Value::elements).map(move |definition| Self {
            node,
            session: session.clone(),
            transport,
            protocol_version,
            late_attach,
            relayed,
            marks,
            bytes,
            request_id,
            method: TOOLS_LIST,
            message_type: "RESPONSE",
            direction: "SERVER_TO_CLIENT",
            tool: definition.get("name").and_then(Value::as_str).unwrap_or_default(),
            definition: Some(definition),
            ..Self::new(Kinds::TOOL, time, client, server)
        })
    }

    /// The value that detections look at.
    #[must_use]
    pub fn looked_at(&self) -> Option<Value<'a>> {
        match self.kind {
            Kinds::TOOL => self.definition,
            Kinds::CALL => self.said.params,
            Kinds::RESULT => self.said.result.or(self.said.error),
            _ => self.said.params.or(self.said.result).or(self.said.error),
        }
    }

    /// What its value shows of paths, addresses and commands.
    pub fn arguments(&self) -> &detect::Arguments {
        self.arguments.get_or_init(|| self.looked_at().map(detect::arguments).unwrap_or_default())
    }

    /// What its value shows of text for a model.
    pub fn text(&self) -> &detect::Text {
        self.text.get_or_init(|| self.looked_at().map(detect::text).unwrap_or_default())
    }
}
