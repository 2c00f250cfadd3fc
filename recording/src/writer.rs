//! Writing a recording.

use crate::chain::{Chain, LINK_BLOCK, sha256};
use crate::encode::{self, Encoder};
use crate::format::{LAYER_PADDING, MAX_BLOCK, SEGMENT, kind};
use crate::item::{Header, Item};
use crate::keys::Signer;
use crate::known::Known;
use crate::manifest::{Manifest, Tally};
use crate::put::custom_block;
use crate::sink::Sink;
use age::x25519::Recipient;
use std::io::{self, Write};
use std::sync::Arc;

/// The longest text of a header.
const MAX_TEXT: usize = 64 << 10;

/// Bytes that a segment's buffer keeps when it is empty.
const KEPT: usize = 2 * SEGMENT;

/// Bytes of the end of a file: the manifest's block, at most about this.
const MANIFEST: u64 = 32 << 10;

/// How a recording is written.
#[derive(Clone, Default)]
pub struct Options {
    /// zstd's level; not compressed without.
    pub zstd_level: Option<i32>,
    /// Who may read it; not encrypted where there are none.
    pub recipients: Vec<Recipient>,
    /// What signs the manifest; not signed without.
    pub signer: Option<Arc<Signer>>,
}

/// Writes a recording.
///
/// Items are held until there is 1 MiB of them (a segment), which is then hashed, compressed and written at once.
/// [`Writer::flush_block`] does that at any time. After an error nothing more can be written: the file is readable up to the
/// last segment that reached it. Dropped without [`Writer::finish`], the file is one that was not closed.
pub struct Writer<W: Write> {
    sink: Sink<W>,
    pending: Vec<u8>,
    /// Items in `pending`.
    waiting: u64,
    chain: Chain,
    tally: Tally,
    known: Known,
    boot_time: u64,
    signer: Option<Arc<Signer>>,
    failed: bool,
}

impl<W: Write> Writer<W> {
    /// Begins a recording. The beginning is written with the first segment.
    ///
    /// # Errors
    /// Where the header has a text that is too long, an option cannot be used, or writing fails.
    pub fn new(out: W, header: &Header, options: Options) -> io::Result<Self> {
        let Options { zstd_level, recipients, signer } = options;
        if [&header.node, &header.sensor_version, &header.filter, &header.reason].iter().any(|text| text.len() > MAX_TEXT) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a text in the recording's header is longer than 64 KiB"));
        }
        let mut pending = Vec::with_capacity(KEPT);
        encode::beginning(header, signer.as_ref().map(|signer| signer.public_key("").id().0), &mut pending);
        Ok(Self {
            sink: Sink::new(out, zstd_level, &recipients)?,
            pending,
            waiting: 0,
            chain: Chain::default(),
            tally: Tally::default(),
            known: Known::default(),
            boot_time: header.boot_time,
            signer,
            failed: false,
        })
    }

    /// Adds an item.
    ///
    /// # Errors
    /// `InvalidInput` where the item is too big for any reader (64 MiB; an event or a peer: 4 MiB, 65,536 parts): it is left out,
    /// and the writer can go on. Any other where writing failed, now or before.
    pub fn item(&mut self, item: &Item<'_>) -> io::Result<()> {
        self.usable()?;
        let start = self.pending.len();
        if payload(item) <= MAX_BLOCK - LAYER_ROOM {
            self.known.learn(item);
            let Self { pending, known, boot_time, .. } = self;
            Encoder { out: pending, known, boot_time: *boot_time, number: self.tally.items() }.item(item);
        }
        let written = self.pending.get(start..).unwrap_or_default();
        if written.is_empty() || written.len() > MAX_BLOCK || !encode::is_readable(item, written) {
            self.pending.truncate(start);
            let what = format!("one of the {} is too big for a recording, and was left out", item.kind().plural());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        self.tally.item(item);
        self.waiting += 1;
        if self.pending.len() >= SEGMENT { self.end_segment(false) } else { Ok(()) }
    }

    /// Ends the segment, so that all items so far are readable from what the caller's writer got, whatever comes after. Encrypted,
    /// this costs up to 64 KiB of padding.
    ///
    /// # Errors
    /// Where writing fails or has failed.
    pub fn flush_block(&mut self) -> io::Result<()> {
        self.usable()?;
        if self.pending.is_empty() { Ok(()) } else { self.end_segment(true) }
    }

    /// Bytes that the caller's writer got.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.sink.written()
    }

    /// Bytes that the file will have at most if it is finished now.
    #[must_use]
    pub fn bytes_at_most(&self) -> u64 {
        self.bytes_written() + self.pending.len() as u64 + self.sink.trailer() + MANIFEST
    }

    /// Items that wait to be written. They are lost where writing them fails.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Ends the recording: what waits, the manifest, and the end of each layer.
    ///
    /// # Errors
    /// Where writing fails or has failed.
    pub fn finish(mut self) -> io::Result<(W, Manifest)> {
        self.usable()?;
        if !self.pending.is_empty() {
            self.end_segment(false)?;
        }
        let manifest = Manifest::new(self.tally.summary(), &self.chain, self.signer.as_deref());
        manifest.block(&mut self.pending);
        self.sink.segment(&self.pending, false)?;
        Ok((self.sink.finish()?, manifest))
    }

    fn usable(&self) -> io::Result<()> {
        if self.failed { Err(io::Error::other("the recording was given up when writing to it failed; begin another file")) } else { Ok(()) }
    }

    fn end_segment(&mut self, flush: bool) -> io::Result<()> {
        if flush {
            let padding = self.sink.padding_in_segment(self.pending.len() + LINK_BLOCK);
            if let Some(zeros) = padding.checked_sub(usize::try_from(LAYER_PADDING).unwrap_or(0)) {
                custom_block(&mut self.pending, kind::PADDING, None, |out| out.resize(out.len() + zeros, 0));
            }
        }
        let link = self.chain.link(sha256(&[&self.pending]), self.pending.len() as u64, self.tally.items());
        link.block(&mut self.pending);
        self.chain.follow(&link);
        self.sink.segment(&self.pending, flush).inspect_err(|_| self.failed = true)?;
        self.waiting = 0;
        self.pending.clear();
        if self.pending.capacity() > KEPT {
            self.pending.shrink_to(KEPT);
        }
        Ok(())
    }
}

/// Room for what stands around a payload in its block.
const LAYER_ROOM: usize = 64 << 10;

/// Bytes that an item brings along.
fn payload(item: &Item<'_>) -> usize {
    match item {
        Item::Chunk(chunk) => chunk.bytes.len(),
        Item::Message(message) => message.bytes.len(),
        _ => 0,
    }
}
