//! Examples. The laws are in `tests/laws.rs`.

use super::*;
use crate::event::Marks;

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add","arguments":{"a":1}}}"#;

fn parse(text: &[u8]) -> (Tape, Result<Span, ParseError>) {
    let mut tape = Tape::new();
    let parsed = tape.parse(text);
    (tape, parsed)
}

fn marks(text: &[u8]) -> Marks {
    let (tape, parsed) = parse(text);
    assert_eq!(parsed, Ok(Span { start: 0, end: text.len() }), "{}", String::from_utf8_lossy(text));
    tape.marks()
}

#[test]
fn a_call_is_read_field_by_field() {
    let (tape, parsed) = parse(CALL.as_bytes());
    assert_eq!(parsed, Ok(Span { start: 0, end: CALL.len() }));
    let root = tape.root(CALL.as_bytes()).unwrap();
    assert!(root.get("jsonrpc").unwrap().is_str("2.0"));
    assert_eq!(root.get("id").unwrap().as_i64(), Some(7));
    let arguments = root.get("params").unwrap().get("arguments").unwrap();
    assert_eq!(arguments.raw(), br#"{"a":1}"#);
    assert_eq!(root.entries().count(), 4);
    assert!(root.get("nothing").is_none());
    assert_eq!(tape.marks(), Marks::default());
}

#[test]
fn escaped_names_equal_plain_ones() {
    let text = br#"{"\u006dethod":"tools\/c\u0061ll","\ud83d\ude00":"\n"}"#;
    let (tape, _) = parse(text);
    let root = tape.root(text).unwrap();
    let method = root.get("method").unwrap();
    assert!(method.is_str("tools/call") && method.has_escapes());
    assert_eq!(method.as_str().unwrap(), "tools/call");
    assert!(root.get("😀").unwrap().is_str("\n"));
}

#[test]
fn the_last_duplicate_counts_and_is_told_at_every_level() {
    let text = br#"{"method":"ping","method":"tools/call"}"#;
    let (tape, _) = parse(text);
    assert!(tape.root(text).unwrap().get("method").unwrap().is_str("tools/call"));
    for text in [&text[..], br#"[{"x":{"a":1,"\u0061":2}}]"#, br#"{"":1,"":2}"#, br#"{"k":{"k":{"k":1,"k":1}}}"#] {
        assert!(marks(text).contains(Marks::DUPLICATE_KEY));
    }
    for text in [&br#"{"a":{"a":1},"b":{"a":1}}"#[..], br#"[{"a":1},{"a":1}]"#, br#"{"a":1,"A":2,"a ":3}"#] {
        assert!(!marks(text).contains(Marks::DUPLICATE_KEY));
    }
}

#[test]
fn duplicates_among_very_many_keys_are_found_in_little_time() {
    // The same head, tail and length: all hashes collide.
    let colliding = |count: usize| (0..count).map(|index| format!("\"aaaaaaaa{index:08}bbbbbbbb\":0")).collect::<Vec<_>>();
    let object = |keys: &[String]| format!("{{{}}}", keys.join(",")).into_bytes();
    let mut keys = colliding(100_000);
    assert!(!marks(&object(&keys)).contains(Marks::DUPLICATE_KEY));
    keys.push("\"aaaaaaaa00000000bbbbbb\\u0062b\":1".to_owned());
    assert!(marks(&object(&keys)).contains(Marks::DUPLICATE_KEY));
}

#[test]
fn what_some_server_executes_is_read_and_marked() {
    for text in
        [&b"[\"a\tb\"]"[..], b"[\"a\nb\"]", b"[\"\0\"]", br#"["\ud800"]"#, br#"["\udc00\ud800"]"#, b"[1e999]", b"[-1E400]", br#"["\q"]"#]
    {
        assert_eq!(marks(text), Marks::LAX_JSON, "{}", String::from_utf8_lossy(text));
    }
    assert_eq!(marks(b"[\"\xFF\"]"), Marks::INVALID_UTF8);
    assert_eq!(marks(b"{\"\xC3\":1}"), Marks::INVALID_UTF8);
    assert_eq!(marks(br#"["\ud83d\ude00", 0e999, 1.5]"#), Marks::default());
    let (tape, parsed) = parse(b"\xEF\xBB\xBF \xEF\xBB\xBF[1] rest");
    assert_eq!(parsed, Ok(Span { start: 7, end: 10 }));
    assert_eq!(tape.marks(), Marks::default());
}

#[test]
fn what_no_server_executes_is_refused_where_it_goes_wrong() {
    for (text, at) in [
        (&b"NaN"[..], 0),
        (b"{'debug': 1}", 1),
        (br#"{"a":1,}"#, 7),
        (b"[1,]", 3),
        (b"[01]", 2),
        (b"[+1]", 1),
        (b"[.5]", 1),
        (b"[1.]", 3),
        (b"[1e+]", 4),
        (b"[-]", 2),
        (b"[trve]", 3),
        (b"[1 2]", 3),
        (br#"{"a" 1}"#, 5),
        (b"{1:2}", 1),
        (b"[}", 1),
        (b"]", 0),
        (b"[\"\\\x01\"]", 3),
        (br#"["\u12g4"]"#, 6),
        (b"[/* */]", 1),
        (b"\xEF\xBBx", 2),
        (b"[\xFF]", 1),
        (b"\0", 0),
    ] {
        assert_eq!(parse(text).1, Err(ParseError::Invalid { at }), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_message_cut_at_any_byte_is_incomplete() {
    let text = br#"{"a\u00e9\"":[1.5e+3,-0,true,false,null,{"x":[]},"\\"],"b":{}}"#;
    for end in 0..text.len() {
        assert_eq!(parse(&text[..end]).1, Err(ParseError::Incomplete), "{end}");
    }
    assert_eq!(marks(text), Marks::default());
    assert_eq!(parse(b"12").1, Ok(Span { start: 0, end: 2 }));
    assert_eq!(parse(b" -").1, Err(ParseError::Incomplete));
    assert!(parse(b"[").0.root(b"[").is_none());
}

#[test]
fn integers_are_exact_however_they_are_written() {
    for (number, expected) in [
        ("7", Some(7)),
        ("7.0", Some(7)),
        ("70e-1", Some(7)),
        ("0.07E+2", Some(7)),
        ("-0", Some(0)),
        ("0.000e-999999999999999999999", Some(0)),
        ("9007199254740993", Some(9_007_199_254_740_993)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("-922337203685477580.80e1", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("1e19", None),
        ("1e999999999999999999999", None),
        ("7.5", None),
        ("1e-1", None),
        ("1000e-3", Some(1)),
        ("100000000000000000000000000000e-28", Some(10)),
    ] {
        let (tape, _) = parse(number.as_bytes());
        assert_eq!(tape.root(number.as_bytes()).unwrap().as_i64(), expected, "{number}");
    }
    let text = b"[\"7\"]";
    let (tape, _) = parse(text);
    assert_eq!(tape.root(text).unwrap().elements().next().unwrap().as_i64(), None);
}

#[test]
fn depth_costs_no_stack_and_is_folded() {
    let open = vec![b'['; 100_000];
    assert_eq!(parse(&open).1, Err(ParseError::Incomplete));
    let text = [&b"{\"method\":\"x\",\"params\":"[..], &open, &vec![b']'; 100_000], b",\"id\":1}"].concat();
    let (tape, parsed) = parse(&text);
    assert_eq!(parsed, Ok(Span { start: 0, end: text.len() }));
    assert_eq!(tape.marks(), Marks::LAX_JSON);
    let root = tape.root(&text).unwrap();
    assert_eq!(root.get("id").unwrap().as_i64(), Some(1));
    let mut value = root.get("params").unwrap();
    let mut levels = 1;
    while let Some(inner) = value.elements().next() {
        (value, levels) = (inner, levels + 1);
    }
    assert!(value.is_folded() && !root.is_folded());
    assert_eq!(levels, DETAIL_DEPTH);
    assert_eq!(parse(&vec![b'['; MAX_DEPTH]).1, Err(ParseError::Incomplete));
    assert_eq!(parse(&vec![b'['; MAX_DEPTH + 1]).1, Err(ParseError::TooDeep));
}

#[test]
fn one_enormous_argument_does_not_hide_its_call() {
    let numbers = vec!["0"; MAX_NODES + 10].join(",");
    let text =
        format!(r#"{{"jsonrpc":"2.0","params":{{"name":"t","arguments":{{"list":[{numbers}],"k":"v"}}}},"id":1,"method":"tools/call"}}"#);
    let (tape, parsed) = parse(text.as_bytes());
    assert_eq!(parsed, Ok(Span { start: 0, end: text.len() }));
    let root = tape.root(text.as_bytes()).unwrap();
    assert!(root.get("method").unwrap().is_str("tools/call"));
    let arguments = root.get("params").unwrap().get("arguments").unwrap();
    assert!(arguments.get("k").unwrap().is_str("v"));
    let list = arguments.get("list").unwrap();
    assert!(list.is_folded() && list.elements().next().is_none());
    assert_eq!(list.raw().len(), numbers.len() + 2);
    // Where everything is on top there is nothing to fold.
    assert_eq!(parse(format!("[{numbers}]").as_bytes()).1, Err(ParseError::TooManyNodes));
}

#[test]
fn a_tape_in_use_allocates_no_more() {
    let mut tape = Tape::new();
    tape.parse(CALL.as_bytes()).unwrap();
    let before = format!("{:?}", tape.capacities());
    for _ in 0..100 {
        tape.parse(CALL.as_bytes()).unwrap();
    }
    assert_eq!(format!("{:?}", tape.capacities()), before);
    // And gives back what one uncommon message needed.
    tape.parse(format!("[{}]", vec!["0"; 500_000].join(",")).as_bytes()).unwrap();
    tape.parse(CALL.as_bytes()).unwrap();
    assert!(tape.capacities().iter().all(|&capacity| capacity <= 1 << 16));
}
