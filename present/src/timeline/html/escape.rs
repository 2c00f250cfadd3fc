//! The one way of text into the page.
//!
//! Invariants: what comes through [`Page::text`], [`Page::line`] and [`Page::block`] holds no `<`, `>`, `&` or quote that
//! the browser could take for markup, in text and in attributes; characters that are invisible or change the direction of
//! writing are shown as escapes.

use std::io::{self, Write};

use crate::sanitize::{Piece, pieces};
use crate::style::{Line, Style};

/// Bytes that are put together before they are written.
const BUFFER: usize = 64 * 1024;

/// Escapes of one text that get an element of their own. Behind them they stand as plain text.
const MARKED: usize = 500;

/// The page on its way out.
pub(super) struct Page<'o> {
    out: &'o mut dyn Write,
    buffer: String,
}

impl<'o> Page<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Self {
        Self { out, buffer: String::with_capacity(2 * BUFFER) }
    }

    /// Markup of our own.
    pub(super) fn own(&mut self, markup: &str) {
        self.buffer.push_str(markup);
    }

    /// Text that is safe to show (our own, or sanitised), escaped.
    pub(super) fn text(&mut self, safe: &str) {
        for character in safe.chars() {
            match character {
                '&' => self.buffer.push_str("&amp;"),
                '<' => self.buffer.push_str("&lt;"),
                '>' => self.buffer.push_str("&gt;"),
                '"' => self.buffer.push_str("&quot;"),
                '\'' => self.buffer.push_str("&#39;"),
                // Few fonts have the control pictures.
                '\u{240a}' => self.buffer.push('↵'),
                '\u{2409}' => self.buffer.push('⇥'),
                '\u{2421}' => self.buffer.push_str("\\x7f"),
                picture @ '\u{2400}'..='\u{241f}' => self.buffer.push_str(&format!("\\x{:02x}", u32::from(picture) - 0x2400)),
                other => self.buffer.push(other),
            }
        }
    }

    /// Captured text on one line, without elements: for titles and lists of choices.
    pub(super) fn raw(&mut self, text: &str) {
        let safe = crate::sanitize::sanitize(text);
        self.text(&safe);
    }

    /// Safe text with its styles.
    pub(super) fn line(&mut self, line: &Line) {
        let mut marked = 0;
        for (style, text, is_escape) in line.parts() {
            // The sign that something was cut off goes with escapes, but is none.
            let is_escape = is_escape && text != "…";
            marked += usize::from(is_escape);
            let class = class(style);
            if is_escape && marked <= MARKED {
                self.escape(text);
            } else if class.is_empty() {
                self.text(text);
            } else {
                self.element("i", class, |page| page.text(text));
            }
        }
    }

    /// Safe text with its styles, in an element of its own. One, where one is enough: there are many.
    pub(super) fn span(&mut self, name: &str, line: &Line) {
        let mut parts = line.parts();
        if let (Some((style, text, false)), None) = (parts.next(), parts.next()) {
            let class = class(style);
            self.buffer.extend(["<span class=\"", name, if class.is_empty() { "" } else { " " }, class, "\">"]);
            self.text(text);
            self.own("</span>");
        } else {
            self.element("span", name, |page| page.line(line));
        }
    }

    /// Captured text of several lines. Line ends and tabs stay; everything else is made visible.
    pub(super) fn block(&mut self, text: &str) {
        let mut marked = 0;
        let mut shown = String::new();
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => self.text(text),
                Piece::Escape(character @ ('\n' | '\t')) => self.buffer.push(character),
                Piece::Escape(_) | Piece::Byte(_) => {
                    shown.clear();
                    piece.show(&mut shown);
                    marked += 1;
                    if marked <= MARKED {
                        self.escape(&shown);
                    } else {
                        self.text(&shown);
                    }
                }
            }
        }
    }

    /// A character that was made visible, set apart from text that only looks like it.
    fn escape(&mut self, shown: &str) {
        // Line ends and tabs deceive nobody.
        let class = if matches!(shown, "\u{240a}" | "\u{2409}") { "d" } else { "x" };
        self.element("i", class, |page| page.text(shown));
    }

    pub(super) fn element(&mut self, name: &str, class: &str, content: impl FnOnce(&mut Self)) {
        self.buffer.extend(["<", name, " class=\"", class, "\">"]);
        content(self);
        self.buffer.extend(["</", name, ">"]);
    }

    /// Writes what waits, where that is much.
    pub(super) fn pass_on(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFER {
            self.out.write_all(self.buffer.as_bytes())?;
            self.buffer.clear();
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.out.write_all(self.buffer.as_bytes())
    }
}

/// The class of a style.
fn class(style: Style) -> &'static str {
    const CLASSES: [(Style, &str); 8] = [
        (Style::PLAIN, ""),
        (Style::BOLD, "b"),
        (Style::DIM, "d"),
        (Style::GOOD, "g"),
        (Style::WARNING, "w"),
        (Style::ERROR, "e"),
        (Style::WARNING.dimmed(), "w"),
        (Style::ERROR.dimmed(), "e"),
    ];
    CLASSES.iter().find(|(known, _)| *known == style).map_or("", |(_, class)| class)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(write: impl FnOnce(&mut Page<'_>)) -> String {
        let mut out = Vec::new();
        let mut page = Page::new(&mut out);
        write(&mut page);
        page.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    /// What a browser would show of it.
    fn read(html: &str) -> String {
        let bare = ["<i class=\"x\">", "<i class=\"d\">", "</i>"].iter().fold(html.to_owned(), |html, tag| html.replace(tag, ""));
        assert!(!bare.contains(['<', '>', '"', '\'']), "{bare:?}");
        let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
        for (position, _) in bare.match_indices('&') {
            assert!(entities.iter().any(|(entity, _)| bare[position..].starts_with(entity)), "{bare:?}");
        }
        entities.iter().fold(bare, |bare, (entity, character)| bare.replace(entity, character))
    }

    /// The same text with what cannot be seen made visible, by another way.
    fn visible(text: &str, keeps_lines: bool) -> String {
        let mut shown = String::new();
        for piece in pieces(text) {
            let mut one = String::new();
            piece.show(&mut one);
            match (piece, one.chars().next()) {
                (Piece::Text(text), _) => shown.push_str(text),
                (Piece::Escape(character @ ('\n' | '\t')), _) if keeps_lines => shown.push(character),
                (Piece::Escape('\n'), _) => shown.push('↵'),
                (Piece::Escape('\t'), _) => shown.push('⇥'),
                (Piece::Escape(character @ ('\0'..='\u{1f}' | '\u{7f}')), _) => shown.push_str(&format!("\\x{:02x}", u32::from(character))),
                _ => shown.push_str(&one),
            }
        }
        shown
    }

    #[test]
    fn markup_becomes_text() {
        assert_eq!(page(|page| page.text("<b a='1\">&amp;")), "&lt;b a=&#39;1&quot;&gt;&amp;amp;");
        assert_eq!(page(|page| page.block("a\n\u{1b}[1m\u{202e}")), "a\n<i class=\"x\">\\x1b</i>[1m<i class=\"x\">\\u{202e}</i>");
    }

    proptest! {
        #[test]
        fn text_is_read_as_what_it_says(text in "[<>&\"'/a-z\\x00-\\x1f\\x7f-\\x{ff}\u{2000}-\u{2fff};#!-]{0,60}") {
            prop_assert_eq!(read(&page(|page| page.block(&text))), visible(&text, true));
            prop_assert_eq!(read(&page(|page| page.raw(&text))), visible(&text, false));
            prop_assert_eq!(read(&page(|page| page.line(&Line::raw(Style::PLAIN, &text)))), visible(&text, false));
        }
    }
}
