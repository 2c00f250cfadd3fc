//! The short cut: most messages have no secret in them and are written as they are.
//!
//! [`is_plain`] looks at the raw text of a value as a whole. It may say no to a text that needs no change, but where it
//! says yes, going through the value would have written the same meaning.

use super::names::{self, LONGEST};
use super::prefilter::lane;
use super::scan::Scan;
use super::{DEPTH, Level};
use crate::json::{Kind, Value};
use memchr::{memchr, memrchr};

/// Above this size the bookkeeping of folded values is left to the walk.
const LARGEST: usize = 1 << 20;

/// The raw text of `value`, where it can stand as it is: one line of valid JSON without secrets.
pub(super) fn plain(value: Value<'_>, level: Level) -> Option<&str> {
    let raw = value.raw();
    if raw.len() > LARGEST {
        return None;
    }
    let Facts { special, brackets } = Facts::of(raw);
    if special && !has_simple_escapes(raw) {
        return None;
    }
    if (brackets > DEPTH && !is_shallow(value, 0)) || has_long_number(raw) {
        return None;
    }
    let text = simdutf8::basic::from_utf8(raw).ok()?;
    let plain = if level == Level::Full { has_small_exponents(raw) } else { is_clean(raw, special) };
    plain.then_some(text)
}

/// What the bytes of a text are, found in one pass that the compiler can do for many bytes at once.
struct Facts {
    /// There are control characters or backslashes.
    special: bool,
    /// Brackets and braces that open.
    brackets: usize,
}

impl Facts {
    fn of(raw: &[u8]) -> Self {
        const CHUNK: usize = 64;
        let mut facts = Self { special: false, brackets: 0 };
        let (chunks, tail) = raw.as_chunks::<CHUNK>();
        // Spaces change nothing.
        let mut last = [b' '; CHUNK];
        for (place, byte) in last.iter_mut().zip(tail) {
            *place = *byte;
        }
        for chunk in chunks.iter().chain([&last]) {
            facts.special |= chunk.iter().fold(0, |any, byte| any | u8::from(*byte < 0x20) | u8::from(*byte == b'\\')) != 0;
            // `[` and `{` differ in one bit.
            facts.brackets += usize::from(chunk.iter().fold(0, |count, byte| count + u8::from(*byte | 0x20 == b'{')));
        }
        facts
    }
}

/// True where there are no control characters, and every backslash begins an escape that stands for no letter or digit of a
/// name or a token, and for no backslash.
fn has_simple_escapes(raw: &[u8]) -> bool {
    let mut before = b' ';
    let mut odd = false;
    for byte in raw {
        odd |= *byte < 0x20 || (before == b'\\' && !matches!(*byte, b'n' | b'"' | b't' | b'r'));
        before = *byte;
    }
    !odd
}

/// True where no number has an exponent of three digits. Beyond that it may not fit a double, and strict parsers would
/// refuse the whole text.
fn has_small_exponents(raw: &[u8]) -> bool {
    !memchr::memchr2_iter(b'e', b'E', raw).any(|at| at > 0 && is_big_exponent(raw, at - 1))
}

/// True where the digit at `at` is the last one before an exponent of three digits.
fn is_big_exponent(raw: &[u8], at: usize) -> bool {
    let behind = match raw.get(at + 2..) {
        Some([b'+', behind @ ..]) => behind,
        behind => behind.unwrap_or_default(),
    };
    let digits = behind.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    // In strings of hexadecimal digits, letters stand before the digits.
    let mut before = raw.get(..=at).unwrap_or_default().iter().rev();
    digits == 3
        && before.next().is_some_and(u8::is_ascii_digit)
        && before.find(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-')).is_none_or(|byte| !byte.is_ascii_alphabetic())
}

/// True where there are two hundred digits next to each other: one of any 128 bytes is one of them then.
fn has_long_number(raw: &[u8]) -> bool {
    raw.iter().skip(127).step_by(128).any(u8::is_ascii_digit) && raw.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() >= 200)
}

/// True where nothing is nested deeper than what is shown, and nothing is folded.
fn is_shallow(value: Value<'_>, depth: usize) -> bool {
    match value.kind() {
        Kind::Array | Kind::Object if depth >= DEPTH || value.is_folded() => false,
        Kind::Array => value.elements().all(|child| is_shallow(child, depth + 1)),
        Kind::Object => value.entries().all(|(_, child)| is_shallow(child, depth + 1)),
        _ => true,
    }
}

/// True where nothing in the text is a secret or the name of one that has a value.
fn is_clean(raw: &[u8], backslash: bool) -> bool {
    let mut scan = Scan::new(raw);
    let (mut judged, mut harmless) = (0, 0);
    while let Some((at, lanes)) = scan.candidate() {
        if raw.get(at).is_some_and(u8::is_ascii_digit) {
            if is_big_exponent(raw, at) {
                return false;
            }
            continue;
        }
        if backslash {
            return false;
        }
        if lanes & lane::WORDS != 0 {
            if at >= judged {
                let (start, end) = string_around(raw, at);
                judged = end;
                let content = raw.get(start..end).unwrap_or_default();
                if names::secret(content).is_some() {
                    return false;
                }
                // It is a name, and a harmless one.
                if content.iter().all(|byte| byte.is_ascii_alphanumeric()) {
                    harmless = end;
                }
            }
            if at < harmless && lanes & !lane::WORDS == 0 {
                continue;
            }
        }
        if scan.look(at, lanes).is_some() {
            return false;
        }
    }
    true
}

/// The string in which `at` stands, as far as the longest name goes. There are no escapes, so quotes are what they seem.
fn string_around(raw: &[u8], at: usize) -> (usize, usize) {
    let first = at.saturating_sub(LONGEST);
    let start = raw.get(first..at).and_then(|before| memrchr(b'"', before)).map_or(first, |quote| first + quote + 1);
    let last = raw.len().min(at + LONGEST);
    let end = raw.get(at..last).and_then(|behind| memchr(b'"', behind)).map_or(last, |quote| at + quote);
    (start, end)
}
