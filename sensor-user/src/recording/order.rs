//! What an operator asks to be recorded, and its beginning.

use super::{Choice, Keep, Plan, Recorder, Spool, spool::Settled};
use mcp_sensor_proto::v1;
use recording::{
    Header, Item, Level, Writer,
    keys::Signer,
    rolling::{self, Folder, RollError, Rolling},
    writer,
};
use sensor_core::engine;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes that wait for the file at most.
const QUEUE: usize = 32 << 20;
/// Time after which what waits is written to the file even if it is little, in nanoseconds.
const FLUSH: u64 = 1_000_000_000;
/// The same for an encrypted file, which grows by up to 64 KiB each time.
const FLUSH_ENCRYPTED: u64 = 30_000_000_000;

/// The level of zstd for files that are compressed: most of what there is to gain, at a rate that no traffic reaches.
pub const ZSTD_LEVEL: i32 = 3;

/// The key in a file that signs recordings.
///
/// # Errors
/// Why it cannot be used, in words.
pub fn signer(path: &Path) -> Result<Arc<Signer>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    Signer::from_pem(&text).map(Arc::new).map_err(|error| error.to_string())
}

/// What is to be recorded, and to where.
pub struct Order {
    /// How much of the traffic.
    pub level: Level,
    /// Which sessions.
    pub choice: Choice,
    /// Bytes held in memory of what may have to be recorded yet.
    pub memory: usize,
    /// What is recorded, in words; empty for everything.
    pub filter: String,
    /// Who asked, in words.
    pub reason: String,
    /// How it is written.
    pub options: writer::Options,
    /// To where.
    pub destination: Destination,
}

/// Where a recording goes.
pub enum Destination {
    /// A new file.
    File(File, PathBuf),
    /// Files in a folder, each for its time.
    Folder(Folder, PathBuf, Rolls),
}

/// How files in a folder follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Rolls {
    /// Bytes of one file.
    pub file: u64,
    /// How old one may become, in nanoseconds.
    pub age: u64,
    /// Bytes of all together.
    pub total: u64,
    /// When they are made durable.
    pub sync: rolling::Sync,
}

impl Destination {
    /// Makes a new file that only its owner can read.
    ///
    /// # Errors
    /// Where it exists already, or cannot be made.
    pub fn file(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self::File(file, path.to_owned()))
    }
}

impl Order {
    /// Begins the recording. `source` is the level of the recording that is recorded again, `None` for live traffic; `now` is in
    /// nanoseconds since 1970.
    ///
    /// # Errors
    /// Where the file cannot be written, or there is no thread to be had.
    pub fn begin(self, engine: &engine::Config, node: &str, source: Option<Level>, now: u64) -> io::Result<Recorder> {
        let Self { level, choice, memory, filter, reason, options, destination } = self;
        let header = Header {
            node: node.to_owned(),
            boot_time: engine.boot_time,
            level,
            sensor_version: env!("CARGO_PKG_VERSION").to_owned(),
            filter: filter.clone(),
            message_bytes: engine.message_bytes as u64,
            body_limit: engine.body_limit as u64,
            started: now,
            reason,
        };
        let rolls = matches!(destination, Destination::Folder(..));
        let (keep, subject): (Box<dyn Keep>, String) = match destination {
            Destination::File(file, path) => {
                let flush = if options.recipients.is_empty() { FLUSH } else { FLUSH_ENCRYPTED };
                let writer = Some(Writer::new(file, &header, options)?);
                (Box::new(OneFile { writer, flushed: now, flush }), path.display().to_string())
            }
            Destination::Folder(folder, path, Rolls { file, age, total, sync }) => {
                let settings =
                    rolling::Settings { max_file: Some(file), max_age: Some(age), max_total: Some(total), sync, carry: true, options };
                (Box::new(Rolled { rolling: Rolling::open(folder, header, settings)?, told: None, files: 0 }), path.display().to_string())
            }
        };
        let spool = Spool::start(keep, QUEUE, source.is_some())?;
        Ok(Recorder::new(Plan { level, choice, memory, source, rolls, subject, filter }, spool))
    }
}

/// A single file. Once it has failed it is given up: what it holds can be read.
struct OneFile {
    writer: Option<Writer<File>>,
    flushed: u64,
    flush: u64,
}

impl OneFile {
    /// Items that are lost where the file fails with one of them in hand.
    fn failed(&mut self, error: io::Error, in_hand: u64) -> (u64, io::Error) {
        let waiting = self.writer.take().map_or(0, |writer| writer.waiting());
        (waiting + in_hand, error)
    }
}

impl Keep for OneFile {
    fn item(&mut self, _now: u64, item: &Item<'_>) -> Result<(), (u64, io::Error)> {
        let Some(writer) = &mut self.writer else { return Err((1, io::Error::other("the file was given up"))) };
        match writer.item(item) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err((1, error)),
            // Where it fails, the item waits in the writer with the others.
            Err(error) => Err(self.failed(error, 0)),
        }
    }

    /// All of it is in the one file.
    fn settled(&mut self, _settled: Settled) {}

    fn tick(&mut self, now: u64) -> Result<(), (u64, io::Error)> {
        if now.saturating_sub(self.flushed) < self.flush {
            return Ok(());
        }
        self.flushed = now;
        match self.writer.as_mut().map(Writer::flush_block) {
            Some(Err(error)) => Err(self.failed(error, 0)),
            _ => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>, _now: u64) -> Result<String, (u64, io::Error)> {
        let Some(writer) = self.writer.take() else { return Ok("the recording is not complete: its file was given up".to_owned()) };
        let waiting = writer.waiting();
        let (file, manifest) = writer.finish().map_err(|error| (waiting, error))?;
        file.sync_all().map_err(|error| (0, error))?;
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        let items = manifest.summary.items();
        Ok(format!("recorded {} in {}", present::units::count(items, "item"), present::units::bytes(bytes)))
    }
}

/// Files in a folder. Each begins with what the sensor told of itself last: losses are counted from there.
struct Rolled {
    rolling: Rolling<Folder>,
    told: Option<v1::Event>,
    files: u64,
}

fn lost(error: RollError) -> (u64, io::Error) {
    (error.lost, io::Error::other(error))
}

impl Keep for Rolled {
    fn item(&mut self, now: u64, item: &Item<'_>) -> Result<(), (u64, io::Error)> {
        let turn = self.rolling.turn(now).map_err(lost);
        if let Ok(Some(turn)) = &turn {
            self.files += 1;
            tracing::info!(file = turn.opened, removed = turn.removed.len(), "recording to a new file");
            if let Some(told) = &self.told {
                self.rolling.item(now, &Item::Event(told.clone())).map_err(lost)?;
            }
        }
        if let Item::Event(event) = item {
            self.told = Some(event.clone());
        }
        self.rolling.item(now, item).map_err(lost)?;
        turn.map(|_| ())
    }

    fn settled(&mut self, Settled { stream, epoch, position }: Settled) {
        self.rolling.settled(stream, epoch, position);
    }

    fn forgotten(&self) -> u64 {
        self.rolling.forgotten()
    }

    fn tick(&mut self, now: u64) -> Result<(), (u64, io::Error)> {
        self.rolling.tick(now).map(|_| ()).map_err(lost)
    }

    fn finish(self: Box<Self>, now: u64) -> Result<String, (u64, io::Error)> {
        let files = self.files;
        self.rolling.finish(now).map_err(lost)?;
        Ok(format!("recorded to {}", present::units::count(files, "file")))
    }
}
