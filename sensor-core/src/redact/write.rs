//! Goes through a value and writes it as JSON: secrets as markers, and no more than fits.
//!
//! How room is kept: every container that is open needs one byte to be closed, and nothing is written that leaves less.
//! What does not fit in one piece is taken back, and the container goes on with what comes next, so that a small `id`
//! behind a big `result` is still shown.

use super::names::{self, LONGEST, Secret};
use super::scan::Hit;
use super::string::{Digits, Shortened, Written, marker_length, push_marker};
use super::unescape::unescape;
use super::{Buffers, DEPTH, Level, Redacted, assignment, find};
use crate::json::{Kind, Value};

/// How far behind the end of what is shown a secret is recognised that begins before it.
const AHEAD: usize = 4096;

/// Members or elements that may be taken back in one value, so that trying costs no more than the value.
const ATTEMPTS: u32 = 64;

/// Words of a JSON schema that tell of a value without being one.
const SCHEMA_WORDS: &[&str] = &[
    "type",
    "title",
    "description",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "writeOnly",
    "readOnly",
    "deprecated",
    "$ref",
    "required",
    "additionalProperties",
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
            Kind::String => self.string(value, place),
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
                this.string(key, Place::Anywhere) && this.fixed(":") && this.value(value, place)
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
        let content = content(name);
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
    fn string(&mut self, string: Value<'_>, place: Place) -> bool {
        let mut buffers = std::mem::take(self.buffers);
        let fits = self.string_with(string, place, &mut buffers);
        *self.buffers = buffers;
        fits
    }

    fn string_with(&mut self, string: Value<'_>, place: Place, buffers: &mut Buffers) -> bool {
        let (content, escapes) = (content(string), string.has_escapes());
        let Buffers { said, valid, deeper, deepest, hits } = buffers;
        if let Some(kind) = self.secret(place) {
            let text = say(content, escapes, said, valid);
            if text.is_empty() || (assignment::is_marker(text.as_bytes()) && text.find(']') == Some(text.len() - 1)) {
                return self.text(text, text.len(), text.len(), &[]);
            }
            return self.marker_string(kind, text.len());
        }
        // What cannot be shown is not looked at, but for what is needed to recognise a secret that begins before it.
        let window = self.room().saturating_add(AHEAD);
        let window = if escapes { window.saturating_mul(6) } else { window };
        let seen = content.get(..window).unwrap_or(content);
        let text = say(seen, escapes, said, valid);
        let unseen = content.len() - seen.len();
        if self.level == Level::Full {
            hits.clear();
        } else {
            find(text, escapes, hits, deeper, deepest);
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
        let shown = match Shortened::write(self.out, share, text, showable, length, hits) {
            Written::Nothing => return false,
            Written::Whole => hits.len(),
            Written::Shortened(read) => {
                self.redacted.truncated = true;
                hits.iter().filter(|hit| hit.end <= read).count()
            }
        };
        self.redacted.replaced += u32::try_from(shown).unwrap_or(u32::MAX);
        true
    }
}

/// What stands between the quotes of a string.
fn content(string: Value<'_>) -> &[u8] {
    let raw = string.raw();
    raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default()
}

/// What a content says, as text: itself where possible, else in one of the buffers.
fn say<'b>(content: &'b [u8], escapes: bool, said: &'b mut Vec<u8>, valid: &'b mut String) -> &'b str {
    let bytes = if escapes {
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
