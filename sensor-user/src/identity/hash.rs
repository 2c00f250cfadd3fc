//! The digest of a file that may be changed, replaced or taken away at any moment.

use super::{
    proc::{Facts, FileKey, ProcessDir},
    process::FileId,
    worker::{Lost, Wall},
};
use ring::digest::{Context, SHA256};
use rustix::{
    fd::{AsRawFd, OwnedFd},
    fs::{CWD, Mode, OFlags},
    io::Errno,
};
use std::path::Path;

/// Bytes read at once, and reads in a step.
const BLOCK: usize = 256 * 1024;
const BLOCKS: usize = 64;
/// How far the clocks that are compared may be apart, in nanoseconds.
const SLACK: i128 = 1_000_000;

/// Opens the very file that `path` (an `O_PATH` descriptor) names.
pub(super) fn reopen(proc: &Path, path: &OwnedFd) -> Option<OwnedFd> {
    let name = proc.join(format!("self/fd/{}", path.as_raw_fd()));
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    rustix::fs::openat(CWD, name, flags, Mode::empty()).ok()
}

/// Looks for the executable of a process that is gone: by its path in the sensor's own mount namespace, then in those
/// of its living relatives.
pub(super) fn find(proc: &Path, lost: &Lost) -> Option<(OwnedFd, FileKey)> {
    if !lost.path.starts_with('/') {
        return None;
    }
    let relatives = lost.relatives.iter().filter_map(|relative| {
        // Held open while its path is used: pids are used again.
        let dir = ProcessDir::open_process(proc, *relative).ok()?;
        let file = open(&proc.join(format!("{}/root{}", relative.pid, lost.path)), lost, proc)?;
        dir.executable().ok().map(|_| file)
    });
    open(Path::new(&lost.path), lost, proc).into_iter().chain(relatives).next()
}

/// Opens `path` if it is the file of the exec record, and as it was then.
fn open(path: &Path, lost: &Lost, proc: &Path) -> Option<(OwnedFd, FileKey)> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty()).ok()?;
    let facts = Facts::of(&file, true).ok()?;
    // No process runs it that would keep writers away: nothing of it may have changed, not its name either.
    let same = facts.id.inode == lost.id.inode
        && facts.regular
        && before(facts.key.changed, lost.since)
        && (facts.id.device == lost.id.device || mount_device(proc, facts.mount) == Some(lost.id.device));
    if same { reopen(proc, &file).map(|file| (file, facts.key)) } else { None }
}

/// The device that the kernel has for a mount of the sensor's own namespace. `stat` tells another on btrfs.
pub(super) fn mount_device(proc: &Path, mount: u64) -> Option<u32> {
    let text = std::fs::read(proc.join("self/mountinfo")).ok()?;
    String::from_utf8_lossy(&text).lines().find_map(|line| {
        let mut fields = line.split(' ');
        if fields.next()?.parse() != Ok(mount) {
            return None;
        }
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        Some(FileId::new(major.parse().ok()?, minor.parse().ok()?, 0).device)
    })
}

/// True where the file that a live process runs is the one that it executed at `since`.
///
/// The record and `/proc` may speak of different programs, if another exec is on its way, and even of one inode number,
/// if that came into use again in between: such a file was born after `since`.
pub(super) fn unchanged_since(facts: &Facts, since: Wall, now: Wall) -> bool {
    before(facts.key.changed, since)
        // Unlinked or renamed since: when it was born tells.
        || facts.born.is_some_and(|born| before(born, since))
        // A time to come is of a clock that was wrong (a server's, or one that was set back), and tells nothing.
        || !before(facts.key.changed, (now.0 + 1, now.1))
}

fn before(time: Wall, limit: Wall) -> bool {
    let nanoseconds = |(seconds, rest): Wall| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    nanoseconds(time) <= nanoseconds(limit) + SLACK
}

/// A file that is being read.
pub(super) struct Reading<'a> {
    file: &'a OwnedFd,
    /// As it was when it was known to be the right one, which may be before it was opened.
    key: FileKey,
    context: Context,
    buffer: Vec<u8>,
    read: u64,
}

impl<'a> Reading<'a> {
    /// Begins to read a regular file of at most `limit` bytes.
    pub fn new(file: &'a OwnedFd, key: FileKey, limit: u64) -> Option<Self> {
        let fits = key.size <= limit && Facts::of(file, false).is_ok_and(|facts| facts.regular && facts.id == key.id);
        fits.then(|| Self { file, key, context: Context::new(&SHA256), buffer: vec![0; BLOCK], read: 0 })
    }

    /// Reads on, some 16 MiB; false at the end, `None` where it cannot be read.
    pub fn step(&mut self) -> Option<bool> {
        for _ in 0..BLOCKS {
            match rustix::io::read(self.file, &mut self.buffer) {
                Ok(0) => return Some(false),
                Ok(length) => {
                    self.context.update(self.buffer.get(..length)?);
                    self.read += u64::try_from(length).ok()?;
                    if self.read > self.key.size {
                        return None;
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        Some(true)
    }

    /// The digest, if the file is as it was, or `still_runs`: then only its name can have changed.
    pub fn finish(self, still_runs: &dyn Fn(FileId) -> bool) -> Option<[u8; 32]> {
        let (was, is) = (self.key, Facts::of(self.file, false).ok()?.key);
        let same_bytes = self.read == was.size && is.size == was.size && is.modified == was.modified;
        if !same_bytes || (is.changed != was.changed && !still_runs(was.id)) {
            return None;
        }
        self.context.finish().as_ref().try_into().ok()
    }
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
