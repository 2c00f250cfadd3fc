//! An event kept for later: where it is judged only once its peers are known, the bytes that it was read from are gone.

use super::Kinds;
use super::subject::{Party, Subject};
use crate::event::{Marks, Said};
use crate::input::Time;
use crate::json::{Tape, Value};

/// Bytes of what one message says that are kept; what is longer is judged without it.
const LONGEST: usize = 1 << 20;

/// See the module.
#[derive(Clone, Debug)]
pub struct Kept {
    kind: Kinds,
    time: Time,
    node: String,
    session: String,
    transport: &'static str,
    protocol_version: String,
    late_attach: bool,
    relayed: bool,
    closed: bool,
    method: String,
    message_type: &'static str,
    direction: &'static str,
    target: String,
    marks: Marks,
    tool: String,
    request_id: String,
    bytes: u64,
    response_bytes: u64,
    state: &'static str,
    is_error: bool,
    duration: u64,
    /// Parameters, result and error.
    said: [Option<Box<[u8]>>; 3],
}

impl Kept {
    /// Keeps what was said of an event. (A listed tool is judged with the message that lists it.)
    #[must_use]
    pub fn new(subject: &Subject<'_>) -> Self {
        let keep = |value: Option<Value<'_>>| value.map(Value::raw).filter(|raw| raw.len() <= LONGEST).map(Box::from);
        let Said { params, result, error } = subject.said;
        Self {
            kind: subject.kind,
            time: subject.time,
            node: subject.node.to_owned(),
            session: subject.session.to_string(),
            transport: subject.transport,
            protocol_version: subject.protocol_version.to_owned(),
            late_attach: subject.late_attach,
            relayed: subject.relayed,
            closed: subject.closed,
            method: subject.method.to_owned(),
            message_type: subject.message_type,
            direction: subject.direction,
            target: subject.target.to_owned(),
            marks: subject.marks,
            tool: subject.tool.to_string(),
            request_id: subject.request_id.to_owned(),
            bytes: subject.bytes,
            response_bytes: subject.response_bytes,
            state: subject.state,
            is_error: subject.is_error,
            duration: subject.duration,
            said: [keep(params), keep(result), keep(error)],
        }
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn held(&self) -> usize {
        size_of::<Self>() + self.said.iter().flatten().map(|said| said.len()).sum::<usize>()
    }

    /// Gives it as a subject again.
    pub fn with<R>(&self, client: &Party, server: &Party, then: impl FnOnce(&Subject<'_>) -> R) -> R {
        let mut tapes = [Tape::new(), Tape::new(), Tape::new()];
        for (said, tape) in self.said.iter().zip(&mut tapes) {
            if let Some(said) = said {
                // What was parsed once is JSON.
                let _ = tape.parse(said);
            }
        }
        let mut values = self.said.iter().zip(&tapes).map(|(said, tape)| said.as_deref().and_then(|said| tape.root(said)));
        let mut next = || values.next().flatten();
        let said = Said { params: next(), result: next(), error: next() };
        let subject = Subject {
            node: &self.node,
            session: self.session.as_str().into(),
            transport: self.transport,
            protocol_version: &self.protocol_version,
            late_attach: self.late_attach,
            relayed: self.relayed,
            closed: self.closed,
            method: &self.method,
            message_type: self.message_type,
            direction: self.direction,
            target: &self.target,
            marks: self.marks,
            tool: self.tool.as_str().into(),
            request_id: &self.request_id,
            bytes: self.bytes,
            response_bytes: self.response_bytes,
            state: self.state,
            is_error: self.is_error,
            duration: self.duration,
            said,
            ..Subject::new(self.kind, self.time, client, server)
        };
        then(&subject)
    }
}
