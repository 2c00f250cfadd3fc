//! What each kind of event says in its line.

use std::collections::{BTreeMap, BTreeSet};

use mcp_sensor_proto::v1::event::Severity;
use mcp_sensor_proto::v1::loss::Count;
use mcp_sensor_proto::v1::message::{Direction, Type};
use mcp_sensor_proto::v1::sensor::State as SensorState;
use mcp_sensor_proto::v1::session_change::State as SessionState;
use mcp_sensor_proto::v1::tool_call::State as CallState;
use mcp_sensor_proto::v1::{Action, Event, Finding, Gap, Message, Sensor, SessionChange, ToolCall};

use super::gaps::Sum;
use super::layout::Row;
use super::peers::Peers;
use super::running::Call;
use crate::style::{Line, Style};
use crate::units::Moment;
use crate::{excerpt, units, words};

/// Columns of captured text that are prepared for a line, however wide the terminal.
const BUDGET: usize = 400;

/// Bytes of a name that are prepared for a line.
const NAME: usize = 1024;

/// From client to server; the peers stand in this order always.
const TO_SERVER: &str = " → ";

/// From server to client.
const TO_CLIENT: &str = " ← ";

/// From client to server, on behalf of another session's client: the same call is told there, too.
const RELAYED: &str = " ↪ ";

/// What is remembered of a call that began.
pub(super) fn started(event: &Event, call: &ToolCall) -> (Peers, Line, Line) {
    let style = style_of(event);
    (peers(event, style), name(&call.tool, style), captured(&excerpt::value(&call.arguments, BUDGET), style))
}

/// The line of a call that ended, or changed. `None` where it only began.
pub(super) fn ended(event: &Event, call: &ToolCall) -> Option<impl FnOnce(Moment) -> Row + use<>> {
    let style = style_of(event);
    let result = match call.state() {
        CallState::Started => return None,
        CallState::Completed if call.is_error => failed(&excerpt::result(&call.result, BUDGET), call),
        CallState::Completed if call.result.is_empty() => Line::own(style.dimmed(), &units::bytes(call.response_bytes)),
        CallState::Completed => captured(&excerpt::result(&call.result, BUDGET), style),
        CallState::Failed => failed(&excerpt::error(&call.error, BUDGET), call),
        CallState::Cancelled => Line::own(Style::WARNING, "cancelled"),
        CallState::Abandoned => {
            let mut line = Line::own(Style::WARNING, "no answer seen");
            if !call.reason.is_empty() {
                line.push_own(Style::WARNING, ": ");
                line.push_raw(Style::WARNING, clip(&call.reason, NAME));
            }
            line
        }
        CallState::InputRequired => Line::own(style.dimmed(), "asks for input"),
        CallState::TaskCreated => {
            let mut line = Line::own(style.dimmed(), "goes on as task ");
            line.push_raw(style.dimmed(), clip(&call.task_id, NAME));
            line
        }
        CallState::Unspecified => Line::own(style.dimmed(), "a state not known to this version"),
    };
    let (peers, tool, arguments) = started(event, call);
    let tool = if style == Style::PLAIN { name(&call.tool, Style::BOLD) } else { tool };
    let took = call.duration_ms.map_or(Line::default(), |milliseconds| Line::own(style, &units::duration((milliseconds * 1e6) as u64)));
    Some(move |time| Row { time, peers, tool, arguments, result, took })
}

/// The line of a call that still runs.
pub(super) fn runs(call: Call, now: i64, words: &'static str) -> impl FnOnce(Moment) -> Row {
    let Call { started, peers, tool, arguments, .. } = call;
    let age = u64::try_from(now.saturating_sub(started)).unwrap_or(0);
    move |time| Row {
        time,
        peers,
        tool: tool.dimmed(),
        arguments: arguments.dimmed(),
        result: Line::own(Style::DIM, words),
        took: Line::own(Style::DIM, &units::duration(age)),
    }
}

/// The line of a message.
pub(super) fn message(event: &Event, message: &Message) -> impl FnOnce(Moment) -> Row + use<> {
    let style = style_of(event);
    let arrow = if message.direction() == Direction::ServerToClient { TO_CLIENT } else { TO_SERVER };
    let (kind, style) = match message.r#type() {
        Type::Request | Type::Notification => ("", style),
        Type::Response => (" (result)", style),
        Type::Error => (" (error)", Style::ERROR),
        Type::Unspecified => (" (?)", style),
    };
    let mut tool = name(if message.method.is_empty() { "?" } else { &message.method }, style);
    tool.push_own(style.dimmed(), kind);
    let said = if message.body.is_empty() { name(&message.target, style) } else { captured(&excerpt::body(&message.body, BUDGET), style) };
    let (arguments, result) = if kind.is_empty() { (said, Line::default()) } else { (Line::default(), said) };
    let peers = Peers::of(event, arrow, style);
    let took = Line::own(style.dimmed(), &units::bytes(message.size_bytes));
    move |time| Row { time, peers, tool, arguments, result, took }
}

/// What is said of a session that opened or closed, and with `updates` of one that changed; and whether it is a warning.
pub(super) fn session(event: &Event, change: &SessionChange, updates: bool) -> Option<(bool, Line)> {
    let what = match change.state() {
        SessionState::Opened => "opened",
        SessionState::Closed => "closed",
        SessionState::Updated if updates => "updated",
        SessionState::Updated => return None,
        SessionState::Unspecified => "changed",
    };
    let session = event.session.clone().unwrap_or_default();
    let is_late = session.late_attach && change.state() == SessionState::Opened;
    let style = if is_late { Style::WARNING } else { Style::DIM };
    let mut details: Vec<Line> = Vec::new();
    if change.state() != SessionState::Closed {
        details.push(Line::own(style, if is_late { "was under way: what came before was not seen" } else { "" }));
        details.push(Line::own(style, &words::carrier(&session)));
        details.push(name(&session.protocol_version, style));
        details.push(Line::own(style, if session.probe { "a probe" } else { "" }));
        details.push(Line::own(style, if session.relay_of.is_empty() { "" } else { "a relay's" }));
        details.push(Line::own(style, if session.tunnel.is_empty() { "" } else { "through a tunnel" }));
    }
    details.push(name(&change.reason, style));
    details.push(name(&session.id, style));
    let mut line = Line::own(style, &format!("session {what}: "));
    line.push_line(peers(event, style).whole());
    for detail in details.into_iter().filter(|detail| !detail.is_empty()) {
        line.push_own(style, ", ");
        line.push_line(detail);
    }
    Some((is_late, line))
}

/// The peers of a gap, in the direction in which bytes are missing.
pub(super) fn peers_of_gap(event: &Event, gap: &Gap) -> Peers {
    let arrow = if gap.direction() == Direction::ServerToClient { TO_CLIENT } else { TO_SERVER };
    Peers::of(event, arrow, Style::WARNING)
}

/// What is said of gaps.
pub(super) fn gap(sum: &Sum) -> Line {
    let mut line = sum.peers.whole();
    line.push_own(Style::WARNING, ": ");
    line.push_own(Style::WARNING, &sum.words());
    line
}

/// What was odd about a message; `None` where nothing was.
pub(super) fn odd(marks: &[i32]) -> Option<Line> {
    let odd: Vec<_> = marks.iter().filter_map(|&mark| words::odd_mark(mark)).collect();
    (!odd.is_empty()).then(|| Line::own(Style::WARNING, &format!("└ odd: {}", odd.join(", "))))
}

/// What a rule says of an event.
pub(super) fn finding(event: &Event, finding: &Finding) -> Line {
    let style = severe(event.severity);
    let mut line = Line::own(style, &format!("‼ {} ", words::severity(event.severity)));
    line.push_raw(style, clip(&finding.rule, NAME));
    line.push_own(style, ": ");
    line.push_raw(style, clip(&finding.title, NAME));
    line.push_own(Style::DIM, "  ");
    line.push_line(peers(event, Style::DIM).whole());
    if !finding.tool.is_empty() {
        line.push_own(Style::DIM, "  ");
        line.push_line(name(&finding.tool, Style::DIM));
    }
    if !finding.reason.is_empty() {
        line.push_own(Style::DIM, "  ");
        line.push_raw(Style::DIM, clip(&finding.reason, 4 * NAME));
    }
    if finding.suppressed > 0 {
        line.push_own(Style::DIM, &format!("  and {} more since", units::grouped(finding.suppressed)));
    }
    line
}

/// What was done because of a rule, or by hand.
pub(super) fn action(event: &Event, action: &Action) -> Line {
    Line::own(severe(event.severity), &format!("‼ {}", words::action(action)))
}

fn severe(severity: i32) -> Style {
    if severity >= i32::from(Severity::High) { Style::ERROR } else { Style::WARNING }
}

/// What the sensor tells of itself, as news: it tells everything each time.
#[derive(Default)]
pub(super) struct SensorLines {
    state: Option<(SensorState, String)>,
    loss: BTreeMap<(i32, i32), Count>,
    blind_spots: BTreeSet<String>,
}

impl SensorLines {
    /// The news, each with whether it is a warning.
    pub(super) fn lines(&mut self, sensor: &Sensor) -> Vec<(bool, Line)> {
        let mut lines = Vec::new();
        let state = (sensor.state(), sensor.detail.clone());
        if self.state.as_ref() != Some(&state) {
            lines.push(state_line(sensor));
            self.state = Some(state);
        }
        for count in sensor.loss.iter().flat_map(|loss| &loss.counts) {
            let before = self.loss.insert((count.place, count.reason), *count).unwrap_or_default();
            let news = Count { count: count.count.saturating_sub(before.count), bytes: count.bytes.saturating_sub(before.bytes), ..*count };
            if news.count > 0 || news.bytes > 0 {
                lines.push((true, Line::own(Style::WARNING, &words::loss(&news))));
            }
        }
        let blind_spots: BTreeSet<String> = sensor.blind_spots.iter().map(|spot| words::blind_spot(spot, false)).collect();
        for spot in blind_spots.difference(&self.blind_spots) {
            lines.push((true, Line::own(Style::WARNING, &format!("blind spot: {spot}"))));
        }
        for spot in self.blind_spots.difference(&blind_spots) {
            lines.push((false, Line::own(Style::DIM, &format!("no blind spot any more: {spot}"))));
        }
        self.blind_spots = blind_spots;
        lines
    }
}

fn state_line(sensor: &Sensor) -> (bool, Line) {
    let (words, style) = match sensor.state() {
        SensorState::Unspecified => ("sensor: state not known", Style::WARNING),
        SensorState::Starting => ("sensor starting", Style::DIM),
        // Ready, with something to say: what this kernel lacks.
        SensorState::Ready if !sensor.detail.is_empty() => ("sensor ready", Style::WARNING),
        SensorState::Ready => ("sensor ready", Style::DIM),
        SensorState::Degraded => ("sensor does not see everything", Style::WARNING),
        SensorState::Stopping => ("sensor stopping", Style::DIM),
    };
    let mut line = Line::own(style, words);
    if !sensor.detail.is_empty() {
        line.push_own(style, ": ");
        line.push_raw(style, clip(&sensor.detail, 4 * NAME));
    }
    (style == Style::WARNING, line)
}

/// Plain; stepping back where a relay repeats what another session tells.
fn style_of(event: &Event) -> Style {
    if is_relayed(event) { Style::DIM } else { Style::PLAIN }
}

fn is_relayed(event: &Event) -> bool {
    event.session.as_ref().is_some_and(|session| !session.relay_of.is_empty())
}

fn peers(event: &Event, style: Style) -> Peers {
    Peers::of(event, if is_relayed(event) { RELAYED } else { TO_SERVER }, style)
}

/// A name from outside.
fn name(text: &str, style: Style) -> Line {
    Line::raw(style, clip(text, NAME))
}

/// An excerpt of captured JSON.
fn captured(text: &str, style: Style) -> Line {
    Line::raw(style, text)
}

/// The result of a call that failed. The sign tells it where there is no colour.
fn failed(text: &str, call: &ToolCall) -> Line {
    let mut line = Line::own(Style::ERROR, "✗ ");
    if text.is_empty() {
        line.push_own(Style::ERROR, &units::bytes(call.response_bytes));
    } else {
        line.push_raw(Style::ERROR, text);
    }
    line
}

/// The beginning of a text that may be megabytes long.
fn clip(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}
