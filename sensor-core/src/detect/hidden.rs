//! Text that a reader does not see. What was hidden is shown, for `instructions` to read.

use super::instructions::{Kind, Reading};
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// Empty room in a line behind which nobody looks.
const FAR_RIGHT: usize = 100;

/// Empty lines below which nobody looks.
const FAR_DOWN: usize = 20;

/// The shortest run of base64 that is looked into, and how much of a run is decoded.
const BASE64: (usize, usize) = (40, 4096);

/// True where a text beyond ASCII may hide something, or is disguised: only then it pays to take it apart.
pub(super) fn is_suspicious(bytes: &[u8]) -> bool {
    if memchr::memchr(0x1B, bytes).is_some() {
        return true;
    }
    let mut before = 0_u8;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0xC0 {
            let second = bytes.get(at + 1).copied().unwrap_or_default();
            let third = bytes.get(at + 2).copied().unwrap_or_default();
            let odd = match byte {
                0xC2 => second == 0xAD,
                0xCC..=0xD2 => before.is_ascii_alphabetic() || third.is_ascii_alphabetic(),
                0xE2 => (second == 0x80 && matches!(third, 0x8B..=0x8F | 0xAA..=0xAE)) || (second == 0x81 && third >= 0xA0),
                0xEF => (second == 0xBB && third == 0xBF) || (second == 0xB8 && third <= 0x8F) || matches!(second, 0xBC | 0xBD),
                0xF3 => true,
                _ => false,
            };
            if odd {
                return true;
            }
        }
        before = *byte;
    }
    false
}

/// The text as a model may read it: without what has no width, with the letters that are meant, and with what was written in
/// tag characters behind it.
pub(super) fn reveal(text: &str, reading: &mut Reading) -> String {
    let mut out = String::with_capacity(text.len());
    let mut tags = String::new();
    let mut selectors = 0;
    let (mut flag, mut before) = (false, ' ');
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied().unwrap_or(' ');
        let mut keep = Some(letter);
        match letter {
            // The flags of regions are spelt with tags behind a black flag.
            '\u{E0000}'..='\u{E007F}' => {
                if !flag && let Some(said) = char::from_u32(u32::from(letter) - 0xE0000).filter(|said| !said.is_control()) {
                    tags.push(said);
                }
                flag &= letter != '\u{E007F}';
                keep = None;
            }
            '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => {
                selectors += 1;
                if selectors >= 4 {
                    reading.found(Kind::VariationSelectors);
                }
                keep = None;
            }
            '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{FEFF}' | '\u{AD}' | '\u{180E}' => {
                if letter != '\u{AD}' && before.is_ascii_alphabetic() && next.is_ascii_alphabetic() {
                    reading.found(Kind::ZeroWidth);
                }
                keep = None;
            }
            '\u{202D}' | '\u{202E}' => {
                reading.found(Kind::Bidi);
                keep = None;
            }
            '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202C}' | '\u{2066}'..='\u{2069}' => keep = None,
            '\u{1B}' => {
                reading.found(Kind::Ansi);
                escape(&mut letters, reading);
                keep = None;
            }
            '\u{FF01}'..='\u{FF5E}' => keep = char::from_u32(u32::from(letter) - 0xFEE0),
            _ => {
                if let Some(latin) = look_alike(letter)
                    && (before.is_ascii_alphabetic() || next.is_ascii_alphabetic())
                {
                    reading.found(Kind::Homoglyph);
                    keep = Some(latin);
                }
            }
        }
        if letter == '\u{1F3F4}' {
            flag = true;
        } else if !matches!(letter, '\u{E0000}'..='\u{E007F}') {
            flag = false;
        }
        if !matches!(letter, '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}') {
            selectors = 0;
        }
        if let Some(keep) = keep {
            out.push(keep);
            before = keep;
        }
    }
    if tags.len() >= 4 {
        reading.found(Kind::UnicodeTags);
        out.push(' ');
        out.push_str(&tags);
    }
    out
}

/// Passes over an escape sequence of terminals.
fn escape(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, reading: &mut Reading) {
    if letters.next_if_eq(&'[').is_none() {
        return;
    }
    let mut parameter = 0_u32;
    let mut conceals = false;
    while let Some(letter) = letters.next_if(|letter| letter.is_ascii_digit() || matches!(letter, ';' | '?' | ':')) {
        match letter.to_digit(10) {
            Some(digit) => parameter = parameter.saturating_mul(10).saturating_add(digit),
            None => {
                conceals |= parameter == 8;
                parameter = 0;
            }
        }
    }
    conceals |= parameter == 8;
    if letters.next_if(char::is_ascii_alphabetic) == Some('m') && conceals {
        reading.found(Kind::AnsiConceal);
    }
}

/// The Latin letter that a letter of another alphabet looks like.
fn look_alike(letter: char) -> Option<char> {
    const PAIRS: &[(char, char)] = &[
        ('\u{430}', 'a'),
        ('\u{435}', 'e'),
        ('\u{43E}', 'o'),
        ('\u{440}', 'p'),
        ('\u{441}', 'c'),
        ('\u{443}', 'y'),
        ('\u{445}', 'x'),
        ('\u{455}', 's'),
        ('\u{456}', 'i'),
        ('\u{458}', 'j'),
        ('\u{501}', 'd'),
        ('\u{410}', 'A'),
        ('\u{412}', 'B'),
        ('\u{415}', 'E'),
        ('\u{41A}', 'K'),
        ('\u{41C}', 'M'),
        ('\u{41D}', 'H'),
        ('\u{41E}', 'O'),
        ('\u{420}', 'P'),
        ('\u{421}', 'C'),
        ('\u{422}', 'T'),
        ('\u{425}', 'X'),
        ('\u{3BF}', 'o'),
        ('\u{3B1}', 'a'),
        ('\u{3B9}', 'i'),
        ('\u{3BD}', 'v'),
        ('\u{3C1}', 'p'),
    ];
    PAIRS.iter().find(|(other, _)| *other == letter).map(|(_, latin)| *latin)
}

/// Finders of room, made once: that costs more than passing over a short text with one.
static SPACES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(&[b' '; 64]));
static LINES: LazyLock<[(&[u8], Finder<'static>); 2]> =
    LazyLock::new(|| [&b"\\n"[..], b"\n"].map(|line_end| (line_end, Finder::new(&line_end.repeat(8)).into_owned())));

/// Room that pushes what follows out of sight. In the text as it is written: `\n` may stand there as two letters.
pub(super) fn room(text: &[u8], reading: &mut Reading) {
    let spaces = |text: &[u8]| text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| SPACES.find(rest)) {
        at += found;
        let length = text.get(at..).map_or(0, spaces);
        at += length;
        let shown = text.get(at).is_some_and(|byte| !matches!(byte, b'\n' | b'\r' | b'\\'));
        if length >= FAR_RIGHT && shown {
            reading.found(Kind::FarRight);
            break;
        }
    }
    for (line_end, eight) in LINES.iter() {
        let mut at = 0;
        while let Some(found) = text.get(at..).and_then(|rest| eight.find(rest)) {
            at += found;
            let mut lines = 0;
            while let Some(rest) = text.get(at..) {
                let blank = spaces(rest);
                let Some(_) = rest.get(blank..).and_then(|rest| rest.strip_prefix(*line_end)) else { break };
                at += blank + line_end.len();
                lines += 1;
            }
            if lines >= FAR_DOWN && at < text.len() {
                reading.found(Kind::FarDown);
                return;
            }
        }
    }
}

/// The value of a letter of base64.
fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}

/// Texts in base64, decoded; what decodes to bytes that are no text is passed over.
pub(super) fn encoded(text: &[u8], mut each: impl FnMut(&[u8])) {
    let (shortest, most) = BASE64;
    // A run of that length has a byte at each multiple of it.
    let mut at = shortest - 1;
    let mut end_before = 0;
    while let Some(byte) = text.get(at) {
        if sextet(*byte).is_none() {
            at += shortest;
            continue;
        }
        let begins = text.get(end_before..at).unwrap_or_default().iter().rposition(|byte| sextet(*byte).is_none());
        let start = begins.map_or(end_before, |before| end_before + before + 1);
        let length = text.get(start..).unwrap_or_default().iter().take_while(|byte| sextet(**byte).is_some()).count();
        if length >= shortest
            && let Some(said) = decoded(text.get(start..start + length.min(most)).unwrap_or_default())
        {
            each(&said);
        }
        end_before = start + length;
        at = end_before + shortest;
    }
}

/// Decodes base64 that stands for text.
fn decoded(run: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for group in run.chunks(4) {
        let bits = group.iter().try_fold(0, |bits, byte| Some(bits << 6 | sextet(*byte)?))?;
        let bits = bits << (6 * (4 - group.len()));
        for byte in bits.to_be_bytes().into_iter().skip(1).take(group.len() - 1) {
            if !(byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n' | b'\t' | b'\r' | 0x80..)) {
                return None;
            }
            out.push(byte);
        }
    }
    Some(out)
}
