//! `IngestService.Connect` with one sensor.
//!
//! Two tasks a stream: this one reads, a small one sends acknowledgements, so neither waits for the other.
//!
//! Invariants: nothing of a stream is taken before `Hello`; a batch is taken whole or not at all; the bytes of a stream that are
//! not stored are bounded by its window; after an error nothing more is taken.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mcp_sensor_proto::v1::{Ack, ConnectResponse, Hello, Pulse, Welcome, connect_response::Frame};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Code, Status, Streaming};

use super::chunk::OVERHEAD;
use super::run::{Run, RunId, RunInfo, Runs};
use super::sequencer::Sequencer;
use crate::config::Limits;
use crate::event::keys::{self, Reader};
use crate::event::wire::{RawConnectRequest, RawFrame};
use crate::live::subscription::{Counted, stopping};
use crate::serve::refusals::{Reason, Refusals};
use crate::store::{Queue, Store, Work};

/// Bytes of a node's name at most: that of a host name.
const MAX_NODE: usize = 255;

/// Bytes of a version that are kept.
const MAX_VERSION: usize = 128;

/// How long a stream that ends may take to tell why.
const FAREWELL: Duration = Duration::from_secs(2);

/// What all streams share.
#[derive(Debug)]
pub struct Ingest {
    /// Gives events their places.
    pub sequencer: Sequencer,
    /// The runs that matter now.
    pub runs: Runs,
    /// What was stored of a run before.
    pub store: Store,
    /// The way to the writer.
    pub queue: Arc<Queue>,
    /// Limits.
    pub limits: Limits,
    /// What was refused.
    pub refusals: Arc<Refusals>,
    /// Sensors connected.
    pub connected: Arc<AtomicU32>,
    /// The collector stops.
    pub stop: CancellationToken,
    /// The streams.
    pub tasks: TaskTracker,
}

/// What is sent to a sensor.
pub type Answer = Result<ConnectResponse, Status>;

/// One stream after `Hello`.
struct Stream<'a> {
    ingest: &'a Ingest,
    run: Arc<Run>,
    answers: mpsc::Sender<Answer>,
    reader: Reader,
    /// The highest sequence that came in this stream.
    last: u64,
    /// Batches that are not stored: their last sequence and their bytes.
    under_way: VecDeque<(u64, u64)>,
    under_way_bytes: u64,
}

impl Ingest {
    /// Serves one sensor at `address`. Returns at once; the answers come through the channel.
    pub fn connect(self: Arc<Self>, mut inbound: Streaming<RawConnectRequest>, address: String) -> mpsc::Receiver<Answer> {
        let (answers, receiver) = mpsc::channel(16);
        let tasks = self.tasks.clone();
        tasks.spawn(async move {
            if let Err(status) = self.serve(&mut inbound, &address, &answers).await {
                tracing::info!(address, code = ?status.code(), reason = status.message(), "a sensor's stream ended");
                // Whoever does not listen is not waited for.
                let _ = tokio::time::timeout(FAREWELL, answers.send(Err(status))).await;
            }
        });
        receiver
    }

    async fn serve(&self, inbound: &mut Streaming<RawConnectRequest>, address: &str, answers: &mpsc::Sender<Answer>) -> Result<(), Status> {
        let Some(_counted) = Counted::new(&self.connected, self.limits.sensors) else {
            return Err(self.refuse(Reason::TooManySensors, format!("{} sensors are connected already", self.limits.sensors)));
        };
        let first = tokio::select! {
            first = tokio::time::timeout(self.limits.hello, inbound.message()) => first,
            () = self.stop.cancelled() => return Err(stopping()),
        };
        let hello = match first {
            Err(_) => return Err(self.refuse(Reason::NoHello, "no Hello came in time")),
            Ok(message) => match self.received(message)? {
                None => return Ok(()),
                Some(RawConnectRequest { frame: Some(RawFrame::Hello(hello)) }) => hello,
                Some(_) => return Err(self.refuse(Reason::Protocol, "the first frame must be Hello")),
            },
        };
        let run = self.welcome(hello, address, answers).await?;
        let token = run.take_stream();
        let acknowledging = tokio::spawn(acknowledge(Arc::clone(&run), answers.clone(), self.limits.window_bytes));
        let mut stream = Stream {
            ingest: self,
            run: Arc::clone(&run),
            answers: answers.clone(),
            reader: Reader::default(),
            last: 0,
            under_way: VecDeque::new(),
            under_way_bytes: 0,
        };
        let result = stream.serve(inbound, &token).await;
        acknowledging.abort();
        self.queue.push(Work::Seen(run.id, run.last_seen.load(Ordering::Relaxed)));
        self.runs.left(&run, &token);
        result
    }

    /// Takes `Hello` and answers it.
    async fn welcome(&self, hello: Hello, address: &str, answers: &mpsc::Sender<Answer>) -> Result<Arc<Run>, Status> {
        let Hello { node, run_id, version, started, first_sequence: _ } = hello;
        if node.is_empty() || node.len() > MAX_NODE {
            return Err(self.refuse(Reason::Protocol, format!("Hello.node must have 1 to {MAX_NODE} bytes")));
        }
        let Some(id) = keys::parse_id(&run_id).map(RunId) else {
            return Err(self.refuse(Reason::Protocol, "Hello.run_id must be 32 lower-case hexadecimal digits"));
        };
        let version = version.get(..version.floor_char_boundary(MAX_VERSION)).unwrap_or_default().to_owned();
        let node: Arc<str> = node.into();
        let run = match self.runs.get(id) {
            Some(run) => run,
            None => {
                let known = self.store.run(id).await.map_err(|error| {
                    tracing::error!(error = %error, "the store cannot be read");
                    Status::unavailable("the store cannot be read")
                })?;
                let (known_node, stored) = known.unwrap_or_else(|| (node.to_string(), 0));
                self.runs.get_or(id, || Run::new(id, known_node.into(), stored))
            }
        };
        if run.node != node {
            return Err(self.refuse(Reason::OtherNode, "Hello.run_id belongs to another node"));
        }
        run.last_seen.store(now(), Ordering::Relaxed);
        let started = started.as_ref().and_then(keys::nanoseconds).unwrap_or(0);
        tracing::info!(address, ?node, run = %id, ?version, "a sensor connected");
        self.queue.push(Work::Hello(RunInfo { id, node, version, started, address: address.to_owned() }));
        let Limits { window_bytes, event_bytes, batch_bytes, .. } = self.limits;
        let acknowledged = *run.stored.borrow();
        let welcome = Welcome { acknowledged, window_bytes, max_event_bytes: event_bytes, max_batch_bytes: batch_bytes };
        let _ = answers.send(Ok(ConnectResponse { frame: Some(Frame::Welcome(welcome)) })).await;
        Ok(run)
    }

    /// What came, or why it is refused. `None` where the sensor has ended the stream, or is gone.
    fn received(&self, message: Result<Option<RawConnectRequest>, Status>) -> Result<Option<RawConnectRequest>, Status> {
        match message {
            Ok(message) => Ok(message),
            Err(status) => Err(match status.code() {
                // As tonic tells a message that is too big, and one that is none.
                Code::OutOfRange | Code::ResourceExhausted => self.refuse(Reason::TooBig, "a frame is too big"),
                Code::Internal => self.refuse(Reason::Malformed, "a frame cannot be decoded"),
                _ => return Ok(None),
            }),
        }
    }

    fn refuse(&self, reason: Reason, message: impl Into<String>) -> Status {
        self.refusals.refuse(reason, message)
    }
}

impl Stream<'_> {
    async fn serve(&mut self, inbound: &mut Streaming<RawConnectRequest>, token: &CancellationToken) -> Result<(), Status> {
        loop {
            let message = tokio::select! {
                biased;
                () = self.ingest.stop.cancelled() => return Err(stopping()),
                () = token.cancelled() => return Err(Status::aborted("another stream of this run took its place")),
                message = inbound.message() => self.ingest.received(message)?,
            };
            let Some(request) = message else { return Ok(()) };
            self.run.last_seen.store(now(), Ordering::Relaxed);
            match request.frame {
                Some(RawFrame::Batch(batch)) => self.batch(batch.events, token).await?,
                Some(RawFrame::Pulse(pulse)) => self.pulse(&pulse),
                Some(RawFrame::Hello(_)) => return Err(self.refuse(Reason::Protocol, "Hello came twice")),
                // A frame that this version does not know.
                None => {}
            }
        }
    }

    fn pulse(&self, pulse: &Pulse) {
        self.run.made.store(pulse.last_sequence, Ordering::Relaxed);
    }

    async fn batch(&mut self, events: Vec<Bytes>, token: &CancellationToken) -> Result<(), Status> {
        let limits = &self.ingest.limits;
        let bytes = events.iter().map(|event| event.len() as u64).sum::<u64>();
        if events.iter().any(|event| event.len() as u64 > limits.event_bytes) {
            return Err(self.refuse(Reason::TooBig, format!("an event has more than {} bytes", limits.event_bytes)));
        }
        if bytes > limits.batch_bytes && events.len() > 1 {
            return Err(self.refuse(Reason::TooBig, format!("a batch has more than {} bytes", limits.batch_bytes)));
        }
        let stored = *self.run.stored.borrow();
        while let Some((_, stored_bytes)) = self.under_way.pop_front_if(|(sequence, _)| *sequence <= stored) {
            self.under_way_bytes -= stored_bytes;
        }
        if self.under_way_bytes > 0 && self.under_way_bytes + bytes > limits.window_bytes {
            return Err(self.refuse(Reason::OverWindow, format!("more than {} bytes are under way", limits.window_bytes)));
        }
        let count = events.len();
        let mut read = Vec::with_capacity(count);
        let mut last = self.last;
        for event in events {
            let keys = self.reader.read(&event).map_err(|error| self.refuse(Reason::Malformed, error.to_string()))?;
            if keys.node != self.run.node {
                return Err(self.refuse(Reason::OtherNode, "an event is of another node than Hello's"));
            }
            if keys.sequence <= last || i64::try_from(keys.sequence).is_err() {
                return Err(self.refuse(Reason::Sequence, format!("sequence {} does not follow {last}", keys.sequence)));
            }
            last = keys.sequence;
            read.push((keys, event));
        }
        let permit = tokio::select! {
            permit = self.ingest.queue.reserve(usize::try_from(bytes).unwrap_or(usize::MAX) + count * OVERHEAD) => permit,
            () = self.ingest.stop.cancelled() => return Err(stopping()),
            () = token.cancelled() => return Err(Status::aborted("another stream of this run took its place")),
        };
        self.last = last;
        self.under_way.push_back((last, bytes));
        self.under_way_bytes += bytes;
        let accepted = self.ingest.sequencer.accept(&self.run, read, permit, now());
        let stored = *self.run.stored.borrow();
        if accepted.duplicates > 0 && last <= stored {
            // Nothing of it will be stored anew, so nothing else tells.
            let _ = self.answers.send(ack(stored, limits.window_bytes)).await;
        }
        Ok(())
    }

    fn refuse(&self, reason: Reason, message: impl Into<String>) -> Status {
        self.ingest.refuse(reason, message)
    }
}

/// Tells the sensor what was stored, each time that it is more.
async fn acknowledge(run: Arc<Run>, answers: mpsc::Sender<Answer>, window_bytes: u64) {
    let mut stored = run.stored.subscribe();
    // The sender is the run's, which is ours.
    while stored.changed().await.is_ok() {
        let sequence = *stored.borrow_and_update();
        if answers.send(ack(sequence, window_bytes)).await.is_err() {
            return;
        }
    }
}

fn ack(sequence: u64, window_bytes: u64) -> Answer {
    Ok(ConnectResponse { frame: Some(Frame::Ack(Ack { sequence, window_bytes })) })
}

/// Nanoseconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
