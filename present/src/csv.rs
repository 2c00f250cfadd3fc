//! Comma-separated values (RFC 4180) that a spreadsheet opens without harm.
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, and a formula can fetch and send data.
//! Such a cell gets an apostrophe before it, which makes it text. What a terminal or an editor obeys is escaped as in
//! tables ([`crate::sanitize`]), so one record is always one line.
//!
//! Invariants, tested with arbitrary text: every row reads back as as many cells as it was given; no cell begins like a
//! formula; no control character comes out but the line end.

use crate::sanitize::sanitize;

/// Builds rows.
#[derive(Debug, Default)]
pub struct Row {
    cells: usize,
}

impl Row {
    /// A row that begins.
    #[must_use]
    pub const fn new() -> Self {
        Self { cells: 0 }
    }

    /// Appends a cell of text from outside.
    pub fn cell(&mut self, text: &str, out: &mut Vec<u8>) {
        if self.cells > 0 {
            out.push(b',');
        }
        self.cells += 1;
        let guard = if is_formula(text) { "'" } else { "" };
        let safe = sanitize(text);
        let needs_quotes = safe.contains(['"', ',', ';', ' ']);
        if needs_quotes {
            out.push(b'"');
            out.extend_from_slice(guard.as_bytes());
            out.extend_from_slice(safe.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(guard.as_bytes());
            out.extend_from_slice(safe.as_bytes());
        }
    }

    /// Ends the row.
    pub fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends a whole row.
pub fn row<'a>(cells: impl IntoIterator<Item = &'a str>, out: &mut Vec<u8>) {
    let mut row = Row::new();
    cells.into_iter().for_each(|cell| row.cell(cell, out));
    row.end(out);
}

/// True where a spreadsheet may take the cell for a formula. Wide forms are read like the narrow ones by some.
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(cells: &[&str]) -> String {
        let mut out = Vec::new();
        row(cells.iter().copied(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(shown(&["a", "", "b,c", "say \"x\"", "é"]), "a,,\"b,c\",\"say \"\"x\"\"\",é\r\n");
        assert_eq!(shown(&["two\r\nlines", "\u{1b}[2J"]), "two␍␊lines,␛[2J\r\n");
    }

    #[test]
    fn a_formula_is_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"] {
            let row = shown(&[formula, "x"]);
            assert!(row.starts_with('\'') || row.starts_with("\"'"), "{row:?}");
        }
        assert_eq!(shown(&["=HYPERLINK(\"http://x\",\"y\")"]), "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"\r\n");
        assert_eq!(shown(&["1-1", "a@b"]), "1-1,a@b\r\n");
    }

    /// Reads one record as RFC 4180 says.
    fn read(record: &str) -> Vec<String> {
        let mut cells = vec![String::new()];
        let mut characters = record.strip_suffix("\r\n").unwrap().chars().peekable();
        let mut quoted = false;
        while let Some(character) = characters.next() {
            let cell = cells.last_mut().unwrap();
            match character {
                '"' if quoted && characters.peek() == Some(&'"') => cell.push(characters.next().unwrap()),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                other => cell.push(other),
            }
        }
        cells
    }

    proptest! {
        #[test]
        fn a_row_reads_back_and_does_no_harm(cells in proptest::collection::vec("[-=+@,\"'a \t\r\n\u{1b}\u{202e}é]{0,6}", 1..5)) {
            let row = shown(&cells.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(row.matches('\n').count(), 1);
            prop_assert!(!row.trim_end_matches("\r\n").contains(char::is_control));
            let read = read(&row);
            prop_assert_eq!(read.len(), cells.len());
            for (found, cell) in read.iter().zip(&cells) {
                prop_assert!(!is_formula(found));
                prop_assert_eq!(found.trim_start_matches('\'').to_owned(), sanitize(cell).trim_start_matches('\'').to_owned());
            }
        }
    }
}
