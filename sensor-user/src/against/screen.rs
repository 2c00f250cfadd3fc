//! What of a server's words may be shown, and compared with what was redacted.

use super::{
    diff::{Found, pointer},
    report::{Change, Changes},
};
use sensor_core::{
    json::Tape,
    redact::{Level, Redactor},
};
use serde_json::Value;
use std::io::{self, Write};

/// Bytes of a value that a report keeps.
const KEPT: usize = 4096;

/// Characters of two texts that are shown before they part.
const BEFORE: usize = 32;

/// Takes secrets out of documents.
pub struct Screen {
    level: Level,
    redactor: Redactor,
    tape: Tape,
}

impl Screen {
    /// Shows so much.
    pub fn new(level: Level) -> Self {
        Self { level, redactor: Redactor::new(level), tape: Tape::new() }
    }

    /// A document as a report keeps it. Empty where nothing is shown.
    pub fn json(&mut self, document: &Value) -> String {
        match self.level {
            Level::Full => json(document),
            Level::Redacted | Level::None => self.hide(document).as_ref().map(json).unwrap_or_default(),
        }
    }

    /// What differs in two documents that stand at `root`, as a report keeps it.
    ///
    /// What is shown of a value hangs on where it stands: the documents are screened, and the values taken from them.
    pub fn changes(&mut self, found: &Found<'_>, root: &[&str], then: &Value, now: &Value) -> Changes {
        let prefix = pointer(root);
        let hidden = (self.level != Level::Full).then(|| (self.hide(then), self.hide(now)));
        let changes = found.changes.iter().map(|change| {
            let place = change.pointer.strip_prefix(&prefix).unwrap_or_default();
            let [then, now] = match &hidden {
                None => excerpts(change.then, change.now),
                Some((then, now)) => {
                    let shown = |value: Option<&Value>, document: &'_ Option<Value>| value.and(document.as_ref()?.pointer(place).cloned());
                    excerpts(shown(change.then, then).as_ref(), shown(change.now, now).as_ref())
                }
            };
            Change { pointer: change.pointer.clone(), then, now }
        });
        Changes { changes: changes.collect(), more: found.more }
    }

    /// A document as it may be shown. `None` where nothing may be, or where it has too many parts to be looked through.
    pub fn hide(&mut self, document: &Value) -> Option<Value> {
        let text = document.to_string();
        let mut shown = String::new();
        if self.tape.parse(text.as_bytes()).is_ok()
            && let Some(root) = self.tape.root(text.as_bytes())
        {
            self.redactor.value(root, usize::MAX, &mut shown);
        }
        serde_json::from_str(&shown).ok()
    }
}

/// Two values as a report keeps them: JSON text, cut; of long texts, from about where they part.
pub fn excerpts(then: Option<&Value>, now: Option<&Value>) -> [Option<String>; 2] {
    if let (Some(Value::String(then)), Some(Value::String(now))) = (then, now) {
        let same = then.char_indices().zip(now.chars()).take_while(|((_, left), right)| left == right).map(|((at, _), _)| at);
        let parts = same.last().unwrap_or(0);
        let skipped = then.get(..parts).and_then(|before| before.char_indices().rev().nth(BEFORE)).map_or(0, |(at, _)| at);
        let from = |text: &str| {
            let rest = text.get(skipped..).unwrap_or_default();
            if skipped == 0 { json(&Value::from(rest)) } else { json(&Value::from(format!("…{}", cut(rest, KEPT)))) }
        };
        return [Some(from(then)), Some(from(now))];
    }
    [then.map(json), now.map(json)]
}

/// A value as JSON text, cut.
pub fn json(value: &Value) -> String {
    let mut limited = Limited(Vec::new());
    let whole = serde_json::to_writer(&mut limited, value).is_ok();
    let text = String::from_utf8_lossy(&limited.0).into_owned();
    if whole { text } else { format!("{}…", cut(&text, KEPT)) }
}

/// The beginning of a text, of so many bytes at most.
pub fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// Takes so much and no more.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = KEPT.saturating_sub(self.0.len());
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.0.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_texts_are_shown_from_where_they_part() {
        let (then, now) = (json!(format!("{}ä1", "ü".repeat(100))), json!(format!("{}ä2", "ü".repeat(100))));
        let [Some(then), Some(now)] = excerpts(Some(&then), Some(&now)) else { panic!("both are there") };
        assert!(then.starts_with("\"…ü") && then.ends_with("1\"") && now.ends_with("2\"") && then.len() < 100, "{then} {now}");
        assert_eq!(excerpts(Some(&json!("a")), Some(&json!("ab"))), [Some("\"a\"".to_owned()), Some("\"ab\"".to_owned())]);
        assert_eq!(excerpts(None, Some(&json!([1]))), [None, Some("[1]".to_owned())]);
    }

    #[test]
    fn a_big_value_is_cut() {
        let shown = json(&json!(vec!["ä"; 100_000]));
        assert!(shown.len() <= KEPT + 3 && shown.ends_with('…'));
    }

    #[test]
    fn secrets_are_taken_out() {
        let mut screen = Screen::new(Level::Redacted);
        assert_eq!(screen.hide(&json!({"password": "hunter22", "a": 1})), Some(json!({"password": "[redacted:password:8]", "a": 1})));
        assert_eq!(Screen::new(Level::None).hide(&json!({"a": 1})), None);
    }
}
