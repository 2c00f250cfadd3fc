//! Captured JSON in the few words that fit a column.
//!
//! A person at the table wants the gist: `path: "/etc/passwd", limit: 3` and the text that a tool gave back, not the
//! brackets around it. So the outermost braces and the quotes of plain keys go, a tool's result is shown as its content,
//! and an error as its code and message.
//!
//! Invariants: only the beginning of a value is looked at ([`WINDOW`]), whatever its size; text that is no JSON is shown
//! as it is; nothing here fails. What comes out is raw text, to be sanitised by whoever prints it.

use std::fmt::Write as _;

use crate::json::{Scanner, elements, member, unescape};
use crate::units;

/// How much of a value is looked at, in bytes.
const WINDOW: usize = 64 * 1024;

/// A JSON value as one line of about `budget` columns or more, if it is that long.
#[must_use]
pub(crate) fn value(json: &str, budget: usize) -> String {
    let mut shown = String::new();
    compact(window(json), limit(budget), &mut shown);
    shown
}

/// What a tool gave back: the text of its content, or the structured content, or the result as it is.
#[must_use]
pub(crate) fn result(json: &str, budget: usize) -> String {
    let json = window(json);
    let limit = limit(budget);
    let mut shown = String::new();
    for item in member(json, "content").into_iter().flat_map(elements) {
        if !shown.is_empty() {
            shown.push_str(" · ");
        }
        content_item(item, limit, &mut shown);
        if shown.len() >= limit {
            return shown;
        }
    }
    if shown.is_empty() {
        compact(member(json, "structuredContent").unwrap_or(json), limit, &mut shown);
    }
    shown
}

/// A JSON-RPC error: its code and message.
#[must_use]
pub(crate) fn error(json: &str, budget: usize) -> String {
    let json = window(json);
    let (code, message) = (member(json, "code"), member(json, "message"));
    if code.is_none() && message.is_none() {
        return value(json, budget);
    }
    let mut shown = String::new();
    if let Some(code) = code {
        shown.push_str(code);
    }
    if let Some(message) = message {
        if !shown.is_empty() {
            shown.push(' ');
        }
        plain(message, limit(budget), &mut shown);
    }
    shown
}

/// A message: what it carries, without the members that every message has.
#[must_use]
pub(crate) fn body(json: &str, budget: usize) -> String {
    let cut = window(json);
    if let Some(found) = member(cut, "params") {
        value(found, budget)
    } else if let Some(found) = member(cut, "result") {
        result(found, budget)
    } else if let Some(found) = member(cut, "error") {
        error(found, budget)
    } else if member(cut, "method").is_some() {
        String::new()
    } else {
        value(cut, budget)
    }
}

/// Bytes that are enough to fill so many columns.
const fn limit(budget: usize) -> usize {
    budget.saturating_mul(4).saturating_add(16)
}

/// The beginning of a text that may be megabytes long.
fn window(text: &str) -> &str {
    text.get(..text.floor_char_boundary(WINDOW)).unwrap_or(text)
}

/// One item of a result's `content`.
fn content_item(item: &str, limit: usize, shown: &mut String) {
    if let Some(text) = member(item, "text") {
        return plain(text, limit, shown);
    }
    shown.push('[');
    let resource = member(item, "resource");
    let named = |key| member(item, key).or_else(|| resource.and_then(|resource| member(resource, key)));
    let mut separator = "";
    for found in [member(item, "type"), named("name"), named("uri"), named("mimeType")].into_iter().flatten() {
        shown.push_str(separator);
        plain(found, limit, shown);
        separator = " ";
    }
    if let Some(data) = named("data").or_else(|| named("blob")) {
        let _ = write!(shown, " {}", units::bytes(data.len() as u64 / 4 * 3));
    }
    shown.push(']');
}

/// Appends a value: a string as its text, anything else compacted.
fn plain(json: &str, limit: usize, shown: &mut String) {
    match json.strip_prefix('"') {
        Some(inside) => unescape(inside.strip_suffix('"').unwrap_or(inside), limit, false, shown),
        None => compact(json, limit, shown),
    }
}

/// Appends a value on one line: no outermost braces, no quotes around plain keys, no white space but after `:` and `,`.
fn compact(json: &str, limit: usize, shown: &mut String) {
    let mut scanner = Scanner::new(json);
    let mut objects: Vec<bool> = Vec::new();
    let mut is_key = false;
    // Two values side by side: no JSON, but the words of a text.
    let mut after_value = false;
    while shown.len() < limit {
        scanner.skip_space();
        let Some(byte) = scanner.peek() else { return };
        let is_value = !matches!(byte, b'{' | b'}' | b'[' | b']' | b',' | b':');
        if is_value && after_value {
            shown.push(' ');
        }
        after_value = is_value;
        match byte {
            b'{' | b'[' => {
                is_key = byte == b'{';
                objects.push(is_key);
                if byte == b'[' || objects.len() > 1 {
                    shown.push(char::from(byte));
                }
                scanner.at += 1;
            }
            b'}' | b']' => {
                is_key = false;
                objects.pop();
                if byte == b']' || !objects.is_empty() {
                    shown.push(char::from(byte));
                }
                scanner.at += 1;
            }
            b',' => {
                shown.push_str(", ");
                is_key = objects.last().copied().unwrap_or(false);
                scanner.at += 1;
            }
            b':' => {
                shown.push_str(": ");
                is_key = false;
                scanner.at += 1;
            }
            b'"' => {
                let inside = scanner.string();
                let is_plain = inside.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
                if is_key && is_plain && !inside.is_empty() {
                    shown.push_str(inside);
                } else {
                    shown.push('"');
                    unescape(inside, limit, true, shown);
                    shown.push('"');
                }
            }
            _ => shown.push_str(scanner.scalar()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arguments_lose_what_says_nothing() {
        assert_eq!(value(r#"{"message":"hi","count":3}"#, 80), r#"message: "hi", count: 3"#);
        assert_eq!(value(r#"{ "a b" : [1, {"x":null}] , "c":{}}"#, 80), r#""a b": [1, {x: null}], c: {}"#);
        assert_eq!(value("{}", 80), "");
        assert_eq!(value("[1,2]", 80), "[1, 2]");
        assert_eq!(value("null", 80), "null");
    }

    #[test]
    fn strings_are_shown_as_what_they_say() {
        assert_eq!(value(r#"{"a":"x\ny\u001b[2J\u00e9\ud83d\ude00 \"q\" \\ \/"}"#, 80), "a: \"x\ny\u{1b}[2Jé😀 \\\"q\\\" \\\\ /\"");
        assert_eq!(value(r#""\ud83dx""#, 80), "\"\u{fffd}x\"");
        assert_eq!(value(r#""\u12""#, 80), "\"\u{fffd}12\"");
        assert_eq!(value(r#""\u12é4""#, 80), "\"\u{fffd}12é4\"");
    }

    #[test]
    fn a_result_is_its_content() {
        assert_eq!(result(r#"{"content":[{"type":"text","text":"Echo: hi"}],"isError":false}"#, 80), "Echo: hi");
        assert_eq!(result(r#"{"content":[],"structuredContent":{"sum":3}}"#, 80), "sum: 3");
        assert_eq!(result(r#"{"resultType":"complete","value":7}"#, 80), r#"resultType: "complete", value: 7"#);
        let images = r#"{"content":[{"type":"text","text":"two"},{"type":"image","mimeType":"image/png","data":"AAAABBBB"}]}"#;
        assert_eq!(result(images, 80), "two · [image image/png 6 B]");
        let resource = r#"{"content":[{"type":"resource","resource":{"uri":"file:///a","mimeType":"text/plain","text":"t"}}]}"#;
        assert_eq!(result(resource, 80), "[resource file:///a text/plain]");
    }

    #[test]
    fn an_error_is_its_code_and_message() {
        assert_eq!(error(r#"{"code":-32602,"message":"Unknown tool: x","data":{}}"#, 80), "-32602 Unknown tool: x");
        assert_eq!(error(r#""boom""#, 80), r#""boom""#);
    }

    #[test]
    fn a_message_is_what_it_carries() {
        assert_eq!(body(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, 80), "");
        assert_eq!(body(r#"{"jsonrpc":"2.0","method":"x","params":{"a":1}}"#, 80), "a: 1");
        assert_eq!(body(r#"{"id":1,"result":{"content":[{"type":"text","text":"t"}]}}"#, 80), "t");
        assert_eq!(body(r#"{"id":1,"error":{"code":1,"message":"m"}}"#, 80), "1 m");
        assert_eq!(body("plain words", 80), "plain words");
    }

    #[test]
    fn a_long_value_is_cut_early() {
        let long = format!(r#"{{"content":[{{"type":"text","text":"{}"}}]}}"#, "é".repeat(10_000_000));
        let shown = result(&long, 40);
        assert!((40..=200).contains(&shown.chars().count()), "{}", shown.len());
    }

    proptest! {
        #[test]
        fn any_text_has_an_excerpt(text in r#"[\[\]{}",:\\u0-9a é€ ]{0,40}"#, budget in 0_usize..50) {
            for shown in [value(&text, budget), result(&text, budget), error(&text, budget), body(&text, budget)] {
                prop_assert!(shown.len() <= 4 * limit(budget) + text.len());
            }
        }
    }
}
