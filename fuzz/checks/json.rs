//! The tape: agreement with serde_json, exact errors, agreement with the resumable scanner.

use super::choices::Choices;
use sensor_core::event::Marks;
use sensor_core::json::{Kind, ParseError, Progress, Scanner, Tape, Value};
use std::collections::HashSet;

/// Any bytes.
pub fn raw(data: &[u8]) {
    let mut tape = Tape::new();
    let parsed = tape.parse(data);
    scanner_agrees(data, parsed.map(|span| span.end));
    match parsed {
        Ok(span) => {
            let root = tape.root(data).expect("a parsed text has a root");
            assert_eq!(root.raw(), &data[span.start..span.end]);
            let depth = walk(root);
            let text = &data[span.start..span.end];
            let strict: Result<serde_json::Value, _> = serde_json::from_slice(text);
            let odd = has(&tape, Marks::LAX_JSON) || has(&tape, Marks::INVALID_UTF8);
            match strict {
                Ok(strict) => {
                    assert!(!odd, "serde_json takes what is marked as odd");
                    assert_same(root, &strict);
                }
                Err(error) => assert!(odd || depth > 120, "serde_json refuses what is not marked as odd: {error}"),
            }
            if !has(&tape, Marks::INVALID_UTF8) {
                assert_eq!(has(&tape, Marks::DUPLICATE_KEY), has_duplicate(root), "duplicate keys");
            }
        }
        Err(error) => {
            assert!(tape.root(data).is_none());
            assert!(serde_json::from_slice::<serde_json::Value>(data).is_err(), "serde_json takes what is refused: {error}");
            match error {
                ParseError::Invalid { at } => {
                    assert_eq!(tape.parse(&data[..at]), Err(ParseError::Incomplete), "invalid too late");
                    assert_eq!(tape.parse(&data[..=at]), Err(ParseError::Invalid { at }), "invalid too early");
                }
                ParseError::Incomplete if data.len() < 400 => complete(data),
                _ => {}
            }
        }
    }
    small_tapes_fold(data);
}

/// A value built by choice, written by choice, then read.
pub fn structured(data: &[u8]) {
    let mut choices = Choices::new(data);
    let model = Model::choose(&mut choices, 0);
    let mut writer = Writer::default();
    writer.write(&mut choices, &model);
    let mut text = writer.text;
    let end = text.len();
    text.extend_from_slice(choices.pick(&[&b""[..], b"\n", b" ", b"\r\n{", b"]", b"\0", b"x"]));
    if matches!(model, Model::Number(_)) {
        text.truncate(end);
    }
    let mut tape = Tape::new();
    let span = tape.parse(&text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)));
    assert_eq!(span.end, end);
    let root = tape.root(&text).expect("parsed");
    assert_model(root, &model);
    walk(root);
    assert_eq!(has(&tape, Marks::DUPLICATE_KEY), model.has_duplicate(), "duplicate keys");
    assert_eq!(has(&tape, Marks::LAX_JSON), writer.lax, "lax JSON");
    assert_eq!(has(&tape, Marks::INVALID_UTF8), writer.invalid, "UTF-8");
    scanner_agrees(&text, Ok(end));
    if matches!(model, Model::Array(_) | Model::Object(_)) {
        let cut = span.start + choices.below(end - span.start);
        assert_eq!(tape.parse(&text[..cut]), Err(ParseError::Incomplete));
    }
}

fn has(tape: &Tape, mark: Marks) -> bool {
    tape.marks().contains(mark)
}

/// The scanner, fed in any pieces, comes to the same end as the tape.
fn scanner_agrees(data: &[u8], parsed: Result<usize, ParseError>) {
    let Some(start) = data.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0xEF | 0xBB | 0xBF)) else {
        return;
    };
    let prefix_is_right = Tape::new().parse(&[&data[..start], b"[]"].concat()).is_ok();
    if !matches!(data[start], b'{' | b'[') || !prefix_is_right {
        return;
    }
    for size in [1, 3, usize::MAX] {
        let mut scanner = Scanner::new();
        let mut at = start;
        let mut progress = Progress::More;
        for piece in data[start..].chunks(size) {
            let (used, state) = scanner.feed(piece);
            (at, progress) = (at + used, state);
            if state != Progress::More {
                break;
            }
            assert_eq!(used, piece.len());
        }
        let found = match progress {
            Progress::Done => Ok(at),
            Progress::More => Err(ParseError::Incomplete),
            Progress::Invalid => Err(ParseError::Invalid { at }),
            Progress::TooDeep => Err(ParseError::TooDeep),
        };
        assert_eq!(found, parsed, "scanner against tape");
    }
}

/// With little room, the same text is still taken or refused in the same way, and what is on top stays visible.
fn small_tapes_fold(data: &[u8]) {
    let whole = Tape::new().parse(data);
    for (nodes, detail) in [(8, 1000), (64, 1000), (100_000, 2), (24, 3)] {
        let mut tape = Tape::with_limits(nodes, detail);
        match tape.parse(data) {
            Err(ParseError::TooManyNodes) => assert!(nodes < 1000),
            parsed => {
                assert_eq!(parsed, whole);
                if let Some(root) = tape.root(data) {
                    walk(root);
                }
            }
        }
    }
}

/// Some continuation makes a value of it: the shortest that is to be found greedily.
fn complete(data: &[u8]) {
    let mut tape = Tape::new();
    let mut text = data.to_vec();
    for _ in 0..4 * data.len() + 20 {
        let next = b"\"}]:0rueals\xBB\xBF".iter().find(|byte| {
            text.push(**byte);
            let parsed = tape.parse(&text);
            text.pop();
            !matches!(parsed, Err(ParseError::Invalid { .. }))
        });
        text.push(*next.unwrap_or_else(|| panic!("no continuation of {:?}", String::from_utf8_lossy(&text))));
        if tape.parse(&text).is_ok() {
            return;
        }
    }
    panic!("no end to {:?}", String::from_utf8_lossy(&text));
}

/// Uses every accessor on every value. Returns the depth.
fn walk(root: Value<'_>) -> usize {
    let mut todo = vec![(root, 1)];
    let mut deepest = 0;
    while let Some((value, depth)) = todo.pop() {
        deepest = deepest.max(depth);
        assert_eq!(value.span().end - value.span().start, value.raw().len());
        assert!(!value.raw().is_empty());
        let said = value.as_str();
        assert_eq!(said.is_some(), value.kind() == Kind::String);
        assert!(said.is_none_or(|said| value.is_str(&said) && !value.is_str(&format!("{said}."))));
        assert!(value.as_i64().is_none() || value.kind() == Kind::Number);
        for (key, child) in value.entries() {
            assert_eq!(key.kind(), Kind::String);
            todo.extend([(key, depth), (child, depth + 1)]);
        }
        if let Some((key, child)) = value.entries().last() {
            let found = value.get(&key.as_str().expect("a key")).expect("it is there");
            assert_eq!(found.span(), child.span());
        }
        todo.extend(value.elements().map(|child| (child, depth + 1)));
    }
    deepest
}

fn has_duplicate(root: Value<'_>) -> bool {
    let mut keys = HashSet::new();
    root.entries().any(|(key, value)| !keys.insert(key.as_str().expect("a key")) || has_duplicate(value))
        || root.elements().any(has_duplicate)
}

fn assert_same(value: Value<'_>, strict: &serde_json::Value) {
    match strict {
        serde_json::Value::Null => assert_eq!(value.kind(), Kind::Null),
        serde_json::Value::Bool(is) => assert_eq!(value.as_bool(), Some(*is)),
        serde_json::Value::Number(number) => {
            let read: serde_json::Number = serde_json::from_slice(value.raw()).expect("a number");
            assert_eq!(&read, number);
            if number.is_i64() {
                assert_eq!(value.as_i64(), number.as_i64());
            } else if value.raw().len() < 15
                && let Some(double) = number.as_f64()
                // A double forgets what is very small.
                && double != 0.0
            {
                let whole = double.fract() == 0.0 && double.abs() < 9e15;
                assert_eq!(value.as_i64().filter(|_| double.abs() < 9e15), whole.then_some(double as i64));
            }
        }
        serde_json::Value::String(said) => {
            assert_eq!(value.as_str().as_deref(), Some(said.as_str()));
            assert!(value.is_str(said));
        }
        serde_json::Value::Array(elements) => {
            assert_eq!(value.kind(), Kind::Array);
            assert_eq!(value.elements().count(), elements.len());
            for (value, strict) in value.elements().zip(elements) {
                assert_same(value, strict);
            }
        }
        serde_json::Value::Object(entries) => {
            assert_eq!(value.kind(), Kind::Object);
            for (key, _) in value.entries() {
                assert!(entries.contains_key(&*key.as_str().expect("a key")));
            }
            for (key, strict) in entries {
                assert_same(value.get(key).expect("the key"), strict);
            }
        }
    }
}

/// A value as it is meant.
enum Model {
    Null,
    Bool(bool),
    Number(i64),
    Text(Vec<Said>),
    Array(Vec<Model>),
    Object(Vec<(Vec<Said>, Model)>),
}

/// A character as it is meant; invalid ones are read as U+FFFD.
#[derive(Clone, Copy)]
enum Said {
    Char(char),
    Lone(u16),
    Bad(u8),
}

impl Said {
    fn read(self) -> char {
        match self {
            Self::Char(char) => char,
            _ => char::REPLACEMENT_CHARACTER,
        }
    }
}

fn read(said: &[Said]) -> String {
    said.iter().map(|said| said.read()).collect()
}

impl Model {
    fn choose(choices: &mut Choices<'_>, depth: usize) -> Self {
        let kinds = if depth > 20 || choices.is_dry() { 4 } else { 9 };
        match choices.below(kinds) {
            0 => Self::Null,
            1 => Self::Bool(choices.one_in(2)),
            2 => Self::Number(match choices.below(4) {
                0 => i64::from(choices.byte()),
                1 => -i64::from(choices.byte()),
                2 => i64::MIN + i64::from(choices.byte()),
                _ => i64::MAX - i64::from(choices.byte()),
            }),
            3 => Self::Text(Self::text(choices, true)),
            4 | 5 => {
                let length = choices.below(5);
                Self::Array((0..length).map(|_| Self::choose(choices, depth + 1)).collect())
            }
            _ => {
                // Now and then an object with very many keys, to be sorted rather than compared.
                let length = if choices.one_in(20) { choices.below(80) } else { choices.below(6) };
                Self::Object((0..length).map(|_| (Self::text(choices, false), Self::choose(choices, depth + 1))).collect())
            }
        }
    }

    fn text(choices: &mut Choices<'_>, bad: bool) -> Vec<Said> {
        if choices.one_in(3) {
            let known = choices.pick(&["method", "jsonrpc", "id", "result", "error", "params", "text", ""]);
            return known.chars().map(Said::Char).collect();
        }
        let bound = if choices.one_in(10) { 40 } else { 4 };
        let length = choices.below(bound);
        let one = |choices: &mut Choices<'_>| match choices.below(12) {
            0..=5 => Said::Char(char::from(b'a' + choices.byte() % 26)),
            6 => Said::Char(choices.pick(&['"', '\\', '/', '{', '[', ':', ',', ' '])),
            7 => Said::Char(choices.pick(&['\n', '\r', '\t', '\0', '\u{8}', '\u{c}', '\u{1f}', '\u{7f}'])),
            8 => Said::Char(choices.pick(&['é', 'ß', '\u{2028}', '\u{fffd}', '漢', '😀', '\u{10ffff}', '\u{feff}'])),
            // After the lone high one nothing may follow that makes it a pair.
            9 if bad => Said::Lone(choices.pick(&[0xD800, 0xDBFF])),
            10 if bad => Said::Bad(choices.pick(&[0xFF, 0xFE, 0xC0, 0xF8])),
            _ => Said::Char(char::from(b'0' + choices.byte() % 10)),
        };
        (0..length).map(|_| one(choices)).collect()
    }

    fn has_duplicate(&self) -> bool {
        match self {
            Self::Array(elements) => elements.iter().any(Self::has_duplicate),
            Self::Object(entries) => {
                let mut keys = HashSet::new();
                entries.iter().any(|(key, value)| !keys.insert(read(key)) || value.has_duplicate())
            }
            _ => false,
        }
    }
}

#[derive(Default)]
struct Writer {
    text: Vec<u8>,
    lax: bool,
    invalid: bool,
}

impl Writer {
    fn write(&mut self, choices: &mut Choices<'_>, model: &Model) {
        self.space(choices);
        match model {
            Model::Null => self.text.extend(b"null"),
            Model::Bool(is) => self.text.extend(is.to_string().bytes()),
            Model::Number(number) => {
                let suffix = choices.pick(&["", "", ".0", "e0", ".000E+00", "0e-1", "00.0e-2"]);
                let suffix = if *number == 0 && suffix.starts_with('0') { "" } else { suffix };
                self.text.extend(format!("{number}{suffix}").bytes());
            }
            Model::Text(said) => self.string(choices, said),
            Model::Array(elements) => {
                self.text.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        self.text.push(b',');
                    }
                    self.write(choices, element);
                }
                self.space(choices);
                self.text.push(b']');
            }
            Model::Object(entries) => {
                self.text.push(b'{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        self.text.push(b',');
                    }
                    self.space(choices);
                    self.string(choices, key);
                    self.space(choices);
                    self.text.push(b':');
                    self.write(choices, value);
                }
                self.space(choices);
                self.text.push(b'}');
            }
        }
    }

    fn space(&mut self, choices: &mut Choices<'_>) {
        if choices.one_in(8) {
            self.text.extend(choices.pick(&[&b" "[..], b"\n  ", b"\r\n\t", b"\t", b"\r"]));
        }
    }

    fn string(&mut self, choices: &mut Choices<'_>, said: &[Said]) {
        self.text.push(b'"');
        for &one in said {
            match one {
                Said::Char(char) => self.char(choices, char),
                Said::Lone(unit) => {
                    self.lax = true;
                    self.text.extend(format!("\\u{unit:04X}").bytes());
                }
                Said::Bad(byte) => {
                    self.invalid = true;
                    self.text.push(byte);
                }
            }
        }
        self.text.push(b'"');
    }

    fn char(&mut self, choices: &mut Choices<'_>, char: char) {
        let short = match char {
            '"' => Some('"'),
            '\\' => Some('\\'),
            '/' => Some('/'),
            '\n' => Some('n'),
            '\r' => Some('r'),
            '\t' => Some('t'),
            '\u{8}' => Some('b'),
            '\u{c}' => Some('f'),
            _ => None,
        };
        match (choices.below(5), short) {
            (0, _) => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    self.text.extend(format!("\\u{unit:04x}").bytes());
                }
            }
            (1 | 2, Some(short)) => self.text.extend(format!("\\{short}").bytes()),
            (1, None) if char > '~' || matches!(char, 'a' | 'q' | '\'' | '{' | ' ' | '7') => {
                self.lax = true;
                self.text.extend(format!("\\{char}").bytes());
            }
            (_, Some(short @ ('"' | '\\'))) => self.text.extend(format!("\\{short}").bytes()),
            _ => {
                self.lax |= char < ' ';
                self.text.extend(char.to_string().bytes());
            }
        }
    }
}

fn assert_model(value: Value<'_>, model: &Model) {
    match model {
        Model::Null => assert_eq!(value.kind(), Kind::Null),
        Model::Bool(is) => assert_eq!(value.as_bool(), Some(*is)),
        Model::Number(number) => {
            assert_eq!(value.as_i64(), Some(*number), "{:?}", String::from_utf8_lossy(value.raw()))
        }
        Model::Text(said) => assert_eq!(value.as_str().expect("a string"), read(said)),
        Model::Array(elements) => {
            assert_eq!(value.kind(), Kind::Array);
            assert_eq!(value.elements().count(), elements.len());
            value.elements().zip(elements).for_each(|(value, model)| assert_model(value, model));
        }
        Model::Object(entries) => {
            assert_eq!(value.kind(), Kind::Object);
            assert_eq!(value.entries().count(), entries.len());
            for ((key, value), (said, model)) in value.entries().zip(entries) {
                assert_eq!(key.as_str().expect("a key"), read(said));
                assert_model(value, model);
            }
        }
    }
}
