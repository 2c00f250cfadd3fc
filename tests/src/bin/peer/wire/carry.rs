//! Calls that move bytes without a buffer of the caller's: splice, vmsplice, tee, sendfile.
//!
//! Bytes start in a fresh file in memory for each call: its pages stay in the pipe by reference, so one that is written again would
//! change what the reader gets. No byte passes through a `write` to a pipe of the peer's own, as the sensor would rightly see that too.

use super::{Kind, count};
use crate::transport::pipe;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Bytes that a pipe holds.
const PIPE: usize = 65536;

/// A pipe of its own to go by, and where to throw bytes away.
pub struct Carrier {
    into: OwnedFd,
    out: OwnedFd,
    null: File,
}

impl Carrier {
    pub fn new() -> io::Result<Self> {
        let (out, into) = pipe()?;
        Ok(Self { into, out, null: File::options().write(true).open("/dev/null")? })
    }

    /// File in memory → pipe, or → pipe → socket.
    pub fn splice(&mut self, bytes: &[u8], fd: RawFd, kind: Kind) -> io::Result<usize> {
        let source = file_of(bytes.get(..bytes.len().min(16 * PIPE)).unwrap_or(bytes))?;
        if kind == Kind::Pipe {
            return splice(source.as_raw_fd(), fd, bytes.len());
        }
        let inside = splice(source.as_raw_fd(), self.into.as_raw_fd(), bytes.len().min(PIPE))?;
        self.empty_into(fd, inside)
    }

    /// Memory → pipe, or → pipe → socket. The memory is given up at once, so that it cannot change.
    pub fn vmsplice(&mut self, bytes: &[u8], fd: RawFd, kind: Kind) -> io::Result<usize> {
        let bytes = bytes.get(..bytes.len().min(PIPE)).unwrap_or(bytes);
        let pages = Pages::copy_of(bytes)?;
        let vector = libc::iovec { iov_base: pages.start, iov_len: bytes.len() };
        let pipe = if kind == Kind::Pipe { fd } else { self.into.as_raw_fd() };
        // SAFETY: the vector names mapped memory; the kernel takes references to its pages, so that they outlive the mapping.
        let moved = count(unsafe { libc::vmsplice(pipe, &raw const vector, 1, 0) })?;
        if kind == Kind::Pipe { Ok(moved) } else { self.empty_into(fd, moved) }
    }

    /// File in memory → own pipe, doubled into the other pipe, then thrown away.
    pub fn tee(&mut self, bytes: &[u8], fd: RawFd) -> io::Result<usize> {
        let source = file_of(bytes.get(..bytes.len().min(PIPE)).unwrap_or(bytes))?;
        let inside = splice(source.as_raw_fd(), self.into.as_raw_fd(), bytes.len().min(PIPE))?;
        // SAFETY: takes no pointers.
        let doubled = count(unsafe { libc::tee(self.out.as_raw_fd(), fd, inside, 0) });
        self.empty_into(self.null.as_raw_fd(), inside)?;
        doubled
    }

    /// File in memory → anything.
    pub fn sendfile(&mut self, bytes: &[u8], fd: RawFd) -> io::Result<usize> {
        let source = file_of(bytes)?;
        // SAFETY: no offset is given.
        count(unsafe { libc::sendfile(fd, source.as_raw_fd(), std::ptr::null_mut(), bytes.len()) })
    }

    /// Pipe → file in memory, or socket → pipe → file in memory; then the file's bytes into `buffer`.
    pub fn receive(&mut self, fd: RawFd, kind: Kind, buffer: &mut [u8]) -> io::Result<usize> {
        let mut target = memory_file()?;
        let moved = if kind == Kind::Pipe {
            splice(fd, target.as_raw_fd(), buffer.len())?
        } else {
            let inside = splice(fd, self.into.as_raw_fd(), buffer.len().min(PIPE))?;
            self.empty_into(target.as_raw_fd(), inside)?
        };
        target.seek(SeekFrom::Start(0))?;
        let part = buffer.get_mut(..moved).ok_or_else(|| io::Error::other("more than asked for"))?;
        target.read_exact(part)?;
        Ok(moved)
    }

    /// All that the own pipe holds into `fd`, waiting where it does not block.
    fn empty_into(&mut self, fd: RawFd, bytes: usize) -> io::Result<usize> {
        let mut left = bytes;
        while left > 0 {
            match splice(self.out.as_raw_fd(), fd, left) {
                Ok(0) => return Err(io::Error::other("splice moved nothing")),
                Ok(moved) => left -= moved,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    super::wait_ready(fd, libc::POLLOUT, None)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}

/// splice at the files' own positions.
pub fn splice(from: RawFd, to: RawFd, bytes: usize) -> io::Result<usize> {
    // SAFETY: no offsets are given.
    count(unsafe { libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), bytes, 0) })
}

/// Passes on all bytes from a socket to a socket, by way of a pipe.
pub fn pass_all(from: RawFd, to: RawFd) -> io::Result<()> {
    let mut carrier = Carrier::new()?;
    loop {
        match splice(from, carrier.into.as_raw_fd(), PIPE)? {
            0 => return Ok(()),
            inside => carrier.empty_into(to, inside)?,
        };
    }
}

fn memory_file() -> io::Result<File> {
    // SAFETY: the name is a C string.
    let fd = count(unsafe { libc::memfd_create(c"peer".as_ptr(), libc::MFD_CLOEXEC) } as isize)?;
    // SAFETY: it was just made and belongs to nobody else.
    Ok(unsafe { File::from_raw_fd(fd as RawFd) })
}

fn file_of(bytes: &[u8]) -> io::Result<File> {
    let mut file = memory_file()?;
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Mapped memory.
struct Pages {
    start: *mut libc::c_void,
    length: usize,
}

impl Pages {
    fn copy_of(bytes: &[u8]) -> io::Result<Self> {
        let length = bytes.len();
        // SAFETY: a new anonymous mapping at a place of the kernel's choice.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping has `length` writable bytes, and overlaps nothing.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.cast(), length) };
        Ok(Self { start, length })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing in this process points into it any more.
        unsafe { libc::munmap(self.start, self.length) };
    }
}
