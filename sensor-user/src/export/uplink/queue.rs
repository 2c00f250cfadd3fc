//! What waits for the collector: encoded events, from when they are made until they are acknowledged.
//!
//! Pure and synchronous: no clock, no network, no log. What it decides is a function of the calls made to it.
//!
//! Events are *ready* first, *under way* once [`Queue::take`] has given them out, and gone once they are acknowledged.
//! [`Queue::disconnected`] makes everything under way ready again. The cursor parts the two: sequences up to it are under way.
//!
//! Invariants:
//! - events pushed = acknowledged + held + dropped, in number and in bytes, after every call ([`Queue::accounting`]);
//! - what is held is never more than [`Limits`]; what must go is the least severe, of those what is ready before what is
//!   under way (which the collector may have already), and of those the oldest;
//! - sequences are given out in growing order, each at most once a connection;
//! - bytes under way are within the collector's window and the queue's own limit, but for a single event alone;
//! - a collector's words change nothing that they should not: see [`Nonsense`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use thiserror::Error;

/// Bytes in a batch where the collector does not say; also the most that a batch has. Small enough that an
/// acknowledgement comes soon, big enough to be compressed well.
const BATCH_BYTES: u64 = 256 << 10;
/// A collector that takes no event of this size takes next to none: it is not obeyed.
const LEAST_EVENT_BYTES: u64 = 4 << 10;

/// What may be held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of encoded events.
    pub bytes: usize,
    /// Events.
    pub events: usize,
}

impl Limits {
    /// Limits for so many bytes. So many events that a queue full of the smallest keeps its books in as much memory again.
    #[must_use]
    pub const fn of_bytes(bytes: usize) -> Self {
        let events = bytes / 256;
        Self { bytes, events: if events == 0 { 1 } else { events } }
    }
}

/// What a collector grants: see `Welcome` in the proto. 0 of the latter two means that it does not say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Grant {
    /// Bytes that may be under way.
    pub window_bytes: u64,
    /// Bytes of one event.
    pub max_event_bytes: u64,
    /// Bytes of one batch.
    pub max_batch_bytes: u64,
}

/// Why an event was dropped.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Cause {
    /// The queue was full.
    Full,
    /// It is bigger than the collector takes, or than the whole queue.
    TooBig,
    /// Its sequence does not follow those before: a mistake of the caller.
    Disorder,
}

/// An event that was dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Dropped {
    /// Its sequence.
    pub sequence: u64,
    /// Its severity: a number of the proto's `Severity`.
    pub severity: u8,
    /// Its size.
    pub bytes: u64,
    /// Why.
    pub cause: Cause,
}

/// What a collector must not say. The queue stays as it was.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Nonsense {
    /// More acknowledged than was sent.
    #[error("it acknowledged event {acknowledged}, and {sent} is the last that was sent")]
    BeyondSent {
        /// The sequence that it acknowledged.
        acknowledged: u64,
        /// The highest that it can have.
        sent: u64,
    },
    /// No event fits.
    #[error("it takes events of at most {0} bytes, and needs to take {LEAST_EVENT_BYTES}")]
    TinyEvents(u64),
    /// An acknowledgement without a connection.
    #[error("it acknowledged event {0} before it said welcome")]
    NotConnected(u64),
}

/// A number of events and the bytes in them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Amount {
    /// Events.
    pub events: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Amount {
    /// Adds one event.
    pub const fn add(&mut self, bytes: u64) {
        self.events += 1;
        self.bytes += bytes;
    }

    const fn take(&mut self, bytes: u64) {
        self.events -= 1;
        self.bytes -= bytes;
    }
}

/// Where all events went. `pushed` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Accounting {
    /// Came in.
    pub pushed: Amount,
    /// The collector has them.
    pub acknowledged: Amount,
    /// Are here.
    pub held: Amount,
    /// Are lost.
    pub dropped: Amount,
}

struct Entry {
    severity: u8,
    bytes: Arc<[u8]>,
}

/// The queue.
pub struct Queue {
    limits: Limits,
    /// Absent while there is no connection.
    grant: Option<Grant>,
    entries: BTreeMap<u64, Entry>,
    /// The same events in the order in which they go: severity, sequence.
    classes: BTreeSet<(u8, u64)>,
    /// What is under way on this connection, dropped since or not: the collector counts it until it acknowledges it.
    under_way: VecDeque<(u64, u64)>,
    under_way_bytes: u64,
    cursor: u64,
    acknowledged: u64,
    /// The highest sequence ever given out.
    sent: u64,
    newest: u64,
    accounting: Accounting,
}

impl Queue {
    /// An empty queue without a connection.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            grant: None,
            entries: BTreeMap::new(),
            classes: BTreeSet::new(),
            under_way: VecDeque::new(),
            under_way_bytes: 0,
            cursor: 0,
            acknowledged: 0,
            sent: 0,
            newest: 0,
            accounting: Accounting { pushed: NONE, acknowledged: NONE, held: NONE, dropped: NONE },
        }
    }

    /// Takes an event; gives what had to go for it, which may be the event itself. Sequences grow.
    pub fn push(&mut self, sequence: u64, severity: u8, bytes: Arc<[u8]>) -> Vec<Dropped> {
        let length = size(&bytes);
        self.accounting.pushed.add(length);
        let cause = if sequence <= self.newest {
            Some(Cause::Disorder)
        } else {
            self.newest = sequence;
            (bytes.len() > self.limits.bytes).then_some(Cause::TooBig)
        };
        if let Some(cause) = cause {
            self.accounting.dropped.add(length);
            return vec![Dropped { sequence, severity, bytes: length, cause }];
        }
        self.accounting.held.add(length);
        self.entries.insert(sequence, Entry { severity, bytes });
        self.classes.insert((severity, sequence));
        let mut dropped = Vec::new();
        while self.is_over() {
            let Some(victim) = self.victim() else { break };
            dropped.extend(self.drop_one(victim, Cause::Full));
        }
        dropped
    }

    /// A connection is there, and the collector has everything up to `acknowledged`. Everything behind is ready.
    ///
    /// # Errors
    /// Where it says what cannot be.
    pub fn connected(&mut self, acknowledged: u64, grant: Grant) -> Result<(), Nonsense> {
        self.disconnected();
        if acknowledged > self.sent {
            return Err(Nonsense::BeyondSent { acknowledged, sent: self.sent });
        }
        if (1..LEAST_EVENT_BYTES).contains(&grant.max_event_bytes) {
            return Err(Nonsense::TinyEvents(grant.max_event_bytes));
        }
        self.grant = Some(grant);
        self.remove_until(acknowledged);
        self.cursor = self.acknowledged;
        Ok(())
    }

    /// The connection is gone: what was under way is ready again.
    pub fn disconnected(&mut self) {
        self.grant = None;
        self.cursor = self.acknowledged;
        self.under_way.clear();
        self.under_way_bytes = 0;
    }

    /// The collector has everything up to `sequence`; from now on so many bytes may be under way. An acknowledgement older
    /// than the last is none.
    ///
    /// # Errors
    /// Where it says what cannot be.
    pub fn acknowledge(&mut self, sequence: u64, window_bytes: u64) -> Result<(), Nonsense> {
        let Some(grant) = &mut self.grant else { return Err(Nonsense::NotConnected(sequence)) };
        if sequence > self.cursor {
            return Err(Nonsense::BeyondSent { acknowledged: sequence, sent: self.cursor });
        }
        grant.window_bytes = window_bytes;
        while let Some((first, bytes)) = self.under_way.front().copied()
            && first <= sequence
        {
            self.under_way.pop_front();
            self.under_way_bytes -= bytes;
        }
        self.remove_until(sequence);
        Ok(())
    }

    /// The next batch that may go, and what was dropped because the collector does not take it. Empty where there is none
    /// or the window is closed.
    pub fn take(&mut self) -> (Vec<Arc<[u8]>>, Vec<Dropped>) {
        let (mut batch, mut dropped) = (Vec::new(), Vec::new());
        let Some(grant) = self.grant else { return (batch, dropped) };
        let window = grant.window_bytes.min(self.limits.bytes as u64);
        let batch_limit = if grant.max_batch_bytes == 0 { BATCH_BYTES } else { grant.max_batch_bytes.min(BATCH_BYTES) };
        let mut batch_bytes = 0;
        while let Some((sequence, entry)) = self.next_ready() {
            let length = size(&entry.bytes);
            if grant.max_event_bytes != 0 && length > grant.max_event_bytes {
                dropped.extend(self.drop_one(sequence, Cause::TooBig));
                continue;
            }
            let fits_batch = batch.is_empty() || batch_bytes + length <= batch_limit;
            let fits_window = self.under_way.is_empty() || self.under_way_bytes + length <= window;
            if !fits_batch || !fits_window || self.under_way.len() >= self.limits.events {
                break;
            }
            batch.push(Arc::clone(&entry.bytes));
            batch_bytes += length;
            self.under_way.push_back((sequence, length));
            self.under_way_bytes += length;
            self.cursor = sequence;
            self.sent = self.sent.max(sequence);
        }
        (batch, dropped)
    }

    /// True where [`Queue::take`] would give something. Cheap.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        let Some(grant) = self.grant else { return false };
        let window = grant.window_bytes.min(self.limits.bytes as u64);
        self.next_ready().is_some_and(|(_, entry)| {
            let length = size(&entry.bytes);
            let refused = grant.max_event_bytes != 0 && length > grant.max_event_bytes;
            let fits = self.under_way_bytes + length <= window && self.under_way.len() < self.limits.events;
            refused || self.under_way.is_empty() || fits
        })
    }

    /// Bytes of events that are not under way; fewer where some that are were dropped since.
    #[must_use]
    pub const fn ready_bytes(&self) -> u64 {
        self.accounting.held.bytes.saturating_sub(self.under_way_bytes)
    }

    /// Where all events went.
    #[must_use]
    pub const fn accounting(&self) -> Accounting {
        self.accounting
    }

    /// Events held, by severity.
    #[must_use]
    pub fn held_by_severity(&self) -> BTreeMap<u8, u64> {
        let mut held = BTreeMap::new();
        for (severity, _) in &self.classes {
            *held.entry(*severity).or_default() += 1;
        }
        held
    }

    /// Sequence of the newest event.
    #[must_use]
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// The lowest sequence that is held, or the next one where none is.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.entries.first_key_value().map_or(self.newest + 1, |(first, _)| *first)
    }

    fn next_ready(&self) -> Option<(u64, &Entry)> {
        self.entries.range(self.cursor.checked_add(1)?..).next().map(|(sequence, entry)| (*sequence, entry))
    }

    fn is_over(&self) -> bool {
        self.accounting.held.bytes > self.limits.bytes as u64 || self.entries.len() > self.limits.events
    }

    /// What goes next where something must.
    fn victim(&self) -> Option<u64> {
        let (severity, oldest) = *self.classes.first()?;
        let ready = (severity, self.cursor.saturating_add(1))..=(severity, u64::MAX);
        Some(self.classes.range(ready).next().map_or(oldest, |(_, sequence)| *sequence))
    }

    fn drop_one(&mut self, sequence: u64, cause: Cause) -> Option<Dropped> {
        let Entry { severity, bytes } = self.entries.remove(&sequence)?;
        self.classes.remove(&(severity, sequence));
        let bytes = size(&bytes);
        self.accounting.held.take(bytes);
        self.accounting.dropped.add(bytes);
        Some(Dropped { sequence, severity, bytes, cause })
    }

    fn remove_until(&mut self, sequence: u64) {
        self.acknowledged = self.acknowledged.max(sequence);
        while let Some(first) = self.entries.first_entry()
            && *first.key() <= sequence
        {
            let (sequence, Entry { severity, bytes }) = first.remove_entry();
            self.classes.remove(&(severity, sequence));
            self.accounting.held.take(size(&bytes));
            self.accounting.acknowledged.add(size(&bytes));
        }
    }
}

const NONE: Amount = Amount { events: 0, bytes: 0 };

const fn size(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
