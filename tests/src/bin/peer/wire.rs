//! Moving bytes: every system call that writes to, or reads from, a pipe, a socket or a pseudo-terminal.
//!
//! [`Outlet`] and [`Inlet`] are one end each of one file descriptor. They are made of [`Options`], which both `peer client` and `peer server` take.

pub mod carry;
mod inlet;
mod int80;
mod outlet;
mod ring;

pub use inlet::{Inlet, Received};
pub use outlet::Outlet;

use clap::{Args, ValueEnum};
use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// A system call that writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum WriteWith {
    Write,
    Writev,
    /// Fails on every stream (ESPIPE); what follows is pwritev2 at position -1.
    Pwritev,
    Pwritev2,
    Sendto,
    Sendmsg,
    /// Each call carries the bytes as several messages.
    Sendmmsg,
    /// From a file in memory; into a socket by way of a pipe.
    Splice,
    Vmsplice,
    /// Into pipes only.
    Tee,
    Sendfile,
    IoUring,
    IoUringWritev,
    /// A registered buffer.
    IoUringFixed,
    /// The kernel's thread polls the submission queue.
    IoUringSqpoll,
    IoUringSend,
    IoUringSendmsg,
    IoUringSendZc,
    Int80Write,
    Int80Writev,
    /// sendmsg, send and sendto by turns.
    Int80Socketcall,
}

/// A system call that reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ReadWith {
    Read,
    Readv,
    Preadv2,
    Recvfrom,
    Recvmsg,
    Recvmmsg,
    /// Into a file in memory; from a socket by way of a pipe.
    Splice,
    IoUring,
    IoUringRecv,
    /// A registered buffer.
    IoUringFixed,
    Int80Read,
    Int80Readv,
    /// recv with MSG_PEEK before each recv.
    PeekThenRead,
    /// recv with MSG_TRUNC: discards on TCP, so the messages are the writer's alone to know.
    Trunc,
}

/// How bytes are laid out in the vectors of one call.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Vectors {
    /// One vector.
    One,
    /// Up to 1,000 vectors of 1 to 13 bytes, the last one takes the rest.
    Many,
    /// The same with empty vectors in between, the first of all with a null pointer.
    Empty,
}

/// How one end moves its bytes.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// The call that writes.
    #[arg(long, value_enum, default_value = "write")]
    pub write_with: WriteWith,
    /// The call that reads.
    #[arg(long, value_enum, default_value = "read")]
    pub read_with: ReadWith,
    /// Pieces a message: so many calls.
    #[arg(long, default_value_t = 1)]
    pub split: usize,
    /// Wait before each further piece until the reader has taken the one before.
    #[arg(long)]
    pub prompt: bool,
    /// Layout of vectors.
    #[arg(long, value_enum, default_value = "one")]
    pub iov: Vectors,
    /// Make the descriptors non-blocking, so that writes are partial.
    #[arg(long)]
    pub nonblock: bool,
    /// Bytes asked for in one read.
    #[arg(long, default_value_t = 65536)]
    pub read_size: usize,
    /// Stay within this many milliseconds behind before each of the first three reads.
    #[arg(long, default_value_t = 0)]
    pub lag_ms: u64,
}

/// The call does not exist here (kernel, architecture), or not on this kind of file. The exit code for it is 77.
#[derive(Debug)]
pub struct Unsupported(pub String);

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not supported here: {}", self.0)
    }
}

impl std::error::Error for Unsupported {}

/// Result of a call that returns a count, or -1 and sets `errno`.
fn count(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// The kind of file behind a descriptor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Pipe,
    Stream,
    Packets,
    Other,
}

impl Kind {
    pub fn of(fd: RawFd) -> io::Result<Self> {
        // SAFETY: an all-zero stat is a valid value; the kernel fills it.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `stat` is valid for writing.
        count(unsafe { libc::fstat(fd, &raw mut stat) } as isize)?;
        Ok(match stat.st_mode & libc::S_IFMT {
            libc::S_IFIFO => Self::Pipe,
            libc::S_IFSOCK => match socket_option(fd, libc::SO_TYPE)? {
                libc::SOCK_STREAM => Self::Stream,
                _ => Self::Packets,
            },
            _ => Self::Other,
        })
    }
}

fn socket_option(fd: RawFd, name: i32) -> io::Result<i32> {
    let mut value = 0_i32;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` and `length` are valid for writing and `length` tells the size of `value`.
    count(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut length) } as isize)?;
    Ok(value)
}

/// Sets or clears O_NONBLOCK.
pub fn set_nonblocking(fd: RawFd, on: bool) -> io::Result<()> {
    // SAFETY: takes no pointers.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    count(flags as isize)?;
    let flags = if on { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
    // SAFETY: takes no pointers.
    count(unsafe { libc::fcntl(fd, libc::F_SETFL, flags) } as isize)?;
    Ok(())
}

/// Waits until a descriptor is ready for `events`, or the time is over: then false.
pub fn wait_ready(fd: RawFd, events: i16, limit: Option<Duration>) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd, events, revents: 0 };
    let limit = limit.map_or(-1, |limit| i32::try_from(limit.as_millis()).unwrap_or(i32::MAX));
    loop {
        // SAFETY: `poll` is one valid pollfd.
        match count(unsafe { libc::poll(&raw mut poll, 1, limit) } as isize) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(|ready| ready > 0),
        }
    }
}

/// Bytes written through this descriptor that nobody has read yet.
pub fn unread(fd: RawFd) -> io::Result<usize> {
    let request = match Kind::of(fd)? {
        Kind::Pipe => libc::FIONREAD,
        Kind::Stream | Kind::Packets => libc::TIOCOUTQ,
        Kind::Other => return Ok(0),
    };
    let mut bytes = 0_i32;
    // SAFETY: both requests write one int.
    count(unsafe { libc::ioctl(fd, request as _, &raw mut bytes) } as isize)?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Waits until the reader has taken everything. Unix sockets count the buffers' overhead too, so zero is the one sure value.
pub fn wait_drained(fd: RawFd) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while unread(fd)? > 0 {
        if Instant::now() > deadline {
            return Err(io::Error::other("the reader takes nothing"));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// `struct iovec`s over `bytes` in the wanted layout.
fn vectors(bytes: &[u8], layout: Vectors) -> Vec<libc::iovec> {
    let vector = |part: &[u8]| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
    let mut vectors = Vec::new();
    if layout == Vectors::Empty {
        vectors.push(libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 });
    }
    let mut rest = bytes;
    let mut size = 1;
    while layout != Vectors::One && rest.len() > size && vectors.len() < 1000 {
        let (part, behind) = rest.split_at(size);
        vectors.push(vector(part));
        if layout == Vectors::Empty && size % 3 == 0 {
            vectors.push(vector(&[]));
        }
        rest = behind;
        size = size % 13 + 1;
    }
    vectors.push(vector(rest));
    vectors
}

/// A message header over these vectors.
fn header(vectors: &mut [libc::iovec]) -> libc::msghdr {
    // SAFETY: an all-zero msghdr is a valid value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = vectors.as_mut_ptr();
    header.msg_iovlen = vectors.len() as _;
    header
}
