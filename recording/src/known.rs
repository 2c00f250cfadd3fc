//! What the comments of packets name: processes and the ends of streams, as far as the items before told.
//!
//! Bounded: it only serves people, so where there are too many, comments say less.

use crate::item::Item;
use mcp_sensor_proto::v1;
use present::sanitize::sanitize;
use rustc_hash::FxHashMap;
use sensor_core::input::{End, ProcessId, StreamKey};
use std::collections::VecDeque;
use std::fmt;

/// Processes with a name at once, and streams with known ends.
const MAX_PROCESSES: usize = 16_384;
const MAX_STREAMS: usize = 16_384;

/// Ended processes that keep their name, for messages that are told late.
const MAX_ENDED: usize = 1024;

/// Characters of a program's path.
const MAX_NAME: usize = 120;

/// The processes at the ends of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    pub writer: Option<ProcessId>,
    pub reader: Option<ProcessId>,
    /// The end at which bytes were taken last.
    pub taken: Option<End>,
}

/// What is known.
#[derive(Default)]
pub struct Known {
    names: FxHashMap<ProcessId, Box<str>>,
    ended: VecDeque<ProcessId>,
    streams: FxHashMap<StreamKey, Ends>,
}

impl Known {
    /// Learns from an item.
    pub fn learn(&mut self, item: &Item<'_>) {
        match item {
            Item::Process { id, peer, .. } => self.name(*id, peer),
            Item::Chunk(chunk) => self.used(chunk.stream, chunk.end, chunk.process, true),
            Item::Passed(passed) => self.used(passed.stream, passed.end, passed.process, true),
            Item::Touch(touch) => self.used(touch.stream, touch.end, touch.process, false),
            Item::Exit { process, .. } => {
                self.ended.push_back(*process);
                if self.ended.len() > MAX_ENDED
                    && let Some(oldest) = self.ended.pop_front()
                {
                    self.names.remove(&oldest);
                }
            }
            _ => {}
        }
    }

    fn name(&mut self, id: ProcessId, peer: &v1::Peer) {
        if self.names.len() < MAX_PROCESSES || self.names.contains_key(&id) {
            let name: String = sanitize(&peer.exe).chars().take(MAX_NAME).collect();
            self.names.insert(id, name.into_boxed_str());
        }
    }

    fn used(&mut self, stream: StreamKey, end: End, process: ProcessId, taken: bool) {
        if self.streams.len() >= MAX_STREAMS && !self.streams.contains_key(&stream) {
            self.streams.clear();
        }
        let ends = self.streams.entry(stream).or_default();
        match end {
            End::Writer => ends.writer = Some(process),
            End::Reader => ends.reader = Some(process),
        }
        if taken {
            ends.taken = Some(end);
        }
    }

    /// The ends of a stream.
    pub fn ends(&self, stream: &StreamKey) -> Ends {
        self.streams.get(stream).copied().unwrap_or_default()
    }

    /// A process in words.
    pub fn process(&self, id: ProcessId) -> Named<'_> {
        Named { pid: id.pid, name: self.names.get(&id).map_or("", |name| name) }
    }
}

/// A process in words: `4711 /usr/bin/node`.
pub struct Named<'a> {
    pid: u32,
    name: &'a str,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, name } = self;
        if name.is_empty() { write!(out, "process {pid}") } else { write!(out, "process {pid} {name}") }
    }
}
