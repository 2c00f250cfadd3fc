//! The rows of the page: a sequence diagram whose every arrow is a row that unfolds.

use std::collections::HashMap;
use std::io;

use super::super::finish::{Bar, Finished, Row, Shape};
use super::super::sections::{Format, Section};
use super::super::text::{idle, since};
use super::super::view::{Arrow, Kind, View};
use super::escape::Page;
use crate::style::Style;
use crate::table::peers::label;
use crate::units::{self, Moment};

/// Columns of excerpts: what a wide screen shows.
const EXCERPT: usize = 160;

/// Columns of a name above the rows.
const NAME: usize = 60;

/// Rows of a group. The browser lays out and styles only the groups that are in sight.
const GROUP: usize = 100;

/// Tools that can be chosen in the filter.
const MAX_TOOLS: usize = 500;

impl Finished {
    pub(super) fn html_rows(&self, page: &mut Page<'_>) -> io::Result<()> {
        let tools = self.tools();
        toolbar(&tools, page);
        page.own(&format!("<div class=\"tl S{} C{}\">\n<div class=\"ends\" aria-hidden=\"true\"><span>", self.lanes.0, self.lanes.1));
        page.line(&label(self.client(), Style::PLAIN).cut(NAME));
        page.own("</span><span></span><span>");
        page.line(&label(self.server(), Style::PLAIN).cut(NAME));
        page.own("</span></div>\n<div id=\"rows\">\n");
        let ids: HashMap<&str, usize> = tools.iter().enumerate().map(|(position, (tool, _))| (*tool, position)).collect();
        let mut before: Option<i64> = None;
        let mut day = self.timeline.begin.map(|begin| Moment::from_unix(begin).day());
        for (position, row) in self.rows.iter().enumerate() {
            let Some(view) = self.view(row, EXCERPT) else { continue };
            if position.is_multiple_of(GROUP) {
                page.own(if position == 0 { "<ol>\n" } else { "</ol>\n<ol>\n" });
            }
            let moment = Moment::from_unix(view.time);
            if let Some(idle) = before.and_then(|before| idle(before, view.time)) {
                separator(row, &format!("{} without a message", units::duration(idle)), page);
            }
            if day.is_some_and(|day| day != moment.day()) {
                separator(row, &moment.date(), page);
                day = Some(moment.day());
            }
            before = Some(view.time.max(before.unwrap_or(view.time)));
            let tool = view.tool.and_then(|tool| ids.get(tool).copied());
            html_row(position + 1, &view, row, tool, self.offset(view.time), page);
            page.pass_on()?;
        }
        page.own(if self.rows.is_empty() { "</div>\n</div>\n" } else { "</ol>\n</div>\n</div>\n" });
        page.own("<p id=\"none\" hidden>No row is left by these filters.</p>\n</main>\n");
        Ok(())
    }

    /// The tools that were called, the most called first, and how often.
    fn tools(&self) -> Vec<(&str, u64)> {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for exchange in self.timeline.exchanges.iter().filter(|exchange| exchange.is_call()) {
            if counts.len() < MAX_TOOLS || counts.contains_key(&*exchange.target) {
                *counts.entry(&exchange.target).or_default() += 1;
            }
        }
        let mut tools: Vec<_> = counts.into_iter().collect();
        tools.sort_by(|(tool, count), (other, other_count)| other_count.cmp(count).then(tool.cmp(other)));
        tools
    }
}

fn toolbar(tools: &[(&str, u64)], page: &mut Page<'_>) {
    page.own(
        "<form id=\"bar\" class=\"js\" role=\"search\" hidden>\n\
         <input id=\"q\" type=\"search\" placeholder=\"Search  /\" aria-label=\"Search in everything that was said\" autocomplete=\"off\" spellcheck=\"false\">\n\
         <span class=\"group\"><button type=\"button\" id=\"prev\" title=\"Previous hit (N)\" aria-label=\"Previous hit\">↑</button>\
         <button type=\"button\" id=\"next\" title=\"Next hit (n)\" aria-label=\"Next hit\">↓</button></span>\n\
         <output id=\"count\" role=\"status\"></output>\n\
         <label><input id=\"only\" type=\"checkbox\"> hits only</label>\n\
         <span class=\"space\"></span>\n\
         <label><input id=\"wrong\" type=\"checkbox\"> problems only</label>\n\
         <select id=\"kind\" aria-label=\"Kind\"><option value=\"\">everything</option><option value=\"c\">tool calls</option>\
         <option value=\"r\">other requests</option><option value=\"n\">notifications</option>\
         <option value=\"s\">session, sensor, gaps</option></select>\n\
         <select id=\"tool\" aria-label=\"Tool\"><option value=\"\">every tool</option>",
    );
    for (position, (tool, count)) in tools.iter().enumerate() {
        page.own(&format!("<option value=\"{position}\">"));
        page.raw(tool.get(..tool.floor_char_boundary(60)).unwrap_or_default());
        page.own(&format!(" ({})</option>", units::grouped(*count)));
    }
    page.own(
        "</select>\n<span class=\"group\"><button type=\"button\" id=\"unfold\" title=\"Unfold all (x)\">Unfold</button>\
         <button type=\"button\" id=\"fold\" title=\"Fold all (c)\">Fold</button></span>\n</form>\n",
    );
}

/// A line between rows. What runs goes on beside it.
fn separator(row: &Row, words: &str, page: &mut Page<'_>) {
    page.own("<li class=\"idle\"><div></div><div></div><div class=\"v\">");
    for bar in row.bars.iter().filter(|bar| matches!(bar.shape, Shape::Through | Shape::End)) {
        html_bar(Bar { shape: Shape::Through, ..*bar }, page);
    }
    page.own("</div><div>");
    page.text(words);
    page.own("</div></li>\n");
}

fn html_row(number: usize, view: &View<'_>, row: &Row, tool: Option<usize>, offset: i64, page: &mut Page<'_>) {
    let (kind, class) = match view.kind {
        Kind::Call => ("c", "call"),
        Kind::Request => ("r", "req"),
        Kind::Notification => ("n", "note"),
        Kind::Session | Kind::Sensor | Kind::Gap | Kind::Verdict => ("s", "own"),
    };
    let part = if view.is_part { " part" } else { "" };
    let gap = if view.kind == Kind::Gap { " gap" } else { "" };
    let problem = if view.is_problem { " p" } else { "" };
    let is_bad = view.outcome.parts().any(|(style, _, _)| style == Style::ERROR);
    let bad = if is_bad { " bad" } else { "" };
    let noted = if view.notes.is_empty() { "" } else { " noted" };
    page.own(&format!("<li id=\"r{number}\" class=\"{class}{part}{gap}{problem}{bad}{noted}\" data-k=\"{kind}\""));
    if let Some(tool) = tool {
        page.own(&format!(" data-t=\"{tool}\""));
    }
    let moment = Moment::from_unix(view.time);
    page.own(&format!("><a class=\"t\" href=\"#r{number}\">{}</a><span class=\"o\">{}</span>", moment.time_ms(), since(offset)));
    page.own("<div class=\"v\">");
    for bar in &row.bars {
        html_bar(*bar, page);
    }
    page.own(arrows(view.arrow));
    page.own("</div>");
    let folds = !view.sections.is_empty() || !view.facts.is_empty();
    page.own(if folds { "<details><summary>" } else { "<div class=\"s\">" });
    summary(view, page);
    if folds {
        page.own("</summary><div class=\"c\">");
        for section in &view.sections {
            html_section(section, page);
        }
        // One element for all of them: they are in every row.
        page.element("p", "f", |page| {
            for (position, (name, value)) in view.facts.iter().enumerate() {
                page.own(if position == 0 { "" } else { " · " });
                page.own(name);
                page.own(" ");
                page.text(&value.text());
            }
        });
        page.own("</div></details></li>\n");
    } else {
        page.own("</div></li>\n");
    }
}

fn html_bar(bar: Bar, page: &mut Page<'_>) {
    let side = if bar.on_client { "at-client" } else { "at-server" };
    let shape = match bar.shape {
        Shape::Begin => " begins",
        Shape::Through => "",
        Shape::End => " ends-here",
        Shape::Whole => " begins ends-here",
    };
    page.own(&format!("<i class=\"{side} l{}{shape}\"></i>", bar.lane));
}

/// The arrows between the two lines. What a reader who does not see them needs to know is in words.
const fn arrows(arrow: Arrow) -> &'static str {
    match arrow {
        Arrow::None => "",
        Arrow::ToServer => "<b class=\"to\"></b><span class=\"h\">to the server: </span>",
        Arrow::ToClient => "<b class=\"from\"></b><span class=\"h\">to the client: </span>",
        Arrow::ByClient => "<b class=\"both\"></b><span class=\"h\">asked by the client: </span>",
        Arrow::ByServer => "<b class=\"both by-server\"></b><span class=\"h\">asked by the server: </span>",
    }
}

fn summary(view: &View<'_>, page: &mut Page<'_>) {
    if let Some(number) = view.number {
        page.own(&format!("<span class=\"n\">#{number}</span> "));
    }
    page.span("m", &view.title);
    if !view.said.is_empty() {
        page.own(" ");
        page.span("q", &view.said);
    }
    if !view.outcome.is_empty() {
        page.own(" ");
        page.span("a", &view.outcome);
    }
    for note in &view.notes {
        page.own(" ");
        page.span("beside", note);
    }
    if let Some(took) = view.took {
        page.own(" <span class=\"k\">");
        page.text(&units::duration(took));
        page.own("</span>");
    }
}

fn html_section(section: &Section<'_>, page: &mut Page<'_>) {
    page.own("<h4>");
    page.own(section.title);
    if let Some(note) = &section.note {
        page.own(" <span class=\"w\">");
        page.text(note);
        page.own("</span>");
    }
    page.own("</h4><pre tabindex=\"0\"");
    page.own(if section.format == Format::Json { " class=\"j\">" } else { ">" });
    // The browser drops a line end directly behind the tag.
    let shown = section.shown();
    if shown.starts_with('\n') {
        page.own("\n");
    }
    page.block(&shown);
    page.own("</pre>");
}
