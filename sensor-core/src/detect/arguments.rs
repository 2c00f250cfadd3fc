//! Walks the arguments of a call.

use super::bytes::{self, Seen};
use super::{Arguments, address, decode, paths, shell};
use crate::json::{Kind, Value};
use std::borrow::Cow;

/// What the key says of a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// The name of a file or a folder.
    Path,
    /// Text for people, or code for a machine: nothing that names something.
    Text,
    /// Anything else.
    Other,
}

/// The longest last word of a key that matters.
const WORD: usize = 16;

impl Role {
    /// The role that the last word of a key gives.
    fn of(key: &[u8]) -> Self {
        let mut word = [0; WORD];
        let mut length = 0;
        // From the end to where the last word begins.
        for byte in key.iter().rev() {
            if !byte.is_ascii_alphanumeric() {
                break;
            }
            length += 1;
            let Some(place) = word.get_mut(WORD - length) else { return Self::Other };
            *place = byte.to_ascii_lowercase();
            if byte.is_ascii_uppercase() || length == WORD {
                break;
            }
        }
        match word.get(WORD - length..).unwrap_or_default() {
            b"path" | b"paths" | b"file" | b"files" | b"filename" | b"filepath" | b"dir" | b"directory" | b"folder" | b"src" | b"dest"
            | b"destination" | b"cwd" | b"root" | b"entry" => Self::Path,
            b"content" | b"contents" | b"text" | b"body" | b"message" | b"messages" | b"description" | b"comment" | b"comments"
            | b"code" | b"sql" | b"query" | b"cypher" | b"script" | b"command" | b"commands" | b"cmd" | b"shell" | b"pattern"
            | b"patterns" | b"regex" | b"regexp" | b"str" | b"string" | b"diff" | b"patch" | b"markdown" | b"html" | b"css" | b"prompt"
            | b"question" | b"instructions" | b"thought" | b"summary" | b"answer" | b"explanation" | b"reasoning" | b"caption" => {
                Self::Text
            }
            _ => Self::Other,
        }
    }
}

/// Looks at the arguments of a call.
pub(super) fn look(value: Value<'_>) -> Arguments {
    let mut found = Arguments::default();
    walk(value, Role::Other, &mut found);
    found
}

/// The tape keeps no more levels than fit on a stack.
fn walk(value: Value<'_>, role: Role, found: &mut Arguments) {
    match value.kind() {
        Kind::Object if !value.is_folded() => {
            for (key, value) in value.entries() {
                string(key, Role::Other, found);
                match value.kind() {
                    Kind::String => string(value, Role::of(content(key)), found),
                    Kind::Array | Kind::Object => walk(value, Role::of(content(key)), found),
                    _ => {}
                }
            }
        }
        Kind::Array if !value.is_folded() => value.elements().for_each(|value| walk(value, role, found)),
        Kind::Object | Kind::Array => {
            let raw = value.raw();
            judge(bytes::seen(raw), false, role, || String::from_utf8_lossy(raw), found);
        }
        Kind::String => string(value, role, found),
        _ => {}
    }
}

/// The text between the quotes, as it is written.
pub(super) fn content(value: Value<'_>) -> &[u8] {
    let raw = value.raw();
    raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default()
}

fn number(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
}

fn string(value: Value<'_>, role: Role, found: &mut Arguments) {
    if value.has_escapes() {
        // Escapes may hide anything: look at what it says. Text is spared unless it may be a path or an address.
        let written = bytes::seen(content(value));
        if role == Role::Text && written & (bytes::SPACE | bytes::CODE) != 0 {
            return;
        }
        let said = value.as_str().unwrap_or_default();
        judge(bytes::seen(said.as_bytes()), number(said.as_bytes()), role, || Cow::Borrowed(&*said), found);
    } else {
        judge(bytes::seen(content(value)), number(content(value)), role, || value.as_str().unwrap_or_default(), found);
    }
}

/// Looks at one string, of which it is known what stands in it, and whether it begins like a number: an address may stand
/// alone.
fn judge<'a>(seen: Seen, number: bool, role: Role, said: impl FnOnce() -> Cow<'a, str>, found: &mut Arguments) {
    let odd = bytes::PERCENT | bytes::HIGH | bytes::NUL;
    let naming = bytes::SLASH | bytes::DOTS | bytes::SCHEME | odd;
    let commanding = bytes::SHELL | bytes::OPTION | bytes::DUNDER | bytes::COLONS | bytes::UNDERSCORE;
    if seen & (naming | commanding) == 0 && role != Role::Path && !number {
        return;
    }
    if role == Role::Text && seen & (bytes::SPACE | bytes::CODE) != 0 {
        return;
    }
    let said = said();
    let text = &*said;
    if role != Role::Text && seen & commanding != 0 {
        shell::look(text, found);
    }
    let decoded = if seen & odd == 0 { None } else { decode::decode(text) };
    match &decoded {
        None => {
            address::look(text, seen, found);
            paths::look(text, seen, role, seen & bytes::NUL != 0, found);
        }
        Some(decoded) => {
            // Both, for an encoded address may stand inside of another.
            address::look(text, seen, found);
            let seen = bytes::seen(decoded.text.as_bytes());
            address::look(&decoded.text, seen, found);
            paths::look(&decoded.text, seen, role, decoded.disguised || seen & bytes::NUL != 0, found);
            if role != Role::Text {
                shell::look_decoded(&decoded.text, found);
            }
        }
    }
}
