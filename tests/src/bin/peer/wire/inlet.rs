//! The reading end.

use super::carry::Carrier;
use super::int80::LowMemory;
use super::ring::Ring;
use super::{Kind, Options, ReadWith, Vectors, count, header, vectors, wait_ready};
use anyhow::Result;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// What one read gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Received {
    /// So many bytes, appended.
    Bytes(usize),
    /// So many bytes, which nobody will ever see.
    Discarded(usize),
    /// The stream is over.
    End,
}

/// Reads from one descriptor with one system call.
pub struct Inlet {
    fd: RawFd,
    how: ReadWith,
    layout: Vectors,
    kind: Kind,
    buffer: Vec<u8>,
    carrier: Option<Carrier>,
    ring: Option<Ring>,
    low: Option<LowMemory>,
    lag: Duration,
    lags: u32,
}

impl Inlet {
    /// The descriptor stays the caller's.
    pub fn new(fd: RawFd, options: &Options) -> Result<Self> {
        let how = options.read_with;
        Ok(Self {
            fd,
            how,
            layout: options.iov,
            kind: Kind::of(fd)?,
            buffer: vec![0; options.read_size.max(1)],
            carrier: if how == ReadWith::Splice { Some(Carrier::new()?) } else { None },
            ring: match how {
                ReadWith::IoUring | ReadWith::IoUringRecv | ReadWith::IoUringFixed => Some(Ring::new(false)?),
                _ => None,
            },
            low: match how {
                ReadWith::Int80Read | ReadWith::Int80Readv => Some(LowMemory::new()?),
                _ => None,
            },
            lag: Duration::from_millis(options.lag_ms),
            lags: 3,
        })
    }

    /// One read that gives something, appended to `into`.
    pub fn read(&mut self, into: &mut Vec<u8>) -> Result<Received> {
        if self.lags > 0 && !self.lag.is_zero() {
            self.lags -= 1;
            wait_ready(self.fd, libc::POLLIN, None)?;
            std::thread::sleep(self.lag);
        }
        loop {
            match self.call() {
                Ok(0) => return Ok(Received::End),
                Ok(bytes) if self.how == ReadWith::Trunc => return Ok(Received::Discarded(bytes)),
                Ok(bytes) => {
                    into.extend_from_slice(self.buffer.get(..bytes).unwrap_or(&self.buffer));
                    return Ok(Received::Bytes(bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait_ready(self.fd, libc::POLLIN, None)?;
                }
                // A pseudo-terminal's master when the last slave is closed, and a TCP peer that was killed with unread bytes.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::ECONNRESET)) => return Ok(Received::End),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One system call into the buffer (or one peek and one read).
    fn call(&mut self) -> io::Result<usize> {
        let fd = self.fd;
        let (pointer, length) = (self.buffer.as_mut_ptr().cast::<libc::c_void>(), self.buffer.len());
        match self.how {
            // Safety, here and below: pointer and length are those of the buffer, vectors and headers point into it and live until the call returns.
            ReadWith::Read => {
                // SAFETY: see above.
                count(unsafe { libc::read(fd, pointer, length) })
            }
            ReadWith::Readv => {
                let vectors = vectors(&self.buffer, self.layout);
                // SAFETY: see above.
                count(unsafe { libc::readv(fd, vectors.as_ptr(), vectors.len() as i32) })
            }
            ReadWith::Preadv2 => {
                let vectors = vectors(&self.buffer, self.layout);
                // SAFETY: see above.
                count(unsafe { libc::preadv2(fd, vectors.as_ptr(), vectors.len() as i32, -1, 0) })
            }
            // SAFETY: see above; no address is asked for.
            ReadWith::Recvfrom => count(unsafe { libc::recvfrom(fd, pointer, length, 0, std::ptr::null_mut(), std::ptr::null_mut()) }),
            ReadWith::Recvmsg => {
                let mut vectors = vectors(&self.buffer, self.layout);
                let mut header = header(&mut vectors);
                // SAFETY: see above.
                count(unsafe { libc::recvmsg(fd, &raw mut header, 0) })
            }
            ReadWith::Recvmmsg => self.recvmmsg(),
            ReadWith::Splice => {
                let carrier = self.carrier.as_mut().ok_or_else(|| io::Error::other("no carrier"))?;
                carrier.receive(fd, self.kind, &mut self.buffer)
            }
            ReadWith::IoUring => self.ring.as_mut().ok_or_else(no_ring)?.read(fd, &mut self.buffer),
            ReadWith::IoUringRecv => self.ring.as_mut().ok_or_else(no_ring)?.recv(fd, &mut self.buffer),
            ReadWith::IoUringFixed => self.ring.as_mut().ok_or_else(no_ring)?.read_fixed(fd, &mut self.buffer),
            ReadWith::Int80Read => self.low.as_mut().ok_or_else(no_ring)?.read(fd, &mut self.buffer),
            ReadWith::Int80Readv => self.low.as_mut().ok_or_else(no_ring)?.readv(fd, &mut self.buffer),
            ReadWith::PeekThenRead => {
                // SAFETY: see above.
                count(unsafe { libc::recv(fd, pointer, length, libc::MSG_PEEK) })?;
                // SAFETY: see above.
                count(unsafe { libc::recv(fd, pointer, length, 0) })
            }
            // SAFETY: see above. The kernel leaves the buffer alone on TCP.
            ReadWith::Trunc => count(unsafe { libc::recv(fd, pointer, length, libc::MSG_TRUNC) }),
        }
    }

    /// Up to four messages by one call, each into a quarter of the buffer; then moved together.
    fn recvmmsg(&mut self) -> io::Result<usize> {
        let quarter = (self.buffer.len() / 4).max(1);
        let layout = self.layout;
        let mut parts: Vec<Vec<libc::iovec>> = self.buffer.chunks(quarter).take(4).map(|part| vectors(part, layout)).collect();
        let mut headers: Vec<libc::mmsghdr> =
            parts.iter_mut().map(|vectors| libc::mmsghdr { msg_hdr: header(vectors), msg_len: 0 }).collect();
        // SAFETY: the headers and all that they point at live until the call returns; no timeout is given.
        let received = count(unsafe {
            libc::recvmmsg(self.fd, headers.as_mut_ptr(), headers.len() as u32, libc::MSG_WAITFORONE as _, std::ptr::null_mut())
        } as isize)?;
        let mut total = 0;
        for (number, header) in headers.iter().take(received).enumerate() {
            let (from, length) = (number * quarter, header.msg_len as usize);
            self.buffer.copy_within(from..from + length, total);
            total += length;
        }
        Ok(total)
    }
}

fn no_ring() -> io::Error {
    io::Error::other("not set up")
}
