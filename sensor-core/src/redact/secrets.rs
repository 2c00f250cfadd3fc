//! Finds secrets without taking them out: for rules that speak of them.

use super::assignment::is_marker;
use super::plain;
use super::scan::Scan;
use super::string::MARKER;
use super::{Level, names};
use crate::json::{Kind, Value};
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// Finds the beginnings of markers. Made once: that costs as much as finding one.
static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARKER));

/// Levels of a value that are looked at.
const LEVELS: usize = 64;

/// A secret in a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Secret<'a> {
    /// Its kind, as in a marker.
    pub kind: &'a str,
    /// Its bytes; `None` where a marker stands for it.
    pub bytes: Option<&'a [u8]>,
}

/// Tells each secret in a value: what has the shape of one, what stands under a name that says so, and markers of secrets
/// that were taken out before. Costs next to nothing where there is none.
pub fn secrets(value: Value<'_>, found: &mut dyn FnMut(Secret<'_>)) {
    let has_marker = FINDER.find(value.raw()).is_some();
    if !has_marker && plain::plain(value, Level::Redacted).is_some() {
        return;
    }
    walk(value, None, LEVELS, found);
}

fn walk(value: Value<'_>, name: Option<names::Secret>, levels: usize, found: &mut dyn FnMut(Secret<'_>)) {
    if levels == 0 {
        return;
    }
    match value.kind() {
        Kind::Object => {
            for (key, member) in value.entries() {
                let key = key.as_str().unwrap_or_default();
                walk(member, names::secret(key.as_bytes()), levels - 1, found);
            }
        }
        Kind::Array => value.elements().for_each(|element| walk(element, name, levels - 1, found)),
        Kind::String => {
            let text = value.as_str().unwrap_or_default();
            said(text.as_bytes(), name, found);
        }
        Kind::Null | Kind::False | Kind::True | Kind::Number => {}
    }
}

fn said(text: &[u8], name: Option<names::Secret>, found: &mut dyn FnMut(Secret<'_>)) {
    let mut has_marker = false;
    for at in FINDER.find_iter(text) {
        let marker = text.get(at..).unwrap_or_default();
        if is_marker(marker) {
            has_marker = true;
            let kind = marker.get(MARKER.len()..).and_then(|rest| rest.split(|byte| *byte == b':').next());
            found(Secret { kind: kind.and_then(|kind| std::str::from_utf8(kind).ok()).unwrap_or_default(), bytes: None });
        }
    }
    let mut scan = Scan::new(text);
    let mut has_shape = false;
    while let Some(hit) = scan.next() {
        has_shape = true;
        found(Secret { kind: hit.kind, bytes: text.get(hit.start..hit.end) });
    }
    if let Some(name) = name
        && !has_marker
        && !has_shape
        && !text.is_empty()
        && name.may_be(text)
    {
        found(Secret { kind: name.kind, bytes: Some(text) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Tape;

    fn of(json: &str) -> Vec<(String, Option<String>)> {
        let mut tape = Tape::new();
        tape.parse(json.as_bytes()).unwrap();
        let mut all = Vec::new();
        secrets(tape.root(json.as_bytes()).unwrap(), &mut |secret| {
            all.push((secret.kind.to_owned(), secret.bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())));
        });
        all
    }

    #[test]
    fn shapes_names_and_markers_are_found() {
        let token = format!("ghp_{}", "a".repeat(36));
        assert_eq!(of(&format!(r#"{{"text":"use {token} now"}}"#)), [("github-token".to_owned(), Some(token))]);
        assert_eq!(of(r#"{"password":"hunter2","note":"x"}"#), [("password".to_owned(), Some("hunter2".to_owned()))]);
        assert_eq!(of(r#"{"password":"[redacted:password:7]"}"#), [("password".to_owned(), None)]);
        assert_eq!(of(r#"{"text":"nothing","n":1}"#), []);
    }
}
