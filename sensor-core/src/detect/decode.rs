//! Takes the disguises off a text: percent-encoding (also twice), overlong UTF-8, full-width letters.

/// A text without its disguises.
#[derive(Debug)]
pub(super) struct Decoded {
    pub text: String,
    /// One of them hid a dot, a slash or a zero byte.
    pub disguised: bool,
}

/// How often percent-encoding is taken off.
const ROUNDS: usize = 2;

/// Decodes a text. `None` where there is nothing to decode.
pub(super) fn decode(text: &str) -> Option<Decoded> {
    let mut disguised = false;
    let mut bytes: Option<Vec<u8>> = None;
    for _ in 0..ROUNDS {
        match percent(bytes.as_deref().unwrap_or(text.as_bytes()), &mut disguised) {
            Some(decoded) => bytes = Some(decoded),
            None => break,
        }
    }
    let said = match bytes {
        Some(bytes) => Some(match String::from_utf8(overlong(bytes, &mut disguised)) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
        None if text.is_ascii() => return None,
        None => None,
    };
    let folded = fold(said.as_deref().unwrap_or(text), &mut disguised);
    folded.or(said).map(|text| Decoded { text, disguised })
}

fn hex(byte: Option<&u8>) -> Option<u8> {
    byte.and_then(|byte| char::from(*byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
}

/// Takes one round of percent-encoding off.
fn percent(text: &[u8], disguised: &mut bool) -> Option<Vec<u8>> {
    let first = memchr::memchr(b'%', text)?;
    let mut out = Vec::with_capacity(text.len());
    let (mut at, mut changed) = (first, false);
    out.extend_from_slice(text.get(..first).unwrap_or_default());
    while let Some(byte) = text.get(at) {
        let code = if *byte == b'%' { hex(text.get(at + 1)).zip(hex(text.get(at + 2))) } else { None };
        if let Some((high, low)) = code {
            let byte = high << 4 | low;
            *disguised |= matches!(byte, b'.' | b'/' | b'\\' | 0);
            out.push(byte);
            changed = true;
            at += 3;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    changed.then_some(out)
}

/// Writes ASCII in place of its overlong forms of two and three bytes.
fn overlong(bytes: Vec<u8>, disguised: &mut bool) -> Vec<u8> {
    if memchr::memchr3(0xC0, 0xC1, 0xE0, &bytes).is_none() {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = |ahead: usize| bytes.get(at + ahead).copied().filter(|byte| byte & 0xC0 == 0x80);
        let (meant, length) = match (byte, next(1), next(2)) {
            (0xC0 | 0xC1, Some(low), _) => ((byte & 1) << 6 | low & 0x3F, 2),
            (0xE0, Some(middle @ 0x80..=0x81), Some(low)) => ((middle & 1) << 6 | low & 0x3F, 3),
            _ => {
                out.push(*byte);
                at += 1;
                continue;
            }
        };
        *disguised = true;
        out.push(meant);
        at += length;
    }
    out
}

/// Writes plain letters and signs in place of those that some systems fold to them.
fn fold(text: &str, disguised: &mut bool) -> Option<String> {
    let folds = |letter: char| match letter {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(letter) - 0xFEE0),
        '\u{2024}' | '\u{3002}' | '\u{FF61}' => Some('.'),
        '\u{2044}' | '\u{2215}' | '\u{29F8}' => Some('/'),
        '\u{2216}' | '\u{29F5}' | '\u{29F9}' => Some('\\'),
        _ => None,
    };
    if text.is_ascii() || !text.chars().any(|letter| folds(letter).is_some()) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        let plain = folds(letter);
        *disguised |= plain.is_some_and(|plain| matches!(plain, '.' | '/' | '\\'));
        out.push(plain.unwrap_or(letter));
    }
    Some(out)
}
