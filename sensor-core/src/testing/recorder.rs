//! A sink that remembers what it is given.

use crate::event::{Body, CallState, Event, EventId, Gap, Marks, MessageDirection, MessageType, Session, SessionState, Sink};
use crate::input::{ProcessId, StreamKey, Time, Verdict};

/// A message event, owned.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields of `event::Message`")]
pub struct RecordedMessage {
    pub direction: MessageDirection,
    pub r#type: MessageType,
    pub method: String,
    pub request_id: String,
    pub target: String,
    pub size: u64,
    pub sha256: [u8; 32],
    pub body: String,
    pub truncated: bool,
    pub marks: Marks,
    pub task_id: String,
    pub related_request_id: String,
}

/// A tool call event, owned.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields of `event::ToolCall`")]
pub struct RecordedCall {
    pub state: CallState,
    pub request_id: String,
    pub retry_of: String,
    pub tool: String,
    pub arguments: String,
    pub result: String,
    pub error: String,
    pub is_error: bool,
    pub duration: Option<u64>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub truncated: bool,
    pub progress_count: u32,
    pub task_id: String,
    pub reason: String,
    pub marks: Marks,
}

/// What an event tells, owned.
#[derive(Clone, Debug)]
pub enum What {
    /// See [`Body::Message`].
    Message(RecordedMessage),
    /// See [`Body::ToolCall`].
    Call(RecordedCall),
    /// See [`Body::Session`].
    Session(SessionState),
    /// See [`Body::Gap`].
    Gap(Gap),
}

/// An event, owned.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// See [`Event::id`].
    pub id: EventId,
    /// See [`Event::time`].
    pub time: Time,
    /// The session as it was then.
    pub session: Session,
    /// See [`Event::client`].
    pub client: Option<ProcessId>,
    /// See [`Event::server`].
    pub server: Option<ProcessId>,
    /// What happened.
    pub what: What,
}

/// Remembers events and verdicts.
#[derive(Debug, Default)]
pub struct Recorder {
    /// Events in the order in which they came.
    pub events: Vec<Recorded>,
    /// Verdicts in the order in which they came.
    pub verdicts: Vec<(StreamKey, Time, Verdict)>,
}

impl Sink for Recorder {
    fn event(&mut self, event: &Event<'_>) {
        let what = match &event.body {
            Body::Message(message) => What::Message(RecordedMessage {
                direction: message.direction,
                r#type: message.r#type,
                method: message.method.to_owned(),
                request_id: message.request_id.to_owned(),
                target: message.target.to_owned(),
                size: message.size,
                sha256: message.sha256,
                body: message.body.to_owned(),
                truncated: message.truncated,
                marks: message.marks,
                task_id: message.task_id.to_owned(),
                related_request_id: message.related_request_id.to_owned(),
            }),
            Body::ToolCall(call) => What::Call(RecordedCall {
                state: call.state,
                request_id: call.request_id.to_owned(),
                retry_of: call.retry_of.to_owned(),
                tool: call.tool.to_owned(),
                arguments: call.arguments.to_owned(),
                result: call.result.to_owned(),
                error: call.error.to_owned(),
                is_error: call.is_error,
                duration: call.duration,
                request_bytes: call.request_bytes,
                response_bytes: call.response_bytes,
                truncated: call.truncated,
                progress_count: call.progress_count,
                task_id: call.task_id.to_owned(),
                reason: call.reason.to_owned(),
                marks: call.marks,
            }),
            Body::Session(state) => What::Session(*state),
            Body::Gap(gap) => What::Gap(*gap),
        };
        let Event { id, time, session, client, server, .. } = *event;
        self.events.push(Recorded { id, time, session: session.clone(), client, server, what });
    }

    fn verdict(&mut self, stream: StreamKey, epoch: Time, verdict: Verdict) {
        self.verdicts.push((stream, epoch, verdict));
    }
}

impl Recorder {
    /// The messages, with their events.
    pub fn messages(&self) -> impl Iterator<Item = (&Recorded, &RecordedMessage)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Message(message) => Some((event, message)),
            _ => None,
        })
    }

    /// The tool call events, with their events.
    pub fn calls(&self) -> impl Iterator<Item = (&Recorded, &RecordedCall)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Call(call) => Some((event, call)),
            _ => None,
        })
    }

    /// The session events.
    pub fn sessions(&self) -> impl Iterator<Item = (&Recorded, SessionState)> {
        self.events.iter().filter_map(|event| match event.what {
            What::Session(state) => Some((event, state)),
            _ => None,
        })
    }

    /// The gaps.
    pub fn gaps(&self) -> impl Iterator<Item = (&Recorded, Gap)> {
        self.events.iter().filter_map(|event| match event.what {
            What::Gap(gap) => Some((event, gap)),
            _ => None,
        })
    }

    /// The verdict given last about a stream.
    #[must_use]
    pub fn verdict_on(&self, stream: StreamKey) -> Option<Verdict> {
        self.verdicts.iter().rev().find(|(key, ..)| *key == stream).map(|&(_, _, verdict)| verdict)
    }
}
