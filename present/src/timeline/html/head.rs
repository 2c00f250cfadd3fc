//! What stands above the timeline: what is missing, what went wrong, who talked to whom.

use std::io;

use mcp_sensor_proto::v1::Peer;

use super::super::finish::Finished;
use super::super::text::facts_of;
use super::escape::Page;
use crate::style::{Line, Style};
use crate::table::peers::label;
use crate::units::{self, Moment};

/// Columns of a name in a heading. All of it stands among the facts.
const NAME: usize = 60;

/// Problems that are listed.
const MAX_PROBLEMS: usize = 50;

/// Problems that are seen without scrolling in their list; the others are folded.
const SEEN_PROBLEMS: usize = 8;

impl Finished {
    pub(super) fn html_head(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.own("<header>\n<div class=\"top\"><h1>");
        if self.is_empty() {
            page.own("Session ");
            page.raw(&self.timeline.session.id);
        } else {
            page.line(&label(self.client(), Style::PLAIN).cut(NAME));
            page.own(" <span class=\"d\">→</span> ");
            page.line(&label(self.server(), Style::PLAIN).cut(NAME));
        }
        page.own("</h1><div class=\"js tools\" hidden><button id=\"theme\" title=\"Dark or light (t)\">Theme</button>");
        page.own("<button id=\"help\" title=\"Keys (?)\">Keys</button></div></div>\n<p class=\"sub\">");
        if self.is_empty() {
            page.own("There is no event of this session.</p></header>\n");
            return Ok(());
        }
        page.line(&self.span());
        page.own("<br><span class=\"d\">");
        page.line(&self.carrier());
        page.own(" · session <code>");
        page.raw(&self.timeline.session.id);
        page.own("</code></span></p>\n<div class=\"verdicts\">\n");
        self.html_missing(page);
        self.html_problems(page);
        page.own("</div>\n<div class=\"peers\">");
        html_peer("Client", self.client(), page);
        html_peer("Server", self.server(), page);
        page.own("</div>\n</header>\n<main>\n");
        page.pass_on()
    }

    fn html_missing(&self, page: &mut Page<'_>) {
        if self.is_complete() {
            page.own("<section class=\"ok\"><h2>Nothing is known to be missing</h2><p>");
            page.text(&self.counts());
            page.own(".</p></section>\n");
            return;
        }
        page.own("<section class=\"missing\"><h2>Something is missing</h2><ul>");
        for missing in &self.missing {
            page.own("<li>");
            page.line(missing);
            page.own("</li>");
        }
        page.own("</ul><p>");
        page.text(&format!("Seen: {}.", self.counts()));
        page.own("</p></section>\n");
    }

    fn html_problems(&self, page: &mut Page<'_>) {
        let wrongs = self.wrongs();
        if wrongs.is_empty() {
            page.own("<section class=\"ok\"><h2>Nothing went wrong</h2><p>No call failed, was cancelled or stayed without an answer.</p></section>\n");
            return;
        }
        page.own("<section class=\"wrong\"><h2>What went wrong</h2><p>");
        page.text(&format!("{wrongs}."));
        page.own("</p><ol>");
        for (position, problem) in self.problems.iter().take(MAX_PROBLEMS).enumerate() {
            if position == SEEN_PROBLEMS {
                page.own("</ol><details><summary>");
                page.text(&units::count((self.problems.len() - SEEN_PROBLEMS) as u64, "more problem"));
                page.own("</summary><ol>");
            }
            let row = self.rows.get(problem.row);
            let time = row.and_then(|row| self.step(row)).map_or(0, |step| step.time);
            page.own(&format!("<li><a href=\"#r{}\"><time>{}</time> ", problem.row + 1, Moment::from_unix(time).time_ms()));
            page.line(&problem.line);
            page.own("</a></li>");
        }
        page.own("</ol>");
        if self.problems.len() > SEEN_PROBLEMS {
            if self.problems.len() > MAX_PROBLEMS {
                let more = units::grouped((self.problems.len() - MAX_PROBLEMS) as u64);
                page.own(&format!("<p>and {more} more: see the timeline, “problems only”.</p>"));
            }
            page.own("</details>");
        }
        page.own("</section>\n");
    }
}

fn html_peer(side: &str, peer: Option<&Peer>, page: &mut Page<'_>) {
    page.own("<details class=\"peer\"><summary><span class=\"side\">");
    page.own(side);
    page.own("</span> ");
    page.line(&label(peer, Style::BOLD).cut(NAME));
    if let Some(peer) = peer.filter(|peer| !peer.name.is_empty()) {
        page.own(" <span class=\"d\">calls itself</span> ");
        page.line(&Line::raw(Style::PLAIN, &peer.name).cut(NAME));
        page.own(" ");
        page.line(&Line::raw(Style::PLAIN, &peer.version).cut(NAME));
    }
    page.own("</summary><dl>");
    for (name, value) in peer.map(facts_of).unwrap_or_default() {
        page.own("<dt>");
        page.own(name);
        page.own("</dt><dd>");
        page.line(&value);
        page.own("</dd>");
    }
    page.own("</dl></details>");
}
