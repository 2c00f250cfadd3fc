//! Decides how captured text stands in the output.

use super::object::{Class, class, hidden};

/// The deepest nesting that stands as JSON. Common parsers stop at 128, and an event adds three levels.
const DEPTH: u32 = 100;

/// How captured text stands in the output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// As it is.
    Json,
    /// As JSON, with the hidden characters in its strings escaped.
    JsonToEscape,
    /// As a string.
    Text,
}

/// Finds whether `text` is one JSON value on one line that common parsers take.
pub(super) fn check(text: &str) -> Shape {
    let mut checker = Checker { text, at: 0, hidden: false };
    match checker.document() {
        None => Shape::Text,
        Some(()) if checker.hidden => Shape::JsonToEscape,
        Some(()) => Shape::Json,
    }
}

struct Checker<'a> {
    text: &'a str,
    /// Position of the next byte.
    at: usize,
    /// A hidden character was seen in a string.
    hidden: bool,
}

impl Checker<'_> {
    /// One value and white space around it. `None`: it is not that.
    fn document(&mut self) -> Option<()> {
        // One bit for each open object or array, the innermost lowest: 1 for an object.
        let mut open = 0_u128;
        let mut depth = 0;
        loop {
            // Before a value.
            let entered = match self.next_token()? {
                b'{' => {
                    open = open << 1 | 1;
                    true
                }
                b'[' => {
                    open <<= 1;
                    true
                }
                b'"' => {
                    self.string()?;
                    false
                }
                b't' => self.literal(b"rue")?,
                b'f' => self.literal(b"alse")?,
                b'n' => self.literal(b"ull")?,
                first => self.number(first)?,
            };
            if entered {
                depth += 1;
                if depth > DEPTH {
                    return None;
                }
                self.space();
                let object = open & 1 == 1;
                if self.peek()? != if object { b'}' } else { b']' } {
                    if object {
                        self.key()?;
                    }
                    continue;
                }
                self.at += 1;
                open >>= 1;
                depth -= 1;
            }
            // After a value.
            loop {
                self.space();
                if depth == 0 {
                    return self.peek().is_none().then_some(());
                }
                let object = open & 1 == 1;
                match self.next()? {
                    b',' => {
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if object => {}
                    b']' if !object => {}
                    _ => return None,
                }
                open >>= 1;
                depth -= 1;
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Line ends and tabs are white space in JSON, but not here.
    fn space(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    fn next_token(&mut self) -> Option<u8> {
        self.space();
        self.next()
    }

    fn literal(&mut self, rest: &[u8]) -> Option<bool> {
        for expected in rest {
            if self.next()? != *expected {
                return None;
            }
        }
        Some(false)
    }

    fn key(&mut self) -> Option<()> {
        if self.next_token()? != b'"' {
            return None;
        }
        self.string()?;
        (self.next_token()? == b':').then_some(())
    }

    /// The rest of a string behind its opening quote.
    fn string(&mut self) -> Option<()> {
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            self.at += rest.iter().position(|byte| class(*byte) != Class::Plain)?;
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                0x7f => self.hidden = true,
                byte if class(byte) == Class::Control => return None,
                _ => {
                    // The byte before is the first of a character, or `get` gives nothing.
                    let character = self.text.get(self.at - 1..)?.chars().next()?;
                    self.hidden |= hidden(character);
                    self.at += character.len_utf8() - 1;
                }
            }
        }
    }

    /// The rest of an escape behind its backslash. Half a surrogate pair is no text, and many parsers refuse it.
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.unit()? {
                0xd800..=0xdbff => {
                    let pair = self.next()? == b'\\' && self.next()? == b'u' && (0xdc00..=0xdfff).contains(&self.unit()?);
                    pair.then_some(())
                }
                0xdc00..=0xdfff => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    fn unit(&mut self) -> Option<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit << 4 | char::from(self.next()?).to_digit(16)?;
        }
        Some(unit)
    }

    /// The rest of a number behind its first byte. It must fit a double: several parsers refuse one that does not.
    fn number(&mut self, first: u8) -> Option<bool> {
        let start = self.at - 1;
        let first = if first == b'-' { self.next()? } else { first };
        match first {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        let mut large = self.at - start > 300;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            large = true;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        if large {
            let value: f64 = self.text.get(start..self.at)?.parse().ok()?;
            return value.is_finite().then_some(false);
        }
        Some(false)
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Option<()> {
        let before = self.at;
        self.digits();
        (self.at > before).then_some(())
    }
}
