//! Duplicate keys: noticed at every level, in linear time for small objects and by sorting for large ones.
//!
//! Hashes only say where to look; the unescaped bytes decide. So many keys made to collide cost a sort of their bytes,
//! never a comparison of each with each. Keys that are no UTF-8 are compared as bytes.

use super::text::{Said, unescape_into};
use std::cmp::Ordering;

/// Objects with up to this many keys are searched key by key.
pub(super) const FEW: usize = 16;

/// A key as it stands in the text, quotes not included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    pub content: &'a [u8],
    pub escapes: bool,
}

impl Key<'_> {
    /// Order and equality of what the keys say.
    pub(super) fn compare(self, other: Self) -> Ordering {
        if self.escapes || other.escapes { Said::new(self.content).cmp(Said::new(other.content)) } else { self.content.cmp(other.content) }
    }

    /// A hash of what the key says. Weak on purpose: see the module's words.
    #[inline]
    pub(super) fn hash(self, scratch: &mut Vec<u8>) -> u32 {
        if self.escapes {
            scratch.clear();
            unescape_into(self.content, scratch);
            hash(scratch)
        } else {
            hash(self.content)
        }
    }
}

/// Hash of both ends and the length.
#[inline]
fn hash(bytes: &[u8]) -> u32 {
    let (head, tail) = if let (Some(head), Some(tail)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
    } else if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (u64::from(u32::from_le_bytes(*head)), u64::from(u32::from_le_bytes(*tail)))
    } else {
        (bytes.iter().fold(0, |head, &byte| (head << 8) | u64::from(byte)), 0)
    };
    let mixed = (head ^ tail.rotate_left(23)).wrapping_add(bytes.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as u32
}
