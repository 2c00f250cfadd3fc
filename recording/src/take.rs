//! Reading what [`crate::put`] writes, out of bytes that may be anything.

use crate::format::{MAGIC, PEN, VERSION};
use sensor_core::input::{ProcessId, StreamKey};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::ops::Range;

/// What is left of some bytes. Every method takes from the front, and gives `None` where too few are left.
#[derive(Clone, Copy)]
pub struct Take<'a>(pub &'a [u8]);

impl<'a> Take<'a> {
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.u32()?).ok()?;
        Some(std::str::from_utf8(self.bytes(length)?).ok()?.to_owned())
    }

    pub fn process(&mut self) -> Option<ProcessId> {
        Some(ProcessId { pid: self.u32()?, start_time: self.u64()? })
    }

    pub fn stream(&mut self) -> Option<StreamKey> {
        Some(match self.u8()? {
            1 => StreamKey::Pipe { device: self.u64()?, inode: self.u64()?, address: self.u64()? },
            2 => StreamKey::Unix { from: self.u64()?, to: self.u64()? },
            3 => StreamKey::Tcp { from: self.socket()?, to: self.socket()?, namespace: self.u64()? },
            4 => StreamKey::Pty { terminal: self.u64()?, to_slave: self.boolean()? },
            _ => return None,
        })
    }

    pub fn boolean(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn socket(&mut self) -> Option<SocketAddrV6> {
        let ip = Ipv6Addr::from(self.array::<16>()?);
        Some(SocketAddrV6::new(ip, self.u16()?, self.u32()?, self.u32()?))
    }
}

/// Numbers of a section in its byte order.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ByteOrder {
    #[default]
    Little,
    Big,
}

impl ByteOrder {
    pub fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if self == Self::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    pub fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(if self == Self::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}

/// Our custom data, as it stands in a block or an option.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub version: u8,
    pub kind: u8,
    pub number: u64,
    /// Where its body stands, in the bytes that were given.
    pub body: Range<usize>,
}

impl Envelope {
    /// Reads `bytes[range]`: an enterprise number, then custom data. `None` where it is another's.
    pub fn find(bytes: &[u8], range: Range<usize>, order: ByteOrder) -> Option<Self> {
        let data = bytes.get(range.clone())?;
        if order.u32(data, 0)? != PEN {
            return None;
        }
        let mut take = Take(data.get(4..)?);
        if take.array()? != MAGIC {
            return None;
        }
        let (version, kind, _, number) = (take.u8()?, take.u8()?, take.u16()?, take.u64()?);
        let length = usize::try_from(take.u32()?).ok()?;
        take.bytes(length)?;
        let start = range.start + 24;
        Some(Self { version, kind, number, body: start..start + length })
    }

    /// True where this version of the reader understands it.
    pub const fn is_ours(&self) -> bool {
        self.version == VERSION
    }
}
