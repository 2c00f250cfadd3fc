//! What is known of the runs of sensors that are connected, or have events under way.
//!
//! Invariants: one run is one [`Run`] as long as any of its events is not stored, so its high-water marks cannot be lost
//! between two connections; a run that is stored and not connected is forgotten here, for the store knows it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Names a run of a sensor.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RunId(pub u128);

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What a sensor said in `Hello`, and who it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunInfo {
    /// The run.
    pub id: RunId,
    /// Its host.
    pub node: Arc<str>,
    /// Its version.
    pub version: String,
    /// When it began, in nanoseconds since 1970.
    pub started: i64,
    /// Its address, or who it is by its certificate.
    pub address: String,
}

/// A run.
#[derive(Debug)]
pub struct Run {
    /// The run.
    pub id: RunId,
    /// Its host.
    pub node: Arc<str>,
    /// The highest sequence taken. Changed under the sequencer's lock alone.
    pub accepted: AtomicU64,
    /// The highest sequence stored.
    pub stored: watch::Sender<u64>,
    /// Something came of it last, in nanoseconds since 1970.
    pub last_seen: AtomicI64,
    /// By its last pulse, the newest sequence that it has made.
    pub made: AtomicU64,
    /// A stream of it is open.
    pub connected: AtomicBool,
    /// Ends its open stream.
    stream: Mutex<CancellationToken>,
}

impl Run {
    /// A run of which so much is stored.
    #[must_use]
    pub fn new(id: RunId, node: Arc<str>, stored: u64) -> Self {
        Self {
            id,
            node,
            accepted: AtomicU64::new(stored),
            stored: watch::Sender::new(stored),
            last_seen: AtomicI64::new(0),
            made: AtomicU64::new(0),
            connected: AtomicBool::new(false),
            stream: Mutex::default(),
        }
    }

    /// A stream of the run begins; an earlier one ends. Returns what ends this one.
    pub fn take_stream(&self) -> CancellationToken {
        let token = CancellationToken::new();
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *stream, token.clone()).cancel();
        self.connected.store(true, Ordering::Relaxed);
        token
    }

    /// A stream of the run has ended. Does nothing where another took its place.
    fn leave_stream(&self, token: &CancellationToken) {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        if !token.is_cancelled() && !stream.is_cancelled() {
            self.connected.store(false, Ordering::Relaxed);
        }
    }

    /// True where everything taken is stored.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.accepted.load(Ordering::Relaxed) <= *self.stored.borrow()
    }
}

/// The runs that matter now.
#[derive(Debug, Default)]
pub struct Runs {
    runs: Mutex<HashMap<RunId, Arc<Run>>>,
}

impl Runs {
    /// The run, if it is known here.
    #[must_use]
    pub fn get(&self, id: RunId) -> Option<Arc<Run>> {
        self.lock().get(&id).cloned()
    }

    /// The run; made by `make` where it is not known here.
    pub fn get_or(&self, id: RunId, make: impl FnOnce() -> Run) -> Arc<Run> {
        Arc::clone(self.lock().entry(id).or_insert_with(|| Arc::new(make())))
    }

    /// A stream has ended: forgets its run where nothing of it is under way, and others that were kept for that.
    pub fn left(&self, run: &Run, token: &CancellationToken) {
        run.leave_stream(token);
        self.lock().retain(|_, run| run.connected.load(Ordering::Relaxed) || !run.is_stored());
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Run>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Arc<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
