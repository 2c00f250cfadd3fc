//! `mcp-collector replay`: a session as a timeline, from what is stored of it.
//!
//! The session's events and what its sensor told of itself meanwhile (losses, blind spots) are read page by page, in the order in
//! which they came, and put together by [`present::timeline`], within its limits.
//!
//! Invariants: a file is readable for its owner alone, and none that is there is written over without being told to; a file that
//! could not be written whole is not left behind.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use mcp_sensor_proto::v1::{Filter, GetSessionRequest, ListSessionsRequest, QueryRequest, SessionSummary, StoredEvent, filter::Kind};
use present::style::Styles;
use present::table::Size;
use present::timeline::{Finished, Limits, MarkdownOptions, TextOptions, Timeline};
use prost_types::Timestamp;
use tonic::Code;

use super::args::Replay;
use super::client::{self, Client};
use super::failure::{Exit, Failure, of_status};

/// Events of a page.
const PAGE: u32 = 1_000;

/// Seconds before a session in which its sensor's last report must be: it tells once a minute.
const BEFORE: i64 = 150;

/// Seconds after a session in which its sensor tells of what was lost in it.
const AFTER: i64 = 90;

/// Sessions that are named where several begin so.
const NAMED: u32 = 5;

/// `mcp-collector replay`.
pub(super) async fn replay(args: Replay) -> Result<(), Failure> {
    let Replay { session, html, force, json, markdown, lines, color, connection } = args;
    let mut client = client::connect(&connection).await?;
    let summary = find(&mut client, &session).await?;
    let finished = read(client, &summary).await?;
    if let Some(path) = html {
        return write_file(&path, force, |out| finished.render_html(out)).map_err(|error| unwritable(&path, error));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let shown = if json {
        finished.render_json(&mut out)
    } else if markdown {
        finished.render_markdown(&MarkdownOptions::default(), &mut out)
    } else {
        let options = TextOptions { styles: Styles::choose(color, &io::stdout()), columns: Size::of_stdout().columns(), lines };
        finished.render_text(&options, &mut out)
    };
    shown.and_then(|()| out.flush()).map_err(Failure::of_output)
}

/// The one session whose id begins so.
async fn find(client: &mut Client, id: &str) -> Result<SessionSummary, Failure> {
    let status = match client.get_session(GetSessionRequest { id: id.to_owned() }).await {
        Ok(response) => return Ok(response.into_inner().summary.unwrap_or_default()),
        Err(status) => status,
    };
    match status.code() {
        Code::NotFound => Err(Failure::new(Exit::Failed, format!("nothing is stored of a session `{id}`"))
            .mend("`mcp-collector sessions` lists those that are there")),
        Code::InvalidArgument => {
            let filter = Filter { sessions: vec![id.to_owned()], ..Filter::default() };
            let request = ListSessionsRequest { filter: Some(filter), page_size: NAMED, ..ListSessionsRequest::default() };
            let sessions = client.list_sessions(request).await.map(|response| response.into_inner().sessions).unwrap_or_default();
            let named = sessions.iter().map(|summary| {
                let id = summary.session.as_ref().map_or("", |session| &session.id);
                format!("{id} on {}", summary.node)
            });
            let named: Vec<String> = named.collect();
            Err(Failure::new(Exit::Failed, format!("`{id}` names no single session"))
                .because(status.message().to_owned())
                .mend(format!("give more of the id; it may be: {}", named.join(", "))))
        }
        _ => Err(of_status("read the session", &status)),
    }
}

/// Reads what is stored of a session.
async fn read(client: Client, summary: &SessionSummary) -> Result<Finished, Failure> {
    let id = summary.session.as_ref().map_or("", |session| session.id.as_str());
    let nodes = vec![summary.node.clone()];
    let of_session = Filter { sessions: vec![id.to_owned()], nodes: nodes.clone(), ..Filter::default() };
    let of_sensor = Filter { kinds: vec![Kind::Sensor as i32], nodes, ..Filter::default() };
    let shifted =
        |time: Option<&Timestamp>, seconds| time.map(|time| Timestamp { seconds: time.seconds.saturating_add(seconds), nanos: time.nanos });
    let mut events = Pages::new(client.clone(), QueryRequest { filter: Some(of_session), ..QueryRequest::default() });
    let told = QueryRequest {
        filter: Some(of_sensor),
        from: shifted(summary.first.as_ref(), -BEFORE),
        to: shifted(summary.last.as_ref(), AFTER),
        ..QueryRequest::default()
    };
    let mut told = Pages::new(client, told);
    let mut timeline = Timeline::new(Limits::default());
    loop {
        let (next, sensor) = (events.cursor().await?, told.cursor().await?);
        let pages = match (next, sensor) {
            (None, None) => return Ok(timeline.finish()),
            (Some(next), Some(sensor)) if sensor < next => &mut told,
            (None, Some(_)) => &mut told,
            (Some(_), _) => &mut events,
        };
        let event = pages.taken().and_then(|stored| stored.event);
        // The filter takes the beginning of an id.
        if let Some(event) = event.filter(|event| event.session.as_ref().is_none_or(|session| session.id == id)) {
            timeline.add(&event);
        }
    }
}

/// Stored events, one after the other.
struct Pages {
    client: Client,
    request: QueryRequest,
    events: VecDeque<StoredEvent>,
    is_last: bool,
}

impl Pages {
    fn new(client: Client, request: QueryRequest) -> Self {
        Self { client, request: QueryRequest { page_size: PAGE, ..request }, events: VecDeque::new(), is_last: false }
    }

    /// The cursor of the next event; `None` where there is none.
    async fn cursor(&mut self) -> Result<Option<u64>, Failure> {
        while self.events.is_empty() && !self.is_last {
            let page = self.client.query(self.request.clone()).await.map_err(|status| of_status("read events", &status))?.into_inner();
            self.events = page.events.into();
            self.is_last = page.next_page_token.is_empty();
            self.request.page_token = page.next_page_token;
        }
        Ok(self.events.front().map(|stored| stored.cursor))
    }

    fn taken(&mut self) -> Option<StoredEvent> {
        self.events.pop_front()
    }
}

fn unwritable(path: &Path, error: io::Error) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("cannot write {}", path.display()));
    match error.kind() {
        io::ErrorKind::AlreadyExists => failure.because(error).mend("give another name, or --force to write over it"),
        _ => failure.because(error),
    }
}

/// Writes a file that nobody else can read.
fn write_file(path: &Path, force: bool, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // What is written over stays as it is until the new file is whole.
    let target = if force { beside(path)? } else { path.to_owned() };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target)?;
    let written = fill(file, write).and_then(|()| if force { fs::rename(&target, path) } else { Ok(()) });
    if written.is_err() {
        // What is told is why it could not be written.
        let _ = fs::remove_file(&target);
    }
    written
}

fn fill(file: File, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.flush()
}

/// A name in the same directory that no other process uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    Ok(path.with_file_name(beside))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write(path: &Path, force: bool, text: &'static str) -> io::Result<()> {
        write_file(path, force, |out| out.write_all(text.as_bytes()))
    }

    #[test]
    fn a_file_is_its_owners_and_is_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("page.html");
        write(&path, false, "one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write(&path, false, "two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, true, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_could_not_be_written_whole_is_not_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("page.html");
        let fails = |out: &mut dyn Write| out.write_all(b"half").and_then(|()| Err(io::ErrorKind::Other.into()));
        assert!(write_file(&path, false, fails).is_err() && write_file(&path, true, fails).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        write(&path, false, "one").unwrap();
        assert!(write_file(&path, true, fails).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    }
}
