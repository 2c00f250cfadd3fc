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
    if (facts.exponent && has_exponent(raw)) || has_long_number(raw) {
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
        const CHUNK: usize = 64;
        const BRACKET: u8 = 1;
        const CONTROL: u8 = 2;
        const BACKSLASH: u8 = 4;
        const DIGIT: u8 = 8;
        const E: u8 = 16;
        let mut facts = Self { control: false, backslash: false, brackets: 0, exponent: false };
        let (chunks, tail) = raw.as_chunks::<CHUNK>();
        // Spaces change nothing.
        let mut last = [b' '; CHUNK];
        for (place, byte) in last.iter_mut().zip(tail) {
            *place = *byte;
        }
        let mut before = b' ';
        for chunk in chunks.iter().chain([&last]) {
            // What each byte is, one bit each; `[` and `{` differ in one bit of theirs, `e` and `E` too.
            let kinds = chunk.map(|byte| {
                let flag = |is: bool, bit: u8| if is { bit } else { 0 };
                flag(byte < 0x20, CONTROL) | flag(byte == b'\\', BACKSLASH) | flag(byte | 0x20 == b'{', BRACKET)
                    | flag(byte.wrapping_sub(b'0') < 10, DIGIT) | flag(byte | 0x20 == b'e', E)
            });
            let any = kinds.iter().fold(0, |any, kind| any | kind);
            let brackets = kinds.iter().fold(0, |count, kind| count + (kind & BRACKET));
            let exponent = kinds.iter().zip(kinds.iter().skip(1)).fold(0, |any, (one, two)| any | ((one << 1) & two & E));
            let [first, .., end] = chunk;
            facts.exponent |= exponent != 0 || (before.is_ascii_digit() && *first | 0x20 == b'e');
            facts.control |= any & CONTROL != 0;
            facts.backslash |= any & BACKSLASH != 0;
            facts.brackets += usize::from(brackets);
            before = *end;
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

/// True where a number has an exponent of three digits: it may be beyond a double, and strict parsers would refuse the
/// whole text.
fn has_exponent(raw: &[u8]) -> bool {
    memchr::memchr2_iter(b'e', b'E', raw).any(|at| {
        let behind = match raw.get(at + 1..) {
            Some([b'+', behind @ ..]) => behind,
            behind => behind.unwrap_or_default(),
        };
        let digits = behind.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
        // In strings of hexadecimal digits, letters stand before the digits.
        let before = raw.get(..at).unwrap_or_default().iter().rev().find(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-'));
        digits == 3 && !before.is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'"')
    })
}

/// True where there are three hundred digits next to each other: one of any 256 bytes is one of them then.
fn has_long_number(raw: &[u8]) -> bool {
    raw.iter().skip(255).step_by(256).any(u8::is_ascii_digit)
        && raw.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() >= 300)
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

#[cfg(test)]
pub(super) fn parts(raw: &[u8]) {
    let time = |name: &str, work: &dyn Fn()| {
        let best = (0..3000).map(|_| { let start = std::time::Instant::now(); for _ in 0..30 { work(); } start.elapsed() / 30 });
        println!("  {name}: {:?}", best.min().unwrap_or_default());
    };
    time("facts", &|| { std::hint::black_box(Facts::of(std::hint::black_box(raw)).brackets); });
    time("long", &|| { std::hint::black_box(has_long_number(std::hint::black_box(raw))); });
    time("utf8", &|| { let _ = std::hint::black_box(simdutf8::basic::from_utf8(std::hint::black_box(raw))); });
    time("find", &|| { std::hint::black_box(super::prefilter::find(std::hint::black_box(raw), 0)); });
    time("clean", &|| { std::hint::black_box(is_clean(std::hint::black_box(raw), false)); });
}
