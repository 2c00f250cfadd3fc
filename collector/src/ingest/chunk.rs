//! A batch on its way to the subscribers and the store.

use std::sync::Arc;

use bytes::Bytes;

use super::run::Run;
use crate::event::Keys;

/// Bytes that an event costs in memory beside its own.
pub const OVERHEAD: usize = 512;

/// An event with its place among all.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place; grows.
    pub cursor: u64,
    /// What it can be asked for by.
    pub keys: Keys,
    /// Its bytes.
    pub event: Bytes,
}

impl Entry {
    /// Bytes that it costs in memory, about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.event.len() + OVERHEAD
    }
}

/// The new events of one batch. Cursors grow within, and from chunk to chunk.
#[derive(Debug)]
pub struct Chunk {
    /// Whose they are.
    pub run: Arc<Run>,
    /// The events. May be empty, where all were duplicates of another run's.
    pub entries: Vec<Entry>,
    /// The run's highest sequence with this chunk.
    pub sequence: u64,
    /// Sequences that were left out.
    pub missing: u64,
    /// When it came, in nanoseconds since 1970.
    pub received: i64,
}

impl Chunk {
    /// The cursor of the last event; 0 where there is none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.cursor)
    }

    /// Bytes that it costs in memory, about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.entries.iter().map(Entry::size).sum::<usize>() + OVERHEAD
    }
}
