//! A recording through the pipeline: the same events as when it was live, on any machine, without a kernel.
//!
//! What was decided by the clock is done when the recording says that it was done; who a process was is in the recording, and so is
//! what the sensor told of itself. A redacted recording has messages in place of bytes: they go in behind the framer.

use crate::{
    agent::node_number,
    capture::{Following, Pace, Progress, Record, Recorded, Source},
    export::Exporter,
    identity::{Exclusions, Known},
    judging::{Judging, Loaded},
    pipeline::{Parts, Pipeline},
    recording::Order,
};
use recording::{Ending, Header, Level, ReadError, Reader, reader};
use sensor_core::{engine::Config, input::Time, redact};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Duration,
};
use thiserror::Error;

/// Why a recording cannot be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The file cannot be opened.
    #[error("{path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no recording that can be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<ReadError>,
    },
    /// It does not go on with what the first file holds.
    #[error("{path} is of another host, start of the system or level than {first}")]
    Other {
        /// The file.
        path: PathBuf,
        /// The first one.
        first: PathBuf,
    },
    /// There is none.
    #[error("no recording is given")]
    Nothing,
    /// The output failed.
    #[error("writing events: {0}")]
    Output(#[source] io::Error),
}

/// The first of the files that follow each other, and those behind it.
pub type Files = (Reader<'static>, Following<'static>);

/// How a recording is replayed.
pub struct Settings {
    /// How much of the contents is shown.
    pub level: redact::Level,
    /// Messages are shown whole, as far as they were recorded. Otherwise they are cut as they were when it was recorded.
    pub whole: bool,
    /// Bytes that the engine may hold.
    pub memory: usize,
    /// How fast.
    pub pace: Pace,
    /// The moment at which it ends, in nanoseconds since 1970.
    pub until: Option<u64>,
    /// Where events go.
    pub exporter: Box<dyn Exporter>,
    /// Records it again: with less in it, or less of it.
    pub recording: Option<Order>,
    /// What to judge events by, in place of the findings that are in the recording.
    pub policy: Option<Loaded>,
}

/// Opens a recording.
///
/// # Errors
/// Where it is none, or cannot be read with these identities.
pub fn open(path: &Path, options: &reader::Options) -> Result<Reader<'static>, ReplayError> {
    let file = File::open(path).map_err(|source| ReplayError::Open { path: path.to_owned(), source })?;
    Reader::open(file, options).map_err(|source| ReplayError::Read { path: path.to_owned(), source: Box::new(source) })
}

/// Opens recordings that follow each other, the oldest first: that one, and those behind it.
///
/// # Errors
/// Where one is none, or is not of the same host.
pub fn open_all(paths: &[PathBuf], options: reader::Options) -> Result<Files, ReplayError> {
    let headers = paths.iter().map(|path| Ok((open(path, &options)?.header().clone(), path.clone())));
    let mut headers: Vec<(Header, PathBuf)> = headers.collect::<Result<_, ReplayError>>()?;
    headers.sort_by_key(|(header, _)| header.started);
    if let [(first, first_path), others @ ..] = headers.as_slice() {
        let is_same = |other: &Header| (&first.node, first.boot_time, first.level) == (&other.node, other.boot_time, other.level);
        if let Some((_, other)) = others.iter().find(|(header, _)| !is_same(header)) {
            return Err(ReplayError::Other { path: other.clone(), first: first_path.clone() });
        }
    }
    let mut files = headers.into_iter().map(move |(_, path)| open(&path, &options));
    let first = files.next().unwrap_or_else(|| Err(ReplayError::Nothing))?;
    Ok((first, Box::new(files)))
}

/// Replays a recording until its end, or until `stop` is set. Tells how it ended, and why reading stopped before where it did.
///
/// # Errors
/// Where the output fails.
pub fn run(reader: Reader<'static>, settings: Settings, stop: &AtomicBool) -> Result<(Option<ReadError>, Ending), ReplayError> {
    run_all((reader, Box::new(std::iter::empty())), settings, stop)
}

/// Replays recordings that follow each other, as [`open_all`] gives them, as one.
///
/// # Errors
/// Where the output fails, or one of them cannot be opened.
pub fn run_all((reader, following): Files, settings: Settings, stop: &AtomicBool) -> Result<(Option<ReadError>, Ending), ReplayError> {
    let Settings { level, whole, memory, pace, until, exporter, recording, policy } = settings;
    let header = reader.header().clone();
    let config = Config { body_limit: if whole { usize::MAX } else { bytes(header.body_limit) }, ..engine_config(&header, level, memory) };
    let begin = |order: Order| order.begin(&config, &header.node, Some(header.level), header.started);
    let recorder = recording.map(begin).transpose().map_err(ReplayError::Output)?;
    let until = until.map(|until| until.saturating_sub(header.boot_time));
    let mut source = Stoppable { source: Recorded::new(reader, pace, until).followed_by(following), stopped: false };
    let parts = Parts {
        source: &mut source,
        config,
        known: Known::recorded(header.boot_time),
        exclusions: Exclusions::default(),
        exporter,
        recorder,
        verdicts: None,
        judging: policy.map(Judging::replayed),
        node: header.node,
        status: None,
        responder: None,
    };
    Pipeline::new(parts).run(stop, |source| source.stopped = true).map_err(ReplayError::Output)?;
    source.source.into_ending()
}

/// The engine as it was when the recording was made.
fn engine_config(header: &Header, level: redact::Level, memory: usize) -> Config {
    let level = match (header.level, level) {
        // It has been redacted, and says what redaction left: twice is not the same as once.
        (Level::Redacted, redact::Level::Redacted) => redact::Level::Full,
        (_, level) => level,
    };
    Config {
        level,
        node: node_number(&header.node),
        boot_time: header.boot_time,
        seed: 0,
        memory,
        message_bytes: bytes(header.message_bytes),
        body_limit: bytes(header.body_limit),
        paced: true,
    }
}

fn bytes(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A recording that ends when it is told to.
struct Stoppable<'r> {
    source: Recorded<'r>,
    stopped: bool,
}

impl Source for &mut Stoppable<'_> {
    fn read(&mut self, wait: Duration, each: &mut dyn FnMut(Record<'_>)) -> Progress {
        if self.stopped { Progress::End } else { self.source.read(wait, each) }
    }

    fn now(&self) -> Time {
        self.source.now()
    }

    fn undecodable(&self) -> u64 {
        self.source.undecodable()
    }
}
