//! Reads `/proc/<pid>`, and never another process's by mistake.
//!
//! A [`ProcessDir`] is opened first and asked for its start time then: what is read through it later belongs to that
//! process or fails, whatever becomes of the pid. `/proc` tells start times in ticks, rounded down, and so a
//! [`ProcessId`]'s nanoseconds are compared ([`tick`]).
//!
//! Nothing here waits for another process: files are opened as paths (`O_PATH`) and their attributes taken as the
//! kernel has them cached, so that no FUSE server is asked. The arguments are the exception (the kernel takes a lock of
//! the process to read them): only the background thread reads those.

use super::process::FileId;
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, CWD, Mode, OFlags, Statx, StatxFlags, StatxTimestamp},
    io::Errno,
};
use sensor_core::input::{ProcessId, Time};
use std::{io, path::Path};

/// Nanoseconds in a tick of `/proc`'s start times: `USER_HZ` is 100 by the ABI of x86-64 and arm64.
const TICK: Time = 1_000_000_000 / 100;
/// Bytes read of one of its files at most, arguments excepted.
const LIMIT: usize = 16 * 1024;
/// Inode number of the first pid namespace (`PROC_PID_INIT_INO`).
pub(super) const FIRST_PID_NAMESPACE: u32 = 0xefff_fffc;
/// Inode number of the first cgroup namespace (`PROC_CGROUP_INIT_INO`).
const FIRST_CGROUP_NAMESPACE: u32 = 0xefff_fffb;
/// Flag of the kernel's own threads in `stat`.
const PF_KTHREAD: u64 = 0x0020_0000;

/// The tick in which a process started.
pub(super) const fn tick(start_time: Time) -> u64 {
    start_time / TICK
}

/// The earliest start time in a tick.
pub(super) const fn start_of(tick: u64) -> Time {
    tick.saturating_mul(TICK)
}

/// True where `root` shows the processes of the first pid namespace, whose numbers the kernel's records carry.
pub(super) fn is_host(root: &Path) -> bool {
    // Its pid 1 lives in the namespace that this procfs was mounted for, whoever looks at it.
    match namespace_of(root, "1/ns/pid") {
        Some(number) => number == FIRST_PID_NAMESPACE,
        // Without the right to look: only the first namespace has kernel threads.
        None => ProcessDir::open(root, 2).is_ok_and(|dir| dir.stat.kernel_thread),
    }
}

/// True where paths of cgroups in `root` begin at the root of the hierarchy.
pub(super) fn cgroups_are_host(root: &Path) -> bool {
    namespace_of(root, "self/ns/cgroup") == Some(FIRST_CGROUP_NAMESPACE)
}

fn namespace_of(root: &Path, name: &str) -> Option<u32> {
    namespace(&link(CWD, root.join(name))?)
}

/// The number in `pid:[4026531836]`.
fn namespace(link: &str) -> Option<u32> {
    link.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

fn link<P: rustix::path::Arg>(directory: impl AsFd, path: P) -> Option<String> {
    let target = rustix::fs::readlinkat(directory, path, Vec::new()).ok()?;
    Some(String::from_utf8_lossy(target.as_bytes()).into_owned())
}

/// The pids that `root` lists.
pub(super) fn pids(root: &Path) -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir(root)? {
        if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// What `/proc/<pid>/stat` tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stat {
    /// Pid of the parent.
    pub parent: u32,
    /// Tick of the start.
    pub tick: u64,
    /// A thread of the kernel.
    pub kernel_thread: bool,
    /// Ended: only its entry is left.
    pub ended: bool,
    /// Stopped by a signal.
    pub stopped: bool,
}

impl Stat {
    fn parse(text: &[u8]) -> Option<Self> {
        // The name in parentheses may hold anything, parentheses and spaces too.
        let end = memchr::memrchr(b')', text)?;
        let fields: Vec<&str> = std::str::from_utf8(text.get(end + 1..)?).ok()?.split_ascii_whitespace().collect();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            tick: fields.get(19)?.parse().ok()?,
            kernel_thread: fields.get(6)?.parse::<u64>().ok()? & PF_KTHREAD != 0,
            ended: matches!(*fields.first()?, "Z" | "X" | "x"),
            stopped: *fields.first()? == "T",
        })
    }
}

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Its name, as `stat` tells it.
    pub id: FileId,
    /// Tells contents apart: a file whose key is the same has the same bytes.
    pub key: FileKey,
    /// Birth, where the file system keeps it: seconds and nanoseconds since the Unix epoch.
    pub born: Option<(i64, u32)>,
    /// Names in directories.
    pub links: u32,
    /// A regular file.
    pub regular: bool,
    /// The mount it was reached by; 0 where the kernel does not tell.
    pub mount: u64,
}

/// A file and a state of it. The time of change cannot be set, so it stands for the contents.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct FileKey {
    /// See [`FileId`].
    pub id: FileId,
    /// Bytes.
    pub size: u64,
    /// Time of the last write, which can be set.
    pub modified: (i64, u32),
    /// Time of the last change, links and owner included.
    pub changed: (i64, u32),
}

impl Facts {
    /// Of an open file; with `cached` as the kernel has them, without asking a remote file system.
    pub fn of(file: impl AsFd, cached: bool) -> io::Result<Self> {
        let sync = if cached { AtFlags::STATX_DONT_SYNC } else { AtFlags::empty() };
        let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME | StatxFlags::MNT_ID;
        Ok(Self::from(&rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH | sync, mask)?))
    }
}

impl From<&Statx> for Facts {
    fn from(stat: &Statx) -> Self {
        let pair = |time: &StatxTimestamp| (time.tv_sec, time.tv_nsec);
        let id = FileId::new(stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
        let has = |flag: StatxFlags| stat.stx_mask & flag.bits() != 0;
        Self {
            id,
            key: FileKey { id, size: stat.stx_size, modified: pair(&stat.stx_mtime), changed: pair(&stat.stx_ctime) },
            born: has(StatxFlags::BTIME).then(|| pair(&stat.stx_btime)),
            links: stat.stx_nlink,
            regular: u32::from(stat.stx_mode) & 0o170_000 == 0o100_000,
            mount: if has(StatxFlags::MNT_ID) { stat.stx_mnt_id } else { 0 },
        }
    }
}

/// The program that a process runs.
pub(super) struct Executable {
    /// Opened as a path: names the very file, whatever its name is now.
    pub file: OwnedFd,
    /// What is known of it.
    pub facts: Facts,
    /// Its path in the process's mount namespace.
    pub path: String,
}

/// An open `/proc/<pid>`.
pub(super) struct ProcessDir {
    fd: OwnedFd,
    /// What it told when it was opened.
    pub stat: Stat,
}

impl ProcessDir {
    /// Opens the directory of whichever process has this pid now.
    pub fn open(root: &Path, pid: u32) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, root.join(pid.to_string()), flags, Mode::empty())?;
        let text = read(&fd, "stat", LIMIT)?;
        let stat = Stat::parse(&text).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { fd, stat })
    }

    /// Opens the directory of this very process, not of one that has its pid now.
    pub fn open_process(root: &Path, process: ProcessId) -> io::Result<Self> {
        let dir = Self::open(root, process.pid)?;
        if dir.stat.tick == tick(process.start_time) { Ok(dir) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// The program. Fails for kernel threads and for processes that ended.
    pub fn executable(&self) -> io::Result<Executable> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.fd, "exe", flags, Mode::empty())?;
        let facts = Facts::of(&file, true)?;
        let path = link(&self.fd, "exe").ok_or(io::ErrorKind::NotFound)?;
        Ok(Executable { file, facts, path: without_mark(path, facts.links == 0) })
    }

    /// The arguments, up to `limit` bytes, and whether there are more. Waits for a lock of the process.
    pub fn arguments(&self, limit: usize) -> io::Result<(Vec<u8>, bool)> {
        let mut bytes = read(&self.fd, "cmdline", limit + 1)?;
        let cut = bytes.len() > limit;
        bytes.truncate(limit);
        Ok((bytes, cut))
    }

    /// The working directory.
    pub fn directory(&self) -> Option<String> {
        link(&self.fd, "cwd")
    }

    /// The real user id.
    pub fn user(&self) -> Option<u32> {
        let text = read(&self.fd, "status", LIMIT).ok()?;
        let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
        std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?.parse().ok()
    }

    /// The login user id of the audit system.
    pub fn login_user(&self) -> Option<u32> {
        let text = read(&self.fd, "loginuid", LIMIT).ok()?;
        std::str::from_utf8(&text).ok()?.trim().parse().ok().filter(|user| *user != u32::MAX)
    }

    /// The pid namespace.
    pub fn pid_namespace(&self) -> Option<u32> {
        namespace(&link(&self.fd, "ns/pid")?)
    }

    /// The paths of the control group: in the v2 hierarchy, and in that v1 hierarchy which tells most.
    pub fn cgroups(&self) -> Option<(String, String)> {
        Some(parse_cgroups(&String::from_utf8_lossy(&read(&self.fd, "cgroup", LIMIT).ok()?)))
    }
}

/// Reads a file in a folder of `/proc`, of at most `limit` bytes.
pub(super) fn read_file(directory: &Path, name: &str, limit: usize) -> io::Result<Vec<u8>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    read(rustix::fs::openat(CWD, directory, flags, Mode::empty())?, name, limit)
}

/// Reads a file of `/proc`, of at most `limit` bytes; the rest is left.
fn read(directory: impl AsFd, name: &str, limit: usize) -> io::Result<Vec<u8>> {
    let file = rustix::fs::openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::with_capacity(limit.min(4096));
    while bytes.len() < limit {
        bytes.reserve((limit - bytes.len()).min(4096));
        match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes)) {
            // A call that does not fill its buffer was the last one: these files give what they have.
            Ok(_) if bytes.len() < bytes.capacity() => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(limit);
    Ok(bytes)
}

/// Takes off what the kernel adds to the path of a file that has no name any more.
fn without_mark(mut path: String, unlinked: bool) -> String {
    if unlinked && let Some(plain) = path.strip_suffix(" (deleted)") {
        path.truncate(plain.len());
    }
    path
}

fn parse_cgroups(text: &str) -> (String, String) {
    let (mut v2, mut pids, mut systemd) = ("", "", "");
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        if number == "0" {
            v2 = path;
        } else if controllers == "name=systemd" {
            systemd = path;
        } else if controllers.split(',').any(|controller| controller == "pids") {
            pids = path;
        }
    }
    let v1 = if matches!(pids, "" | "/") { systemd } else { pids };
    (v2.to_owned(), v1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REST: &str = "0 0 0 0 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 6 7";

    #[test]
    fn a_name_in_stat_may_look_like_anything() {
        for name in ["sh", "a b", ") Z 1 (", "", "((", "\n"] {
            let stat = Stat::parse(format!("77 ({name}) S 12 {REST}").as_bytes()).unwrap();
            assert_eq!(stat, Stat { parent: 12, tick: 12345, kernel_thread: false, ended: false, stopped: false }, "{name}");
        }
        assert!(Stat::parse(format!("77 (x) Z 12 {REST}").as_bytes()).unwrap().ended);
        assert!(Stat::parse(format!("77 (x) T 12 {REST}").as_bytes()).unwrap().stopped);
        let kernel = REST.replace("4194304", "2129984");
        assert!(Stat::parse(format!("2 (kthreadd) S 0 {kernel}").as_bytes()).unwrap().kernel_thread);
        assert_eq!(Stat::parse(b"77 (x) S 12"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn a_start_time_and_its_tick_agree() {
        assert_eq!(tick(123_456_789_012), 12_345);
        assert_eq!(tick(start_of(12_345)), 12_345);
        assert_eq!(start_of(u64::MAX), u64::MAX);
        // `USER_HZ` is what the kernel says it is.
        let vector = std::fs::read("/proc/self/auxv").unwrap();
        let pairs = vector.as_chunks::<16>().0.iter().map(|pair| {
            let (key, value) = pair.split_at(8);
            (u64::from_ne_bytes(key.try_into().unwrap()), u64::from_ne_bytes(value.try_into().unwrap()))
        });
        let hertz = pairs.filter(|(key, _)| *key == 17).map(|(_, value)| value).next();
        assert_eq!(hertz, Some(1_000_000_000 / TICK));
    }

    #[test]
    fn the_hierarchies_are_told_apart() {
        let hybrid = "9:name=systemd:/a.service\n8:cpu,pids:/docker/x\n4:memory:/m\n0::/b.service (deleted)\n";
        assert_eq!(parse_cgroups(hybrid), ("/b.service".to_owned(), "/docker/x".to_owned()));
        assert_eq!(parse_cgroups("1:name=systemd:/a:b\n8:pids:/\n"), (String::new(), "/a:b".to_owned()));
        assert_eq!(parse_cgroups("0::/x\n"), ("/x".to_owned(), String::new()));
        assert_eq!(parse_cgroups("nonsense"), (String::new(), String::new()));
    }

    #[test]
    fn a_name_that_ends_like_a_mark_is_left_alone() {
        assert_eq!(without_mark("/bin/x (deleted)".to_owned(), true), "/bin/x");
        assert_eq!(without_mark("/bin/x (deleted)".to_owned(), false), "/bin/x (deleted)");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(bytes: Vec<u8>, text: String) {
            let _ = Stat::parse(&bytes);
            let _ = parse_cgroups(&text);
            let _ = namespace(&text);
        }
    }
}
