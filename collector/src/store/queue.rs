//! The way to the writer thread.
//!
//! Invariants: the bytes in it are bounded ([`Queue::reserve`] waits for room, pushing does not); work comes out in the order in
//! which it went in; after [`Queue::close`] what is in it still comes out.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ingest::{Chunk, RunId, RunInfo};

/// Bytes that one permit of the semaphore stands for.
const UNIT: usize = 1024;

/// Room in the queue. Given back when the work is done.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "it is held, not read")] Option<OwnedSemaphorePermit>);

/// Something to store.
#[derive(Debug)]
pub enum Work {
    /// Events.
    Chunk(Arc<Chunk>, Permit),
    /// A sensor has connected.
    Hello(RunInfo),
    /// Something came of a run last at this time, in nanoseconds since 1970.
    Seen(RunId, i64),
}

/// See the module.
#[derive(Debug)]
pub struct Queue {
    inner: Mutex<Inner>,
    ready: Condvar,
    room: Arc<Semaphore>,
    units: u32,
}

#[derive(Debug, Default)]
struct Inner {
    works: VecDeque<Work>,
    closed: bool,
}

impl Queue {
    /// With room for so many bytes.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        let units = u32::try_from(max_bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1);
        Self { inner: Mutex::default(), ready: Condvar::new(), room: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// Waits for room. A chunk that is bigger than the queue gets all of it.
    pub async fn reserve(&self, bytes: usize) -> Permit {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.units);
        // The semaphore is never closed.
        Permit(Arc::clone(&self.room).acquire_many_owned(units).await.ok())
    }

    /// Adds a chunk.
    pub fn push_chunk(&self, chunk: Arc<Chunk>, permit: Permit) {
        self.push(Work::Chunk(chunk, permit));
    }

    /// Adds work that takes no room worth counting.
    pub fn push(&self, work: Work) {
        self.lock().works.push_back(work);
        self.ready.notify_one();
    }

    /// No more work will come.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    /// True after [`Queue::close`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Takes work of about so many bytes; waits up to `patience` for the first, and `linger` for more of it. `None` where the
    /// queue is closed and empty.
    pub fn take(&self, max_bytes: usize, patience: Duration, linger: Duration) -> Option<Vec<Work>> {
        let mut inner = self.lock();
        let until = Instant::now() + patience;
        while inner.works.is_empty() {
            if inner.closed {
                return None;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(Vec::new());
            }
            inner = self.ready.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut taken = Vec::new();
        let mut bytes = 0;
        let until = Instant::now() + linger;
        loop {
            while bytes < max_bytes
                && let Some(work) = inner.works.pop_front()
            {
                bytes += match &work {
                    Work::Chunk(chunk, _) => chunk.size(),
                    Work::Hello(_) | Work::Seen(..) => UNIT,
                };
                taken.push(work);
            }
            let left = until.saturating_duration_since(Instant::now());
            if bytes >= max_bytes || inner.closed || left.is_zero() {
                return Some(taken);
            }
            inner = self.ready.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits, unless the queue is closed.
    pub fn pause(&self, duration: Duration) {
        let until = Instant::now() + duration;
        let mut inner = self.lock();
        while !inner.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            inner = self.ready.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
