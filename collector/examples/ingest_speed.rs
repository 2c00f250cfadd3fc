//! How fast the collector is. Prints one JSON object a line: `{"row": ..., "value": ..., "unit": ...}`.
//!
//! `cargo run --release -p collector --example ingest_speed -- [STORED_MILLIONS] [SUBSCRIBERS...]`: fills a store to so many
//! million events (1 unless said otherwise), measures on the way, and searches them. Without a number of subscribers, those of
//! the design; `none` leaves the network out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement that cannot be made fails"
)]

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use collector::config::{Address, Settings};
use collector::event::keys::timestamp;
use collector::event::{Filter, keys::Reader};
use collector::ingest::{Run, RunId, Sequencer};
use collector::live::Log;
use collector::serve::Server;
use collector::store::sqlite::Opened;
use collector::store::{PageRequest, Queue, Store};
use mcp_sensor_proto::v1::collector_service_client::CollectorServiceClient;
use mcp_sensor_proto::v1::connect_request::Frame;
use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::ingest_service_client::IngestServiceClient;
use mcp_sensor_proto::v1::{
    Ancestor, Batch, ConnectRequest, Event, Hello, Message, Peer, Session, SubscribeRequest, ToolCall, connect_response,
    subscribe_response::Item,
};
use prost::Message as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

const BATCH: u64 = 500;

/// One event of so many has words that no other has.
const RARE: u64 = 50_000;

fn row(name: &str, value: f64, unit: &str) {
    println!("{}", serde_json::json!({ "row": name, "value": (value * 100.0).round() / 100.0, "unit": unit }));
}

/// Numbers that look random.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A typical event of about 850 bytes: 200 sessions, 40 servers, 60 tools, contents that differ.
fn event(run: u64, sequence: u64) -> Event {
    let at = 1_800_000_000_000_000_000 + sequence as i64 * 20_000;
    let random = mix(sequence);
    let session = random % 200;
    let peer = |pid: u64, exe: &str, script: String| Peer {
        pid: pid as u32,
        start_time: Some(timestamp(1_799_000_000_000_000_000 + pid as i64)),
        exe: exe.to_owned(),
        command_line: vec![exe.to_owned(), script],
        working_directory: format!("/home/user/project-{}", pid % 17),
        exe_sha256: format!("{:016x}{:016x}{:016x}{:016x}", mix(pid % 5), mix(pid % 5 + 9), mix(pid % 5 + 99), mix(pid % 5 + 999)),
        cgroup: "/user.slice/user-1000.slice/user@1000.service/app.slice".to_owned(),
        uid: Some(1000),
        user: "user".to_owned(),
        ancestors: vec![Ancestor { pid: 1_000, exe: "/usr/bin/bash".to_owned(), ..Ancestor::default() }],
        systemd_unit: "user@1000.service".to_owned(),
        ..Peer::default()
    };
    let body = if sequence.is_multiple_of(2) {
        Body::Message(Message {
            direction: 1,
            r#type: 1,
            method: ["tools/call", "tools/list", "resources/read", "ping"][(random >> 8) as usize % 4].to_owned(),
            request_id: sequence.to_string(),
            size_bytes: 300,
            sha256: format!("{:016x}{:016x}{:016x}{:016x}", random, mix(random), mix(random + 1), mix(random + 2)),
            body: format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{sequence},\"method\":\"tools/call\",\"params\":{{\"name\":\"tool_{}\",\"arguments\":{{\"query\":\"{:x} {:x}\",\"path\":\"/home/user/project/src/{:x}.rs\",\"maxResults\":50,\"caseSensitive\":false}}}}}}",
                random % 60,
                mix(random + 3),
                mix(random + 4),
                mix(random + 9)
            ),
            ..Message::default()
        })
    } else {
        Body::ToolCall(ToolCall {
            state: 1 + (random >> 16) as i32 % 2,
            request_id: sequence.to_string(),
            tool: format!("tool_{}", random % 60),
            arguments: format!(
                "{{\"path\":\"/home/user/{}{:x}/{:x}.rs\",\"limit\":100}}",
                if sequence % RARE == 1 { "rare-words/" } else { "" },
                mix(random + 5),
                mix(random + 6)
            ),
            is_error: sequence % 1_000 == 3,
            result: format!(
                "{{\"content\":[{{\"type\":\"text\",\"text\":\"{:x} {:x} and some words that do not change\"}}],\"structuredContent\":{{\"rows\":{},\"digest\":\"{:x}{:x}\",\"next\":null,\"status\":\"complete\"}}}}",
                mix(random + 7),
                mix(random + 8),
                random % 977,
                mix(random + 9),
                mix(random + 10)
            ),
            duration_ms: Some((random % 1000) as f64 / 10.0),
            request_bytes: 300,
            response_bytes: 400,
            ..ToolCall::default()
        })
    };
    Event {
        id: format!("{at:016x}{:016x}", (run << 48) | (mix(sequence) >> 20)),
        time: Some(timestamp(at)),
        node: "bench-host-1".to_owned(),
        sequence,
        session: Some(Session {
            id: format!("{:016x}", mix(session)),
            transport: 1,
            framing: 1,
            protocol_version: "2025-11-25".to_owned(),
            ..Session::default()
        }),
        client: Some(peer(2_000 + session / 4, "/usr/bin/claude", "--resume".to_owned())),
        server: Some(peer(4_000 + session, "/usr/bin/node", format!("/opt/servers/server-{}/dist/index.js", session % 40))),
        severity: 1 + (random >> 24) as i32 % 3,
        body: Some(body),
    }
}

fn encoded(run: u64, first: u64, count: u64) -> Vec<Bytes> {
    (first..first + count).map(|sequence| event(run, sequence).encode_to_vec().into()).collect()
}

/// Seconds of processor time of this process so far.
fn cpu() -> f64 {
    let times = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    times.tv_sec as f64 + times.tv_nsec as f64 / 1e9
}

fn settings(directory: &std::path::Path) -> Settings {
    let mut settings = Settings { listen: vec![Address::Unix(directory.join("socket"))], ..Settings::default() };
    settings.store.directory = directory.join("store");
    settings.store.max_bytes = None;
    settings.store.max_age = None;
    settings.limits.window_bytes = 16 << 20;
    settings
}

/// The store alone: keys, sequence, SQLite.
async fn store(millions: u64) {
    const MEASURED: u64 = 400_000;
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    let opened = Opened::open(&settings.store).unwrap();
    let reader = opened.store();
    let queue = Arc::new(Queue::new(64 << 20));
    let next = opened.next_cursor();
    let log = Arc::new(Log::new(next - 1, 64 << 20));
    let sequencer = Sequencer::new(next, Arc::clone(&log), Arc::clone(&queue));
    let writer = opened.start(&settings.store, Arc::clone(&queue), log).unwrap();
    let run = Arc::new(Run::new(RunId(7), "bench-host-1".into(), 0));
    let mut keys = Reader::default();
    let mut sequence = 1;
    let size: usize = encoded(7, 1, 1_000).iter().map(Bytes::len).sum::<usize>() / 1_000;
    row("bytes of an event", size as f64, "bytes");
    let total = millions * 1_000_000;
    let mut filled = 0;
    for at in [0, total] {
        while filled < at {
            feed(&sequencer, &queue, &run, &mut keys, encoded(7, sequence, BATCH)).await;
            sequence += BATCH;
            filled += BATCH;
        }
        wait_stored(&run, sequence - 1).await;
        // Made before, so that only the collector's work is measured.
        let batches: Vec<_> = (0..MEASURED / BATCH).map(|batch| encoded(7, sequence + batch * BATCH, BATCH)).collect();
        let (began, began_cpu) = (Instant::now(), cpu());
        for batch in batches {
            feed(&sequencer, &queue, &run, &mut keys, batch).await;
        }
        sequence += MEASURED;
        filled += MEASURED;
        wait_stored(&run, sequence - 1).await;
        let name = format!("store alone, at {} million stored", at / 1_000_000);
        row(&name, MEASURED as f64 / began.elapsed().as_secs_f64(), "events/s");
        row(&format!("{name}, per processor second"), MEASURED as f64 / (cpu() - began_cpu), "events/s");
    }
    let status = reader.status();
    row("on disk", status.bytes as f64 / status.events as f64, "bytes/event");
    search(&reader, status.events).await;
    let began = Instant::now();
    drop(sequencer);
    tokio::task::spawn_blocking(|| writer.finish()).await.unwrap().unwrap();
    row("closing", began.elapsed().as_secs_f64() * 1e3, "ms");
    let began = Instant::now();
    drop(reader);
    drop(Opened::open(&settings.store).unwrap());
    row("opening after a clean end", began.elapsed().as_secs_f64() * 1e3, "ms");
    let began = Instant::now();
    drop(Opened::open(&settings.store).unwrap());
    row("opening after an unclean end", began.elapsed().as_secs_f64() * 1e3, "ms");
}

/// Queries as a person asks them: the newest hundred, or all where there are fewer.
async fn search(reader: &Store, stored: u64) {
    const WANTED: usize = 100;
    const ROUNDS: usize = 7;
    use mcp_sensor_proto::v1::Filter as Asked;
    let text = |text: &str| vec![text.to_owned()];
    for (name, filter) in [
        ("everything", Asked::default()),
        ("one tool of 60", Asked { tools: text("tool_7"), ..Asked::default() }),
        ("one session of 200", Asked { sessions: vec![format!("{:016x}", mix(3))], ..Asked::default() }),
        ("servers by a pattern", Asked { servers: text("server-1*"), ..Asked::default() }),
        ("a process by its id", Asked { processes: text("4007"), ..Asked::default() }),
        ("a process that all events have", Asked { processes: text("claude"), ..Asked::default() }),
        ("a process that none has", Asked { processes: text("nobody"), ..Asked::default() }),
        ("a container that none has", Asked { containers: text("3f2a"), ..Asked::default() }),
        ("what failed", Asked { failures: vec![0], ..Asked::default() }),
        ("rare words in arguments", Asked { arguments: text("rare-words"), ..Asked::default() }),
        ("words that no argument has", Asked { arguments: text("/etc/shadow"), ..Asked::default() }),
        (
            "words in all arguments, in a session",
            Asked { arguments: text("/home/user"), sessions: vec![format!("{:016x}", mix(3))], ..Asked::default() },
        ),
        ("words in errors", Asked { errors: text("status\":\"complete"), ..Asked::default() }),
    ] {
        let filter = Arc::new(Filter::new(Some(&filter)).unwrap());
        let (mut times, mut found) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let mut before = u64::MAX;
            found = 0;
            while found < WANTED {
                let limit = WANTED - found;
                let filter = Arc::clone(&filter);
                let page =
                    reader.page(PageRequest { filter, from: None, to: None, after: 0, before, limit, descending: true }).await.unwrap();
                found += page.events.len();
                match page.next {
                    Some(next) => before = next,
                    None => break,
                }
            }
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let name = format!("search {stored} events: {name}, {found} found");
        row(&name, times[ROUNDS / 2], "ms");
        row(&format!("{name}, slowest of {ROUNDS}"), times[ROUNDS - 1], "ms");
    }
}

async fn feed(sequencer: &Sequencer, queue: &Arc<Queue>, run: &Arc<Run>, keys: &mut Reader, events: Vec<Bytes>) {
    let bytes = events.iter().map(|event| event.len() + 512).sum();
    let read = events.into_iter().map(|event| (keys.read(&event).unwrap(), event)).collect();
    let permit = queue.reserve(bytes).await;
    sequencer.accept(run, read, permit, 1);
}

async fn wait_stored(run: &Run, sequence: u64) {
    run.stored.subscribe().wait_for(|stored| *stored >= sequence).await.unwrap();
}

/// Everything: gRPC in, store, gRPC out to subscribers. Client and server share the machine.
async fn served(subscribers: usize, events: u64) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(settings(directory.path())).await.unwrap();
    let path = directory.path().join("socket");
    let connect = || {
        let path = path.clone();
        async move {
            let connector = tower::service_fn(move |_: tonic::transport::Uri| {
                let path = path.clone();
                async move { tokio::net::UnixStream::connect(path).await.map(hyper_util::rt::TokioIo::new) }
            });
            Endpoint::from_static("http://collector.invalid").connect_with_connector(connector).await.unwrap()
        }
    };
    let mut reading = tokio::task::JoinSet::new();
    let mut channel = connect().await;
    for number in 0..subscribers {
        if number % 32 == 31 {
            channel = connect().await;
        }
        let mut stream = CollectorServiceClient::new(channel.clone()).subscribe(SubscribeRequest::default()).await.unwrap().into_inner();
        assert!(matches!(stream.message().await.unwrap().unwrap().item, Some(Item::Live(_))));
        reading.spawn(async move {
            let (mut got, mut missed) = (0, 0);
            while got + missed < events {
                match stream.message().await.unwrap().unwrap().item {
                    Some(Item::Event(_)) => got += 1,
                    Some(Item::Missed(more)) => missed += more.events,
                    _ => {}
                }
            }
            (got, missed)
        });
    }
    let batches: Vec<Vec<Vec<u8>>> =
        (0..events / BATCH).map(|batch| encoded(9, 1 + batch * BATCH, BATCH).into_iter().map(Vec::from).collect()).collect();
    let (requests, receiver) = tokio::sync::mpsc::channel(4);
    let hello = Hello { node: "bench-host-1".to_owned(), run_id: format!("{:032x}", 9), ..Hello::default() };
    requests.send(ConnectRequest { frame: Some(Frame::Hello(hello)) }).await.unwrap();
    let mut answers = IngestServiceClient::new(connect().await).connect(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    let (began, began_cpu) = (Instant::now(), cpu());
    let sizes: Vec<u64> = batches.iter().map(|batch| batch.iter().map(|event| event.len() as u64).sum()).collect();
    let window = Arc::new(tokio::sync::Semaphore::new(15 << 20));
    let granted = Arc::clone(&window);
    let sending = tokio::spawn(async move {
        for (batch, size) in batches.into_iter().zip(sizes) {
            granted.acquire_many(size as u32).await.unwrap().forget();
            requests.send(ConnectRequest { frame: Some(Frame::Batch(Batch { events: batch })) }).await.unwrap();
        }
        requests
    });
    let (mut acknowledged, mean) = (0, encoded(9, 1, 1_000).iter().map(Bytes::len).sum::<usize>() / 1_000);
    while acknowledged < events {
        if let Some(connect_response::Frame::Ack(ack)) = answers.message().await.unwrap().unwrap().frame {
            window.add_permits((ack.sequence - acknowledged) as usize * mean);
            acknowledged = ack.sequence;
        }
    }
    row(&format!("gRPC ingest with {subscribers} subscribers"), events as f64 / began.elapsed().as_secs_f64(), "events/s");
    if subscribers > 0 {
        let (mut got, mut missed) = (0, 0);
        while let Some(result) = reading.join_next().await {
            let (one_got, one_missed) = result.unwrap();
            got += one_got;
            missed += one_missed;
        }
        row(&format!("fan-out to {subscribers} subscribers"), got as f64 / began.elapsed().as_secs_f64(), "events/s");
        row(&format!("fan-out to {subscribers} subscribers: missed, and told"), missed as f64, "events");
    }
    row(&format!("processor time with {subscribers} subscribers, clients included"), (cpu() - began_cpu) * 1e6 / events as f64, "us/event");
    drop((sending.await.unwrap(), answers, channel));
    server.finish().await.unwrap();
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let millions = arguments.first().map_or(1, |text| text.parse().expect("millions of events"));
    let counts: Vec<usize> = match arguments.get(1..).unwrap_or_default() {
        [] => vec![0, 1, 100, 1_000],
        [none] if none == "none" => Vec::new(),
        counts => counts.iter().map(|text| text.parse().expect("a number of subscribers")).collect(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(store(millions));
    for subscribers in counts {
        runtime.block_on(served(subscribers, (2_000_000 / (subscribers as u64 + 6)).clamp(2_000, 300_000) / BATCH * BATCH));
    }
}
