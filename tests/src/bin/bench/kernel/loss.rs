//! The whole sensor under load: messages seen of messages sent, what the counters say, and the memory it takes.

use crate::table::Row;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const RATE: u32 = 20_000;

/// Measures the rows.
pub fn rows(ci: bool) -> anyhow::Result<Vec<Row>> {
    let seconds = if ci { 3 } else { 60 };
    let programs = std::env::current_exe()?.parent().map(Path::to_path_buf).unwrap_or_default();
    let (sensor, peer) = (existing(&programs, "mcp-sensor")?, existing(&programs, "peer")?);
    let mut watch = Command::new(sensor)
        .args(["watch", "--json", "--messages", "--payload", "none", "--process", "peer"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("starting the sensor")?;
    let mut lines = BufReader::new(watch.stdout.take().context("the sensor's output")?).lines();
    wait_for_ready(&mut lines)?;

    let load = Command::new(peer)
        .args(["load", "--rate", &RATE.to_string(), "--seconds", &seconds.to_string(), "--sessions", "8", "--size", "300"])
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the load")?;
    let counting = std::thread::spawn(move || {
        let mut messages = 0_u64;
        let mut last = Value::Null;
        for line in lines.map_while(Result::ok) {
            if line.contains("\"message\":") {
                messages += 1;
            } else if line.contains("\"sensor\":") {
                last = serde_json::from_str(&line).unwrap_or_default();
            }
        }
        (messages, last)
    });
    let output = load.wait_with_output()?;
    let report: Value = serde_json::from_slice(output.stdout.trim_ascii_end()).context("the load's report")?;
    let count = |name: &str| report[name].as_u64().with_context(|| format!("the load's report has no {name}"));
    let sent = count("messages")? + count("handshakeMessages")?;
    let (resident, maps) = (resident_memory(&watch)?, map_memory(&watch)?);
    rustix::process::kill_process(rustix::process::Pid::from_child(&watch), rustix::process::Signal::INT)?;
    watch.wait()?;
    let (seen, last) = counting.join().expect("counting does not panic");
    let loss = &last["sensor"]["loss"]["counts"];
    let told = if loss.as_array().is_none_or(Vec::is_empty) { "the counters say 0".to_owned() } else { loss.to_string() };
    Ok(vec![
        Row {
            what: format!("loss at {RATE} messages/s for {seconds} s, default buffers"),
            measured: format!("{} of {sent} lost; {told}", sent.saturating_sub(seen)),
            to_hold: "0, and the counters say 0".to_owned(),
            held: Some(seen == sent && told == "the counters say 0"),
        },
        Row {
            what: format!("sensor memory after these {seconds} s: resident (without the ring) / kernel maps"),
            measured: format!("{} / {} MiB", resident >> 20, maps >> 20),
            to_hold: "≤ 64 / ≤ 48 MiB (after an hour)".to_owned(),
            held: Some(resident <= 64 << 20 && maps <= 48 << 20),
        },
    ])
}

pub fn existing(directory: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = directory.join(name);
    if !path.exists() {
        bail!("{} is not built: run this by `cargo xtask bench`, which builds it", path.display());
    }
    Ok(path)
}

fn wait_for_ready(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> anyhow::Result<()> {
    for line in lines {
        if line?.contains("\"READY\"") {
            return Ok(());
        }
    }
    bail!("the sensor ended before it was ready: run as root, and see `mcp-sensor check`")
}

/// What is resident of a process, without the ring: that is mapped twice over, and counted among the kernel's maps.
pub fn resident_memory(child: &Child) -> anyhow::Result<u64> {
    let mappings = std::fs::read_to_string(format!("/proc/{}/smaps", child.id()))?;
    let (mut kibibytes, mut is_ring) = (0, false);
    for line in mappings.lines() {
        if let Some(size) = line.strip_prefix("Rss:") {
            let size: u64 = size.trim().trim_end_matches(" kB").parse().context("/proc/PID/smaps")?;
            kibibytes += if is_ring { 0 } else { size };
        } else if line.starts_with(|first: char| first.is_ascii_hexdigit() && !first.is_ascii_uppercase()) {
            is_ring = line.ends_with("anon_inode:bpf-map");
        }
    }
    Ok(kibibytes << 10)
}

/// What the kernel accounts for the maps that a process holds.
fn map_memory(child: &Child) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(format!("/proc/{}/fdinfo", child.id()))? {
        let Ok(text) = std::fs::read_to_string(entry?.path()) else { continue };
        if text.contains("map_id:") {
            sum += text.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok()).unwrap_or(0);
        }
    }
    Ok(sum)
}
