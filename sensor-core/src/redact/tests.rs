use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value as Json;

use super::{DEPTH, Level, Redacted, Redactor};
use crate::json::Tape;

mod examples;
mod inputs;

use inputs::{around, busy_json, clean_json, escapes, lax_json, placed, quoted, secret};

/// Redacts JSON text. `None` where it is none.
fn redact_with(text: &[u8], level: Level, limit: usize, short_cut: bool) -> Option<(String, Redacted)> {
    let mut tape = Tape::new();
    let span = tape.parse(text).ok()?;
    assert_eq!(span.end, text.len(), "the test gives one value");
    let value = tape.root(text)?;
    let mut redactor = Redactor::new(level);
    let mut out = "before".to_owned();
    let redacted = if short_cut { redactor.value(value, limit, &mut out) } else { redactor.walk(value, limit, &mut out) };
    Some((out.strip_prefix("before").expect("the output is appended").to_owned(), redacted))
}

fn redact(text: &str) -> String {
    redact_with(text.as_bytes(), Level::Redacted, usize::MAX, true).expect("the test gives JSON").0
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a string can be written")
}

fn parse(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Everything that a string or key of a value says, and what JSON in these strings says.
fn sayings(value: &Json, all: &mut Vec<String>) {
    let text = |text: &str, all: &mut Vec<String>| {
        let mut said = text.to_owned();
        for _ in 0..4 {
            let mut deeper = Vec::new();
            super::unescape::unescape(said.as_bytes(), &mut deeper);
            all.push(std::mem::replace(&mut said, String::from_utf8_lossy(&deeper).into_owned()));
        }
    };
    match value {
        Json::String(string) => text(string, all),
        Json::Number(number) => text(&number.to_string(), all),
        Json::Array(elements) => elements.iter().for_each(|element| sayings(element, all)),
        Json::Object(members) => {
            for (key, value) in members {
                text(key, all);
                sayings(value, all);
            }
        }
        Json::Null | Json::Bool(_) => {}
    }
}

fn hidden_in(output: &str, secret: &str) -> Result<(), TestCaseError> {
    let mut all = vec![output.to_owned()];
    sayings(&parse(output), &mut all);
    // Not even a piece of it.
    let characters: Vec<char> = secret.chars().collect();
    for piece in characters.windows(10.min(characters.len())) {
        let piece: String = piece.iter().collect();
        if all.iter().any(|said| said.contains(&piece)) {
            return Err(TestCaseError::fail(format!("{piece} of {secret} is in {output}")));
        }
    }
    Ok(())
}

fn assert_whole_markers(output: &str) {
    for behind in output.split("[redacted:").skip(1) {
        let marker = behind.split_once(']').map(|(marker, _)| marker).unwrap_or_default();
        let (kind, length) = marker.split_once(':').unwrap_or_default();
        assert!(!kind.is_empty() && length.parse::<usize>().is_ok(), "a marker is cut in {output}");
    }
}

proptest! {
    #[test]
    fn no_planted_secret_survives((text, hidden) in secret(), (before, after) in around(), escapes in escapes(), place in placed()) {
        let json = place(quoted(&format!("{before}{text}{after}"), &escapes));
        let (output, redacted) = redact_with(json.as_bytes(), Level::Redacted, usize::MAX, true).expect("the test gives JSON");
        prop_assert!(redacted.replaced > 0 && !redacted.truncated);
        hidden_in(&output, &hidden)?;
        assert_whole_markers(&output);
    }

    #[test]
    fn no_secret_in_json_in_a_string_survives(
        (text, hidden) in secret(), inner in escapes(), outer in escapes(), inner_place in placed(), place in placed(), levels in 1..3,
    ) {
        let mut json = inner_place(quoted(&text, &inner));
        for _ in 0..levels {
            json = place(quoted(&json, &outer));
        }
        hidden_in(&redact(&json), &hidden)?;
    }

    #[test]
    fn nothing_below_a_secret_name_survives(
        name in prop::sample::select(vec!["password", "apiKey", "API_KEY", "clientSecret", "access-token", "Authorization", "cookies", "credentials"]),
        value in "[a-z]{12}", escapes in escapes(), place in 0..6_usize,
    ) {
        let key = quoted(name, &escapes);
        let value = match place {
            0 => format!("\"{value}\""),
            1 => format!("[[\"{value}\"]]"),
            2 => format!("{{\"a\":[{{\"b\":\"{value}\"}}]}}"),
            3 => format!("{{\"type\":\"{value}\"}}"),
            4 => quoted(&value, &escapes),
            _ => format!("{{\"properties\":{{\"description\":\"{value}\"}}}}"),
        };
        let hidden: String = value.chars().filter(char::is_ascii_lowercase).collect();
        let output = redact(&format!("{{\"a\":{{{key}:{value}}}}}"));
        let mut all = Vec::new();
        sayings(&parse(&output), &mut all);
        prop_assert!(!all.iter().any(|said| said.len() >= 12 && hidden.contains(said.as_str())), "{}", output);
        prop_assert!(output.contains("[redacted:"));
    }

    #[test]
    fn how_a_string_is_escaped_makes_no_difference((text, _) in secret(), (before, after) in around(), escapes in escapes(), place in placed()) {
        let text = format!("{before}{text}{after}");
        let plain = place(json_string(&text));
        let escaped = place(quoted(&text, &escapes));
        prop_assert_eq!(parse(&redact(&plain)), parse(&redact(&escaped)));
    }

    #[test]
    fn clean_json_keeps_its_meaning(json in clean_json()) {
        for level in [Level::Full, Level::Redacted] {
            let (output, redacted) = redact_with(json.as_bytes(), level, usize::MAX, true).expect("the test gives JSON");
            prop_assert_eq!(parse(&output), parse(&json));
            prop_assert_eq!(redacted, Redacted::default());
            prop_assert!(!output.contains(['\n', '\r', '\t']));
        }
    }

    #[test]
    fn everything_is_shown_at_level_full(json in busy_json("")) {
        let (output, redacted) = redact_with(json.as_bytes(), Level::Full, usize::MAX, true).expect("the test gives JSON");
        prop_assert_eq!(parse(&output), parse(&json));
        prop_assert_eq!(redacted, Redacted::default());
    }

    #[test]
    fn the_short_cut_makes_no_difference(json in busy_json("")) {
        let short = redact_with(json.as_bytes(), Level::Redacted, usize::MAX, true).expect("the test gives JSON");
        let walked = redact_with(json.as_bytes(), Level::Redacted, usize::MAX, false).expect("the test gives JSON");
        prop_assert_eq!(parse(&short.0), parse(&walked.0));
        prop_assert_eq!(short.1, walked.1);
    }

    #[test]
    fn redacting_twice_changes_nothing(json in busy_json(" ; ")) {
        let once = redact(&json);
        prop_assert_eq!(parse(&redact(&once)), parse(&once));
    }

    #[test]
    fn any_value_gives_one_line_of_json(json in lax_json(), limit in prop_oneof![Just(usize::MAX), 0..300_usize], full in any::<bool>(), short_cut in any::<bool>()) {
        let mut tape = Tape::new();
        let Ok(span) = tape.parse(&json) else { return Ok(()) };
        let json = &json[..span.end];
        let level = if full { Level::Full } else { Level::Redacted };
        let Some((output, redacted)) = redact_with(json, level, limit, short_cut) else { return Ok(()) };
        prop_assert!(output.len() <= limit);
        prop_assert!(!output.contains(|character| character < ' '), "{:?}", output);
        if output.is_empty() {
            prop_assert!(redacted.truncated);
        } else {
            prop_assert!(serde_json::from_str::<Json>(&output).is_ok(), "{:?} of {:?}", output, String::from_utf8_lossy(json));
        }
    }

    #[test]
    fn what_is_cut_stays_whole(json in busy_json(""), limit in 0..400_usize, short_cut in any::<bool>()) {
        let json = json.replace("[redacted:", "[");
        if parse(&json).to_string().contains("[redacted:") {
            return Ok(());
        }
        let (output, redacted) = redact_with(json.as_bytes(), Level::Redacted, limit, short_cut).expect("the test gives JSON");
        prop_assert!(output.len() <= limit);
        prop_assert!(output.is_empty() || serde_json::from_str::<Json>(&output).is_ok(), "{}", output);
        if output.is_empty() || output.contains("[cut:") {
            prop_assert!(redacted.truncated);
        }
        if !redacted.truncated {
            prop_assert_eq!(parse(&output), parse(&redact(&json)));
        }
        assert_whole_markers(&output);
    }

    #[test]
    fn no_secret_shows_where_text_is_cut((text, hidden) in secret(), (before, after) in around(), limit in 0..300_usize, pad in 0..300_usize) {
        let text = format!("{}{before}{text}{after}{}", "- ".repeat(pad / 2), "- ".repeat(200));
        let json = format!("{{\"text\":{}}}", json_string(&text));
        let (output, redacted) = redact_with(json.as_bytes(), Level::Redacted, limit, true).expect("the test gives JSON");
        prop_assert!(output.len() <= limit && (redacted.truncated || redacted.replaced > 0));
        if !output.is_empty() {
            hidden_in(&output, &hidden)?;
            assert_whole_markers(&output);
        }
    }

    #[test]
    fn secrets_in_text_and_in_arguments_are_taken_out((text, hidden) in secret(), (before, after) in around()) {
        let mut redactor = Redactor::new(Level::Redacted);
        let text = format!("{before}{text}{after}");
        for output in [redactor.text(&text), redactor.arguments(&["x".to_owned(), text]).concat()] {
            hidden_in(&json_string(&output), &hidden)?;
        }
    }
}

/// Text in which there is much to look at and nothing to find.
#[test]
fn hostile_text_takes_no_longer() {
    let pieces = [
        "eyJ",
        "eyJaaaaaaaa.",
        "eyJaaaaaaaaaaaa",
        "token",
        "token ",
        "token=",
        "token: ",
        "token={",
        "token='",
        "token:$A",
        "pwd='/",
        "pwd=\"/",
        "pwd=\\\"/",
        "\\\"",
        "\\",
        "\\/",
        "\\u0041",
        "://",
        "a://b@",
        "a://",
        "sk-",
        "sk-a",
        "-sk-",
        "SG.",
        "ya29.",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY",
        "Bearer ",
        "bearer",
        ":AA",
        "1234567890:AA",
        "authorization: a",
        "authorization: ",
        "\"password\":{",
        "\"password\":[\"",
        "<password>",
        "key",
        "ssn",
        "AKIA",
        "hooks.slack.com/services/",
        "/api/webhooks/",
        "?sig=",
        "ghp_",
        ".",
        "é",
        "\u{1f600}",
        "[",
        "{",
        "1e9",
        "9",
    ];
    for piece in pieces {
        for filler in ["", " ", ".", "a"] {
            let text = format!("{piece}{filler}").repeat(100_000 / (piece.len() + filler.len()));
            let json = serde_json::to_string(&[&text, &text]).expect("a string can be written");
            let start = Instant::now();
            redact(&json);
            Redactor::new(Level::Redacted).text(&text);
            // A tenth of a second is a hundred times what it should take, and what is not linear takes many seconds.
            assert!(start.elapsed() < Duration::from_millis(1500), "{piece:?} with {filler:?}: {:?}", start.elapsed());
        }
    }
}

#[test]
fn nothing_is_written_at_level_none() {
    assert_eq!(redact_with(b"{\"a\":1}", Level::None, 100, true).expect("the test gives JSON"), (String::new(), Redacted::default()));
}

#[test]
fn what_is_nested_too_deep_stands_as_a_string() {
    let json = |depth: usize| "[".repeat(depth) + "\"ghp_0123456789012345678901234567890123456789\"" + &"]".repeat(depth);
    let at_the_limit = redact(&json(DEPTH));
    assert!(at_the_limit.contains("[redacted:github-token:44]"));
    for depth in [DEPTH + 1, 1_000, 1_500, 10_000] {
        let output = redact(&json(depth));
        assert!(output.contains("[redacted:nested:"), "{output}");
        assert!(!output.contains("0123456789"), "{output}");
        let full = redact_with(json(depth).as_bytes(), Level::Full, usize::MAX, true).expect("the test gives JSON").0;
        assert!(full.contains("ghp_0123456789") && full.len() > 2 * depth);
        parse(&full);
    }
}

/// `cargo test --release -p sensor-core redact::tests::measure -- --ignored --nocapture` prints the figures.
#[test]
#[ignore = "a measurement"]
fn measure() {
    // A multiplication waits for the one before: three cycles each.
    let cycle = (0..3000).map(|_| {
        let start = Instant::now();
        let product = (0..10_000_u64).fold(std::hint::black_box(3_u64), |product, _| std::hint::black_box(product.wrapping_mul(7)));
        std::hint::black_box(product);
        start.elapsed()
    });
    println!("a multiplication takes {:?} / 10,000", cycle.min().unwrap_or_default());
    let sentence = "The quick brown fox jumps over the lazy dog, and then it reads the next file. ";
    let call = r#"{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"read_file","arguments":{"path":"/home/user/project/src/main.rs","encoding":"utf-8","offset":0,"limit":2000,"description":"Read the beginning of the file to find the entry point of the program"},"_meta":{"progressToken":17,"trace":"4bf92f3577b34da6a3ce929d0e0e4736"}}}"#;
    let result =
        |text: &str| format!(r#"{{"result":{{"content":[{{"type":"text","text":"{text}"}}],"isError":false}},"jsonrpc":"2.0","id":17}}"#);
    let plain = result(&sentence.repeat(3));
    let lines = result(&(sentence.replace(", ", ",\\n") + "He said \\\"no\\\".").repeat(3));
    let long = result(&sentence.repeat(37));
    let secret = result(&format!("{sentence}export GITHUB_TOKEN=ghp_0123456789012345678901234567890123456789 {sentence}"));
    let nested = result(&(r#"{\"name\":\"fox\",\"size\":7,\"tags\":[\"a\",\"b\"]},"#.repeat(5)));
    let big = result(&sentence.repeat(1300));
    for (name, text) in
        [("call", call), ("plain", &plain), ("lines", &lines), ("3 KB", &long), ("secret", &secret), ("nested", &nested), ("100 KB", &big)]
    {
        let mut tape = Tape::new();
        tape.parse(text.as_bytes()).expect("the text is JSON");
        let value = tape.root(text.as_bytes()).expect("the text is JSON");
        let mut redactor = Redactor::new(Level::Redacted);
        let mut out = String::new();
        for short_cut in [true, false] {
            // Short spells, of which the best one was not disturbed.
            let rounds = (100_000 / text.len() as u32).max(1);
            let best = (0..3000).map(|_| {
                let start = Instant::now();
                for _ in 0..rounds {
                    out.clear();
                    let value = std::hint::black_box(value);
                    if short_cut {
                        redactor.value(value, 1 << 20, &mut out)
                    } else {
                        redactor.walk(value, 1 << 20, &mut out)
                    };
                    std::hint::black_box(&out);
                }
                start.elapsed() / rounds
            });
            println!("{name}: {} bytes, short cut {short_cut}: {:?}", text.len(), best.min().unwrap_or_default());
        }
    }
}
