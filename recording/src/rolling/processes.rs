//! The processes that the next file has to name again.

use crate::item::Item;
use mcp_sensor_proto::v1;
use prost::Message as _;
use rustc_hash::FxHashMap;
use sensor_core::input::{ProcessId, Time};
use std::collections::VecDeque;

/// Ended processes that are named again: messages of theirs may still be told.
const MAX_ENDED: usize = 256;

/// Bytes of all peers together.
const MAX_BYTES: usize = 16 << 20;

/// Processes that may still be told of, with what was recorded of them.
///
/// Bounded by bytes: what came first is given up first.
#[derive(Default)]
pub struct Processes {
    /// Encoded, since there may be many, for long.
    known: FxHashMap<ProcessId, (Time, Vec<u8>)>,
    order: VecDeque<ProcessId>,
    ended: VecDeque<ProcessId>,
    bytes: usize,
}

impl Processes {
    /// Learns from an item.
    pub fn learn(&mut self, item: &Item<'_>) {
        match item {
            Item::Process { time, id, peer } => self.add(*id, *time, peer.encode_to_vec()),
            Item::Exit { process, .. } if self.known.contains_key(process) => {
                self.ended.push_back(*process);
                if self.ended.len() > MAX_ENDED
                    && let Some(oldest) = self.ended.pop_front()
                {
                    self.forget(oldest);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, id: ProcessId, time: Time, peer: Vec<u8>) {
        self.bytes += size(&peer);
        match self.known.insert(id, (time, peer)) {
            Some((_, before)) => self.bytes -= size(&before),
            None => self.order.push_back(id),
        }
        while self.bytes > MAX_BYTES
            && let Some(oldest) = self.order.pop_front()
        {
            self.forget(oldest);
        }
        // What was forgotten stays in the order until its turn, or until that is most of it.
        if self.order.len() > 2 * self.known.len() + 64 {
            self.order.retain(|id| self.known.contains_key(id));
        }
    }

    fn forget(&mut self, id: ProcessId) {
        if let Some((_, peer)) = self.known.remove(&id) {
            self.bytes -= size(&peer);
        }
    }

    /// The items that name them, in the order in which they came.
    pub fn items(&self) -> impl Iterator<Item = Item<'static>> + '_ {
        let known = self.order.iter().filter_map(|id| self.known.get(id).map(|(time, peer)| (*id, *time, peer)));
        known.filter_map(|(id, time, peer)| Some(Item::Process { time, id, peer: v1::Peer::decode(peer.as_slice()).ok()? }))
    }
}

/// What a process takes, about.
const fn size(peer: &[u8]) -> usize {
    peer.len() + 128
}
