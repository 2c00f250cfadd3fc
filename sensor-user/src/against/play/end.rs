//! The end of a conversation: what is left to ask, and what is to be told of the whole.

use super::{Asks, LAST_WORDS, Player, State};
use crate::against::report::{Difference, Report};
use present::units::count;
use sensor_core::redact::{Level, Redactor};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, VecDeque},
    time::Instant,
};

/// Pages of tools that are asked for beyond those of then.
const PAGES: u32 = 100;

impl Player<'_> {
    /// Asks for the pages of tools that the server has beyond those of then.
    fn more_pages(&mut self) {
        let mut pages = 0;
        for place in 0..self.listings.len() {
            let mut seen = BTreeSet::new();
            while let Some(listing) = self.listings.get(place).filter(|listing| listing.then.whole)
                && let Some(cursor) = listing.now.next.clone()
                && self.over.is_none()
                && pages < PAGES
                && seen.insert(cursor.clone())
            {
                pages += 1;
                let mut parameters = listing.parameters.clone();
                if let Some(parameters) = parameters.as_object_mut() {
                    parameters.insert("cursor".to_owned(), Value::from(cursor));
                }
                let id = Value::from(format!("mcp-sensor-page-{pages}"));
                self.pending.entry(id.to_string()).or_default().push_back(Asks::Page(place));
                let request = json!({"jsonrpc": "2.0", "id": id, "method": "tools/list", "params": parameters});
                if self.transport.send(&request.to_string()).is_err() {
                    return self.lost();
                }
                self.report.sent.requests += 1;
                let until = Instant::now() + self.settings.timeout;
                self.listen(until, |player| player.pending.get(&id.to_string()).is_none_or(VecDeque::is_empty));
            }
        }
    }

    pub(super) fn finish(mut self) -> Report {
        if self.over.is_none() {
            self.more_pages();
        }
        let why = self.over.take();
        if why.is_none() {
            self.transport.close();
            self.listen(Instant::now() + LAST_WORDS, |_| false);
        }
        let ended = self.transport.end();
        self.tell_tools();
        self.tell_requests(why.is_some());
        if let Some(why) = why {
            let why = if ended.how.is_empty() { why } else { format!("{why}: it {}", ended.how) };
            let of_then = self.plan.exchanges.iter().zip(&self.states);
            let unsent = of_then.filter(|(exchange, state)| exchange.skipped.is_none() && **state == State::NotSent).count() as u64;
            self.report.differs(Difference::Ended { why, unsent });
        }
        self.notes();
        self.report.same = self.report.differences.is_empty();
        if !self.report.same && self.settings.level != Level::None {
            self.report.complaints = Redactor::new(self.settings.level).text(&ended.complaints);
        }
        self.report
    }

    fn tell_tools(&mut self) {
        let found = std::mem::take(&mut self.report.differences);
        for listing in &self.listings {
            listing.compare(&self.settings.tolerance, self.conversation.redacted, &mut self.screen, &mut self.report);
        }
        self.report.differences.extend(found);
    }

    /// Tells which requests were not answered, and what the server asked and did not.
    fn tell_requests(&mut self, early: bool) {
        for (exchange, state) in self.plan.exchanges.iter().zip(&self.states) {
            if *state == State::Waiting && exchange.answer.is_some() && !exchange.lasts {
                self.report.differs(Difference::NoAnswer { request: exchange.label.clone(), why: "none until the end".to_owned() });
            }
        }
        for (asked, came) in self.plan.asked.iter().zip(&self.came) {
            let method = self.conversation.said.get(asked.request).map_or("", |said| said.method.as_str());
            if !came && !asked.unsure && !early && method != "ping" {
                self.report.differs(Difference::NotAsked { method: method.to_owned() });
            }
        }
        for (method, (count, now)) in std::mem::take(&mut self.new) {
            self.report.differs(Difference::AskedNow { method, count, now });
        }
    }

    fn notes(&mut self) {
        let Self { conversation, plan, report, .. } = self;
        let mut note = |holds: bool, text: &str| {
            if holds {
                report.notes.push(text.to_owned());
            }
        };
        note(conversation.redacted, "the recording is redacted: what it hides was neither sent nor compared");
        note(conversation.late, "the recording does not hold the session's beginning: the server may have refused because of that");
        note(conversation.gaps > 0, "bytes of the session are missing in the recording: messages may be missing, too");
        note(!plan.exchanges.is_empty() && self.listings.is_empty(), "the client did not list the tools then: they were not compared");
        let too_many = self.listings.iter().any(|listing| listing.then.too_many || listing.now.too_many);
        note(too_many, "the server lists more tools than are compared");
        for (number, what, more) in [
            (self.noise, "line", "of the server that cannot be read as a message"),
            (self.to_nothing, "answer", "of the server to nothing that was asked"),
            (self.pings, "ping", "of the server that the client did not get then"),
        ] {
            note(number > 0, &format!("{} {more}", count(number, what)));
        }
    }
}
