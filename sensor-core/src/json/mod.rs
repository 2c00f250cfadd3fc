//! JSON as the laxest server reads it: a flat tape of nodes over bytes that stay where they are.
//!
//! The sensor parses a message only to look into it. So [`Tape::parse`] copies nothing and builds no tree: it writes one
//! 16-byte node a value into a vector that is used again for the next message, and [`Value`] is a view of a node and the
//! text. Strings are unescaped when somebody asks for them.
//!
//! Invariants:
//! - No recursion and no stack that grows with the input; no allocation once the vectors have grown.
//! - [`ParseError::Incomplete`] if and only if some continuation of the text makes a value of it.
//! - [`Scanner`] (resumable, one byte at a time) and [`Tape`] (whole text, fast) accept the same containers.
//! - Time is linear in the text, whatever the text: duplicate keys are looked for by hash and by sorting.
//!
//! What is accepted beyond RFC 8259, because some server executes it: a byte order mark in front, invalid UTF-8 in
//! strings, control characters in strings, lone surrogate escapes, a backslash before any printable character (Ruby's
//! `json` before 2.17 drops the backslash), numbers beyond a double, any depth. Not accepted, because no measured server
//! executes it: `NaN`, trailing commas, single quotes, comments (Ruby's `json` takes them: a known difference), leading
//! zeros. Bias: a message that a server executes must parse; noise on a server's output must not.
//!
//! A container that is nested more than [`DETAIL_DEPTH`] levels deep, or that alone fills most of the tape, is *folded*:
//! checked to its end, but kept as one node without children ([`Value::is_folded`]). So one enormous argument does not
//! hide the call that carries it. Whoever redacts must treat the raw text of a folded value as text that was not looked at.

mod keys;
mod number;
mod scan;
mod tape;
#[cfg(test)]
mod tests;
mod text;
mod value;

pub use scan::{Progress, Scanner};
pub use tape::Tape;
pub use value::{Elements, Entries, Value};

/// Levels down to which a value's children are kept; deeper containers are folded.
pub const DETAIL_DEPTH: usize = 1024;

/// Levels that a value may have at all: 128 KiB of bits. No server is known to go deeper than Go's 10,000.
pub const MAX_DEPTH: usize = 1 << 20;

/// Nodes that a tape may have (16 MiB); beyond, its biggest container is folded.
pub const MAX_NODES: usize = 1 << 20;

/// Where a value stands in the text that was parsed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// Position of its first byte.
    pub start: usize,
    /// Position behind its last byte.
    pub end: usize,
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// Valid so far: more bytes could finish it.
    #[error("the JSON text ends in the middle of a value")]
    Incomplete,
    /// No continuation makes it valid.
    #[error("no JSON at byte {at}")]
    Invalid {
        /// Position of the first byte that cannot stand where it stands.
        at: usize,
    },
    /// More than [`MAX_DEPTH`] levels.
    #[error("the JSON text has more than {MAX_DEPTH} levels")]
    TooDeep,
    /// More than [`MAX_NODES`] values, and folding no single container helps; or more than 4 GiB of text.
    #[error("the JSON text has too many values")]
    TooManyNodes,
}

/// What a value is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// `null`
    Null,
    /// `false`
    False,
    /// `true`
    True,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// White space of JSON.
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The byte order mark in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
