//! Text that is searched for in contents.
//!
//! Contents are JSON text. A reader looks for what it says, not for how it is written: escapes of strings are undone and
//! capital letters made small ([`fold`]), and text is found where the folded bytes have the folded words in them. So nobody
//! hides a path by writing it as `\u002f`.
//!
//! For an index ([`bits`]), folded text is taken apart into its runs of three bytes. All runs of the words are among those of a
//! text that has the words in it; so where one is missing, the text need not be looked at.
//!
//! Invariants, tested: what [`Words::are_in`] says does not depend on how JSON writes the text; where words are in a text, the
//! words' bits are among the text's.

use present::find::lower;

/// Numbers of different bits.
pub const BITS: usize = 23_808;

/// Bits of one text that are asked for at most.
const MAX_ASKED: usize = 48;

/// Words that are looked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Words {
    folded: Vec<u8>,
}

impl Words {
    /// From text as a person writes it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut folded = Vec::new();
        text.chars().for_each(|character| push(character, &mut folded));
        Self { folded }
    }

    /// True where JSON text has the words in it.
    #[must_use]
    pub fn are_in(&self, json: &[u8]) -> bool {
        if json.is_empty() {
            return false;
        }
        let mut folded = Vec::with_capacity(json.len());
        fold(json, &mut folded);
        memchr::memmem::find(&folded, &self.folded).is_some()
    }

    /// Bits that a text with these words has: some of them, where they are many; none, where the words are too short to tell.
    #[must_use]
    pub fn bits(&self) -> Vec<usize> {
        let mut asked: Vec<usize> = bits(&self.folded).collect();
        asked.sort_unstable();
        asked.dedup();
        asked.truncate(MAX_ASKED);
        asked
    }
}

/// Appends JSON text with the escapes of its strings undone and without capital letters. Takes any bytes.
pub fn fold(json: &[u8], out: &mut Vec<u8>) {
    let mut rest = json;
    while let Some((&byte, after)) = rest.split_first() {
        if byte < 0x80 && byte != b'\\' {
            out.push(byte.to_ascii_lowercase());
            rest = after;
            continue;
        }
        let (character, length) = if byte == b'\\' { unescape(rest) } else { decode(rest) };
        match character {
            Some(character) => push(character, out),
            None => out.push(byte),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// The numbers of the bits of folded text; some come several times.
pub fn bits(folded: &[u8]) -> impl Iterator<Item = usize> {
    folded.windows(3).map(|run| {
        let run = run.iter().fold(0_u32, |run, byte| run << 8 | u32::from(*byte));
        // A multiplicative hash (Knuth), brought into range by its high half.
        let hash = run.wrapping_mul(0x9e37_79b1);
        ((u64::from(hash) * BITS as u64) >> 32) as usize
    })
}

fn push(character: char, out: &mut Vec<u8>) {
    out.extend_from_slice(lower(character).encode_utf8(&mut [0; 4]).as_bytes());
}

/// The character that an escape stands for, and the escape's length. A backslash that is no escape stands for itself.
fn unescape(text: &[u8]) -> (Option<char>, usize) {
    let plain = match text.get(1) {
        Some(b'u') => return unicode(text),
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
        _ => return (None, 1),
    };
    (Some(plain), 2)
}

/// `\u1234`, or a pair of such that stand for one character.
fn unicode(text: &[u8]) -> (Option<char>, usize) {
    const HALF: char = char::REPLACEMENT_CHARACTER;
    let unit = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    };
    match unit(0) {
        None => (None, 1),
        Some(high @ 0xd800..=0xdbff) => match unit(6) {
            Some(low @ 0xdc00..=0xdfff) => (char::from_u32(0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff)), 12),
            _ => (Some(HALF), 6),
        },
        Some(unit) => (Some(char::from_u32(unit).unwrap_or(HALF)), 6),
    }
}

/// The character that begins here and its length; `None` where it is not UTF-8.
fn decode(text: &[u8]) -> (Option<char>, usize) {
    let most = text.get(..text.len().min(4)).unwrap_or_default();
    let valid = match std::str::from_utf8(most) {
        Ok(valid) => valid,
        Err(error) => most.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or_default(),
    };
    valid.chars().next().map_or((None, 1), |character| (Some(character), character.len_utf8()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn are_in(words: &str, json: &str) -> bool {
        Words::new(words).are_in(json.as_bytes())
    }

    #[test]
    fn words_are_found_however_json_writes_them() {
        for json in [r#"{"path":"/etc/passwd"}"#, r#"{"path":"\/etc\/passwd"}"#, r#"{"path":"\u002fETC/\u0070asswd"}"#, "/etc/passwd"] {
            assert!(are_in("/etc/Passwd", json), "{json}");
        }
        assert!(are_in("naïve ü", r#""NAÏVE \u00dc""#));
        assert!(are_in("😀", r#""\ud83d\ude00""#));
        assert!(are_in("two\nlines", r#""two\nlines""#));
        assert!(are_in(r"C:\dir", r#""C:\\dir""#));
        assert!(!are_in("passwd", "{}") && !are_in("x", ""));
    }

    #[test]
    fn broken_escapes_stand_for_themselves() {
        for json in [r"\", r"a\q", r"\u12", r"\u12g4", r"\ud83dx", "\\\u{e9}"] {
            let mut folded = Vec::new();
            fold(json.as_bytes(), &mut folded);
            assert!(!folded.is_empty(), "{json}");
        }
        assert!(are_in(r"a\q", r"a\q"));
    }

    proptest! {
        #[test]
        fn text_is_found_in_its_own_json(text in any::<String>(), before in "[a-z\\\\\"é]{0,4}", wide in any::<bool>()) {
            let mut json = serde_json::to_string(&format!("{before}{text}")).unwrap();
            if wide {
                json = json.chars().map(|character| if character.is_ascii() { character.to_string() } else {
                    character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }).collect();
            }
            prop_assert!(are_in(&text, &json), "{json}");
            let mut folded = Vec::new();
            fold(json.as_bytes(), &mut folded);
            let of_text: std::collections::HashSet<usize> = bits(&folded).collect();
            prop_assert!(Words::new(&text).bits().iter().all(|bit| of_text.contains(bit)));
            prop_assert!(of_text.iter().all(|bit| *bit < BITS));
        }

        #[test]
        fn any_bytes_can_be_folded(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            fold(&bytes, &mut Vec::new());
        }
    }
}
