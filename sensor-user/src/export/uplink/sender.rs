//! The thread that sends: connects, converses until the connection ends, waits, and again.
//!
//! Invariants: this is the only async code of the agent; it ends by itself at the deadline it is given, whatever the
//! network does; whatever ends a connection leaves what is unacknowledged ready for the next one. The wait starts anew at
//! its shortest only after the collector has acknowledged something: one that lets everybody in and then fails is not
//! overrun.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::watch;
use tokio::time::{Instant as Moment, sleep, timeout_at};

use super::backoff::Backoff;
use super::connection::{Conversation, End};
use super::{Control, Run, Shared, random};

/// How long a wait is at most once the end has come: the collector may be back in time.
const LAST_WAITS: Duration = Duration::from_millis(500);

/// When things are due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    pub heartbeat: Duration,
}

/// Starts the thread.
pub(super) fn spawn(shared: Arc<Shared>, control: watch::Receiver<Control>, run: Run, times: Times) -> io::Result<JoinHandle<()>> {
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    thread::Builder::new().name("uplink".to_owned()).spawn(move || {
        let sender = Sender { shared, control, run, heartbeat: times.heartbeat, compressed: true };
        runtime.block_on(sender.work(Backoff::new(times.backoff_min, times.backoff_max)));
        // A name that is still being resolved is not waited for.
        runtime.shutdown_background();
    })
}

struct Sender {
    shared: Arc<Shared>,
    control: watch::Receiver<Control>,
    run: Run,
    heartbeat: Duration,
    /// Until a collector refuses compressed frames.
    compressed: bool,
}

impl Sender {
    async fn work(mut self, mut backoff: Backoff) {
        loop {
            let Control { deadline, .. } = *self.control.borrow();
            if self.is_over(deadline) {
                return;
            }
            let End { reason, progress, refused_compression } = self.attempt().await;
            self.shared.lock().queue.disconnected();
            if progress {
                backoff.reset();
            }
            let deadline = self.control.borrow().deadline;
            if self.is_over(deadline) {
                return;
            }
            if refused_compression && std::mem::take(&mut self.compressed) {
                tracing::warn!("the collector does not take compressed frames: they go as they are");
                continue;
            }
            let Some(reason) = reason else { continue };
            let mut wait = backoff.next(random().unwrap_or(0));
            if deadline.is_some() {
                wait = wait.min(LAST_WAITS);
            }
            let held = self.shared.lock().queue.accounting().held;
            tracing::warn!(
                collector = %self.control.borrow().target.address,
                held_events = held.events,
                held_bytes = held.bytes,
                next_attempt_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "no connection to the collector: {reason}"
            );
            self.rest(wait).await;
        }
    }

    /// True where nothing is left to be done.
    fn is_over(&self, deadline: Option<Instant>) -> bool {
        deadline.is_some_and(|deadline| Instant::now() >= deadline || self.shared.lock().queue.accounting().held.events == 0)
    }

    /// One connection from beginning to end. A deadline ends it also while it opens.
    async fn attempt(&mut self) -> End {
        let control = self.control.borrow_and_update().clone();
        let mut watched = self.control.clone();
        let conversation = Conversation {
            shared: &self.shared,
            control: self.control.clone(),
            run: &self.run,
            heartbeat: self.heartbeat,
            compressed: self.compressed,
        };
        let talk = conversation.hold(&control.target);
        tokio::select! {
            end = talk => end,
            () = overdue(&mut watched) => End::quiet(),
        }
    }

    /// Waits, but for no longer than there is time, and not where there is something new to try.
    async fn rest(&mut self, wait: Duration) {
        let mut overdue_watch = self.control.clone();
        tokio::select! {
            () = sleep(wait) => {}
            _ = self.control.changed() => {}
            () = overdue(&mut overdue_watch) => {}
        }
    }
}

/// Waits for the deadline, which may not be set yet.
async fn overdue(control: &mut watch::Receiver<Control>) {
    loop {
        let deadline = control.borrow_and_update().deadline;
        let change = control.changed();
        match deadline {
            Some(deadline) => match timeout_at(Moment::from_std(deadline), change).await {
                Ok(Ok(())) => {}
                // The deadline has come, or nobody is left who could move it.
                Ok(Err(_)) | Err(_) => return,
            },
            // Without anybody who could ask for it the sender is not needed either.
            None if change.await.is_err() => return,
            None => {}
        }
    }
}
