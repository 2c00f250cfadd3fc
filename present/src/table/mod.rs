//! Events for people: one line for each tool call that ended, as it happens.
//!
//! What a person at three in the morning needs to see stands out, what gives it a place steps back:
//!
//! - a tool call that ended: plain, in red where the tool or the call failed;
//! - a call that still runs after two seconds, and again at 10 s, 50 s …: dim, `…running`;
//! - sessions that open and close: dim;
//! - gaps, losses, blind spots, odd messages: yellow, never cut;
//! - with [`Options::messages`], every message.
//!
//! Invariants: nothing from outside gets into a line but through [`crate::style::Line::push_raw`]; no line is wider than
//! the terminal, whose size is read anew for each; memory is bounded, whatever comes in.

mod gaps;
mod layout;
mod lines;
pub(crate) mod peers;
mod running;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;

use mcp_sensor_proto::v1::Event;
use mcp_sensor_proto::v1::event::Body;
use rustix::termios::tcgetwinsize;

use self::gaps::Gaps;
use self::layout::Layout;
use self::lines::SensorLines;
use self::running::Running;
use crate::output::Output;
use crate::style::{Line, Style, Styles};
use crate::units::{self, Moment};

/// Columns of a line that goes to a file or a pipe, if the variable `COLUMNS` says nothing else.
const COLUMNS_OF_A_FILE: usize = 160;

/// Nodes whose sensors' states are remembered.
const MAX_NODES: usize = 4096;

/// Calls that still run at the end and are told one by one.
const MAX_LEFT: usize = 20;

/// How the table looks.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Colours.
    pub styles: Styles,
    /// Room.
    pub size: Size,
    /// Every message, not only tool calls.
    pub messages: bool,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Size {
    /// What the terminal on standard output has, asked anew for each line.
    Terminal,
    /// So many columns, and lines without end.
    Columns(usize),
}

impl Size {
    /// Of standard output.
    #[must_use]
    pub fn of_stdout() -> Self {
        use io::IsTerminal as _;
        if io::stdout().is_terminal() {
            return Self::Terminal;
        }
        let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        Self::Columns(asked.unwrap_or(COLUMNS_OF_A_FILE))
    }

    /// Columns now.
    #[must_use]
    pub fn columns(self) -> usize {
        self.now().0
    }

    /// Columns now, and the rows after which the header has left the screen.
    fn now(self) -> (usize, usize) {
        match self {
            Self::Columns(columns) => (columns, usize::MAX),
            Self::Terminal => match tcgetwinsize(io::stdout()) {
                Ok(size) if size.ws_col > 0 => (usize::from(size.ws_col), usize::from(size.ws_row).max(20)),
                Ok(_) | Err(_) => (80, 24),
            },
        }
    }
}

/// Prints events as lines of a table.
pub struct Table {
    output: Output,
    options: Options,
    running: Running,
    gaps: Gaps,
    /// By node: each sensor tells its own news.
    sensors: BTreeMap<String, SensorLines>,
    /// Where events of several nodes come: the node of the event that is being shown.
    nodes: Option<String>,
    /// The node that was printed last.
    node: Option<String>,
    /// The columns of the header that was printed last.
    layout: Option<Layout>,
    rows_since_header: usize,
    /// The day that was printed last.
    day: Option<i64>,
    /// The latest time seen, in nanoseconds since 1970.
    now: i64,
    /// What is printed is put together here.
    scratch: String,
}

impl Table {
    /// Prints to `output`.
    #[must_use]
    pub fn new(output: Output, options: Options) -> Self {
        Self {
            output,
            options,
            running: Running::default(),
            gaps: Gaps::default(),
            sensors: BTreeMap::new(),
            nodes: None,
            node: None,
            layout: None,
            rows_since_header: 0,
            day: None,
            now: 0,
            scratch: String::new(),
        }
    }

    /// Tells of which node events are, wherever that changes.
    #[must_use]
    pub fn with_nodes(mut self) -> Self {
        self.nodes = Some(String::new());
        self
    }

    /// The layout for the room that there is now; prints day and header where they are due.
    fn layout(&mut self, time: i64) -> Layout {
        let (columns, rows) = self.options.size.now();
        let layout = Layout::new(columns);
        let moment = Moment::from_unix(time);
        let is_new_day = self.day != Some(moment.day());
        if is_new_day {
            self.day = Some(moment.day());
            self.print(&Line::own(Style::DIM, &moment.date()));
        }
        if is_new_day || self.layout != Some(layout) || self.rows_since_header.saturating_add(2) >= rows {
            self.layout = Some(layout);
            self.print(&layout.header());
            self.rows_since_header = 0;
        }
        if self.nodes != self.node
            && let Some(node) = self.nodes.clone().filter(|node| !node.is_empty())
        {
            let mut line = Line::own(Style::DIM, "on ");
            line.push_raw(Style::DIM, &node);
            self.print(&line.cut(columns));
            self.node = Some(node);
        }
        layout
    }

    fn print(&mut self, line: &Line) {
        self.scratch.clear();
        line.print(self.options.styles, &mut self.scratch);
        // The room to the right of a line's last word is not written.
        let end = self.scratch.trim_end_matches(' ').len();
        let buffer = self.output.buffer();
        buffer.extend_from_slice(self.scratch.as_bytes().get(..end).unwrap_or_default());
        buffer.push(b'\n');
        self.rows_since_header = self.rows_since_header.saturating_add(1);
    }

    fn print_row(&mut self, time: i64, row: impl FnOnce(Moment) -> layout::Row) {
        let line = self.layout(time).row(row(Moment::from_unix(time)));
        self.print(&line);
    }

    /// A warning is shown to its end, anything else is cut to one line.
    fn print_words(&mut self, time: i64, is_warning: bool, words: Line) {
        let (layout, moment) = (self.layout(time), Moment::from_unix(time));
        if is_warning {
            layout.warning(moment, words).iter().for_each(|line| self.print(line));
        } else {
            self.print(&layout.note(moment, words));
        }
    }

    fn print_gaps(&mut self, time: i64, sums: impl IntoIterator<Item = gaps::Sum>) {
        for sum in sums {
            self.print_words(time, true, lines::gap(&sum));
        }
    }

    fn print_odd(&mut self, time: i64, marks: &[i32]) {
        if let Some(words) = lines::odd(marks) {
            self.print_words(time, true, words);
        }
    }
}

/// An event goes in with [`Table::event`]; after each batch comes [`Table::flush`], a few times a second [`Table::tick`], and
/// [`Table::finish`] once. After an error the table is not used again.
impl Table {
    /// Takes one event. It may stay in memory until [`Table::flush`].
    ///
    /// # Errors
    /// The output could not be written.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        let time = event.time.as_ref().map_or(self.now, units::nanoseconds);
        self.now = self.now.max(time);
        if let Some(node) = &mut self.nodes {
            node.clone_from(&event.node);
        }
        match &event.body {
            Some(Body::ToolCall(call)) => {
                self.running.follow(event, call, time, || lines::started(event, call));
                if let Some(row) = lines::ended(event, call) {
                    self.print_row(time, row);
                }
                if call.state() != mcp_sensor_proto::v1::tool_call::State::Started {
                    self.print_odd(time, &call.marks);
                }
            }
            Some(Body::Message(message)) if self.options.messages => {
                self.print_row(time, lines::message(event, message));
                self.print_odd(time, &message.marks);
            }
            Some(Body::Message(_)) => {}
            Some(Body::SessionChange(change)) => {
                if let Some((is_warning, words)) = lines::session(event, change, self.options.messages) {
                    self.print_words(time, is_warning, words);
                }
                if change.state() == mcp_sensor_proto::v1::session_change::State::Closed {
                    self.running.forget(event.session.as_ref().map_or("", |session| session.id.as_str()));
                }
            }
            Some(Body::Gap(gap)) => {
                let alone = self.gaps.add(event, gap, time, lines::peers_of_gap(event, gap));
                self.print_gaps(time, alone);
            }
            Some(Body::Sensor(sensor)) => {
                if self.sensors.len() >= MAX_NODES && !self.sensors.contains_key(&event.node) {
                    self.sensors.clear();
                }
                for (is_warning, words) in self.sensors.entry(event.node.clone()).or_default().lines(sensor) {
                    self.print_words(time, is_warning, words);
                }
            }
            Some(Body::Finding(finding)) => self.print_words(time, true, lines::finding(event, finding)),
            Some(Body::Action(action)) => self.print_words(time, true, lines::action(event, action)),
            None => self.print_words(time, false, Line::own(Style::DIM, "an event of a kind that this version does not know")),
        }
        self.output.appended()
    }

    /// Brings what was taken so far to its reader.
    ///
    /// # Errors
    /// The output could not be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// Time passes: shows what is due. `now` is in nanoseconds since 1970, on the clock of the events' times.
    ///
    /// # Errors
    /// The output could not be written, or nobody reads it any more ([`io::ErrorKind::BrokenPipe`]).
    pub fn tick(&mut self, now: i64) -> io::Result<()> {
        self.now = self.now.max(now);
        // The header at once: an empty table shows that there is nothing yet.
        self.layout(now);
        for call in self.running.due(now) {
            self.print_row(now, lines::runs(call, now, "…running"));
        }
        let sums = self.gaps.due(now);
        self.print_gaps(now, sums);
        self.output.flush()?;
        self.output.check_reader()
    }

    /// The last call: shows what is left.
    ///
    /// # Errors
    /// The output could not be written.
    pub fn finish(&mut self) -> io::Result<()> {
        let now = self.now;
        let sums = self.gaps.take();
        self.print_gaps(now, sums);
        let left = self.running.take();
        let more = left.len().saturating_sub(MAX_LEFT);
        for call in left.into_iter().take(MAX_LEFT) {
            self.print_row(now, lines::runs(call, now, "no answer yet"));
        }
        if more > 0 {
            self.print_words(now, false, Line::own(Style::DIM, &format!("and {more} more calls without an answer yet")));
        }
        self.output.flush()
    }
}
