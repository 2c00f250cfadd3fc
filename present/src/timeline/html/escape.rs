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

    /// A character that was made visible, set apart from text that only looks like it. Few fonts have the control
    /// pictures, and here the colour tells what is an escape.
    fn escape(&mut self, shown: &str) {
        let control = shown.chars().next().map_or(0, u32::from).wrapping_sub(0x2400);
        match control {
            0x0a => self.element("i", "d", |page| page.text("↵")),
            0x09 => self.element("i", "d", |page| page.text("⇥")),
            0..=0x1f | 0x21 => {
                let code = if control == 0x21 { 0x7f } else { control };
                self.element("i", "x", |page| page.text(&format!("\\x{code:02x}")));
            }
            _ => self.element("i", "x", |page| page.text(shown)),
        }
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
