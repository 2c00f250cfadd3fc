//! Tables of a few columns, for people.
//!
//! Invariant: every cell went through [`Line::raw`] or is our own text, so nothing from outside reaches the terminal as it came.

use present::style::{Line, Style, Styles};
use present::units;

/// Columns between two cells.
const GAP: usize = 2;

/// Columns of one cell at most, but for the last.
const WIDEST: usize = 48;

/// A table with a header.
pub(super) struct Grid {
    rows: Vec<Vec<Line>>,
}

impl Grid {
    /// With these columns.
    pub(super) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|name| Line::own(Style::BOLD, name)).collect()] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<Line>) {
        self.rows.push(cells);
    }

    /// As it is printed, in so many columns.
    pub(super) fn render(self, columns: usize, styles: Styles) -> String {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| self.rows.iter().filter_map(|row| row.get(column)).map(Line::width).max().unwrap_or(0);
        let widths: Vec<usize> =
            (0..count).map(|column| if column + 1 == count { width(column) } else { width(column).min(WIDEST) }).collect();
        let mut shown = String::new();
        for row in self.rows {
            let mut line = Line::default();
            for (cell, width) in row.into_iter().zip(&widths) {
                if !line.is_empty() {
                    line.push_own(Style::PLAIN, &" ".repeat(GAP));
                }
                line.push_line(cell.fill(*width));
            }
            let mut text = String::new();
            line.cut(columns.max(40)).print(styles, &mut text);
            shown.push_str(text.trim_end());
            shown.push('\n');
        }
        shown
    }
}

/// Text from outside.
pub(super) fn raw(text: &str) -> Line {
    Line::raw(Style::PLAIN, text)
}

/// A number; nothing where it is 0.
pub(super) fn count(number: u64, style: Style) -> Line {
    if number == 0 { Line::own(Style::DIM, "-") } else { Line::own(style, &units::grouped(number)) }
}

/// How long ago a time was, in few words.
pub(super) fn ago(now: i64, time: Option<&prost_types::Timestamp>) -> Line {
    let Some(time) = time.and_then(crate::event::keys::nanoseconds) else { return Line::own(Style::DIM, "never") };
    let age = u64::try_from(now.saturating_sub(time)).unwrap_or(0);
    const DAY: u64 = 86_400_000_000_000;
    if age >= 4 * DAY { Line::own(Style::PLAIN, &format!("{}d", age / DAY)) } else { Line::own(Style::PLAIN, &units::duration(age)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_never_reaches_the_terminal_raw() {
        let mut grid = Grid::new(&["NAME", "SAID"]);
        grid.row(vec![raw("a\u{1b}[2Jb"), raw("x\u{202e}y\r\nz")]);
        let shown = grid.render(80, Styles::PLAIN);
        assert_eq!(shown, "NAME     SAID\na␛[2Jb   x\\u{202e}y␍␊z\n".replace("NAME     SAID", "NAME    SAID").replace("b   x", "b  x"));
    }
}
