//! Text that instructs a model: which words stand close to each other, and how much that says.

use super::anchors;
use super::words::{CLASSES, Class, WORDS};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use std::sync::LazyLock;

/// What was found, by name, with what it adds to the score. The order is that of [`Kind`].
const KINDS: &[(&str, u32, bool)] = &[
    ("override", 35, false),
    ("secrecy", 35, false),
    ("pseudo-tag", 25, false),
    ("role", 20, false),
    ("tool-order", 15, false),
    ("unasked", 20, false),
    ("exfiltration", 15, false),
    ("exfiltration", 15, false),
    ("unicode-tags", 50, true),
    ("variation-selectors", 40, true),
    ("zero-width", 25, true),
    ("bidi", 25, true),
    ("homoglyph", 25, true),
    ("ansi-conceal", 25, true),
    ("ansi", 0, true),
    ("far-right", 35, true),
    ("far-down", 35, true),
    ("html-comment", 15, true),
    ("css-hidden", 15, true),
    ("base64", 25, true),
];

/// Row of [`KINDS`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Override,
    Secrecy,
    PseudoTag,
    Role,
    Order,
    Unasked,
    /// Something private is to be given away.
    Private,
    /// It, or anything else, is to go to a place outside.
    Outside,
    UnicodeTags,
    VariationSelectors,
    ZeroWidth,
    Bidi,
    Homoglyph,
    AnsiConceal,
    Ansi,
    FarRight,
    FarDown,
    HtmlComment,
    CssHidden,
    Base64,
}

const ROWS: usize = 20;

/// Bytes within which kinds add up: what stands in different chapters is no instruction.
const REACH: usize = 2048;

#[allow(clippy::expect_used, reason = "the patterns are constants, and a test builds the automaton")]
static AUTOMATON: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let words = WORDS.iter().map(|(word, _)| word);
    AhoCorasick::builder().ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA)).build(words).expect("constant patterns")
});

/// What has been seen of a value so far.
#[derive(Debug)]
pub(super) struct Reading {
    /// Where each class of words stood last, counted over all strings; 0 for never.
    words: [usize; CLASSES],
    /// Where each kind was found last; 0 for never.
    kinds: [usize; ROWS],
    /// Where the string begins that is being read. Begins high enough for 0 to be far away.
    base: usize,
    score: u32,
}

impl Default for Reading {
    fn default() -> Self {
        Self { words: [0; CLASSES], kinds: [0; ROWS], base: 1 << 16, score: 0 }
    }
}

impl Reading {
    /// Reads one text, closely where it may instruct.
    pub(super) fn read(&mut self, text: &[u8]) {
        anchors::around(text, |start, part| {
            for hit in AUTOMATON.find_overlapping_iter(part) {
                if let Some((_, class)) = WORDS.get(hit.pattern().as_usize()) {
                    self.word(*class, self.base + start + hit.end());
                }
            }
        });
    }

    /// True where a text by itself instructs.
    pub(super) fn instructs(text: &[u8]) -> bool {
        let mut reading = Self::default();
        reading.read(text);
        reading.score > 0
    }

    /// Ends a string of so many bytes: what follows stands farther away.
    pub(super) fn end(&mut self, length: usize) {
        self.base += length + 16;
    }

    /// Something was found in the string that is being read.
    pub(super) fn found(&mut self, kind: Kind) {
        self.found_at(kind, self.base);
    }

    fn found_at(&mut self, kind: Kind, at: usize) {
        if let Some(place) = self.kinds.get_mut(kind as usize) {
            *place = at;
        }
        let near = |found: &usize| *found != 0 && at.abs_diff(*found) <= REACH;
        let score = self.kinds.iter().zip(KINDS).filter(|(found, _)| near(found)).map(|(_, (_, adds, _))| adds).sum::<u32>();
        self.score = self.score.max(score.min(100));
    }

    /// True where all of the classes stood within so many bytes of `at`.
    fn near(&self, at: usize, reach: usize, classes: &[Class]) -> bool {
        classes.iter().all(|class| self.words.get(*class as usize).is_some_and(|stood| at.abs_diff(*stood) <= reach))
    }

    fn word(&mut self, class: Class, at: usize) {
        if let Some(place) = self.words.get_mut(class as usize) {
            *place = at;
        }
        match class {
            Class::Ignore | Class::Before | Class::Rules => {
                if self.near(at, 60, &[Class::Ignore, Class::Before, Class::Rules]) {
                    self.found_at(Kind::Override, at);
                }
            }
            Class::Not | Class::Tell | Class::User => {
                let stood = |class: Class| self.words.get(class as usize).copied().unwrap_or_default();
                // `never guess; tell the user` is no secrecy: the two words belong together.
                let together = stood(Class::Not).abs_diff(stood(Class::Tell)) <= 22;
                if together && self.near(at, 45, &[Class::Not, Class::Tell, Class::User]) {
                    self.found_at(Kind::Secrecy, at);
                }
            }
            Class::Silent => self.found_at(Kind::Secrecy, at),
            Class::Tag => self.found_at(Kind::PseudoTag, at),
            Class::Role => self.found_at(Kind::Role, at),
            Class::Order => self.found_at(Kind::Order, at),
            Class::Unasked => self.found_at(Kind::Unasked, at),
            Class::Private | Class::Give => {
                if self.near(at, 100, &[Class::Give, Class::Private]) {
                    self.found_at(Kind::Private, at);
                }
            }
            Class::Place => {
                if self.near(at, 160, &[Class::Give]) {
                    self.found_at(Kind::Outside, at);
                }
            }
            Class::Comment => self.found_at(Kind::HtmlComment, at),
            Class::Style => self.found_at(Kind::CssHidden, at),
        }
    }

    /// What was found: ways of hiding, kinds of instructions, and the score.
    pub(super) fn finish(self) -> super::Text {
        let mut text = super::Text { score: self.score, ..super::Text::default() };
        for ((name, _, hidden), _) in KINDS.iter().zip(self.kinds).filter(|(_, found)| *found != 0) {
            super::name(if *hidden { &mut text.hidden } else { &mut text.instructions }, name);
        }
        text
    }
}
