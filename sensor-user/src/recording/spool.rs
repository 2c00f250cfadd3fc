//! The bounded queue before a file, and the thread that writes it.
//!
//! Invariants: a push of live traffic never waits; items pushed = written + lost, in number, once the thread has ended; what is lost is counted
//! under its reason ([`Spool::losses`]); a failing file does not end the thread, which tries on with the next items where the file
//! can take them again.

use super::Owned;
use mcp_sensor_proto::v1::loss::{Count, Place, Reason};
use recording::Item;
use sensor_core::input::{StreamKey, Time};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often the thread looks after the file where nothing comes.
const TICK: Duration = Duration::from_millis(500);

/// Where items are written.
pub trait Keep: Send {
    /// Writes an item. `now` is in nanoseconds since 1970.
    ///
    /// # Errors
    /// How many items are lost, this one among them, and why.
    fn item(&mut self, now: u64, item: &Item<'_>) -> Result<(), (u64, io::Error)>;

    /// A stream has been read up to a position: see [`recording::rolling::Rolling::settled`].
    fn settled(&mut self, settled: Settled);

    /// See [`recording::rolling::Rolling::forgotten`].
    fn forgotten(&self) -> u64 {
        0
    }

    /// Does what is due without items: rotation by age, `fsync` by interval.
    ///
    /// # Errors
    /// As for [`Keep::item`].
    fn tick(&mut self, now: u64) -> Result<(), (u64, io::Error)>;

    /// Ends the recording; gives what there is to say of it, in words.
    ///
    /// # Errors
    /// As for [`Keep::item`].
    fn finish(self: Box<Self>, now: u64) -> Result<String, (u64, io::Error)>;
}

/// How far a stream has been read.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// The stream.
    pub stream: StreamKey,
    /// See [`sensor_core::input::Chunk::epoch`].
    pub epoch: Time,
    /// What is before this is no part of a message that goes on.
    pub position: u64,
}

/// What waits for the thread.
enum Waiting {
    Item(Owned),
    Settled(Settled),
}

impl Waiting {
    fn size(&self) -> usize {
        match self {
            Self::Item(item) => item.size(),
            Self::Settled(_) => size_of::<Self>(),
        }
    }
}

/// Items that were lost, and their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    items: u64,
    bytes: u64,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Waiting>,
    bytes: usize,
    ended: bool,
    full: Lost,
    unwritten: u64,
    /// See [`Keep::forgotten`].
    forgotten: u64,
    /// The last failure, in words.
    failure: Option<String>,
}

struct Shared {
    limit: usize,
    waits: bool,
    room: Condvar,
    state: Mutex<State>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub struct Spool {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Option<String>>>,
}

impl Spool {
    /// Starts the thread that writes to `keep`; at most `limit` bytes wait for it. `waits`: a push waits for room, for nothing is lost
    /// by it; what is captured live does not wait.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub fn start(keep: Box<dyn Keep>, limit: usize, waits: bool) -> io::Result<Self> {
        let shared = Arc::new(Shared { limit, waits, state: Mutex::default(), wake: Condvar::new(), room: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("recording".to_owned()).spawn(move || work(&theirs, keep))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands an item to the thread.
    pub fn push(&self, item: Owned) {
        let size = item.size();
        let mut state = self.shared.lock();
        while self.shared.waits && state.bytes > 0 && state.bytes + size > self.shared.limit {
            state = self.shared.room.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !self.shared.waits && state.bytes + size > self.shared.limit {
            state.full.items += 1;
            state.full.bytes += size as u64;
            return;
        }
        self.wait(state, Waiting::Item(item));
    }

    /// Tells the thread how far a stream has been read. Where there is no room, it learns that with what comes later.
    pub fn settled(&self, settled: Settled) {
        let (state, waiting) = (self.shared.lock(), Waiting::Settled(settled));
        if state.bytes + waiting.size() <= self.shared.limit {
            self.wait(state, waiting);
        }
    }

    fn wait(&self, mut state: MutexGuard<'_, State>, waiting: Waiting) {
        state.bytes += waiting.size();
        let was_empty = state.queue.is_empty();
        state.queue.push_back(waiting);
        drop(state);
        if was_empty {
            self.shared.wake.notify_one();
        }
    }

    /// What did not reach the file so far.
    #[must_use]
    pub fn losses(&self) -> Vec<Count> {
        let state = self.shared.lock();
        let count = |reason: Reason, count, bytes| Count { place: Place::Recording.into(), reason: reason.into(), count, bytes };
        let counts = [count(Reason::QueueFull, state.full.items, state.full.bytes), count(Reason::WriteFailed, state.unwritten, 0)];
        counts.into_iter().filter(|count| count.count > 0).collect()
    }

    /// Messages that may be whole in none of the files so far: see [`Keep::forgotten`].
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.shared.lock().forgotten
    }

    /// The last failure in words, once.
    #[must_use]
    pub fn take_failure(&self) -> Option<String> {
        self.shared.lock().failure.take()
    }

    /// Writes what waits and ends the recording; says how it went.
    pub fn finish(&mut self) -> Option<String> {
        self.shared.lock().ended = true;
        self.shared.wake.notify_one();
        // A panic of the thread has been told.
        self.thread.take().and_then(|thread| thread.join().ok().flatten())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn work(shared: &Shared, mut keep: Box<dyn Keep>) -> Option<String> {
    loop {
        let mut state = shared.lock();
        if state.queue.is_empty() && !state.ended {
            state = shared.wake.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
        let batch = std::mem::take(&mut state.queue);
        let is_end = state.ended && batch.is_empty();
        drop(state);
        if is_end {
            let result = keep.finish(now());
            return result.map_err(|failed| fail(shared, failed)).ok();
        }
        for waiting in batch {
            match &waiting {
                Waiting::Item(item) => {
                    if let Err(failed) = keep.item(now(), &item.lend()) {
                        fail(shared, failed);
                    }
                }
                Waiting::Settled(settled) => keep.settled(*settled),
            }
            // Room again only now: what is being written is held, too.
            shared.lock().bytes -= waiting.size();
            shared.room.notify_one();
        }
        if let Err(failed) = keep.tick(now()) {
            fail(shared, failed);
        }
        shared.lock().forgotten = keep.forgotten();
    }
}

fn fail(shared: &Shared, (lost, error): (u64, io::Error)) {
    let mut state = shared.lock();
    state.unwritten += lost;
    state.failure = Some(error.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::{Receiver, channel};

    /// Takes an item when it is let, and fails where it is told to.
    struct Gate {
        let_in: Receiver<bool>,
        written: Arc<AtomicU64>,
    }

    impl Keep for Gate {
        fn item(&mut self, _now: u64, _item: &Item<'_>) -> Result<(), (u64, io::Error)> {
            if !self.let_in.recv().unwrap_or(true) {
                return Err((1, io::Error::other("no room")));
            }
            self.written.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn settled(&mut self, _settled: Settled) {}

        fn tick(&mut self, _now: u64) -> Result<(), (u64, io::Error)> {
            Ok(())
        }

        fn finish(self: Box<Self>, _now: u64) -> Result<String, (u64, io::Error)> {
            Ok("done".to_owned())
        }
    }

    #[test]
    fn what_can_wait_waits_and_is_all_written() {
        let (gate, let_in) = channel();
        let written = Arc::new(AtomicU64::new(0));
        let keep = Gate { let_in, written: Arc::clone(&written) };
        drop(gate);
        let item = || Owned::of(&Item::Tick { time: 1 });
        let mut spool = Spool::start(Box::new(keep), 3 * item().size(), true).unwrap();
        for _ in 0..1000 {
            spool.push(item());
        }
        assert_eq!(spool.finish().as_deref(), Some("done"));
        assert!(spool.losses().is_empty());
        assert_eq!(written.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn what_goes_in_is_written_or_counted() {
        let (gate, let_in) = channel();
        let written = Arc::new(AtomicU64::new(0));
        let keep = Gate { let_in, written: Arc::clone(&written) };
        let item = || Owned::of(&Item::Tick { time: 1 });
        let mut spool = Spool::start(Box::new(keep), 10 * item().size(), false).unwrap();
        for _ in 0..30 {
            spool.push(item());
        }
        // Ten fit; the thread may hold some of them.
        gate.send(false).unwrap();
        drop(gate);
        assert_eq!(spool.finish().as_deref(), Some("done"));
        let losses = spool.losses();
        let of = |reason: Reason| losses.iter().filter(|count| count.reason() == reason).map(|count| count.count).sum::<u64>();
        assert_eq!((of(Reason::WriteFailed), of(Reason::QueueFull)), (1, 20));
        assert_eq!(written.load(Ordering::Relaxed), 9);
        assert_eq!(spool.take_failure().as_deref(), Some("no room"));
    }
}
