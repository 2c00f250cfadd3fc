//! Values that are given to secret names inside of text: `PASSWORD=…`, `"api_key": "…"` in JSON that stands in a string,
//! `Authorization: …`, `--token …`, `?access_token=…`, `<secret>…</secret>`.
//!
//! Bias: a value that stands in quotes or directly behind `=` is taken for secret whatever it looks like; behind a space,
//! where prose and program code stand as well, it must look like one ([`is_credible`]). The name stays readable.

use memchr::{memchr, memmem};

use super::names;
use super::scan::{Hit, Scan};
use super::string::MARKER;

/// How far a name is looked for on either side.
const NAME: usize = 64;

/// How many spaces may stand between a name and its value.
const SPACES: usize = 32;

/// True for text that begins with a marker of our own, which is not redacted again.
pub(super) fn is_marker(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(MARKER.as_bytes()) else { return false };
    let kind = rest.iter().take(NAME).take_while(|byte| byte.is_ascii_lowercase() || **byte == b'-').count();
    let rest = rest.get(kind..).unwrap_or_default();
    let Some(rest) = rest.strip_prefix(b":") else { return false };
    let digits = rest.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    kind > 0 && digits > 0 && rest.get(digits) == Some(&b']')
}

/// True for text that looks made rather than written: it has a digit or a sign in it, or is long. A call does not.
pub(super) fn is_credible(value: &[u8]) -> bool {
    if value.contains(&b'(') {
        return false;
    }
    let sign = |byte: &u8| byte.is_ascii_digit() || !(byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'_' | b'-' | b','));
    value.iter().any(sign) || (value.len() >= 24 && !value.contains(&b'.'))
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The value that is given to the name around `at`, where that is secret.
pub(super) fn look(scan: &mut Scan<'_>, at: usize) -> Option<Hit> {
    if at < scan.judged {
        return None;
    }
    let start = at - scan.range(0, at).iter().rev().take(NAME).take_while(|byte| is_name(**byte)).count();
    let end = at + scan.from(at).iter().take(NAME).take_while(|byte| is_name(**byte)).count();
    scan.judged = end;
    if start.checked_sub(MARKER.len()).is_some_and(|marker| is_marker(scan.from(marker))) {
        return None;
    }
    let secret = names::secret(scan.range(start, end))?;
    let value = value(scan, start, end, secret.kind)?;
    let text = scan.range(value.start, value.end);
    let covered = text.is_empty() || is_marker(text) || !secret.may_be(text);
    (!covered).then_some(value)
}

/// A quote, and the backslashes before it: text in quotes inside of text in quotes has one, the next level three.
#[derive(Clone, Copy)]
struct Quote {
    quote: u8,
    backslashes: usize,
}

impl Quote {
    /// The quote at `at`, with its length.
    fn at(scan: &Scan<'_>, at: usize) -> Option<(Self, usize)> {
        const LEVELS: usize = 7;
        let backslashes = scan.from(at).iter().take(LEVELS).take_while(|byte| **byte == b'\\').count();
        let quote = scan.byte(at + backslashes)?;
        matches!(quote, b'"' | b'\'' | b'`').then_some((Self { quote, backslashes }, backslashes + 1))
    }

    /// The next quote at or behind `from` that has the same level, without its backslashes. The end of the text if none.
    fn end(self, scan: &Scan<'_>, from: usize) -> usize {
        let mut at = from;
        while let Some(found) = memchr(self.quote, scan.from(at)) {
            let quote = at + found;
            let before = scan.range(from, quote).iter().rev().take_while(|byte| **byte == b'\\').count();
            // Each level writes a backslash as two.
            if before % (2 * (self.backslashes + 1)) == self.backslashes {
                return quote - self.backslashes;
            }
            at = quote + 1;
        }
        scan.text.len()
    }
}

/// What is given to the name that stands from `start` to `end`.
fn value(scan: &mut Scan<'_>, start: usize, end: usize, kind: &'static str) -> Option<Hit> {
    let hit = |start, end| Some(Hit { start, end, kind });
    let mut at = end;

    // `<password>…</password>`
    if scan.byte(at) == Some(b'>') && start.checked_sub(1).and_then(|before| scan.byte(before)) == Some(b'<') {
        let length = memchr(b'<', scan.from(at + 1)).unwrap_or_default();
        return hit(at + 1, at + 1 + length);
    }

    let name_quote = Quote::at(scan, at);
    if let Some((_, length)) = name_quote {
        at += length;
        at += usize::from(scan.byte(at) == Some(b']'));
    }
    let before_sign = spaces(scan, at, false);
    let sign = scan.from(at + before_sign);
    let (is_colon, length) = match sign {
        [b':', b'=', ..] | [b'=', b'>' | b'=', ..] => (false, 2),
        [b'%', b'3', b'D' | b'd', ..] => (false, 3),
        // The scheme of an address.
        [b':', b'/', b'/', ..] => return None,
        [b':', ..] => (true, 1),
        [b'=', ..] => (false, 1),
        // `--token …`
        _ if before_sign > 0 && memmem::find(scan.range(start, end), b"--").is_some() && scan.byte(at + before_sign) != Some(b'-') => {
            (true, 0)
        }
        _ => return None,
    };
    at += before_sign + length;
    let behind_sign = spaces(scan, at, name_quote.is_some());
    at += behind_sign;

    if let Some((quote, length)) = Quote::at(scan, at) {
        let start = at + length;
        return hit(start, quote.end(scan, start));
    }
    match (scan.byte(at), name_quote) {
        (Some(b'{' | b'['), Some((quote, _))) if is_colon && !is_marker(scan.from(at)) => {
            return hit(at, bracket_end(scan, at, quote));
        }
        _ => {}
    }
    if matches!(kind, "authorization" | "cookie") && is_colon {
        return hit(at, header_end(scan, at, kind)?);
    }
    if is_reference(scan.from(at)) {
        return None;
    }
    let adjoined = !is_colon && before_sign == 0 && behind_sign == 0;
    let end = word_end(scan, at);
    (adjoined || is_credible(scan.range(at, end))).then_some(Hit { start: at, end, kind })
}

fn spaces(scan: &Scan<'_>, at: usize, lines: bool) -> usize {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t') || (lines && matches!(byte, b'\n' | b'\r'));
    scan.from(at).iter().take(SPACES).take_while(|byte| is_space(byte)).count()
}

/// True for what stands for a value that is elsewhere: `$NAME`, `${NAME}`, `{{ name }}`, `<name>`, `***`.
fn is_reference(text: &[u8]) -> bool {
    let all = |text: &[u8], is: fn(u8) -> bool| {
        let rest = text.iter().take(NAME).find(|byte| !is(**byte));
        rest.is_none_or(|byte| !byte.is_ascii_alphanumeric())
    };
    match text {
        [b'$', b'{' | b'(', ..] | [b'{' | b'[' | b'(' | b'<', ..] => true,
        [b'$', name @ ..] => all(name, |byte| byte.is_ascii_uppercase() || byte == b'_'),
        [b'*', rest @ ..] => all(rest, |byte| byte == b'*'),
        _ => false,
    }
}

/// End of a value without quotes.
fn word_end(scan: &Scan<'_>, from: usize) -> usize {
    let text = scan.from(from);
    let ends = |(position, byte): (usize, &u8)| match byte {
        0..=b' ' | b'"' | b'\'' | b'`' | b'&' | b';' | b'<' | b'>' | b'|' => true,
        // Passwords have these as well, but not before a space.
        b',' | b')' | b']' | b'}' => {
            matches!(text.get(position + 1), None | Some(0..=b' ' | b'"' | b'\'' | b'`' | b'\\' | b',' | b')' | b']' | b'}' | b';'))
        }
        _ => false,
    };
    let mut length = text.iter().enumerate().position(ends).unwrap_or(text.len());
    // The backslashes of a quote that ends a string around it.
    while length > 0 && text.get(length - 1) == Some(&b'\\') {
        length -= 1;
    }
    from + length
}

/// End of a header's value: its line, or a quote around it. `None` for what does not look like one.
fn header_end(scan: &Scan<'_>, from: usize, kind: &str) -> Option<usize> {
    const WORD: usize = 256;
    let text = scan.from(from);
    let ends_line = |byte: &u8| matches!(byte, 0..=0x1f | b'"' | b'\'' | b'`');
    let word = text.iter().take(WORD).take_while(|byte| **byte != b' ' && !ends_line(byte)).count();
    let (first, rest) = text.split_at_checked(word)?;
    let credible = if kind == "cookie" {
        first.contains(&b'=')
    } else {
        let schemes: [&[u8]; 6] = [b"basic", b"bearer", b"digest", b"token", b"apikey", b"negotiate"];
        let scheme = schemes.iter().any(|scheme| first.eq_ignore_ascii_case(scheme));
        (scheme && matches!(rest, [b' ', next, ..] if !ends_line(next))) || is_credible(first)
    };
    if !credible {
        return None;
    }
    let length = text.iter().position(ends_line).unwrap_or(text.len());
    let mut line = text.get(..length).unwrap_or_default();
    while let Some(rest) = line.strip_suffix(b"\\") {
        line = rest;
    }
    Some(from + line.len())
}

/// Position behind the bracket that closes the one at `from`, in JSON whose quotes are like `quote`.
fn bracket_end(scan: &Scan<'_>, from: usize, quote: Quote) -> usize {
    let mut at = from;
    let mut open = 0_usize;
    loop {
        let Some(byte) = scan.byte(at) else { return scan.text.len() };
        at += 1;
        match byte {
            b'{' | b'[' => open += 1,
            b'}' | b']' => {
                open -= 1;
                if open == 0 {
                    return at;
                }
            }
            _ if byte == quote.quote => at = quote.end(scan, at) + quote.backslashes + 1,
            _ => {}
        }
    }
}
