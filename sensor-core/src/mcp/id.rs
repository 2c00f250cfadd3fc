//! JSON-RPC ids, compared by type and value: `"7"` is not `7`, `7` is `7.0`, `"a"` is `"\u0061"`.
//!
//! Progress tokens are compared in the same way.

use super::hash::Keyed;
use crate::json::{Kind, Value};
use std::borrow::Cow;

/// Bytes of an id's text that are kept; a longer one is compared by hash and length.
const KEPT: usize = 256;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Type {
    Integer(i64),
    Text,
    /// No string and no integer (`null`, `1.5`, an object): compared by its bytes.
    #[default]
    Other,
}

/// An id in a message.
#[derive(Clone, Copy, Debug)]
pub struct Id<'a> {
    value: Value<'a>,
    r#type: Type,
    hash: u64,
}

impl<'a> Id<'a> {
    /// Reads an id.
    #[must_use]
    pub fn new(value: Value<'a>, hash: Keyed) -> Self {
        let (r#type, hash) = if let Some(number) = value.as_i64() {
            (Type::Integer(number), hash.number(number.cast_unsigned()))
        } else if value.kind() == Kind::String {
            let text = value.as_str();
            (Type::Text, hash.bytes(text.as_deref().unwrap_or_default().as_bytes()))
        } else {
            (Type::Other, hash.bytes(value.raw()) ^ 1)
        };
        Self { value, r#type, hash }
    }

    /// Equal ids have equal hashes.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Its text as JSON, cut where it is very long.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        let raw = self.value.raw();
        if raw.len() <= KEPT {
            return String::from_utf8_lossy(raw);
        }
        let mut out = String::new();
        // Cut before the first escape or odd character, so that what is left is JSON again.
        let plain = raw.iter().skip(1).take(KEPT / 2).take_while(|&&byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'"');
        out.push('"');
        out.extend(plain.map(|&byte| char::from(byte)));
        out.push_str("\u{2026}\"");
        Cow::Owned(out)
    }
}

/// An id that is kept. Made once and written anew, so that keeping one allocates nothing in the long run.
#[derive(Clone, Debug, Default)]
pub struct KeptId {
    r#type: Type,
    hash: u64,
    /// As JSON.
    text: String,
    /// Without escapes; empty where `text` has none, or is cut.
    plain: String,
    /// Bytes of the whole text, where `text` is cut; else 0.
    length: usize,
}

impl KeptId {
    /// Takes the place of what was kept.
    pub fn set(&mut self, id: &Id<'_>) {
        self.r#type = id.r#type;
        self.hash = id.hash;
        self.text.clear();
        self.text.push_str(&id.text());
        self.plain.clear();
        let raw = id.value.raw();
        self.length = if raw.len() > KEPT { raw.len() } else { 0 };
        if self.length == 0
            && id.value.has_escapes()
            && let Some(text) = id.value.as_str()
        {
            self.plain.push_str(&text);
        }
    }

    /// Forgets it, and gives back memory that an unusual id took.
    pub fn clear(&mut self) {
        self.r#type = Type::Other;
        self.text.clear();
        self.plain.clear();
        self.plain.shrink_to(0);
    }

    /// As JSON.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// See [`Id::hash`].
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// True for the same id.
    #[must_use]
    pub fn is(&self, id: &Id<'_>) -> bool {
        if self.hash != id.hash || self.r#type != id.r#type {
            return false;
        }
        let raw = id.value.raw();
        match self.r#type {
            Type::Integer(_) => true,
            _ if self.length > 0 || raw.len() > KEPT => self.length == raw.len(),
            Type::Other => self.text.as_bytes() == raw,
            Type::Text if self.text.as_bytes() == raw => true,
            Type::Text if self.plain.is_empty() => id.value.is_str(self.text.trim_matches('"')),
            Type::Text => id.value.is_str(&self.plain),
        }
    }

    /// Bytes held beyond the struct's own.
    #[must_use]
    pub fn held(&self) -> usize {
        self.text.capacity() + self.plain.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Tape;

    fn same(left: &str, right: &str) -> bool {
        let (mut one, mut two) = (Tape::new(), Tape::new());
        one.parse(left.as_bytes()).unwrap();
        two.parse(right.as_bytes()).unwrap();
        let hash = Keyed::new(3);
        let mut kept = KeptId::default();
        kept.set(&Id::new(one.root(left.as_bytes()).unwrap(), hash));
        kept.is(&Id::new(two.root(right.as_bytes()).unwrap(), hash))
    }

    #[test]
    fn ids_are_equal_by_type_and_value() {
        for (left, right) in [
            ("7", "7.0"),
            ("70e-1", "7"),
            (r#""a""#, r#""\u0061""#),
            (r#""\u0061""#, r#""a""#),
            ("null", "null"),
            ("1.5", "1.5"),
            (r#""\"""#, r#""\u0022""#),
        ] {
            assert!(same(left, right), "{left} {right}");
        }
        for (left, right) in [("7", r#""7""#), ("7", "8"), (r#""a""#, r#""b""#), ("null", r#""null""#), (r#""""#, "0"), ("1.5", "1.50")] {
            assert!(!same(left, right), "{left} {right}");
        }
    }

    #[test]
    fn a_very_long_id_is_kept_short_and_still_told_from_others() {
        let long = |last: char| format!("\"{}{last}\"", "x".repeat(100_000));
        assert!(same(&long('a'), &long('a')));
        assert!(!same(&long('a'), &long('b')));
        let text = long('a');
        let mut tape = Tape::new();
        tape.parse(text.as_bytes()).unwrap();
        let mut kept = KeptId::default();
        kept.set(&Id::new(tape.root(text.as_bytes()).unwrap(), Keyed::new(0)));
        assert!(kept.held() < 1024);
        assert!(serde_json::from_str::<String>(kept.text()).is_ok());
    }
}
