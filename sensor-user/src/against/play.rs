//! Says the client's part of a conversation again.
//!
//! Each request is sent once all that the client had received before it has come; what was in flight together is so again. Requests
//! of the server are answered as soon as they come, with what the client answered then: by method, in order.

mod end;

use super::{
    Conversation, Plan, Tolerance, Transport,
    diff::Compare,
    handles::Handles,
    plan::{Step, sendable},
    recorded::{Said, id_text},
    report::{self, Difference, Report, Skipped},
    screen::{self, Screen},
    tools::Listing,
    transport::Received,
};
use sensor_core::redact::{Level, is_redacted};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Requests in a row without an answer after which a server is given up.
const MISSES: u32 = 3;

/// How often it is looked whether the operator wants to stop.
const LOOK: Duration = Duration::from_millis(200);

/// How long a server may go on speaking at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Bytes of memory that one message may take once it is read, about.
const WEIGHT: usize = 256 << 20;

/// How it is done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// What may differ.
    pub tolerance: Tolerance,
    /// How much of the contents is told.
    pub level: Level,
    /// What the server was started with.
    pub command: String,
}

/// Says it again and tells what is different. Stops where `stop` is set.
pub fn play(conversation: &Conversation, plan: &Plan, transport: &mut dyn Transport, settings: &Settings, stop: &AtomicBool) -> Report {
    let mut player = Player::new(conversation, plan, transport, settings, stop);
    for step in &plan.steps {
        if player.over.is_some() {
            break;
        }
        player.step(*step);
    }
    player.finish()
}

/// Where a request of the client stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    NotSent,
    Waiting,
    Answered,
    Late,
}

/// What an answer is to.
#[derive(Clone, Copy, Debug)]
enum Asks {
    /// A request of then.
    Exchange(usize),
    /// One more page of a listing of the tools.
    Page(usize),
}

struct Player<'a> {
    conversation: &'a Conversation,
    plan: &'a Plan,
    transport: &'a mut dyn Transport,
    settings: &'a Settings,
    stop: &'a AtomicBool,
    report: Report,
    /// What may be shown.
    screen: Screen,
    /// What makes an answer comparable with a redacted one.
    redactor: Option<Screen>,
    /// Requests without an answer, the oldest first, by id.
    pending: HashMap<String, VecDeque<Asks>>,
    states: Vec<State>,
    /// How many of them are waiting.
    waiting: usize,
    handles: Handles,
    listings: Vec<Listing>,
    /// Which listing a request is of.
    listing_of: HashMap<usize, usize>,
    /// Requests of the server of then that have not come, by method.
    expected: BTreeMap<&'a str, VecDeque<usize>>,
    came: Vec<bool>,
    /// Requests of the server that it did not make then: how often, and the parameters of the first.
    new: BTreeMap<String, (u64, String)>,
    pings: u64,
    noise: u64,
    to_nothing: u64,
    misses: u32,
    /// Why there is no sense in going on.
    over: Option<String>,
}

impl<'a> Player<'a> {
    fn new(
        conversation: &'a Conversation,
        plan: &'a Plan,
        transport: &'a mut dyn Transport,
        settings: &'a Settings,
        stop: &'a AtomicBool,
    ) -> Self {
        // What was redacted when it was recorded can be shown as it is.
        let open = conversation.redacted && settings.level == Level::Redacted;
        let mut player = Self {
            conversation,
            plan,
            transport,
            settings,
            stop,
            report: Report::new(&conversation.session, &settings.command),
            screen: Screen::new(if open { Level::Full } else { settings.level }),
            redactor: conversation.redacted.then(|| Screen::new(Level::Redacted)),
            pending: HashMap::new(),
            states: vec![State::NotSent; plan.exchanges.len()],
            waiting: 0,
            handles: Handles::default(),
            listings: Vec::new(),
            listing_of: HashMap::new(),
            expected: BTreeMap::new(),
            came: vec![false; plan.asked.len()],
            new: BTreeMap::new(),
            pings: 0,
            noise: 0,
            to_nothing: 0,
            misses: 0,
            over: None,
        };
        for (place, exchange) in plan.exchanges.iter().enumerate() {
            match &exchange.skipped {
                Some(why) => player.skipped(&exchange.label, why),
                None => player.lists(place),
            }
        }
        for (what, why) in &plan.unsent {
            player.skipped(what, why);
        }
        for (place, asked) in plan.asked.iter().enumerate() {
            if let Some(said) = conversation.said.get(asked.request) {
                player.expected.entry(&said.method).or_default().push_back(place);
            }
        }
        for (method, count) in &plan.notifications {
            (0..*count).for_each(|_| player.report.notifications_then.count(method));
        }
        player
    }

    fn skipped(&mut self, what: &str, why: &str) {
        self.report.skipped.push(Skipped { what: what.to_owned(), why: why.to_owned() });
    }

    fn said(&self, place: Option<usize>) -> Option<&'a Said> {
        self.conversation.said.get(place?)
    }

    /// Notes which listing of the tools a request is of: one without a cursor begins a new one.
    fn lists(&mut self, place: usize) {
        let request = self.plan.exchanges.get(place).and_then(|exchange| self.said(Some(exchange.request)));
        let Some(request) = request.filter(|said| said.method == "tools/list") else { return };
        let mut parameters = request.value().and_then(|mut message| message.get_mut("params").map(Value::take)).unwrap_or(json!({}));
        if parameters.as_object_mut().and_then(|parameters| parameters.remove("cursor")).is_none() || self.listings.is_empty() {
            self.listings.push(Listing { parameters, ..Listing::default() });
        }
        self.listing_of.insert(place, self.listings.len() - 1);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send(place) => self.send(place),
            Step::Await(exchange) => self.wait_for_answer(exchange),
            Step::AwaitAsked(asked) => self.wait_for_request(asked),
        }
    }

    fn send(&mut self, place: usize) {
        let Some(said) = self.said(Some(place)) else { return };
        let begins = self.plan.begins.get(&place).and_then(|exchange| Some((*exchange, self.plan.exchanges.get(*exchange)?)));
        let body = sendable(said, self.conversation.redacted);
        let body = match self.handles.give_back(&said.method, &body) {
            Ok(body) => body,
            Err(missing) => {
                let what = begins.map_or(said.method.as_str(), |(_, exchange)| &exchange.label);
                return self.skipped(what, missing.0);
            }
        };
        if self.transport.send(&body).is_err() {
            return self.lost();
        }
        match begins {
            Some((place, exchange)) => {
                self.report.sent.requests += 1;
                self.report.sent.tool_calls += u64::from(said.method == "tools/call");
                self.pending.entry(exchange.id.clone()).or_default().push_back(Asks::Exchange(place));
                self.move_to(place, State::Waiting);
            }
            None => self.report.sent.notifications += 1,
        }
    }

    fn lost(&mut self) {
        // What it said before it went away is still to be read.
        self.listen(Instant::now() + LAST_WORDS, |_| false);
        self.over.get_or_insert_with(|| "the server does not read".to_owned());
    }

    fn move_to(&mut self, exchange: usize, state: State) {
        if let Some(at) = self.states.get_mut(exchange) {
            self.waiting =
                self.waiting.saturating_add(usize::from(state == State::Waiting)).saturating_sub(usize::from(*at == State::Waiting));
            *at = state;
        }
    }

    fn is_waiting(&self, exchange: usize) -> bool {
        self.states.get(exchange) == Some(&State::Waiting)
    }

    fn wait_for_answer(&mut self, exchange: usize) {
        self.listen(Instant::now() + self.settings.timeout, |player| !player.is_waiting(exchange));
        if self.over.is_some() {
            return;
        }
        if !self.is_waiting(exchange) {
            self.misses = 0;
            return;
        }
        self.move_to(exchange, State::Late);
        let Some(request) = self.plan.exchanges.get(exchange) else { return };
        let why = format!("none within {} s", self.settings.timeout.as_secs_f64());
        self.report.differs(Difference::NoAnswer { request: request.label.clone(), why });
        self.misses += 1;
        if self.misses >= MISSES {
            self.over = Some(format!("{MISSES} requests in a row were not answered"));
        } else if self.said(Some(request.request)).is_some_and(|said| said.method == "initialize") {
            self.over = Some("`initialize` was not answered".to_owned());
        }
    }

    fn wait_for_request(&mut self, asked: usize) {
        let Some(then) = self.plan.asked.get(asked) else { return };
        let is_ping = self.said(Some(then.request)).is_some_and(|said| said.method == "ping");
        if then.unsure || is_ping {
            return;
        }
        let until = Instant::now() + self.settings.timeout;
        // It came while something was asked: where all has been answered, it will not come any more.
        self.listen(until, |player| player.came.get(asked) != Some(&false) || (then.during && player.waiting == 0));
    }

    /// Takes what comes until then, or until enough has come.
    fn listen(&mut self, until: Instant, enough: impl Fn(&Self) -> bool) {
        while self.over.is_none() && !enough(self) {
            if self.stop.load(Ordering::Relaxed) {
                self.over = Some("stopped by the operator".to_owned());
                return;
            }
            let now = Instant::now();
            if now >= until {
                return;
            }
            match self.transport.receive(until.min(now + LOOK)) {
                Received::Line(line) => self.line(&line),
                Received::TooLong => self.noise += 1,
                Received::Nothing => {}
                Received::Closed => self.over = Some("the server closed its output".to_owned()),
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        let Some((message, weight)) = read(line) else {
            self.noise += 1;
            return;
        };
        match message {
            Value::Array(batch) => batch.into_iter().for_each(|message| self.message(message, weight)),
            message => self.message(message, weight),
        }
    }

    fn message(&mut self, message: Value, weight: usize) {
        let id = id_text(message.get("id"));
        let method = message.get("method").and_then(Value::as_str).map(str::to_owned);
        match method {
            Some(method) if id.is_empty() => self.report.notifications_now.count(&method),
            Some(method) => self.request(&method, &message),
            None if message.get("result").is_some() || message.get("error").is_some() => {
                let asks = self.pending.get_mut(&id).and_then(VecDeque::pop_front);
                match asks {
                    Some(Asks::Exchange(exchange)) => self.answer(exchange, message, weight),
                    Some(Asks::Page(listing)) => self.page(listing, message, weight),
                    None => self.to_nothing += 1,
                }
            }
            None => self.noise += 1,
        }
    }

    /// A document of now as it would stand in the recording; `None` where that cannot be told.
    fn comparable(&mut self, message: Value) -> Option<Value> {
        match &mut self.redactor {
            Some(redactor) => redactor.hide(&message),
            None => Some(message),
        }
    }

    fn page(&mut self, listing: usize, message: Value, weight: usize) {
        let message = self.comparable(message);
        if let Some(listing) = self.listings.get_mut(listing) {
            listing.now.next = None;
            match message {
                Some(mut message) => listing.now.take(&mut message, weight),
                None => listing.now.whole = false,
            }
        }
    }

    fn answer(&mut self, place: usize, now: Value, weight: usize) {
        if !self.is_waiting(place) {
            // It is too late, which has been told.
            return;
        }
        self.move_to(place, State::Answered);
        let Some(exchange) = self.plan.exchanges.get(place) else { return };
        let (request, then) = (self.said(Some(exchange.request)), self.said(exchange.answer));
        let (Some(request), Some(then)) = (request, then) else { return };
        let Some((mut was, then_weight)) = read(then.body.as_bytes()) else {
            self.report.hidden += 1;
            return;
        };
        self.handles.learn(&request.method, &was, Some(&now));
        let Some(mut now) = self.comparable(now) else {
            self.report.hidden += 1;
            return;
        };
        if let Some(listing) = self.listing_of.get(&place).and_then(|listing| self.listings.get_mut(*listing)) {
            listing.cut |= then.cut;
            listing.then.take(&mut was, then_weight);
            listing.now.take(&mut now, weight);
        }
        self.report.answers_compared += 1;
        let request = exchange.label.clone();
        match (was.get("error"), now.get("error")) {
            (None, Some(error)) => {
                let now = self.screen.json(error);
                self.report.differs(Difference::ErrorNow { request, now });
            }
            (Some(error), None) => {
                let then = self.screen.json(error);
                let now = now.get("result").map(|result| self.screen.json(result)).unwrap_or_default();
                self.report.differs(Difference::ResultNow { request, then, now });
            }
            (error, _) => {
                let part = if error.is_some() { "error" } else { "result" };
                if let Some(changes) = self.compare(part, then.cut, &was, &now) {
                    self.report.differs(Difference::Answer { request, changes });
                }
            }
        }
    }

    /// What differs in a part of two messages, if anything does.
    fn compare(&mut self, part: &str, cut: bool, then: &Value, now: &Value) -> Option<report::Changes> {
        let how = Compare { tolerance: &self.settings.tolerance, exact: false, redacted: self.conversation.redacted, cut };
        let (then, now) = (then.get(part).unwrap_or(&Value::Null), now.get(part).unwrap_or(&Value::Null));
        let found = how.documents(&[part], then, now);
        self.report.hidden += found.hidden;
        self.report.tolerated += found.tolerated;
        (!found.is_same()).then(|| self.screen.changes(&found, &[part], then, now))
    }

    /// The server asks.
    fn request(&mut self, method: &str, message: &Value) {
        let id = message.get("id").cloned().unwrap_or_default();
        let asked = self.expected.get_mut(method).and_then(VecDeque::pop_front);
        let Some(asked) = asked else {
            let (answer, known) = match method {
                "ping" => (json!({"jsonrpc": "2.0", "id": id, "result": {}}), true),
                _ => (
                    json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "the recorded client was not asked this"}}),
                    false,
                ),
            };
            if known {
                self.pings += 1;
            } else {
                self.asked_now(method, message);
            }
            return self.reply(&answer);
        };
        if let Some(came) = self.came.get_mut(asked) {
            *came = true;
        }
        let Some(asked) = self.plan.asked.get(asked) else { return };
        if let Some(then) = self.said(Some(asked.request))
            && let Some((was, _)) = read(then.body.as_bytes())
            && let Some(now) = self.comparable(message.clone())
            && let Some(changes) = self.compare("params", then.cut, &was, &now)
        {
            self.report.differs(Difference::AskedOtherwise { method: method.to_owned(), changes });
        }
        // What the client did not answer then is not answered now.
        let Some(answer) = self.said(asked.answer) else { return };
        let unfit = answer.cut || (self.conversation.redacted && is_redacted(&answer.body));
        let answer = answer.value().filter(|answer| !unfit && answer.is_object()).map(|mut answer| {
            if let Some(place) = answer.get_mut("id") {
                *place = id.clone();
            }
            answer
        });
        let answer = answer.unwrap_or_else(|| {
            self.skipped(&format!("the answer to {method}"), "the recording hides a part of it: an error was sent instead");
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32603, "message": "the recorded answer is not whole"}})
        });
        self.reply(&answer);
    }

    fn asked_now(&mut self, method: &str, message: &Value) {
        let name = screen::cut(method, report::NAME);
        let name = if self.new.len() < report::KINDS || self.new.contains_key(name) { name } else { "(others)" };
        if let Some((count, _)) = self.new.get_mut(name) {
            *count += 1;
            return;
        }
        let parameters = self.comparable(message.get("params").cloned().unwrap_or_default());
        let shown = parameters.map(|parameters| self.screen.json(&parameters)).unwrap_or_default();
        self.new.insert(name.to_owned(), (1, shown));
    }

    fn reply(&mut self, answer: &Value) {
        self.report.sent.answers += 1;
        if self.transport.send(&answer.to_string()).is_err() {
            self.over.get_or_insert_with(|| "the server does not read".to_owned());
        }
    }
}

/// Reads a message that is not too costly to read. Tells about how many bytes of memory it takes.
fn read(text: &[u8]) -> Option<(Value, usize)> {
    // An object with one member takes some 700 bytes, an element 32.
    let containers = memchr::memchr2_iter(b'{', b'[', text).count();
    let elements = memchr::memchr_iter(b',', text).count();
    let weight = text.len().saturating_add(containers.saturating_mul(700)).saturating_add(elements.saturating_mul(64));
    if weight > WEIGHT {
        return None;
    }
    let value = serde_json::from_slice(text).ok().or_else(|| serde_json::from_str(&String::from_utf8_lossy(text)).ok())?;
    Some((value, weight))
}
