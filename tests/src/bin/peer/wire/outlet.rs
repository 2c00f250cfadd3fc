//! The writing end.

use super::carry::Carrier;
use super::int80::LowMemory;
use super::ring::Ring;
use super::{Kind, Options, Unsupported, Vectors, WriteWith, count, header, vectors, wait_drained, wait_ready};
use anyhow::{Context, Result};
use std::io;
use std::os::fd::RawFd;

/// Packets may not be larger than a socket's buffer.
const PACKET: usize = 16 * 1024;

/// Writes to one descriptor with one system call.
pub struct Outlet {
    fd: RawFd,
    how: WriteWith,
    split: usize,
    prompt: bool,
    layout: Vectors,
    kind: Kind,
    carrier: Option<Carrier>,
    ring: Option<Ring>,
    low: Option<LowMemory>,
    calls: u64,
}

impl Outlet {
    /// The descriptor stays the caller's.
    pub fn new(fd: RawFd, options: &Options) -> Result<Self> {
        let how = options.write_with;
        let kind = Kind::of(fd)?;
        let carrier = match how {
            WriteWith::Splice | WriteWith::Vmsplice | WriteWith::Tee | WriteWith::Sendfile => Some(Carrier::new()?),
            _ => None,
        };
        let ring = match how {
            WriteWith::IoUringSqpoll => Some(Ring::new(true)?),
            WriteWith::IoUring | WriteWith::IoUringWritev | WriteWith::IoUringFixed => Some(Ring::new(false)?),
            WriteWith::IoUringSend | WriteWith::IoUringSendmsg | WriteWith::IoUringSendZc => Some(Ring::new(false)?),
            _ => None,
        };
        let low = match how {
            WriteWith::Int80Write | WriteWith::Int80Writev | WriteWith::Int80Socketcall => Some(LowMemory::new()?),
            _ => None,
        };
        if how == WriteWith::Tee && kind != Kind::Pipe {
            return Err(Unsupported("tee writes into pipes only".to_owned()).into());
        }
        Ok(Self { fd, how, split: options.split.max(1), prompt: options.prompt, layout: options.iov, kind, carrier, ring, low, calls: 0 })
    }

    /// Writes all of it, in as many pieces as the options say.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let most = if self.kind == Kind::Packets { PACKET } else { usize::MAX };
        let piece = bytes.len().div_ceil(self.split).clamp(1, most);
        for (number, piece) in bytes.chunks(piece).enumerate() {
            if self.prompt && number > 0 {
                wait_drained(self.fd)?;
            }
            self.send_piece(piece).with_context(|| format!("{:?} of {} bytes", self.how, piece.len()))?;
        }
        Ok(())
    }

    fn send_piece(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.call(bytes) {
                Ok(written) => bytes = bytes.get(written..).context("more written than given")?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait_ready(self.fd, libc::POLLOUT, None)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// One system call.
    fn call(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        let (fd, flags, kind, layout) = (self.fd, libc::MSG_NOSIGNAL, self.kind, self.layout);
        let (pointer, length) = (bytes.as_ptr().cast::<libc::c_void>(), bytes.len());
        match self.how {
            // Safety, here and below: pointer and length are those of `bytes`, vectors and headers point into it and live until the call returns.
            WriteWith::Write => {
                // SAFETY: see above.
                count(unsafe { libc::write(fd, pointer, length) })
            }
            WriteWith::Writev => {
                let vectors = vectors(bytes, layout);
                // SAFETY: see above.
                count(unsafe { libc::writev(fd, vectors.as_ptr(), vectors.len() as i32) })
            }
            WriteWith::Pwritev => {
                let vectors = vectors(bytes, layout);
                // SAFETY: see above.
                match count(unsafe { libc::pwritev(fd, vectors.as_ptr(), vectors.len() as i32, 0) }) {
                    Err(error) if error.raw_os_error() == Some(libc::ESPIPE) => {}
                    other => return other,
                }
                // SAFETY: see above.
                count(unsafe { libc::pwritev2(fd, vectors.as_ptr(), vectors.len() as i32, -1, 0) })
            }
            WriteWith::Pwritev2 => {
                let vectors = vectors(bytes, layout);
                // SAFETY: see above.
                count(unsafe { libc::pwritev2(fd, vectors.as_ptr(), vectors.len() as i32, -1, 0) })
            }
            // SAFETY: see above; no address is given.
            WriteWith::Sendto => count(unsafe { libc::sendto(fd, pointer, length, flags, std::ptr::null(), 0) }),
            WriteWith::Sendmsg => {
                let mut vectors = vectors(bytes, layout);
                let header = header(&mut vectors);
                // SAFETY: see above.
                count(unsafe { libc::sendmsg(fd, &raw const header, flags) })
            }
            WriteWith::Sendmmsg => self.sendmmsg(bytes),
            WriteWith::Splice => self.carrier()?.splice(bytes, fd, kind),
            WriteWith::Vmsplice => self.carrier()?.vmsplice(bytes, fd, kind),
            WriteWith::Tee => self.carrier()?.tee(bytes, fd),
            WriteWith::Sendfile => self.carrier()?.sendfile(bytes, fd),
            WriteWith::IoUring | WriteWith::IoUringSqpoll => self.ring()?.write(fd, bytes),
            WriteWith::IoUringWritev => self.ring()?.writev(fd, &vectors(bytes, layout)),
            WriteWith::IoUringFixed => self.ring()?.write_fixed(fd, bytes),
            WriteWith::IoUringSend => self.ring()?.send(fd, bytes),
            WriteWith::IoUringSendmsg => {
                let mut vectors = vectors(bytes, layout);
                self.ring()?.sendmsg(fd, &header(&mut vectors))
            }
            WriteWith::IoUringSendZc => self.ring()?.send_zc(fd, bytes),
            WriteWith::Int80Write => self.low()?.write(fd, bytes),
            WriteWith::Int80Writev => self.low()?.writev(fd, bytes),
            WriteWith::Int80Socketcall => {
                let turn = self.calls % 3;
                self.low()?.socketcall_send(fd, bytes, turn)
            }
        }
    }

    /// The bytes as up to four messages of one call. Returns the bytes that went out, which is not what the call returns.
    fn sendmmsg(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut parts: Vec<Vec<libc::iovec>> =
            bytes.chunks(bytes.len().div_ceil(4).max(1)).map(|part| vectors(part, self.layout)).collect();
        let mut headers: Vec<libc::mmsghdr> =
            parts.iter_mut().map(|vectors| libc::mmsghdr { msg_hdr: header(vectors), msg_len: 0 }).collect();
        // SAFETY: the headers and all that they point at live until the call returns.
        let sent = count(unsafe { libc::sendmmsg(self.fd, headers.as_mut_ptr(), headers.len() as u32, libc::MSG_NOSIGNAL as _) } as isize)?;
        let whole = headers.iter().take(sent);
        // A short count in one message is followed by bytes of the next, if any: then the stream is torn.
        let torn = whole
            .clone()
            .zip(&parts)
            .rev()
            .skip(1)
            .any(|(header, vectors)| header.msg_len as usize != vectors.iter().map(|vector| vector.iov_len).sum::<usize>());
        if torn {
            return Err(io::Error::other("sendmmsg sent a part of a message and then the next"));
        }
        Ok(whole.map(|header| header.msg_len as usize).sum())
    }

    fn carrier(&mut self) -> io::Result<&mut Carrier> {
        self.carrier.as_mut().ok_or_else(|| io::Error::other("no carrier"))
    }

    fn ring(&mut self) -> io::Result<&mut Ring> {
        self.ring.as_mut().ok_or_else(|| io::Error::other("no ring"))
    }

    fn low(&mut self) -> io::Result<&mut LowMemory> {
        self.low.as_mut().ok_or_else(|| io::Error::other("no low memory"))
    }
}
