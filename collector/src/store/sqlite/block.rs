//! Some events together, compressed: enough that what they share is stored once, few enough that reading one is cheap.
//!
//! Layout: the length of the plain bytes (4 bytes, little-endian), then one zstd frame with a checksum. Plain: for each event its
//! cursor's distance from the block's first (varint), its length (varint), and its bytes.
//!
//! Invariants: cursors grow; a block holds [`MAX_EVENTS`] events or about [`MAX_BYTES`] at most, but one event at least; what
//! is damaged is an error, never other bytes.

use bytes::Bytes;
use prost::encoding::{decode_varint, encode_varint};

/// Events in a block. Fewer make reading a single event cheaper, and take more room and more time to write (measured by
/// `examples/ingest_speed.rs`).
const MAX_EVENTS: usize = 64;

/// Plain bytes after which a block is full.
const MAX_BYTES: usize = 96 * 1024;

/// Plain bytes of the biggest block that is read: the biggest event that can be configured, and a full block before it.
const MAX_PLAIN: usize = 80 * 1024 * 1024;

/// How hard zstd tries. Level 1 compresses some hundred megabytes a second.
const LEVEL: i32 = 1;

/// A block that is being filled.
#[derive(Clone, Debug, Default)]
pub(super) struct Builder {
    first: u64,
    events: usize,
    plain: Vec<u8>,
    /// It holds something that was not written yet.
    dirty: bool,
}

impl Builder {
    /// Goes on with a block that was written.
    pub(super) fn reopen(first: u64, plain: Vec<u8>) -> Result<Self, String> {
        let events = read(first, &Bytes::from(plain.clone()))?.len();
        Ok(Self { first, events, plain, dirty: false })
    }

    /// Adds an event. Its cursor is above all others.
    pub(super) fn add(&mut self, cursor: u64, event: &[u8]) {
        if self.events == 0 {
            self.first = cursor;
        }
        encode_varint(cursor - self.first, &mut self.plain);
        encode_varint(event.len() as u64, &mut self.plain);
        self.plain.extend_from_slice(event);
        self.events += 1;
        self.dirty = true;
    }

    /// True where the next event belongs to another block.
    pub(super) const fn is_full(&self) -> bool {
        self.events >= MAX_EVENTS || self.plain.len() >= MAX_BYTES
    }

    /// True where it has to be written.
    pub(super) const fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// The first cursor and the compressed bytes.
    pub(super) fn compress(&mut self, compressor: &mut zstd::bulk::Compressor<'_>, out: &mut Vec<u8>) -> std::io::Result<u64> {
        out.clear();
        let length = u32::try_from(self.plain.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.resize(4 + zstd::zstd_safe::compress_bound(self.plain.len()), 0);
        let written = compressor.compress_to_buffer(&self.plain, out.get_mut(4..).unwrap_or_default())?;
        out.truncate(4 + written);
        self.dirty = false;
        Ok(self.first)
    }

    /// Empties it for the next block.
    pub(super) fn clear(&mut self) {
        self.plain.clear();
        self.plain.shrink_to(4 * MAX_BYTES);
        self.events = 0;
        self.dirty = false;
    }
}

/// What compresses blocks.
pub(super) fn compressor() -> std::io::Result<zstd::bulk::Compressor<'static>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    Ok(compressor)
}

/// What reads blocks. Making one costs more than reading a block.
pub(super) fn decompressor() -> Result<zstd::bulk::Decompressor<'static>, String> {
    zstd::bulk::Decompressor::new().map_err(|error| format!("cannot decompress: {error}"))
}

/// The plain bytes of a block.
pub(super) fn plain(decompressor: &mut zstd::bulk::Decompressor<'_>, data: &[u8]) -> Result<Vec<u8>, String> {
    let (length, frame) = data.split_first_chunk::<4>().ok_or("a block is too short")?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_PLAIN {
        return Err("a block is too big".to_owned());
    }
    let plain = decompressor.decompress(frame, length).map_err(|error| format!("a block cannot be decompressed: {error}"))?;
    if plain.len() == length { Ok(plain) } else { Err("a block has not the length that it says".to_owned()) }
}

/// The cursors and events of a block, out of its plain bytes.
pub(super) fn read(first: u64, plain: &Bytes) -> Result<Vec<(u64, Bytes)>, String> {
    let broken = || "a block is not what was written".to_owned();
    let mut events = Vec::with_capacity(MAX_EVENTS);
    let mut rest = plain.clone();
    while !rest.is_empty() {
        let distance = decode_varint(&mut rest).map_err(|_| broken())?;
        let length = decode_varint(&mut rest).map_err(|_| broken())?;
        let length = usize::try_from(length).ok().filter(|length| *length <= rest.len()).ok_or_else(broken)?;
        events.push((first.checked_add(distance).ok_or_else(broken)?, rest.split_to(length)));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(events: &[(u64, &[u8])]) -> (u64, Vec<u8>) {
        let mut builder = Builder::default();
        events.iter().for_each(|(cursor, event)| builder.add(*cursor, event));
        let mut data = Vec::new();
        let first = builder.compress(&mut compressor().unwrap(), &mut data).unwrap();
        (first, data)
    }

    #[test]
    fn what_goes_in_comes_out() {
        let events: [(u64, &[u8]); 3] = [(1 << 50, b"one"), ((1 << 50) + 7, b""), ((1 << 50) + 300, &[9; 5000])];
        let (first, data) = build(&events);
        let read = read(first, &plain(&mut decompressor().unwrap(), &data).unwrap().into()).unwrap();
        assert_eq!(read.len(), 3);
        assert!(read.iter().zip(events).all(|(found, expected)| found.0 == expected.0 && found.1 == expected.1));
        assert!(data.len() < 200);
    }

    #[test]
    fn a_changed_byte_never_gives_other_events() {
        let text: Vec<u8> = (0..2_000_u32).flat_map(u32::to_le_bytes).collect();
        let (_, data) = build(&[(1, &text)]);
        for position in 0..data.len() {
            let mut changed = data.clone();
            changed[position] ^= 0x40;
            // A bit that says nothing may change unnoticed; what is read is what was written, or an error.
            let read = plain(&mut decompressor().unwrap(), &changed);
            assert!(read.is_err() || read == plain(&mut decompressor().unwrap(), &data), "byte {position}");
        }
    }
}
