//! Decisions taken from bytes, so that a fuzzer or proptest steers them (and can shrink them).

/// A well of decisions. Dry, it always gives the first choice.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_dry(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *byte
    }

    /// A number below `bound` (up to 65,536).
    pub fn below(&mut self, bound: usize) -> usize {
        let number = if bound > 256 { usize::from(self.byte()) << 8 | usize::from(self.byte()) } else { usize::from(self.byte()) };
        number % bound.max(1)
    }

    pub fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == bound - 1
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// `text` in pieces: none, a few, or byte by byte.
    pub fn cut<'t>(&mut self, text: &'t [u8]) -> Vec<&'t [u8]> {
        match self.below(4) {
            0 => vec![text],
            1 => text.chunks(1).collect(),
            2 => text.chunks(2 + self.below(30)).collect(),
            _ => {
                let mut rest = text;
                let mut pieces = Vec::new();
                while !rest.is_empty() && !self.is_dry() {
                    let (piece, behind) = rest.split_at(self.below(rest.len().min(60_000)) + 1);
                    pieces.push(piece);
                    rest = behind;
                }
                pieces.push(rest);
                pieces
            }
        }
    }
}
