//! What has to be read first: what is missing, and what went wrong.

use super::finish::Finished;
use super::model::{Exchange, Hole, State, Way, What};
use super::view;
use crate::style::{Line, Style};
use crate::units::{self, Moment};
use crate::words;

/// Losses that are told one by one.
const MAX_LOSSES: usize = 20;

/// What there was, in numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) other_requests: u64,
    pub(super) from_server: u64,
    pub(super) notifications: u64,
    pub(super) failed: u64,
    pub(super) cancelled: u64,
    pub(super) unanswered: u64,
    pub(super) odd: u64,
}

/// Something that went wrong.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// Position of the row.
    pub(super) row: usize,
    /// Safe to show.
    pub(super) line: Line,
}

impl Finished {
    /// Finds what is missing and what went wrong.
    pub(super) fn take_stock(&mut self) {
        let mut tally = Tally::default();
        let mut problems = Vec::new();
        for (position, row) in self.rows.iter().enumerate() {
            let Some(step) = self.step(row) else { continue };
            match &step.what {
                What::Begin(exchange) => {
                    if let Some(exchange) = self.exchange(*exchange) {
                        tally.request(exchange);
                    }
                }
                What::Single(single) if single.kind == mcp_sensor_proto::v1::message::Type::Notification => tally.notifications += 1,
                What::Turn(exchange, 0) => {
                    // Its beginning was not told.
                    if let Some(exchange) = self.exchange(*exchange).filter(|exchange| !exchange.began) {
                        tally.request(exchange);
                    }
                }
                What::Single(_) | What::Turn(..) | What::Session(..) | What::Hole(_) | What::Verdict(_) | What::Sensor(_) => {}
            }
            if let Some(line) = self.problem(row, &mut tally) {
                problems.push(Problem { row: position, line });
            }
        }
        (self.tally, self.problems) = (tally, problems);
        self.missing = self.missing();
    }

    /// The numbers in a sentence: `12 tool calls, 3 other requests, 40 notifications`.
    pub(super) fn counts(&self) -> String {
        let Tally { calls, other_requests, from_server, notifications, .. } = self.tally;
        let mut counts = vec![units::count(calls, "tool call")];
        if other_requests > 0 {
            counts.push(units::count(other_requests, "other request"));
        }
        if from_server > 0 {
            counts.push(format!("{} from the server", units::count(from_server, "request")));
        }
        if notifications > 0 {
            counts.push(units::count(notifications, "notification"));
        }
        counts.join(", ")
    }

    /// What went wrong, in a sentence. Empty where nothing did.
    pub(super) fn wrongs(&self) -> String {
        let Tally { failed, cancelled, unanswered, odd, .. } = self.tally;
        let counts = [(failed, "failed"), (cancelled, "cancelled"), (unanswered, "without an answer")];
        let mut wrongs: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{} {what}", units::grouped(*count))).collect();
        if odd > 0 {
            wrongs.push(format!("{} oddly written", units::grouped(odd)));
        }
        wrongs.join(", ")
    }

    fn missing(&self) -> Vec<Line> {
        let timeline = &self.timeline;
        let mut missing = Vec::new();
        let mut say = |words: &str| missing.push(Line::own(Style::WARNING, words));
        if timeline.session.late_attach {
            say("The conversation was under way when the sensor first saw it: what came before was not seen.");
        } else if !timeline.opened && !self.is_empty() {
            say("The session's opening is not among these events: there may have been more before.");
        }
        for hole in timeline.holes.iter().filter(|hole| hole.gaps > 0) {
            let reasons = hole_reasons(hole);
            let why = if reasons.is_empty() { String::new() } else { format!(" ({reasons})") };
            say(&format!("{}{why}; messages may be lost with them.", hole_words(hole)));
        }
        let lost = &timeline.sensors.lost;
        for lost in lost.iter().take(MAX_LOSSES) {
            say(&format!("The sensor {} (told at {} UTC).", lost.words, Moment::from_unix(lost.until).time()));
        }
        if lost.len() > MAX_LOSSES {
            say(&format!("The sensor told of {} more losses.", units::grouped((lost.len() - MAX_LOSSES) as u64)));
        }
        let unseen = timeline.exchanges.iter().filter(|exchange| !exchange.began).count() as u64;
        if unseen > 0 {
            say(&format!("The beginning of {} is not here.", units::count(unseen, "call")));
        }
        let singles = timeline.steps.iter().filter(|step| matches!(&step.what, What::Single(single) if view::is_answer(single.kind)));
        let orphans = singles.count() as u64;
        if orphans > 0 {
            say(&format!(
                "The request is not here that {} to.",
                if orphans == 1 { "one answer belongs" } else { "several answers belong" }
            ));
        }
        if timeline.messages == 0 && !timeline.exchanges.is_empty() {
            say("Only tool calls were kept of this session, not its other messages.");
        }
        if self.has_no_payload() {
            say("What the messages said was not kept (payload level `none`).");
        }
        if timeline.cut_by_sensor > 0 {
            say(&format!("{} cut by the sensor for their size.", were(timeline.cut_by_sensor, "text")));
        }
        if timeline.cut_here > 0 {
            say(&format!("{} cut here for their size; the events have all of them.", were(timeline.cut_here, "text")));
        }
        if timeline.left_out.count > 0 {
            let (count, since) = (timeline.left_out.count, timeline.left_out.since.unwrap_or_default());
            let (since, until) = (Moment::from_unix(since).whole(), Moment::from_unix(timeline.left_out.until).whole());
            say(&format!("{} left out for their number, from {since} to {until} UTC: ask for that time alone.", were(count, "step")));
        }
        if timeline.unknown > 0 {
            say(&format!("{} of a kind that this version does not know: not shown.", units::count(timeline.unknown, "event")));
        }
        if timeline.other_sessions > 0 {
            say(&format!("{} of other sessions: not shown.", units::count(timeline.other_sessions, "event")));
        }
        // What names a process is no word of ours, and is told apart.
        for spot in &timeline.sensors.blind {
            let mut line = Line::own(Style::WARNING, "The sensor had a blind spot: ");
            line.push_own(Style::PLAIN, spot);
            missing.push(line);
        }
        missing
    }

    fn has_no_payload(&self) -> bool {
        let exchanges = &self.timeline.exchanges;
        !exchanges.is_empty()
            && self.timeline.held == 0
            && self.timeline.cut_here == 0
            && exchanges.iter().any(|exchange| exchange.wire.size > 0)
            && exchanges.iter().any(|exchange| exchange.wire.seen || exchange.turns.iter().any(|turn| turn.wire.size > 0))
    }
}

impl Tally {
    fn request(&mut self, exchange: &Exchange) {
        if exchange.is_call() {
            self.calls += 1;
        } else if exchange.way == Way::ToClient {
            self.from_server += 1;
        } else {
            self.other_requests += 1;
        }
        match exchange.state() {
            None => self.unanswered += 1,
            Some(State::ToolFailed | State::Failed) => self.failed += 1,
            Some(State::Cancelled) => self.cancelled += 1,
            Some(State::Abandoned) => self.unanswered += 1,
            Some(State::Completed | State::InputRequired | State::TaskCreated | State::Unknown) => {}
        }
    }
}

/// `1 text was`, `3 texts were`.
fn were(count: u64, thing: &str) -> String {
    format!("{} {}", units::count(count, thing), if count == 1 { "was" } else { "were" })
}

/// Missing bytes, in words: `1.2 MiB from the server missing in 3 gaps`.
pub(super) fn hole_words(hole: &Hole) -> String {
    let way = match hole.way {
        Way::ToServer => " from the client",
        Way::ToClient => " from the server",
        Way::Unknown => "",
    };
    let mut words = match (hole.bytes, hole.of_unknown_size) {
        (0, _) => format!("Bytes{way} are missing, how many is not known"),
        (bytes, 0) => format!("{}{way} missing", units::bytes(bytes)),
        (bytes, _) => format!("{} and more{way} missing", units::bytes(bytes)),
    };
    if hole.gaps > 1 {
        words.push_str(&format!(" in {} gaps", units::grouped(hole.gaps)));
    }
    words
}

/// Why bytes are missing, in words. Empty where only the hole is known.
pub(super) fn hole_reasons(hole: &Hole) -> String {
    hole.reasons.iter().map(|&reason| words::loss_reason(reason)).collect::<Vec<_>>().join(", ")
}
