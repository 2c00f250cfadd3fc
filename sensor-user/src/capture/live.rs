//! Live capture: the ring.

use super::{Progress, Record, Source, decode};
use crate::bpf::{Drain, Draining, boot_clock, records};
use sensor_core::input::Time;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

/// Records as the kernel gives them.
#[derive(Debug)]
pub struct Live {
    ring: Draining,
    stop: Arc<AtomicBool>,
    /// Every record made before this moment has been given.
    now: Time,
    undecodable: u64,
}

impl Live {
    /// Starts draining the ring.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(ring: Drain) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let ring = ring.start(Arc::clone(&stop))?;
        Ok(Self { ring, stop, now: boot_clock(), undecodable: 0 })
    }

    /// Ends the draining: what the ring holds at this moment is still given, then [`Progress::End`].
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Source for Live {
    fn read(&mut self, wait: Duration, each: &mut dyn FnMut(Record<'_>)) -> Progress {
        // Read before waiting: where nothing has come until then, everything made before that moment has been given.
        let complete_until = self.ring.complete_until.load(Ordering::Acquire);
        let batch = match self.ring.batches.recv_timeout(wait) {
            Ok(batch) => batch,
            Err(RecvTimeoutError::Timeout) => {
                self.now = self.now.max(complete_until);
                return Progress::Nothing;
            }
            Err(RecvTimeoutError::Disconnected) => return Progress::End,
        };
        for (header, bytes) in records(&batch) {
            self.now = self.now.max(header.time);
            match decode(&header, bytes) {
                Ok(record) => each(record),
                Err(_) => self.undecodable += 1,
            }
        }
        // Where the thread has ended, the batch is not needed any more.
        let _ = self.ring.give_back.send(batch);
        Progress::Records
    }

    /// Not the clock: where the pipeline lags behind the kernel, time has not passed for it yet.
    fn now(&self) -> Time {
        self.now
    }

    fn undecodable(&self) -> u64 {
        self.undecodable
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop();
        // A thread that waits to hand over a batch ends when nobody can take it.
        let (_, nobody) = sync_channel(0);
        drop(std::mem::replace(&mut self.ring.batches, nobody));
    }
}
