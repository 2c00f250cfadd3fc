//! Gives messages out in order, and no sooner than their peers are known.
//!
//! A new session holds its messages back until both peers are known and, on a pipe, until its answers' stream is found; not
//! longer than [`HOLD`] (a peer that may be on another host), [`HOLD_UNREAD`] or [`HOLD_UNANSWERED`], nor beyond [`HOLD_BYTES`]. Where several
//! processes take turns at reading, each message waits until it shows whose turn it was, by the reader's call or by its
//! answer, not longer than [`HOLD_TURN`]. Bias: the first message that a new one of them reads still goes to the one before.
//!
//! No client writes other text between its requests, but many protocols and files hold MCP's text on lines of their own (a
//! Redis value, a mail, a transcript). A session whose client's side has other text beside its messages is therefore given
//! out only once an answer fits one of its requests; and so is one between two processes that have a session already, for
//! servers log messages to their stderr as they are. Bias: who is never answered there is not reported; nobody executes that.
//!
//! The ring gives out what different processors wrote nearly, but not quite, in order: an answer can come before its
//! request. An answer without a request therefore waits for [`EARLY`] before it is given out as such.
//!
//! Of two directions that both have something waiting, the one whose first was seen earlier gives first, however late its stream was
//! known for the session's. A recording has a stream from where it was known on, after later items of others; what it then
//! tells of the past is given out up to that time only ([`Core::horizon`]), until it has come back to the present: so a
//! replay gives out in the order in which the live engine did.

use super::backlog::{Meta, Waiting};
use super::bind::PATIENCE;
use super::core::Core;
use super::session::{Language, Phase, Record, reverse, side};
use super::stream::Stream;
use crate::event::{Body, Gap, MessageDirection, MessageType, Session, Sink};
use crate::input::{LossReasons, ProcessId, Time};
use crate::json::Kind;
use crate::mcp::classify::Reason;
use crate::mcp::evidence::weigh;
use crate::mcp::facts;
use crate::mcp::id::Id;
use crate::mcp::message::Message;

/// Record time for which the peers of a session's first messages are waited for where one may be on another host.
pub const HOLD: Time = 2_000_000_000;
/// Record time for which the answers of a session are waited for, once somebody has read. What is
/// not answered for so long may be a slow server, or a viewer of a log: it is reported, for recall goes first.
pub const HOLD_UNANSWERED: Time = 5_000_000_000;
/// Record time for which it is waited that somebody reads from a pipe or a Unix socket at all. A server that is downloaded
/// and started takes that long, and what nobody has read has done nothing yet.
pub const HOLD_UNREAD: Time = 60_000_000_000;
/// Record time for which it is waited whose turn it was to read.
pub const HOLD_TURN: Time = 100_000_000;
/// Bytes that a session holds back.
pub const HOLD_BYTES: usize = 1024 * 1024;
/// Record time for which it is waited whether a session's bytes are relayed ones.
const HOLD_RELAY: Time = 500_000_000;
/// Record time for which an answer waits for its request.
pub const EARLY: Time = 100_000_000;

impl Record {
    /// True while nothing is given out.
    pub fn holds(&self) -> bool {
        self.phase == Phase::Holding
    }
}

const DIRECTIONS: [MessageDirection; 2] = [MessageDirection::ClientToServer, MessageDirection::ServerToClient];

/// Where a message belongs.
#[derive(Clone, Copy, Debug)]
pub struct Whence {
    /// Its session.
    pub session: u32,
    /// Its stream.
    pub slot: u32,
    /// Which way it goes.
    pub direction: MessageDirection,
}

impl Core {
    /// A message of a session's stream has come.
    pub fn arrive(&mut self, session: u32, direction: MessageDirection, slot: u32, meta: Meta, message: &Message<'_>, sink: &mut dyn Sink) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        record.last_time = meta.time;
        let mut direction = direction;
        if record.language == Language::AgentClient {
            self.unmask(session, direction, message);
            direction = self.direction(slot).map_or(direction, |(_, direction)| direction);
        }
        let Some(record) = self.sessions.get(session) else { return };
        let whence = Whence { session, slot, direction };
        let is_open = record.phase == Phase::Open;
        if is_open && message.is_answer() && self.waits(session, reverse(direction)) {
            self.answer_shows_reader(whence, &meta, message, sink);
        }
        let goes_on = |stream: &Stream| stream.backlog.is_empty() && !stream.readers.is_open_at(meta.start);
        if is_open && self.streams.get(slot).is_some_and(goes_on) {
            let answered = self.answered(whence, message);
            if !self.is_early(whence, message, answered) {
                self.process(whence, meta, message, answered, sink);
                if message.kind == MessageType::Request && self.waits(session, reverse(direction)) {
                    self.pump(session, sink);
                }
                return;
            }
        }
        let lacks_side = self.sessions.get(session).is_some_and(|record| record.holds() && record.sides.contains(&None));
        self.keep(slot, meta, message);
        self.is_due(session);
        if lacks_side {
            if let Some(stream) = self.streams.get_mut(slot) {
                stream.classifier.message(weigh(message));
            }
            if self.show_log(session, slot, sink) {
                return;
            }
            self.look_for_partner(session, slot, sink);
        }
        self.pump(session, sink);
    }

    /// An answer tells who read its request, where that waits because several processes take turns at reading.
    fn answer_shows_reader(&mut self, whence: Whence, meta: &Meta, message: &Message<'_>, sink: &mut dyn Sink) {
        let Some(id) = message.id.map(|id| Id::new(id, self.keyed).hash()) else { return };
        let Some(writer) = self.streams.get(whence.slot).and_then(|stream| stream.writers.at(meta.start)) else { return };
        let asking = self.sessions.get(whence.session).and_then(|record| *record.sides.get(side(reverse(whence.direction)))?);
        let Some(stream) = asking.and_then(|slot| self.streams.get_mut(slot)) else { return };
        let start = stream.backlog.iter().find_map(|item| match item {
            Waiting::Message { meta, request, .. } if *request == Some(id) => Some(meta.start),
            _ => None,
        });
        let Some(start) = start else { return };
        if stream.readers.iter().any(|reader| reader == writer) {
            stream.readers.learn(writer, start, 1);
        } else {
            stream.readers.settle(start + 1);
        }
        self.pump(whence.session, sink);
    }

    /// Takes the request that a message answers out of the table.
    fn answered(&mut self, whence: Whence, message: &Message<'_>) -> Option<u32> {
        let id = message.id.filter(|_| message.is_answer())?;
        self.exchanges.answer(whence.session, reverse(whence.direction), &Id::new(id, self.keyed))
    }

    /// True for an answer whose request was not seen, although it has an id that can have one.
    fn is_early(&self, whence: Whence, message: &Message<'_>, answered: Option<u32>) -> bool {
        answered.is_none()
            && message.is_answer()
            && message.id.is_some_and(|id| id.kind() != Kind::Null)
            && self.sessions.get(whence.session).is_some_and(|record| record.language == Language::Mcp)
    }

    fn waits(&self, session: u32, direction: MessageDirection) -> bool {
        let slot = self.sessions.get(session).and_then(|record| *record.sides.get(side(direction))?);
        slot.and_then(|slot| self.streams.get(slot)).is_some_and(|stream| !stream.backlog.is_empty())
    }

    /// Notes that something is due for a session when time has passed.
    pub fn is_due(&mut self, session: u32) {
        if let Some(record) = self.sessions.get_mut(session)
            && !record.waiting
        {
            record.waiting = true;
            self.waiting.push(session);
        }
    }

    /// Does what time alone brings about.
    pub fn due(&mut self, sink: &mut dyn Sink) {
        self.look_again(sink);
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|&session| {
            let Some(record) = self.sessions.get_mut(session) else { return false };
            if !record.waiting {
                return false;
            }
            if record.holds()
                && let [Some(slot), None] | [None, Some(slot)] = record.sides
                && PATIENCE.get(usize::from(record.attempts)).is_some_and(|&after| self.now >= record.since.saturating_add(after))
            {
                record.attempts += 1;
                self.look_for_partner(session, slot, sink);
            }
            self.pump(session, sink);
            let still =
                self.sessions.get(session).is_some_and(Record::holds) || DIRECTIONS.iter().any(|&direction| self.waits(session, direction));
            if let Some(record) = self.sessions.get_mut(session) {
                record.waiting = still;
            }
            still
        });
        self.waiting.append(&mut waiting);
        self.look_for_the_dead();
    }

    /// The peers of a session as far as its streams show them.
    fn peers_of(&self, record: &Record) -> (Option<ProcessId>, Option<ProcessId>) {
        let [forward, back] = record.sides.map(|slot| slot.and_then(|slot| self.streams.get(slot)));
        let last = |one: Option<ProcessId>, other: Option<ProcessId>| one.or(other);
        let client = last(forward.and_then(|stream| stream.writers.last()), back.and_then(|stream| stream.readers.last()));
        let server = last(back.and_then(|stream| stream.writers.last()), forward.and_then(|stream| stream.readers.last()));
        (client, server)
    }

    /// True where MCP's text stands among other text, and nobody has answered it.
    fn is_doubtful(&self, record: &Record) -> bool {
        let [forward, back] = record.sides.map(|slot| slot.and_then(|slot| self.streams.get(slot)));
        match (forward, back) {
            (Some(forward), Some(back)) => {
                let answers = back.track.as_ref().zip(forward.track.as_ref());
                forward.classifier.has_noise() && answers.is_none_or(|(answers, requests)| answers.answers_to(requests) == 0)
            }
            (Some(lone), None) | (None, Some(lone)) => lone.classifier.has_noise() || record.is_beside == Some(true),
            (None, None) => false,
        }
    }

    /// True where the writer and the reader of a stream have a session with each other on other streams: a server may log
    /// the messages, as they are, to its stderr, and that is often the client's pipe.
    fn is_beside(&self, record: &Record) -> bool {
        let lone = match record.sides {
            [Some(lone), None] | [None, Some(lone)] => self.streams.get(lone).filter(|stream| stream.is_one_way()),
            _ => None,
        };
        let Some(lone) = lone else { return false };
        let (Some(writer), Some(reader)) = (lone.writers.last(), lone.readers.last()) else { return false };
        let between = |info: &Session| {
            (info.client, info.server) == (Some(reader), Some(writer)) || (info.client, info.server) == (Some(writer), Some(reader))
        };
        self.sessions.iter().any(|(_, other)| other.info.id != record.info.id && !other.sides.contains(&None) && between(&other.info))
    }

    /// The last check before anything is told.
    fn is_beyond_doubt(&mut self, session: u32) -> bool {
        let Some(record) = self.sessions.get(session) else { return false };
        if record.is_beside.is_none() && record.sides.contains(&None) {
            // Once: it takes a look at every session.
            let is_beside = self.is_beside(record);
            if let Some(record) = self.sessions.get_mut(session) {
                record.is_beside = Some(is_beside);
            }
        }
        self.sessions.get(session).is_some_and(|record| !self.is_doubtful(record))
    }

    fn held_back(&self, record: &Record) -> usize {
        record.sides.iter().flatten().filter_map(|&slot| self.streams.get(slot)).map(|stream| stream.backlog.held()).sum()
    }

    fn may_release(&self, record: &Record) -> bool {
        let waited = self.now.saturating_sub(record.since);
        let (client, server) = self.peers_of(record);
        if self.held_back(record) > HOLD_BYTES {
            return true;
        }
        if waited < HOLD_RELAY && self.may_be_relay(record) {
            return false;
        }
        let lacks_side = record.sides.contains(&None);
        let mut streams = record.sides.iter().flatten().filter_map(|&slot| self.streams.get(slot));
        let is_local = streams.any(|stream| stream.is_one_way());
        match (client.is_some() && server.is_some(), lacks_side) {
            (true, false) => true,
            (true, true) => waited >= HOLD_UNANSWERED,
            (false, _) => waited >= if is_local { HOLD_UNREAD } else { HOLD },
        }
    }

    /// Gives out what can be given out.
    pub fn pump(&mut self, session: u32, sink: &mut dyn Sink) {
        let Some(record) = self.sessions.get(session) else { return };
        if record.holds() {
            if !self.may_release(record) {
                return;
            }
            if self.is_beyond_doubt(session) {
                self.open(session);
            } else if self.sessions.get(session).is_some_and(|record| self.held_back(record) > HOLD_BYTES) {
                self.disprove(session, sink);
                return;
            } else {
                return;
            }
        }
        self.give_waiting(session, false, sink);
    }

    /// A recording has told what was before: gives out what waited for that.
    pub fn catch_up(&mut self, sink: &mut dyn Sink) {
        for session in std::mem::take(&mut self.beyond) {
            self.pump(session, sink);
        }
    }

    /// Gives out all that waits, because the session ends.
    pub fn flush(&mut self, session: u32, sink: &mut dyn Sink) {
        let Some(record) = self.sessions.get(session) else { return };
        if record.holds() {
            if !self.is_beyond_doubt(session) {
                self.disprove(session, sink);
                return;
            }
            self.open(session);
        }
        self.give_waiting(session, true, sink);
    }

    /// Gives a session up of which nothing was told.
    fn disprove(&mut self, session: u32, sink: &mut dyn Sink) {
        let sides = self.sessions.get(session).map_or([None; 2], |record| record.sides);
        self.dissolve(session);
        for slot in sides.into_iter().flatten() {
            self.ignore(slot, Reason::Text, sink);
        }
    }

    fn give_waiting(&mut self, session: u32, all: bool, sink: &mut dyn Sink) {
        let (horizon, mut stopped) = (self.horizon(), [false; 2]);
        loop {
            let Some(record) = self.sessions.get(session) else { return };
            // In the order of their times: which stream was known first for the session's depends on more than what is in it.
            let mut next: Option<(Time, Whence)> = None;
            for direction in DIRECTIONS {
                if stopped.get(side(direction)) == Some(&true) {
                    continue;
                }
                let Some(Some(slot)) = record.sides.get(side(direction)).copied() else { continue };
                let Some(first) = self.streams.get(slot).and_then(|stream| stream.backlog.first()) else { continue };
                if first.time() > horizon && !all {
                    self.beyond.insert(session);
                    continue;
                }
                if next.is_none_or(|(time, _)| first.time() < time) {
                    next = Some((first.time(), Whence { session, slot, direction }));
                }
            }
            let Some((_, whence)) = next else { return };
            let Some(item) = self.streams.get_mut(whence.slot).and_then(|stream| stream.backlog.pop()) else { return };
            self.backlog_held -= item.held();
            match self.give_one(whence, item, all, sink) {
                None => {
                    // A request may be what the other direction waits for.
                    stopped = [false; 2];
                }
                Some(item) => {
                    self.backlog_held += item.held();
                    if let Some(stream) = self.streams.get_mut(whence.slot) {
                        stream.backlog.push_front(item);
                    }
                    if let Some(stopped) = stopped.get_mut(side(whence.direction)) {
                        *stopped = true;
                    }
                    self.is_due(session);
                }
            }
        }
    }

    /// Gives out one that waited; gives it back where it has to wait on.
    fn give_one(&mut self, whence: Whence, item: Waiting, all: bool, sink: &mut dyn Sink) -> Option<Waiting> {
        let (meta, bytes, request) = match item {
            Waiting::Gap { time, bytes, reasons } => {
                self.give_gap(whence.session, whence.direction, time, bytes, reasons, sink);
                return None;
            }
            Waiting::Message { meta, bytes, request } => (meta, bytes, request),
        };
        let is_open = self.streams.get(whence.slot).is_some_and(|stream| stream.readers.is_open_at(meta.start));
        if is_open && !all && meta.time.saturating_add(HOLD_TURN) > self.now {
            return Some(Waiting::Message { meta, bytes, request });
        }
        let mut tape = std::mem::take(&mut self.replay);
        let parsed = tape.parse(&bytes).is_ok();
        let message = tape.root(&bytes).filter(|_| parsed).and_then(Message::read);
        let mut back = false;
        if let Some(message) = &message {
            let answered = self.answered(whence, message);
            let may_wait = !all && meta.time.saturating_add(EARLY) > self.now;
            if may_wait && self.is_early(whence, message, answered) {
                back = true;
            } else {
                self.counters.messages_waiting -= 1;
                self.process(whence, meta, message, answered, sink);
            }
        } else {
            // It was parsed once before; the same bytes are parsed alike.
            self.counters.messages_waiting -= 1;
            self.counters.messages_foreign += 1;
        }
        self.replay = tape;
        back.then_some(Waiting::Message { meta, bytes, request })
    }

    /// Tells of missing bytes.
    pub fn give_gap(
        &mut self,
        session: u32,
        direction: MessageDirection,
        time: Time,
        bytes: Option<u64>,
        reasons: LossReasons,
        sink: &mut dyn Sink,
    ) {
        let Some(record) = self.sessions.get_mut(session) else { return };
        if record.language != Language::Mcp {
            return;
        }
        self.counters.gaps += 1;
        self.counters.gap_bytes += bytes.unwrap_or(0);
        let peers = (record.info.client, record.info.server);
        self.emitter.give(record, time, peers, Body::Gap(Gap { direction, bytes, reasons }), &mut self.counters, sink);
    }

    /// Begins to give out.
    fn open(&mut self, session: u32) {
        let Some(record) = self.sessions.get(session) else { return };
        let (client, server) = self.peers_of(record);
        let late = self.is_late(record, server);
        if let Some(record) = self.sessions.get_mut(session) {
            record.phase = Phase::Open;
            record.info.late_attach = late;
            record.meet(client, server);
        }
    }

    /// True where the conversation was under way when it was first seen.
    ///
    /// It was not where the client's first messages have `initialize` or `server/discover` among them, or where nothing
    /// came before in the stream and either the server itself began after the sensor, or the first request is one of
    /// 2026-07-28 (which needs no handshake) with one of the first ids that a client gives out. Bias: towards "late", which
    /// only forgives protocol violations.
    fn is_late(&self, record: &Record, server: Option<ProcessId>) -> bool {
        let Some(forward) = record.sides.first().copied().flatten().and_then(|slot| self.streams.get(slot)) else { return true };
        let from_start = forward.first_offset == Some(0) && forward.backlog.dropped == 0;
        if from_start && server.zip(self.begun).is_some_and(|(server, begun)| server.start_time > begun) {
            return false;
        }
        let mut tape = crate::json::Tape::new();
        let mut first = true;
        for item in forward.backlog.iter().take(16) {
            let Waiting::Message { bytes, .. } = item else { continue };
            if tape.parse(bytes).is_err() {
                continue;
            }
            let Some(message) = tape.root(bytes).and_then(Message::read) else { continue };
            if matches!(message.method.as_ref(), "initialize" | "server/discover") {
                return false;
            }
            if first && from_start && message.kind == MessageType::Request {
                let modern = facts::meta(&message).and_then(|meta| facts::reserved(meta, "protocolVersion")).is_some();
                let small = message.id.is_some_and(|id| match id.as_str() {
                    Some(text) => text.ends_with('0') || text.ends_with('1'),
                    None => matches!(id.as_i64(), Some(0..=2)),
                });
                if modern && small {
                    return false;
                }
            }
            first = false;
        }
        true
    }
}
