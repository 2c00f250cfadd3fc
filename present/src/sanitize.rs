//! Captured text made safe for a terminal and honest for a reader.
//!
//! Everything that comes from the wire or from a process (messages, names, paths, arguments) may have been written to
//! deceive: escape sequences that repaint the screen, a carriage return that overwrites a line, characters that reverse
//! the writing direction or cannot be seen. Here each of them becomes something visible:
//!
//! | what | how it is shown |
//! |---|---|
//! | C0 controls and DEL | their control pictures: `␛[31m`, `␊`, `␡` |
//! | C1 controls, bidi controls, zero-width and other invisible characters, tags, variation selectors, line and paragraph separators, non-characters | `\u{202e}` |
//! | bytes that are not UTF-8 | `\xff` |
//! | the control pictures themselves (so that no text can pass for an escape) | `\u{241b}` |
//! | a combining mark with nothing to stand on, or one too many on one character | `\u{301}` |
//!
//! Invariants, tested with arbitrary input: what comes out holds no character for which [`is_unsafe`] is true, is one
//! line, and each column of it is counted ([`width`]) at least as wide as a terminal draws it.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

/// Combining marks that may stand on one character. Living languages need three.
const MAX_MARKS: usize = 3;

/// A piece of text on its way to the terminal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Piece<'a> {
    /// Text that is shown as it is. Whole characters, each with the marks on it.
    Text(&'a str),
    /// A character that is shown as an escape.
    Escape(char),
    /// A byte that is not UTF-8.
    Byte(u8),
}

/// True for a character that must not reach a terminal from outside.
///
/// Control characters, those that change the writing direction, those that cannot be seen, and those that no text has
/// (non-characters). Spaces are not among them, whatever their width.
#[must_use]
pub const fn is_unsafe(character: char) -> bool {
    matches!(character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'           // C0, DEL, C1
        | '\u{ad}' | '\u{34f}' | '\u{61c}'              // soft hyphen, grapheme joiner, Arabic letter mark
        | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // Hangul fillers
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' // Khmer inherent vowels, Mongolian selectors
        | '\u{200b}'..='\u{200f}'                       // zero-width characters, direction marks
        | '\u{2028}'..='\u{202e}'                       // line and paragraph separators, embeddings and overrides
        | '\u{2060}'..='\u{206f}'                       // word joiner, invisible operators, isolates
        | '\u{2400}'..='\u{2426}'                       // control pictures: ours alone
        | '\u{fe00}'..='\u{fe0f}'                       // variation selectors
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}'          // byte order mark, interlinear annotation
        | '\u{13430}'..='\u{13455}'                     // Egyptian format controls
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' // shorthand and musical format controls
        | '\u{e0000}'..='\u{e0fff}'                     // tags, more variation selectors
        | '\u{fdd0}'..='\u{fdef}'
    ) || (character as u32) & 0xfffe == 0xfffe
}

/// Columns that a terminal gives a character. Never less than it draws.
fn columns(character: char) -> usize {
    character.width().unwrap_or(0)
}

/// Columns that text from [`sanitize`] takes.
///
/// Characters are counted one by one: where terminals disagree (emoji with a skin tone, ligatures) this is the widest.
#[must_use]
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// Cuts text into what can be shown as it is and what must be escaped.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    Pieces { rest: text, at_start: true }
}

/// Like [`pieces`], of bytes that may not be UTF-8.
pub fn byte_pieces(bytes: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    bytes.utf8_chunks().flat_map(|chunk| pieces(chunk.valid()).chain(chunk.invalid().iter().copied().map(Piece::Byte)))
}

/// Text as it may be shown: one line, nothing invisible, nothing that a terminal obeys.
#[must_use]
pub fn sanitize(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(pieces(text).fold(String::with_capacity(text.len() + 16), |mut shown, piece| {
        piece.show(&mut shown);
        shown
    }))
}

/// Like [`sanitize`], of bytes that may not be UTF-8 (paths, arguments).
#[must_use]
pub fn sanitize_bytes(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => sanitize(text),
        Err(_) => Cow::Owned(byte_pieces(bytes).fold(String::with_capacity(bytes.len() + 16), |mut shown, piece| {
            piece.show(&mut shown);
            shown
        })),
    }
}

impl Piece<'_> {
    /// Appends the piece as it is shown.
    pub fn show(&self, shown: &mut String) {
        // Writing to a string cannot fail.
        let _ = match *self {
            Self::Text(text) => shown.write_str(text),
            Self::Escape('\u{7f}') => shown.write_char('\u{2421}'),
            Self::Escape(control @ '\0'..='\u{1f}') => shown.write_char(char::from_u32(0x2400 + control as u32).unwrap_or('\u{fffd}')),
            Self::Escape(other) => write!(shown, "\\u{{{:x}}}", other as u32),
            Self::Byte(byte) => write!(shown, "\\x{byte:02x}"),
        };
    }
}

/// The iterator behind [`pieces`].
struct Pieces<'a> {
    rest: &'a str,
    /// Nothing that a mark could stand on comes directly before `rest`.
    at_start: bool,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let mut marks = if self.at_start { MAX_MARKS } else { 0 };
        let mut end = self.rest.len();
        for (position, character) in self.rest.char_indices() {
            if is_unsafe(character) {
                end = position;
                break;
            }
            if columns(character) > 0 {
                marks = 0;
            } else if marks == MAX_MARKS {
                end = position;
                break;
            } else {
                marks += 1;
            }
        }
        let (text, rest) = self.rest.split_at_checked(end)?;
        if !text.is_empty() {
            self.rest = rest;
            // The next piece is an escape, or there is none. After an escape a mark has nothing to stand on.
            self.at_start = true;
            return Some(Piece::Text(text));
        }
        let character = rest.chars().next()?;
        self.rest = rest.get(character.len_utf8()..)?;
        self.at_start = true;
        Some(Piece::Escape(character))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_text_of_any_language_is_left_alone() {
        for text in ["", "ls -la", "naïve café", "Ünïcödé", "日本語", "עברית", "नमस्ते", "ภาษาไทยที่นี่", "🙂 ok", "C:\\path\\u"]
        {
            assert_eq!(sanitize(text), text);
        }
        assert!(matches!(sanitize("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_a_terminal_would_obey_becomes_visible() {
        assert_eq!(sanitize("\u{1b}[31mred\u{1b}[0m"), "␛[31mred␛[0m");
        assert_eq!(sanitize("\u{1b}]0;title\u{7}"), "␛]0;title␇");
        assert_eq!(sanitize("a\r\nb\tc\0"), "a␍␊b␉c␀");
        assert_eq!(sanitize("\u{7f}\u{9b}31m\u{85}"), "␡\\u{9b}31m\\u{85}");
    }

    #[test]
    fn what_cannot_be_seen_becomes_visible() {
        assert_eq!(sanitize("safe\u{202e}gpj.exe"), "safe\\u{202e}gpj.exe");
        assert_eq!(sanitize("\u{2066}x\u{2069}"), "\\u{2066}x\\u{2069}");
        assert_eq!(sanitize("a\u{200b}b\u{feff}"), "a\\u{200b}b\\u{feff}");
        assert_eq!(sanitize("x\u{e0041}\u{e007f}"), "x\\u{e0041}\\u{e007f}");
        assert_eq!(sanitize("1\u{2028}2\u{2029}3"), "1\\u{2028}2\\u{2029}3");
        assert_eq!(sanitize("❤\u{fe0f}"), "❤\\u{fe0f}");
    }

    #[test]
    fn an_escape_cannot_be_forged_with_a_control_picture() {
        assert_eq!(sanitize("␛[31m"), "\\u{241b}[31m");
    }

    #[test]
    fn bytes_that_are_no_text_become_visible() {
        assert_eq!(sanitize_bytes(b"/tmp/\xff\xfe\x1bx"), "/tmp/\\xff\\xfe␛x");
        assert_eq!(sanitize_bytes(b"\xc0\xaf\xed\xa0\x80"), "\\xc0\\xaf\\xed\\xa0\\x80");
        assert_eq!(sanitize_bytes("é".as_bytes()), "é");
    }

    #[test]
    fn a_tower_of_marks_does_not_reach_other_lines() {
        assert_eq!(sanitize("e\u{301}\u{301}\u{301}\u{301}\u{301}"), "e\u{301}\u{301}\u{301}\\u{301}\\u{301}");
        assert_eq!(sanitize("\u{301}e"), "\\u{301}e");
        assert_eq!(sanitize("\u{1b}\u{301}e"), "␛\\u{301}e");
    }

    /// Text in which what matters is likely.
    fn hostile() -> impl Strategy<Value = String> {
        let risky = prop_oneof![
            Just('\u{1b}'),
            Just('\u{9b}'),
            Just('\u{202e}'),
            Just('\u{2028}'),
            Just('\u{e0041}'),
            Just('\u{301}'),
            Just('\u{1f3fb}'),
            Just('漢'),
            proptest::char::range('\0', '\u{ff}'),
            proptest::char::range('\u{2000}', '\u{24ff}'),
            any::<char>(),
        ];
        proptest::collection::vec(risky, 0..64).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn nothing_unsafe_comes_out(text in hostile()) {
            let shown = sanitize(&text);
            let of_ours = |character: &char| !matches!(*character, '\u{2400}'..='\u{241f}' | '\u{2421}');
            prop_assert!(!shown.chars().filter(of_ours).any(is_unsafe), "{shown:?}");
            prop_assert!(shown.lines().count() <= 1);
            prop_assert_eq!(shown.contains(char::is_control), false);
        }

        #[test]
        fn nothing_unsafe_comes_out_of_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let shown = sanitize_bytes(&bytes);
            prop_assert!(!shown.contains(char::is_control));
            prop_assert!(shown.lines().count() <= 1);
        }

        #[test]
        fn nothing_is_left_out(text in hostile()) {
            let rejoined = pieces(&text).fold(String::new(), |mut whole, piece| {
                match piece {
                    Piece::Text(text) => whole.push_str(text),
                    Piece::Escape(character) => whole.push(character),
                    Piece::Byte(_) => {}
                }
                whole
            });
            prop_assert_eq!(rejoined, text);
        }

        #[test]
        fn the_width_is_never_less_than_what_is_drawn(text in hostile()) {
            let shown = sanitize(&text);
            prop_assert!(width(&shown) >= unicode_width::UnicodeWidthStr::width(shown.as_ref()));
        }
    }
}
