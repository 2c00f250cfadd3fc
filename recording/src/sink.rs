//! The layers around pcapng on the way out: zstd frames, then age, then the caller's writer.

use crate::format::{AGE_CHUNK, LAYER_PADDING, ZSTD_SEEK_MAGIC, ZSTD_SEEK_TABLE, ZSTD_SKIPPABLE, ZSTD_WINDOW};
use crate::put::Put as _;
use age::stream::StreamWriter;
use age::x25519::Recipient;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// Recipients of one file. Their stanzas stand at its beginning, and a reader takes no long beginning.
const MAX_RECIPIENTS: usize = 64;

/// Counts what reaches the caller's writer, also from inside of the encryption.
struct Counted<W> {
    out: W,
    count: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.count.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The encryption, or none.
enum Cipher<W: Write> {
    None(Counted<W>),
    Age(StreamWriter<Counted<W>>),
}

impl<W: Write> Cipher<W> {
    fn get(&mut self) -> &mut dyn Write {
        match self {
            Self::None(out) => out,
            Self::Age(out) => out,
        }
    }
}

/// The compression: each segment is one frame of its own, and a table at the end says where each begins.
struct Frames {
    compressor: Compressor<'static>,
    compressed: Vec<u8>,
    /// Compressed and plain bytes of each frame.
    table: Vec<(u32, u32)>,
}

/// Takes segments of pcapng bytes.
pub struct Sink<W: Write> {
    cipher: Cipher<W>,
    frames: Option<Frames>,
    /// Bytes that went into the cipher.
    plain: u64,
    count: Arc<AtomicU64>,
}

impl<W: Write> Sink<W> {
    /// Makes the layers; the encryption writes its beginning.
    pub fn new(out: W, zstd_level: Option<i32>, recipients: &[Recipient]) -> io::Result<Self> {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Counted { out, count: Arc::clone(&count) };
        let frames = match zstd_level {
            None => None,
            Some(level) => {
                let mut compressor = Compressor::new(level)?;
                compressor.set_parameter(CParameter::WindowLog(ZSTD_WINDOW))?;
                compressor.set_parameter(CParameter::ChecksumFlag(true))?;
                Some(Frames { compressor, compressed: Vec::new(), table: Vec::new() })
            }
        };
        if recipients.len() > MAX_RECIPIENTS {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a recording has {MAX_RECIPIENTS} recipients at most")));
        }
        let cipher = if recipients.is_empty() {
            Cipher::None(counted)
        } else {
            let all = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
            let encryptor = age::Encryptor::with_recipients(all).map_err(io::Error::other)?;
            Cipher::Age(encryptor.wrap_output(counted)?)
        };
        Ok(Self { cipher, frames, plain: 0, count })
    }

    /// Bytes that reached the caller's writer.
    pub fn written(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Bytes that closing needs besides those of the pcapng.
    pub fn trailer(&self) -> u64 {
        let table = self.frames.as_ref().map_or(0, |frames| 8 * frames.table.len() as u64 + 64);
        let cipher = if matches!(self.cipher, Cipher::Age(_)) { AGE_CHUNK + 64 } else { 0 };
        table + cipher
    }

    /// Bytes of padding that the segment needs (which is `length` long without it), so that all of it gets out of the encryption,
    /// where only pcapng can hold padding. 0 where none is needed.
    pub fn padding_in_segment(&self, length: usize) -> usize {
        if self.frames.is_some() { 0 } else { self.padding(length as u64, LAYER_PADDING) }
    }

    fn padding(&self, more: u64, least: u64) -> usize {
        if matches!(self.cipher, Cipher::None(_)) {
            return 0;
        }
        // Four bytes into the next chunk, for a chunk goes out when there are bytes behind it.
        let past = (self.plain + more) % AGE_CHUNK;
        let mut padding = (AGE_CHUNK + 4 - past) % AGE_CHUNK;
        if padding < least {
            padding += AGE_CHUNK;
        }
        usize::try_from(padding).unwrap_or(0)
    }

    /// Writes a segment; with `flush`, so that nothing of it waits in a layer.
    pub fn segment(&mut self, segment: &[u8], flush: bool) -> io::Result<()> {
        let Self { cipher, frames, .. } = self;
        let Some(frames) = frames else {
            cipher.get().write_all(segment)?;
            self.plain += segment.len() as u64;
            return if flush { self.cipher.get().flush() } else { Ok(()) };
        };
        frames.compressed.clear();
        frames.compressed.resize(zstd::zstd_safe::compress_bound(segment.len()), 0);
        let written = frames.compressor.compress_to_buffer(segment, &mut frames.compressed[..])?;
        let compressed = frames.compressed.get(..written).unwrap_or_default();
        cipher.get().write_all(compressed)?;
        frames.table.push((length(written)?, length(segment.len())?));
        self.plain += written as u64;
        if flush {
            self.pad_frames()?;
            self.cipher.get().flush()?;
        }
        Ok(())
    }

    /// Pushes what waits in the encryption out of it with a frame that decoders skip.
    fn pad_frames(&mut self) -> io::Result<()> {
        let padding = self.padding(0, 8);
        let Some(frames) = self.frames.as_mut().filter(|_| padding > 0) else { return Ok(()) };
        frames.compressed.clear();
        frames.compressed.u32(ZSTD_SKIPPABLE);
        frames.compressed.u32(length(padding - 8)?);
        frames.compressed.resize(padding, 0);
        self.cipher.get().write_all(&frames.compressed)?;
        frames.table.push((length(padding)?, 0));
        self.plain += padding as u64;
        Ok(())
    }

    /// Writes what stands at the end of each layer.
    pub fn finish(mut self) -> io::Result<W> {
        if let Some(frames) = &self.frames {
            let mut table = Vec::with_capacity(8 * frames.table.len() + 32);
            table.u32(ZSTD_SEEK_TABLE);
            table.u32(length(8 * frames.table.len() + 9)?);
            for (compressed, plain) in &frames.table {
                table.u32(*compressed);
                table.u32(*plain);
            }
            table.u32(length(frames.table.len())?);
            table.u8(0);
            table.u32(ZSTD_SEEK_MAGIC);
            self.cipher.get().write_all(&table)?;
        }
        let mut counted = match self.cipher {
            Cipher::None(counted) => counted,
            Cipher::Age(writer) => writer.finish()?,
        };
        counted.flush()?;
        Ok(counted.out)
    }
}

fn length(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a segment is longer than 4 GiB"))
}
