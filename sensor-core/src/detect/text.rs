//! Walks text for a model.

use super::Text;
use super::arguments::content;
use super::hidden;
use super::instructions::{Kind, Reading};
use crate::json::{Kind as Json, Value};

/// Looks at text for a model.
pub(super) fn look(value: Value<'_>) -> Text {
    let mut reading = Reading::default();
    walk(value, &mut reading);
    reading.finish()
}

/// The tape keeps no more levels than fit on a stack.
fn walk(value: Value<'_>, reading: &mut Reading) {
    match value.kind() {
        Json::Object if !value.is_folded() => {
            for (key, value) in value.entries() {
                string(key, reading);
                walk(value, reading);
            }
        }
        Json::Array if !value.is_folded() => value.elements().for_each(|value| walk(value, reading)),
        Json::Object | Json::Array => judge(value.raw(), reading),
        Json::String => string(value, reading),
        _ => {}
    }
}

fn string(value: Value<'_>, reading: &mut Reading) {
    let written = content(value);
    // Common keys and short words: nothing that instructs is shorter.
    if written.len() < 8 && written.is_ascii() {
        return;
    }
    // `\n` and the like do not stand in the way; `\u` may stand for anything.
    let escaped = value.has_escapes() && memchr::memmem::find(written, b"\\u").is_some();
    if escaped && let Some(said) = value.as_str() {
        judge(said.as_bytes(), reading);
    } else {
        judge(written, reading);
    }
}

fn judge(text: &[u8], reading: &mut Reading) {
    if (!text.is_ascii() || memchr::memchr(0x1B, text).is_some()) && hidden::is_suspicious(text) {
        let shown = hidden::reveal(&String::from_utf8_lossy(text), reading);
        reading.read(shown.as_bytes());
    } else {
        reading.read(text);
    }
    if text.len() >= 40 {
        hidden::room(text, reading);
        hidden::encoded(text, |said| {
            if Reading::instructs(said) {
                reading.found(Kind::Base64);
                reading.read(said);
            }
        });
    }
    reading.end(text.len());
}
