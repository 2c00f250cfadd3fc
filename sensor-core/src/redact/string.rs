//! Writes one string of JSON: with markers for its secrets, the escapes that JSON asks for, and shortened to the room there
//! is.

use super::scan::Hit;

/// What a marker begins with.
pub(super) const MARKER: &str = "[redacted:";

/// Room for `[cut:…]` with the longest number, and some.
const CUT: usize = 28;

/// The inside of a string under way.
pub(super) struct Shortened<'o> {
    pub(super) out: &'o mut String,
    /// Up to here, there is room for `[cut:…]`.
    soft: usize,
    /// Up to here it may grow.
    hard: usize,
    /// Where it can be cut last: bytes written, and bytes of the text that are in them.
    safe: Option<(usize, usize)>,
    digits: Digits,
}

/// What became of a string.
pub(super) enum Written {
    /// It does not even fit shortened.
    Nothing,
    /// So many bytes of its text are in it, and how many are missing is told.
    Shortened(usize),
    /// All of it.
    Whole,
}

impl<'o> Shortened<'o> {
    /// Writes a string, quotes included, in at most `share` bytes: it says `text` with `hits` replaced. Of `text`, what
    /// stands behind `showable` is not shown; `length` bytes are told as the whole length.
    pub(super) fn write(out: &'o mut String, share: usize, text: &str, showable: usize, length: usize, hits: &[Hit]) -> Written {
        if share < 2 {
            return Written::Nothing;
        }
        out.push('"');
        let hard = out.len() + share - 2;
        let mut this = Self { out, soft: hard.saturating_sub(CUT), hard, safe: None, digits: Digits::default() };
        let whole = this.run(text, showable, hits) && showable >= text.len() && text.len() >= length;
        let Self { out, safe, mut digits, .. } = this;
        let written = match safe {
            _ if whole => Written::Whole,
            None => return Written::Nothing,
            Some((written, read)) => {
                out.truncate(written);
                out.push_str("[cut:");
                out.push_str(digits.of(length.saturating_sub(read)));
                out.push(']');
                Written::Shortened(read)
            }
        };
        out.push('"');
        written
    }

    /// Writes as much as fits. False where that is not all of what is to be shown.
    fn run(&mut self, text: &str, showable: usize, hits: &[Hit]) -> bool {
        self.note(0);
        let mut at = 0;
        for hit in hits {
            if hit.start >= showable {
                break;
            }
            if !self.copy(text, at, hit.start) {
                return false;
            }
            let length = hit.end - hit.start;
            if self.out.len() + marker_length(hit.kind, *hit, &mut self.digits) > self.hard {
                return false;
            }
            push_marker(self.out, hit.kind, length, &mut self.digits);
            at = hit.end;
            self.note(at);
        }
        self.copy(text, at, showable)
    }

    /// Remembers this point as one where the string can be cut.
    fn note(&mut self, read: usize) {
        if self.out.len() <= self.soft {
            self.safe = Some((self.out.len(), read));
        }
    }

    /// Copies a part of the text with the escapes that JSON asks for.
    fn copy(&mut self, text: &str, start: usize, end: usize) -> bool {
        let mut at = start;
        let end = floor(text, end);
        while let Some(rest) = text.get(at..end).filter(|rest| !rest.is_empty()) {
            let plain = plain_length(rest.as_bytes());
            if let Some(run) = rest.get(..plain).filter(|run| !run.is_empty()) {
                if self.out.len() + run.len() <= self.hard {
                    self.note_inside(run, at);
                    self.out.push_str(run);
                    at += run.len();
                    self.note(at);
                } else {
                    self.note_inside(run, at);
                    return false;
                }
                continue;
            }
            let escape = Escape::of(rest.as_bytes().first().copied().unwrap_or_default());
            if self.out.len() + escape.text().len() > self.hard {
                return false;
            }
            self.out.push_str(escape.text());
            at += 1;
            self.note(at);
        }
        true
    }

    /// Remembers the last point inside of a run where the string can be cut, and writes up to it if the run does not fit.
    fn note_inside(&mut self, run: &str, at: usize) {
        let room = self.soft.saturating_sub(self.out.len());
        if room >= run.len() || self.out.len() > self.soft {
            return;
        }
        let part = floor(run, room);
        self.safe = Some((self.out.len() + part, at + part));
        if self.out.len() + run.len() > self.hard {
            self.out.push_str(run.get(..part).unwrap_or_default());
        }
    }
}

/// The last boundary of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    if at >= text.len() { text.len() } else { text.floor_char_boundary(at) }
}

/// Bytes before the first that needs an escape.
fn plain_length(bytes: &[u8]) -> usize {
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let (blocks, tail) = bytes.as_chunks::<16>();
    for (index, block) in blocks.iter().enumerate() {
        if block.iter().fold(false, |any, byte| any | special(byte)) {
            return index * 16 + block.iter().position(special).unwrap_or_default();
        }
    }
    let before = blocks.len() * 16;
    before + tail.iter().position(special).unwrap_or(tail.len())
}

/// One escape: six bytes at most.
struct Escape([u8; 6], usize);

impl Escape {
    fn of(byte: u8) -> Self {
        let short = |letter| Self([b'\\', letter, 0, 0, 0, 0], 2);
        match byte {
            b'"' | b'\\' => short(byte),
            b'\n' => short(b'n'),
            b'\r' => short(b'r'),
            b'\t' => short(b't'),
            _ => {
                let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
                Self([b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)], 6)
            }
        }
    }

    fn text(&self) -> &str {
        self.0.get(..self.1).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// Decimal digits of a number.
#[derive(Default)]
pub(super) struct Digits([u8; 20]);

impl Digits {
    fn of(&mut self, mut number: usize) -> &str {
        let mut at = self.0.len();
        for place in self.0.iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
            at -= 1;
            if number == 0 {
                break;
            }
        }
        self.0.get(at..).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

pub(super) fn marker_length(kind: &str, hit: Hit, digits: &mut Digits) -> usize {
    MARKER.len() + kind.len() + 2 + digits.of(hit.end - hit.start).len()
}

pub(super) fn push_marker(out: &mut String, kind: &str, length: usize, digits: &mut Digits) {
    out.push_str(MARKER);
    out.push_str(kind);
    out.push(':');
    out.push_str(digits.of(length));
    out.push(']');
}

/// `text` with markers in place of `hits`.
pub(super) fn replace(text: &str, hits: &[Hit]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for hit in hits {
        out.push_str(text.get(at..hit.start).unwrap_or_default());
        push_marker(&mut out, hit.kind, hit.end - hit.start, &mut Digits::default());
        at = hit.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}
