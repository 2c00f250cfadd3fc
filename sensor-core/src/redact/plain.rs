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
    let facts = Facts::of(raw);
    if facts.control || (facts.brackets > DEPTH && !is_shallow(value, 0)) {
        return None;
    }
    if facts.backslash && !has_simple_escapes(raw) {
        return None;
    }
    if (facts.exponent || raw.len() > 300) && may_overflow(raw) {
        return None;
    }
    let text = simdutf8::basic::from_utf8(raw).ok()?;
    (level == Level::Full || is_clean(raw, facts.backslash)).then_some(text)
}

/// What the bytes of a text are, found in one pass that the compiler can do for many bytes at once.
struct Facts {
    control: bool,
    backslash: bool,
    /// Brackets and braces that open.
    brackets: usize,
    /// A digit before an `e`.
    exponent: bool,
}

impl Facts {
    fn of(raw: &[u8]) -> Self {
        let mut facts = Self { control: false, backslash: false, brackets: 0, exponent: false };
        let mut before = 0;
        for chunk in raw.chunks(128) {
            let (mut control, mut backslash, mut brackets, mut exponent) = (0_u8, 0_u8, 0_u8, 0_u8);
            for byte in chunk {
                control |= u8::from(*byte < 0x20);
                backslash |= u8::from(*byte == b'\\');
                // `[` and `{` differ in one bit.
                brackets += u8::from(*byte | 0x20 == b'{');
            }
            for (digit, letter) in chunk.iter().zip(chunk.iter().skip(1)) {
                exponent |= u8::from(digit.is_ascii_digit()) & u8::from(*letter | 0x20 == b'e');
            }
            let (first, last) = (chunk.first().copied().unwrap_or_default(), chunk.last().copied().unwrap_or_default());
            facts.exponent |= exponent != 0 || (u8::is_ascii_digit(&before) && first | 0x20 == b'e');
            facts.control |= control != 0;
            facts.backslash |= backslash != 0;
            facts.brackets += usize::from(brackets);
            before = last;
        }
        facts
    }
}

/// True where every backslash begins an escape that is no letter or digit of a name or a token, and no backslash.
fn has_simple_escapes(raw: &[u8]) -> bool {
    let mut rest = raw;
    while let Some(at) = memchr(b'\\', rest) {
        let Some((b'n' | b'"' | b't' | b'r', behind)) = rest.get(at + 1..).and_then(|rest| rest.split_first()) else {
            return false;
        };
        rest = behind;
    }
    true
}

/// True where a number may be beyond a double: strict parsers would refuse the whole text.
fn may_overflow(raw: &[u8]) -> bool {
    // An exponent of three digits.
    let mut rest = raw;
    while let Some(at) = memchr::memchr2(b'e', b'E', rest) {
        let behind = rest.get(at + 1..).unwrap_or_default();
        let digits = match behind {
            [b'+', digits @ ..] => digits,
            [b'-', ..] => &[],
            digits => digits,
        };
        if at > 0 && rest.get(at - 1).is_some_and(u8::is_ascii_digit) && digits.iter().take(3).filter(|digit| digit.is_ascii_digit()).count() == 3 {
            return true;
        }
        rest = behind;
    }
    // Three hundred digits: one of any 256 bytes next to each other is one of them.
    raw.len() > 300 && raw.iter().skip(255).step_by(256).any(u8::is_ascii_digit) && raw.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() >= 300)
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
    let mut judged = 0;
    while let Some((at, lanes)) = scan.candidate() {
        if backslash {
            return false;
        }
        if lanes & lane::WORDS != 0 && at >= judged {
            let (start, end) = string_around(raw, at);
            judged = end;
            if raw.get(start..end).is_some_and(|content| names::secret(content).is_some()) {
                return false;
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
