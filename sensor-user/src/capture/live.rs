//! Live capture: the ring.

use super::{Progress, Record, Source, decode};
use crate::bpf::{Batch, Drain, records};
use rustix::time::{ClockId, clock_gettime};
use sensor_core::input::Time;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Records as the kernel gives them.
#[derive(Debug)]
pub struct Live {
    batches: Receiver<Batch>,
    give_back: Sender<Batch>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    undecodable: u64,
}

impl Live {
    /// Starts draining the ring.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(ring: Drain) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (batches, give_back, thread) = ring.start(Arc::clone(&stop))?;
        Ok(Self { batches, give_back, stop, thread: Some(thread), undecodable: 0 })
    }

    /// Ends the draining: what the ring holds at this moment is still given, then [`Progress::End`].
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Source for Live {
    fn read(&mut self, wait: Duration, each: &mut dyn FnMut(Record<'_>)) -> Progress {
        let batch = match self.batches.recv_timeout(wait) {
            Ok(batch) => batch,
            Err(RecvTimeoutError::Timeout) => return Progress::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Progress::End,
        };
        for (header, bytes) in records(&batch) {
            match decode(&header, bytes) {
                Ok(record) => each(record),
                Err(_) => self.undecodable += 1,
            }
        }
        // Where the thread has ended, the batch is not needed any more.
        let _ = self.give_back.send(batch);
        Progress::Records
    }

    fn now(&self) -> Time {
        let now = clock_gettime(ClockId::Boottime);
        u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
    }

    fn undecodable(&self) -> u64 {
        self.undecodable
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop();
        // Dropping the receiver first lets a waiting thread end.
        let (_, closed) = std::sync::mpsc::sync_channel(0);
        drop(std::mem::replace(&mut self.batches, closed));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
