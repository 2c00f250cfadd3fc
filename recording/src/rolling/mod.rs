//! Recordings that roll: files in a folder, each whole in itself, turned over by size and age, the oldest removed. A message that lies
//! across two files is whole in the second.
//!
//! Invariants: a file is made new or not at all; only files of this node's recordings are removed, never the one being written;
//! all together stay below [`Settings::max_total`], as long as one file does. Time is given by the caller.

mod carry;
mod folder;
mod name;
mod processes;
mod streams;

use crate::item::{Header, Item};
use crate::manifest::Manifest;
use crate::writer::{Options, Writer};
use carry::Carry;
pub use folder::{Folder, Storage};
use name::Name;
use processes::Processes;
use sensor_core::input::{StreamKey, Time};
use std::io;
use streams::Streams;

/// How long after a failure a new file is tried, in nanoseconds.
const RETRY: u64 = 5_000_000_000;

/// Bytes by which a file may grow until it is looked at again.
const RESERVE: u64 = 2 << 20;

/// Files that may begin in one second.
const MAX_NUMBER: u32 = 1000;

/// When what was written is made durable.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Sync {
    /// When the kernel sees fit.
    #[default]
    Never,
    /// With every segment (about 1 MiB).
    Block,
    /// When so many nanoseconds have passed; what waits is written then too, so no more than this is lost when the sensor is killed.
    Interval(u64),
}

/// How recordings roll.
#[derive(Clone, Default)]
pub struct Settings {
    /// Bytes after which a file is closed and the next begun; no limit without. The last segment may go beyond it.
    pub max_file: Option<u64>,
    /// Nanoseconds after which a file is closed; no limit without.
    pub max_age: Option<u64>,
    /// Bytes of all files of this node in the folder; no limit without. The oldest are removed for it.
    pub max_total: Option<u64>,
    /// When files are made durable.
    pub sync: Sync,
    /// The caller tells how far each stream is read ([`Rolling::settled`]): chunks behind that are written again in the next file.
    pub carry: bool,
    /// How files are written.
    pub options: Options,
}

/// A file was begun, and perhaps one was closed: for the audit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Turn {
    /// The file that was closed.
    pub closed: Option<Closed>,
    /// The file that was begun.
    pub opened: String,
    /// Files that were removed to stay below the total.
    pub removed: Vec<String>,
}

/// A file that was closed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closed {
    /// Its name in the folder.
    pub name: String,
    /// Its manifest.
    pub manifest: Manifest,
}

/// An item was not recorded, or some before it were not either.
#[derive(Debug, thiserror::Error)]
#[error("cannot record{}{name}: {source}; {lost} items were lost; a new file is tried every 5 s: make room, or look at the folder's rights", if name.is_empty() { "" } else { " to " })]
pub struct RollError {
    /// The file's name; empty where no file could be made.
    pub name: String,
    /// Items that were lost: this one, and those that waited to be written.
    pub lost: u64,
    /// What went wrong.
    #[source]
    pub source: io::Error,
}

/// A file that is being written.
struct Current<W: io::Write> {
    writer: Writer<W>,
    name: String,
    begun: u64,
    synced: u64,
    /// What had been written when that was last looked at.
    seen: u64,
}

/// Writes recordings that roll.
pub struct Rolling<S: Storage> {
    storage: S,
    settings: Settings,
    header: Header,
    node: String,
    processes: Processes,
    streams: Streams,
    carry: Option<Carry>,
    current: Option<Current<S::File>>,
    /// Closed files of this node with their sizes, the oldest first.
    files: Vec<(Name, String, u64)>,
    retry_at: u64,
}

impl<S: Storage> Rolling<S> {
    /// Looks at what is there. The first file is begun with the first item.
    ///
    /// # Errors
    /// Where the files cannot be listed.
    pub fn open(mut storage: S, header: Header, settings: Settings) -> io::Result<Self> {
        let node = name::node(&header.node);
        let mut files: Vec<_> =
            storage.list()?.into_iter().filter_map(|(file, size)| Name::parse(&file, &node).map(|name| (name, file, size))).collect();
        files.sort();
        Ok(Self {
            carry: settings.carry.then(|| Carry::new(header.message_bytes)),
            storage,
            settings,
            header,
            node,
            processes: Processes::default(),
            streams: Streams::default(),
            current: None,
            files,
            retry_at: 0,
        })
    }

    /// The file that is being written.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.current.as_ref().map(|current| current.name.as_str())
    }

    /// Where the files are.
    pub const fn storage(&self) -> &S {
        &self.storage
    }

    /// Records an item. `now` is in nanoseconds since 1970. Needs [`Rolling::turn`] before it, with the same `now`.
    ///
    /// # Errors
    /// Where the item was not recorded: there is no file, or it failed and was given up. An item that is too big for any recording is
    /// left out alone.
    pub fn item(&mut self, now: u64, item: &Item<'_>) -> Result<(), RollError> {
        self.processes.learn(item);
        self.streams.learn(item);
        if let Some(carry) = &mut self.carry {
            carry.learn(item);
        }
        let Some(current) = &mut self.current else {
            return Err(RollError { name: String::new(), lost: 1, source: io::Error::other("no file could be made") });
        };
        let waiting = current.writer.waiting();
        match current.writer.item(item) {
            Ok(()) => self.written(now),
            Err(source) if source.kind() == io::ErrorKind::InvalidInput => Err(RollError { name: current.name.clone(), lost: 1, source }),
            Err(source) => Err(self.give_up(now, waiting + 1, source)),
        }
    }

    /// Everything in a stream before a position has been said: no message that goes on begins there. Perhaps told before the bytes are
    /// recorded.
    pub fn settled(&mut self, stream: StreamKey, epoch: Time, position: u64) {
        if let Some(carry) = &mut self.carry {
            carry.settled(stream, epoch, position);
        }
    }

    /// Messages that may be whole in none of the files, though nothing in them says so: more were half there at once than are kept track
    /// of.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.carry.as_ref().map_or(0, Carry::forgotten)
    }

    /// Sees to it that there is a file that is neither too big nor too old, and tells where that began one: the moment for the caller
    /// to record what a file begins with. The processes that may still be told of are in it already, and who
    /// is at the ends of their streams, and what of these is no whole message yet. After a failure it does nothing
    /// for five seconds.
    ///
    /// # Errors
    /// Where no file can be made, or the one before could not be closed.
    pub fn turn(&mut self, now: u64) -> Result<Option<Turn>, RollError> {
        let Settings { max_file, max_age, max_total, .. } = self.settings;
        let mut closed = None;
        if let Some(Current { writer, begun, .. }) = &self.current {
            let size = writer.bytes_at_most();
            // The oldest go first; where there are none left, this one must make way for the next.
            let alone = self.files.is_empty() && max_total.is_some_and(|total| size >= total / 2);
            let due = max_file.is_some_and(|max| size >= max) || max_age.is_some_and(|age| now.saturating_sub(*begun) >= age) || alone;
            if !due {
                return Ok(None);
            }
            closed = self.close(now)?;
        }
        if now < self.retry_at {
            return Ok(None);
        }
        let (opened, removed) = self.begin(now).map_err(|source| {
            self.retry_at = now.saturating_add(RETRY);
            RollError { name: String::new(), lost: 0, source }
        })?;
        Ok(Some(Turn { closed, opened, removed }))
    }

    /// Does what is due by time where no items come: closes a file that is too old, makes durable what waits.
    ///
    /// # Errors
    /// As [`Rolling::item`].
    pub fn tick(&mut self, now: u64) -> Result<Option<Closed>, RollError> {
        let too_old = |current: &Current<_>| self.settings.max_age.is_some_and(|age| now.saturating_sub(current.begun) >= age);
        if self.current.as_ref().is_some_and(too_old) {
            return self.close(now);
        }
        self.written(now)?;
        Ok(None)
    }

    /// Ends the recording.
    ///
    /// # Errors
    /// Where the last file could not be closed.
    pub fn finish(mut self, now: u64) -> Result<Option<Closed>, RollError> {
        self.close(now)
    }

    /// Looks after what the last item led to: durability, and the total.
    fn written(&mut self, now: u64) -> Result<(), RollError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let written = current.writer.bytes_written();
        let more = written != current.seen;
        let due = match self.settings.sync {
            Sync::Never => false,
            Sync::Block => more,
            Sync::Interval(interval) => (more || current.writer.waiting() > 0) && now.saturating_sub(current.synced) >= interval,
        };
        if due {
            let waiting = current.writer.waiting();
            current.synced = now;
            // With every block means with what is written, not that all is written at once.
            let flushed = if self.settings.sync == Sync::Block { Ok(()) } else { current.writer.flush_block() };
            if let Err(source) = flushed.and_then(|()| self.storage.sync()) {
                return Err(self.give_up(now, waiting, source));
            }
        }
        if let Some(current) = &mut self.current {
            current.seen = current.writer.bytes_written();
            if more {
                let size = current.writer.bytes_at_most() + RESERVE;
                self.make_room(size);
            }
        }
        Ok(())
    }

    /// Gives a file up that cannot be written. What reached it stays, readable.
    fn give_up(&mut self, now: u64, lost: u64, source: io::Error) -> RollError {
        self.retry_at = now.saturating_add(RETRY);
        let Some(current) = self.current.take() else { return RollError { name: String::new(), lost, source } };
        let size = current.writer.bytes_written();
        if size == 0 {
            // An empty file tells nothing. Where it cannot be removed either, it is listed with the others.
            if self.storage.remove(&current.name).is_ok() {
                return RollError { name: current.name, lost, source };
            }
        }
        self.keep(current.name.clone(), size);
        RollError { name: current.name, lost, source }
    }

    fn close(&mut self, now: u64) -> Result<Option<Closed>, RollError> {
        let Some(Current { writer, name, .. }) = self.current.take() else { return Ok(None) };
        let (waiting, size) = (writer.waiting(), writer.bytes_at_most());
        let finished = writer.finish();
        self.keep(name.clone(), size);
        let closed = finished.and_then(|(_, manifest)| {
            if self.settings.sync != Sync::Never {
                self.storage.sync()?;
            }
            Ok(manifest)
        });
        match closed {
            Ok(manifest) => Ok(Some(Closed { name, manifest })),
            Err(source) => {
                self.retry_at = now.saturating_add(RETRY);
                Err(RollError { name, lost: waiting, source })
            }
        }
    }

    fn keep(&mut self, file: String, size: u64) {
        if let Some(name) = Name::parse(&file, &self.node) {
            self.files.push((name, file, size));
        }
    }

    fn begin(&mut self, now: u64) -> io::Result<(String, Vec<String>)> {
        let removed = self.make_room(self.settings.max_file.unwrap_or(0));
        let options = self.settings.options.clone();
        let (zstd, age) = (options.zstd_level.is_some(), !options.recipients.is_empty());
        let mut name = Name { time: name::time(now), number: 0 };
        let (file, out) = loop {
            let file = name.file(&self.node, zstd, age);
            match self.storage.create(&file) {
                Ok(out) => break (file, out),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && name.number < MAX_NUMBER => name.number += 1,
                Err(error) => return Err(error),
            }
        };
        let header = Header { started: now, ..self.header.clone() };
        let mut begun = Writer::new(out, &header, options);
        if let Ok(writer) = &mut begun {
            if let Some(carry) = &mut self.carry {
                carry.keep(|stream, epoch| self.streams.is_used(stream, epoch));
            }
            let carry = self.carry.as_ref();
            let streams = self.streams.items(|stream, epoch| carry.and_then(|carry| carry.begin(stream, epoch)));
            let named = self.processes.items().chain(streams).try_for_each(|item| writer.item(&item));
            let named = named.and_then(|()| carry.into_iter().flat_map(Carry::items).try_for_each(|item| writer.item(&item)));
            if let Err(error) = named {
                begun = Err(error);
            }
        }
        match begun {
            Ok(writer) => {
                self.current = Some(Current { writer, name: file.clone(), begun: now, synced: now, seen: 0 });
                Ok((file, removed))
            }
            Err(error) => {
                // It holds nothing yet; and where it cannot be removed, the next start finds it and counts it.
                let _ = self.storage.remove(&file);
                Err(error)
            }
        }
    }

    /// Removes the oldest files until so much fits below the total.
    fn make_room(&mut self, wanted: u64) -> Vec<String> {
        let mut removed = Vec::new();
        let Some(max_total) = self.settings.max_total else { return removed };
        let mut total = self.files.iter().fold(wanted, |sum, (_, _, size)| sum.saturating_add(*size));
        while total > max_total && !self.files.is_empty() {
            let (_, file, size) = self.files.remove(0);
            total = total.saturating_sub(size);
            // One that somebody else removed is gone as well.
            if self.storage.remove(&file).is_ok() {
                removed.push(file);
            }
        }
        removed
    }
}
