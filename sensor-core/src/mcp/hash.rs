//! A keyed hash for values that a peer chooses: ids, tokens, task ids.
//!
//! The tables that use it decide nothing by hash alone (equality is checked), so the key changes no event. It only keeps
//! a peer from choosing ids that all fall into one slot, which it could against a hash that everybody can compute.

/// Hashes with a key. Copyable, and free to make.
#[derive(Clone, Copy, Debug)]
pub struct Keyed {
    key: [u64; 2],
}

const fn fold(left: u64, right: u64) -> u64 {
    let product = (left as u128).wrapping_mul(right as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Keyed {
    /// A hash with this key.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        let first = fold(seed ^ 0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9);
        Self { key: [first, fold(first ^ 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93) | 1] }
    }

    /// Of a number.
    #[must_use]
    pub const fn number(self, number: u64) -> u64 {
        fold(fold(number ^ self.key[0], self.key[1]) ^ self.key[1], 0x9e37_79b9_7f4a_7c15 ^ self.key[0])
    }

    /// Of two numbers.
    #[must_use]
    pub const fn pair(self, left: u64, right: u64) -> u64 {
        self.number(self.number(left) ^ right.rotate_left(32))
    }

    /// Of bytes.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> u64 {
        let mut state = self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            state = fold(state ^ u64::from_le_bytes(*word) ^ self.key[0], self.key[1]).wrapping_add(state.rotate_left(23));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            state = fold(state ^ u64::from_le_bytes(last) ^ self.key[0], self.key[1]).wrapping_add(state.rotate_left(23));
        }
        self.number(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_another_hash_and_every_byte_counts() {
        let (one, two) = (Keyed::new(1), Keyed::new(2));
        assert_ne!(one.number(7), two.number(7));
        assert_ne!(one.pair(1, 2), one.pair(2, 1));
        let text = b"request-0123456789";
        for at in 0..text.len() {
            let mut changed = *text;
            changed[at] ^= 1;
            assert_ne!(one.bytes(text), one.bytes(&changed));
            assert_ne!(one.bytes(&text[..at]), one.bytes(text));
        }
    }
}
