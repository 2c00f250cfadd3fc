//! Writes the members of one JSON object, leaving out what has its default value.

use std::io::Write as _;

use prost_types::Timestamp;

use super::captured;

/// An object under way. It has been opened; [`Object::end`] closes it.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens an object at the end of `out`.
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Closes it.
    pub fn end(self) {
        self.out.push(b'}');
    }

    /// Writes the name of a member. Names come from the contract and need no escapes.
    fn name(&mut self, name: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Text, unless it is empty.
    pub fn string(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.name(name);
            write_string(value, self.out);
        }
    }

    /// Texts, unless there are none.
    pub fn strings(&mut self, name: &str, values: &[String]) {
        self.list(name, values, |value, out| write_string(value, out));
    }

    /// Captured JSON: stands as JSON where it is, and otherwise as a string, marked.
    pub fn captured(&mut self, name: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        self.name(name);
        match captured::check(text) {
            captured::Shape::Json => self.out.extend_from_slice(text.as_bytes()),
            captured::Shape::JsonToEscape => write_json_with_escapes(text, self.out),
            captured::Shape::Text => {
                write_string(text, self.out);
                self.out.extend_from_slice(b",\"");
                self.out.extend_from_slice(name.as_bytes());
                self.out.extend_from_slice(b"IsText\":true");
            }
        }
    }

    /// `true`, or nothing.
    pub fn boolean(&mut self, name: &str, value: bool) {
        if value {
            self.name(name);
            self.out.extend_from_slice(b"true");
        }
    }

    /// A number, unless it is 0.
    pub fn unsigned32(&mut self, name: &str, value: u32) {
        self.optional32(name, (value != 0).then_some(value));
    }

    /// A number.
    pub fn optional32(&mut self, name: &str, value: Option<u32>) {
        if let Some(value) = value {
            self.name(name);
            self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
    }

    /// A number as a string, unless it is 0.
    pub fn unsigned64(&mut self, name: &str, value: u64) {
        self.optional64(name, (value != 0).then_some(value));
    }

    /// Stands as a string: many readers of JSON have no integers beyond 2⁵³.
    pub fn optional64(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.name(name);
            self.out.push(b'"');
            self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
            self.out.push(b'"');
        }
    }

    /// A number; what JSON cannot tell stands as a string.
    pub fn optional_double(&mut self, name: &str, value: Option<f64>) {
        let Some(value) = value else { return };
        self.name(name);
        if value.is_nan() {
            self.out.extend_from_slice(b"\"NaN\"");
        } else if value.is_infinite() {
            self.out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
        } else {
            write_formatted(format_args!("{value:?}"), self.out);
        }
    }

    /// A time.
    pub fn time(&mut self, name: &str, value: Option<&Timestamp>) {
        if let Some(value) = value {
            self.name(name);
            write_time(value, self.out);
        }
    }

    /// An enum by its name; by its number where this version has no name for it.
    pub fn enumeration<E: TryFrom<i32>>(&mut self, name: &str, value: i32, text: fn(&E) -> &'static str) {
        if value != 0 {
            self.name(name);
            write_enumeration(value, text, self.out);
        }
    }

    /// Enums by their names.
    pub fn enumerations<E: TryFrom<i32>>(&mut self, name: &str, values: &[i32], text: fn(&E) -> &'static str) {
        self.list(name, values, |value, out| write_enumeration(*value, text, out));
    }

    /// An object of its own.
    pub fn message<M>(&mut self, name: &str, value: Option<&M>, fields: fn(&M, &mut Object<'_>)) {
        if let Some(value) = value {
            self.name(name);
            let mut object = Object::begin(self.out);
            fields(value, &mut object);
            object.end();
        }
    }

    /// A list of objects, unless there are none.
    pub fn messages<M>(&mut self, name: &str, values: &[M], fields: fn(&M, &mut Object<'_>)) {
        self.list(name, values, |value, out| {
            let mut object = Object::begin(out);
            fields(value, &mut object);
            object.end();
        });
    }

    /// A list of objects of whatever `values` gives, also where it gives none.
    pub fn objects<T>(&mut self, name: &str, values: impl IntoIterator<Item = T>, mut fields: impl FnMut(T, &mut Object<'_>)) {
        self.name(name);
        self.out.push(b'[');
        for (position, value) in values.into_iter().enumerate() {
            if position > 0 {
                self.out.push(b',');
            }
            let mut object = Object::begin(self.out);
            fields(value, &mut object);
            object.end();
        }
        self.out.push(b']');
    }

    fn list<T>(&mut self, name: &str, values: &[T], mut write: impl FnMut(&T, &mut Vec<u8>)) {
        let Some((first, rest)) = values.split_first() else { return };
        self.name(name);
        self.out.push(b'[');
        write(first, self.out);
        for value in rest {
            self.out.push(b',');
            write(value, self.out);
        }
        self.out.push(b']');
    }
}

fn write_formatted(arguments: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    // Writing to a `Vec` fails only where a `Display` does, and those of numbers do not.
    let _ = out.write_fmt(arguments);
}

fn write_enumeration<E: TryFrom<i32>>(value: i32, text: fn(&E) -> &'static str, out: &mut Vec<u8>) {
    if let Ok(known) = E::try_from(value) {
        out.push(b'"');
        out.extend_from_slice(text(&known).as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
}

/// RFC 3339 in UTC, always with nine digits of a second, so that the texts sort like the times.
fn write_time(time: &Timestamp, out: &mut Vec<u8>) {
    // The first second of the year 1 and the last one of 9999.
    let seconds = time.seconds.clamp(-62_135_596_800, 253_402_300_799);
    let nanoseconds = time.nanos.clamp(0, 999_999_999);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));

    // Days to a date of the Gregorian calendar, counting from 1 March 0000 in eras of 400 years
    // (https://howardhinnant.github.io/date_algorithms.html#civil_from_days).
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);

    let mut digits = |separator: u8, value: i64, width: u32| {
        out.push(separator);
        for place in (0..width).rev() {
            // A digit: below 10.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 9")]
            out.push(b'0' + (value / 10_i64.pow(place) % 10) as u8);
        }
    };
    digits(b'"', year, 4);
    digits(b'-', month, 2);
    digits(b'-', day, 2);
    digits(b'T', second / 3_600, 2);
    digits(b':', second / 60 % 60, 2);
    digits(b':', second % 60, 2);
    digits(b'.', i64::from(nanoseconds), 9);
    out.extend_from_slice(b"Z\"");
}

/// What a byte of UTF-8 text asks of the writer.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Class {
    /// Nothing: it is copied.
    Plain,
    /// `"` or `\`.
    Quote,
    /// A control character, one byte long.
    Control,
    /// The first byte of a longer character that may be [`hidden`].
    Look,
}

/// The class of each byte.
pub(super) const CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut classes = [Class::Plain; 256];
    let mut byte = 0_u8;
    loop {
        #[allow(clippy::indexing_slicing, reason = "a byte is below 256, and the compiler runs this")]
        {
            classes[byte as usize] = match byte {
                b'"' | b'\\' => Class::Quote,
                0..=0x1f | 0x7f => Class::Control,
                0xc2 | 0xd8 | 0xe1 | 0xe2 | 0xef | 0xf3 => Class::Look,
                _ => Class::Plain,
            };
        }
        if byte == u8::MAX {
            return classes;
        }
        byte += 1;
    }
}

pub(super) fn class(byte: u8) -> Class {
    #[allow(clippy::indexing_slicing, reason = "a byte is below 256")]
    CLASSES[usize::from(byte)]
}

/// True for characters beyond ASCII that change or hide what is shown, or end a line for some readers: the second half
/// of the control characters, marks that reverse the writing direction, line separators, and invisible characters.
pub(super) const fn hidden(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, true, out);
    out.push(b'"');
}

/// Copies JSON text, escaping the hidden characters in its strings (in valid JSON they stand nowhere else).
fn write_json_with_escapes(text: &str, out: &mut Vec<u8>) {
    escape(text, false, out);
}

fn escape(text: &str, quotes: bool, out: &mut Vec<u8>) {
    let mut rest = text;
    let mut searched = 0;
    loop {
        let found = rest.as_bytes().iter().skip(searched).position(|byte| class(*byte) != Class::Plain);
        let (before, special) = match found.and_then(|position| rest.split_at_checked(searched + position)) {
            Some(parts) => parts,
            None => return out.extend_from_slice(rest.as_bytes()),
        };
        let Some(character) = special.chars().next() else { return };
        let escaped = match character {
            '"' | '\\' | '\t' => quotes,
            _ => character.is_ascii() || hidden(character),
        };
        if !escaped {
            searched = before.len() + character.len_utf8();
            continue;
        }
        out.extend_from_slice(before.as_bytes());
        write_escape(character, out);
        rest = special.get(character.len_utf8()..).unwrap_or_default();
        searched = 0;
    }
}

fn write_escape(character: char, out: &mut Vec<u8>) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write_formatted(format_args!("\\u{unit:04x}"), out);
            }
        }
    }
}
