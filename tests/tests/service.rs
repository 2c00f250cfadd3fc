//! The sensor as a service and the collector, end to end: what a subscription delivers is what the endpoints logged, each
//! event once, whatever becomes of the collector meanwhile.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: what goes wrong fails it")]

use end_to_end::{
    harness::{Sensor, agent, beside, end_with_this_process, run},
    truth::compare::Options,
};
use mcp_sensor_proto::{json, v1};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use v1::{collector_service_client::CollectorServiceClient, subscribe_request::Start, subscribe_response::Item};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long the collector is away.
const AWAY: Duration = Duration::from_secs(30);

/// A child that ends with this value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        end_with_this_process(command);
        Self(command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    fn end(mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
        let status = self.0.wait().unwrap();
        assert!(signal == Signal::KILL || status.success(), "it ended with {status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with a collector's socket and store.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn address(&self) -> String {
        format!("unix:{}", self.0.path().join("collector.sock").display())
    }

    fn collector(&self) -> Running {
        self.collector_with("")
    }

    fn collector_with(&self, settings: &str) -> Running {
        let mut command = Command::new(beside("mcp-collector"));
        let config = self.0.path().join("collector.toml");
        std::fs::write(&config, settings).unwrap();
        command.args(["serve", "--log-level", "warn", "--listen", &self.address(), "--config"]).arg(config);
        command.arg("--directory").arg(self.0.path().join("store"));
        Running::start(&mut command)
    }

    fn sensor(&self) -> Running {
        self.sensor_with(&[])
    }

    fn sensor_with(&self, settings: &[&str]) -> Running {
        let mut command = Command::new(agent());
        command.args(["run", "--payload", "full", "--log-level", "error", "--collector", &self.address()]);
        // Room for what half a minute of this load makes, and no long wait once the collector is there again.
        command.args(["--buffer-mib", "256", "--backoff-max", "1s"]).args(settings);
        Running::start(&mut command)
    }

    fn logs(&self, name: &str) -> PathBuf {
        let folder = self.0.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    }
}

/// What a subscriber got.
#[derive(Default)]
struct Got {
    ids: HashSet<String>,
    /// Events whose id was there already: sent again by the sensor because the collector died before it said that it had them.
    again: u64,
    sequence: u64,
    /// Sequences that did not follow the one before.
    holes: Vec<(u64, u64)>,
    missed: u64,
    /// Sessions that have closed: all of theirs came before.
    closed: usize,
    stopping: bool,
}

/// A subscriber that goes on where it was after each interruption.
struct Subscriber {
    heard: &'static Sensor,
    got: Arc<(Mutex<Got>, Condvar)>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Subscriber {
    fn start(address: String) -> Self {
        let heard: &'static Sensor = Box::leak(Box::default());
        let got: Arc<(Mutex<Got>, Condvar)> = Arc::default();
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (got, ended) = (Arc::clone(&got), Arc::clone(&ended));
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let mut cursor = 0;
                    while !ended.load(Ordering::Acquire) {
                        let _ = subscribe(&address, &mut cursor, heard, &got, &ended).await;
                        // Nobody is there at the moment: the loop asks again.
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                });
            }
        });
        Self { heard, got, ended, thread: Some(thread) }
    }

    fn wait(&self, what: &str, holds: impl Fn(&Got) -> bool) {
        let (got, changed) = &*self.got;
        let (got, _) = changed.wait_timeout_while(got.lock().unwrap(), LIMIT, |got| !holds(got)).unwrap();
        assert!(holds(&got), "waiting for {what}");
    }

    fn end(mut self) -> Got {
        self.ended.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.got.0.lock().unwrap())
    }
}

async fn connect(address: &str) -> Result<CollectorServiceClient<tonic::transport::Channel>, Box<dyn std::error::Error>> {
    let channel = tonic::transport::Endpoint::from_shared(address.to_owned())?.connect().await?;
    Ok(CollectorServiceClient::new(channel).max_decoding_message_size(64 << 20))
}

async fn subscribe(
    address: &str,
    cursor: &mut u64,
    heard: &Sensor,
    got: &(Mutex<Got>, Condvar),
    ended: &AtomicBool,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut client = connect(address).await?;
    let request = v1::SubscribeRequest { start: Some(Start::AfterCursor(*cursor)), allow_gap: true, ..v1::SubscribeRequest::default() };
    let mut stream = client.subscribe(request).await?.into_inner();
    loop {
        let next = tokio::time::timeout(Duration::from_millis(100), stream.message()).await;
        let item = match next {
            Err(_) if ended.load(Ordering::Acquire) => return Ok(()),
            Err(_) => continue,
            Ok(message) => message?,
        };
        let Some(item) = item else { return Ok(()) };
        if let Some(Item::Missed(missed)) = &item.item {
            // The store has them: on from there.
            *cursor = missed.first_cursor - 1;
            got.0.lock().unwrap().missed += missed.events;
            return Ok(());
        }
        *cursor = item.cursor.max(*cursor);
        take(item.item, heard, &mut got.0.lock().unwrap());
        got.1.notify_all();
    }
}

fn take(item: Option<Item>, heard: &Sensor, got: &mut Got) {
    match item {
        Some(Item::Event(event)) => {
            if !got.ids.insert(event.id.clone()) {
                got.again += 1;
                return;
            }
            if event.sequence != got.sequence + 1 {
                got.holes.push((got.sequence, event.sequence));
            }
            got.sequence = event.sequence;
            got.closed += usize::from(
                matches!(&event.body, Some(v1::event::Body::SessionChange(change)) if change.state() == v1::session_change::State::Closed),
            );
            got.stopping |= matches!(&event.body, Some(v1::event::Body::Sensor(sensor)) if sensor.state() == v1::sensor::State::Stopping);
            let mut line = Vec::new();
            json::write_event(&event, &mut line);
            heard.hear(&line);
        }
        Some(Item::Missed(_) | Item::Live(_)) | None => {}
    }
}

/// A conversation of paced calls: each waits for the server's answer, which takes its time.
fn conversation(folder: &Path, name: &str, calls: u32) -> JoinHandle<()> {
    let (folder, name) = (folder.to_owned(), name.to_owned());
    std::thread::spawn(move || {
        let mut command = Command::new(beside("peer"));
        command.args(["client", "--tool", "slow", "--slow-ms", "6", "--calls", &calls.to_string(), "--", "peer", "server"]);
        let status = run(&mut command, &folder, &name);
        assert!(status.success(), "{name}: {status}");
    })
}

fn right(heard: &Sensor, folder: &Path) -> usize {
    let report = heard.compare(folder, &Options::default());
    assert!(report.is_right(), "{report}");
    report.found
}

#[test]
fn a_subscription_delivers_what_the_endpoints_logged_though_the_collector_is_restarted_killed_and_away() {
    let place = Place::new();
    let logs = place.logs("logs");
    let collector = place.collector();
    let subscriber = Subscriber::start(place.address());
    let sensor = place.sensor();
    subscriber.heard.await_ready();
    let calls = 6_000;
    let conversations: Vec<_> = (0..3).map(|number| conversation(&logs, &format!("session-{number}"), calls)).collect();
    let some = |got: &Got, more: u64| got.sequence > more;

    subscriber.wait("the first events", |got| some(got, 200));
    collector.end(Signal::TERM);
    // Before the next one is there: what it delivers counts.
    let before = subscriber.got.0.lock().unwrap().sequence;
    let collector = place.collector();
    subscriber.wait("events after a restart", |got| some(got, before + 200));
    collector.end(Signal::KILL);
    let before = subscriber.got.0.lock().unwrap().sequence;
    let collector = place.collector();
    subscriber.wait("events after kill -9", |got| some(got, before + 200));
    collector.end(Signal::KILL);
    let until = Instant::now() + AWAY;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
    let before = subscriber.got.0.lock().unwrap().sequence;
    let collector = place.collector();
    subscriber.wait("events after thirty seconds", |got| some(got, before + 200));

    let sessions = conversations.len();
    for conversation in conversations {
        conversation.join().unwrap();
    }
    subscriber.wait("the end of every session", |got| got.closed >= sessions);
    let found = right(subscriber.heard, &logs);
    assert!(found >= 3 * 2 * calls as usize, "{found}");
    sensor.end(Signal::TERM);
    subscriber.wait("the sensor's last event", |got| got.stopping);
    let got = subscriber.end();
    assert_eq!(got.holes, [], "the events of a run come in order, without holes");
    assert_eq!(got.ids.len() as u64, got.sequence);
    println!("{found} messages right, {} events, {} of them came again after a kill", got.sequence, got.again);
    collector.end(Signal::TERM);
}

#[test]
fn of_two_subscribers_one_is_stopped_and_the_other_does_not_notice() {
    let place = Place::new();
    let logs = place.logs("logs");
    // Little for slow subscribers, so that one that stops misses something soon.
    let collector = place.collector_with("[limits]\nlive_bytes = \"2MiB\"\n");
    let subscriber = Subscriber::start(place.address());
    let sensor = place.sensor();
    subscriber.heard.await_ready();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut stopped = runtime.block_on(async {
        let mut client = connect(&place.address()).await.unwrap();
        client
            .subscribe(v1::SubscribeRequest { start: Some(Start::AfterCursor(0)), ..v1::SubscribeRequest::default() })
            .await
            .unwrap()
            .into_inner()
    });
    // More than whatever stands between the collector and one that does not read.
    conversation(&logs, "one", 3_000).join().unwrap();
    subscriber.wait("the end of the session", |got| got.closed > 0);
    let found = right(subscriber.heard, &logs);
    sensor.end(Signal::TERM);
    subscriber.wait("the sensor's last event", |got| got.stopping);
    let got = subscriber.end();
    assert_eq!((got.holes, got.missed, got.again), (vec![], 0, 0));

    // Now it reads: each event, or the news that it was missed.
    let (mut events, mut missed) = (0, 0);
    runtime.block_on(async {
        while events + missed < got.sequence {
            let item = tokio::time::timeout(LIMIT, stopped.message()).await.unwrap().unwrap().unwrap();
            match item.item {
                Some(Item::Event(_)) => events += 1,
                Some(Item::Missed(some)) => missed += some.events,
                _ => {}
            }
        }
    });
    assert_eq!(events + missed, got.sequence);
    assert!(missed > 0, "the stopped subscriber missed nothing: the test proves nothing");
    println!("{found} messages right; the stopped subscriber got {events} and missed {missed}");
    drop((stopped, runtime));
    collector.end(Signal::TERM);
}

/// A conversation of the raw peer.
fn talk(folder: &Path, name: &str, arguments: &[&str]) {
    let mut command = Command::new(beside("peer"));
    command.arg("client").args(arguments).args(["--", "peer", "server"]);
    let status = run(&mut command, folder, name);
    assert!(status.success(), "{name}: {status}");
}

/// What the files in a folder say when they are replayed, one after the other; each must verify.
fn replayed(files: &Path, verify: &[&str]) -> (usize, Sensor) {
    let mut names: Vec<PathBuf> = std::fs::read_dir(files).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let heard = Sensor::new();
    for file in &names {
        let verified = Command::new(agent()).arg("verify").arg(file).args(verify).output().unwrap();
        assert!(verified.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&verified.stdout));
        let said = Command::new(agent()).arg("replay").arg(file).args(["--json", "--messages", "--payload", "full"]).output().unwrap();
        assert!(said.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&said.stderr));
        said.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| heard.hear(line));
    }
    (names.len(), heard)
}

#[test]
fn rolled_recordings_together_hold_every_message_and_each_verifies() {
    let place = Place::new();
    let (logs, files) = (place.logs("logs"), place.logs("recordings"));
    let key = place.0.path().join("recording.pem");
    assert!(Command::new(agent()).arg("keygen").arg(&key).output().unwrap().status.success());
    let collector = place.collector();
    let subscriber = Subscriber::start(place.address());
    let (folder, signing) = (files.to_str().unwrap(), key.to_str().unwrap());
    let rolls = ["--record-to", folder, "--record-signing-key", signing, "--record-file-mib", "4", "--record-compress=false"];
    let sensor = place.sensor_with(&[&rolls[..], &["--record-full"]].concat());
    subscriber.heard.await_ready();
    std::thread::scope(|scope| {
        for name in ["one", "two", "three"] {
            let logs = &logs;
            // Messages of several records each: some lie across two files.
            scope.spawn(move || talk(logs, name, &["--slow-ms", "20", "--size", "100000", "--calls", "150"]));
        }
    });
    subscriber.wait("the end of every session", |got| got.closed >= 3);
    let found = right(subscriber.heard, &logs);
    sensor.end(Signal::TERM);
    let public = key.with_extension("pub");
    let (count, heard) = replayed(&files, &["--key", public.to_str().unwrap()]);
    assert!(count >= 3, "{count} files: nothing rolled");
    assert_eq!(right(&heard, &logs), found);
    // And all of them together are one recording.
    let names = std::fs::read_dir(&files).unwrap().map(|entry| entry.unwrap().path());
    let said = Command::new(agent()).arg("replay").args(names).args(["--json", "--messages", "--payload", "full"]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let together = Sensor::new();
    said.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| together.hear(line));
    assert_eq!(right(&together, &logs), found);
    println!("{found} messages right, from {count} files");
    subscriber.end();
    collector.end(Signal::TERM);
}

#[test]
fn a_session_that_went_wrong_is_recorded_with_what_was_before_and_others_are_not() {
    let place = Place::new();
    let (logs, good, files) = (place.logs("logs"), place.logs("good"), place.logs("recordings"));
    let collector = place.collector();
    let subscriber = Subscriber::start(place.address());
    let folder = files.to_str().unwrap();
    let sensor = place.sensor_with(&["--record-to", folder, "--record-incidents", "--record-before", "10m"]);
    subscriber.heard.await_ready();
    talk(&good, "good", &["--tool", "echo", "--calls", "50"]);
    // Twenty calls that go well, and one during which the server dies.
    talk(&logs, "wrong", &["--tool", "slow", "--slow-ms", "100", "--calls", "21", "--kill-server-after", "20"]);
    subscriber.wait("the end of both sessions", |got| got.closed >= 2);
    let found = right(subscriber.heard, &logs);
    assert!(right(subscriber.heard, &good) > 0);
    sensor.end(Signal::TERM);
    let (count, heard) = replayed(&files, &[]);
    assert!(count >= 1, "nothing was recorded");
    assert_eq!(right(&heard, &logs), found, "all that was before is there");
    assert_eq!(heard.events_of(&good), Vec::<String>::new());
    subscriber.end();
    collector.end(Signal::TERM);
}
