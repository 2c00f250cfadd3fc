//! Values of streams come in here: they are weighed while their stream is not known, and belong to a session once it is.

use super::backlog::{Meta, Waiting};
use super::core::Core;
use super::session::{Language, Record, direction_of, side};
use super::stream::State;
use super::track::short;
use crate::event::{Marks, MessageDirection, MessageType, Sink};
use crate::input::{Between, End, Framed, LossReasons, ProcessId, Verdict};
use crate::json::{Kind, Value};
use crate::mcp::Role;
use crate::mcp::classify::{Decision, Reason};
use crate::mcp::evidence::{Evidence, agent_client_sender, weigh};
use crate::mcp::id::Id;
use crate::mcp::message::Message;
use crate::mcp::method;
use crate::wire::ndjson::Frame;

/// Bytes of messages that a stream keeps until it is known.
const CANDIDATE_BYTES: usize = 64 * 1024;
/// Messages that it keeps.
const CANDIDATE_MESSAGES: usize = 8;
/// The same for a stream that has shown something of MCP, or may be the answers of a session.
const SUSPECT_BYTES: usize = 1024 * 1024;
const SUSPECT_MESSAGES: usize = 512;

impl Core {
    /// A process used an end of a stream, at this position and so many bytes behind it.
    #[inline]
    pub fn used(&mut self, slot: u32, end: End, process: ProcessId, (offset, bytes): (u64, u64), sink: &mut dyn Sink) {
        let now = self.now;
        let has_siblings = self.has_siblings(process);
        let Some(stream) = self.streams.get_mut(slot) else { return };
        stream.last_time = now;
        if has_siblings {
            stream.users_mut(end).expect_siblings();
        }
        if !stream.users_mut(end).learn(process, offset, bytes) {
            if !stream.backlog.is_empty()
                && let State::Bound(session, _) = stream.state
            {
                self.pump(session, sink);
            }
            return;
        }
        stream.dead_since = None;
        self.uses.insert((process, end == End::Writer, slot));
        match stream.state {
            State::Bound(session, _) => {
                if let Some(record) = self.sessions.get_mut(session) {
                    record.dead_since = None;
                }
                self.look_for_partner(session, slot, sink);
                self.pump(session, sink);
            }
            State::Candidate if stream.classifier.rpc() > 0 => self.offer(slot, false, sink),
            State::Candidate | State::Ignored(_) => {}
        }
    }

    /// Bytes of a stream come: an ignored one is taken for possible again.
    #[inline]
    pub fn probed(&mut self, slot: u32, offset: u64, sink: &mut dyn Sink) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        if let Some(first) = stream.first_offset
            && !matches!(stream.state, State::Ignored(_))
        {
            stream.first_offset = Some(first.min(offset));
            return;
        }
        self.reconsider(slot);
        if let Some(stream) = self.streams.get_mut(slot) {
            stream.first_offset = Some(offset);
        }
        self.join_by_key(slot, sink);
    }

    /// Raw bytes of a stream, in order, before they are framed.
    #[inline]
    pub fn sniff(&mut self, slot: u32, bytes: &[u8]) {
        if let Some(stream) = self.streams.get_mut(slot)
            && stream.state == State::Candidate
        {
            stream.classifier.sniff(bytes);
        }
    }

    /// A frame of a stream whose framer began at a position.
    pub fn frame(&mut self, slot: u32, base: u64, frame: Frame<'_>, sink: &mut dyn Sink) {
        match frame {
            Frame::Value { bytes, tape, marks, start } => {
                let start = base + start;
                let Some(root) = tape.root(bytes) else { return };
                if root.kind() == Kind::Array {
                    for element in root.elements() {
                        self.value(slot, element, marks.union(Marks::BATCH), start, sink);
                    }
                } else {
                    self.value(slot, root, marks, start, sink);
                }
            }
            Frame::Noise { bytes } => self.noise(slot, bytes, sink),
            Frame::Gap { bytes, reasons } => self.missing(slot, bytes, reasons, sink),
        }
    }

    fn value(&mut self, slot: u32, value: Value<'_>, marks: Marks, start: u64, sink: &mut dyn Sink) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let Some(message) = Message::read(value) else {
            match stream.state {
                State::Bound(..) => self.counters.other_values += 1,
                State::Candidate => {
                    stream.classifier.other_value();
                    self.judge(slot, None, sink);
                }
                State::Ignored(_) => {}
            }
            return;
        };
        if matches!(stream.state, State::Ignored(_)) {
            self.counters.messages_read += 1;
            self.counters.messages_foreign += 1;
            return;
        }
        let (key, epoch) = (stream.key, stream.epoch);
        let meta = self.meta(value, marks, start);
        let Meta { time, sha256, size, .. } = meta;
        let marks = marks.union(message.marks);
        sink.framed(&Framed { time, stream: key, epoch, start, marks, size, sha256, bytes: value.raw() });
        self.message(slot, &message, meta, sink);
    }

    /// A message of a recording, whose text may be what redaction left of it.
    pub fn recorded(&mut self, slot: u32, value: Value<'_>, framed: &Framed<'_>, sink: &mut dyn Sink) {
        let Some(message) = Message::read(value) else { return };
        let &Framed { time, start, marks, size, sha256, .. } = framed;
        self.message(slot, &message, Meta { time, start, marks, sha256, size }, sink);
    }

    fn message(&mut self, slot: u32, message: &Message<'_>, meta: Meta, sink: &mut dyn Sink) {
        let Some(stream) = self.streams.get(slot) else { return };
        self.counters.messages_read += 1;
        match stream.state {
            State::Ignored(_) => self.counters.messages_foreign += 1,
            State::Bound(session, direction) if stream.dead_since.is_some() && begins_anew(message, direction) => {
                self.begin_anew(session, slot, meta.start, sink);
                self.candidate(slot, message, meta, sink);
            }
            State::Bound(session, direction) => {
                self.note(slot, message, &meta);
                self.arrive(session, direction, slot, meta, message, sink);
            }
            State::Candidate => self.candidate(slot, message, meta, sink),
        }
    }

    /// What was found between the messages of a recording.
    pub fn between(&mut self, slot: u32, what: Between, sink: &mut dyn Sink) {
        match what {
            Between::Noise(bytes) => self.noise(slot, bytes, sink),
            Between::Gap(bytes, reasons) => self.missing(slot, bytes, reasons, sink),
        }
    }

    fn tell_between(&self, slot: u32, what: Between, sink: &mut dyn Sink) {
        if let Some(stream) = self.streams.get(slot)
            && !matches!(stream.state, State::Ignored(_))
        {
            sink.between(stream.key, stream.epoch, self.stamp, what);
        }
    }

    /// A session's stream, one of whose ends had no living process, begins another session: the address of a socket is in
    /// use again, and the kernel has not noticed.
    fn begin_anew(&mut self, session: u32, slot: u32, start: u64, sink: &mut dyn Sink) {
        let sides = self.sessions.get(session).map_or([None; 2], |record| record.sides);
        self.end_session(session, super::sweep::CLOSED, sink);
        for side in sides.into_iter().flatten() {
            let Some(stream) = self.streams.get_mut(side) else { continue };
            stream.classifier = Default::default();
            self.tracks -= usize::from(stream.track.take().is_some());
            (stream.dead_since, stream.attempts) = (None, 0);
            for (end, writes) in [(End::Writer, true), (End::Reader, false)] {
                for process in stream.users_mut(end).forget_dead() {
                    self.uses.remove(&(process, writes, side));
                }
            }
        }
        if let Some(stream) = self.streams.get_mut(slot) {
            stream.first_offset = Some(start);
        }
    }

    fn candidate(&mut self, slot: u32, message: &Message<'_>, meta: Meta, sink: &mut dyn Sink) {
        let evidence = weigh(message);
        let Some(stream) = self.streams.get_mut(slot) else { return };
        stream.classifier.message(evidence);
        if matches!(evidence, Evidence::Against(_))
            && let Some(role) = agent_client_sender(message)
        {
            stream.classifier.agent_role(role);
        }
        if stream.classifier.rpc() > 0 {
            self.note(slot, message, &meta);
        }
        self.keep(slot, meta, message);
        self.judge(slot, Some(message), sink);
        self.limit_candidate(slot);
    }

    fn meta(&self, value: Value<'_>, marks: Marks, start: u64) -> Meta {
        let raw = value.raw();
        let digest = ring::digest::digest(&ring::digest::SHA256, raw);
        let mut sha256 = [0; 32];
        if let Some(bytes) = digest.as_ref().first_chunk::<32>() {
            sha256 = *bytes;
        }
        Meta { time: self.stamp, start, marks, sha256, size: raw.len() as u64 }
    }

    /// Remembers what binding and relay detection need of a message.
    fn note(&mut self, slot: u32, message: &Message<'_>, meta: &Meta) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let keyed = self.keyed;
        let unbound = match stream.state {
            State::Bound(session, _) => self.sessions.get(session).is_some_and(|record| record.holds() || record.sides.contains(&None)),
            State::Candidate => true,
            State::Ignored(_) => false,
        };
        self.tracks += usize::from(stream.track.is_none());
        let track = stream.track.get_or_insert_default();
        track.pass(short(&meta.sha256), meta.time);
        if unbound && let Some(id) = message.id {
            let id = Id::new(id, keyed).hash();
            if message.is_answer() {
                track.answer(id);
            } else {
                track.request(id);
            }
        }
        self.trace_relay(slot, short(&meta.sha256), meta);
    }

    /// Keeps a message until it can be given out.
    pub fn keep(&mut self, slot: u32, meta: Meta, message: &Message<'_>) {
        let request = message.id.filter(|_| message.kind == MessageType::Request).map(|id| Id::new(id, self.keyed).hash());
        let item = Waiting::Message { meta, bytes: message.whole.raw().into(), request };
        self.counters.messages_waiting += 1;
        self.push(slot, item);
    }

    fn push(&mut self, slot: u32, item: Waiting) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        self.backlog_held += item.held();
        stream.backlog.push(item);
    }

    /// Decides about a stream, as far as it can be decided.
    fn judge(&mut self, slot: u32, message: Option<&Message<'_>>, sink: &mut dyn Sink) {
        let Some(stream) = self.streams.get(slot) else { return };
        match stream.classifier.decide() {
            Decision::Mcp(role) => self.confirm(slot, role, Language::Mcp, sink),
            Decision::AgentClient(role) => self.confirm(slot, role, Language::AgentClient, sink),
            Decision::Other(reason) => {
                if !self.may_be_answers(slot) {
                    self.ignore(slot, reason, sink);
                }
            }
            // The first message of any kind may be the answer that a session waits for.
            Decision::Unsure if message.is_some() && stream.classifier.rpc() > 0 => {
                if stream.attempts == 0 {
                    self.suspects.push(slot);
                    if let Some(stream) = self.streams.get_mut(slot) {
                        stream.attempts = 1;
                    }
                }
                self.offer(slot, false, sink);
            }
            Decision::Unsure => {}
        }
    }

    /// A stream is MCP (or carries it): it gets a session, or joins one that lacks it.
    fn confirm(&mut self, slot: u32, role: Role, language: Language, sink: &mut dyn Sink) {
        let direction = direction_of(role);
        self.tell(slot, Verdict::Capture, sink);
        if self.join(slot, direction, sink) {
            return;
        }
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let (since, start) = stream.backlog.first_message().map_or((self.now, 0), |meta| (meta.time, meta.start));
        let id = self.emitter.session(&stream.key, stream.epoch, start);
        let mut record = Record::new(id, stream.transport(), language, since);
        if let Some(place) = record.sides.get_mut(side(direction)) {
            *place = Some(slot);
        }
        let session = self.open_session(record);
        if let Some(stream) = self.streams.get_mut(slot) {
            stream.state = State::Bound(session, direction);
            sink.bound(stream.key, id);
        }
        if let Some(reverse) = self.reverse_of(slot) {
            self.join_by_key(reverse, sink);
        }
        self.look_for_partner(session, slot, sink);
        self.recall_answers(slot, sink);
        self.is_due(session);
        self.check_relay(session);
        if !self.show_log(session, slot, sink) {
            self.pump(session, sink);
        }
    }

    /// Puts a session into the table.
    pub fn open_session(&mut self, record: Record) -> u32 {
        self.sessions_held += record.charged;
        self.sessions.insert(record)
    }

    /// A stream of a session whose other direction nobody has seen (of a connection or a terminal: in which no message
    /// has come), and that carries both directions itself, shows a log.
    ///
    /// Bias: a process that mixes answers into its own requests, before its server has said anything, hides them until
    /// the server answers; then the answers' stream finds this one again (`Core::could_join`, `Core::join_by_key`).
    pub fn show_log(&mut self, session: u32, slot: u32, sink: &mut dyn Sink) -> bool {
        let Some(record) = self.sessions.get(session) else { return false };
        let Some(stream) = self.streams.get(slot) else { return false };
        if record.opened || !stream.classifier.is_mixed() {
            return false;
        }
        let is_silent = if stream.is_one_way() {
            record.sides.contains(&None)
        } else {
            let back = self.reverse_of(slot).and_then(|back| self.streams.get(back));
            back.is_none_or(|back| back.classifier.rpc() == 0)
        };
        if !is_silent {
            return false;
        }
        self.dissolve(session);
        self.ignore(slot, Reason::Log, sink);
        true
    }

    /// Keeps a stream that is not known yet within its bounds.
    fn limit_candidate(&mut self, slot: u32) {
        let Some(stream) = self.streams.get(slot) else { return };
        if stream.state != State::Candidate || (stream.backlog.len() <= CANDIDATE_MESSAGES && stream.backlog.held() <= CANDIDATE_BYTES) {
            return;
        }
        let (messages, bytes) = if stream.classifier.is_suspected() || self.may_be_answers(slot) {
            (SUSPECT_MESSAGES, SUSPECT_BYTES)
        } else {
            (CANDIDATE_MESSAGES, CANDIDATE_BYTES)
        };
        let Some(stream) = self.streams.get_mut(slot) else { return };
        while stream.backlog.len() > messages || stream.backlog.held() > bytes {
            let Some(item) = stream.backlog.pop() else { break };
            self.backlog_held -= item.held();
            if let Waiting::Message { meta, .. } = item {
                stream.backlog.dropped += meta.size;
                self.counters.messages_waiting -= 1;
                self.counters.messages_overflowed += 1;
            }
        }
    }

    fn noise(&mut self, slot: u32, bytes: u64, sink: &mut dyn Sink) {
        self.tell_between(slot, Between::Noise(bytes), sink);
        let Some(stream) = self.streams.get_mut(slot) else { return };
        match stream.state {
            State::Bound(session, _) => {
                self.counters.noise_bytes += bytes;
                if self.sessions.get(session).is_some_and(Record::holds) {
                    stream.classifier.noise(bytes);
                }
            }
            State::Candidate => {
                stream.classifier.noise(bytes);
                self.judge(slot, None, sink);
            }
            State::Ignored(_) => {}
        }
    }

    /// Bytes of a stream are missing.
    fn missing(&mut self, slot: u32, bytes: Option<u64>, reasons: LossReasons, sink: &mut dyn Sink) {
        self.tell_between(slot, Between::Gap(bytes, reasons), sink);
        let time = self.stamp;
        let Some(stream) = self.streams.get(slot) else { return };
        let item = Waiting::Gap { time, bytes, reasons };
        match stream.state {
            State::Ignored(_) => {}
            State::Bound(session, direction) => {
                let waits = !stream.backlog.is_empty() || self.sessions.get(session).is_some_and(Record::holds);
                if waits {
                    self.push(slot, item);
                    self.pump(session, sink);
                } else {
                    self.give_gap(session, direction, time, bytes, reasons, sink);
                }
            }
            // Many gaps in a row tell no more than one, and must not fill the memory.
            State::Candidate if stream.backlog.len() < CANDIDATE_MESSAGES => self.push(slot, item),
            State::Candidate => {}
        }
    }

    /// Bytes of a stream were given up for memory.
    pub fn gave_up_bytes(&mut self, slot: u32, bytes: u64, sink: &mut dyn Sink) {
        self.counters.given_up_for_memory += 1;
        self.missing(slot, Some(bytes), LossReasons::MEMORY, sink);
    }

    /// The direction in which a stream's messages go, where it has a session.
    pub fn direction(&self, slot: u32) -> Option<(u32, MessageDirection)> {
        match self.streams.get(slot)?.state {
            State::Bound(session, direction) => Some((session, direction)),
            State::Candidate | State::Ignored(_) => None,
        }
    }
}

/// True for a message that begins a session, or that cannot go this way in the one that there is.
fn begins_anew(message: &Message<'_>, direction: MessageDirection) -> bool {
    let opens = matches!(message.method.as_ref(), "initialize" | "server/discover");
    let sender = method::lookup(&message.method).filter(|_| !message.is_answer()).and_then(|row| row.sender);
    opens || sender.is_some_and(|role| direction_of(role) != direction)
}
