//! What passed on a stream lately: enough to find its partner by ids, and to see that a process passes bytes on.

use crate::input::Time;

/// Messages that are remembered. A relay may lag behind by as many.
const RECENT: usize = 64;
/// Ids that are remembered in each direction.
const IDS: usize = 16;

/// A message that passed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    /// The first bytes of its SHA-256.
    pub digest: u64,
    /// When.
    pub time: Time,
}

/// Whether a stream's messages are those of another, passed on by the process between them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Relay {
    /// The stream they came from, with its serial number.
    pub from: Option<(u32, u64)>,
    /// Count of the source's message that matched last.
    pub position: u64,
    /// Messages that came from there.
    pub matched: u8,
    /// Messages that did not.
    pub missed: u8,
}

/// What passed lately.
#[derive(Debug)]
pub struct Track {
    recent: [Passed; RECENT],
    count: u64,
    requests: [u64; IDS],
    request_count: usize,
    answers: [u64; IDS],
    answer_count: usize,
    /// What is known of its messages' origin.
    pub relay: Relay,
}

impl Default for Track {
    fn default() -> Self {
        Self {
            recent: [Passed::default(); RECENT],
            count: 0,
            requests: [0; IDS],
            request_count: 0,
            answers: [0; IDS],
            answer_count: 0,
            relay: Relay::default(),
        }
    }
}

/// The part of a digest that is remembered.
#[must_use]
pub fn short(sha256: &[u8; 32]) -> u64 {
    sha256.first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first))
}

impl Track {
    /// Remembers a message.
    pub fn pass(&mut self, digest: u64, time: Time) {
        if let Some(place) = self.recent.get_mut(self.count as usize % RECENT) {
            *place = Passed { digest, time };
        }
        self.count += 1;
    }

    /// Messages that passed.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The first remembered message with this digest at or behind this count; gives its count.
    pub fn find(&self, digest: u64, from: u64, no_earlier: Time) -> Option<u64> {
        let oldest = self.count.saturating_sub(RECENT as u64).max(from);
        (oldest..self.count)
            .find(|&at| self.recent.get(at as usize % RECENT).is_some_and(|passed| passed.digest == digest && passed.time >= no_earlier))
    }

    /// Remembers the id of a request.
    pub fn request(&mut self, id: u64) {
        if let Some(place) = self.requests.get_mut(self.request_count % IDS) {
            *place = id;
        }
        self.request_count += 1;
    }

    /// Remembers the id of an answer.
    pub fn answer(&mut self, id: u64) {
        if let Some(place) = self.answers.get_mut(self.answer_count % IDS) {
            *place = id;
        }
        self.answer_count += 1;
    }

    /// How many of its answers carry ids of the other's requests.
    pub fn answers_to(&self, requests: &Self) -> usize {
        let known = requests.requests.get(..requests.request_count.min(IDS)).unwrap_or_default();
        let mine = self.answers.get(..self.answer_count.min(IDS)).unwrap_or_default();
        mine.iter().filter(|id| known.contains(id)).count()
    }
}
