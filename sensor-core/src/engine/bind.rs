//! Finds the two streams of a session.
//!
//! A TCP connection and a pseudo-terminal have both directions on one object. A pipe has one direction, and so has in
//! practice each of the socket pairs that Node and Bun make for a child's stdin and stdout: there the processes tell. What
//! the client writes the server reads, and the other way round; each end may have several processes (pre-forked workers).
//!
//! A pair both of whose ends agree is bound at once. One of whose ends only one is known is bound after a moment, for the
//! news of a reader may come late, and one that contradicts (a `tee` before the server) after a longer one; both only
//! if the ids of answers match those of requests. Among several, matching ids count first, then the distance of
//! inode numbers, then kinship of the processes.
//!
//! Bias: a stream without its partner is still reported, so binding rather waits than guesses.

use super::backlog::Waiting;
use super::core::Core;
use super::session::{Phase, direction_of, reverse, side};
use super::stream::{State, Stream};
use crate::event::{MessageDirection, Sink};
use crate::input::{End, LossReasons, StreamKey, Time, Verdict};
use crate::mcp::classify::Reason;

/// Record time after which one known end is enough.
const HALF: Time = 300_000_000;
/// Record time after which an end that contradicts is put up with.
const AGAINST: Time = 2_000_000_000;
/// Record times after which it is looked once more: when one known end is enough, and when a contradicting one is put up with.
pub const PATIENCE: [Time; 2] = [HALF, AGAINST];
/// Record time for which a stream looks for its partner.
pub const LOOKING: Time = 3_000_000_000;
/// Streams that are looked at in one search.
const SEARCHED: usize = 4096;

/// How well two streams go together; the greater the better.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Score {
    ends: u8,
    ids: usize,
    nearness: u64,
    kin: bool,
}

/// What the processes at two ends that should be one say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Link {
    Agrees,
    Unknown,
    Contradicts,
}

fn link(one: &super::stream::Users, other: &super::stream::Users) -> Link {
    if one.shares(other) {
        Link::Agrees
    } else if one.is_empty() || other.is_empty() {
        Link::Unknown
    } else {
        Link::Contradicts
    }
}

impl Core {
    /// True for one direction of an object whose other direction has carried bytes.
    fn is_duplex(&self, slot: u32) -> bool {
        let Some(stream) = self.streams.get(slot) else { return false };
        !stream.is_one_way()
            || self.reverse_of(slot).and_then(|reverse| self.streams.get(reverse)).is_some_and(|reverse| reverse.first_offset.is_some())
    }

    /// Streams that share a process with this one in the way that a session's two streams do.
    fn partners(&self, slot: u32) -> Vec<u32> {
        let Some(stream) = self.streams.get(slot) else { return Vec::new() };
        let readers = stream.readers.iter().flat_map(|process| self.used_by(process, End::Writer));
        let writers = stream.writers.iter().flat_map(|process| self.used_by(process, End::Reader));
        let mut found: Vec<u32> = readers.chain(writers).filter(|&other| other != slot).take(SEARCHED).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn first_time(&self, stream: &Stream) -> Time {
        if let State::Bound(session, _) = stream.state
            && let Some(record) = self.sessions.get(session)
        {
            return record.since;
        }
        stream.backlog.first_message().map_or(self.now, |meta| meta.time)
    }

    fn score(&self, client: &Stream, server: &Stream) -> Option<Score> {
        let links = [link(&client.readers, &server.writers), link(&client.writers, &server.readers)];
        let agreeing = links.iter().filter(|&&link| link == Link::Agrees).count();
        let contradicted = links.contains(&Link::Contradicts);
        let ids = match (&client.track, &server.track) {
            (Some(client), Some(server)) => server.answers_to(client),
            _ => 0,
        };
        let waited = self.now.saturating_sub(self.first_time(client).max(self.first_time(server)));
        let is_enough = match agreeing {
            2 => true,
            1 if ids == 0 => false,
            1 if contradicted => waited >= AGAINST,
            1 => waited >= HALF,
            _ => false,
        };
        let nearness = match (client.key, server.key) {
            (StreamKey::Pipe { inode: one, .. }, StreamKey::Pipe { inode: other, .. }) => u64::MAX - one.abs_diff(other),
            _ => 0,
        };
        let kin = client.writers.last().zip(server.writers.last()).is_some_and(|(client, server)| self.is_kin(client, server));
        is_enough.then_some(Score { ends: agreeing as u8, ids, nearness, kin })
    }

    /// The session that a bound stream is the only stream of.
    fn lone(&self, slot: u32) -> Option<(u32, MessageDirection)> {
        let (session, direction) = self.direction(slot)?;
        let record = self.sessions.get(session)?;
        record.sides.get(side(reverse(direction)))?.is_none().then_some((session, direction))
    }

    /// True where a stream can be the other direction of one that goes this way.
    fn could_join(&self, slot: u32, direction: MessageDirection) -> bool {
        let Some(stream) = self.streams.get(slot) else { return false };
        if self.is_duplex(slot) {
            return false;
        }
        match stream.state {
            State::Candidate => stream.classifier.rpc() > 0 && stream.classifier.role().is_none_or(|role| direction_of(role) != direction),
            State::Bound(..) => self.lone(slot).is_some_and(|(_, other)| other != direction),
            // What was taken for a log of a session turns out to be its client's side: its answers have come.
            State::Ignored(reason) => reason == Reason::Log && direction == MessageDirection::ServerToClient,
        }
    }

    /// The best partner of a stream that goes this way (`None`: whichever fits the partner).
    fn best(&self, slot: u32, direction: Option<MessageDirection>) -> Option<u32> {
        if self.is_duplex(slot) {
            return None;
        }
        let stream = self.streams.get(slot)?;
        let mut best: Option<(Score, u32)> = None;
        for other in self.partners(slot) {
            let partner = self.streams.get(other)?;
            let direction = match direction {
                Some(direction) => direction,
                None => match self.lone(other) {
                    Some((_, theirs)) => reverse(theirs),
                    None => continue,
                },
            };
            if !self.could_join(other, direction) {
                continue;
            }
            let (client, server) = match direction {
                MessageDirection::ClientToServer => (stream, partner),
                MessageDirection::ServerToClient => (partner, stream),
            };
            if let Some(score) = self.score(client, server)
                && best.is_none_or(|(known, _)| score > known)
            {
                best = Some((score, other));
            }
        }
        best.map(|(_, slot)| slot)
    }

    /// Takes a stream that was just confirmed into a session that lacks it, if there is one.
    pub fn join(&mut self, slot: u32, direction: MessageDirection, sink: &mut dyn Sink) -> bool {
        if self.join_by_key(slot, sink) {
            return true;
        }
        let Some(other) = self.best(slot, Some(direction)) else { return false };
        let Some((session, _)) = self.lone(other) else { return false };
        self.attach(slot, session, direction, sink);
        self.pump(session, sink);
        true
    }

    /// Takes a stream into the session of the other direction of its object.
    pub fn join_by_key(&mut self, slot: u32, sink: &mut dyn Sink) -> bool {
        let Some(stream) = self.streams.get(slot) else { return false };
        if matches!(stream.state, State::Bound(..)) || stream.first_offset.is_none() {
            return false;
        }
        let Some(back) = self.reverse_of(slot) else { return false };
        if stream.classifier.rpc() > 0 && self.streams.get(back).is_some_and(|back| back.state == State::Ignored(Reason::Log)) {
            // What was taken for a log turns out to be one side of a conversation.
            self.reconsider(back);
            self.tell(back, Verdict::Capture, sink);
            return false;
        }
        let Some((session, direction)) = self.lone(back) else { return false };
        self.attach(slot, session, reverse(direction), sink);
        self.pump(session, sink);
        true
    }

    /// A stream that is not known yet has shown JSON-RPC: perhaps a session lacks it. True where one did.
    pub fn offer(&mut self, slot: u32, _last: bool, sink: &mut dyn Sink) {
        let Some(stream) = self.streams.get(slot) else { return };
        let direction = stream.classifier.role().map(direction_of);
        let Some(other) = self.best(slot, direction) else { return };
        let Some((session, theirs)) = self.lone(other) else { return };
        self.attach(slot, session, reverse(theirs), sink);
        self.pump(session, sink);
    }

    /// Looks for the other stream of a session that has only this one.
    pub fn look_for_partner(&mut self, session: u32, slot: u32, sink: &mut dyn Sink) {
        let Some((_, direction)) = self.lone(slot) else { return };
        let Some(other) = self.best(slot, Some(direction)) else {
            self.recall_answers(slot, sink);
            return;
        };
        let Some((others, _)) = self.lone(other) else {
            self.attach(other, session, reverse(direction), sink);
            return;
        };
        // Each had a session of its own: the one that was told of stays.
        let is_told = |core: &Self, session| core.sessions.get(session).is_some_and(|record| record.phase == Phase::Open);
        if !is_told(self, others) {
            self.dissolve(others);
            self.attach(other, session, reverse(direction), sink);
        } else if !is_told(self, session) {
            self.dissolve(session);
            self.attach(slot, others, direction, sink);
            self.pump(others, sink);
        }
    }

    /// Makes a stream one direction of a session.
    fn attach(&mut self, slot: u32, session: u32, direction: MessageDirection, sink: &mut dyn Sink) {
        let now = self.now;
        let Some(record) = self.sessions.get_mut(session) else { return };
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let Some(place) = record.sides.get_mut(side(direction)) else { return };
        *place = Some(slot);
        record.dead_since = None;
        stream.state = State::Bound(session, direction);
        sink.bound(stream.key, record.info.id);
        let dropped = std::mem::take(&mut stream.backlog.dropped);
        if dropped > 0 {
            let time = stream.backlog.first().map_or(now, Waiting::time);
            let item = Waiting::Gap { time, bytes: Some(dropped), reasons: LossReasons::MEMORY };
            self.backlog_held += item.held();
            stream.backlog.push_front(item);
        }
        self.tell(slot, Verdict::Capture, sink);
        self.is_due(session);
        self.check_relay(session);
    }

    /// Takes apart a session of which nothing was told.
    pub fn dissolve(&mut self, session: u32) {
        let Some(record) = self.sessions.remove(session) else { return };
        self.sessions_held -= record.charged;
        for slot in record.sides.into_iter().flatten() {
            if let Some(stream) = self.streams.get_mut(slot) {
                stream.state = State::Candidate;
            }
        }
    }

    /// True where a stream may carry the answers of a session whose answers nobody has seen: a server may print for long
    /// before it answers, so such a stream is not given up.
    pub fn may_be_answers(&self, slot: u32) -> bool {
        if self.is_duplex(slot) {
            return self.reverse_of(slot).is_some_and(|reverse| self.direction(reverse).is_some());
        }
        self.partners(slot).into_iter().any(|other| self.lone(other).is_some() && self.fits(slot, other))
    }

    /// Takes streams that were given up for possible again, because a session lacks one that its processes use like this.
    pub fn recall_answers(&mut self, slot: u32, sink: &mut dyn Sink) {
        if self.lone(slot).is_none() || self.is_duplex(slot) {
            return;
        }
        for other in self.partners(slot) {
            let given_up =
                self.streams.get(other).is_some_and(|stream| matches!(stream.state, State::Ignored(reason) if reason != Reason::Log));
            if given_up && !self.is_duplex(other) && self.fits(slot, other) {
                self.reconsider(other);
                self.tell(other, Verdict::Capture, sink);
            }
        }
    }

    /// True where the processes of two streams agree at one end at least, and contradict at none.
    fn fits(&self, one: u32, other: u32) -> bool {
        let (Some(one), Some(other)) = (self.streams.get(one), self.streams.get(other)) else { return false };
        let links = [link(&one.readers, &other.writers), link(&one.writers, &other.readers)];
        links.contains(&Link::Agrees) && !links.contains(&Link::Contradicts)
    }

    /// Looks once more for the partners of streams that found none at once.
    pub fn look_again(&mut self, sink: &mut dyn Sink) {
        let mut suspects = std::mem::take(&mut self.suspects);
        suspects.retain(|&slot| {
            let Some(stream) = self.streams.get(slot) else { return false };
            if stream.state != State::Candidate || stream.attempts == 0 {
                return false;
            }
            let waited = self.now.saturating_sub(self.first_time(stream));
            // Twice is enough: when one known end suffices, and when a contradicting one is put up with.
            let due = PATIENCE.get(usize::from(stream.attempts) - 1).is_some_and(|&after| waited >= after);
            if due {
                if let Some(stream) = self.streams.get_mut(slot) {
                    stream.attempts += 1;
                }
                self.offer(slot, true, sink);
            }
            waited < LOOKING
        });
        self.suspects.append(&mut suspects);
    }
}
