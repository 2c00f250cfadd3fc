//! One conversation with a collector: `Hello`, `Welcome`, then batches and pulses one way and acknowledgements the other.
//!
//! Invariants: a batch leaves as soon as there is something and the window is open, but a small one not sooner than [`SPACING`]
//! after the one before; one frame at most waits between here and the network, so the window, not a buffer, bounds what is under
//! way; a collector that breaks the rules ends the conversation and changes nothing else.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mcp_sensor_proto::v1::ingest_service_client::IngestServiceClient;
use mcp_sensor_proto::v1::{Ack, Batch, ConnectRequest, ConnectResponse, Hello, Pulse, Welcome, connect_request, connect_response};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Status, Streaming};

use super::queue::{Grant, Nonsense};
use super::target::Target;
use super::{Control, Run, Shared};
use crate::export::sanitize::sanitize;

/// How long a collector may take to welcome.
const WELCOME: Duration = Duration::from_secs(10);
/// How long a collector may take to end a stream that the sensor has ended, everything being acknowledged.
const FAREWELL: Duration = Duration::from_millis(200);
/// How long after a batch the next one leaves, that events may gather to it: each has a compressor of its own made for it, which costs
/// more than to compress a hundred events.
const SPACING: Duration = Duration::from_millis(2);
/// Bytes that do not wait for more.
const BULK: u64 = 64 << 10;
/// Characters of a collector's words that are logged.
const WORDS: usize = 200;

/// How a conversation ended.
#[derive(Debug)]
pub(super) struct End {
    /// Why, in words, where it is to be told and waited after.
    pub reason: Option<String>,
    /// The collector has acknowledged something.
    pub progress: bool,
    /// It understands no compressed frames.
    pub refused_compression: bool,
}

impl End {
    /// As was wanted here.
    pub(super) const fn quiet() -> Self {
        Self { reason: None, progress: false, refused_compression: false }
    }

    fn failed(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::quiet() }
    }

    fn refused(status: &Status) -> Self {
        let words: String = sanitize(status.message()).chars().take(WORDS).collect();
        let refused_compression = status.code() == Code::Unimplemented && words.contains("compress");
        Self { reason: Some(format!("{:?}: {words}", status.code())), progress: false, refused_compression }
    }

    fn nonsense(nonsense: Nonsense) -> Self {
        Self::failed(format!("the collector breaks the rules: {nonsense}"))
    }
}

/// What a conversation needs.
pub(super) struct Conversation<'a> {
    pub shared: &'a Arc<Shared>,
    pub control: watch::Receiver<Control>,
    pub run: &'a Run,
    pub heartbeat: Duration,
    pub compressed: bool,
}

impl Conversation<'_> {
    /// Connects, and talks until one side has had enough.
    pub(super) async fn hold(mut self, target: &Target) -> End {
        let (channel, token) = match target.open().await {
            Ok(open) => open,
            Err(error) => return End::failed(error.to_string()),
        };
        let mut client = IngestServiceClient::new(channel).accept_compressed(CompressionEncoding::Zstd);
        if self.compressed {
            client = client.send_compressed(CompressionEncoding::Zstd);
        }
        let (frames, outgoing) = mpsc::channel(1);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", token);
        }
        // There is room for one frame, and nothing was sent yet.
        if frames.try_send(frame(connect_request::Frame::Hello(self.hello()))).is_err() {
            return End::failed("the stream has no room for its first frame");
        }
        let welcomed = async {
            let mut responses = client.connect(request).await?.into_inner();
            let first = responses.message().await?;
            Ok::<_, Status>((responses, first))
        };
        let (responses, first) = match timeout(WELCOME, welcomed).await {
            Ok(Ok(welcomed)) => welcomed,
            Ok(Err(status)) => return End::refused(&status),
            Err(_) => return End::failed("the collector does not say welcome"),
        };
        let Some(ConnectResponse { frame: Some(connect_response::Frame::Welcome(welcome)) }) = first else {
            return End::failed("the collector does not begin with a welcome");
        };
        let Welcome { acknowledged, window_bytes, max_event_bytes, max_batch_bytes } = welcome;
        let grant = Grant { window_bytes, max_event_bytes, max_batch_bytes };
        if let Err(nonsense) = self.shared.lock().queue.connected(acknowledged, grant) {
            return End::nonsense(nonsense);
        }
        tracing::info!(collector = %target.address, acknowledged, window_bytes, "connected to the collector");
        self.talk(frames, responses).await
    }

    async fn talk(&mut self, frames: mpsc::Sender<ConnectRequest>, mut responses: Streaming<ConnectResponse>) -> End {
        let mut pulses = interval(self.heartbeat);
        pulses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut pulse_due, mut progress) = (false, false);
        let mut next_batch = Instant::now();
        loop {
            let (ready, bulk, empty) = {
                let queue = &self.shared.lock().queue;
                (queue.has_ready(), queue.ready_bytes() >= BULK, queue.accounting().held.events == 0)
            };
            let batch_due = ready && (bulk || Instant::now() >= next_batch);
            if empty && self.control.borrow().deadline.is_some() {
                farewell(frames, responses).await;
                return End { progress: true, ..End::quiet() };
            }
            tokio::select! {
                response = responses.message() => match self.heard(response) {
                    Ok(acknowledged) => progress |= acknowledged,
                    Err(end) => return End { progress, ..end },
                },
                changed = self.control.changed() => {
                    let over = changed.is_err();
                    let ending = self.control.borrow_and_update().deadline.is_some();
                    if over || !ending {
                        tracing::info!("connecting anew: the configuration has changed");
                        return End { progress: true, ..End::quiet() };
                    }
                }
                permit = frames.reserve(), if batch_due || pulse_due => match permit {
                    // First, for it is small, and a collector that never hears how the sensor is may think it dead.
                    Ok(permit) if pulse_due => {
                        pulse_due = false;
                        permit.send(frame(connect_request::Frame::Pulse(self.pulse())));
                    }
                    Ok(permit) => {
                        next_batch = Instant::now() + SPACING;
                        self.send_batch(permit);
                    }
                    // Why it ended is in the answers.
                    Err(_) => {
                        let end = self.heard(responses.message().await).err();
                        return End { progress, ..end.unwrap_or_else(|| End::failed("the collector has ended the stream")) };
                    }
                },
                () = sleep_until(next_batch), if ready && !batch_due => {}
                _ = pulses.tick() => pulse_due = true,
                () = self.shared.wake.notified() => {}
            }
        }
    }

    fn send_batch(&self, permit: mpsc::Permit<'_, ConnectRequest>) {
        let batch = self.shared.take();
        if batch.is_empty() {
            return;
        }
        let events = batch.iter().map(|event| event.to_vec()).collect();
        permit.send(frame(connect_request::Frame::Batch(Batch { events })));
    }

    /// True where something new was acknowledged.
    fn heard(&self, response: Result<Option<ConnectResponse>, Status>) -> Result<bool, End> {
        match response {
            Err(status) => Err(End::refused(&status)),
            Ok(None) => Err(End::failed("the collector has ended the stream")),
            Ok(Some(ConnectResponse { frame })) => match frame {
                Some(connect_response::Frame::Ack(Ack { sequence, window_bytes })) => {
                    let queue = &mut self.shared.lock().queue;
                    let before = queue.accounting().acknowledged.events;
                    queue.acknowledge(sequence, window_bytes).map_err(End::nonsense)?;
                    Ok(queue.accounting().acknowledged.events > before)
                }
                Some(connect_response::Frame::Welcome(_)) => Err(End::failed("the collector says welcome twice")),
                // A frame that this version does not know.
                None => Ok(false),
            },
        }
    }

    fn hello(&self) -> Hello {
        let Run { node, id, started } = self.run;
        Hello {
            node: node.clone(),
            run_id: id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: Some((*started).into()),
            first_sequence: self.shared.lock().queue.first(),
        }
    }

    fn pulse(&self) -> Pulse {
        let queue = &self.shared.lock().queue;
        let held = queue.accounting().held;
        Pulse { time: Some(SystemTime::now().into()), last_sequence: queue.newest(), held_events: held.events, held_bytes: held.bytes }
    }
}

/// Ends the stream in good order.
async fn farewell(frames: mpsc::Sender<ConnectRequest>, mut responses: Streaming<ConnectResponse>) {
    drop(frames);
    let until_the_end = async { while let Ok(Some(_)) = responses.message().await {} };
    let begun = Instant::now();
    let _ = timeout(FAREWELL, until_the_end).await;
    tracing::debug!(took = ?begun.elapsed(), "said goodbye to the collector");
}

const fn frame(frame: connect_request::Frame) -> ConnectRequest {
    ConnectRequest { frame: Some(frame) }
}
