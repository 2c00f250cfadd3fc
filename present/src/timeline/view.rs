//! What each row says, the same for all renderings that people read.

use std::borrow::Cow;

use mcp_sensor_proto::v1::event::Severity;
use mcp_sensor_proto::v1::message::Type;
use mcp_sensor_proto::v1::session_change::State as SessionState;

use super::finish::{Finished, Row};
use super::model::{Exchange, Pair, Single, State, Turn, Verdict, Way, What, Wire};
use super::notices::{Tally, hole_reasons, hole_words};
use super::sections::{self, Section};
use crate::style::{Line, Style};
use crate::table::peers::label;
use crate::{excerpt, units, words};

/// The arrow of a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrow {
    None,
    ToServer,
    ToClient,
    /// Asked by the client, and answered.
    ByClient,
    /// Asked by the server, and answered.
    ByServer,
}

/// What kind of thing a row is, for filters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Call,
    Request,
    Notification,
    Session,
    Gap,
    /// A finding or an action.
    Verdict,
    Sensor,
}

/// A row as it reads.
#[derive(Debug)]
pub(super) struct View<'t> {
    pub(super) time: i64,
    pub(super) kind: Kind,
    pub(super) arrow: Arrow,
    /// The exchange's number, from 1.
    pub(super) number: Option<usize>,
    /// It is about an exchange that began in another row.
    pub(super) is_part: bool,
    /// Something to look at.
    pub(super) is_problem: bool,
    /// The tool or the method.
    pub(super) title: Line,
    /// The tool's own name, for filters. From outside.
    pub(super) tool: Option<&'t str>,
    /// What was asked or told, in short.
    pub(super) said: Line,
    /// What came of it, in short.
    pub(super) outcome: Line,
    /// In nanoseconds.
    pub(super) took: Option<u64>,
    /// What is odd or has to be known beside.
    pub(super) notes: Vec<Line>,
    /// Names and values for who wants to know everything.
    pub(super) facts: Vec<(&'static str, Line)>,
    pub(super) sections: Vec<Section<'t>>,
}

/// True for an answer.
pub(super) const fn is_answer(kind: Type) -> bool {
    matches!(kind, Type::Response | Type::Error)
}

impl Finished {
    /// What a row says. `budget`: columns of excerpts.
    pub(super) fn view(&self, row: &Row, budget: usize) -> Option<View<'_>> {
        let step = self.step(row)?;
        let mut view = match &step.what {
            What::Begin(position) => {
                let answer = row.answer.and_then(|answer| self.timeline.steps.get(answer)).and_then(|answer| self.turn(answer));
                self.begin(*position, answer.map(|(_, turn)| turn), budget)?
            }
            What::Turn(position, _) => {
                let (exchange, turn) = self.turn(step)?;
                self.later(*position, exchange, turn, budget)
            }
            What::Single(single) => self.single(single, budget),
            What::Session(state, reason) => self.session_row(*state, reason),
            What::Hole(hole) => {
                let arrow = arrow(hole.way);
                let reasons = hole_reasons(hole);
                let notes = if reasons.is_empty() { Vec::new() } else { vec![Line::own(Style::WARNING, &reasons)] };
                View { arrow, is_problem: true, title: Line::own(Style::WARNING, &hole_words(hole)), notes, ..View::new(Kind::Gap) }
            }
            What::Verdict(verdict) => self.verdict(verdict),
            What::Sensor(news) => sensor(news),
        };
        view.time = step.time;
        self.add_others(step.peers, &mut view.notes);
        Some(view)
    }

    fn begin<'t>(&'t self, position: usize, answer: Option<&'t Turn>, budget: usize) -> Option<View<'t>> {
        let exchange = self.exchange(position)?;
        let mut view = exchange_view(position, exchange, budget);
        view.sections = sections::of_request(exchange);
        request_facts(exchange, &mut view.facts);
        add_odd(&exchange.wire.marks, &mut view.notes);
        if !exchange.retry_of.is_empty() {
            let mut note = Line::own(Style::DIM, "again, with input, what was asked with id ");
            note.push_raw(Style::DIM, &exchange.retry_of);
            view.notes.push(note);
        }
        match (answer, exchange.turns.last()) {
            (Some(turn), _) => {
                view.arrow = match (exchange.way, turn.state) {
                    (way, State::Cancelled | State::Abandoned | State::Unknown) => arrow(way),
                    (Way::ToClient, _) => Arrow::ByServer,
                    _ => Arrow::ByClient,
                };
                add_answer(exchange, turn, budget, &mut view);
            }
            (None, None) => {
                view.is_problem = true;
                view.outcome = Line::own(Style::WARNING, "no answer to the end");
            }
            (None, Some(last)) => {
                // The answer stands further below. How it ended is said here already.
                let (words, style) = state_words(last.state);
                view.outcome = Line::own(if last.state.is_problem() { style } else { Style::DIM }, words);
                if let Some(duration) = last.duration {
                    view.outcome.push_own(Style::DIM, &format!(" {} later", units::duration(duration)));
                }
            }
        }
        if exchange.progress > 0 {
            let count = units::count(u64::from(exchange.progress), "progress notification");
            view.facts.push(("progress", Line::own(Style::PLAIN, &count)));
        }
        Some(view)
    }

    /// An answer that does not stand with its request.
    fn later<'t>(&self, position: usize, exchange: &'t Exchange, turn: &'t Turn, budget: usize) -> View<'t> {
        let mut view = exchange_view(position, exchange, budget);
        view.is_part = exchange.began;
        if exchange.began {
            view.said = Line::default();
        } else {
            view.sections = sections::of_request(exchange);
            request_facts(exchange, &mut view.facts);
            view.notes.push(Line::own(Style::WARNING, "its request is not here"));
        }
        view.arrow = match turn.state {
            State::Cancelled => arrow(exchange.way),
            State::Abandoned | State::Unknown => Arrow::None,
            _ => arrow(exchange.way.back()),
        };
        add_answer(exchange, turn, budget, &mut view);
        view
    }

    fn single<'t>(&'t self, single: &'t Single, budget: usize) -> View<'t> {
        let kind = if is_answer(single.kind) { Kind::Request } else { Kind::Notification };
        let mut view = View { arrow: arrow(single.way), ..View::new(kind) };
        let style = if single.cancels { Style::WARNING } else { Style::PLAIN };
        let name = single.method.strip_prefix("notifications/").unwrap_or(&single.method);
        view.title = match single.kind {
            Type::Response => Line::own(Style::WARNING, "answer without a request"),
            Type::Error => Line::own(Style::WARNING, "error without a request"),
            _ if name.is_empty() => Line::own(Style::WARNING, "a message without a method"),
            _ => Line::raw(style, name),
        };
        let said = excerpt::body(&single.wire.body.text, budget);
        view.said = Line::raw(Style::DIM, &said);
        if let Some(of) = single.of {
            view.number = Some(of + 1);
            view.is_part = true;
            let exchange = self.exchange(of);
            view.kind = if exchange.is_some_and(Exchange::is_call) { Kind::Call } else { view.kind };
            view.tool = exchange.filter(|exchange| exchange.is_call()).map(|exchange| &*exchange.target);
        }
        view.is_problem = is_answer(single.kind) || single.cancels;
        let mut add = |name, value: &str| {
            if !value.is_empty() {
                view.facts.push((name, Line::raw(Style::PLAIN, value)));
            }
        };
        add("method", &single.method);
        add("id", &single.id);
        wire_facts("size", "sha256", &single.wire, &mut view.facts);
        add_odd(&single.wire.marks, &mut view.notes);
        view.is_problem |= !view.notes.is_empty();
        view.sections = sections::of_single(single);
        view
    }

    fn session_row(&self, state: i32, reason: &str) -> View<'_> {
        let session = &self.timeline.session;
        let what = match SessionState::try_from(state).unwrap_or_default() {
            SessionState::Opened => "session opened",
            SessionState::Closed => "session closed",
            SessionState::Updated => "session updated",
            SessionState::Unspecified => "session changed",
        };
        let mut view = View { title: Line::own(Style::DIM, what), ..View::new(Kind::Session) };
        view.said = Line::raw(Style::DIM, reason);
        if session.late_attach && state == i32::from(SessionState::Opened) {
            view.notes.push(Line::own(Style::WARNING, "it was under way: what came before was not seen"));
            view.is_problem = true;
        }
        view
    }

    /// What a rule found, or what was done.
    fn verdict<'t>(&self, verdict: &'t Verdict) -> View<'t> {
        let Verdict { severity, rule, title, reason, tags, tool, request, suppressed, outcome } = verdict;
        let style = if *severity >= i32::from(Severity::High) { Style::ERROR } else { Style::WARNING };
        let mut view = View { is_problem: true, ..View::new(Kind::Verdict) };
        view.title = Line::own(style, "‼ ");
        if outcome.is_some() {
            view.title.push_own(style, title);
            return view;
        }
        view.title.push_own(style, &format!("{} ", words::severity(*severity)));
        view.title.push_raw(style, rule);
        view.said = Line::raw(Style::PLAIN, title);
        view.tool = (!tool.is_empty()).then_some(&**tool);
        let same = |exchange: &Exchange| !request.is_empty() && exchange.id == *request && exchange.is_call();
        view.number = self.timeline.exchanges.iter().rposition(same).map(|position| position + 1);
        if !reason.is_empty() {
            view.notes.push(Line::raw(Style::DIM, reason));
        }
        if *suppressed > 0 {
            view.notes.push(Line::own(Style::DIM, &format!("and {} more like it since", units::grouped(*suppressed))));
        }
        view.facts.push(("rule", Line::raw(Style::PLAIN, rule)));
        if !tags.is_empty() {
            view.facts.push(("tags", Line::raw(Style::PLAIN, &tags.join(", "))));
        }
        view
    }

    /// Other processes than those at the head took part.
    fn add_others(&self, peers: Pair, notes: &mut Vec<Line>) {
        let (client, server) = self.others(peers);
        for (side, peer) in [("the client here is ", client), ("the server here is ", server)] {
            if peer.is_some() {
                let mut note = Line::own(Style::DIM, side);
                note.push_line(label(peer, Style::DIM));
                notes.push(note);
            }
        }
    }

    /// The line of what went wrong in a row, where something did.
    pub(super) fn problem(&self, row: &Row, tally: &mut Tally) -> Option<Line> {
        const BUDGET: usize = 120;
        let view = self.view(row, BUDGET)?;
        tally.odd += u64::from(view.notes.iter().any(is_odd));
        if !view.is_problem || matches!(view.kind, Kind::Sensor | Kind::Gap | Kind::Session) {
            return None;
        }
        let mut line = Line::default();
        line.push_line(view.title);
        let outcome = if view.outcome.is_empty() { view.said } else { view.outcome };
        let parts = std::iter::once(outcome).chain(view.notes.into_iter().filter(is_odd));
        for part in parts.filter(|part| !part.is_empty()) {
            line.push_own(Style::DIM, "  ");
            line.push_line(part);
        }
        Some(line)
    }
}

impl View<'_> {
    fn new(kind: Kind) -> Self {
        Self {
            time: 0,
            kind,
            arrow: Arrow::None,
            number: None,
            is_part: false,
            is_problem: false,
            title: Line::default(),
            tool: None,
            said: Line::default(),
            outcome: Line::default(),
            took: None,
            notes: Vec::new(),
            facts: Vec::new(),
            sections: Vec::new(),
        }
    }
}

/// What all rows of an exchange have.
fn exchange_view(position: usize, exchange: &Exchange, budget: usize) -> View<'_> {
    let is_call = exchange.is_call();
    let mut view = View::new(if is_call { Kind::Call } else { Kind::Request });
    view.arrow = arrow(exchange.way);
    view.number = Some(position + 1);
    view.tool = is_call.then_some(&*exchange.target);
    let name: Cow<'_, str> = match (is_call, &*exchange.target) {
        (true, "") => Cow::Borrowed("(a tool without a name)"),
        (true, tool) => Cow::Borrowed(tool),
        (false, "") => Cow::Borrowed(&exchange.method),
        (false, target) => Cow::Owned(format!("{} {target}", exchange.method)),
    };
    view.title = Line::raw(if is_call { Style::BOLD } else { Style::PLAIN }, &name);
    let asked = sections::asked(exchange);
    view.said = Line::raw(Style::PLAIN, &excerpt::value(asked, budget));
    if asked.is_empty() && exchange.arguments.left_out + exchange.wire.body.left_out > 0 {
        view.said = Line::own(Style::DIM, "(left out)");
    }
    view
}

fn request_facts(exchange: &Exchange, facts: &mut Vec<(&'static str, Line)>) {
    facts.push(("id", Line::raw(Style::PLAIN, &exchange.id)));
    if !exchange.is_call() && !exchange.method.is_empty() {
        facts.push(("method", Line::raw(Style::PLAIN, &exchange.method)));
    }
    if !exchange.task.is_empty() {
        facts.push(("task", Line::raw(Style::PLAIN, &exchange.task)));
    }
    wire_facts("request", "request sha256", &exchange.wire, facts);
}

fn wire_facts(size: &'static str, hash: &'static str, wire: &Wire, facts: &mut Vec<(&'static str, Line)>) {
    if wire.size > 0 {
        facts.push((size, Line::own(Style::PLAIN, &units::bytes(wire.size))));
    }
    if !wire.sha256.is_empty() {
        facts.push((hash, Line::raw(Style::PLAIN, &wire.sha256)));
    }
}

/// What came of an exchange.
fn add_answer<'t>(exchange: &'t Exchange, turn: &'t Turn, budget: usize, view: &mut View<'t>) {
    let value = sections::answered(turn);
    let failed = |text: String| {
        let mut line = Line::own(Style::ERROR, "✗ ");
        line.push_raw(Style::ERROR, &text);
        line
    };
    view.outcome = match turn.state {
        State::ToolFailed => failed(excerpt::result(value, budget)),
        State::Failed => failed(excerpt::error(value, budget)),
        State::Completed if value.is_empty() => Line::own(Style::DIM, &units::bytes(turn.wire.size)),
        State::Completed if exchange.is_call() => Line::raw(Style::PLAIN, &excerpt::result(value, budget)),
        State::Completed => Line::raw(Style::PLAIN, &excerpt::value(value, budget)),
        state => {
            let (words, style) = state_words(state);
            let mut line = Line::own(style, words);
            if !turn.reason.is_empty() {
                line.push_own(style, ": ");
                line.push_raw(style, &turn.reason);
            }
            line
        }
    };
    view.is_problem |= turn.state.is_problem();
    view.took = turn.duration;
    view.sections.extend(sections::of_turn(exchange, turn));
    wire_facts("answer", "answer sha256", &turn.wire, &mut view.facts);
    add_odd(&turn.wire.marks, &mut view.notes);
    view.is_problem |= view.notes.iter().any(is_odd);
}

/// How an exchange ended, in words.
pub(super) const fn state_words(state: State) -> (&'static str, Style) {
    match state {
        State::Completed => ("answered", Style::PLAIN),
        State::ToolFailed => ("✗ the tool failed", Style::ERROR),
        State::Failed => ("✗ failed", Style::ERROR),
        State::Cancelled => ("cancelled", Style::WARNING),
        State::Abandoned => ("no answer seen", Style::WARNING),
        State::InputRequired => ("asked for input", Style::DIM),
        State::TaskCreated => ("made a task", Style::DIM),
        State::Unknown => ("ended in a way not known to this version", Style::DIM),
    }
}

/// How a note begins that tells what is odd.
const ODD: &str = "odd: ";

fn is_odd(note: &Line) -> bool {
    note.parts().next().is_some_and(|(style, text, _)| style == Style::WARNING && text.starts_with(ODD))
}

fn add_odd(marks: &[i32], notes: &mut Vec<Line>) {
    let odd: Vec<_> = marks.iter().filter_map(|&mark| words::odd_mark(mark)).collect();
    if !odd.is_empty() {
        let line = Line::own(Style::WARNING, &format!("{ODD}{}", odd.join(", ")));
        if !notes.contains(&line) {
            notes.push(line);
        }
    }
}

fn sensor(news: &[(bool, String)]) -> View<'_> {
    let mut lines = news.iter().map(|(is_warning, words)| Line::own(if *is_warning { Style::WARNING } else { Style::DIM }, words));
    let title = lines.next().unwrap_or_default();
    View { title, notes: lines.collect(), is_problem: news.iter().any(|(is_warning, _)| *is_warning), ..View::new(Kind::Sensor) }
}

const fn arrow(way: Way) -> Arrow {
    match way {
        Way::Unknown => Arrow::None,
        Way::ToServer => Arrow::ToServer,
        Way::ToClient => Arrow::ToClient,
    }
}
