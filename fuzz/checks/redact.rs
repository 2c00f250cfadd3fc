//! The law of redaction: redacting any JSON value at any limit gives one line of JSON within the limit, and never shows
//! a token that was planted.

use sensor_core::json::Tape;
use sensor_core::redact::{DEPTH, Level, Redactor};

const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

/// Three bytes of choices, and then a text in which `@@` stands for the token.
pub fn redact(data: &[u8]) {
    let Some((&[low, high, flags], text)) = data.split_first_chunk::<3>() else { return };
    let limit = if flags & 1 == 0 { usize::MAX } else { usize::from(u16::from_le_bytes([low, high])) };
    let level = if flags & 2 == 0 { Level::Redacted } else { Level::Full };

    // A string in which the token stands, wherever the input says `@@`.
    let mut json = Vec::with_capacity(text.len());
    let mut planted = false;
    let mut rest = text;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"@@") {
        json.extend_from_slice(&rest[..at]);
        json.extend_from_slice(TOKEN.as_bytes());
        planted = true;
        rest = &rest[at + 2..];
    }
    json.extend_from_slice(rest);

    let mut tape = Tape::new();
    let Ok(span) = tape.parse(&json) else {
        // Any text can be redacted.
        let _ = Redactor::new(level).text(&String::from_utf8_lossy(&json));
        return;
    };
    let mut redactor = Redactor::new(level);
    let mut out = String::new();
    let redacted = redactor.value(tape.root(&json).expect("the text was parsed"), limit, &mut out);
    assert!(out.len() <= limit);
    assert!(!out.bytes().any(|byte| byte < b' '), "more than one line: {out:?}");
    if out.is_empty() {
        assert!(redacted.truncated);
        return;
    }
    let shown: serde_json::Value = serde_json::from_str(&out).expect("the output is JSON");
    if level == Level::Redacted {
        assert!(!planted || !out.contains(TOKEN), "the token survived in {out}");
        if limit == usize::MAX {
            // What was redacted is JSON that can be redacted.
            let again = out.clone();
            let span_again = tape.parse(again.as_bytes()).expect("the output is JSON");
            assert_eq!(span_again.end, again.len());
        }
    } else if limit == usize::MAX && !redacted.truncated {
        // At level `Full` nothing changes its meaning, as far as strict parsers can read the input and it is not too deep.
        let shallow = json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() <= DEPTH;
        if shallow && let Ok(given) = serde_json::from_slice::<serde_json::Value>(&json[span.start..span.end]) {
            assert_eq!(shown, given);
        }
    }
}
