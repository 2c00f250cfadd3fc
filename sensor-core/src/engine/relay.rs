//! Sees that a process passes a session's bytes on (an npx wrapper, `docker run -i`, `tee`, a proxy).
//!
//! What a process writes is compared with what the same process has just read elsewhere: same bytes, same order, a short
//! time apart. A session is a relayed one when its client's messages came that way, all of them so far, and the other
//! session's answers came from it in turn. Both are needed: a program that is a server to one side and a client to the
//! other begins with the very bytes that its own client began with where both use the same library, but answers otherwise.
//!
//! Without a process in between nothing is compared: equal traffic of unrelated sessions stays apart.

use super::backlog::Meta;
use super::core::Core;
use super::session::Record;
use super::stream::State;
use super::track::{Relay, Track};
use crate::event::MessageDirection;
use crate::input::{End, Time};

/// Record time between reading and passing on.
const WINDOW: Time = 5_000_000_000;
/// Messages of a stream that are compared.
const COMPARED: u8 = 8;
/// Messages that suffice where nothing is answered.
const ONE_WAY: u8 = 4;
/// Streams that a process reads from which are compared with.
const SOURCES: usize = 256;

impl Core {
    /// Compares a message with what its writer has read.
    pub fn trace_relay(&mut self, slot: u32, digest: u64, meta: &Meta) {
        let Some(stream) = self.streams.get(slot) else { return };
        let Some(relay) = stream.track.as_ref().map(|track| track.relay) else { return };
        if relay.matched + relay.missed >= COMPARED {
            return;
        }
        let Some(writer) = stream.writers.at(meta.start) else { return };
        let no_earlier = meta.time.saturating_sub(WINDOW);
        let (mut compared, mut source) = (false, None);
        for other in self.used_by(writer, End::Reader).filter(|&other| other != slot).take(SOURCES) {
            let Some(stream) = self.streams.get(other) else { continue };
            let Some(track) = stream.track.as_ref().filter(|track| track.count() > 0) else { continue };
            compared = true;
            let key = (other, stream.serial);
            if relay.from.is_some_and(|from| from != key) {
                continue;
            }
            let from = if relay.matched > 0 { relay.position + 1 } else { 0 };
            if let Some(position) = track.find(digest, from, no_earlier) {
                source = Some((key, position));
                break;
            }
        }
        let Some(track) = self.streams.get_mut(slot).and_then(|stream| stream.track.as_mut()) else { return };
        match source {
            Some((key, position)) => {
                track.relay = Relay { from: Some(key), position, matched: relay.matched + 1, ..relay };
                let sessions = [self.direction(slot), self.direction(key.0)].into_iter().flatten();
                for (session, _) in sessions.collect::<Vec<_>>() {
                    self.check_relay(session);
                }
            }
            None if compared => track.relay.missed += 1,
            None => {}
        }
    }

    fn side_track(&self, record: &Record, direction: MessageDirection) -> Option<(u32, u64, Option<&Track>)> {
        let slot = record.sides.get(super::session::side(direction)).copied().flatten()?;
        let stream = self.streams.get(slot)?;
        Some((slot, stream.serial, stream.track.as_deref()))
    }

    /// The session whose bytes the client's messages of this one are, as far as that alone can tell.
    fn source(&self, record: &Record) -> Option<(u32, Relay)> {
        let (_, _, track) = self.side_track(record, MessageDirection::ClientToServer)?;
        let relay = track?.relay;
        let (slot, serial) = relay.from.filter(|_| relay.matched > 0 && relay.missed == 0)?;
        let stream = self.streams.get(slot).filter(|stream| stream.serial == serial)?;
        match stream.state {
            State::Bound(session, MessageDirection::ClientToServer) => Some((session, relay)),
            _ => None,
        }
    }

    /// True while it may turn out that a session's bytes are another's.
    pub fn may_be_relay(&self, record: &Record) -> bool {
        record.info.relay_of.is_none() && self.source(record).is_some()
    }

    /// Decides whether a session's bytes are another's.
    pub fn check_relay(&mut self, session: u32) {
        let Some(record) = self.sessions.get(session) else { return };
        if record.info.relay_of.is_some() {
            return;
        }
        let Some((first, forward)) = self.source(record) else { return };
        if first == session {
            return;
        }
        let Some(first_record) = self.sessions.get(first) else { return };
        let ours = self.side_track(record, MessageDirection::ServerToClient);
        let theirs = self.side_track(first_record, MessageDirection::ServerToClient);
        let answered = theirs.and_then(|(_, _, track)| track).filter(|track| track.count() > 0);
        let is_relay = match (answered, ours) {
            (Some(track), Some((slot, serial, _))) => {
                track.relay.from == Some((slot, serial)) && track.relay.matched > 0 && track.relay.missed == 0
            }
            // The first session's answers come from elsewhere, or from nowhere yet.
            _ => forward.matched >= ONE_WAY,
        };
        if !is_relay {
            return;
        }
        let id = first_record.info.id;
        self.counters.relays += 1;
        if let Some(record) = self.sessions.get_mut(session) {
            record.info.relay_of = Some(id);
            record.changed = true;
        }
    }
}
