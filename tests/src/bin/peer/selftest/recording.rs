//! What was recorded while the cases ran, against what the sensor said live: replaying it must say the same.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The events of each session in order; those of the sensor about itself under no name.
type Sessions = BTreeMap<String, Vec<Value>>;

/// The files of one run.
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// In a folder that exists.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// What the sensor said live.
    pub fn live(&self) -> PathBuf {
        self.folder.join("live.jsonl")
    }

    /// All that it captured.
    pub fn full(&self) -> PathBuf {
        self.folder.join("full.pcapng")
    }

    /// Replays the recording, and a redacted one made of it, and verifies both. Tells what was compared.
    pub fn check(&self, sensor: &Path) -> Result<String> {
        let (full, redacted) = (self.full(), self.folder.join("redacted.pcapng.zst"));
        let live = sessions(&fs::read(self.live())?)?;
        let replayed = self.replay(sensor, &full, &["--payload", "full"])?;
        same("the replay", &live, &replayed)?;
        let shown =
            self.replay(sensor, &full, &["--payload", "redacted", "--output", &redacted.to_string_lossy(), "--level", "redacted"])?;
        same("the replay of the redacted recording", &shown, &self.replay(sensor, &redacted, &[])?)?;
        for file in [&full, &redacted] {
            let verified = Command::new(sensor).arg("verify").arg(file).output()?;
            if !verified.status.success() {
                bail!("{}: {}", file.display(), String::from_utf8_lossy(&verified.stdout));
            }
        }
        let events: usize = live.values().map(Vec::len).sum();
        Ok(format!("{events} events of {} sessions come out of the recordings as they were", live.len().saturating_sub(1)))
    }

    fn replay(&self, sensor: &Path, file: &Path, arguments: &[&str]) -> Result<Sessions> {
        let path = self.folder.join("replayed.jsonl");
        let mut command = Command::new(sensor);
        command.arg("replay").arg(file).args(["--json", "--messages", "--memory-mib", "256"]).args(arguments);
        let status = command.stdout(File::create(&path)?).stderr(Stdio::inherit()).status()?;
        if !status.success() {
            bail!("{command:?} ended with {status}");
        }
        sessions(&fs::read(&path)?)
    }
}

fn sessions(lines: &[u8]) -> Result<Sessions> {
    let mut sessions = Sessions::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut event: Value = serde_json::from_slice(line).with_context(|| String::from_utf8_lossy(line).into_owned())?;
        if let Some(members) = event.as_object_mut() {
            // A replay has no sequence.
            members.remove("sequence");
        }
        let session = event.pointer("/session/id").and_then(Value::as_str).unwrap_or_default().to_owned();
        sessions.entry(session).or_default().push(event);
    }
    Ok(sessions)
}

fn same(what: &str, expected: &Sessions, found: &Sessions) -> Result<()> {
    if let Some(missing) = expected.keys().find(|session| !found.contains_key(*session)) {
        bail!("{what} lacks session {missing} of {} events, the first: {}", expected[missing].len(), expected[missing][0]);
    }
    if let Some(more) = found.keys().find(|session| !expected.contains_key(*session)) {
        bail!("{what} has a session {more} more");
    }
    for (session, events) in expected {
        let others = &found[session];
        if let Some((one, other)) = events.iter().zip(others).find(|(one, other)| one != other) {
            bail!("{what} of session {session} differs:\n  {}\nthen\n  {}", cut(one), cut(other));
        }
        if events.len() != others.len() {
            bail!("{what} of session {session} has {} events, not {}", others.len(), events.len());
        }
    }
    Ok(())
}

fn cut(event: &Value) -> String {
    event.to_string().chars().take(4000).collect()
}
