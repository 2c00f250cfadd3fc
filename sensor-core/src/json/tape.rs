//! The parser: one pass over the text, one node a value.

use super::keys::{FEW, Key};
use super::scan::{Progress, Scanner};
use super::text::{self, Notes};
use super::{BYTE_ORDER_MARK, DETAIL_DEPTH, Kind, MAX_NODES, ParseError, Span, Value, is_space, number};
use crate::event::Marks;
use memchr::memchr2;

/// One value. The children of a container follow it; `next` is what follows its whole subtree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub start: u32,
    pub end: u32,
    pub next: u32,
    pub kind: Kind,
    pub flags: u8,
}

/// Flags of a node.
pub(super) mod flag {
    /// A string in whose text there is a backslash.
    pub const ESCAPES: u8 = 1;
    /// A container without its children.
    pub const FOLDED: u8 = 2;
}

/// An open container.
#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Its node.
    node: u32,
    /// Length of `Tape::keys` when it opened.
    keys: u32,
    kind: Kind,
}

/// A parser and what it found in the text parsed last. Made once, used for every message.
#[derive(Debug, Default)]
pub struct Tape {
    nodes: Vec<Node>,
    frames: Vec<Frame>,
    /// Hashes of the keys of all open objects.
    keys: Vec<u32>,
    sorted: Vec<(u32, u32)>,
    unescaped: Vec<u8>,
    folder: Scanner,
    marks: Marks,
    complete: bool,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    nodes: usize,
    detail: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { nodes: MAX_NODES, detail: DETAIL_DEPTH }
    }
}

impl Tape {
    /// An empty tape. Allocates nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A tape with other limits than [`MAX_NODES`] and [`DETAIL_DEPTH`].
    #[must_use]
    pub fn with_limits(nodes: usize, detail: usize) -> Self {
        Self { limits: Limits { nodes: nodes.clamp(1, MAX_NODES), detail: detail.max(1) }, ..Self::default() }
    }

    /// Parses the one value at the beginning of `text`; white space and byte order marks may stand before it, anything
    /// behind it. A number ends where the text ends.
    ///
    /// # Errors
    /// See [`ParseError`]; [`Self::root`] is `None` then.
    pub fn parse(&mut self, text: &[u8]) -> Result<Span, ParseError> {
        self.parse_noting(text, Notes::default())
    }

    /// Like [`Self::parse`], but takes a line break inside the value for the end of the text.
    pub(crate) fn parse_line(&mut self, text: &[u8]) -> Result<Span, ParseError> {
        self.parse_noting(text, Notes { one_line: true, ..Notes::default() })
    }

    fn parse_noting(&mut self, text: &[u8], mut notes: Notes) -> Result<Span, ParseError> {
        self.forget();
        if u32::try_from(text.len()).is_err() {
            return Err(ParseError::TooManyNodes);
        }
        let mut start = 0;
        loop {
            match text.get(start) {
                Some(&byte) if is_space(byte) => start += 1,
                Some(0xEF) => start = byte_order_mark_end(text, start)?,
                Some(_) => break,
                None => return Err(ParseError::Incomplete),
            }
        }
        let end = self.value(text, start, &mut notes)?;
        if notes.lax {
            self.marks = self.marks.union(Marks::LAX_JSON);
        }
        if notes.high & 0x8080_8080_8080_8080 != 0 {
            let value = text.get(start..end).unwrap_or_default();
            if simdutf8::basic::from_utf8(value).is_err() {
                self.marks = self.marks.union(Marks::INVALID_UTF8);
            }
        }
        self.complete = true;
        Ok(Span { start, end })
    }

    /// The value parsed last; `text` must be the bytes that were parsed. `None` unless the last parse succeeded.
    #[must_use]
    pub fn root<'a>(&'a self, text: &'a [u8]) -> Option<Value<'a>> {
        if self.complete { Value::new(&self.nodes, text, 0) } else { None }
    }

    /// What was odd about the text parsed last: `DUPLICATE_KEY`, `INVALID_UTF8`, `LAX_JSON`. Inside folded containers only
    /// `INVALID_UTF8` is looked for.
    #[must_use]
    pub const fn marks(&self) -> Marks {
        self.marks
    }

    #[cfg(test)]
    pub(super) fn capacities(&self) -> [usize; 5] {
        let Self { nodes, frames, keys, sorted, unescaped, .. } = self;
        [nodes.capacity(), frames.capacity(), keys.capacity(), sorted.capacity(), unescaped.capacity()]
    }

    /// Makes room for the next text, and gives back what only an uncommonly big one needed.
    fn forget(&mut self) {
        const KEEP: usize = 1 << 16;
        let Self { nodes, frames, keys, sorted, unescaped, folder: _, marks, complete, limits: _ } = self;
        nodes.clear();
        frames.clear();
        keys.clear();
        sorted.clear();
        unescaped.clear();
        if nodes.capacity() > KEEP {
            nodes.shrink_to(KEEP);
            keys.shrink_to(KEEP);
            sorted.shrink_to(KEEP);
            unescaped.shrink_to(KEEP);
        }
        *marks = Marks::default();
        *complete = false;
    }

    /// End of the value that begins at `pos`.
    fn value(&mut self, text: &[u8], mut pos: usize, notes: &mut Notes) -> Result<usize, ParseError> {
        // Kind of the innermost open container.
        let mut inside = None;
        'value: loop {
            pos = skip_space(text, pos, notes);
            if self.nodes.len() >= self.limits.nodes {
                pos = self.fold(text, notes)?;
                inside = self.frames.last().map(|frame| frame.kind);
            } else {
                match text.get(pos) {
                    None => return Err(ParseError::Incomplete),
                    Some(b'"') => {
                        let (quote, escapes) = text::end(text, pos + 1, notes)?;
                        self.push(pos, quote + 1, Kind::String, u8::from(escapes) * flag::ESCAPES);
                        pos = quote + 1;
                    }
                    Some(&open @ (b'{' | b'[')) => {
                        let kind = if open == b'{' { Kind::Object } else { Kind::Array };
                        if self.frames.len() >= self.limits.detail {
                            self.push(pos, pos, kind, flag::FOLDED);
                            notes.lax = true;
                            pos = self.skip(text, pos, notes)?;
                            if let Some(node) = self.nodes.last_mut() {
                                node.end = pos as u32;
                            }
                        } else {
                            self.open(pos, kind);
                            inside = Some(kind);
                            pos = skip_space(text, pos + 1, notes);
                            match (kind, text.get(pos)) {
                                (_, None) => return Err(ParseError::Incomplete),
                                (Kind::Object, Some(b'}')) | (Kind::Array, Some(b']')) => {
                                    pos += 1;
                                    inside = self.close(text, pos);
                                }
                                (Kind::Object, _) => {
                                    pos = self.key(text, pos, notes)?;
                                    continue 'value;
                                }
                                (_, _) => continue 'value,
                            }
                        }
                    }
                    Some(b't') => pos = self.literal(text, pos, b"true", Kind::True)?,
                    Some(b'f') => pos = self.literal(text, pos, b"false", Kind::False)?,
                    Some(b'n') => pos = self.literal(text, pos, b"null", Kind::Null)?,
                    Some(b'-' | b'0'..=b'9') => {
                        let end = number::end(text, pos)?;
                        notes.lax |= number::overflows(text.get(pos..end).unwrap_or_default());
                        self.push(pos, end, Kind::Number, 0);
                        pos = end;
                    }
                    Some(_) => return Err(ParseError::Invalid { at: pos }),
                }
            }
            // Behind a value: close what closes, until there is another one.
            loop {
                let Some(kind) = inside else { return Ok(pos) };
                pos = skip_space(text, pos, notes);
                match (kind, text.get(pos)) {
                    (_, None) => return Err(ParseError::Incomplete),
                    (Kind::Object, Some(b',')) => {
                        pos = skip_space(text, pos + 1, notes);
                        pos = self.key(text, pos, notes)?;
                        continue 'value;
                    }
                    (Kind::Array, Some(b',')) => {
                        pos += 1;
                        continue 'value;
                    }
                    (Kind::Object, Some(b'}')) | (Kind::Array, Some(b']')) => {
                        pos += 1;
                        inside = self.close(text, pos);
                    }
                    (_, Some(_)) => return Err(ParseError::Invalid { at: pos }),
                }
            }
        }
    }

    /// A key at `pos` and its colon. Returns the position behind the colon.
    #[inline]
    fn key(&mut self, text: &[u8], pos: usize, notes: &mut Notes) -> Result<usize, ParseError> {
        match text.get(pos) {
            None => return Err(ParseError::Incomplete),
            Some(b'"') => {}
            Some(_) => return Err(ParseError::Invalid { at: pos }),
        }
        let (quote, escapes) = text::end(text, pos + 1, notes)?;
        self.note_key(text, Key { content: text.get(pos + 1..quote).unwrap_or_default(), escapes });
        self.push(pos, quote + 1, Kind::String, u8::from(escapes) * flag::ESCAPES);
        let pos = skip_space(text, quote + 1, notes);
        match text.get(pos) {
            None => Err(ParseError::Incomplete),
            Some(b':') => Ok(pos + 1),
            Some(_) => Err(ParseError::Invalid { at: pos }),
        }
    }

    /// Looks for an earlier key that says the same; of many keys only remembers this one, for [`Self::close`].
    #[inline]
    fn note_key(&mut self, text: &[u8], key: Key<'_>) {
        if self.marks.contains(Marks::DUPLICATE_KEY) {
            return;
        }
        let Some(&Frame { node, keys, .. }) = self.frames.last() else { return };
        let hash = key.hash(&mut self.unescaped);
        let earlier = self.keys.get(keys as usize..).unwrap_or_default();
        if earlier.len() < FEW && earlier.contains(&hash) && self.keys_of(text, node).any(|(_, other)| other.compare(key).is_eq()) {
            self.marks = self.marks.union(Marks::DUPLICATE_KEY);
        }
        self.keys.push(hash);
    }

    /// Keys of the object at `node` (open or closed) with their nodes.
    fn keys_of<'a>(&'a self, text: &'a [u8], node: u32) -> impl Iterator<Item = (u32, Key<'a>)> {
        let mut index = node + 1;
        std::iter::from_fn(move || {
            let &Node { start, end, next, flags, .. } = self.nodes.get(index as usize)?;
            let content = text.get(start as usize + 1..(end as usize).saturating_sub(1))?;
            let found = (index, Key { content, escapes: flags & flag::ESCAPES != 0 });
            // Over the value, to the next key.
            index = self.nodes.get(next as usize).map_or(u32::MAX, |value| value.next);
            Some(found)
        })
    }

    /// Duplicates among the many keys of the object at `node`, whose hashes are the last ones remembered.
    #[cold]
    fn search_many(&mut self, text: &[u8], node: u32, hashes: usize) {
        let mut sorted = std::mem::take(&mut self.sorted);
        sorted.clear();
        let remembered = self.keys.get(hashes..).unwrap_or_default();
        sorted.extend(remembered.iter().zip(self.keys_of(text, node)).map(|(&hash, (index, _))| (hash, index)));
        let key = |index: u32| {
            let node = self.nodes.get(index as usize);
            let content = node.and_then(|node| text.get(node.start as usize + 1..(node.end as usize).saturating_sub(1)));
            Key { content: content.unwrap_or_default(), escapes: node.is_some_and(|node| node.flags & flag::ESCAPES != 0) }
        };
        let compare = |one: &(u32, u32), other: &(u32, u32)| one.0.cmp(&other.0).then_with(|| key(one.1).compare(key(other.1)));
        sorted.sort_unstable_by(compare);
        let found = sorted.windows(2).any(|pair| matches!(pair, [one, other] if compare(one, other).is_eq()));
        self.sorted = sorted;
        if found {
            self.marks = self.marks.union(Marks::DUPLICATE_KEY);
        }
    }

    #[inline]
    fn push(&mut self, start: usize, end: usize, kind: Kind, flags: u8) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { start: start as u32, end: end as u32, next, kind, flags });
    }

    fn open(&mut self, pos: usize, kind: Kind) {
        self.frames.push(Frame { node: self.nodes.len() as u32, keys: self.keys.len() as u32, kind });
        self.push(pos, pos, kind, 0);
    }

    /// Closes the innermost container, which ends at `end`. Returns the kind of the one around it.
    fn close(&mut self, text: &[u8], end: usize) -> Option<Kind> {
        let Frame { node, keys, kind } = self.frames.pop()?;
        let next = self.nodes.len() as u32;
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.end = end as u32;
            node.next = next;
        }
        if kind == Kind::Object {
            let keys = keys as usize;
            if self.keys.len() - keys > FEW && !self.marks.contains(Marks::DUPLICATE_KEY) {
                self.search_many(text, node, keys);
            }
            self.keys.truncate(keys);
        }
        self.frames.last().map(|frame| frame.kind)
    }

    fn literal(&mut self, text: &[u8], pos: usize, literal: &[u8], kind: Kind) -> Result<usize, ParseError> {
        for (at, expected) in (pos..).zip(literal) {
            match text.get(at) {
                None => return Err(ParseError::Incomplete),
                Some(byte) if byte == expected => {}
                Some(_) => return Err(ParseError::Invalid { at }),
            }
        }
        let end = pos + literal.len();
        self.push(pos, end, kind, 0);
        Ok(end)
    }

    /// End of the container that begins at `pos` inside the open ones, without nodes for what is in it.
    fn skip(&mut self, text: &[u8], pos: usize, notes: &mut Notes) -> Result<usize, ParseError> {
        self.folder.reset_within(self.frames.len());
        let mut rest = text.get(pos..).unwrap_or_default();
        if notes.one_line
            && let Some(end) = memchr2(b'\n', b'\r', rest)
        {
            rest = rest.get(..end).unwrap_or_default();
        }
        let (used, progress) = self.folder.feed(rest);
        self.folder.release();
        match progress {
            Progress::Done => {
                notes.high = u64::MAX;
                Ok(pos + used)
            }
            Progress::More => Err(ParseError::Incomplete),
            Progress::Invalid => Err(ParseError::Invalid { at: pos + used }),
            Progress::TooDeep => Err(ParseError::TooDeep),
        }
    }

    /// The tape is full: folds the deepest of the outer open containers that frees a fair part of it. Returns its end.
    ///
    /// Each fold frees an eighth at least, and no text is folded twice: the time stays linear.
    #[cold]
    fn fold(&mut self, text: &[u8], notes: &mut Notes) -> Result<usize, ParseError> {
        let worth = |frame: &Frame| self.nodes.len() - frame.node as usize > self.limits.nodes / 8;
        let level = (1..=4).rev().find(|&level| self.frames.get(level).is_some_and(worth));
        let Some((level, &Frame { node, keys, .. })) = level.and_then(|level| Some((level, self.frames.get(level)?))) else {
            return Err(ParseError::TooManyNodes);
        };
        self.frames.truncate(level);
        self.keys.truncate(keys as usize);
        self.nodes.truncate(node as usize + 1);
        let start = self.nodes.last().map_or(0, |node| node.start as usize);
        let end = self.skip(text, start, notes)?;
        if let Some(folded) = self.nodes.last_mut() {
            folded.end = end as u32;
            folded.next = node + 1;
            folded.flags |= flag::FOLDED;
        }
        Ok(end)
    }
}

/// Position behind white space. Where the value must be on one line, that of the text's end if there is a line break.
#[inline]
fn skip_space(text: &[u8], pos: usize, notes: &Notes) -> usize {
    match text.get(pos) {
        Some(&byte) if byte <= b' ' => skip_more_space(text, pos, notes.one_line),
        _ => pos,
    }
}

#[inline(never)]
fn skip_more_space(text: &[u8], mut pos: usize, one_line: bool) -> usize {
    while let Some(&byte) = text.get(pos) {
        if !is_space(byte) {
            break;
        }
        if one_line && matches!(byte, b'\n' | b'\r') {
            return text.len();
        }
        pos += 1;
    }
    pos
}

/// End of the byte order mark that seems to begin at `pos`.
fn byte_order_mark_end(text: &[u8], pos: usize) -> Result<usize, ParseError> {
    for (at, expected) in (pos..).zip(BYTE_ORDER_MARK) {
        match text.get(at) {
            None => return Err(ParseError::Incomplete),
            Some(byte) if byte == expected => {}
            Some(_) => return Err(ParseError::Invalid { at }),
        }
    }
    Ok(pos + BYTE_ORDER_MARK.len())
}
