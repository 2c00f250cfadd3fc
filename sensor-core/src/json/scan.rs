//! A resumable check of one container: the same language as the tape, byte by byte, in any pieces.

use super::{MAX_DEPTH, is_space};
use memchr::memchr2;

/// What became of the container.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// Everything was used; it goes on.
    More,
    /// Its last byte was the last one used.
    Done,
    /// The byte behind the last one used cannot stand there. It stays to be looked at by somebody else.
    Invalid,
    /// The byte behind the last one used would open more than [`MAX_DEPTH`] levels.
    TooDeep,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Value,
    FirstElement,
    FirstKey,
    Key,
    Colon,
    After,
    Text {
        key: bool,
    },
    Escape {
        key: bool,
    },
    Hex {
        key: bool,
        left: u8,
    },
    Literal {
        rest: &'static [u8],
    },
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
    Done,
}

/// Finds the end of one object or array that arrives in pieces. Holds a bit a level, nothing else.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    /// One bit a level: set for an object.
    levels: Vec<u64>,
    depth: usize,
    /// Levels that may be open at once.
    limit: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { state: State::Value, levels: Vec::new(), depth: 0, limit: MAX_DEPTH }
    }
}

impl Scanner {
    /// A scanner that waits for the first byte of a container.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins again with another container.
    pub fn reset(&mut self) {
        self.reset_within(0);
    }

    /// Begins again with a container that stands inside `depth` others, which are not looked at.
    pub(super) fn reset_within(&mut self, depth: usize) {
        self.state = State::Value;
        self.levels.clear();
        self.depth = 0;
        self.limit = MAX_DEPTH.saturating_sub(depth);
    }

    /// Gives back memory that only uncommon depth needed.
    pub fn release(&mut self) {
        if self.levels.capacity() > 16 {
            self.levels.truncate(16);
            self.levels.shrink_to(16);
        }
    }

    /// True where the next byte is one of a string's (an escape not begun).
    #[must_use]
    pub const fn in_string(&self) -> bool {
        matches!(self.state, State::Text { .. })
    }

    /// Bytes of memory held.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.levels.capacity() * 8
    }

    /// Goes on with the bytes that follow. Returns how many were used, and where that leads.
    ///
    /// The first byte must open a container; a value of another kind is `Invalid`.
    pub fn feed(&mut self, bytes: &[u8]) -> (usize, Progress) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let State::Text { key } = self.state {
                let rest = bytes.get(at..).unwrap_or_default();
                let Some(skip) = memchr2(b'"', b'\\', rest) else { return (bytes.len(), Progress::More) };
                let quote = rest.get(skip) == Some(&b'"');
                self.state = match (quote, key) {
                    (true, true) => State::Colon,
                    (true, false) => State::After,
                    (false, _) => State::Escape { key },
                };
                at += skip + 1;
                continue;
            }
            match self.step(byte) {
                Step::Used => at += 1,
                Step::Again => {}
                Step::Stop(Progress::Done) => return (at + 1, Progress::Done),
                Step::Stop(progress) => return (at, progress),
            }
        }
        (at, Progress::More)
    }

    /// One byte outside of a string's plain text.
    fn step(&mut self, byte: u8) -> Step {
        let digit = byte.is_ascii_digit();
        let next = match self.state {
            State::Value if is_space(byte) && self.depth > 0 => State::Value,
            State::FirstElement if is_space(byte) => State::FirstElement,
            State::FirstKey if is_space(byte) => State::FirstKey,
            State::Key if is_space(byte) => State::Key,
            State::Colon if is_space(byte) => State::Colon,
            State::After if is_space(byte) => State::After,
            State::FirstElement if byte == b']' => return self.close(),
            State::FirstKey if byte == b'}' => return self.close(),
            State::Value | State::FirstElement => match byte {
                b'{' | b'[' => return self.open(byte == b'{'),
                _ if self.depth == 0 => return Step::Stop(Progress::Invalid),
                b'"' => State::Text { key: false },
                b't' => State::Literal { rest: b"rue" },
                b'f' => State::Literal { rest: b"alse" },
                b'n' => State::Literal { rest: b"ull" },
                b'-' => State::Minus,
                b'0' => State::Zero,
                b'1'..=b'9' => State::Integer,
                _ => return Step::Stop(Progress::Invalid),
            },
            State::FirstKey | State::Key if byte == b'"' => State::Text { key: true },
            State::Colon if byte == b':' => State::Value,
            State::After => match (byte, self.in_object()) {
                (b',', true) => State::Key,
                (b',', false) => State::Value,
                (b'}', true) | (b']', false) => return self.close(),
                _ => return Step::Stop(Progress::Invalid),
            },
            State::Escape { key } if byte == b'u' => State::Hex { key, left: 4 },
            State::Escape { key } if byte >= 0x20 => State::Text { key },
            State::Hex { key, left } if byte.is_ascii_hexdigit() => {
                if left > 1 {
                    State::Hex { key, left: left - 1 }
                } else {
                    State::Text { key }
                }
            }
            State::Literal { rest: [expected, rest @ ..] } if byte == *expected => {
                if rest.is_empty() {
                    State::After
                } else {
                    State::Literal { rest }
                }
            }
            State::Minus if byte == b'0' => State::Zero,
            State::Minus | State::Integer if digit => State::Integer,
            State::Zero | State::Integer if byte == b'.' => State::Point,
            State::Point | State::Fraction if digit => State::Fraction,
            State::Zero | State::Integer | State::Fraction if matches!(byte, b'e' | b'E') => State::Exponent,
            State::Exponent if matches!(byte, b'+' | b'-') => State::ExponentSign,
            State::Exponent | State::ExponentSign | State::ExponentDigits if digit => State::ExponentDigits,
            // Only the byte behind a number tells that it ended.
            State::Zero | State::Integer | State::Fraction | State::ExponentDigits => {
                self.state = State::After;
                return Step::Again;
            }
            _ => return Step::Stop(Progress::Invalid),
        };
        self.state = next;
        Step::Used
    }

    fn open(&mut self, object: bool) -> Step {
        if self.depth >= self.limit {
            return Step::Stop(Progress::TooDeep);
        }
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if word == self.levels.len() {
            self.levels.push(0);
        }
        if let Some(word) = self.levels.get_mut(word) {
            *word = (*word & !(1 << bit)) | (u64::from(object) << bit);
        }
        self.depth += 1;
        self.state = if object { State::FirstKey } else { State::FirstElement };
        Step::Used
    }

    fn close(&mut self) -> Step {
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0 {
            self.state = State::Done;
            return Step::Stop(Progress::Done);
        }
        self.state = State::After;
        Step::Used
    }

    fn in_object(&self) -> bool {
        let Some(level) = self.depth.checked_sub(1) else { return false };
        self.levels.get(level / 64).is_some_and(|word| word >> (level % 64) & 1 == 1)
    }
}

enum Step {
    Used,
    Again,
    Stop(Progress),
}
