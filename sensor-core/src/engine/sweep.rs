//! Ends: of streams, of sessions, of patience, of memory.
//!
//! A session ends when its streams close, or when every process known on one of its sides is dead. Not at once, for the
//! ring may still bring what they said last; and where only the client is dead (`echo … | server`) not before the server
//! has been silent for a while. Nothing ends a session for its age.

use super::core::{Closing, Core};
use super::session::{Language, Record, side};
use super::stream::State;
use super::{Engine, FRAMING};
use crate::event::{Body, MessageDirection, SessionState, Sink};
use crate::input::Time;

/// Record time from the death of all processes of a side to the session's end.
const GRACE: Time = 1_000_000_000;
/// The same for a session that may turn out to be a probe: its sibling has to show up first.
const GRACE_PROBE: Time = 3_000_000_000;
/// The same where only who wrote the requests is known to be dead, from the last message.
const GRACE_UNREAD: Time = 10_000_000_000;
/// Record time after which a stream that is not in use is forgotten.
const IDLE: Time = 60_000_000_000;
/// The same for one that has shown something of MCP.
const IDLE_SUSPECT: Time = 600_000_000_000;
/// The same for one that has carried no bytes yet, but whose users are known.
const IDLE_UNUSED: Time = 3_600_000_000_000;

/// Why a session ends: its processes.
const DEAD: &str = "a process of the session ended";
/// Why a session ends: its streams.
pub const CLOSED: &str = "the stream closed";
/// Why something ends: memory.
pub const MEMORY: &str = "given up for memory";

impl Core {
    /// Ends what only dead processes used.
    pub fn look_for_the_dead(&mut self) {
        let mut dying = std::mem::take(&mut self.dying);
        dying.retain(|&slot| {
            let Some(stream) = self.streams.get(slot) else { return false };
            let Some(since) = stream.dead_since else { return false };
            let State::Bound(session, _) = stream.state else {
                if self.now < since.saturating_add(GRACE_UNREAD) {
                    return true;
                }
                self.closing.push_back(Closing::Stream(slot));
                return false;
            };
            let Some(record) = self.sessions.get(session) else { return false };
            match self.dead_after(record, since) {
                Some(when) if self.now >= when => {
                    self.closing.push_back(Closing::Session(session, DEAD));
                    false
                }
                _ => true,
            }
        });
        self.dying.append(&mut dying);
    }

    /// When a session is to end, if nobody new shows up; `None` while both of its sides live.
    fn dead_after(&self, record: &Record, since: Time) -> Option<Time> {
        let [forward, back] = record.sides.map(|slot| slot.and_then(|slot| self.streams.get(slot)));
        let all_dead = |users: [Option<&super::stream::Users>; 2]| {
            let known = users.into_iter().flatten().filter(|users| !users.is_empty());
            known.clone().count() > 0 && known.clone().all(super::stream::Users::all_dead)
        };
        let client_dead = all_dead([forward.map(|stream| &stream.writers), back.map(|stream| &stream.readers)]);
        let server_dead = all_dead([back.map(|stream| &stream.writers), forward.map(|stream| &stream.readers)]);
        let grace = if record.requests == record.discovers { GRACE_PROBE } else { GRACE };
        if server_dead {
            return Some(since.saturating_add(grace));
        }
        if !client_dead {
            return None;
        }
        if back.is_some_and(|back| !back.readers.is_empty()) {
            return Some(since.saturating_add(grace));
        }
        Some(since.max(record.last_time).saturating_add(GRACE_UNREAD))
    }

    /// A stream has closed, and what it held has been read out. True where that ends its session.
    pub fn ends_session(&self, slot: u32) -> Option<u32> {
        let (session, direction) = self.direction(slot)?;
        let forward = self.sessions.get(session)?.sides.get(side(MessageDirection::ClientToServer)).copied().flatten();
        // An answers' stream may come back: the kernel forgot it, and counts it anew.
        (direction == MessageDirection::ClientToServer || forward.is_none()).then_some(session)
    }

    /// Takes a closed stream out of its session, which goes on.
    pub fn detach(&mut self, slot: u32, sink: &mut dyn Sink) {
        let Some((session, direction)) = self.direction(slot) else { return };
        self.flush(session, sink);
        if let Some(place) = self.sessions.get_mut(session).and_then(|record| record.sides.get_mut(side(direction))) {
            *place = None;
        }
        if let Some(stream) = self.streams.get_mut(slot) {
            stream.state = State::Candidate;
        }
    }

    /// Ends a session: what waits is given out, what is open is abandoned.
    pub fn end_session(&mut self, session: u32, why: &str, sink: &mut dyn Sink) {
        self.flush(session, sink);
        let tunnels = self.sessions.get_mut(session).map(|record| std::mem::take(&mut record.tunnels)).unwrap_or_default();
        for tunnel in tunnels {
            self.end_session(tunnel.session, why, sink);
        }
        let is_probe = self.is_probe(session);
        let now = self.now;
        while let Some(node) = self.exchanges.oldest_of(session) {
            self.abandon(node, now, why, is_probe, sink);
        }
        let Some(mut record) = self.sessions.remove(session) else { return };
        self.sessions_held -= record.charged;
        for slot in record.sides.into_iter().flatten() {
            if let Some(stream) = self.streams.get_mut(slot) {
                stream.state = State::Candidate;
            }
        }
        if record.opened && record.language == Language::Mcp {
            record.info.probe = is_probe;
            self.counters.sessions_closed += 1;
            let peers = (record.info.client, record.info.server);
            self.emitter.give(&mut record, now, peers, Body::Session(SessionState::Closed), &mut self.counters, sink);
        }
    }

    /// True for a session in which the client only asked for the server's revision, and then began another.
    fn is_probe(&self, session: u32) -> bool {
        let Some(record) = self.sessions.get(session) else { return false };
        if record.requests == 0 || record.requests != record.discovers {
            return false;
        }
        let Some(client) = record.info.client else { return false };
        self.sessions.iter().any(|(other, found)| {
            let client_of = || found.sides.first().copied().flatten().and_then(|slot| self.streams.get(slot));
            other != session
                && found.since >= record.since
                && (found.info.client == Some(client)
                    || client_of().is_some_and(|stream| stream.writers.iter().any(|writer| writer == client)))
        })
    }

    /// Forgets streams that nobody has used for long and that are no session's.
    pub fn purge(&mut self) {
        for (slot, stream) in self.streams.iter() {
            let patience = match stream.state {
                State::Bound(..) => continue,
                // Who reads it was told, and is not told again.
                State::Candidate if stream.first_offset.is_none() => IDLE_UNUSED,
                State::Candidate if stream.classifier.is_suspected() => IDLE_SUSPECT,
                State::Candidate | State::Ignored(_) => IDLE,
            };
            if self.now > stream.last_time.saturating_add(patience) {
                self.closing.push_back(Closing::Stream(slot));
            }
        }
    }

    /// Gives up what is worth least until three quarters of the memory suffice: streams of which nothing is known, oldest
    /// first; then the oldest exchanges, where exchanges are most of it; then what is held back.
    pub fn relieve(&mut self, sink: &mut dyn Sink) {
        let enough = self.config.memory / 4 * 3;
        let mut droppable: Vec<(bool, Time, u32)> = self
            .streams
            .iter()
            .filter(|(_, stream)| !matches!(stream.state, State::Bound(..)))
            .map(|(slot, stream)| (stream.classifier.is_suspected(), stream.last_time, slot))
            .collect();
        droppable.sort_unstable();
        let mut dropped = 0;
        for (_, _, slot) in droppable {
            if self.memory().saturating_sub(dropped) <= enough {
                break;
            }
            dropped += super::core::STREAM + self.streams.get(slot).map_or(0, |stream| stream.backlog.held());
            self.counters.given_up_for_memory += 1;
            self.closing.push_back(Closing::Stream(slot));
        }
        let mut over = self.memory().saturating_sub(dropped) > self.config.memory;
        let share = self.config.memory / 2;
        while over && self.exchanges.held() > share / 4 * 3 {
            let Some(node) = self.exchanges.oldest() else { break };
            self.give_up(node, sink);
            over = self.memory().saturating_sub(dropped) > enough;
        }
        if over {
            let holding: Vec<u32> = self.sessions.iter().filter(|(_, record)| record.holds()).map(|(session, _)| session).collect();
            for session in holding {
                self.flush(session, sink);
            }
        }
    }

    /// The last resort: the oldest exchanges whatever their share, and then the sessions that were silent longest.
    pub fn relieve_more(&mut self, sink: &mut dyn Sink) {
        let enough = self.config.memory / 4 * 3;
        while self.memory() > enough
            && let Some(node) = self.exchanges.oldest()
        {
            self.give_up(node, sink);
        }
        let mut sessions: Vec<(Time, u32)> = self
            .sessions
            .iter()
            .filter(|(_, record)| record.info.tunnel.is_none())
            .map(|(session, record)| (record.last_time, session))
            .collect();
        sessions.sort_unstable();
        let mut dropped = 0;
        for (_, session) in sessions {
            if self.memory().saturating_sub(dropped) <= enough {
                break;
            }
            let Some(record) = self.sessions.get(session) else { continue };
            dropped += record.charged + record.sides.iter().flatten().count() * super::core::TRACKED;
            self.counters.given_up_for_memory += 1;
            self.closing.push_back(Closing::Session(session, MEMORY));
        }
    }

    fn give_up(&mut self, node: u32, sink: &mut dyn Sink) {
        let is_call = self.exchanges.get(node).is_some_and(|exchange| exchange.is_call && !exchange.cancelled);
        if is_call {
            self.counters.calls_given_up += 1;
        } else {
            self.counters.requests_given_up += 1;
        }
        self.abandon(node, self.now, MEMORY, false, sink);
    }
}

impl Engine {
    /// Gives up what is worth least until the memory suffices.
    pub(super) fn relieve(&mut self, sink: &mut dyn Sink) {
        self.core.relieve(sink);
        self.drain(sink);
        if !self.core.is_over_memory() {
            return;
        }
        // Values that are half there: their streams go on, with a gap.
        let mut large: Vec<(usize, u32)> =
            (0..).zip(&self.framings).filter_map(|(slot, framing)| Some((framing.as_ref()?.held, slot))).collect();
        large.sort_unstable_by_key(|&(held, slot)| (std::cmp::Reverse(held), slot));
        for (held, slot) in large {
            if held <= FRAMING || !self.core.is_over_memory() {
                break;
            }
            self.drop_framing(slot);
            self.core.gave_up_bytes(slot, (held - FRAMING) as u64, sink);
        }
        if self.core.is_over_memory() {
            self.core.relieve_more(sink);
            self.drain(sink);
        }
    }
}
