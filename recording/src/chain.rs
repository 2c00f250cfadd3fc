//! The chain of custody: segments of the file are hashed, and each hash takes in the one before.

use crate::format::{block, kind};
use crate::put::{Put as _, custom_block};
use crate::take::Take;
use ring::digest::{Context, SHA256};

/// What goes before a link's bytes when it is hashed.
const DOMAIN: &[u8] = b"mcp-sensor recording link 1\0";

/// SHA-256 of some bytes.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    finish(context)
}

/// The hash of what a context was given.
pub fn finish(context: Context) -> [u8; 32] {
    // SHA-256 has 32 bytes.
    context.finish().as_ref().first_chunk().copied().unwrap_or_default()
}

/// One link: what a chain block says of the segment before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Link {
    /// Number of the segment, from 0.
    pub index: u64,
    /// Where the segment begins: right behind the chain block before it.
    pub offset: u64,
    /// Bytes of the segment.
    pub length: u64,
    /// Items in the file up to here.
    pub items: u64,
    /// SHA-256 of the segment.
    pub sha256: [u8; 32],
    /// The name of the link before; zeros in the first.
    pub previous: [u8; 32],
}

impl Link {
    /// The name of the link, which takes in everything before it.
    pub fn name(&self) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(LINK);
        self.write(&mut bytes);
        sha256(&[DOMAIN, &bytes])
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Self { index, offset, length, items, sha256, previous } = self;
        out.u64(*index);
        out.u64(*offset);
        out.u64(*length);
        out.u64(*items);
        out.bytes(sha256);
        out.bytes(previous);
    }

    /// Writes the chain block.
    pub fn block(&self, out: &mut Vec<u8>) {
        custom_block(out, kind::CHAIN, None, |out| self.write(out));
    }

    /// Reads a chain block's custom data.
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut take = Take(body);
        Some(Self {
            index: take.u64()?,
            offset: take.u64()?,
            length: take.u64()?,
            items: take.u64()?,
            sha256: take.array()?,
            previous: take.array()?,
        })
    }
}

/// Bytes of a link, and of the block that holds it.
const LINK: usize = 4 * 8 + 2 * 32;
pub const LINK_BLOCK: usize = 12 + 24 + LINK;

/// Where the chain stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain {
    /// Links so far.
    pub links: u64,
    /// Where the segment begins that is not closed yet.
    pub offset: u64,
    /// The name of the last link.
    pub name: [u8; 32],
}

impl Chain {
    /// The link that a segment gets here.
    pub const fn link(&self, sha256: [u8; 32], length: u64, items: u64) -> Link {
        Link { index: self.links, offset: self.offset, length, items, sha256, previous: self.name }
    }

    /// Goes on behind a link.
    pub fn follow(&mut self, link: &Link) {
        self.links = link.index.saturating_add(1);
        self.offset = link.offset.saturating_add(link.length).saturating_add(LINK_BLOCK as u64);
        self.name = link.name();
    }
}

/// True for a whole block that is this link's, byte by byte.
pub fn is_block_of(link: &Link, raw: &[u8]) -> bool {
    let mut expected = Vec::with_capacity(LINK_BLOCK);
    link.block(&mut expected);
    debug_assert_eq!(expected.len(), LINK_BLOCK);
    debug_assert_eq!(expected.first_chunk(), Some(&block::CUSTOM.to_le_bytes()));
    expected == raw
}
