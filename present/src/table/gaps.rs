//! Gaps, told at once and then once a second for each direction of a session, so that a burst of them does not hide everything else.
//!
//! Invariant: every gap that comes in is told, alone or in a sum.

use std::collections::BTreeMap;

use mcp_sensor_proto::v1::{Event, Gap};

use super::peers::Peers;
use crate::{units, words};

/// Nanoseconds between two lines about one direction of a session.
const PAUSE: i64 = 1_000_000_000;

/// Sums that are kept. Gaps of more sessions are told one by one.
const MAX_SUMS: usize = 1024;

/// Bytes of a session's id that count.
const MAX_ID: usize = 64;

/// Gaps of one direction of a session that were not told yet.
pub(super) struct Sum {
    /// Who talks to whom.
    pub(super) peers: Peers,
    until: i64,
    gaps: u64,
    bytes: u64,
    of_unknown_size: u64,
    reasons: Vec<i32>,
}

/// The sums, by session and direction.
#[derive(Default)]
pub(super) struct Gaps {
    sums: BTreeMap<(String, i32), Sum>,
}

impl Sum {
    fn new(peers: Peers, until: i64) -> Self {
        Self { peers, until, gaps: 0, bytes: 0, of_unknown_size: 0, reasons: Vec::new() }
    }

    fn add(&mut self, gap: &Gap) {
        self.gaps += 1;
        self.bytes += gap.bytes.unwrap_or(0);
        self.of_unknown_size += u64::from(gap.bytes.is_none());
        for &reason in &gap.reasons {
            if !self.reasons.contains(&reason) && self.reasons.len() < 16 {
                self.reasons.push(reason);
            }
        }
    }

    /// In words: `1.2 MiB missing: the ring buffer was full`.
    pub(super) fn words(&self) -> String {
        let mut shown = match (self.bytes, self.of_unknown_size) {
            (0, _) => "bytes missing, how many is not known".to_owned(),
            (bytes, 0) => format!("{} missing", units::bytes(bytes)),
            (bytes, _) => format!("{} and more missing", units::bytes(bytes)),
        };
        if self.gaps > 1 {
            shown.push_str(&format!(" in {} gaps", units::grouped(self.gaps)));
        }
        for (position, &reason) in self.reasons.iter().enumerate() {
            shown.push_str(if position == 0 { ": " } else { ", " });
            shown.push_str(words::loss_reason(reason));
        }
        shown
    }
}

impl Gaps {
    /// Takes a gap; gives it back where it is to be told at once.
    pub(super) fn add(&mut self, event: &Event, gap: &Gap, time: i64, peers: Peers) -> Option<Sum> {
        let session = event.session.as_ref().map_or("", |session| session.id.as_str());
        let key = (session.get(..session.floor_char_boundary(MAX_ID)).unwrap_or_default().to_owned(), gap.direction);
        if let Some(sum) = self.sums.get_mut(&key) {
            sum.add(gap);
            return None;
        }
        let mut alone = Sum::new(peers.clone(), 0);
        alone.add(gap);
        if self.sums.len() < MAX_SUMS {
            self.sums.insert(key, Sum::new(peers, time.saturating_add(PAUSE)));
        }
        Some(alone)
    }

    /// The sums that are to be told now.
    pub(super) fn due(&mut self, now: i64) -> Vec<Sum> {
        let mut due = Vec::new();
        self.sums.retain(|_, sum| {
            if sum.until > now {
                return true;
            }
            if sum.gaps == 0 {
                return false;
            }
            let next = Sum::new(sum.peers.clone(), now.saturating_add(PAUSE));
            due.push(std::mem::replace(sum, next));
            true
        });
        due
    }

    /// All that was not told yet.
    pub(super) fn take(&mut self) -> Vec<Sum> {
        std::mem::take(&mut self.sums).into_values().filter(|sum| sum.gaps > 0).collect()
    }
}
