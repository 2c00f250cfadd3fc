//! What a JSON string says, written into a buffer that is used again.

use memchr::memchr;

/// Appends what the content of a JSON string says. Like the tape, it takes what lax parsers take: of an unknown escape
/// the backslash is dropped; half a surrogate pair is U+FFFD.
///
/// This differs from `json`'s own function in that a content may end in the middle of an escape, which is dropped then.
pub(super) fn unescape(mut content: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr(b'\\', content) {
        let (plain, rest) = content.split_at(at);
        out.extend_from_slice(plain);
        let Some((escape, behind)) = rest.get(1..).and_then(|rest| rest.split_first()) else { return };
        content = behind;
        match escape {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (character, length) = unicode(behind);
                let Some(rest) = behind.get(length..) else { return };
                content = rest;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(*other),
        }
    }
    out.extend_from_slice(content);
}

/// The character of the escape whose digits stand at the beginning, and the length of them.
fn unicode(digits: &[u8]) -> (char, usize) {
    let unit = hex(digits);
    if let (0xd800..=0xdbff, Some(b"\\u")) = (unit, digits.get(4..6)) {
        let low = hex(digits.get(6..).unwrap_or_default());
        if (0xdc00..=0xdfff).contains(&low) {
            let character = char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
            return (character.unwrap_or(char::REPLACEMENT_CHARACTER), 10);
        }
    }
    (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

/// Four hexadecimal digits; of anything else some number that is no character.
fn hex(digits: &[u8]) -> u32 {
    let Some(digits) = digits.first_chunk::<4>() else { return u32::MAX };
    digits.iter().try_fold(0, |value, &byte| Some(value * 16 + char::from(byte).to_digit(16)?)).unwrap_or(u32::MAX)
}

/// True for text in which there are escapes behind which a secret could hide: JSON that stands in a string.
pub(super) fn hides(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        rest = rest.get(at + 1..).unwrap_or_default();
        match rest {
            [b'/', ..] => return true,
            [b'u', digits @ ..] if hex(digits) != u32::MAX => return true,
            _ => {}
        }
    }
    false
}
