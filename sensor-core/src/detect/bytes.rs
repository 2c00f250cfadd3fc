//! One pass over a string for the bytes, and the pairs of bytes, that an attack cannot do without.

/// What was seen, one bit each.
pub(super) type Seen = u32;

/// `/` or a backslash
pub(super) const SLASH: Seen = 1;
/// `%`
pub(super) const PERCENT: Seen = 1 << 1;
/// A byte of a character beyond ASCII.
pub(super) const HIGH: Seen = 1 << 2;
/// `; | & $ < >`, a backtick, a line break
pub(super) const SHELL: Seen = 1 << 3;
/// White space
pub(super) const SPACE: Seen = 1 << 4;
/// Quotes, brackets, braces: what stands in code and not in a path.
pub(super) const CODE: Seen = 1 << 5;
/// A zero byte
pub(super) const NUL: Seen = 1 << 6;
/// `_`
pub(super) const UNDERSCORE: Seen = 1 << 7;

/// Bit of a pair's first byte in the table; the second byte has it `WIDTH` further up. In [`Seen`] it stands at the first's.
const WIDTH: u32 = 8;
/// `..`
pub(super) const DOTS: Seen = 1 << 8;
/// `://`, or backslashes in place of the slashes: its first two bytes
pub(super) const SCHEME: Seen = 1 << 9;
/// An option: `-` at the beginning or behind white space
pub(super) const OPTION: Seen = 1 << 10;
/// `__`
pub(super) const DUNDER: Seen = 1 << 11;
/// `::`
pub(super) const COLONS: Seen = 1 << 12;
/// `//`, or with backslashes
pub(super) const DOUBLE: Seen = 1 << 13;
/// `/.`, or with a backslash
pub(super) const DOTTED: Seen = 1 << 14;
const PAIRS: Seen = 0xFF << WIDTH;

const TABLE: [u32; 256] = table();

#[allow(clippy::indexing_slicing, reason = "the compiler runs this, and tells")]
const fn table() -> [u32; 256] {
    const ROWS: &[(&[u8], u32)] = &[
        (b"/\\", SLASH | SCHEME << WIDTH | DOUBLE | DOUBLE << WIDTH | DOTTED),
        (b"%", PERCENT),
        (b";|&$<>`\n\r", SHELL),
        (b" \t\n\r", SPACE | OPTION),
        (b"\"'`()[]{}<>*", CODE),
        (b"\0", NUL),
        (b"_", UNDERSCORE | DUNDER | DUNDER << WIDTH),
        (b".", DOTS | DOTS << WIDTH | DOTTED << WIDTH),
        (b":", SCHEME | COLONS | COLONS << WIDTH),
        (b"-", OPTION << WIDTH),
    ];
    let mut table = [0; 256];
    let mut row = 0;
    while row < ROWS.len() {
        let mut at = 0;
        while at < ROWS[row].0.len() {
            table[ROWS[row].0[at] as usize] |= ROWS[row].1;
            at += 1;
        }
        row += 1;
    }
    let mut byte = 128;
    while byte < 256 {
        table[byte] |= HIGH;
        byte += 1;
    }
    table
}

/// What stands in a text.
pub(super) fn seen(text: &[u8]) -> Seen {
    let (mut any, mut pairs, mut before) = (0, 0, OPTION);
    for byte in text {
        #[allow(clippy::indexing_slicing, reason = "a byte is below 256")]
        let entry = TABLE[usize::from(*byte)];
        any |= entry;
        pairs |= before & (entry >> WIDTH);
        before = entry;
    }
    (any & !PAIRS & 0xFF) | (pairs & PAIRS)
}
