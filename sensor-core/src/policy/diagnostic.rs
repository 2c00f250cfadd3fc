//! What is wrong with a policy file, where, and how to mend it.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// Line in the file, from 1; 0 where it has no place.
    pub line: u64,
    /// Column (characters) in the line, from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// How to mend it; empty where the message says it.
    pub help: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(formatter, "line {}, column {}: ", self.line, self.column)?;
        }
        formatter.write_str(&self.message)?;
        if !self.help.is_empty() {
            write!(formatter, " ({})", self.help)?;
        }
        Ok(())
    }
}

/// The known name that is most like this one, in words; empty where none is like it.
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let best = known.into_iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match best {
        Some((distance, known)) if distance <= (name.len() / 3).max(2) => format!("did you mean `{known}`?"),
        _ => String::new(),
    }
}

/// Counts lines and columns (characters, from 1) to a byte of a text.
pub fn position(text: &str, at: usize) -> (u64, u64) {
    let before = text.get(..text.floor_char_boundary(at)).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() as u64 + 1;
    let column = before.get(line_start..).unwrap_or_default().chars().count() as u64 + 1;
    (line, column)
}
