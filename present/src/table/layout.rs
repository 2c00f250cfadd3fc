//! Where things stand in a line of so many columns.
//!
//! From [`WIDE`] columns on, each thing has its column. Below that, tool, arguments and result share one, so that each call
//! still is one line. Invariant: no line is wider than the terminal, if that has [`NARROWEST`] columns.

use crate::style::{Line, Style};
use crate::units::Moment;

use super::peers::Peers;

/// Columns from which on arguments and result have columns of their own.
const WIDE: usize = 100;

/// Columns below which lines are as if there were so many.
const NARROWEST: usize = 40;

/// Columns of a duration.
const TOOK: usize = 7;

/// One line of the table, to be laid out.
pub(super) struct Row {
    /// When.
    pub(super) time: Moment,
    /// Who talks to whom.
    pub(super) peers: Peers,
    /// The tool or the method.
    pub(super) tool: Line,
    /// The arguments, in short.
    pub(super) arguments: Line,
    /// The result, in short.
    pub(super) result: Line,
    /// How long it took, or how big it is.
    pub(super) took: Line,
}

/// The columns of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Layout {
    /// Of the whole line.
    pub(super) columns: usize,
    time: usize,
    gap: &'static str,
    peers: usize,
    tool: usize,
    arguments: usize,
    result: usize,
}

impl Layout {
    /// For a terminal of so many columns.
    pub(super) fn new(columns: usize) -> Self {
        let columns = columns.max(NARROWEST);
        if columns < WIDE {
            let left = columns - 8 - TOOK - 3;
            // Names need room more than what is said, down to a width where nothing has any.
            let peers = (left * 2 / 5).max(22.min(left / 2 + 1));
            return Self { columns, time: 8, gap: " ", peers, tool: left - peers, arguments: 0, result: 0 };
        }
        let left = columns - 12 - TOOK - 10;
        let peers = (left * 9 / 25).min(56);
        let tool = (left * 4 / 25).min(28);
        let arguments = (left - peers - tool) * 9 / 20;
        Self { columns, time: 12, gap: "  ", peers, tool, arguments, result: left - peers - tool - arguments }
    }

    /// True where arguments and result have columns of their own.
    const fn is_wide(self) -> bool {
        self.result > 0
    }

    /// The line that names the columns.
    pub(super) fn header(self) -> Line {
        let style = Style::BOLD;
        let own = |text| Line::own(style, text);
        let took = own("   TOOK");
        if self.is_wide() {
            let cells = [
                own("TIME (UTC)").fill(self.time),
                own("CLIENT → SERVER").fill(self.peers),
                own("TOOL").fill(self.tool),
                own("ARGUMENTS").fill(self.arguments),
                own("RESULT").fill(self.result),
                took,
            ];
            return self.joined(cells);
        }
        let cells =
            [own("UTC").fill(self.time), own("CLIENT → SERVER").fill(self.peers), own("TOOL arguments → RESULT").fill(self.tool), took];
        self.joined(cells)
    }

    /// A line of the table.
    pub(super) fn row(self, row: Row) -> Line {
        let Row { time, peers, tool, arguments, result, took } = row;
        let missing = TOOK.saturating_sub(took.width());
        let mut took_right = Line::own(Style::PLAIN, &" ".repeat(missing));
        took_right.push_line(took.cut(TOOK));
        let (time, peers) = (self.time_cell(time), peers.fit(self.peers).fill(self.peers));
        if self.is_wide() {
            let cells = [time, peers, tool.fill(self.tool), arguments.fill(self.arguments), result.fill(self.result), took_right];
            return self.joined(cells);
        }
        self.joined([time, peers, call(tool, arguments, result, self.tool).fill(self.tool), took_right])
    }

    /// A line of words about a session: cut where it is too long.
    pub(super) fn note(self, time: Moment, words: Line) -> Line {
        self.joined([self.time_cell(time), words]).cut(self.columns)
    }

    /// Words that must be read to the end: broken into lines.
    pub(super) fn warning(self, time: Moment, words: Line) -> Vec<Line> {
        let indent = self.time + self.gap.len();
        let lines = words.wrap(self.columns.saturating_sub(indent));
        let first = self.time_cell(time);
        let behind = Line::default().fill(self.time);
        let starts = std::iter::once(first).chain(std::iter::repeat(behind));
        starts.zip(lines).map(|(start, line)| self.joined([start, line])).collect()
    }

    fn time_cell(self, time: Moment) -> Line {
        Line::own(Style::DIM, &if self.is_wide() { time.time_ms() } else { time.time() })
    }

    fn joined<const CELLS: usize>(self, cells: [Line; CELLS]) -> Line {
        let mut line = Line::default();
        for (position, cell) in cells.into_iter().enumerate() {
            if position > 0 {
                line.push_own(Style::PLAIN, self.gap);
            }
            line.push_line(cell);
        }
        line
    }
}

/// Tool, arguments and result in one column: what is short leaves its room to what is long.
fn call(tool: Line, arguments: Line, result: Line, columns: usize) -> Line {
    const ARROW: &str = " → ";
    let mut line = tool.cut(columns * 2 / 5);
    let left = columns.saturating_sub(line.width());
    let for_result = match result.width() {
        0 => 0,
        width => (width + 3).min((left / 2).max(left.saturating_sub(arguments.width() + 1))),
    };
    let for_arguments = left.saturating_sub(for_result + 1);
    if !arguments.is_empty() && for_arguments >= 4 {
        line.push_own(Style::PLAIN, " ");
        line.push_line(arguments.cut(for_arguments));
    }
    if for_result > 4 {
        line.push_own(Style::DIM, ARROW);
        line.push_line(result.cut(for_result - 3));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_fill_the_line_at_any_width() {
        for columns in NARROWEST..400 {
            let layout = Layout::new(columns);
            assert_eq!(layout.header().width(), columns, "{layout:?}");
        }
    }

    #[test]
    fn a_terminal_that_is_too_narrow_is_served_as_if_it_were_not() {
        assert_eq!(Layout::new(0), Layout::new(NARROWEST));
    }
}
