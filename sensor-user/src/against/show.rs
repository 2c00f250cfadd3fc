//! The report, and what is going to be done, for people.

use super::{
    plan::{Called, Harm, Plan},
    report::{Changes, Counts, Difference, Report},
};
use present::{
    style::{Line, Style, Styles},
    units::count,
};
use std::collections::BTreeMap;

/// Kinds of what is not sent that are shown.
const SKIPPED: usize = 20;

/// Differences that are shown.
const DIFFERENCES: usize = 200;

/// Lines of one value that are shown.
const LINES: usize = 4;

/// Lines of a server's standard error that are shown.
const COMPLAINTS: usize = 10;

/// Lines, each cut to the width.
struct Page {
    styles: Styles,
    columns: usize,
    text: String,
}

impl Page {
    fn line(&mut self, parts: &[(Style, &str)]) {
        let mut line = Line::default();
        for (style, text) in parts {
            line.push_raw(*style, text);
        }
        let columns = self.columns;
        self.print(line.cut(columns));
    }

    /// A text that may go on for some lines.
    fn value(&mut self, style: Style, label: &str, text: &str) {
        let columns = self.columns.saturating_sub(label.len());
        for (number, line) in Line::raw(Style::PLAIN, text).cut(columns * LINES).wrap(columns).into_iter().take(LINES).enumerate() {
            let mut shown = if number == 0 { Line::own(style, label) } else { Line::own(Style::PLAIN, &" ".repeat(label.len())) };
            shown.push_line(line);
            self.print(shown);
        }
    }

    fn print(&mut self, line: Line) {
        line.print(self.styles, &mut self.text);
        self.text.push('\n');
    }

    fn changes(&mut self, changes: &Changes) {
        for change in &changes.changes {
            self.line(&[(Style::PLAIN, "      "), (Style::PLAIN, if change.pointer.is_empty() { "/" } else { &change.pointer })]);
            for (style, label, text) in [(Style::ERROR, "        then ", &change.then), (Style::GOOD, "        now  ", &change.now)] {
                if let Some(text) = text {
                    self.value(style, label, text);
                }
            }
        }
        if changes.more > 0 {
            self.line(&[(Style::DIM, &format!("      and {} more", changes.more))]);
        }
    }

    fn difference(&mut self, difference: &Difference) {
        let (bold, plain) = (Style::BOLD, Style::PLAIN);
        match difference {
            Difference::ToolAdded { tool, now } => {
                self.line(&[(Style::GOOD, "  + "), (bold, tool), (plain, "  a new tool")]);
                self.value(plain, "      ", now);
            }
            Difference::ToolRemoved { tool } => self.line(&[(Style::ERROR, "  - "), (bold, tool), (plain, "  the tool is gone")]),
            Difference::ToolChanged { tool, changes } => {
                self.line(&[(Style::WARNING, "  ~ "), (bold, tool), (plain, "  the tool is described otherwise")]);
                self.changes(changes);
            }
            Difference::Answer { request, changes } => {
                self.line(&[(Style::WARNING, "  ~ "), (bold, request), (plain, "  another answer")]);
                self.changes(changes);
            }
            Difference::ErrorNow { request, now } => {
                self.line(&[(Style::ERROR, "  ! "), (bold, request), (plain, "  an error in place of a result")]);
                self.value(Style::GOOD, "        now  ", now);
            }
            Difference::ResultNow { request, then, now } => {
                self.line(&[(Style::WARNING, "  ! "), (bold, request), (plain, "  a result in place of an error")]);
                self.value(Style::ERROR, "        then ", then);
                self.value(Style::GOOD, "        now  ", now);
            }
            Difference::NoAnswer { request, why } => {
                self.line(&[(Style::ERROR, "  ! "), (bold, request), (plain, "  no answer: "), (plain, why)]);
            }
            Difference::AskedNow { method, count, now } => {
                self.line(&[(Style::WARNING, "  + "), (bold, method), (plain, &format!("  the server asks this now, {count}×; refused"))]);
                self.value(plain, "      ", now);
            }
            Difference::NotAsked { method } => {
                self.line(&[(Style::WARNING, "  - "), (bold, method), (plain, "  the server does not ask this now")])
            }
            Difference::AskedOtherwise { method, changes } => {
                self.line(&[(Style::WARNING, "  ~ "), (bold, method), (plain, "  the server asks otherwise")]);
                self.changes(changes);
            }
            Difference::Ended { why, unsent } => {
                let unsent = format!("; {} not sent", count(*unsent, "request"));
                self.line(&[(Style::ERROR, "  ! "), (bold, "ended early: "), (plain, why), (plain, &unsent)]);
            }
        }
    }

    /// What is not sent: how often for each reason.
    fn skipped<'a>(&mut self, all: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut kinds = BTreeMap::<(&str, &str), u64>::new();
        for (what, why) in all {
            // Without its id.
            let what = what.rsplit_once(" (id ").map_or(what, |(what, _)| what);
            *kinds.entry((what, why)).or_default() += 1;
        }
        for ((what, why), times) in kinds.iter().take(SKIPPED) {
            self.line(&[(Style::WARNING, "  not sent: "), (Style::PLAIN, &format!("{times} × {what}: {why}"))]);
        }
        if kinds.len() > SKIPPED {
            self.line(&[(Style::DIM, &format!("  and {} more", kinds.len() - SKIPPED))]);
        }
    }
}

impl Report {
    /// The report as text, safe to print, in so many columns.
    #[must_use]
    pub fn text(&self, styles: Styles, columns: usize) -> String {
        let mut page = Page { styles, columns: columns.max(60), text: String::new() };
        for difference in self.differences.iter().take(DIFFERENCES) {
            page.difference(difference);
        }
        let number = self.differences.len() as u64 + self.more_differences;
        if number > DIFFERENCES as u64 {
            page.line(&[(Style::DIM, &format!("  and {} more", number - DIFFERENCES as u64))]);
        }
        page.skipped(self.skipped.iter().map(|skipped| (skipped.what.as_str(), skipped.why.as_str())));
        if self.hidden > 0 {
            page.line(&[
                (Style::WARNING, "  not compared: "),
                (Style::PLAIN, &format!("{}, which the recording hides or holds in part", count(self.hidden, "place"))),
            ]);
        }
        if self.tolerated > 0 {
            let places =
                format!("{} may differ (clocks, ids, --ignore) and do; --exact tells the clocks and ids", count(self.tolerated, "place"));
            page.value(Style::DIM, "  ", &places);
        }
        if self.notifications_then != self.notifications_now {
            let told = |counts: &Counts| counts.iter().map(|(name, count)| format!("{count} × {name}")).collect::<Vec<_>>().join(", ");
            let [then, now] = [&self.notifications_then, &self.notifications_now].map(|counts| match counts.sum() {
                0 => "none".to_owned(),
                _ => told(counts),
            });
            page.line(&[(Style::DIM, &format!("  notifications then: {then}; now: {now}"))]);
        }
        for note in &self.notes {
            page.value(Style::DIM, "  note: ", note);
        }
        let lines: Vec<&str> = self.complaints.lines().collect();
        if !lines.is_empty() {
            page.line(&[(Style::DIM, "  the server's last words on its standard error:")]);
            for line in lines.iter().skip(lines.len().saturating_sub(COMPLAINTS)) {
                page.line(&[(Style::DIM, "    "), (Style::PLAIN, line)]);
            }
        }
        let compared = format!(" ({}, {} compared)", count(self.answers_compared, "answer"), count(self.tools_compared, "tool"));
        let (style, verdict) =
            if self.same { (Style::GOOD, "no difference".to_owned()) } else { (Style::ERROR, count(number, "difference")) };
        page.line(&[(style, &verdict), (Style::PLAIN, &compared)]);
        page.text
    }
}

impl Plan {
    /// What is going to be sent, as text that is safe to print. What a tool does is what its server says of it.
    #[must_use]
    pub fn text(&self, session: &str, command: &str, styles: Styles, columns: usize) -> String {
        let mut page = Page { styles, columns: columns.max(60), text: String::new() };
        page.line(&[(Style::PLAIN, "session "), (Style::BOLD, session), (Style::PLAIN, " is said again to: "), (Style::BOLD, command)]);
        for (name, Called { sent, harm, .. }) in self.tools.iter().filter(|(_, called)| called.sent > 0) {
            // The mark stands first: no name can push it off the line.
            let (style, mark) = match harm {
                Some(Harm::ReadsOnly) => (Style::GOOD, "  only reads   "),
                Some(Harm::Changes) => (Style::WARNING, "  changes      "),
                Some(Harm::Destroys) | None => (Style::ERROR, "  MAY DESTROY  "),
            };
            let listed = if harm.is_none() { "  (not listed by its server)" } else { "" };
            page.line(&[(style, mark), (Style::PLAIN, &format!("{sent} × ")), (Style::BOLD, name), (Style::DIM, listed)]);
        }
        let others = self.requests.iter().filter(|(method, _)| *method != "tools/call");
        let others: Vec<String> = others.map(|(method, count)| format!("{count} × {method}")).collect();
        if !others.is_empty() {
            page.value(Style::DIM, "  and ", &others.join(", "));
        }
        let skipped = self.exchanges.iter().filter_map(|exchange| Some((exchange.label.as_str(), exchange.skipped?)));
        page.skipped(skipped.chain(self.unsent.iter().map(|(what, why)| (what.as_str(), *why))));
        page.text
    }
}
