//! Why a recording cannot be read.

use std::fmt;
use std::io;

/// What is wrong with a recording, and where.
#[derive(Debug)]
pub struct ReadError {
    /// What is wrong.
    pub fault: Fault,
    /// Where: bytes from the beginning of the pcapng, which is that of the file where it is neither compressed nor encrypted.
    pub at: u64,
}

/// What can be wrong with a recording.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The file could not be read.
    Io(io::Error),
    /// It is something else.
    NotARecording,
    /// It is a pcapng file that mcp-sensor did not write.
    Foreign,
    /// It is encrypted, in the form of text.
    Armored,
    /// It is encrypted, and no identity was given.
    Encrypted,
    /// It is encrypted for others.
    NotForUs,
    /// What is encrypted was altered.
    Decryption(String),
    /// What is compressed was altered, or needs more memory than is given to it.
    Decompression(String),
    /// A newer version wrote it.
    Newer {
        /// The version of the format.
        version: u8,
    },
    /// A block is longer than the reader may hold.
    BlockTooLong {
        /// Its length.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// More came out of the file than the reader may read.
    TooMuch {
        /// The limit.
        limit: u64,
    },
    /// A block's length is impossible: nothing behind it can be found.
    Lost,
    /// An item is not what was written. The next one can be read.
    Malformed(&'static str),
    /// There is something behind the end of the recording.
    BehindTheEnd,
}

impl ReadError {
    /// True where the items behind can still be read.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self.fault, Fault::Malformed(_))
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        match &self.fault {
            Fault::Io(error) => write!(out, "cannot read the recording at byte {at}: {error}"),
            Fault::NotARecording => {
                write!(out, "this is no recording (neither pcapng, zstd nor age at byte {at}): give a file made by `mcp-sensor record`")
            }
            Fault::Foreign => write!(
                out,
                "this is a pcapng file that mcp-sensor did not write (no header of ours up to byte {at}): open it in Wireshark, or give a file made by `mcp-sensor record`"
            ),
            Fault::Armored => {
                write!(out, "this is an age file in the form of text: turn it into bytes first (`age --decrypt`, or strip the armor)")
            }
            Fault::Encrypted => write!(out, "the recording is encrypted: give the file with your age identity (`AGE-SECRET-KEY-1…`)"),
            Fault::NotForUs => write!(out, "the recording is encrypted for others: none of the identities given can open it"),
            Fault::Decryption(error) => {
                write!(out, "the encrypted file was altered (behind byte {at} of its content): {error}; get the original")
            }
            Fault::Decompression(error) => write!(
                out,
                "the compressed file was altered, or compressed anew with a window above 8 MiB (behind byte {at} of its content): {error}; get the original, or decompress it with `zstd -d` first"
            ),
            Fault::Newer { version } => {
                write!(out, "the recording has version {version} of the format, at byte {at}: read it with a newer mcp-sensor")
            }
            Fault::BlockTooLong { length, limit } => {
                write!(
                    out,
                    "the block at byte {at} says it is {length} bytes long, and the limit is {limit}: allow longer blocks, if you trust the file"
                )
            }
            Fault::TooMuch { limit } => write!(out, "there is more than {limit} bytes in the recording: allow more, if you trust the file"),
            Fault::Lost => {
                write!(out, "the block at byte {at} has an impossible length, so what is behind it cannot be found: get the original")
            }
            Fault::Malformed(what) => {
                write!(out, "the block at byte {at} is not what mcp-sensor writes ({what}): the file was altered; verify it")
            }
            Fault::BehindTheEnd => {
                write!(
                    out,
                    "something stands behind the end of the recording, at byte {at}: only what is before it belongs to it; verify it"
                )
            }
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Io(error) => Some(error),
            _ => None,
        }
    }
}
