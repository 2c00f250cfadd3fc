//! Captured JSON, read as far as showing it needs: without a parser's strictness, and without failing.
//!
//! What is cut off or broken reaches to the end of the text. Time is linear in the text, and nothing recurses. What comes
//! out is raw text, to be sanitised by whoever prints it.

/// Appends what a JSON string says. `quoted`: between quotes, so that quotes and backslashes inside keep their backslash.
pub(crate) fn unescape(inside: &str, limit: usize, quoted: bool, shown: &mut String) {
    let mut rest = inside;
    while shown.len() < limit {
        let (before, after) = rest.split_at(rest.find('\\').unwrap_or(rest.len()));
        shown.push_str(before.get(..before.floor_char_boundary(limit)).unwrap_or(before));
        let mut characters = after.chars();
        characters.next();
        let Some(escaped) = characters.next() else { return };
        rest = characters.as_str();
        match escaped {
            'n' => shown.push('\n'),
            't' => shown.push('\t'),
            'r' => shown.push('\r'),
            'b' => shown.push('\u{8}'),
            'f' => shown.push('\u{c}'),
            '"' | '\\' if quoted => shown.extend(['\\', escaped]),
            'u' => {
                let (character, left) = unicode_escape(rest);
                shown.push(character);
                rest = left;
            }
            other => shown.push(other),
        }
    }
}

/// The character of an escape, from behind its `\u`, and what follows. Half a pair is shown as U+FFFD.
fn unicode_escape(text: &str) -> (char, &str) {
    let unit = |text: &str| text.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
    let Some(first) = unit(text) else { return ('\u{fffd}', text) };
    let after_first = text.get(4..).unwrap_or("");
    let second = after_first.strip_prefix("\\u").and_then(unit);
    match char::decode_utf16([first].into_iter().chain(second)).next() {
        Some(Ok(character)) => {
            let used = if character.len_utf16() == 2 { 10 } else { 4 };
            (character, text.get(used..).unwrap_or(""))
        }
        _ => ('\u{fffd}', after_first),
    }
}

/// The value of an object's member; the last one where there are several. `None` where it has none or is no object.
pub(crate) fn member<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    members(json).filter(|(name, _)| *name == key).last().map(|(_, value)| value)
}

/// The members of an object: the name as it is written between its quotes, and the value. None where it is no object.
pub(crate) fn members(json: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut scanner = Scanner::new(json);
    scanner.skip_space();
    let mut more = scanner.eat(b'{');
    std::iter::from_fn(move || {
        scanner.skip_space();
        if !more || scanner.peek()? != b'"' {
            return None;
        }
        let name = scanner.string();
        scanner.skip_space();
        if !scanner.eat(b':') {
            more = false;
            return None;
        }
        let value = scanner.value();
        scanner.skip_space();
        more = scanner.eat(b',');
        Some((name, value))
    })
}

/// The elements of an array; none where it is no array.
pub(crate) fn elements(json: &str) -> impl Iterator<Item = &str> {
    let mut scanner = Scanner::new(json);
    scanner.skip_space();
    let mut more = scanner.eat(b'[');
    std::iter::from_fn(move || {
        scanner.skip_space();
        if !more || matches!(scanner.peek(), None | Some(b']')) {
            return None;
        }
        let value = scanner.value();
        scanner.skip_space();
        more = scanner.eat(b',');
        Some(value)
    })
}

/// Levels that are indented. Deeper ones stay on their line, or text of nothing but brackets would grow without measure.
const INDENTED: usize = 32;

/// Bytes of a list or an object of plain values that stays on one line.
const SHORT: usize = 72;

/// JSON with line breaks and two spaces a level. Strings and numbers stay as they are written. Text that is no object and no
/// list comes out as it is.
pub(crate) fn pretty(json: &str) -> String {
    let mut shown = String::with_capacity(json.len() + json.len() / 4);
    let mut scanner = Scanner::new(json);
    let mut depth = 0_usize;
    let break_line = |shown: &mut String, depth: usize| {
        if depth <= INDENTED {
            shown.push('\n');
            shown.extend(std::iter::repeat_n("  ", depth));
        }
    };
    if !matches!(json.trim_start().as_bytes().first(), Some(b'{' | b'[')) {
        return json.to_owned();
    }
    loop {
        scanner.skip_space();
        let Some(byte) = scanner.peek() else { return shown };
        match byte {
            b'{' | b'[' => {
                if let Some(short) = scanner.short() {
                    shown.push_str(&short);
                    continue;
                }
                scanner.at += 1;
                depth += 1;
                shown.push(char::from(byte));
                break_line(&mut shown, depth);
            }
            b'}' | b']' => {
                scanner.at += 1;
                depth = depth.saturating_sub(1);
                break_line(&mut shown, depth);
                shown.push(char::from(byte));
            }
            b',' => {
                scanner.at += 1;
                shown.push(',');
                break_line(&mut shown, depth);
            }
            b':' => {
                scanner.at += 1;
                shown.push_str(": ");
            }
            b'"' => {
                let start = scanner.at;
                scanner.string();
                shown.push_str(scanner.since(start));
            }
            _ => shown.push_str(scanner.scalar()),
        }
    }
}

/// Walks over JSON text. What is cut off or broken reaches to the end of the text.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    pub(crate) at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    pub(crate) fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// A short list or object of plain values, on one line. `None`, and nothing is read, where it is another.
    fn short(&mut self) -> Option<String> {
        let start = self.at;
        let found = self.try_short();
        if found.is_none() {
            self.at = start;
        }
        found
    }

    fn try_short(&mut self) -> Option<String> {
        let (open, start) = (self.peek()?, self.at);
        let is_object = open == b'{';
        let close = if is_object { b'}' } else { b']' };
        let mut shown = String::from(char::from(open));
        self.at += 1;
        loop {
            self.skip_space();
            if self.at - start > SHORT {
                return None;
            }
            match self.peek()? {
                byte if byte == close => {
                    self.at += 1;
                    let padding = if is_object && shown.len() > 1 { " " } else { "" };
                    shown.push_str(padding);
                    shown.push(char::from(close));
                    return Some(shown);
                }
                b'{' | b'[' | b'}' | b']' => return None,
                b',' => {
                    self.at += 1;
                    shown.push_str(", ");
                }
                b':' => {
                    self.at += 1;
                    shown.push_str(": ");
                }
                byte => {
                    if is_object && shown.len() == 1 {
                        shown.push(' ');
                    }
                    let from = self.at;
                    if byte == b'"' {
                        self.string();
                    } else {
                        self.scalar();
                    }
                    shown.push_str(self.since(from));
                }
            }
        }
    }

    /// What stands between the quote at `at` and the one that ends it, still escaped.
    pub(crate) fn string(&mut self) -> &'a str {
        let start = self.at + 1;
        self.at = start;
        while let Some(byte) = self.peek() {
            if byte == b'"' {
                let inside = self.since(start);
                self.at += 1;
                return inside;
            }
            self.at += if byte == b'\\' { 2 } else { 1 };
        }
        self.at = self.text.len();
        self.since(start)
    }

    /// A number, `true` and the like: whatever comes before the next delimiter. At least one character.
    pub(crate) fn scalar(&mut self) -> &'a str {
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or("");
        let delimiter = |character: char| matches!(character, ',' | ':' | '{' | '}' | '[' | ']' | '"') || character.is_ascii_whitespace();
        let length = rest.find(delimiter).unwrap_or(rest.len());
        self.at += if length == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { length };
        self.since(start)
    }

    /// Any value, with all that is in it.
    pub(crate) fn value(&mut self) -> &'a str {
        self.skip_space();
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => _ = self.string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    if depth == 0 {
                        break;
                    }
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' => self.at += 1,
                _ => _ = self.scalar(),
            }
            if depth == 0 {
                break;
            }
        }
        self.since(start)
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at.min(self.text.len())).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_several_members_of_one_name_the_last_counts() {
        assert_eq!(member(r#"{"a":1,"a":[2,"]"],"b":3}"#, "a"), Some(r#"[2,"]"]"#));
        assert_eq!(member(r#"{"b":{"a":1}}"#, "a"), None);
    }

    #[test]
    fn pretty_json_breaks_where_a_reader_would() {
        let json = r#"{"a":[1,2,{"b":"x,{y"}],"c":{},"long":["one one one one one one one one one one","two two two two two two two two two two"]}"#;
        insta::assert_snapshot!(pretty(json));
        assert_eq!(pretty(r#"{"a":1,"b":[]}"#), "{\n  \"a\": 1,\n  \"b\": []\n}");
        assert_eq!(pretty(r#" {"a" : 1 , "b":true}"#), r#"{ "a": 1, "b": true }"#);
        assert_eq!(pretty("no json, at all"), "no json, at all");
    }

    #[test]
    fn nothing_but_brackets_does_not_grow_without_measure() {
        let deep = "[".repeat(100_000);
        assert!(pretty(&deep).len() < 2 * deep.len());
    }

    proptest! {
        #[test]
        fn pretty_json_says_the_same(text in r#"[\[\]{}",:\\u0-9a é€ ]{0,80}"#) {
            let bare = |text: &str| text.chars().filter(|character| !character.is_ascii_whitespace()).collect::<String>();
            prop_assert_eq!(bare(&pretty(&text)), bare(&text));
        }
    }
}
