//! The way to the collector.
//!
//! ```text
//! pipeline thread ─ event ─► UplinkExporter ─ encoded ─► Queue (under a short lock) ─ batch ─► sender thread ─► collector
//!                                                           ▲                                       │
//!                                                           └────────────── acknowledged ───────────┘
//! ```
//!
//! The [`queue`] is the whole logic of what is kept, sent again and dropped, and knows neither clock nor network. The
//! `sender` is the only place of the agent with an async runtime, on a thread of its own.
//!
//! Invariants: the pipeline never waits for the network; an event is held until the collector has acknowledged it, or is
//! dropped by the rules of the queue, and then counted and told (`loss`); capture does not depend on the collector.
#![forbid(unsafe_code)]

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use mcp_sensor_proto::v1::loss::Count;
use ring::rand::SecureRandom as _;
use thiserror::Error;
use tokio::sync::{Notify, watch};

pub mod address;
mod backoff;
mod connection;
mod exporter;
mod loss;
pub mod queue;
mod sender;
mod target;

#[cfg(test)]
mod tests;

pub use self::address::Address;
pub use self::exporter::UplinkExporter;
pub use self::target::{Target, TargetError};

use self::loss::Losses;
use self::queue::{Accounting, Dropped, Limits, Queue};

/// What an uplink is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The collector.
    pub target: Target,
    /// Name of the host.
    pub node: String,
    /// Single messages are sent.
    pub messages: bool,
    /// What may be held.
    pub limits: Limits,
    /// The first wait after a failure is at most this long,
    pub backoff_min: Duration,
    /// and every wait is at most this long.
    pub backoff_max: Duration,
    /// Time between two `Pulse`s.
    pub heartbeat: Duration,
}

/// Why there is no uplink.
#[derive(Debug, Error)]
pub enum UplinkError {
    /// No thread or no runtime.
    #[error("starting the thread that sends to the collector: {0}")]
    Thread(#[from] io::Error),
    /// No random numbers.
    #[error("the system has no random numbers for the name of this run")]
    Random,
}

/// A running uplink.
pub struct Uplink {
    shared: Arc<Shared>,
    control: watch::Sender<Control>,
    thread: JoinHandle<()>,
}

/// Leads a running uplink to another collector.
#[derive(Clone)]
pub struct Steering(watch::Sender<Control>);

/// What the sender is told while it runs.
#[derive(Clone, Debug)]
struct Control {
    target: Target,
    /// The end: until then what is held may still be sent.
    deadline: Option<Instant>,
}

/// What the pipeline's side and the sender share.
struct Shared {
    state: Mutex<State>,
    wake: Notify,
}

struct State {
    queue: Queue,
    losses: Losses,
}

/// Who this run is: what `Hello` says.
#[derive(Clone, Debug)]
struct Run {
    node: String,
    id: String,
    started: SystemTime,
}

impl Uplink {
    /// Starts the sender. The collector need not be there.
    ///
    /// # Errors
    /// Where there is no thread or no random number to be had.
    pub fn start(settings: Settings) -> Result<(Self, UplinkExporter), UplinkError> {
        let Settings { target, node, messages, limits, backoff_min, backoff_max, heartbeat } = settings;
        let run = Run { node, id: run_id()?, started: SystemTime::now() };
        let state = State { queue: Queue::new(limits), losses: Losses::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Notify::new() });
        let (control, told) = watch::channel(Control { target, deadline: None });
        let times = sender::Times { backoff_min, backoff_max, heartbeat };
        let thread = sender::spawn(Arc::clone(&shared), told, run, times)?;
        let exporter = UplinkExporter::new(Arc::clone(&shared), messages);
        Ok((Self { shared, control, thread }, exporter))
    }

    /// What can lead it elsewhere while it runs.
    #[must_use]
    pub fn steering(&self) -> Steering {
        Steering(self.control.clone())
    }

    /// Where all events went so far.
    #[must_use]
    pub fn accounting(&self) -> Accounting {
        self.shared.lock().queue.accounting()
    }

    /// Hands on what is held until `deadline`, then ends; says in the log what is left.
    #[must_use]
    pub fn finish(self, deadline: Instant) -> Accounting {
        let Self { shared, control, thread } = self;
        control.send_modify(|control| control.deadline = Some(deadline));
        // The sender ends by itself at the deadline; a panic in it has been told.
        let _ = thread.join();
        shared.settle_losses();
        let (accounting, undelivered) = {
            let queue = &shared.lock().queue;
            (queue.accounting(), queue.held_by_severity())
        };
        for (severity, events) in undelivered {
            let severity = loss::severity_name(severity);
            tracing::error!(severity, events, "events are lost: the collector did not take them before the deadline");
        }
        accounting
    }
}

impl Steering {
    /// Connects anew: to another collector, or to the same with credentials read again. What is not acknowledged goes
    /// there.
    pub fn redirect(&self, target: Target) {
        self.0.send_modify(|control| control.target = target);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The queue's operations do not panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, sequence: u64, severity: u8, bytes: Arc<[u8]>) {
        let mut state = self.lock();
        let dropped = state.queue.push(sequence, severity, bytes);
        Self::lose(state, &dropped);
    }

    /// The next batch, where there is one to be sent now.
    fn take(&self) -> Vec<Arc<[u8]>> {
        let mut state = self.lock();
        let (batch, dropped) = state.queue.take();
        Self::lose(state, &dropped);
        batch
    }

    /// Counts what was dropped and logs it: every dropped event comes through here.
    fn lose(mut state: MutexGuard<'_, State>, dropped: &[Dropped]) {
        if dropped.is_empty() {
            return;
        }
        let report = state.losses.count(dropped, Instant::now());
        drop(state);
        report.log();
    }

    fn log_losses(&self) {
        let report = self.lock().losses.due(Instant::now());
        report.log();
    }

    fn settle_losses(&self) {
        let report = self.lock().losses.rest();
        report.log();
    }

    fn losses(&self) -> Vec<Count> {
        self.lock().losses.counts()
    }
}

/// 32 random hexadecimal digits.
fn run_id() -> Result<String, UplinkError> {
    Ok(format!("{:016x}{:016x}", random()?, random()?))
}

fn random() -> Result<u64, UplinkError> {
    let mut bytes = [0; 8];
    ring::rand::SystemRandom::new().fill(&mut bytes).map_err(|_| UplinkError::Random)?;
    Ok(u64::from_le_bytes(bytes))
}
