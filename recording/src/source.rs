//! The layers around pcapng on the way in: age, then zstd; each is known by what it begins with.

use crate::error::{Fault, ReadError};
use crate::format::{AGE_ARMOR, AGE_MAGIC, ZSTD_MAGIC, ZSTD_MAX_WINDOW, ZSTD_SKIPPABLE, block};
use age::x25519::Identity;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use zstd::zstd_safe::DParameter;

/// Bytes of the beginning of an age file, where its recipients stand.
const MAX_AGE_HEADER: u64 = 16 << 10;

/// Bytes that tell a layer.
const PROBE: u64 = 24;

type Input<'r> = Box<dyn Read + Send + 'r>;

/// What a layer tells to the one who reads.
#[derive(Default)]
struct Watch {
    /// The caller's reader gave all that it has.
    ended: AtomicBool,
    /// The caller's reader failed.
    failed: AtomicBool,
    /// The decryption failed.
    altered: AtomicBool,
}

/// Watches the caller's reader.
struct Watched<'r> {
    input: Input<'r>,
    watch: Arc<Watch>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            return match self.input.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.watch.failed.store(true, Ordering::Relaxed);
                    Err(error)
                }
                Ok(0) if !buffer.is_empty() => {
                    self.watch.ended.store(true, Ordering::Relaxed);
                    Ok(0)
                }
                Ok(read) => Ok(read),
            };
        }
    }
}

/// Watches the decryption.
struct Decrypted<R> {
    inner: age::stream::StreamReader<R>,
    watch: Arc<Watch>,
}

impl<R: Read> Read for Decrypted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            // The last piece of a file that was cut fails like one that was altered.
            if !self.watch.failed.load(Ordering::Relaxed) && self.watch.ended.load(Ordering::Relaxed) {
                return io::ErrorKind::UnexpectedEof.into();
            }
            self.watch.altered.store(true, Ordering::Relaxed);
            error
        })
    }
}

/// How reading went on.
pub enum More {
    /// So many bytes were read.
    Bytes(usize),
    /// There are no more.
    End,
    /// There are no more, and a layer says that there should be.
    Cut,
}

/// The pcapng bytes of a file.
pub struct Source<'r> {
    input: Input<'r>,
    watch: Arc<Watch>,
    compressed: bool,
    /// Nothing is read behind an end or an error.
    done: bool,
}

impl<'r> Source<'r> {
    /// Opens the layers.
    pub fn open(read: impl Read + Send + 'r, identities: &[Identity]) -> Result<Self, ReadError> {
        let watch = Arc::new(Watch::default());
        let mut input: Input<'r> = Box::new(Watched { input: Box::new(read), watch: Arc::clone(&watch) });
        let mut start = probe(&mut input)?;
        if start.starts_with(AGE_ARMOR) {
            return Err(at_start(Fault::Armored));
        }
        let mut input: Input<'r> = Box::new(Cursor::new(start.clone()).chain(input));
        if start.starts_with(AGE_MAGIC) {
            input = decrypt(input, identities, &watch)?;
            start = probe(&mut input)?;
            input = Box::new(Cursor::new(start.clone()).chain(input));
        }
        let magic = start.first_chunk().map(|magic| u32::from_le_bytes(*magic));
        let compressed = magic.is_some_and(|magic| magic == ZSTD_MAGIC || magic & !0xF == ZSTD_SKIPPABLE);
        if compressed {
            let mut decoder = zstd::stream::read::Decoder::new(input).map_err(|error| at_start(Fault::Io(error)))?;
            decoder.set_parameter(DParameter::WindowLogMax(ZSTD_MAX_WINDOW)).map_err(|error| at_start(Fault::Io(error)))?;
            input = Box::new(decoder);
        } else if magic != Some(block::SECTION) {
            // A beginning that is shorter than any magic may be that of a recording that was cut; it holds nothing either way.
            return Err(at_start(Fault::NotARecording));
        }
        Ok(Self { input, watch, compressed, done: false })
    }

    /// Reads some bytes; `at` is where they stand in the pcapng, for the error.
    pub fn read(&mut self, buffer: &mut [u8], at: u64) -> Result<More, ReadError> {
        if self.done {
            return Ok(More::End);
        }
        let fault = match self.input.read(buffer) {
            Ok(0) => {
                self.done = true;
                return Ok(More::End);
            }
            Ok(read) => return Ok(More::Bytes(read)),
            Err(error) if self.watch.failed.load(Ordering::Relaxed) => Fault::Io(error),
            Err(error) if self.watch.altered.load(Ordering::Relaxed) => Fault::Decryption(error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.done = true;
                return Ok(More::Cut);
            }
            Err(error) if self.compressed => Fault::Decompression(error.to_string()),
            Err(error) => Fault::Io(error),
        };
        self.done = true;
        Err(ReadError { fault, at })
    }
}

fn at_start(fault: Fault) -> ReadError {
    ReadError { fault, at: 0 }
}

fn probe(input: &mut Input<'_>) -> Result<Vec<u8>, ReadError> {
    let mut start = Vec::new();
    match input.take(PROBE).read_to_end(&mut start) {
        // Of an encrypted file that was cut, what there is.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(at_start(Fault::Decryption(error.to_string()))),
        _ => Ok(start),
    }
}

fn decrypt<'r>(mut input: Input<'r>, identities: &[Identity], watch: &Arc<Watch>) -> Result<Input<'r>, ReadError> {
    if identities.is_empty() {
        return Err(at_start(Fault::Encrypted));
    }
    // The library holds the whole beginning, however long it is; so it gets no more than a part of the file to find it in.
    let mut start = Vec::new();
    input.by_ref().take(MAX_AGE_HEADER).read_to_end(&mut start).map_err(|error| at_start(Fault::Io(error)))?;
    let mut behind = start.as_slice();
    let failed = |error| {
        at_start(match error {
            age::DecryptError::NoMatchingKeys => Fault::NotForUs,
            other => Fault::Decryption(other.to_string()),
        })
    };
    age::Decryptor::new_buffered(&mut behind).map_err(failed)?;
    let decryptor = age::Decryptor::new_buffered(BufReader::new(Cursor::new(start).chain(input))).map_err(failed)?;
    let inner = decryptor.decrypt(identities.iter().map(|identity| identity as &dyn age::Identity)).map_err(failed)?;
    Ok(Box::new(Decrypted { inner, watch: Arc::clone(watch) }))
}
