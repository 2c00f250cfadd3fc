//! The newest events, one copy for all subscribers.
//!
//! A subscriber has a place (a cursor) and reads from there; who does not read costs nothing but that place. What falls out
//! at the old end is in the store.
//!
//! Invariants: chunks are in the order of cursors; a chunk leaves only after it was committed to the store, so that
//! everything above [`Log::start`] is here and everything up to it is there; the bytes are bounded by the limit and what the
//! store's queue may hold.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::ingest::Chunk;

/// See the module.
#[derive(Debug)]
pub struct Log {
    inner: Mutex<Inner>,
    /// The cursor of the newest event.
    head: watch::Sender<u64>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Inner {
    chunks: VecDeque<(Arc<Chunk>, usize)>,
    bytes: usize,
    /// What comes after this cursor is here.
    start: u64,
    /// What comes up to this cursor is stored.
    committed: u64,
}

/// What comes after a place.
#[derive(Clone, Debug)]
pub enum Next {
    /// A chunk with events after it; some may stand before it.
    Chunk(Arc<Chunk>),
    /// Nothing yet.
    Head,
    /// What came next is here no more: all up to this cursor is in the store.
    Gone(u64),
}

impl Log {
    /// An empty log behind the event with cursor `head`, all of which is stored.
    #[must_use]
    pub fn new(head: u64, max_bytes: usize) -> Self {
        let inner = Inner { chunks: VecDeque::new(), bytes: 0, start: head, committed: head };
        Self { inner: Mutex::new(inner), head: watch::Sender::new(head), max_bytes }
    }

    /// Adds a chunk that is not empty, and wakes who waits.
    pub fn push(&self, chunk: Arc<Chunk>) {
        let last = chunk.last();
        let size = chunk.size();
        {
            let mut inner = self.lock();
            inner.bytes += size;
            inner.chunks.push_back((chunk, size));
            self.evict(&mut inner);
        }
        self.head.send_replace(last);
    }

    /// Everything up to `cursor` is stored.
    pub fn committed(&self, cursor: u64) {
        let mut inner = self.lock();
        inner.committed = inner.committed.max(cursor);
        self.evict(&mut inner);
    }

    /// The cursor up to which everything is stored.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.lock().committed
    }

    /// The cursor of the newest event.
    #[must_use]
    pub fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// What comes after this cursor is here.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.lock().start
    }

    /// Tells when something is added.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// What comes after `cursor`.
    #[must_use]
    pub fn after(&self, cursor: u64) -> Next {
        let inner = self.lock();
        if cursor < inner.start {
            return Next::Gone(inner.start);
        }
        let position = inner.chunks.partition_point(|(chunk, _)| chunk.last() <= cursor);
        inner.chunks.get(position).map_or(Next::Head, |(chunk, _)| Next::Chunk(Arc::clone(chunk)))
    }

    fn evict(&self, inner: &mut Inner) {
        while inner.bytes > self.max_bytes
            && let Some((oldest, size)) = inner.chunks.front()
            && oldest.last() <= inner.committed
        {
            inner.start = oldest.last();
            inner.bytes -= size;
            inner.chunks.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Keys;
    use crate::ingest::{Entry, Run, RunId};

    fn chunk(cursors: std::ops::RangeInclusive<u64>) -> Arc<Chunk> {
        let run = Arc::new(Run::new(RunId(1), "host".into(), 0));
        let entries = cursors.map(|cursor| Entry { cursor, keys: Keys::default(), event: vec![0; 100].into() }).collect();
        Arc::new(Chunk { run, entries, sequence: 1, missing: 0, received: 0 })
    }

    #[test]
    fn what_is_not_stored_stays_whatever_its_size() {
        let log = Log::new(10, 1_000);
        for first in [11, 21, 31] {
            log.push(chunk(first..=first + 9));
        }
        assert_eq!(log.start(), 10);
        assert!(matches!(log.after(10), Next::Chunk(chunk) if chunk.last() == 20));
        log.committed(30);
        assert_eq!(log.start(), 30);
        assert!(matches!(log.after(29), Next::Gone(30)));
        assert!(matches!(log.after(35), Next::Chunk(chunk) if chunk.last() == 40));
        assert!(matches!(log.after(40), Next::Head));
    }
}
