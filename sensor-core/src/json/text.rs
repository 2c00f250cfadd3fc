//! Strings: where they end, and what they say once unescaped.

use super::ParseError;
use memchr::memchr;
use std::borrow::Cow;

/// What was noticed about a text while its strings and spaces were passed over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notes {
    /// Every byte of every string (and some beyond) or-ed together: the high bits tell whether UTF-8 must be checked.
    pub high: u64,
    /// Something that a strict parser refuses.
    pub lax: bool,
    /// Set by the caller: take a line break inside the value for the end of the text.
    pub one_line: bool,
}

/// Bytes that interest us in a string (quote, backslash, control character) as high bits, exact up to the first of them.
fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero_in(word ^ (ONES * 0x22));
    let backslash = zero_in(word ^ (ONES * 0x5C));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & (ONES * 0x80)
}

/// Position of the quote that ends the string whose content begins at `pos`, and whether there are escapes in it.
#[inline]
pub(super) fn end(text: &[u8], mut pos: usize, notes: &mut Notes) -> Result<(usize, bool), ParseError> {
    let mut escapes = false;
    loop {
        let byte = loop {
            let rest = text.get(pos..).unwrap_or_default();
            let Some(chunk) = rest.first_chunk::<8>() else {
                let Some(&byte) = rest.first() else { return Err(ParseError::Incomplete) };
                notes.high |= u64::from(byte);
                if byte < 0x20 || byte == b'"' || byte == b'\\' {
                    break byte;
                }
                pos += 1;
                continue;
            };
            let word = u64::from_le_bytes(*chunk);
            notes.high |= word;
            let hits = special(word);
            if hits != 0 {
                let skip = hits.trailing_zeros() / 8;
                pos += skip as usize;
                break (word >> (skip * 8)) as u8;
            }
            pos += 8;
        };
        match byte {
            b'"' => return Ok((pos, escapes)),
            b'\\' => {
                escapes = true;
                pos = escape_end(text, pos, notes)?;
            }
            b'\n' | b'\r' if notes.one_line => return Err(ParseError::Incomplete),
            _ => {
                notes.lax = true;
                pos += 1;
            }
        }
    }
}

/// End of the escape whose backslash stands at `pos`.
#[cold]
fn escape_end(text: &[u8], pos: usize, notes: &mut Notes) -> Result<usize, ParseError> {
    match text.get(pos + 1) {
        None => Err(ParseError::Incomplete),
        Some(b'u') => {
            for at in pos + 2..pos + 6 {
                match text.get(at) {
                    None => return Err(ParseError::Incomplete),
                    Some(byte) if byte.is_ascii_hexdigit() => {}
                    Some(_) => return Err(ParseError::Invalid { at }),
                }
            }
            let rest = text.get(pos..).unwrap_or_default();
            let Escape { lone_surrogate, length, .. } = escape(rest);
            notes.lax |= lone_surrogate;
            Ok(pos + length)
        }
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(pos + 2),
        Some(&byte) if byte >= 0x20 => {
            notes.lax = true;
            notes.high |= u64::from(byte);
            Ok(pos + 2)
        }
        Some(_) => Err(ParseError::Invalid { at: pos + 1 }),
    }
}

/// One escape, understood.
struct Escape {
    /// What it stands for. `None` for a backslash that is dropped: the byte behind it stands for itself.
    says: Option<char>,
    /// Bytes of it, the backslash included. Of a dropped backslash, only that.
    length: usize,
    lone_surrogate: bool,
}

/// The escape at the beginning of `text`. Total: of text that the parser would refuse it makes something.
fn escape(text: &[u8]) -> Escape {
    let simple = |says| Escape { says: Some(says), length: 2, lone_surrogate: false };
    match text.get(1) {
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{c}'),
        Some(b'n') => simple('\n'),
        Some(b'r') => simple('\r'),
        Some(b't') => simple('\t'),
        Some(b'u') => {
            let unit = hex(text.get(2..6));
            let pair = match (unit, text.get(6..8)) {
                (0xD800..=0xDBFF, Some(b"\\u")) => Some(hex(text.get(8..12))),
                _ => None,
            };
            if let Some(low @ 0xDC00..=0xDFFF) = pair {
                let says = char::from_u32(0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
                return Escape { says, length: 12, lone_surrogate: false };
            }
            let says = char::from_u32(unit);
            Escape { says: Some(says.unwrap_or(char::REPLACEMENT_CHARACTER)), length: 6, lone_surrogate: says.is_none() }
        }
        _ => Escape { says: None, length: 1, lone_surrogate: false },
    }
}

/// Four hexadecimal digits; of anything else some number that is no character.
fn hex(digits: Option<&[u8]>) -> u32 {
    let Some(digits) = digits else { return u32::MAX };
    digits.iter().try_fold(0, |value, &byte| Some(value * 16 + char::from(byte).to_digit(16)?)).unwrap_or(u32::MAX)
}

/// Appends what the content of a string says. Invalid UTF-8 stays as it is.
pub(super) fn unescape_into(mut content: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr(b'\\', content) {
        let (plain, rest) = content.split_at(at);
        out.extend_from_slice(plain);
        let Escape { says, length, .. } = escape(rest);
        content = rest.get(length..).unwrap_or_default();
        match says {
            Some(says) => out.extend_from_slice(says.encode_utf8(&mut [0; 4]).as_bytes()),
            // The byte that had a backslash before it, which may be a backslash or a quote.
            None => {
                if let Some((byte, rest)) = content.split_first() {
                    out.push(*byte);
                    content = rest;
                }
            }
        }
    }
    out.extend_from_slice(content);
}

/// What the content of a string says; borrowed where nothing has to be changed.
pub(super) fn unescape(content: &[u8], escapes: bool) -> Cow<'_, str> {
    if !escapes {
        return match simdutf8::basic::from_utf8(content) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(content),
        };
    }
    let mut bytes = Vec::with_capacity(content.len());
    unescape_into(content, &mut bytes);
    Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The bytes that the content of a string says, one after the other, without allocation.
pub(super) struct Said<'a> {
    content: &'a [u8],
    waiting: [u8; 4],
    at: usize,
    until: usize,
}

impl<'a> Said<'a> {
    pub(super) const fn new(content: &'a [u8]) -> Self {
        Self { content, waiting: [0; 4], at: 0, until: 0 }
    }
}

impl Iterator for Said<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.at < self.until {
            self.at += 1;
            return self.waiting.get(self.at - 1).copied();
        }
        let (&first, rest) = self.content.split_first()?;
        self.content = rest;
        if first != b'\\' {
            return Some(first);
        }
        // `escape` wants the backslash as well, but only looks behind it.
        let mut whole = [0; 12];
        whole[0] = first;
        for (to, from) in whole.iter_mut().skip(1).zip(rest) {
            *to = *from;
        }
        let known = whole.get(..=rest.len().min(11)).unwrap_or_default();
        let Escape { says, length, .. } = escape(known);
        self.content = rest.get(length - 1..).unwrap_or_default();
        match says {
            Some(says) => {
                self.at = 0;
                self.until = says.encode_utf8(&mut self.waiting).len();
                self.next()
            }
            None => {
                let (&byte, rest) = self.content.split_first()?;
                self.content = rest;
                Some(byte)
            }
        }
    }
}
