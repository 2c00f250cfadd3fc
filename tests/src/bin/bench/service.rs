//! The service: how long a message takes from the writer's call to a subscriber of the collector, and what the sensor takes
//! of the machine at several rates.

use crate::{
    kernel::loss::{existing, resident_memory},
    table::Row,
};
use anyhow::{Context as _, bail};
use mcp_sensor_proto::v1::{
    self, collector_service_client::CollectorServiceClient, event::Body, sensor::State, subscribe_request::Start, subscribe_response::Item,
};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Messages a second at which the latency is measured.
const RATE: u32 = 1_000;
/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(60);

/// A child that ends with this value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Self(child))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

type Stream = tonic::Streaming<v1::SubscribeResponse>;

/// Measures the rows.
pub fn rows(ci: bool) -> anyhow::Result<Vec<Row>> {
    let programs = std::env::current_exe()?.parent().map(Path::to_path_buf).unwrap_or_default();
    let peer = existing(&programs, "peer")?;
    let folder = tempfile::tempdir()?;
    let address = format!("unix:{}", folder.path().join("collector.sock").display());
    let mut command = Command::new(existing(&programs, "mcp-collector")?);
    command.args(["serve", "--log-level", "error", "--listen", &address, "--directory"]).arg(folder.path().join("store"));
    let _collector = Running::start(&mut command)?;
    let mut command = Command::new(existing(&programs, "mcp-sensor")?);
    command.args(["run", "--log-level", "error", "--collector", &address]);
    let sensor = Running::start(&mut command)?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut stream = runtime.block_on(subscribe(&address))?;
    runtime.block_on(ready(&mut stream))?;
    let mut rows = vec![latency(&runtime, &mut stream, &peer, if ci { 2 } else { 30 })?];
    // From here on nobody subscribes: the sensor's own share.
    drop(stream);
    for rate in [0, 100, 10_000] {
        rows.push(share(&sensor.0, &peer, rate, if ci { 1 } else { 20 })?);
    }
    Ok(rows)
}

async fn subscribe(address: &str) -> anyhow::Result<Stream> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let connected = tonic::transport::Endpoint::from_shared(address.to_owned())?.connect().await;
        match connected {
            Ok(channel) => {
                let request =
                    v1::SubscribeRequest { start: Some(Start::AfterCursor(0)), allow_gap: true, ..v1::SubscribeRequest::default() };
                return Ok(CollectorServiceClient::new(channel).subscribe(request).await?.into_inner());
            }
            Err(error) if Instant::now() > deadline => bail!("the collector cannot be reached: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn ready(stream: &mut Stream) -> anyhow::Result<()> {
    while let Some(item) = tokio::time::timeout(LIMIT, stream.message()).await.context("waiting for the sensor")?? {
        if let Some(Item::Event(event)) = item.item
            && matches!(event.body, Some(Body::Sensor(sensor)) if sensor.state() == State::Ready)
        {
            return Ok(());
        }
    }
    bail!("the subscription ended before the sensor was ready")
}

fn latency(runtime: &tokio::runtime::Runtime, stream: &mut Stream, peer: &PathBuf, seconds: u32) -> anyhow::Result<Row> {
    let mut load = Command::new(peer)
        .args(["load", "--rate", &RATE.to_string(), "--seconds", &seconds.to_string(), "--sessions", "4", "--size", "300"])
        .stdout(Stdio::null())
        .spawn()
        .context("starting the load")?;
    let mut nanoseconds: Vec<i64> = Vec::new();
    runtime.block_on(async {
        let mut load_ended = None;
        loop {
            let item = match tokio::time::timeout(Duration::from_millis(500), stream.message()).await {
                Ok(item) => item?,
                Err(_) if load_ended.is_some() => return anyhow::Ok(()),
                Err(_) => {
                    load_ended = load.try_wait()?;
                    continue;
                }
            };
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
            let Some(Item::Event(event)) = item.context("the subscription ended")?.item else { continue };
            if let (Some(Body::Message(_)), Some(time)) = (&event.body, event.time) {
                nanoseconds.push(i64::try_from(now.as_nanos())? - (time.seconds * 1_000_000_000 + i64::from(time.nanos)));
            }
        }
    })?;
    nanoseconds.sort_unstable();
    let at = |share: f64| nanoseconds.get((nanoseconds.len() as f64 * share) as usize).map_or(f64::NAN, |&time| time as f64 / 1e6);
    let (p50, p99) = (at(0.5), at(0.99));
    Ok(Row {
        what: format!("write → event on the collector's subscription at {RATE} messages/s, {} events", nanoseconds.len()),
        measured: format!("p50 {p50:.1} ms, p99 {p99:.1} ms"),
        to_hold: "p99 ≤ 10 ms".to_owned(),
        held: Some(p99 <= 10.0),
    })
}

/// The sensor's share of the machine at a rate.
fn share(sensor: &Child, peer: &PathBuf, rate: u32, seconds: u32) -> anyhow::Result<Row> {
    let (before, begin) = (processor_time(sensor)?, Instant::now());
    if rate == 0 {
        std::thread::sleep(Duration::from_secs(seconds.into()));
    } else {
        let status = Command::new(peer)
            .args(["load", "--rate", &rate.to_string(), "--seconds", &seconds.to_string(), "--sessions", "8", "--size", "300"])
            .stdout(Stdio::null())
            .status()
            .context("running the load")?;
        anyhow::ensure!(status.success(), "the load ended with {status}");
    }
    let used = (processor_time(sensor)? - before).as_secs_f64() / begin.elapsed().as_secs_f64();
    Ok(Row::plain(
        format!("sensor with a collector at {rate} messages/s: processor / resident without the ring"),
        format!("{:.1} % of one / {} MiB", used * 100.0, resident_memory(sensor)? >> 20),
    ))
}

/// User and system time of a process so far.
fn processor_time(child: &Child) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().context("/proc/PID/stat")?.split(' ').collect();
    let ticks = |at: usize| -> anyhow::Result<u64> { Ok(fields.get(at).context("/proc/PID/stat is short")?.parse()?) };
    // Fields 14 and 15; the first two are cut off (proc(5)). There are 100 ticks a second on every Linux.
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}
