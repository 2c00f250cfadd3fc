//! Goes through a value and writes it as JSON: secrets as markers, and no more than fits.
//!
//! How room is kept: every container that is open needs one byte to be closed, and nothing is written that leaves less.
//! What does not fit in one piece is taken back, and the container goes on with what comes next, so that a small `id`
//! behind a big `result` is still shown.

use super::names::{self, LONGEST, Secret};
use super::unescape::unescape;
use super::{Buffers, DEPTH, Level, Redacted, assignment, find};
use crate::json::{Kind, Value};
use crate::redact::scan::Hit;

pub(super) const MARKER: &str = "[redacted:";

/// Room for `[cut:…]` with the longest number, and some.
const CUT: usize = 28;

/// How far behind the end of what is shown a secret is recognised that begins before it.
const AHEAD: usize = 4096;

/// Members or elements that may be taken back in one value, so that trying costs no more than the value.
const ATTEMPTS: u32 = 64;

/// Words of a JSON schema that tell of a value without being one.
const SCHEMA_WORDS: &[&str] = &[
    "type", "title", "description", "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "writeOnly",
    "readOnly", "deprecated", "$ref", "required", "additionalProperties",
];

/// Words of a JSON schema under which there are schemas.
const SCHEMA_PARTS: &[&str] = &["anyOf", "oneOf", "allOf", "items", "not"];

/// What is known of a value from where it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// Nothing.
    Anywhere,
    /// It is the value of `properties`: its members may be schemas.
    Properties,
    /// It stands under a secret name. The kind, for the marker.
    Secret(&'static str),
    /// It is, or is part of, the schema of something with a secret name.
    Schema(&'static str),
}

/// Appends `value`. See [`super::Redactor::value`].
pub(super) fn write(value: Value<'_>, level: Level, limit: usize, buffers: &mut Buffers, out: &mut String) -> Redacted {
    let start = out.len();
    let scarce = value.raw().len() > limit;
    // No text is as long as that, and sums of lengths cannot overflow.
    let end = start + limit.min(usize::MAX / 4);
    let mut writer = Writer { buffers, level, out, end, open: 0, scarce, attempts: 0, redacted: Redacted::default() };
    if !writer.value(value, Place::Anywhere) {
        writer.out.truncate(start);
        writer.redacted = Redacted { truncated: true, replaced: 0 };
    }
    writer.redacted
}

struct Writer<'a> {
    buffers: &'a mut Buffers,
    level: Level,
    out: &'a mut String,
    /// Length that the output may have.
    end: usize,
    /// Containers that have to be closed.
    open: usize,
    /// It is known from the beginning that not everything fits.
    scarce: bool,
    attempts: u32,
    redacted: Redacted,
}

impl Writer<'_> {
    fn room(&self) -> usize {
        self.end.saturating_sub(self.out.len() + self.open)
    }

    /// Writes `text` if it fits.
    fn fixed(&mut self, text: &str) -> bool {
        let fits = text.len() <= self.room();
        if fits {
            self.out.push_str(text);
        }
        fits
    }

    /// False where it did not fit; the output then has to be taken back to where it was.
    fn value(&mut self, value: Value<'_>, place: Place) -> bool {
        match value.kind() {
            Kind::Null => self.fixed("null"),
            Kind::False => self.fixed("false"),
            Kind::True => self.fixed("true"),
            Kind::Number => self.number(value.raw(), place),
            Kind::String => {
                let raw = value.raw();
                self.string(raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default(), place)
            }
            Kind::Array | Kind::Object if value.is_folded() || self.open >= DEPTH => self.unseen(value.raw(), place),
            Kind::Array => self.array(value, place),
            Kind::Object => self.object(value, place),
        }
    }

    fn number(&mut self, raw: &[u8], place: Place) -> bool {
        if let Some(kind) = self.secret(place) {
            return self.marker_string(kind, raw.len());
        }
        // The tape takes nothing for a number that is not ASCII.
        let Ok(text) = std::str::from_utf8(raw) else { return false };
        let plain = raw.len() < 300 && !raw.iter().any(|byte| matches!(byte, b'e' | b'E'));
        if plain || text.parse().is_ok_and(f64::is_finite) {
            return self.fixed(text) || self.text(text, text.len(), text.len(), &[]);
        }
        self.text(text, text.len(), text.len(), &[])
    }

    /// The kind, where everything at this place is secret.
    fn secret(&self, place: Place) -> Option<&'static str> {
        match place {
            Place::Secret(kind) | Place::Schema(kind) if self.level != Level::Full => Some(kind),
            _ => None,
        }
    }

    /// A container that was not looked into: too deep, or too big for the tape.
    fn unseen(&mut self, raw: &[u8], place: Place) -> bool {
        if self.level != Level::Full {
            let kind = self.secret(place).unwrap_or("nested");
            return self.marker_string(kind, raw.len());
        }
        let shown = raw.get(..raw.len().min(self.room())).unwrap_or_default();
        let text = String::from_utf8_lossy(shown);
        self.text(&text, text.len(), raw.len(), &[])
    }

    fn array(&mut self, array: Value<'_>, place: Place) -> bool {
        if !self.enter('[') {
            return false;
        }
        let mut first = true;
        for element in array.elements() {
            if !self.member(&mut first, |this| this.value(element, place)) {
                break;
            }
        }
        self.leave(']');
        true
    }

    fn object(&mut self, object: Value<'_>, place: Place) -> bool {
        if !self.enter('{') {
            return false;
        }
        let named = self.named_secret(object);
        let mut first = true;
        for (key, value) in object.entries() {
            let go_on = self.member(&mut first, |this| {
                let place = this.place_of(place, key, value, named);
                let raw = key.raw();
                this.string(raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default(), Place::Anywhere)
                    && this.fixed(":")
                    && this.value(value, place)
            });
            if !go_on {
                break;
            }
        }
        self.leave('}');
        true
    }

    fn enter(&mut self, bracket: char) -> bool {
        let fits = self.room() >= 2;
        if fits {
            self.out.push(bracket);
            self.open += 1;
        }
        fits
    }

    fn leave(&mut self, bracket: char) {
        self.open -= 1;
        self.out.push(bracket);
    }

    /// Writes a member or element with `write`, or nothing. False where there is no sense in going on.
    fn member(&mut self, first: &mut bool, write: impl FnOnce(&mut Self) -> bool) -> bool {
        let (length, open, redacted) = (self.out.len(), self.open, self.redacted);
        let comma = *first || self.fixed(",");
        if comma && write(self) {
            *first = false;
            return true;
        }
        self.out.truncate(length);
        self.open = open;
        self.redacted = Redacted { truncated: true, ..redacted };
        self.attempts += 1;
        self.attempts < ATTEMPTS && self.room() > 2
    }

    /// Where the value of a member stands.
    fn place_of(&mut self, place: Place, key: Value<'_>, value: Value<'_>, named: Option<Secret>) -> Place {
        if self.level == Level::Full {
            return Place::Anywhere;
        }
        match place {
            Place::Secret(_) => return place,
            Place::Schema(kind) => {
                let container = matches!(value.kind(), Kind::Array | Kind::Object);
                return if SCHEMA_PARTS.iter().any(|word| key.is_str(word)) {
                    place
                } else if SCHEMA_WORDS.iter().any(|word| key.is_str(word)) && !container {
                    Place::Anywhere
                } else {
                    Place::Secret(kind)
                };
            }
            Place::Anywhere | Place::Properties => {}
        }
        if let Some(secret) = self.secret_name(key).filter(|secret| self.applies(*secret, value)) {
            return if place == Place::Properties && value.kind() == Kind::Object {
                Place::Schema(secret.kind)
            } else {
                Place::Secret(secret.kind)
            };
        }
        match named {
            Some(secret) if key.is_str("value") || key.is_str("values") => Place::Secret(secret.kind),
            _ if key.is_str("properties") => Place::Properties,
            _ => Place::Anywhere,
        }
    }

    /// What a string means as a name.
    fn secret_name(&mut self, name: Value<'_>) -> Option<Secret> {
        let raw = name.raw();
        let content = raw.get(1..raw.len().saturating_sub(1))?;
        if !name.has_escapes() {
            return names::secret(content);
        }
        // Every character can be written with six, or twelve beyond the first plane.
        if content.len() > 12 * LONGEST {
            return None;
        }
        let Buffers { said, .. } = &mut *self.buffers;
        said.clear();
        unescape(content, said);
        names::secret(said)
    }

    fn applies(&mut self, secret: Secret, value: Value<'_>) -> bool {
        match value.kind() {
            Kind::String if secret.doubtful => value.as_str().is_none_or(|text| secret.may_be(text.as_bytes())),
            Kind::Number => secret.may_be(value.raw()),
            _ => true,
        }
    }

    /// The meaning of the name in `{"name": "DB_PASSWORD", "value": …}`.
    fn named_secret(&mut self, object: Value<'_>) -> Option<Secret> {
        if self.level == Level::Full {
            return None;
        }
        let names = ["name", "key", "header", "variable"];
        let mut entries = object.entries();
        entries.find_map(|(key, value)| {
            let names = value.kind() == Kind::String && names.iter().any(|word| key.is_str(word));
            if names { self.secret_name(value) } else { None }
        })
    }

    /// Writes the string with this content.
    fn string(&mut self, content: &[u8], place: Place) -> bool {
        let mut buffers = std::mem::take(self.buffers);
        let fits = self.string_with(content, place, &mut buffers);
        *self.buffers = buffers;
        fits
    }

    fn string_with(&mut self, content: &[u8], place: Place, buffers: &mut Buffers) -> bool {
        let Buffers { said, valid, deeper, deepest, hits } = buffers;
        if let Some(kind) = self.secret(place) {
            let text = say(content, said, valid);
            if text.is_empty() || (assignment::is_marker(text.as_bytes()) && text.find(']') == Some(text.len() - 1)) {
                return self.text(text, text.len(), text.len(), &[]);
            }
            return self.marker_string(kind, text.len());
        }
        // What cannot be shown is not looked at, but for what is needed to recognise a secret that begins before it.
        let window = self.room().saturating_add(AHEAD);
        let plain = content.get(..window).is_none_or(|seen| memchr::memchr(b'\\', seen).is_none());
        let window = if plain { window } else { window.saturating_mul(6) };
        let seen = content.get(..window).unwrap_or(content);
        let text = say(seen, said, valid);
        let unseen = content.len() - seen.len();
        if self.level == Level::Full {
            hits.clear();
        } else {
            find(text, hits, deeper, deepest);
        }
        let showable = if unseen == 0 { text.len() } else { text.len().saturating_sub(AHEAD) };
        self.text(text, showable, text.len() + unseen, hits)
    }

    fn marker_string(&mut self, kind: &str, length: usize) -> bool {
        let hit = Hit { start: 0, end: length, kind: "" };
        let mut digits = Digits::default();
        let fits = self.room() >= 2 + marker_length(kind, hit, &mut digits);
        if fits {
            self.out.push('"');
            push_marker(self.out, kind, length, &mut digits);
            self.out.push('"');
            self.redacted.replaced += 1;
        }
        fits
    }

    /// Writes a string that says `text` with `hits` replaced, shortened where it must be. Of `text`, what stands behind
    /// `showable` is not shown; `length` bytes are told as the whole length.
    fn text(&mut self, text: &str, showable: usize, length: usize, hits: &[Hit]) -> bool {
        let room = self.room();
        let share = if self.scarce { (room / 2).max(room.min(256)) } else { room };
        if share < 2 {
            return false;
        }
        self.out.push('"');
        let hard = self.out.len() + share - 2;
        let mut string = Shortened { soft: hard.saturating_sub(CUT), hard, safe: None, out: self.out, digits: Digits::default() };
        let complete = string.run(text, showable, hits) && showable >= text.len() && text.len() >= length;
        if !complete {
            let Some((written, read)) = string.safe else { return false };
            self.out.truncate(written);
            self.out.push_str("[cut:");
            self.out.push_str(Digits::default().of(length.saturating_sub(read)));
            self.out.push(']');
            self.redacted.truncated = true;
            let shown = hits.iter().filter(|hit| hit.end <= read).count();
            self.redacted.replaced += u32::try_from(shown).unwrap_or(u32::MAX);
        } else {
            self.redacted.replaced += u32::try_from(hits.len()).unwrap_or(u32::MAX);
        }
        self.out.push('"');
        true
    }
}

/// What a content says, as text: itself where possible, else in one of the buffers.
fn say<'b>(content: &'b [u8], said: &'b mut Vec<u8>, valid: &'b mut String) -> &'b str {
    let bytes = if memchr::memchr(b'\\', content).is_some() {
        said.clear();
        unescape(content, said);
        said.as_slice()
    } else {
        content
    };
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => {
            valid.clear();
            for chunk in bytes.utf8_chunks() {
                valid.push_str(chunk.valid());
                if !chunk.invalid().is_empty() {
                    valid.push(char::REPLACEMENT_CHARACTER);
                }
            }
            valid
        }
    }
}

/// The inside of a string under way.
struct Shortened<'o> {
    out: &'o mut String,
    /// Up to here, there is room for `[cut:…]`.
    soft: usize,
    /// Up to here it may grow.
    hard: usize,
    /// Where it can be cut last: bytes written, and bytes of the text that are in them.
    safe: Option<(usize, usize)>,
    digits: Digits,
}

impl Shortened<'_> {
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
struct Digits([u8; 20]);

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

fn marker_length(kind: &str, hit: Hit, digits: &mut Digits) -> usize {
    MARKER.len() + kind.len() + 2 + digits.of(hit.end - hit.start).len()
}

fn push_marker(out: &mut String, kind: &str, length: usize, digits: &mut Digits) {
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
