//! A collector in a temporary directory, a sensor, and events.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use collector::config::{Address, Settings};
use collector::event::keys::timestamp;
use collector::serve::Server;
use hyper_util::rt::TokioIo;
use mcp_sensor_proto::v1::collector_service_client::CollectorServiceClient;
use mcp_sensor_proto::v1::connect_request::Frame;
use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::ingest_service_client::IngestServiceClient;
use mcp_sensor_proto::v1::subscribe_response::Item;
use mcp_sensor_proto::v1::{
    Batch, CollectorStatus, ConnectRequest, ConnectResponse, Event, Hello, ListSensorsRequest, Missed, Peer, QueryRequest, Session,
    StoredEvent, SubscribeRequest, SubscribeResponse, ToolCall, Welcome, connect_response,
};
use prost::Message as _;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Status, Streaming};

/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("it comes in time")
}

/// A running collector, its directory and a channel to it.
pub struct Running {
    pub server: Server,
    pub directory: TempDir,
    pub channel: Channel,
}

pub fn settings(directory: &Path) -> Settings {
    let mut settings = Settings { listen: vec![Address::Unix(directory.join("socket"))], ..Settings::default() };
    settings.store.directory = directory.join("store");
    settings
}

pub async fn start() -> Running {
    start_with(|_| {}).await
}

pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Running {
    start_in(tempfile::tempdir().unwrap(), change).await
}

pub async fn start_in(directory: TempDir, change: impl FnOnce(&mut Settings)) -> Running {
    let mut settings = settings(directory.path());
    change(&mut settings);
    let server = Server::start(settings).await.unwrap();
    let channel = unix(&directory.path().join("socket")).await;
    Running { server, directory, channel }
}

pub async fn unix(path: &Path) -> Channel {
    let path = path.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://collector.invalid").connect_with_connector(connector).await.unwrap()
}

impl Running {
    pub fn reader(&self) -> CollectorServiceClient<Channel> {
        CollectorServiceClient::new(self.channel.clone()).max_decoding_message_size(64 << 20)
    }

    pub async fn sensor(&self, run: u128) -> Sensor {
        Sensor::connect(self.channel.clone(), run).await.unwrap()
    }

    /// Everything that is stored and matches.
    pub async fn query(&self, request: QueryRequest) -> Vec<StoredEvent> {
        query_all(&mut self.reader(), request).await
    }

    pub async fn status(&self) -> CollectorStatus {
        self.reader().list_sensors(ListSensorsRequest {}).await.unwrap().into_inner().collector.unwrap()
    }

    /// How often something was refused for a reason.
    pub async fn refused(&self, reason: &str) -> u64 {
        self.status().await.refused.get(reason).copied().unwrap_or(0)
    }

    pub async fn subscribe(&self, request: SubscribeRequest) -> Subscriber {
        Subscriber { stream: self.reader().subscribe(request).await.unwrap().into_inner() }
    }

    /// Stops it and gives back its directory.
    pub async fn stop(self) -> TempDir {
        soon(self.server.finish()).await.unwrap();
        self.directory
    }
}

pub async fn query_all(client: &mut CollectorServiceClient<Channel>, mut request: QueryRequest) -> Vec<StoredEvent> {
    let mut events = Vec::new();
    loop {
        let page = client.query(request.clone()).await.unwrap().into_inner();
        events.extend(page.events);
        if page.next_page_token.is_empty() {
            return events;
        }
        request.page_token = page.next_page_token;
    }
}

/// A subscriber.
pub struct Subscriber {
    pub stream: Streaming<SubscribeResponse>,
}

impl Subscriber {
    pub async fn next(&mut self) -> SubscribeResponse {
        soon(self.stream.message()).await.unwrap().expect("the stream goes on")
    }

    /// So many events, with their cursors; and what was missed between.
    pub async fn events(&mut self, count: usize) -> (Vec<(u64, Event)>, Vec<Missed>) {
        let (mut events, mut missed) = (Vec::new(), Vec::new());
        while events.len() + missed.iter().map(|missed: &Missed| missed.events as usize).sum::<usize>() < count {
            let response = self.next().await;
            match response.item.unwrap() {
                Item::Event(event) => events.push((response.cursor, event)),
                Item::Missed(more) => missed.push(more),
                Item::Live(_) => {}
            }
        }
        (events, missed)
    }

    pub async fn live(&mut self) {
        assert!(matches!(self.next().await.item, Some(Item::Live(_))));
    }
}

/// A sensor's stream.
pub struct Sensor {
    pub requests: mpsc::Sender<ConnectRequest>,
    pub answers: Streaming<ConnectResponse>,
    pub welcome: Welcome,
}

pub fn hello(run: u128) -> Hello {
    Hello { node: "host".to_owned(), run_id: format!("{run:032x}"), version: "1".to_owned(), ..Hello::default() }
}

pub fn frame(frame: Frame) -> ConnectRequest {
    ConnectRequest { frame: Some(frame) }
}

pub fn batch(events: &[Event]) -> ConnectRequest {
    frame(Frame::Batch(Batch { events: events.iter().map(Event::encode_to_vec).collect() }))
}

/// Opens a stream and says nothing.
pub async fn open(channel: Channel) -> (mpsc::Sender<ConnectRequest>, Streaming<ConnectResponse>) {
    let (requests, receiver) = mpsc::channel(16);
    let mut client = IngestServiceClient::new(channel).max_encoding_message_size(64 << 20);
    let answers = soon(client.connect(ReceiverStream::new(receiver))).await.unwrap().into_inner();
    (requests, answers)
}

impl Sensor {
    pub async fn connect(channel: Channel, run: u128) -> Result<Self, Status> {
        let (requests, mut answers) = open(channel).await;
        // A stream that was refused already takes nothing, and tells why.
        let _ = requests.send(frame(Frame::Hello(hello(run)))).await;
        match soon(answers.message()).await?.and_then(|answer| answer.frame) {
            Some(connect_response::Frame::Welcome(welcome)) => Ok(Self { requests, answers, welcome }),
            other => panic!("{other:?}"),
        }
    }

    pub async fn send(&self, events: &[Event]) {
        soon(self.requests.send(batch(events))).await.unwrap();
    }

    /// Waits until a sequence is acknowledged.
    pub async fn acked(&mut self, sequence: u64) {
        while soon(self.ack()).await < sequence {}
    }

    async fn ack(&mut self) -> u64 {
        match self.answers.message().await.unwrap().expect("the stream goes on").frame {
            Some(connect_response::Frame::Ack(ack)) => ack.sequence,
            other => panic!("{other:?}"),
        }
    }

    /// How the stream ends.
    pub async fn end(&mut self) -> Status {
        end(&mut self.answers).await
    }
}

pub async fn end(answers: &mut Streaming<ConnectResponse>) -> Status {
    loop {
        match soon(answers.message()).await {
            Ok(Some(_)) => {}
            Ok(None) => return Status::ok("ended"),
            Err(status) => return status,
        }
    }
}

/// 2027-01-15.
pub const START: i64 = 1_800_000_000_000_000_000;
const MILLISECOND: i64 = 1_000_000;

/// The event with this sequence of this run, one a millisecond.
pub fn event(run: u128, sequence: u64) -> Event {
    let nanoseconds = START + sequence as i64 * MILLISECOND;
    let peer = |pid: u32, exe: &str| Peer { pid, exe: exe.to_owned(), ..Peer::default() };
    let call = ToolCall {
        state: 1 + (sequence % 2) as i32,
        request_id: sequence.to_string(),
        tool: format!("tool_{}", sequence % 5),
        arguments: "{\"path\":\"/etc/hosts\"}".to_owned(),
        ..ToolCall::default()
    };
    Event {
        id: format!("{:016x}{:016x}", nanoseconds, (run as u64) << 32 | sequence),
        time: Some(timestamp(nanoseconds)),
        node: "host".to_owned(),
        sequence,
        session: Some(Session { id: format!("{:016x}", sequence % 3), transport: 1, ..Session::default() }),
        client: Some(peer(1, "/usr/bin/claude")),
        server: Some(peer(2 + (sequence % 3) as u32, &format!("/usr/bin/server-{}", sequence % 3))),
        severity: 1 + (sequence % 6) as i32,
        body: Some(Body::ToolCall(call)),
    }
}

pub fn events(run: u128, sequences: impl IntoIterator<Item = u64>) -> Vec<Event> {
    sequences.into_iter().map(|sequence| event(run, sequence)).collect()
}

pub fn sequences<'a>(events: impl IntoIterator<Item = &'a StoredEvent>) -> Vec<u64> {
    events.into_iter().map(|stored| stored.event.as_ref().unwrap().sequence).collect()
}
