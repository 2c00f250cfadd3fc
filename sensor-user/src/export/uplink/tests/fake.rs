//! A collector that does what a script says.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mcp_sensor_proto::v1::ingest_service_server::{IngestService, IngestServiceServer};
use mcp_sensor_proto::v1::{Ack, ConnectRequest, ConnectResponse, Event, Hello, Pulse, Welcome, connect_request, connect_response};
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::codec::CompressionEncoding;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// How long a test waits for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What the collector does on one connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Stores and acknowledges.
    Serve { window: u64, max_batch: u64 },
    /// Stores so many events, acknowledges each batch, then fails.
    FailAfter(usize),
    /// Stores, and never acknowledges.
    Silent { window: u64 },
    /// Welcomes with this, and serves on.
    Welcome(Welcome),
    /// Answers every batch with this.
    Answer(Ack),
    /// Asks for this token.
    Token(&'static str),
    /// Stores and acknowledges, and takes no compressed frames.
    Uncompressed,
    /// Never welcomes nor refuses.
    Mute,
}

pub(super) const SERVE: Act = Act::Serve { window: 1 << 20, max_batch: 64 << 10 };

/// What the collector has seen.
#[derive(Default)]
pub(super) struct Seen {
    pub hellos: Vec<Hello>,
    pub pulses: Vec<Pulse>,
    pub connections: usize,
    /// Each connection's events as they came.
    pub came: Vec<(usize, Event)>,
    /// Sizes of batches, in events.
    pub batches: Vec<usize>,
    /// When each event came.
    pub times: Vec<Instant>,
    pub stored: u64,
    pub ended_well: usize,
}

impl Seen {
    pub(super) fn sequences(&self) -> Vec<u64> {
        self.came.iter().map(|(_, event)| event.sequence).collect()
    }
}

#[derive(Clone, Default)]
pub(super) struct Watched(Arc<(Mutex<Seen>, Condvar)>);

impl Watched {
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Seen) -> T) -> T {
        let result = act(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
        result
    }

    /// Waits until it is so.
    pub(super) fn until(&self, what: &str, mut so: impl FnMut(&Seen) -> bool) {
        let begun = Instant::now();
        let mut seen = self.0.0.lock().unwrap();
        while !so(&seen) {
            let left = PATIENCE.checked_sub(begun.elapsed());
            let left = left.unwrap_or_else(|| panic!("waited in vain until {what}; {} events came", seen.came.len()));
            seen = self.0.1.wait_timeout(seen, left).unwrap().0;
        }
    }
}

/// A running collector; dropping it cuts all connections.
pub(super) struct Fake {
    pub seen: Watched,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// On a unix socket. The acts are of the first connection, the second …; the last goes on.
    pub(super) fn start(path: &Path, acts: &[Act]) -> Self {
        Self::resume(path, acts, Watched::default())
    }

    /// The same with what another has stored.
    pub(super) fn resume(path: &Path, acts: &[Act], seen: Watched) -> Self {
        let path = path.to_owned();
        let _ = std::fs::remove_file(&path);
        let service = Service { acts: acts.to_vec(), seen: seen.clone() };
        // A collector that takes no compressed frames says so by itself.
        let compressed = !matches!(acts.first(), Some(Act::Uncompressed));
        Self::run(seen, move || {
            let incoming = UnixListenerStream::new(tokio::net::UnixListener::bind(path).unwrap());
            Box::pin(async move {
                let server = if compressed { service.server() } else { IngestServiceServer::new(service) };
                Server::builder().add_service(server).serve_with_incoming(incoming).await.unwrap();
            })
        })
    }

    /// On a port of this machine, with TLS. Gives the port.
    pub(super) fn start_tls(acts: &[Act], tls: ServerTlsConfig) -> (Self, u16) {
        let seen = Watched::default();
        let service = Service { acts: acts.to_vec(), seen: seen.clone() };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = Self::run(seen, move || {
            let incoming = TcpListenerStream::new(tokio::net::TcpListener::from_std(listener).unwrap());
            Box::pin(async move {
                let mut server = Server::builder().tls_config(tls).unwrap();
                server.add_service(service.server()).serve_with_incoming(incoming).await.unwrap();
            })
        });
        (fake, port)
    }

    fn run(seen: Watched, serve: impl FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let serving = serve();
                ready.send(()).unwrap();
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv_timeout(PATIENCE).unwrap();
        Self { seen, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

struct Service {
    acts: Vec<Act>,
    seen: Watched,
}

impl Service {
    fn server(self) -> IngestServiceServer<Self> {
        IngestServiceServer::new(self)
            .accept_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(64 << 20)
    }
}

#[tonic::async_trait]
impl IngestService for Service {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<ConnectResponse, Status>> + Send>>;

    async fn connect(&self, request: Request<Streaming<ConnectRequest>>) -> Result<Response<Self::ConnectStream>, Status> {
        let connection = self.seen.with(|seen| {
            seen.connections += 1;
            seen.connections - 1
        });
        let act = *self.acts.get(connection).unwrap_or_else(|| self.acts.last().unwrap());
        if let Act::Token(token) = act {
            let given = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
            if given != Some(&format!("Bearer {token}")) {
                return Err(Status::unauthenticated("no such token"));
            }
        }
        let (answers, answered) = mpsc::channel(16);
        let mut talk = Talk { connection, act, seen: self.seen.clone(), answers, stored_here: 0 };
        let mut frames = request.into_inner();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = frames.next().await {
                if talk.take(frame).await.is_none() {
                    return;
                }
            }
            talk.seen.with(|seen| seen.ended_well += 1);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answered))))
    }
}

struct Talk {
    connection: usize,
    act: Act,
    seen: Watched,
    answers: mpsc::Sender<Result<ConnectResponse, Status>>,
    stored_here: usize,
}

impl Talk {
    /// `None`: enough.
    async fn take(&mut self, request: ConnectRequest) -> Option<()> {
        match request.frame? {
            connect_request::Frame::Hello(hello) => {
                let stored = self.seen.with(|seen| {
                    seen.hellos.push(hello);
                    seen.stored
                });
                let grant = Welcome { acknowledged: stored, window_bytes: 1 << 20, max_event_bytes: 1 << 20, max_batch_bytes: 64 << 10 };
                let welcome = match self.act {
                    Act::Serve { window, max_batch } => Welcome { window_bytes: window, max_batch_bytes: max_batch, ..grant },
                    Act::Silent { window } => Welcome { window_bytes: window, ..grant },
                    Act::Welcome(welcome) => welcome,
                    Act::Mute => return Some(()),
                    _ => grant,
                };
                self.say(connect_response::Frame::Welcome(welcome)).await
            }
            connect_request::Frame::Pulse(pulse) => {
                self.seen.with(|seen| seen.pulses.push(pulse));
                Some(())
            }
            connect_request::Frame::Batch(batch) => self.store(batch.events).await,
        }
    }

    async fn store(&mut self, events: Vec<Vec<u8>>) -> Option<()> {
        let connection = self.connection;
        let silent = matches!(self.act, Act::Silent { .. });
        let mut events: Vec<Event> = events.iter().map(|event| Event::decode(event.as_slice()).unwrap()).collect();
        if let Act::FailAfter(number) = self.act {
            events.truncate(number - self.stored_here.min(number));
        }
        self.stored_here += events.len();
        let stored_here = self.stored_here;
        let last = self.seen.with(|seen| {
            seen.batches.push(events.len());
            seen.times.resize(seen.times.len() + events.len(), Instant::now());
            let last = events.last().map_or(seen.stored, |event| event.sequence);
            seen.came.extend(events.into_iter().map(|event| (connection, event)));
            if !silent {
                seen.stored = seen.stored.max(last);
            }
            last
        });
        match self.act {
            Act::Silent { .. } => Some(()),
            Act::Answer(ack) => self.say(connect_response::Frame::Ack(ack)).await,
            Act::FailAfter(number) if stored_here >= number => {
                let _ = self.answers.send(Err(Status::unavailable("come back"))).await;
                None
            }
            Act::Serve { window, .. } => self.say(connect_response::Frame::Ack(Ack { sequence: last, window_bytes: window })).await,
            _ => self.say(connect_response::Frame::Ack(Ack { sequence: last, window_bytes: 1 << 20 })).await,
        }
    }

    async fn say(&self, frame: connect_response::Frame) -> Option<()> {
        self.answers.send(Ok(ConnectResponse { frame: Some(frame) })).await.ok()
    }
}
