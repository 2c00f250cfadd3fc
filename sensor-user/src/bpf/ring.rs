//! Draining the ring: a thread that copies and does nothing else.
//!
//! The kernel wakes it seldom (a wake-up costs more than the capture); it polls, every millisecond while there is
//! traffic. Batches come from a fixed pool: where the pipeline cannot keep up, the thread waits for a batch to come back,
//! the ring fills, and the kernel counts what it must drop. So there is one place of loss, and it is counted.

use aya::maps::{Map, MapData, MapError, RingBuf};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    time::{ClockId, clock_gettime},
};
use sensor_ebpf::RecordHeader;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};
use zerocopy::FromBytes as _;

/// Bytes of a batch after which it is passed on.
const BATCH_BYTES: usize = 1 << 20;
/// Bytes that the last record of a batch may add.
const LAST_RECORD: usize = 32 << 10;
/// Bytes of a batch in quiet times. One that has grown beyond is let go when a batch that was passed on had no more.
const QUIET_BYTES: usize = 64 << 10;
/// Batches in the pool.
const BATCHES: usize = 12;
/// How long the thread sleeps while there is traffic, and when there was none for a while.
const BUSY: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(4);
/// Empty rounds after which the thread takes it that there is no traffic.
const IDLE_AFTER: u32 = 64;

/// Records, one behind the other, each padded to eight bytes.
pub type Batch = Vec<u8>;

/// A ring that is being drained.
#[derive(Debug)]
pub struct Draining {
    /// Where batches arrive. It ends when the thread does.
    pub batches: Receiver<Batch>,
    /// Where read batches go back to.
    pub give_back: Sender<Batch>,
    /// A moment, in nanoseconds since boot: every record made before it has been sent already.
    pub complete_until: Arc<AtomicU64>,
    /// The thread.
    pub thread: JoinHandle<()>,
}

/// Nanoseconds since boot, by the clock that the kernel programs read.
#[must_use]
pub fn boot_clock() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The reading end of the ring.
pub struct Drain {
    ring: RingBuf<MapData>,
}

impl Drain {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        RingBuf::try_from(map).map(|ring| Self { ring })
    }

    /// Starts the thread. Batches must be sent back when read. The thread ends when `stop` is set and the ring is empty,
    /// or when the receiver is gone.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(self, stop: Arc<AtomicBool>) -> std::io::Result<Draining> {
        let (full, batches) = sync_channel(BATCHES);
        let (give_back, free) = channel();
        for _ in 0..BATCHES {
            let _ = give_back.send(Batch::new());
        }
        let complete_until = Arc::new(AtomicU64::new(0));
        let complete = Arc::clone(&complete_until);
        let thread = std::thread::Builder::new().name("ring".into()).spawn(move || self.run(&stop, &full, &free, &complete))?;
        Ok(Draining { batches, give_back, complete_until, thread })
    }

    fn run(mut self, stop: &AtomicBool, full: &SyncSender<Batch>, free: &Receiver<Batch>, complete: &AtomicU64) {
        let mut empty_rounds = 0_u32;
        let mut batch = Batch::new();
        loop {
            // Read before draining: what was in the ring when the stop came is drained still.
            let last = stop.load(Ordering::Acquire);
            let begin = boot_clock();
            self.fill(&mut batch);
            let drained = batch.len() < BATCH_BYTES;
            if batch.is_empty() {
                empty_rounds = empty_rounds.saturating_add(1);
            } else {
                empty_rounds = 0;
                let Ok(mut next) = free.recv() else { return };
                next.clear();
                if batch.len() <= QUIET_BYTES && next.capacity() > QUIET_BYTES {
                    next = Batch::with_capacity(QUIET_BYTES);
                }
                if full.send(std::mem::replace(&mut batch, next)).is_err() {
                    return;
                }
            }
            if drained {
                complete.store(begin, Ordering::Release);
            }
            if last && drained {
                return;
            }
            if drained {
                self.wait(if empty_rounds > IDLE_AFTER { IDLE } else { BUSY });
            }
        }
    }

    fn fill(&mut self, batch: &mut Batch) {
        while batch.len() < BATCH_BYTES {
            let Some(item) = self.ring.next() else { return };
            if batch.capacity() - batch.len() < item.len() + 8 {
                // Twice at most: to the quiet size, and to the whole.
                let whole = if batch.len() + item.len() + 8 <= QUIET_BYTES { QUIET_BYTES } else { BATCH_BYTES + LAST_RECORD };
                batch.reserve_exact(whole - batch.len());
            }
            batch.extend_from_slice(&item);
            batch.resize(batch.len().next_multiple_of(8), 0);
        }
    }

    fn wait(&self, duration: Duration) {
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(duration.subsec_nanos()) };
        // An interrupted or failed wait only means that the ring is looked at sooner.
        let _ = poll(&mut [PollFd::new(&self.ring, PollFlags::IN)], Some(&timeout));
    }
}

/// The records of a batch. Ends early at bytes that are no record: the rest of a batch cannot be told apart then.
pub fn records(batch: &[u8]) -> impl Iterator<Item = (RecordHeader, &[u8])> {
    let mut rest = batch;
    std::iter::from_fn(move || {
        let (header, _) = RecordHeader::read_from_prefix(rest).ok()?;
        let length = usize::try_from(header.length).ok().filter(|length| *length >= size_of::<RecordHeader>())?;
        let record = rest.get(..length)?;
        rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
        Some((header, record))
    })
}
