//! Text on its way to a terminal: sanitised, measured, cut to fit, and coloured where that is wanted.
//!
//! Invariants: a [`Line`] holds no text from outside that did not go through [`super::sanitize`]; its width is counted
//! in columns; an escape is shown whole or not at all; without colours, what is printed holds no escape sequence.

use std::env;
use std::io::IsTerminal;

use super::sanitize::{self, Piece, pieces};

/// When to colour.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    #[default]
    #[value(help = "On a terminal, unless NO_COLOR is set")]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Styles {
    coloured: bool,
}

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Style {
    colour: Colour,
    weight: Weight,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Colour {
    #[default]
    None,
    Red,
    Green,
    Yellow,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Weight {
    #[default]
    Normal,
    Bold,
    Dim,
}

impl Style {
    /// As the terminal shows text.
    pub const PLAIN: Self = Self { colour: Colour::None, weight: Weight::Normal };
    /// What stands out: headings, tools.
    pub const BOLD: Self = Self { colour: Colour::None, weight: Weight::Bold };
    /// What steps back: sessions, escapes.
    pub const DIM: Self = Self { colour: Colour::None, weight: Weight::Dim };
    /// What is as it should be.
    pub const GOOD: Self = Self { colour: Colour::Green, weight: Weight::Normal };
    /// What could not be seen, or is odd.
    pub const WARNING: Self = Self { colour: Colour::Yellow, weight: Weight::Normal };
    /// What failed.
    pub const ERROR: Self = Self { colour: Colour::Red, weight: Weight::Normal };

    /// The same colour, stepping back.
    #[must_use]
    pub const fn dimmed(self) -> Self {
        Self { colour: self.colour, weight: Weight::Dim }
    }

    /// The parameters of the escape sequence that turns it on; empty for plain text.
    const fn parameters(self) -> &'static str {
        match (self.colour, self.weight) {
            (Colour::None, Weight::Normal) => "",
            (Colour::None, Weight::Bold) => "1",
            (Colour::None, Weight::Dim) => "2",
            (Colour::Red, Weight::Normal) => "31",
            (Colour::Red, Weight::Bold) => "1;31",
            (Colour::Red, Weight::Dim) => "2;31",
            (Colour::Green, Weight::Normal) => "32",
            (Colour::Green, Weight::Bold) => "1;32",
            (Colour::Green, Weight::Dim) => "2;32",
            (Colour::Yellow, Weight::Normal) => "33",
            (Colour::Yellow, Weight::Bold) => "1;33",
            (Colour::Yellow, Weight::Dim) => "2;33",
        }
    }
}

impl Styles {
    /// No colours.
    pub const PLAIN: Self = Self { coloured: false };
    /// Colours.
    pub const COLOURED: Self = Self { coloured: true };

    /// What was chosen, for text that goes to `stream`.
    #[must_use]
    pub fn choose(choice: ColorChoice, stream: &impl IsTerminal) -> Self {
        let coloured = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
                let is_dumb = env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
                stream.is_terminal() && !is_set("NO_COLOR") && !is_dumb
            }
        };
        Self { coloured }
    }

    /// Appends text of our own, or text that was sanitised, in a style.
    pub fn paint(self, style: Style, safe: &str, shown: &mut String) {
        let parameters = style.parameters();
        if !self.coloured || parameters.is_empty() {
            shown.push_str(safe);
            return;
        }
        shown.extend(["\u{1b}[", parameters, "m", safe, "\u{1b}[0m"]);
    }
}

/// Safe text with its styles: one line, or a part of one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Line {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Part {
    style: Style,
    text: String,
    /// An escape: shown whole or not at all.
    is_escape: bool,
}

impl Line {
    /// Text of our own.
    #[must_use]
    pub fn own(style: Style, safe: &str) -> Self {
        let mut line = Self::default();
        line.push_own(style, safe);
        line
    }

    /// Text from outside.
    #[must_use]
    pub fn raw(style: Style, text: &str) -> Self {
        let mut line = Self::default();
        line.push_raw(style, text);
        line
    }

    /// Appends text of our own.
    pub fn push_own(&mut self, style: Style, safe: &str) {
        self.push_part(style, safe, false);
    }

    /// Appends text from outside.
    pub fn push_raw(&mut self, style: Style, text: &str) {
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => self.push_part(style, text, false),
                Piece::Escape(_) | Piece::Byte(_) => {
                    let mut shown = String::new();
                    piece.show(&mut shown);
                    self.push_part(style.dimmed(), &shown, true);
                }
            }
        }
    }

    /// Appends another line.
    pub fn push_line(&mut self, other: Self) {
        self.parts.extend(other.parts);
    }

    /// Columns that it takes.
    #[must_use]
    pub fn width(&self) -> usize {
        self.parts.iter().map(|part| sanitize::width(&part.text)).sum()
    }

    /// Its text, without styles.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts.iter().map(|part| part.text.as_str()).collect()
    }

    /// The pieces that it is made of: how each looks, its text, and whether it is an escape.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Style, &str, bool)> {
        self.parts.iter().map(|part| (part.style, part.text.as_str(), part.is_escape))
    }

    /// True where there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.text.is_empty())
    }

    /// The same text, stepping back.
    #[must_use]
    pub fn dimmed(mut self) -> Self {
        for part in &mut self.parts {
            part.style = part.style.dimmed();
        }
        self
    }

    /// Cut to so many columns, with `…` at the end where something was cut off.
    #[must_use]
    pub fn cut(self, columns: usize) -> Self {
        if self.width() <= columns {
            return self;
        }
        let (mut kept, rest) = self.split(columns.saturating_sub(1));
        if columns > 0 {
            let style = kept.parts.last().or(rest.parts.first()).map_or(Style::PLAIN, |part| part.style);
            kept.push_part(style, "…", true);
        }
        kept
    }

    /// Cut and filled up to exactly so many columns.
    #[must_use]
    pub fn fill(self, columns: usize) -> Self {
        let mut line = self.cut(columns);
        let missing = columns.saturating_sub(line.width());
        line.push_own(Style::PLAIN, &" ".repeat(missing));
        line
    }

    /// Broken into lines of so many columns or fewer, at spaces where there are any.
    #[must_use]
    pub fn wrap(self, columns: usize) -> Vec<Self> {
        let columns = columns.max(1);
        let mut lines = Vec::new();
        let mut rest = self;
        while rest.width() > columns {
            let (mut first, mut after) = rest.split(columns);
            if first.is_empty() {
                // One escape, or one wide character, is wider than a line. Terminals that narrow are not served.
                return lines;
            }
            first.break_at_space(&mut after);
            lines.push(first);
            rest = after;
        }
        if !rest.is_empty() || lines.is_empty() {
            lines.push(rest);
        }
        lines
    }

    /// Appends it as it is printed.
    pub fn print(&self, styles: Styles, shown: &mut String) {
        for part in &self.parts {
            styles.paint(part.style, &part.text, shown);
        }
    }

    fn push_part(&mut self, style: Style, text: &str, is_escape: bool) {
        match self.parts.last_mut() {
            Some(last) if last.style == style && !last.is_escape && !is_escape => last.text.push_str(text),
            _ if text.is_empty() => {}
            _ => self.parts.push(Part { style, text: text.to_owned(), is_escape }),
        }
    }

    /// The first so many columns, and what follows.
    fn split(self, columns: usize) -> (Self, Self) {
        let (mut first, mut after) = (Self::default(), Self::default());
        let mut left = columns;
        let mut is_full = false;
        for part in self.parts {
            if is_full {
                after.parts.push(part);
                continue;
            }
            let width = sanitize::width(&part.text);
            if width <= left {
                left -= width;
                first.parts.push(part);
                continue;
            }
            is_full = true;
            if part.is_escape {
                after.parts.push(part);
                continue;
            }
            let fitting = fitting(&part.text, left);
            let (head, tail) = part.text.split_at(fitting);
            first.push_part(part.style, head, false);
            after.push_part(part.style, tail, false);
        }
        (first, after)
    }

    /// Moves what follows the last space over to the next line, where that is not most of the line.
    fn break_at_space(&mut self, after: &mut Self) {
        let starts_with_space = after.parts.first().is_some_and(|part| part.text.starts_with(' '));
        if !starts_with_space
            && let Some(last) = self.parts.last_mut()
            && !last.is_escape
            && let Some(space) = last.text.rfind(' ')
            && space > 0
            && last.text.len() - space <= 24
        {
            let moved = last.text.split_off(space);
            after.parts.insert(0, Part { style: last.style, text: moved, is_escape: false });
        }
        if let Some(first) = after.parts.first_mut()
            && let Some(trimmed) = first.text.strip_prefix(' ')
        {
            first.text = trimmed.to_owned();
        }
    }
}

/// Bytes of `text` that fit into so many columns. A character goes together with the marks on it.
fn fitting(text: &str, columns: usize) -> usize {
    let mut left = columns;
    for (position, character) in text.char_indices() {
        let width = sanitize::width(character.encode_utf8(&mut [0; 4]));
        if width > left {
            return position;
        }
        left -= width;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(line: &Line, styles: Styles) -> String {
        let mut shown = String::new();
        line.print(styles, &mut shown);
        shown
    }

    #[test]
    fn a_line_is_cut_at_its_width() {
        let cut = |text: &str, columns| shown(&Line::raw(Style::PLAIN, text).cut(columns), Styles::PLAIN);
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 5), "abcd…");
        assert_eq!(cut("abcdef", 1), "…");
        assert_eq!(cut("abcdef", 0), "");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("ab\u{202e}cd", 8), "ab…", "an escape is not cut");
        assert_eq!(cut("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
    }

    #[test]
    fn escapes_are_dim_in_colour() {
        assert_eq!(
            shown(&Line::raw(Style::ERROR, "a\u{1b}b"), Styles::COLOURED),
            "\u{1b}[31ma\u{1b}[0m\u{1b}[2;31m␛\u{1b}[0m\u{1b}[31mb\u{1b}[0m"
        );
    }

    #[test]
    fn long_text_breaks_at_spaces() {
        let wrapped = |text: &str, columns| {
            let lines = Line::raw(Style::PLAIN, text).wrap(columns);
            lines.iter().map(|line| shown(line, Styles::PLAIN)).collect::<Vec<_>>()
        };
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("", 4), [""]);
    }

    proptest! {
        #[test]
        fn a_filled_line_is_exactly_as_wide_as_asked(text in any::<String>(), columns in 0_usize..40) {
            let line = Line::raw(Style::PLAIN, &text).fill(columns);
            prop_assert_eq!(line.width(), columns);
        }

        #[test]
        fn a_wrapped_line_fits_and_loses_nothing_but_spaces(text in "[a-z \u{202e}日]{0,80}", columns in 9_usize..40) {
            let whole = shown(&Line::raw(Style::PLAIN, &text), Styles::PLAIN);
            let lines = Line::raw(Style::PLAIN, &text).wrap(columns);
            prop_assert!(lines.iter().all(|line| line.width() <= columns));
            let joined: String = lines.iter().map(|line| shown(line, Styles::PLAIN)).collect();
            prop_assert_eq!(joined.replace(' ', ""), whole.replace(' ', ""));
        }
    }
}
