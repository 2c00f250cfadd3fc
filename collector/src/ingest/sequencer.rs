//! Where every event gets its place: one lock, one order.
//!
//! A batch that comes in is compared with what came before. By the sequence: what is not above the run's high-water mark came
//! again. By the id: what another run (a sensor that was started anew and sends its spool) told lately came again, too; the
//! store looks at all ids it has, but live subscribers are served before that. What is new gets a cursor and goes to the
//! live log and to the store's queue under the same lock, so both see the same order.
//!
//! Invariants: cursors grow and are given once, see [`crate::store`] for how that holds across restarts; nothing here waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustc_hash::FxHashSet;

use super::chunk::{Chunk, Entry};
use super::run::Run;
use crate::event::Keys;
use crate::live::Log;
use crate::store::{Permit, Queue};

/// Ids that are remembered are this many at least, and twice as many at most.
const REMEMBERED: usize = 128 * 1024;

/// Gives each event its place.
#[derive(Debug)]
pub struct Sequencer {
    inner: Mutex<Inner>,
    log: Arc<Log>,
    queue: Arc<Queue>,
    /// Events that came again.
    duplicates: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    next: u64,
    /// Ids of late, in two generations.
    young: FxHashSet<u128>,
    old: FxHashSet<u128>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Accepted {
    /// Events that are new.
    pub new: u64,
    /// Events that came again.
    pub duplicates: u64,
}

impl Sequencer {
    /// Goes on with cursor `next`.
    #[must_use]
    pub fn new(next: u64, log: Arc<Log>, queue: Arc<Queue>) -> Self {
        let inner = Inner { next, young: FxHashSet::default(), old: FxHashSet::default() };
        Self { inner: Mutex::new(inner), log, queue, duplicates: AtomicU64::new(0) }
    }

    /// Events that came again since the start.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }

    /// Takes the events of one batch, in the order of their sequences. `permit` is the room for them in the store's queue.
    pub fn accept(&self, run: &Arc<Run>, events: Vec<(Keys, Bytes)>, permit: Permit, received: i64) -> Accepted {
        let total = events.len() as u64;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        let before = run.accepted.load(Ordering::Relaxed);
        let (mut sequence, mut missing) = (before, 0);
        let mut entries = Vec::with_capacity(events.len());
        for (keys, event) in events {
            if keys.sequence <= sequence {
                continue;
            }
            missing += keys.sequence - sequence - 1;
            sequence = keys.sequence;
            if inner.old.contains(&keys.id) || !inner.young.insert(keys.id) {
                continue;
            }
            entries.push(Entry { cursor: inner.next, keys, event });
            inner.next += 1;
        }
        if inner.young.len() > REMEMBERED {
            inner.old = std::mem::take(&mut inner.young);
        }
        let accepted = Accepted { new: entries.len() as u64, duplicates: total - entries.len() as u64 };
        self.duplicates.fetch_add(accepted.duplicates, Ordering::Relaxed);
        if sequence > before {
            run.accepted.store(sequence, Ordering::Relaxed);
            let chunk = Arc::new(Chunk { run: Arc::clone(run), entries, sequence, missing, received });
            if !chunk.entries.is_empty() {
                self.log.push(Arc::clone(&chunk));
            }
            self.queue.push_chunk(chunk, permit);
        }
        accepted
    }
}
