//! That the pipeline makes progress: told to systemd, which restarts a service that makes none.
//!
//! Invariant: systemd hears that the service lives only where the pipeline's thread has done its periodic work since the
//! last time, or has ended in good order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mcp_sensor_proto::v1::loss::Count;

use super::notify::Notifier;
use crate::export::{Exporter, Outgoing, Summary};

/// How far the pipeline is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    rounds: AtomicU64,
    begun: AtomicBool,
    finished: AtomicBool,
}

impl Progress {
    /// The pipeline has ended in good order.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }

    /// True where it captures, or has captured.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// True where it went on since `seen`, which is brought up to date.
    fn moved(&self, seen: &mut u64) -> bool {
        let rounds = self.rounds.load(Ordering::Acquire);
        std::mem::replace(seen, rounds) != rounds || self.finished.load(Ordering::Acquire)
    }
}

/// Tells systemd every `interval`, on a thread of its own; not at all without one.
pub(super) fn guard(progress: Arc<Progress>, notifier: Arc<Notifier>, interval: Option<Duration>) -> io::Result<()> {
    let Some(interval) = interval else { return Ok(()) };
    thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        let mut seen = 0;
        loop {
            thread::sleep(interval);
            if progress.moved(&mut seen) {
                notifier.alive();
            } else if progress.has_begun() {
                tracing::warn!("the pipeline makes no progress");
            }
        }
    })?;
    Ok(())
}

/// An exporter whose use shows that the pipeline lives.
pub(super) struct Observed<E> {
    inner: E,
    progress: Arc<Progress>,
    /// To be told of the first event: the pipeline gives it once capture is attached.
    notifier: Option<Arc<Notifier>>,
}

impl<E> Observed<E> {
    pub(super) const fn new(inner: E, progress: Arc<Progress>, notifier: Arc<Notifier>) -> Self {
        Self { inner, progress, notifier: Some(notifier) }
    }
}

impl<E: Exporter> Exporter for Observed<E> {
    fn wants_messages(&self) -> bool {
        self.inner.wants_messages()
    }

    fn losses(&self) -> Vec<Count> {
        self.inner.losses()
    }

    fn event(&mut self, event: &Outgoing) -> io::Result<()> {
        if let Some(notifier) = self.notifier.take() {
            tracing::info!("capturing");
            self.progress.begun.store(true, Ordering::Release);
            notifier.ready();
        }
        self.inner.event(event)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }

    fn tick(&mut self, now: i64) -> io::Result<()> {
        self.progress.rounds.fetch_add(1, Ordering::Release);
        self.inner.tick(now)
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        self.inner.finish(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pipeline_that_goes_on_counts_as_alive() {
        let (progress, mut seen) = (Progress::default(), 0);
        assert!(!progress.moved(&mut seen));
        progress.rounds.fetch_add(1, Ordering::Release);
        assert!(progress.moved(&mut seen));
        assert!(!progress.moved(&mut seen));
        progress.finish();
        assert!(progress.moved(&mut seen) && progress.moved(&mut seen));
    }
}
