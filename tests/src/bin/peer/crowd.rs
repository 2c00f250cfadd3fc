//! What fills a sensor's tables: many streams that hold a little of something like JSON, and stay open.

use crate::process::raise_descriptor_limit;
use crate::transport::{pipe, socketpair};
use crate::wire::Unsupported;
use anyhow::Result;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

/// Eleven bytes.
const DROP: &[u8] = b"{\"a\":1234}\n";

/// Streams that stay open as long as this lives.
pub struct Crowd {
    _open: Vec<(OwnedFd, File)>,
}

impl Crowd {
    /// `count` pipes, or socket pairs, each given eleven bytes.
    pub fn open(count: usize, sockets: bool) -> Result<Self> {
        raise_descriptor_limit(2 * count as u64 + 64).map_err(|error| Unsupported(format!("so many descriptors: {error}")))?;
        let open = (0..count)
            .map(|_| {
                let (reader, writer) = if sockets { socketpair(libc::SOCK_STREAM)? } else { pipe()? };
                let mut writer = File::from(writer);
                writer.write_all(DROP)?;
                Ok((reader, writer))
            })
            .collect::<Result<_>>()?;
        Ok(Self { _open: open })
    }
}
