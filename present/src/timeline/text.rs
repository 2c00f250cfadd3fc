//! The timeline as text for a terminal.
//!
//! What is missing, what went wrong, who talked to whom; then a row for each step, with its time, the time since the
//! beginning, the direction, what runs beside it, and what was said in short; below a row, what was said in full, folded
//! to so many lines.

use std::io::{self, Write};

use super::finish::{Bar, Finished, Shape};
use super::sections::Section;
use super::view::{Arrow, View};
use crate::sanitize;
use crate::style::{Line, Style, Styles};
use crate::table::peers::label;
use crate::units::{self, Moment};
use crate::words;
use mcp_sensor_proto::v1::Peer;

/// How the text looks.
#[derive(Clone, Copy, Debug)]
pub struct TextOptions {
    /// Colours.
    pub styles: Styles,
    /// Columns of a line. Less than 60 are taken as 60.
    pub columns: usize,
    /// Lines of arguments, results and the like that are shown below a row; what is more is counted. 0 shows the rows
    /// alone.
    pub lines: usize,
}

impl Default for TextOptions {
    /// 120 columns without colours, 12 lines.
    fn default() -> Self {
        Self { styles: Styles::PLAIN, columns: 120, lines: 12 }
    }
}

/// Columns before the lanes: the time, the time since the beginning, the arrow.
const LEFT: usize = 12 + 2 + 9 + 2 + 1 + 1;

/// Lanes that are drawn in text.
const LANES: usize = 4;

/// Columns of a word that a peer chose.
const WORD: usize = 64;

/// Problems that are listed at the head.
const MAX_PROBLEMS: usize = 12;

impl Finished {
    /// Writes the timeline as text for a terminal: lines of `options.columns` columns or fewer, safe to print.
    ///
    /// # Errors
    /// `out` could not be written.
    pub fn render_text(&self, options: &TextOptions, out: &mut dyn Write) -> io::Result<()> {
        let columns = options.columns.max(60);
        let mut printer = Printer { options: TextOptions { columns, ..*options }, out, scratch: String::new() };
        self.head(&mut printer)?;
        let lanes = (self.lanes.0 + self.lanes.1).min(LANES);
        let mut day = self.timeline.begin.map(|begin| Moment::from_unix(begin).day());
        let mut before: Option<i64> = None;
        for row in &self.rows {
            let Some(view) = self.view(row, columns) else { continue };
            let moment = Moment::from_unix(view.time);
            if day.is_some_and(|day| day != moment.day()) {
                printer.line(&Line::own(Style::DIM, &moment.date()))?;
                day = Some(moment.day());
            }
            if let Some(idle) = before.and_then(|before| idle(before, view.time)) {
                printer.line(&Line::own(Style::DIM, &format!("{}· {} later", " ".repeat(LEFT), units::duration(idle))))?;
            }
            before = Some(view.time.max(before.unwrap_or(view.time)));
            printer.row(&view, &row.bars, lanes, self.offset(view.time))?;
        }
        Ok(())
    }

    fn head(&self, printer: &mut Printer<'_>) -> io::Result<()> {
        let session = &self.timeline.session;
        let mut title = Line::own(Style::BOLD, "Session ");
        title.push_raw(Style::BOLD, &session.id);
        printer.wrapped(title, 0)?;
        if self.is_empty() {
            return printer.line(&Line::own(Style::WARNING, "There is no event of this session."));
        }
        if self.is_complete() {
            printer.wrapped(Line::own(Style::GOOD, "Nothing is known to be missing."), 0)?;
        } else {
            printer.line(&Line::own(Style::WARNING, "Something is missing:"))?;
            for missing in &self.missing {
                printer.item(missing.clone())?;
            }
        }
        let wrongs = self.wrongs();
        if wrongs.is_empty() {
            printer.line(&Line::own(Style::GOOD, "Nothing went wrong."))?;
        } else {
            printer.wrapped(Line::own(Style::ERROR, &format!("What went wrong: {wrongs}.")), 0)?;
            for problem in self.problems.iter().take(MAX_PROBLEMS) {
                let view = self.rows.get(problem.row).and_then(|row| self.view(row, 0));
                let mut line = Line::own(Style::DIM, &view.map_or_else(String::new, |view| Moment::from_unix(view.time).time_ms()));
                line.push_own(Style::PLAIN, "  ");
                line.push_line(problem.line.clone());
                let mut item = Line::own(Style::PLAIN, "  ");
                item.push_line(line);
                printer.line(&item.cut(printer.options.columns))?;
            }
            if self.problems.len() > MAX_PROBLEMS {
                let more = units::grouped((self.problems.len() - MAX_PROBLEMS) as u64);
                printer.line(&Line::own(Style::DIM, &format!("  and {more} more below")))?;
            }
        }
        printer.blank()?;
        printer.wrapped(self.span(), 0)?;
        printer.wrapped(Line::own(Style::PLAIN, &self.counts()), 0)?;
        printer.wrapped(self.carrier(), 0)?;
        printer.peer("client  ", self.client())?;
        printer.peer("server  ", self.server())?;
        printer.blank()
    }

    /// From when to when, and where.
    pub(super) fn span(&self) -> Line {
        let (begin, end) = (self.timeline.begin.unwrap_or_default(), self.timeline.end.unwrap_or_default());
        let (first, last) = (Moment::from_unix(begin), Moment::from_unix(end));
        let duration = units::duration(u64::try_from(end.saturating_sub(begin)).unwrap_or(0));
        let until = if first.day() == last.day() { last.time_ms() } else { format!("{} {}", last.date(), last.time_ms()) };
        let mut line = Line::own(Style::PLAIN, &format!("{} {} to {until} UTC ({duration})", first.date(), first.time_ms()));
        if !self.timeline.node.is_empty() {
            line.push_own(Style::PLAIN, ", on ");
            line.push_raw(Style::PLAIN, &self.timeline.node);
        }
        if !self.timeline.closed && !self.is_empty() {
            line.push_own(Style::PLAIN, "; it had not closed by then");
        }
        line
    }

    /// What carried the session.
    pub(super) fn carrier(&self) -> Line {
        let session = &self.timeline.session;
        let mut line = Line::own(Style::PLAIN, "MCP");
        if !session.protocol_version.is_empty() {
            line.push_own(Style::PLAIN, " ");
            line.push_line(Line::raw(Style::PLAIN, &session.protocol_version).cut(WORD));
            line.push_own(Style::DIM, " (as they say)");
        }
        let carrier = words::carrier(session);
        if !carrier.is_empty() {
            line.push_own(Style::PLAIN, &format!(" over {carrier}"));
        }
        let mut add = |words: &str, value: &str| {
            if !value.is_empty() {
                line.push_own(Style::PLAIN, words);
                line.push_line(Line::raw(Style::PLAIN, value).cut(WORD));
            }
        };
        add(", MCP session id ", &session.mcp_session_id);
        add(", relayed from session ", &session.relay_of);
        add(", through tunnel ", &session.tunnel);
        if session.probe {
            line.push_own(Style::PLAIN, ", a probe that only asked for the server's revision");
        }
        line
    }
}

/// A pause that is worth a word: what comes after it is not what comes before.
pub(super) fn idle(before: i64, after: i64) -> Option<u64> {
    const IDLE: u64 = 5_000_000_000;
    u64::try_from(after.saturating_sub(before)).ok().filter(|idle| *idle >= IDLE)
}

/// The time since the beginning: `+1.234 s`.
pub(super) fn since(offset: i64) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let nanoseconds = offset.unsigned_abs();
    let seconds = nanoseconds / 1_000_000_000;
    let milliseconds = nanoseconds / 1_000_000 % 1_000;
    match seconds {
        0..60 => format!("{sign}{seconds}.{milliseconds:03} s"),
        60..3_600 => format!("{sign}{}m{:02}.{}s", seconds / 60, seconds % 60, milliseconds / 100),
        _ => format!("{sign}{}h{:02}m{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60),
    }
}

/// What is known of a process, with names. What it says of itself is marked as such.
pub(super) fn facts_of(peer: &Peer) -> Vec<(&'static str, Line)> {
    let mut facts = Vec::new();
    let mut add = |name, value: &str| {
        if !value.is_empty() {
            facts.push((name, Line::raw(Style::PLAIN, value)));
        }
    };
    let said = [peer.name.as_str(), peer.version.as_str()].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    add("program", &peer.exe);
    add("command", &peer.command_line.join(" "));
    add("in", &peer.working_directory);
    let user = match (peer.user.as_str(), peer.uid) {
        ("", Some(uid)) => format!("uid {uid}"),
        (user, Some(uid)) => format!("{user} (uid {uid})"),
        (user, None) => user.to_owned(),
    };
    add("user", &user);
    add("login uid", &peer.login_uid.filter(|_| peer.login_uid != peer.uid).map_or_else(String::new, |uid| uid.to_string()));
    if let Some(container) = &peer.container {
        let id = container.id.get(..container.id.floor_char_boundary(12)).unwrap_or_default();
        add("container", format!("{} {id}", container.runtime).trim());
    }
    if let Some(pod) = &peer.pod {
        add("pod", &if pod.name.is_empty() { pod.uid.clone() } else { format!("{}/{}", pod.namespace, pod.name) });
    }
    add("unit", &peer.systemd_unit);
    add("address", &peer.address);
    add("program sha256", &peer.exe_sha256);
    let parents: Vec<String> = peer.ancestors.iter().map(|parent| format!("{}[{}]", parent.exe, parent.pid)).collect();
    add("started by", &parents.join(" ← "));
    add("calls itself", &said);
    facts
}

/// The sign of an arrow.
pub(super) const fn sign(arrow: Arrow) -> &'static str {
    match arrow {
        Arrow::None => " ",
        Arrow::ToServer => "→",
        Arrow::ToClient => "←",
        Arrow::ByClient => "⇄",
        Arrow::ByServer => "⇆",
    }
}

struct Printer<'o> {
    options: TextOptions,
    out: &'o mut dyn Write,
    scratch: String,
}

impl Printer<'_> {
    fn blank(&mut self) -> io::Result<()> {
        self.out.write_all(b"\n")
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        self.scratch.clear();
        line.print(self.options.styles, &mut self.scratch);
        self.scratch.truncate(self.scratch.trim_end_matches(' ').len());
        self.scratch.push('\n');
        self.out.write_all(self.scratch.as_bytes())
    }

    /// A line that must be read to its end; the lines behind the first are indented.
    fn wrapped(&mut self, line: Line, indent: usize) -> io::Result<()> {
        if line.width() <= self.options.columns {
            return self.line(&line);
        }
        for (position, part) in line.wrap(self.options.columns.saturating_sub(indent)).into_iter().enumerate() {
            let mut whole = Line::own(Style::PLAIN, &" ".repeat(if position == 0 { 0 } else { indent }));
            whole.push_line(part);
            self.line(&whole)?;
        }
        Ok(())
    }

    /// What is known of a process: its name, and as many facts on a line as there is room for.
    fn peer(&mut self, side: &str, peer: Option<&Peer>) -> io::Result<()> {
        let indent = " ".repeat(side.len());
        let mut line = Line::own(Style::BOLD, side);
        line.push_line(label(peer, Style::BOLD));
        for (name, value) in peer.map(facts_of).unwrap_or_default() {
            let mut fact = Line::own(Style::DIM, &format!("  {name} "));
            fact.push_line(value);
            if line.width() + fact.width() > self.options.columns {
                self.wrapped(std::mem::replace(&mut line, Line::own(Style::PLAIN, &indent)), side.len() + 2)?;
            }
            line.push_line(fact);
        }
        self.wrapped(line, side.len() + 2)
    }

    fn item(&mut self, line: Line) -> io::Result<()> {
        let mut item = Line::own(Style::WARNING, "  • ");
        item.push_line(line);
        self.wrapped(item, 4)
    }

    fn row(&mut self, view: &View<'_>, bars: &[Bar], lanes: usize, offset: i64) -> io::Result<()> {
        let mut line = Line::own(Style::DIM, &Moment::from_unix(view.time).time_ms());
        line.push_own(Style::DIM, &format!("  {:>9}  ", since(offset)));
        line.push_own(if view.is_problem { Style::WARNING } else { Style::PLAIN }, sign(view.arrow));
        line.push_own(Style::PLAIN, " ");
        line.push_own(Style::DIM, &gutter(bars, lanes, true));
        if let Some(number) = view.number {
            line.push_own(Style::DIM, &format!("#{number} "));
        }
        let took = view.took.map(units::duration).unwrap_or_default();
        let room = self.options.columns.saturating_sub(line.width() + took.len() + 2);
        line.push_line(summary(view, room).fill(room));
        line.push_own(Style::DIM, &format!("  {took}"));
        self.line(&line.cut(self.options.columns))?;

        let indent = LEFT + lanes + usize::from(lanes > 0) + 2;
        let mut start = Line::own(Style::PLAIN, &" ".repeat(LEFT));
        start.push_own(Style::DIM, &gutter(bars, lanes, false));
        start.push_own(Style::PLAIN, "  ");
        let room = self.options.columns.saturating_sub(indent).max(20);
        for note in &view.notes {
            for part in note.clone().wrap(room) {
                self.below(&start, part)?;
            }
        }
        if self.options.lines > 0 {
            for section in &view.sections {
                self.section(section, &start, room)?;
            }
        }
        Ok(())
    }

    fn below(&mut self, start: &Line, part: Line) -> io::Result<()> {
        let mut line = start.clone();
        line.push_line(part);
        self.line(&line)
    }

    /// What was said in full, folded.
    fn section(&mut self, section: &Section<'_>, start: &Line, room: usize) -> io::Result<()> {
        let shown = section.shown();
        let mut title = Line::own(Style::DIM, section.title);
        if let Some(note) = &section.note {
            title.push_own(Style::WARNING, &format!(" ({note})"));
        }
        // What fits beside its title stands there.
        let is_short = !shown.contains('\n') && title.width() + 2 + sanitize::width(&sanitize::sanitize(&shown)) <= room;
        if is_short {
            title.push_own(Style::DIM, ": ");
            title.push_raw(Style::PLAIN, &shown);
            return self.below(start, title);
        }
        title.push_own(Style::DIM, ":");
        self.below(start, title)?;
        let mut printed = 0;
        let mut lines = shown.lines();
        for text in lines.by_ref() {
            let line = Line::raw(Style::PLAIN, &text.replace('\t', "    "));
            for part in line.wrap(room.saturating_sub(2)) {
                if printed == self.options.lines {
                    let more = 1 + lines.count() as u64;
                    return self.below(start, Line::own(Style::DIM, &format!("  … {}", units::count(more, "more line"))));
                }
                let mut indented = Line::own(Style::PLAIN, "  ");
                indented.push_line(part);
                self.below(start, indented)?;
                printed += 1;
            }
        }
        Ok(())
    }
}

/// What a row says in one line: what is short leaves its room to what is long.
fn summary(view: &View<'_>, columns: usize) -> Line {
    let mut line = view.title.clone().cut(columns * 3 / 5);
    let left = columns.saturating_sub(line.width());
    let for_outcome = match view.outcome.width() {
        0 => 0,
        width => (width + 3).min((left / 2).max(left.saturating_sub(view.said.width() + 2))),
    };
    let for_said = left.saturating_sub(for_outcome + 2);
    if !view.said.is_empty() && for_said >= 4 {
        line.push_own(Style::PLAIN, "  ");
        line.push_line(view.said.clone().cut(for_said));
    }
    if for_outcome > 4 {
        line.push_own(Style::DIM, " → ");
        line.push_line(view.outcome.clone().cut(for_outcome - 3));
    }
    line
}

/// What runs beside a row. `first`: the row itself; otherwise a line below it.
fn gutter(bars: &[Bar], lanes: usize, first: bool) -> String {
    if lanes == 0 {
        return String::new();
    }
    let mut signs = vec![' '; lanes];
    // Requests of the client from the left, those of the server from the right.
    for bar in bars {
        let lane = usize::from(bar.lane);
        let column = if bar.on_client { lanes.checked_sub(lane + 1) } else { Some(lane) };
        let sign = match (bar.shape, first) {
            (Shape::Begin, true) => '┌',
            (Shape::End, true) => '└',
            (Shape::Whole, true) => '╶',
            (Shape::Through, _) | (Shape::Begin, false) => '│',
            (Shape::End | Shape::Whole, false) => ' ',
        };
        if let Some(place) = column.and_then(|column| signs.get_mut(column)) {
            *place = sign;
        }
    }
    signs.into_iter().chain([' ']).collect()
}
