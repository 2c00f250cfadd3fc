//! One subscriber's place among all events.
//!
//! It reads the store page by page until the live log has what comes next, and the log from there. The two overlap: all that
//! is not stored yet is in the log (see [`super::log`]), so nothing is lost at the seam, and the place is one cursor, so
//! nothing comes twice.
//!
//! Whoever reads too slowly falls out of the log. Before it has caught up once, that means reading from the store again;
//! after, it is told how many events that it wanted it has missed, counted in the store, and goes on with what the log has.
//!
//! Invariants: cursors grow; the stream ends only with an error; while nobody polls it costs nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mcp_sensor_proto::v1::Missed;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::log::{Log, Next};
use crate::event::Filter;
use crate::event::wire::Item;
use crate::ingest::Chunk;
use crate::store::{PageRequest, Store, StoreError};

/// Events that are read from the store at once.
const PAGE: usize = 1_000;

/// Where to begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// With what comes from now on.
    Now,
    /// With the events of this time and later, in nanoseconds since 1970.
    From(i64),
    /// After an event.
    After(u64),
}

/// A subscriber's place.
#[derive(Debug)]
pub struct Subscription {
    log: Arc<Log>,
    head: watch::Receiver<u64>,
    store: Store,
    filter: Arc<Filter>,
    from: Option<i64>,
    /// Everything up to here was sent, or is not wanted.
    place: u64,
    /// It has caught up once.
    live: bool,
    /// Items read from the store that wait to be sent.
    page: std::vec::IntoIter<(u64, bytes::Bytes)>,
    /// The chunk that is being sent, and the position in it.
    chunk: Option<(Arc<Chunk>, usize)>,
    stop: CancellationToken,
    _counted: Counted,
}

/// Counts a subscriber as long as it lives.
#[derive(Debug)]
pub struct Counted(Arc<AtomicU32>);

impl Counted {
    /// One more; `None` where there are `limit` already.
    pub fn new(counter: &Arc<AtomicU32>, limit: u32) -> Option<Self> {
        let more = |count: u32| (count < limit).then_some(count + 1);
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(Arc::clone(counter)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Subscription {
    /// Begins at `start`.
    #[must_use]
    pub fn new(log: Arc<Log>, store: Store, filter: Filter, start: Start, stop: CancellationToken, counted: Counted) -> Self {
        let head = log.watch();
        let (place, from) = match start {
            Start::Now => (log.head(), None),
            Start::From(time) => (0, Some(time)),
            Start::After(cursor) => (cursor, None),
        };
        let (page, chunk) = (Vec::new().into_iter(), None);
        Self { log, head, store, filter: Arc::new(filter), from, place, live: false, page, chunk, stop, _counted: counted }
    }

    /// As a stream.
    pub fn into_stream(self) -> impl futures_util::Stream<Item = Result<Item, Status>> + Send {
        futures_util::stream::unfold(Some(self), |state| async move {
            let mut subscription = state?;
            match subscription.next().await {
                Ok(item) => Some((Ok(item), Some(subscription))),
                Err(status) => Some((Err(status), None)),
            }
        })
    }

    /// The next item; waits for it.
    ///
    /// # Errors
    /// The collector stops, or the store cannot be read.
    pub async fn next(&mut self) -> Result<Item, Status> {
        loop {
            if let Some((cursor, event)) = self.page.next() {
                self.place = cursor;
                return Ok(Item::Event(event, cursor));
            }
            if let Some(item) = self.next_of_chunk() {
                return Ok(item);
            }
            if self.stop.is_cancelled() {
                return Err(stopping());
            }
            // Before the log is asked, so that no change is slept through.
            self.head.borrow_and_update();
            match self.log.after(self.place) {
                Next::Chunk(chunk) => {
                    let position = chunk.entries.partition_point(|entry| entry.cursor <= self.place);
                    self.chunk = Some((chunk, position));
                }
                Next::Gone(start) if self.live => {
                    if let Some(missed) = self.missed(start).await? {
                        return Ok(missed);
                    }
                }
                Next::Gone(_) => self.read_store().await?,
                Next::Head if !self.live => {
                    self.live = true;
                    return Ok(Item::Live(self.place));
                }
                Next::Head => tokio::select! {
                    // The sender lives as long as the log, which is ours.
                    _ = self.head.changed() => {}
                    () = self.stop.cancelled() => {}
                },
            }
        }
    }

    fn next_of_chunk(&mut self) -> Option<Item> {
        let (chunk, position) = self.chunk.as_mut()?;
        while let Some(entry) = chunk.entries.get(*position) {
            *position += 1;
            self.place = entry.cursor;
            if self.from.is_none_or(|from| entry.keys.time >= from) && self.filter.matches(&entry.keys) {
                return Some(Item::Event(entry.event.clone(), entry.cursor));
            }
        }
        self.chunk = None;
        None
    }

    async fn read_store(&mut self) -> Result<(), Status> {
        // Read before the store is: all up to here is visible in it.
        let stored = self.log.stored();
        let request = PageRequest {
            filter: Arc::clone(&self.filter),
            from: self.from,
            to: None,
            after: self.place,
            before: u64::MAX,
            limit: PAGE,
            descending: false,
        };
        let page = self.store.page(request).await.map_err(|error| failed(&error))?;
        self.place = match page.next {
            // The place itself moves as the items are sent.
            Some(_) if !page.events.is_empty() => self.place,
            Some(next) => next,
            None if page.events.is_empty() => self.place.max(stored),
            None => self.place,
        };
        self.page = page.events.into_iter();
        Ok(())
    }

    /// What was missed up to `start`. `None` where nothing of it was wanted.
    async fn missed(&mut self, start: u64) -> Result<Option<Item>, Status> {
        let counted = self.store.count(Arc::clone(&self.filter), self.from, self.place, start).await;
        self.place = start;
        let missed = counted.map_err(|error| failed(&error))?;
        Ok(missed.map(|(events, first_cursor, last_cursor)| Item::Missed(Missed { events, first_cursor, last_cursor })))
    }
}

/// How a stream ends where the collector stops.
#[must_use]
pub fn stopping() -> Status {
    Status::unavailable("the collector stops")
}

fn failed(error: &StoreError) -> Status {
    tracing::error!(error = %error, "the store cannot be read");
    Status::internal("the store cannot be read; the collector's log tells why")
}
