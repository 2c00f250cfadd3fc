//! The control socket: orders by hand, one JSON object a line, each answered by one.
//!
//! Invariants: only root is heard, by what the kernel says of the other end and not by the file's mode alone; a request is one
//! line of at most `REQUEST` bytes that comes within `PATIENCE`; one connection is served at a time, and asks once; what
//! cannot be opened is told in the log, and the service runs without.

use std::fs::{self, Permissions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use mcp_sensor_proto::json;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::identity;
use crate::pipeline::Change;
use crate::respond::{Answer, ByHand, Denied, Request};

/// Bytes of a request at most.
const REQUEST: u64 = 64 * 1024;
/// How long the other end may take to ask, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the pipeline may take to answer.
const PIPELINE: Duration = Duration::from_secs(10);

/// An answer, as it stands on the line.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// What was done: events, as `watch --json` shows them.
    Events(Vec<Box<RawValue>>),
    /// Why not.
    Denied(Denied),
}

/// The socket, for as long as it is served.
pub struct Control {
    path: PathBuf,
    inode: u64,
    stop: Arc<AtomicBool>,
}

impl Control {
    /// Opens the socket and serves it on a thread of its own; `None` where that cannot be.
    pub fn open(path: &Path, changes: Sender<Change>) -> Option<Self> {
        Self::begin(path, changes)
            .inspect_err(|error| {
                let path = path.display();
                tracing::warn!("`mcp-sensor kill`, `resume` and `actions` will not reach this service: {path}: {error}");
            })
            .ok()
    }

    fn begin(path: &Path, changes: Sender<Change>) -> io::Result<Self> {
        if let Some(folder) = path.parent()
            && !folder.exists()
        {
            fs::create_dir(folder)?;
            fs::set_permissions(folder, Permissions::from_mode(0o755))?;
        }
        if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
            if UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another service listens there"));
            }
            // Its service has ended and could not take it away.
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let (inode, stop) = (fs::metadata(path)?.ino(), Arc::new(AtomicBool::new(false)));
        let ended = Arc::clone(&stop);
        thread::Builder::new().name("control".to_owned()).spawn(move || {
            for connection in listener.incoming() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                // Whoever goes away in the middle has had no answer, and that is all.
                let _ = connection.and_then(|connection| serve(&connection, &changes));
            }
        })?;
        Ok(Self { path: path.to_owned(), inode, stop })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread up.
        let _ = UnixStream::connect(&self.path);
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn serve(connection: &UnixStream, changes: &Sender<Change>) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut answer = serde_json::to_vec(&line(answer(connection, changes)?)).map_err(io::Error::other)?;
    answer.push(b'\n');
    (&*connection).write_all(&answer)
}

fn answer(connection: &UnixStream, changes: &Sender<Change>) -> io::Result<Answer> {
    let peer = rustix::net::sockopt::socket_peercred(connection)?;
    if !peer.uid.is_root() {
        return Ok(Err(Denied::new("only root may give orders", "run it as root")));
    }
    let mut text = Vec::new();
    BufReader::new(connection.take(REQUEST)).read_until(b'\n', &mut text)?;
    let request: Request = match serde_json::from_slice(&text) {
        Ok(request) => request,
        Err(error) => {
            return Ok(Err(Denied::new(format!("the order cannot be understood: {error}"), "use the command of the same version")));
        }
    };
    let uid = peer.uid.as_raw();
    let (reply, answered) = mpsc::channel();
    let pid = u32::try_from(peer.pid.as_raw_nonzero().get()).unwrap_or(0);
    let order = ByHand { request, uid, user: identity::user_name(uid), pid, reply };
    if let Some((subject, detail)) = order.in_words() {
        tracing::info!(subject, "order by hand: {detail}");
    }
    let late = || Denied::new("the service did not answer in time", "see its log");
    if changes.send(Change::ByHand(order)).is_err() {
        return Ok(Err(Denied::new("the service is ending", "start it again")));
    }
    Ok(answered.recv_timeout(PIPELINE).unwrap_or_else(|_| Err(late())))
}

fn line(answer: Answer) -> Line {
    match answer {
        Ok(events) => {
            let raw = |event| {
                let mut text = Vec::new();
                json::write_event(event, &mut text);
                String::from_utf8(text).ok().and_then(|text| RawValue::from_string(text).ok())
            };
            Line::Events(events.iter().filter_map(raw).collect())
        }
        Err(denied) => Line::Denied(denied),
    }
}

/// Asks the service that listens at `path`.
///
/// # Errors
/// Where it cannot be reached.
pub fn ask(path: &Path, request: &Request) -> io::Result<Line> {
    let mut connection = UnixStream::connect(path)?;
    connection.set_read_timeout(Some(PIPELINE + PATIENCE))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    connection.write_all(&text)?;
    let mut answer = Vec::new();
    connection.take(64 << 20).read_to_end(&mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}
