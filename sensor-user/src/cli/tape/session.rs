//! One session of a recording, as a timeline.

use super::Replay;
use crate::{
    cli::{Exit, Failure},
    export::{Exporter, Outgoing, Summary, style::Styles, table::Size},
};
use mcp_sensor_proto::v1::event::Body;
use present::timeline::{Limits, MarkdownOptions, TextOptions, Timeline};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Sessions that are named where several match.
const NAMED: usize = 8;

/// Collects the events of the one session whose id begins as asked. A clone collects for the same.
#[derive(Clone)]
pub struct OneSession {
    found: Arc<Mutex<Found>>,
}

#[derive(Default)]
struct Found {
    wanted: Wanted,
    timeline: Timeline,
}

/// The one session that is wanted, of which the beginning of its id is known.
#[derive(Default)]
pub struct Wanted {
    asked: Vec<String>,
    /// Ids that match; the first is taken.
    matching: BTreeSet<String>,
    session: Option<String>,
}

impl Wanted {
    /// `asked` are beginnings of ids.
    pub fn new(asked: &[String]) -> Self {
        Self { asked: asked.iter().map(|id| id.to_lowercase()).collect(), ..Self::default() }
    }

    /// Whether a session is the one.
    pub fn takes(&mut self, id: &str) -> bool {
        if self.session.as_deref() == Some(id) {
            return true;
        }
        if !self.asked.iter().any(|asked| id.starts_with(asked.as_str())) {
            return false;
        }
        self.matching.insert(id.to_owned());
        let first = self.session.is_none();
        if first {
            self.session = Some(id.to_owned());
        }
        first
    }

    /// At the end: was there one, and no other?
    pub fn check(&self) -> Result<(), Failure> {
        let asked = self.asked.join(", ");
        if self.matching.len() > 1 {
            let names: Vec<&str> = self.matching.iter().take(NAMED).map(String::as_str).collect();
            return Err(
                Failure::new(Exit::Usage, format!("several sessions begin with {asked}: {}", names.join(", "))).mend("give more of the id")
            );
        }
        if self.session.is_none() {
            return Err(Failure::new(Exit::Usage, format!("no session begins with {asked}"))
                .mend("`mcp-sensor replay FILE --json` names the sessions"));
        }
        Ok(())
    }
}

impl OneSession {
    /// Nothing collected. `asked` are beginnings of ids.
    pub fn new(asked: &[String]) -> Self {
        let found = Found { wanted: Wanted::new(asked), timeline: Timeline::new(Limits::default()) };
        Self { found: Arc::new(Mutex::new(found)) }
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows it as it was asked for.
    pub fn render(self, options: &Replay) -> Result<(), Failure> {
        let found = std::mem::take(&mut *self.lock());
        found.wanted.check()?;
        let finished = found.timeline.finish();
        if let Some(path) = &options.html {
            let mut page = BufWriter::new(page(path, options.force)?);
            return finished.render_html(&mut page).and_then(|()| page.flush()).map_err(|error| cannot_write(path, error));
        }
        let mut out = BufWriter::new(io::stdout().lock());
        let shown = if options.json {
            finished.render_json(&mut out)
        } else if options.markdown {
            finished.render_markdown(&MarkdownOptions::default(), &mut out)
        } else {
            let styles = Styles::choose(options.color, &io::stdout());
            let text = TextOptions { styles, columns: Size::of_stdout().columns(), ..TextOptions::default() };
            finished.render_text(&text, &mut out)
        };
        shown.and_then(|()| out.flush()).map_err(Failure::of_output)
    }
}

/// A new file that only its owner can read: it holds what was captured.
fn page(path: &Path, force: bool) -> Result<File, Failure> {
    let mut how = File::options();
    how.write(true).mode(0o600);
    if force {
        how.create(true).truncate(true);
    } else {
        how.create_new(true);
    }
    how.open(path).map_err(|error| cannot_write(path, error))
}

fn cannot_write(path: &Path, error: io::Error) -> Failure {
    let exists = error.kind() == io::ErrorKind::AlreadyExists;
    let failure = Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(error);
    if exists { failure.mend("give a new file, or --force") } else { failure }
}

impl Exporter for OneSession {
    fn event(&mut self, event: &Outgoing) -> io::Result<()> {
        let mut found = self.lock();
        let found = &mut *found;
        if matches!(event.frame.body, Some(Body::Sensor(_))) {
            found.timeline.add(&event.to_event());
            return Ok(());
        }
        let Some(session) = &event.session else { return Ok(()) };
        if found.wanted.takes(&session.get().id) {
            found.timeline.add(&event.to_event());
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn tick(&mut self, _now: i64) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _summary: &Summary) -> io::Result<()> {
        Ok(())
    }
}
