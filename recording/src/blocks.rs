//! The blocks of a pcapng file, one after the other, in constant memory.

use crate::error::{Fault, ReadError};
use crate::format::{BYTE_ORDER_MAGIC, block};
use crate::source::{More, Source};
use crate::take::ByteOrder;
use std::ops::Range;

/// Bytes that the buffer has at least, and keeps.
const BUFFER: usize = 256 << 10;

/// Bytes that are asked for at once, so that a block that only says it is long takes no memory.
const STEP: usize = 1 << 20;

/// How the file ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Behind a whole block.
    Whole,
    /// Inside of a block, or of a layer.
    Cut,
}

/// A whole block in the buffer.
#[derive(Clone, Debug)]
pub struct Span {
    pub r#type: u32,
    /// Where it begins in the pcapng.
    pub at: u64,
    range: Range<usize>,
}

/// Reads blocks.
pub struct Blocks<'r> {
    source: Source<'r>,
    buffer: Vec<u8>,
    /// What of the buffer was read and not given out.
    filled: Range<usize>,
    /// Where that begins in the pcapng.
    at: u64,
    max_block: usize,
    max_total: u64,
    pub order: ByteOrder,
    end: Option<End>,
}

impl<'r> Blocks<'r> {
    pub fn new(source: Source<'r>, max_block: usize, max_total: u64) -> Self {
        let order = ByteOrder::Little;
        Self { source, buffer: vec![0; BUFFER], filled: 0..0, at: 0, max_block, max_total, order, end: None }
    }

    /// Where the next block begins.
    pub const fn position(&self) -> u64 {
        self.at
    }

    /// How the file ended, once it has.
    pub const fn end(&self) -> Option<End> {
        self.end
    }

    /// Bytes behind the last whole block.
    pub const fn behind(&self) -> u64 {
        (self.filled.end - self.filled.start) as u64
    }

    /// The bytes of the block that was given last.
    pub fn bytes(&self, span: &Span) -> &[u8] {
        self.buffer.get(span.range.clone()).unwrap_or_default()
    }

    /// The next block; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Span>, ReadError> {
        if self.end.is_some() {
            return Ok(None);
        }
        if !self.fill(12)? {
            return Ok(None);
        }
        let (Some(r#type), Some(mut length)) = (self.peek(0), self.peek(4)) else { return Ok(None) };
        // The type of a section header reads the same in both byte orders; it says in which its section is.
        if r#type == block::SECTION {
            self.order = match self.peek(8) {
                Some(BYTE_ORDER_MAGIC) => self.order,
                Some(magic) if magic.swap_bytes() == BYTE_ORDER_MAGIC => {
                    length = length.swap_bytes();
                    if self.order == ByteOrder::Little { ByteOrder::Big } else { ByteOrder::Little }
                }
                _ => return self.fail(Fault::Lost),
            };
        }
        if length < 12 || length % 4 != 0 {
            return self.fail(Fault::Lost);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.max_block {
            return self.fail(Fault::BlockTooLong { length: length as u64, limit: self.max_block as u64 });
        }
        if !self.fill(length)? {
            return Ok(None);
        }
        if self.peek(length - 4) != u32::try_from(length).ok() {
            return self.fail(Fault::Lost);
        }
        let span = Span { r#type, at: self.at, range: self.filled.start..self.filled.start + length };
        self.filled.start += length;
        self.at += length as u64;
        Ok(Some(span))
    }

    /// Gives no more blocks.
    pub const fn stop(&mut self) {
        self.end = Some(End::Whole);
    }

    /// A number that stands so many bytes behind the last block.
    fn peek(&self, behind: usize) -> Option<u32> {
        self.order.u32(self.buffer.get(self.filled.clone())?, behind)
    }

    fn fail<T>(&mut self, fault: Fault) -> Result<T, ReadError> {
        self.end = Some(End::Whole);
        Err(ReadError { fault, at: self.at })
    }

    /// Reads until so many bytes are there; false where the file ends before.
    fn fill(&mut self, wanted: usize) -> Result<bool, ReadError> {
        while self.filled.len() < wanted {
            self.make_room(wanted);
            let read_so_far = self.at + self.filled.len() as u64;
            if read_so_far > self.max_total {
                return self.fail(Fault::TooMuch { limit: self.max_total });
            }
            let room = self.buffer.get_mut(self.filled.end..).unwrap_or_default();
            match self.source.read(room, read_so_far) {
                Ok(More::Bytes(read)) => self.filled.end += read,
                Ok(More::End) => {
                    self.end = Some(if self.filled.is_empty() { End::Whole } else { End::Cut });
                    return Ok(false);
                }
                Ok(More::Cut) => {
                    self.end = Some(End::Cut);
                    return Ok(false);
                }
                Err(error) => {
                    self.end = Some(End::Cut);
                    return Err(error);
                }
            }
        }
        Ok(true)
    }

    /// Room behind what is there, towards a block of `wanted` bytes.
    fn make_room(&mut self, wanted: usize) {
        if self.filled.is_empty() {
            self.filled = 0..0;
            if self.buffer.len() > 8 * BUFFER && wanted <= BUFFER {
                self.buffer.truncate(BUFFER);
                self.buffer.shrink_to_fit();
            }
        }
        if self.filled.end < self.buffer.len() && self.filled.start + wanted <= self.buffer.len() {
            return;
        }
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        if self.filled.end == self.buffer.len() {
            let more = (self.buffer.len() + STEP).min(wanted.max(BUFFER));
            self.buffer.resize(more, 0);
        }
    }
}
