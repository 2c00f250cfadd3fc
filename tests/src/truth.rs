//! The truth log: every message that crossed the wire of one process, as that process knows it.
//!
//! A file `<role>-<peer>-<pid>.jsonl` in `$TRUTH_DIR` for each process and role, one JSON object a line ([`Entry`]). A message is logged by its
//! size and SHA-256: of the exact bytes of the JSON value, without line end, byte order mark and surrounding white space.
//!
//! - A sent message is logged **before** the bytes go out, so that a process killed meanwhile cannot have sent something unlogged. A write that
//!   failed is followed by the same line with `withdrawn`.
//! - A received message is logged after the bytes came in.
//! - One conversation over one transport is one `session` (`$TRUTH_SESSION`, the same at both ends). A relay is the server of one session and the
//!   client of the next, and writes a log for each.

pub mod compare;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Which side of a session a process is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It asks.
    Client,
    /// It answers.
    Server,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// Which way a message went, seen from the process that logs it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Out.
    Sent,
    /// In.
    Received,
}

/// One line of a log. What a line does not have is false, empty or `None`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Entry {
    /// Which side this process is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The kind of peer (an SDK's name, `peer`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub peer: String,
    /// The process.
    #[serde(skip_serializing_if = "is_default")]
    pub pid: u32,
    /// Which way the message went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Way>,
    /// Bytes of the JSON value.
    pub size: u64,
    /// SHA-256 of these bytes, in hexadecimal digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// The conversation.
    pub session: String,
    /// The message's own method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// What is odd about it (the name of a row of `peer odd`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub odd: Option<String>,
    /// No message: no server would execute it. No event may come of it.
    #[serde(skip_serializing_if = "is_default")]
    pub noise: bool,
    /// An event may come of it, or none: servers differ, or it did not arrive whole.
    #[serde(skip_serializing_if = "is_default")]
    pub optional: bool,
    /// The write failed: forget the same message logged before.
    #[serde(skip_serializing_if = "is_default")]
    pub withdrawn: bool,
    /// It crossed the wire before the sensor watched. No event may come of it.
    #[serde(skip_serializing_if = "is_default")]
    pub unseen: bool,
    /// The bytes are no JSON (SDK peers log every line; then it is noise).
    #[serde(skip_serializing_if = "is_default")]
    pub invalid: bool,
    /// First line of a log.
    #[serde(skip_serializing_if = "is_default")]
    pub start: bool,
    /// Last line of a log: the process ended in order.
    #[serde(skip_serializing_if = "is_default")]
    pub end: bool,
    /// This process moves bytes that it cannot know (a relay that splices); the other end's log tells.
    #[serde(skip_serializing_if = "is_default")]
    pub blind: bool,
    /// Several threads write without taking turns: the order of the log is not the order of the wire.
    #[serde(skip_serializing_if = "is_default")]
    pub unordered: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// SHA-256 in hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    use fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// How a message is logged beyond its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Note<'a> {
    /// See [`Entry::odd`].
    pub odd: Option<&'a str>,
    /// See [`Entry::optional`].
    pub optional: bool,
    /// See [`Entry::unseen`].
    pub unseen: bool,
    /// See [`Entry::withdrawn`].
    pub withdrawn: bool,
}

/// Writes one process's log. Does nothing without `TRUTH_DIR`. Lines are appended with one write each, from any thread.
#[derive(Debug)]
pub struct LogWriter {
    file: Option<File>,
    role: Role,
    peer: String,
    pid: u32,
    session: String,
}

impl LogWriter {
    /// Opens the log of this process in `$TRUTH_DIR`.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn open(role: Role, session: &str) -> io::Result<Self> {
        let peer = std::env::var("MCP_PEER_NAME").unwrap_or_else(|_| "peer".to_owned());
        let pid = std::process::id();
        let file = match std::env::var_os("TRUTH_DIR") {
            Some(directory) => {
                let path = Path::new(&directory).join(format!("{role}-{peer}-{pid}.jsonl"));
                Some(OpenOptions::new().create(true).append(true).open(path)?)
            }
            None => None,
        };
        let log = Self { file, role, peer, pid, session: session.to_owned() };
        log.write(Entry { start: true, ..Entry::default() });
        Ok(log)
    }

    /// Logs a message.
    pub fn message(&self, way: Way, bytes: &[u8], note: Note<'_>) {
        if self.file.is_none() {
            return;
        }
        let value: Value = serde_json::from_str(&String::from_utf8_lossy(bytes)).unwrap_or(Value::Null);
        self.write(Entry {
            direction: Some(way),
            size: bytes.len() as u64,
            sha256: sha256_hex(bytes),
            method: value.get("method").and_then(Value::as_str).map(str::to_owned),
            id: value.get("id").cloned(),
            odd: note.odd.map(str::to_owned),
            optional: note.optional,
            unseen: note.unseen,
            withdrawn: note.withdrawn,
            ..Entry::default()
        });
    }

    /// Logs bytes of which no event may come.
    pub fn noise(&self, way: Way, bytes: &[u8], odd: Option<&str>) {
        if self.file.is_some() {
            self.write(Entry {
                direction: Some(way),
                noise: true,
                size: bytes.len() as u64,
                sha256: sha256_hex(bytes),
                odd: odd.map(str::to_owned),
                ..Entry::default()
            });
        }
    }

    /// This end cannot know the messages that it moves.
    pub fn blind(&self) {
        self.write(Entry { blind: true, ..Entry::default() });
    }

    /// Several threads write this stream without taking turns.
    pub fn unordered(&self) {
        self.write(Entry { unordered: true, ..Entry::default() });
    }

    /// The last line: this process ended in order.
    pub fn end(&self) {
        self.write(Entry { end: true, ..Entry::default() });
    }

    fn write(&self, entry: Entry) {
        let Some(mut file) = self.file.as_ref() else { return };
        let entry = Entry { role: Some(self.role), peer: self.peer.clone(), pid: self.pid, session: self.session.clone(), ..entry };
        let Ok(mut line) = serde_json::to_vec(&entry) else { return };
        line.push(b'\n');
        if let Err(error) = file.write_all(&line) {
            eprintln!("peer: cannot write the truth log: {error}");
        }
    }
}

/// One process's log, read.
#[derive(Clone, Debug)]
pub struct TruthLog {
    /// The file.
    pub path: PathBuf,
    /// Which side.
    pub role: Role,
    /// The kind of peer.
    pub peer: String,
    /// The process.
    pub pid: u32,
    /// Messages and noise, in the order of the log; withdrawn ones and their withdrawals taken out.
    pub entries: Vec<Entry>,
    /// Sessions named in it.
    pub sessions: Vec<String>,
    /// See [`Entry::blind`].
    pub blind: bool,
    /// See [`Entry::unordered`].
    pub unordered: bool,
    /// The process ended in order.
    pub ended: bool,
}

impl TruthLog {
    /// Reads a log. A last line that was cut off (the process was killed) is left out.
    ///
    /// # Errors
    /// The file cannot be read, has no line that tells the role and the process, or has a line that is no JSON object.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let whole = text.rfind('\n').map_or("", |end| text.get(..=end).unwrap_or(""));
        let mut log = Self {
            path: path.to_owned(),
            role: Role::Client,
            peer: String::new(),
            pid: 0,
            entries: Vec::new(),
            sessions: Vec::new(),
            blind: false,
            unordered: false,
            ended: false,
        };
        for (number, line) in whole.lines().enumerate() {
            let entry: Entry =
                serde_json::from_str(line).map_err(|error| io::Error::other(format!("{}:{}: {error}", path.display(), number + 1)))?;
            log.take(entry);
        }
        if log.pid == 0 {
            return Err(io::Error::other(format!("{}: no line tells the role and the process", path.display())));
        }
        Ok(log)
    }

    fn take(&mut self, entry: Entry) {
        if let (Some(role), true) = (entry.role, entry.pid != 0) {
            (self.role, self.pid) = (role, entry.pid);
            self.peer.clone_from(&entry.peer);
            if !self.sessions.contains(&entry.session) {
                self.sessions.push(entry.session.clone());
            }
        }
        self.blind |= entry.blind;
        self.unordered |= entry.unordered;
        self.ended |= entry.end;
        if entry.direction.is_none() {
            return;
        }
        if entry.withdrawn {
            let same = |old: &Entry| old.direction == entry.direction && old.sha256 == entry.sha256;
            if let Some(at) = self.entries.iter().rposition(same) {
                self.entries.remove(at);
            }
            return;
        }
        self.entries.push(entry);
    }

    /// Reads every log of a directory.
    ///
    /// # Errors
    /// The directory or one of the logs cannot be read.
    pub fn read_directory(directory: &Path) -> io::Result<Vec<Self>> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)?
            .collect::<io::Result<Vec<_>>>()?
            .into_iter()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
            .collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// The messages that went one way.
    pub fn messages(&self, way: Way) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.direction == Some(way) && !entry.noise && !entry.invalid)
    }
}

/// Whether both ends of every session tell the same: what one sent, the other received. Each line of the answer is a disagreement.
#[must_use]
pub fn disagreements(logs: &[TruthLog]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut ends: BTreeMap<(&str, Role), Vec<&TruthLog>> = BTreeMap::new();
    for log in logs {
        for session in &log.sessions {
            ends.entry((session, log.role)).or_default().push(log);
        }
    }
    let empty = Vec::new();
    for ((session, from), senders) in &ends {
        let to = if *from == Role::Client { Role::Server } else { Role::Client };
        let receivers = ends.get(&(session, to)).unwrap_or(&empty);
        let knows = |logs: &[&TruthLog]| !logs.is_empty() && logs.iter().all(|log| !log.blind);
        if !knows(senders) || !knows(receivers) {
            continue;
        }
        let mut counts: BTreeMap<(&str, u64), (i64, i64, &Entry)> = BTreeMap::new();
        for entry in senders.iter().flat_map(|log| log.messages(Way::Sent)).filter(|entry| entry.session == *session) {
            counts.entry((&entry.sha256, entry.size)).or_insert((0, 0, entry)).0 += 1;
        }
        for entry in receivers.iter().flat_map(|log| log.messages(Way::Received)).filter(|entry| entry.session == *session) {
            counts.entry((&entry.sha256, entry.size)).or_insert((0, 0, entry)).1 += 1;
        }
        let whole = senders.iter().chain(receivers).all(|log| log.ended);
        for (sent, received, entry) in counts.into_values() {
            if sent < received || (sent > received && whole && !entry.optional) {
                wrong.push(format!(
                    "session {session:?}: sent by the {from} {sent} times, received by the {to} {received} times: {}",
                    Brief(entry)
                ));
            }
        }
    }
    wrong
}

/// A message in a few words.
pub(crate) struct Brief<'a>(pub(crate) &'a Entry);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { size, sha256, method, id, odd, .. } = self.0;
        write!(f, "{} {size} bytes {}", method.as_deref().unwrap_or("answer"), sha256.get(..12).unwrap_or(sha256))?;
        if let Some(id) = id {
            write!(f, " id {id}")?;
        }
        if let Some(odd) = odd {
            write!(f, " [{odd}]")?;
        }
        Ok(())
    }
}
