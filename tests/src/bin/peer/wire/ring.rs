//! io_uring: one request at a time, submitted and waited for.

use super::Unsupported;
use anyhow::Result;
use io_uring::{IoUring, opcode, squeue, types};
use std::io;
use std::os::fd::RawFd;

/// A ring with one registered buffer.
pub struct Ring {
    ring: IoUring,
    /// Registered when first used. Stays where it is: the kernel knows its address.
    fixed: Option<Box<[u8]>>,
}

/// Bytes of the registered buffer.
const FIXED: usize = 256 * 1024;

impl Ring {
    /// With `polled`, a thread of the kernel polls the submission queue.
    pub fn new(polled: bool) -> Result<Self> {
        let ring = if polled { IoUring::builder().setup_sqpoll(100).build(8) } else { IoUring::new(8) };
        match ring {
            Ok(ring) => Ok(Self { ring, fixed: None }),
            Err(error) => Err(Unsupported(format!("io_uring: {error}")).into()),
        }
    }

    pub fn write(&mut self, fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
        self.run(opcode::Write::new(types::Fd(fd), bytes.as_ptr(), length(bytes)).offset(u64::MAX).build())
    }

    pub fn writev(&mut self, fd: RawFd, vectors: &[libc::iovec]) -> io::Result<usize> {
        self.run(opcode::Writev::new(types::Fd(fd), vectors.as_ptr(), vectors.len() as u32).offset(u64::MAX).build())
    }

    pub fn write_fixed(&mut self, fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
        let part = bytes.get(..bytes.len().min(FIXED)).unwrap_or(bytes);
        let buffer = self.fixed()?;
        buffer.get_mut(..part.len()).ok_or_else(too_small)?.copy_from_slice(part);
        let pointer = buffer.as_ptr();
        self.run(opcode::WriteFixed::new(types::Fd(fd), pointer, length(part), 0).offset(u64::MAX).build())
    }

    pub fn send(&mut self, fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
        self.run(opcode::Send::new(types::Fd(fd), bytes.as_ptr(), length(bytes)).flags(libc::MSG_NOSIGNAL).build())
    }

    pub fn sendmsg(&mut self, fd: RawFd, header: &libc::msghdr) -> io::Result<usize> {
        self.run(opcode::SendMsg::new(types::Fd(fd), header).flags(libc::MSG_NOSIGNAL as u32).build())
    }

    /// Zero-copy: a second completion tells that the kernel has let go of the bytes.
    pub fn send_zc(&mut self, fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
        self.run(opcode::SendZc::new(types::Fd(fd), bytes.as_ptr(), length(bytes)).flags(libc::MSG_NOSIGNAL).build())
    }

    pub fn read(&mut self, fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
        self.run(opcode::Read::new(types::Fd(fd), buffer.as_mut_ptr(), length(buffer)).offset(u64::MAX).build())
    }

    pub fn recv(&mut self, fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
        self.run(opcode::Recv::new(types::Fd(fd), buffer.as_mut_ptr(), length(buffer)).build())
    }

    pub fn read_fixed(&mut self, fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(FIXED);
        let pointer = self.fixed()?.as_mut_ptr();
        let read = self.run(opcode::ReadFixed::new(types::Fd(fd), pointer, most as u32, 0).offset(u64::MAX).build())?;
        let from = self.fixed()?.get(..read).ok_or_else(too_small)?.to_vec();
        buffer.get_mut(..read).ok_or_else(too_small)?.copy_from_slice(&from);
        Ok(read)
    }

    fn fixed(&mut self) -> io::Result<&mut [u8]> {
        if self.fixed.is_none() {
            let mut buffer = vec![0; FIXED].into_boxed_slice();
            let vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            // SAFETY: the buffer is kept, in its place on the heap, as long as the ring.
            unsafe { self.ring.submitter().register_buffers(&[vector])? };
            self.fixed = Some(buffer);
        }
        self.fixed.as_deref_mut().ok_or_else(too_small)
    }

    /// Submits one request and waits for its end.
    fn run(&mut self, entry: squeue::Entry) -> io::Result<usize> {
        // SAFETY: all that the request points at lives until this function returns, which is after its completion.
        unsafe { self.ring.submission().push(&entry) }.map_err(io::Error::other)?;
        let mut result = None;
        let mut more = true;
        while more {
            match self.ring.submit_and_wait(1) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            for completion in self.ring.completion() {
                more = io_uring::cqueue::more(completion.flags());
                result.get_or_insert(completion.result());
            }
            more |= result.is_none();
        }
        match result.unwrap_or(-libc::EIO) {
            error if error < 0 => Err(io::Error::from_raw_os_error(-error)),
            bytes => Ok(bytes as usize),
        }
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn too_small() -> io::Error {
    io::Error::other("buffer too small")
}
