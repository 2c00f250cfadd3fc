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
        let mut wrong = differences("the replay", &live, &replayed);
        let shown =
            self.replay(sensor, &full, &["--payload", "redacted", "--output", &redacted.to_string_lossy(), "--level", "redacted"])?;
        wrong.extend(differences("the replay of the redacted recording", &shown, &self.replay(sensor, &redacted, &[])?));
        for file in [&full, &redacted] {
            let verified = Command::new(sensor).arg("verify").arg(file).output()?;
            if !verified.status.success() {
                wrong.push(format!("{}: {}", file.display(), String::from_utf8_lossy(&verified.stdout)));
            }
        }
        if !wrong.is_empty() {
            bail!("{}", wrong.join("\n"));
        }
        let events: usize = live.values().map(Vec::len).sum();
        Ok(format!("{events} events of {} sessions come out of the recordings as they were", live.len().saturating_sub(1)))
    }

    fn replay(&self, sensor: &Path, file: &Path, arguments: &[&str]) -> Result<Sessions> {
        let path = self.folder.join("replayed.jsonl");
        let mut command = Command::new(sensor);
        command.arg("replay").arg(file).args(["--json", "--messages"]).args(arguments);
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

/// Every session that is not what it should be, and its first event that is not.
fn differences(what: &str, expected: &Sessions, found: &Sessions) -> Vec<String> {
    let more = found.keys().filter(|session| !expected.contains_key(*session));
    let more = more.map(|session| format!("{what} has a session {session} more"));
    let differing = expected.iter().filter_map(|(session, events)| {
        let Some(others) = found.get(session) else {
            return Some(format!("{what} lacks session {session} of {} events, the first: {}", events.len(), cut(&events[0])));
        };
        if let Some((one, other)) = events.iter().zip(others).find(|(one, other)| !agrees(one, other)) {
            return Some(format!("{what} of session {session} differs:\n  {}\nthen\n  {}", cut(one), cut(other)));
        }
        (events.len() != others.len()).then(|| format!("{what} of session {session} has {} events, not {}", others.len(), events.len()))
    });
    more.chain(differing).collect()
}

/// Whether an event of the replay is the live one. Of who its peers are it may know more: of a process that was old before the sensor
/// was there, more may have come to be known a moment later, and the recording has that. And that a session is over may show by what
/// comes next on an object of the same address, which may be of a session that is recorded later: when that was is not compared.
fn agrees(live: &Value, replayed: &Value) -> bool {
    let (Some(live), Some(replayed)) = (live.as_object(), replayed.as_object()) else { return live == replayed };
    let is_end = live.get("sessionChange").is_some_and(|change| change["state"] == "CLOSED");
    live.len() == replayed.len()
        && live.iter().all(|(name, value)| match (name.as_str(), replayed.get(name)) {
            (_, None) => false,
            ("id" | "time", Some(_)) if is_end => true,
            ("client" | "server", Some(other)) => is_known(value, other),
            (_, Some(other)) => value == other,
        })
}

/// Whether all that the live sensor knew of a process, the replay knows, too.
fn is_known(live: &Value, replayed: &Value) -> bool {
    match (live, replayed) {
        (Value::Object(live), Value::Object(replayed)) => {
            live.iter().all(|(name, value)| replayed.get(name).is_some_and(|other| is_known(value, other)))
        }
        (Value::Array(live), Value::Array(replayed)) if live.iter().all(Value::is_object) => {
            live.len() == replayed.len() && live.iter().zip(replayed).all(|(one, other)| is_known(one, other))
        }
        _ => live == replayed,
    }
}

fn cut(event: &Value) -> String {
    event.to_string().chars().take(4000).collect()
}
