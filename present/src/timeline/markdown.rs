//! The timeline as Markdown, for a ticket.
//!
//! Invariant: captured text stands nowhere but in code, between fences longer than any in it, so it can be no markup, no
//! link, no image and no mention, and cannot leave its cell or block.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::finish::{Finished, Row};
use super::sections::Section;
use super::text::{facts_of, idle, sign, since};
use super::view::View;
use crate::sanitize::sanitize;
use crate::style::{Line, Style};
use crate::table::peers::label;
use crate::units::{self, Moment};

/// Which rows are followed by all that was said.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Details {
    /// None: the table alone.
    Nothing,
    /// Those in which something went wrong.
    #[default]
    Problems,
    /// All.
    Everything,
}

/// How the Markdown looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MarkdownOptions {
    /// Which rows are followed by all that was said.
    pub details: Details,
    /// Lines of one text that are shown there; what is more is counted.
    pub lines: usize,
}

impl Default for MarkdownOptions {
    /// What went wrong, 40 lines a text.
    fn default() -> Self {
        Self { details: Details::default(), lines: 40 }
    }
}

/// Columns of an excerpt in the table.
const EXCERPT: usize = 60;

impl Finished {
    /// Writes the timeline as Markdown (GitHub's, with tables).
    ///
    /// # Errors
    /// `out` could not be written.
    pub fn render_markdown(&self, options: &MarkdownOptions, out: &mut dyn Write) -> io::Result<()> {
        let mut page = String::new();
        self.markdown_head(&mut page);
        out.write_all(page.as_bytes())?;
        if self.is_empty() {
            return Ok(());
        }
        out.write_all(
            "\n## Timeline\n\n| UTC | since | | # | what | asked | came of it | took |\n|---|---|---|---|---|---|---|---|\n".as_bytes(),
        )?;
        let mut before: Option<i64> = None;
        for row in &self.rows {
            let Some(view) = self.view(row, EXCERPT) else { continue };
            page.clear();
            if let Some(idle) = before.and_then(|before| idle(before, view.time)) {
                let _ = writeln!(page, "| | | | | *{} later* | | | |", units::duration(idle));
            }
            before = Some(view.time.max(before.unwrap_or(view.time)));
            table_row(&view, self.offset(view.time), &mut page);
            out.write_all(page.as_bytes())?;
        }
        self.markdown_details(options, out)
    }

    fn markdown_head(&self, page: &mut String) {
        let _ = writeln!(page, "# MCP session {}\n", code(&self.timeline.session.id));
        if self.is_empty() {
            page.push_str("There is no event of this session.\n");
            return;
        }
        if self.is_complete() {
            page.push_str("**Nothing is known to be missing.**\n");
        } else {
            page.push_str("**Something is missing:**\n\n");
            for missing in &self.missing {
                let _ = writeln!(page, "- {}", own(missing));
            }
        }
        let wrongs = self.wrongs();
        if wrongs.is_empty() {
            page.push_str("\n**Nothing went wrong.**\n\n");
        } else {
            let _ = writeln!(page, "\n**What went wrong:** {wrongs}.\n");
        }
        let _ = writeln!(page, "- when: {}", code_safe(&self.span().text()));
        let _ = writeln!(page, "- what: {}", self.counts());
        let _ = writeln!(page, "- how: {}", code_safe(&self.carrier().text()));
        for (side, peer) in [("client", self.client()), ("server", self.server())] {
            let _ = write!(page, "- {side}: {}", code_safe(&label(peer, Style::PLAIN).text()));
            for (name, value) in peer.map(facts_of).unwrap_or_default() {
                let _ = write!(page, "; {name} {}", code_safe(&value.text()));
            }
            page.push('\n');
        }
    }

    fn markdown_details(&self, options: &MarkdownOptions, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<&Row> = match options.details {
            Details::Nothing => return Ok(()),
            Details::Problems => self.problems.iter().filter_map(|problem| self.rows.get(problem.row)).collect(),
            Details::Everything => self.rows.iter().collect(),
        };
        let mut page = String::new();
        let mut is_first = true;
        for row in rows {
            let Some(view) = self.view(row, EXCERPT).filter(|view| !view.sections.is_empty()) else { continue };
            page.clear();
            if std::mem::take(&mut is_first) {
                page.push_str(if options.details == Details::Problems { "\n## What went wrong\n" } else { "\n## In full\n" });
            }
            let number = view.number.map(|number| format!("#{number} ")).unwrap_or_default();
            let time = Moment::from_unix(view.time).time_ms();
            let _ = writeln!(page, "\n### {time} {number}{}\n", code_safe(&view.title.text()));
            if !view.outcome.is_empty() {
                let _ = writeln!(page, "{}", code_safe(&view.outcome.text()));
            }
            for note in &view.notes {
                let _ = writeln!(page, "\n{}", code_safe(&note.text()));
            }
            for section in &view.sections {
                block(section, options.lines, &mut page);
            }
            out.write_all(page.as_bytes())?;
        }
        Ok(())
    }
}

fn table_row(view: &View<'_>, offset: i64, page: &mut String) {
    let number = view.number.map(|number| format!("#{number}")).unwrap_or_default();
    let took = view.took.map(units::duration).unwrap_or_default();
    let said = view.said.clone().cut(EXCERPT).text();
    let mut outcome = cell(&view.outcome.clone().cut(EXCERPT).text());
    for note in &view.notes {
        let _ = write!(outcome, "{}{}", if outcome.is_empty() { "" } else { " " }, cell(&note.text()));
    }
    let mark = if view.is_problem { "⚠ " } else { "" };
    let _ = writeln!(
        page,
        "| {} | {} | {} | {number} | {mark}{} | {} | {outcome} | {took} |",
        Moment::from_unix(view.time).time_ms(),
        since(offset),
        sign(view.arrow).trim(),
        cell(&view.title.text()),
        cell(&said),
    );
}

/// A notice: our own words, and what is not as code.
fn own(line: &Line) -> String {
    let part = |(style, text, _): (Style, &str, bool)| if style == Style::WARNING { text.to_owned() } else { code_safe(text) };
    line.parts().map(part).collect()
}

/// What was said, between fences.
fn block(section: &Section<'_>, limit: usize, page: &mut String) {
    let shown = section.shown();
    let kept: Vec<Cow<'_, str>> =
        shown.lines().take(limit).map(|line| Cow::Owned(sanitize(&line.replace('\t', "    ")).into_owned())).collect();
    let fence = "`".repeat(kept.iter().map(|line| longest_run(line)).max().unwrap_or(0).max(2) + 1);
    let note = section.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    let _ = writeln!(page, "\n{}{note}:\n\n{fence}text", section.title);
    for line in &kept {
        page.push_str(line);
        page.push('\n');
    }
    page.push_str(&fence);
    page.push('\n');
    let more = shown.lines().skip(limit).count() as u64;
    if more > 0 {
        let _ = writeln!(page, "\n… {}", units::count(more, "more line"));
    }
}

/// Captured text as code.
fn code(text: &str) -> String {
    code_safe(&sanitize(text))
}

/// Text that was sanitised, as code. Nothing where there is none.
fn code_safe(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_run(text) + 1);
    let is_bare = |character: char| character != '`' && character != ' ';
    let padding = if text.starts_with(is_bare) && text.ends_with(is_bare) { "" } else { " " };
    format!("{fence}{padding}{text}{padding}{fence}")
}

/// Text that was sanitised, as code in a cell of a table.
fn cell(text: &str) -> String {
    // A backslash takes the pipe behind it out of the table's hands; behind another backslash it does not.
    code_safe(&text.replace("\\|", "\\\\u{7c}").replace('|', "\\|"))
}

/// The longest run of backticks.
fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("``"), "``` `` ```");
        assert_eq!(code(" x"), "`  x `");
        assert_eq!(cell("a|b"), "`a\\|b`");
        assert_eq!(cell("a\\|b"), "`a\\\\u{7c}b`");
        assert_eq!(cell("a\\\\||b"), "`a\\\\\\u{7c}\\|b`");
    }
}
