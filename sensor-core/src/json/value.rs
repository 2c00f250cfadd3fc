//! Views of parsed values.

use super::keys::Key;
use super::tape::{Node, flag};
use super::{Kind, Span, number, text};
use std::borrow::Cow;

/// One value of a parsed text.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    nodes: &'a [Node],
    text: &'a [u8],
    index: u32,
    node: Node,
}

impl<'a> Value<'a> {
    pub(super) fn new(nodes: &'a [Node], text: &'a [u8], index: u32) -> Option<Self> {
        nodes.get(index as usize).map(|&node| Self { nodes, text, index, node })
    }

    /// What it is.
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.node.kind
    }

    /// Its exact bytes.
    #[must_use]
    pub fn raw(self) -> &'a [u8] {
        let Span { start, end } = self.span();
        self.text.get(start..end).unwrap_or_default()
    }

    /// Where it stands in the parsed text.
    #[must_use]
    pub const fn span(self) -> Span {
        Span { start: self.node.start as usize, end: self.node.end as usize }
    }

    /// True for a container whose children were not kept (see the module): checked, but not looked into.
    #[must_use]
    pub const fn is_folded(self) -> bool {
        self.node.flags & flag::FOLDED != 0
    }

    /// What an object has under a key. Keys are compared by what they say; of duplicates the last one counts.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Self> {
        self.entries().filter(|(name, _)| name.is_str(key)).last().map(|(_, value)| value)
    }

    /// Keys (strings) and values of an object in document order, duplicates included. Nothing for any other value.
    #[must_use]
    pub fn entries(self) -> Entries<'a> {
        Entries(self.children(Kind::Object))
    }

    /// Elements of an array. Nothing for any other value.
    #[must_use]
    pub fn elements(self) -> Elements<'a> {
        Elements(self.children(Kind::Array))
    }

    fn children(self, kind: Kind) -> Children<'a> {
        let end = if self.node.kind == kind { self.node.next } else { 0 };
        Children { nodes: self.nodes, text: self.text, index: self.index + 1, end }
    }

    /// What a string says, unescaped, with U+FFFD for what is no UTF-8 and for lone surrogates.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        (self.node.kind == Kind::String).then(|| text::unescape(self.content(), self.has_escapes()))
    }

    /// True for a string that says `other`. No allocation, whatever the escapes (but where invalid UTF-8 is to equal U+FFFD).
    #[must_use]
    pub fn is_str(self, other: &str) -> bool {
        if self.node.kind != Kind::String {
            return false;
        }
        let content = self.content();
        if !self.has_escapes() && content == other.as_bytes() {
            return true;
        }
        if other.contains(char::REPLACEMENT_CHARACTER) {
            return text::unescape(content, self.has_escapes()) == other;
        }
        let other = Key { content: other.as_bytes(), escapes: false };
        self.has_escapes() && text::Said::new(content).eq(other.content.iter().copied())
    }

    /// True for a string in whose text there is a backslash.
    #[must_use]
    pub const fn has_escapes(self) -> bool {
        self.node.flags & flag::ESCAPES != 0
    }

    /// A number that is an integer, however it is written: `7`, `7.0` and `70e-1` all are 7. `None` beyond 64 bits.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        if self.node.kind == Kind::Number { number::as_i64(self.raw()) } else { None }
    }

    /// `true` or `false`.
    #[must_use]
    pub const fn as_bool(self) -> Option<bool> {
        match self.node.kind {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }

    /// Text between the quotes of a string.
    fn content(self) -> &'a [u8] {
        let Span { start, end } = self.span();
        self.text.get(start + 1..end.saturating_sub(1)).unwrap_or_default()
    }
}

#[derive(Clone, Debug)]
struct Children<'a> {
    nodes: &'a [Node],
    text: &'a [u8],
    index: u32,
    end: u32,
}

impl<'a> Children<'a> {
    fn next(&mut self) -> Option<Value<'a>> {
        if self.index >= self.end {
            return None;
        }
        let value = Value::new(self.nodes, self.text, self.index)?;
        self.index = value.node.next;
        Some(value)
    }
}

/// See [`Value::entries`].
#[derive(Clone, Debug)]
pub struct Entries<'a>(Children<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = (Value<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.next()?, self.0.next()?))
    }
}

/// See [`Value::elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a>(Children<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
