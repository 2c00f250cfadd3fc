//! The laws that the fuzz targets check, in the ordinary test run: on random bytes, and on every file of the corpora.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../../fuzz/checks/mod.rs"]
mod checks;

use proptest::prelude::*;
use std::path::Path;

fn any_bytes(length: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..length)
}

/// Bytes that are often JSON.
fn nearly_json(length: usize) -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u00",
        "\\ud800",
        "0",
        "12",
        "-",
        ".5",
        "e9",
        "1e999",
        "true",
        "false",
        "null",
        "\n",
        "\r",
        " ",
        "\"a\":",
        "\"method\":1",
        "{\"method\":1}",
        "\u{feff}",
        "é",
        "x",
    ];
    let piece = proptest::sample::select(pieces.map(|piece| piece.as_bytes().to_vec()).to_vec());
    let other = proptest::collection::vec(any::<u8>(), 1);
    proptest::collection::vec(prop_oneof![9 => piece, 1 => other], 0..length).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tape_agrees_with_serde_json_on_any_bytes(data in nearly_json(40)) {
        checks::json_raw(&data);
    }

    #[test]
    fn a_value_that_was_written_is_read(data in any_bytes(300)) {
        checks::json_structured(&data);
    }

    #[test]
    fn any_bytes_cut_anywhere_give_the_same_frames(data in nearly_json(60)) {
        checks::ndjson_raw(&data);
    }

    #[test]
    fn messages_among_noise_and_gaps_are_found(data in any_bytes(200)) {
        checks::ndjson_structured(&data);
    }

    #[test]
    fn chunks_of_both_ends_in_any_order_give_each_byte_once(data in any_bytes(200)) {
        checks::reassembly(&data);
    }

    #[test]
    fn the_shipped_rules_judge_any_event(text in nearly_json(40)) {
        checks::policy_event(&text);
    }

    #[test]
    fn what_is_redacted_is_json_and_shows_no_token(choices in any_bytes(4), text in nearly_json(40), with_token in any::<bool>()) {
        let token: &[u8] = if with_token { b"\"@@\"" } else { b"" };
        checks::redact(&[&choices, &text[..], token].concat());
    }
}

/// Panics where it is broken.
type Law = fn(&[u8]);

#[test]
fn every_file_of_the_fuzz_corpora_holds() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let targets: [(&str, Law); 8] = [
        ("json_raw", checks::json_raw),
        ("json_structured", checks::json_structured),
        ("ndjson_raw", checks::ndjson_raw),
        ("ndjson_structured", checks::ndjson_structured),
        ("policy", checks::policy),
        ("policy_event", checks::policy_event),
        ("reassembly", checks::reassembly),
        ("redact", checks::redact),
    ];
    for (target, check) in targets {
        let mut replayed = 0;
        for entry in std::fs::read_dir(corpora.join(target)).unwrap_or_else(|error| panic!("the corpus of {target}: {error}")) {
            let path = entry.expect("an entry of the corpus").path();
            println!("{}", path.display());
            check(&std::fs::read(&path).expect("a file of the corpus"));
            replayed += 1;
        }
        assert!(replayed > 0, "the corpus of {target} is empty");
    }
}
