//! Makes steps and exchanges of events.
//!
//! A tool call is told twice where messages are told too: by `message` events and by `toolCall` events, in either order.
//! Here they meet in one exchange. They are one thing where session, direction and id agree and each kind of event is
//! still missing; what the message's body has whole is not kept a second time.

use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::message::Type;
use mcp_sensor_proto::v1::session_change::State as SessionState;
use mcp_sensor_proto::v1::tool_call::State as CallState;
use mcp_sensor_proto::v1::{Event, Gap, Message, Peer, Session, SessionChange, ToolCall};

use super::Timeline;
use super::model::{CALL, Exchange, Hole, Pair, Single, State, Step, Text, Turn, Verdict, Way, What, Wire};
use super::verdict::{done, found};
use crate::json;
use crate::units;

/// Bytes of a name that are kept.
const NAME: usize = 1024;

/// Processes of one side that are told apart.
const MAX_PEERS: usize = 16;

/// Turns of an exchange that are kept. A call that becomes a task has two.
const MAX_TURNS: usize = 8;

/// Bytes of what is known of a process, beyond which its arguments and ancestors are let go.
const MAX_PEER: usize = 64 * 1024;

impl Timeline {
    /// Takes the next event of the session. Events of other sessions are counted and left out.
    pub fn add(&mut self, event: &Event) {
        let time = event.time.as_ref().map_or(0, units::nanoseconds);
        if let Some(Body::Sensor(sensor)) = &event.body {
            let news = self.sensors.add(event, sensor, time, self.begin.is_some());
            if !news.is_empty() {
                self.step(time, What::Sensor(news), Pair::default(), false);
            }
            return;
        }
        if !self.is_of_session(event.session.as_ref()) {
            self.other_sessions += 1;
            return;
        }
        self.begin = Some(self.begin.map_or(time, |begin| begin.min(time)));
        self.end = Some(self.end.map_or(time, |end| end.max(time)));
        if self.node.is_empty() {
            self.node = clip(&event.node);
        }
        let peers = Pair { client: meet(&mut self.clients, event.client.as_ref()), server: meet(&mut self.servers, event.server.as_ref()) };
        match &event.body {
            Some(Body::Message(message)) => {
                self.messages += 1;
                self.message(time, message, peers);
            }
            Some(Body::ToolCall(call)) => self.call(time, call, peers),
            Some(Body::SessionChange(change)) => self.change(time, change, peers),
            Some(Body::Gap(gap)) => self.gap(time, gap, peers),
            Some(Body::Finding(finding)) => self.verdict(time, found(event.severity, finding), peers),
            Some(Body::Action(action)) => self.verdict(time, done(event.severity, action), peers),
            Some(Body::Sensor(_)) | None => self.unknown += 1,
        }
        if let Some(session) = event.session.as_ref().filter(|session| self.session != **session) {
            self.session.clone_from(session);
        }
    }

    fn is_of_session(&self, session: Option<&Session>) -> bool {
        let id = session.map_or("", |session| session.id.as_str());
        self.begin.is_none() || id == self.session.id
    }

    /// Adds a step, if there is room. `must`: it ends what has its place already.
    fn step(&mut self, time: i64, what: What, peers: Pair, must: bool) -> bool {
        if self.steps.len() >= self.limits.entries && !must {
            self.leave_out(time);
            return false;
        }
        self.steps.push(Step { time, what, peers });
        true
    }

    /// Counts a step that has no room.
    fn leave_out(&mut self, time: i64) {
        self.left_out.count += 1;
        self.left_out.since.get_or_insert(time);
        self.left_out.until = time;
    }

    fn text(&mut self, text: &str, was_cut: bool) -> Text {
        let room = self.limits.total.saturating_sub(self.held).min(self.limits.text);
        let kept = text.get(..text.floor_char_boundary(room)).unwrap_or_default();
        self.held += kept.len();
        let left_out = (text.len() - kept.len()) as u64;
        self.cut_by_sensor += u64::from(was_cut);
        self.cut_here += u64::from(left_out > 0);
        Text { text: kept.into(), was_cut, left_out }
    }

    fn wire(&mut self, message: &Message) -> Wire {
        Wire {
            seen: true,
            size: message.size_bytes,
            sha256: message.sha256.get(..message.sha256.floor_char_boundary(64)).unwrap_or_default().into(),
            marks: marks(&[], &message.marks),
            body: self.text(&message.body, message.truncated),
        }
    }

    fn message(&mut self, time: i64, message: &Message, peers: Pair) {
        let way = Way::of(message.direction());
        match message.r#type() {
            Type::Request => self.request(time, way, message, peers),
            Type::Response | Type::Error => self.answer(time, way, message, peers),
            Type::Notification | Type::Unspecified => self.notification(time, way, message, peers),
        }
    }

    fn request(&mut self, time: i64, way: Way, message: &Message, peers: Pair) {
        if let Some(position) = self.latest(way, &message.request_id)
            && let Some(exchange) = self.exchanges.get(position)
            && exchange.told
            && !exchange.wire.seen
            && exchange.began
            && exchange.time == time
        {
            // The tool call's event came first.
            let wire = self.wire(message);
            if let Some(exchange) = self.exchanges.get_mut(position) {
                exchange.wire = wire;
            }
            return;
        }
        let position = self.exchanges.len();
        if !self.step(time, What::Begin(position), peers, false) {
            self.forget(way, &message.request_id);
            return;
        }
        let exchange = Exchange {
            way,
            time,
            began: true,
            id: clip(&message.request_id),
            method: clip(&message.method),
            target: clip(&message.target),
            wire: self.wire(message),
            task: clip(&message.task_id),
            ..Exchange::default()
        };
        self.begin_exchange(exchange);
    }

    fn begin_exchange(&mut self, exchange: Exchange) -> usize {
        let position = self.exchanges.len();
        self.latest.insert((exchange.way, exchange.id.clone()), position);
        self.exchanges.push(exchange);
        position
    }

    fn latest(&self, way: Way, id: &str) -> Option<usize> {
        if id.is_empty() {
            return None;
        }
        self.latest.get(&(way, clip(id))).copied()
    }

    /// The exchange with this id has no place: what belongs to it must not go to the one before.
    fn forget(&mut self, way: Way, id: &str) {
        self.latest.remove(&(way, clip(id)));
    }

    fn answer(&mut self, time: i64, way: Way, message: &Message, peers: Pair) {
        let found = self.latest(way.back(), &message.request_id);
        let Some((position, exchange)) = found.and_then(|position| Some((position, self.exchanges.get(position)?))) else {
            return self.single(time, way, message, None, peers);
        };
        if let Some(turn) = exchange.turns.last() {
            let is_same = turn.told && !turn.wire.seen && turn.time == time && turn.state != State::Cancelled;
            if is_same {
                // The tool call's event came first.
                let wire = self.wire(message);
                if let Some(turn) = self.exchanges.get_mut(position).and_then(|exchange| exchange.turns.last_mut()) {
                    turn.wire = wire;
                }
                return;
            }
            if exchange.turns.iter().any(|turn| turn.wire.seen) {
                // Answered already: this one has no request.
                return self.single(time, way, message, Some(position), peers);
            }
        }
        let is_call = exchange.is_call();
        let duration = exchange.began.then(|| u64::try_from(time.saturating_sub(exchange.time)).unwrap_or(0));
        let wire = self.wire(message);
        let state = match message.r#type() {
            Type::Error => State::Failed,
            _ => state_of(&wire.body.text, is_call),
        };
        let turn = Turn { time, state, wire, value: Text::default(), duration, reason: "".into(), told: false };
        self.turn(position, turn, peers);
    }

    fn turn(&mut self, position: usize, turn: Turn, peers: Pair) {
        let Some(exchange) = self.exchanges.get_mut(position) else { return };
        let time = turn.time;
        if exchange.turns.len() >= MAX_TURNS {
            self.leave_out(time);
            return;
        }
        exchange.turns.push(turn);
        let number = exchange.turns.len() - 1;
        self.step(time, What::Turn(position, number), peers, true);
    }

    fn notification(&mut self, time: i64, way: Way, message: &Message, peers: Pair) {
        let cancels = message.method == "notifications/cancelled";
        let related = &message.related_request_id;
        // The sender of a request cancels it, and the other side tells of its progress.
        let of = if cancels {
            self.latest(way, related).or_else(|| self.latest(way.back(), related))
        } else {
            self.latest(way.back(), related).or_else(|| self.latest(way, related))
        };
        if let Some(exchange) = of.and_then(|of| self.exchanges.get_mut(of))
            && message.method == "notifications/progress"
        {
            exchange.progress = exchange.progress.saturating_add(1);
        }
        self.single(time, way, message, of, peers);
    }

    fn single(&mut self, time: i64, way: Way, message: &Message, of: Option<usize>, peers: Pair) {
        if self.steps.len() >= self.limits.entries {
            self.leave_out(time);
            return;
        }
        let is_cancellation = message.method == "notifications/cancelled" && message.r#type() == Type::Notification;
        let mut cancels = false;
        if is_cancellation
            && let Some(exchange) = of.and_then(|of| self.exchanges.get_mut(of))
            && exchange.turns.is_empty()
        {
            cancels = true;
            let duration = exchange.began.then(|| u64::try_from(time.saturating_sub(exchange.time)).unwrap_or(0));
            let (wire, value) = (Wire::default(), Text::default());
            exchange.turns.push(Turn { time, state: State::Cancelled, wire, value, duration, reason: "".into(), told: false });
        }
        let single = Single {
            way,
            kind: message.r#type(),
            method: clip(&message.method),
            id: clip(&message.request_id),
            wire: self.wire(message),
            of,
            cancels,
        };
        self.step(time, What::Single(Box::new(single)), peers, false);
    }

    fn call(&mut self, time: i64, call: &ToolCall, peers: Pair) {
        let found = self.latest(Way::ToServer, &call.request_id);
        let known = found.and_then(|position| Some((position, self.exchanges.get(position)?))).filter(|(_, exchange)| exchange.is_call());
        if call.state() == CallState::Started {
            match known {
                Some((position, exchange)) if !exchange.told && exchange.turns.is_empty() => self.told(position, call),
                _ => self.began(time, call, peers),
            }
            return;
        }
        let known = known.filter(|(_, exchange)| !exchange.told || exchange.turns.iter().all(|turn| !turn.told || !turn.state.is_end()));
        let Some((position, _)) = known else { return self.ended_unseen(time, call, peers) };
        if self.exchanges.get(position).is_some_and(|exchange| !exchange.told) {
            self.told(position, call);
        }
        let state = state_told(call);
        let Some(exchange) = self.exchanges.get(position) else { return };
        let merges = exchange.turns.last().is_some_and(|turn| {
            !turn.told && if state == State::Cancelled { turn.state == state } else { turn.wire.seen && state != State::Abandoned }
        });
        if !merges {
            let turn = self.turn_told(time, state, call, true);
            return self.turn(position, turn, peers);
        }
        let has_whole = exchange.turns.last().is_some_and(|turn| turn.wire.seen && is_usable(&turn.wire.body));
        let told = self.turn_told(time, state, call, !has_whole);
        if let Some(turn) = self.exchanges.get_mut(position).and_then(|exchange| exchange.turns.last_mut()) {
            let wire = std::mem::take(&mut turn.wire);
            *turn = Turn { wire, time: turn.time, duration: told.duration.or(turn.duration), ..told };
        }
    }

    /// A tool call's event tells of an exchange that a message began.
    fn told(&mut self, position: usize, call: &ToolCall) {
        let lacks = self.exchanges.get(position).is_some_and(|exchange| !is_usable(&exchange.wire.body));
        let arguments = if lacks { self.text(&call.arguments, call.truncated) } else { Text::default() };
        let Some(exchange) = self.exchanges.get_mut(position) else { return };
        exchange.told = true;
        exchange.arguments = arguments;
        exchange.retry_of = clip(&call.retry_of);
        exchange.wire.marks = marks(&exchange.wire.marks, &call.marks);
        if exchange.target.is_empty() {
            exchange.target = clip(&call.tool);
        }
    }

    fn began(&mut self, time: i64, call: &ToolCall, peers: Pair) {
        let position = self.exchanges.len();
        if !self.step(time, What::Begin(position), peers, false) {
            self.forget(Way::ToServer, &call.request_id);
            return;
        }
        let exchange = self.exchange_told(time, call);
        self.begin_exchange(Exchange { began: true, ..exchange });
    }

    /// The end of a call whose beginning was not told.
    fn ended_unseen(&mut self, time: i64, call: &ToolCall, peers: Pair) {
        if self.steps.len() >= self.limits.entries {
            self.leave_out(time);
            return;
        }
        let duration = call.duration_ms.map_or(0, nanoseconds);
        let began = time.saturating_sub(i64::try_from(duration).unwrap_or(i64::MAX));
        let exchange = self.exchange_told(began, call);
        let position = self.begin_exchange(exchange);
        let turn = self.turn_told(time, state_told(call), call, true);
        self.turn(position, turn, peers);
    }

    fn exchange_told(&mut self, time: i64, call: &ToolCall) -> Exchange {
        Exchange {
            way: Way::ToServer,
            time,
            id: clip(&call.request_id),
            method: CALL.into(),
            target: clip(&call.tool),
            wire: Wire { size: call.request_bytes, marks: marks(&[], &call.marks), ..Wire::default() },
            told: true,
            arguments: self.text(&call.arguments, call.truncated),
            retry_of: clip(&call.retry_of),
            task: clip(&call.task_id),
            ..Exchange::default()
        }
    }

    fn turn_told(&mut self, time: i64, state: State, call: &ToolCall, with_value: bool) -> Turn {
        let value = if call.error.is_empty() { &call.result } else { &call.error };
        Turn {
            time,
            state,
            wire: Wire { size: call.response_bytes, ..Wire::default() },
            value: if with_value { self.text(value, call.truncated) } else { Text::default() },
            duration: call.duration_ms.map(nanoseconds),
            reason: clip(&call.reason),
            told: true,
        }
    }

    fn change(&mut self, time: i64, change: &SessionChange, peers: Pair) {
        match change.state() {
            SessionState::Opened => self.opened = true,
            SessionState::Closed => self.closed = true,
            SessionState::Updated | SessionState::Unspecified => {}
        }
        self.step(time, What::Session(change.state, clip(&change.reason)), peers, false);
    }

    fn verdict(&mut self, time: i64, verdict: Verdict, peers: Pair) {
        self.step(time, What::Verdict(Box::new(verdict)), peers, false);
    }

    fn gap(&mut self, time: i64, gap: &Gap, peers: Pair) {
        let way = Way::of(gap.direction());
        let total = match way {
            Way::ToServer => &mut self.holes[0],
            Way::ToClient => &mut self.holes[1],
            Way::Unknown => &mut self.holes[2],
        };
        total.way = way;
        total.add(gap.bytes, &gap.reasons);
        // Gaps without anything in between are one hole to a reader.
        if let Some(Step { what: What::Hole(hole), .. }) = self.steps.last_mut()
            && hole.way == way
        {
            hole.add(gap.bytes, &gap.reasons);
            return;
        }
        let mut hole = Hole { way, ..Hole::default() };
        hole.add(gap.bytes, &gap.reasons);
        self.step(time, What::Hole(Box::new(hole)), peers, false);
    }
}

/// True where a message's body is enough to show what is in it.
fn is_usable(body: &Text) -> bool {
    !body.text.is_empty() && body.is_whole()
}

/// What a message alone tells of how an exchange ended.
fn state_of(body: &str, is_call: bool) -> State {
    let result = json::member(body, "result").unwrap_or_default();
    match json::member(result, "resultType") {
        Some("\"input_required\"") => return State::InputRequired,
        Some("\"task\"") => return State::TaskCreated,
        _ => {}
    }
    if is_call && json::member(result, "isError") == Some("true") { State::ToolFailed } else { State::Completed }
}

/// What a tool call's event tells.
fn state_told(call: &ToolCall) -> State {
    match call.state() {
        CallState::Completed if call.is_error => State::ToolFailed,
        CallState::Completed => State::Completed,
        CallState::Failed => State::Failed,
        CallState::Cancelled => State::Cancelled,
        CallState::Abandoned => State::Abandoned,
        CallState::InputRequired => State::InputRequired,
        CallState::TaskCreated => State::TaskCreated,
        CallState::Started | CallState::Unspecified => State::Unknown,
    }
}

/// From milliseconds; what is no duration is 0.
fn nanoseconds(milliseconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, and NaN becomes 0")]
    let nanoseconds = (milliseconds * 1e6) as u64;
    nanoseconds
}

/// The marks of both lists, each once.
fn marks(some: &[i32], others: &[i32]) -> Vec<i32> {
    let mut marks = Vec::new();
    for &mark in some.iter().chain(others) {
        if !marks.contains(&mark) && marks.len() < 32 {
            marks.push(mark);
        }
    }
    marks
}

/// The beginning of a name, which may be megabytes long.
pub(super) fn clip(text: &str) -> Box<str> {
    text.get(..text.floor_char_boundary(NAME)).unwrap_or_default().into()
}

/// The position of a process in the list of those that were met. What is newer about it replaces what was known.
fn meet(peers: &mut Vec<Peer>, peer: Option<&Peer>) -> Option<u8> {
    let peer = peer?;
    let is_same = |known: &Peer| (known.pid, &known.start_time, &known.address) == (peer.pid, &peer.start_time, &peer.address);
    let position = match peers.iter().position(is_same) {
        Some(position) => position,
        None if peers.len() < MAX_PEERS => {
            peers.push(Peer::default());
            peers.len() - 1
        }
        None => return None,
    };
    if let Some(known) = peers.get_mut(position)
        && known != peer
    {
        known.clone_from(peer);
        let words = peer.command_line.iter().chain(peer.ancestors.iter().flat_map(|ancestor| &ancestor.command_line));
        if words.map(|word| word.len() + 24).sum::<usize>() > MAX_PEER {
            known.command_line.clear();
            known.ancestors.clear();
        }
    }
    u8::try_from(position).ok()
}

#[cfg(test)]
mod tests {
    use mcp_sensor_proto::v1::message::Direction;

    use super::*;

    #[test]
    fn a_duration_that_is_none_is_zero() {
        assert_eq!(nanoseconds(1.5), 1_500_000);
        assert_eq!(nanoseconds(f64::NAN), 0);
        assert_eq!(nanoseconds(-1.0), 0);
        assert_eq!(nanoseconds(f64::INFINITY), u64::MAX);
    }

    #[test]
    fn directions_are_their_own_opposites_back() {
        for direction in [Direction::Unspecified, Direction::ClientToServer, Direction::ServerToClient] {
            assert_eq!(Way::of(direction).back().back().direction(), direction);
        }
    }
}
