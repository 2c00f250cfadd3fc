//! What of a recorded conversation is said again, in which order, and what has to have come before.

use super::recorded::{Conversation, Kind, Said, Way, id_of};
use present::find::Glob;
use sensor_core::redact::is_redacted;
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, VecDeque},
};

/// What is done, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Send what the client said then: its place in [`Conversation::said`].
    Send(usize),
    /// Wait for the answer to a request: its place in [`Plan::exchanges`].
    Await(usize),
    /// Wait until the server asks what it asked then: its place in [`Plan::asked`].
    AwaitAsked(usize),
}

/// A request of the client.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Place of the request in [`Conversation::said`].
    pub request: usize,
    /// Place of its answer.
    pub answer: Option<usize>,
    /// Its id, as ids are compared.
    pub id: String,
    /// What it is called in the report: `tools/call get_time (id 3)`.
    pub label: String,
    /// Why it is not sent.
    pub skipped: Option<&'static str>,
    /// It may stay open until the end, and be answered then or not: a subscription.
    pub lasts: bool,
}

/// A request of the server.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Place of the request in [`Conversation::said`].
    pub request: usize,
    /// Place of the client's answer.
    pub answer: Option<usize>,
    /// A request of the client was open when it came.
    pub during: bool,
    /// One of these is not sent now: so it may not come.
    pub unsure: bool,
}

/// A tool that is called.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Called {
    /// Calls that are sent.
    pub sent: u64,
    /// Calls that are not.
    pub skipped: u64,
    /// What the server said then of what it does; `None` where it was not listed.
    pub harm: Option<Harm>,
}

/// What a tool does, as its server says: a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Harm {
    /// It only reads.
    ReadsOnly,
    /// It changes things without destroying.
    Changes,
    /// It may destroy; so does a tool of which nothing is said.
    Destroys,
}

/// What is done with a conversation.
#[derive(Debug, Default)]
pub struct Plan {
    /// What is done.
    pub steps: Vec<Step>,
    /// The client's requests.
    pub exchanges: Vec<Exchange>,
    /// The server's requests.
    pub asked: Vec<Asked>,
    /// Which exchange a message of the client begins: by its place in [`Conversation::said`].
    pub begins: HashMap<usize, usize>,
    /// The tools, by name.
    pub tools: BTreeMap<String, Called>,
    /// Requests that are sent, by method.
    pub requests: BTreeMap<String, u64>,
    /// Notifications of the client that are not sent, with the reason.
    pub unsent: Vec<(String, &'static str)>,
    /// Notifications of the server, by method.
    pub notifications: BTreeMap<String, u64>,
}

impl Plan {
    /// What can be said again. `allowed`: the tools that may be called; where it is empty, all.
    #[must_use]
    pub fn new(conversation: &Conversation, allowed: &[Glob]) -> Self {
        let mut planner = Planner {
            conversation,
            allowed,
            plan: Self::default(),
            open: HashMap::new(),
            latest: HashMap::new(),
            asked: HashMap::new(),
            running: 0,
            skipped: 0,
        };
        for at in 0..conversation.said.len() {
            planner.said(at);
        }
        let mut plan = planner.plan;
        for tool in conversation.said.iter().filter(|said| said.kind == Kind::Answer && said.method == "tools/list") {
            plan.learn_harm(tool);
        }
        plan
    }

    fn learn_harm(&mut self, listing: &Said) {
        let listing = listing.value();
        for tool in listing.iter().filter_map(|listing| listing.pointer("/result/tools")?.as_array()).flatten() {
            let Some(called) = tool.get("name").and_then(Value::as_str).and_then(|name| self.tools.get_mut(name)) else { continue };
            let hint = |name| tool.pointer("/annotations").and_then(|hints| hints.get(name)?.as_bool());
            called.harm = Some(match (hint("readOnlyHint"), hint("destructiveHint")) {
                (_, Some(true)) => Harm::Destroys,
                (Some(true), _) => Harm::ReadsOnly,
                (_, Some(false)) => Harm::Changes,
                (_, None) => Harm::Destroys,
            });
        }
    }
}

struct Planner<'c> {
    conversation: &'c Conversation,
    allowed: &'c [Glob],
    plan: Plan,
    /// Requests of the client without an answer so far, the oldest first, by id.
    open: HashMap<String, VecDeque<usize>>,
    /// The same of the server's.
    asked: HashMap<String, VecDeque<usize>>,
    /// The latest request of the client with an id.
    latest: HashMap<String, usize>,
    /// How many of `open` there are.
    running: usize,
    /// How many of these are not sent.
    skipped: usize,
}

impl Planner<'_> {
    fn said(&mut self, at: usize) {
        let Some(said) = self.conversation.said.get(at) else { return };
        match (said.way, said.kind) {
            (Way::ToServer, Kind::Request) => self.request(at, said),
            (Way::ToServer, Kind::Notification) => match self.unfit(said).or_else(|| self.about_skipped(said)) {
                Some(why) => self.plan.unsent.push((said.method.clone(), why)),
                None => self.plan.steps.push(Step::Send(at)),
            },
            (Way::ToServer, Kind::Answer) => {
                let asked = self.asked.get_mut(&id_of(&said.id)).and_then(VecDeque::pop_front);
                if let Some(asked) = asked.and_then(|asked| self.plan.asked.get_mut(asked)) {
                    asked.answer = Some(at);
                }
            }
            (Way::ToClient, Kind::Request) => {
                self.asked.entry(id_of(&said.id)).or_default().push_back(self.plan.asked.len());
                self.plan.steps.push(Step::AwaitAsked(self.plan.asked.len()));
                self.plan.asked.push(Asked { request: at, answer: None, during: self.running > 0, unsure: self.skipped > 0 });
            }
            (Way::ToClient, Kind::Notification) => *self.plan.notifications.entry(said.method.clone()).or_default() += 1,
            (Way::ToClient, Kind::Answer) => self.answer(at, said),
        }
    }

    fn request(&mut self, at: usize, said: &Said) {
        let is_call = said.method == "tools/call";
        let skipped = self.unfit(said).or_else(|| {
            let allowed = self.allowed.is_empty() || self.allowed.iter().any(|glob| glob.matches(&said.target));
            (is_call && !allowed).then_some("not allowed")
        });
        if is_call {
            let called = self.plan.tools.entry(said.target.clone()).or_default();
            *(if skipped.is_some() { &mut called.skipped } else { &mut called.sent }) += 1;
        }
        let exchange = self.plan.exchanges.len();
        let id = id_of(&said.id);
        self.open.entry(id.clone()).or_default().push_back(exchange);
        self.latest.insert(id.clone(), exchange);
        self.running += 1;
        self.skipped += usize::from(skipped.is_some());
        if skipped.is_none() {
            *self.plan.requests.entry(said.method.clone()).or_default() += 1;
            self.plan.begins.insert(at, exchange);
            self.plan.steps.push(Step::Send(at));
        }
        let target = if said.target.is_empty() { String::new() } else { format!(" {}", said.target) };
        let label = format!("{}{target} (id {})", said.method, said.id);
        let lasts = said.method == "subscriptions/listen";
        self.plan.exchanges.push(Exchange { request: at, answer: None, id, label, skipped, lasts });
    }

    fn answer(&mut self, at: usize, said: &Said) {
        let Some(place) = self.open.get_mut(&id_of(&said.id)).and_then(VecDeque::pop_front) else { return };
        self.running = self.running.saturating_sub(1);
        let Some(exchange) = self.plan.exchanges.get_mut(place) else { return };
        exchange.answer = Some(at);
        match exchange.skipped {
            Some(_) => self.skipped = self.skipped.saturating_sub(1),
            None if exchange.lasts => {}
            None => self.plan.steps.push(Step::Await(place)),
        }
    }

    /// Why a message cannot be sent as it was said.
    fn unfit(&self, said: &Said) -> Option<&'static str> {
        if said.cut {
            return Some("the recording holds only a part of it");
        }
        if said.value().is_none_or(|message| !message.is_object()) {
            return Some("the recording does not hold it");
        }
        (self.conversation.redacted && is_redacted(&sendable(said, true))).then_some("the recording hides a secret in it")
    }

    /// Why a notification about a request has lost its sense.
    fn about_skipped(&self, said: &Said) -> Option<&'static str> {
        if said.related.is_empty() || said.method != "notifications/cancelled" {
            return None;
        }
        let about = self.plan.exchanges.get(*self.latest.get(&id_of(&said.related))?)?;
        about.skipped.map(|_| "what it is about is not sent")
    }
}

/// A message of the client as it is sent: one line. Of what is only about the message (`_meta`), members that redaction has touched
/// are left out.
#[must_use]
pub fn sendable(said: &Said, redacted: bool) -> Cow<'_, str> {
    let body = said.body.as_str();
    let touched = redacted && body.contains("\"_meta\"") && is_redacted(body);
    if !touched && !body.contains(['\n', '\r']) {
        return Cow::Borrowed(body);
    }
    let Some(mut message) = said.value() else { return Cow::Borrowed("") };
    if let Some(meta) = message.pointer_mut("/params/_meta").and_then(Value::as_object_mut).filter(|_| touched) {
        meta.retain(|name, value| !is_redacted(name) && !is_redacted(&value.to_string()));
    }
    Cow::Owned(message.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message of the client (`>`) or of the server (`<`).
    pub fn said(way: char, body: &str) -> Said {
        let value: Value = serde_json::from_str(body).unwrap();
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let id = value.get("id").map(Value::to_string).unwrap_or_default();
        let kind = match (value.get("method"), value.get("id")) {
            (Some(_), Some(_)) => Kind::Request,
            (Some(_), None) => Kind::Notification,
            _ => Kind::Answer,
        };
        Said {
            way: if way == '>' { Way::ToServer } else { Way::ToClient },
            kind,
            method: text("/method"),
            id,
            target: text("/params/name"),
            related: value.pointer("/params/requestId").map(Value::to_string).unwrap_or_default(),
            body: body.to_owned(),
            cut: false,
        }
    }

    /// A conversation of lines that begin with `>` or `<`.
    pub fn conversation(lines: &[&str]) -> Conversation {
        let mut methods = HashMap::new();
        let mut said: Vec<Said> = lines.iter().map(|line| said(line.chars().next().unwrap(), &line[1..])).collect();
        for said in &mut said {
            match said.kind {
                Kind::Request => drop(methods.insert((said.way, said.id.clone()), said.method.clone())),
                Kind::Answer => {
                    let asker = if said.way == Way::ToClient { Way::ToServer } else { Way::ToClient };
                    said.method = methods.get(&(asker, said.id.clone())).cloned().unwrap_or_default();
                }
                Kind::Notification => {}
            }
        }
        let mut conversation = Conversation::new(false);
        (conversation.session, conversation.said) = ("5e55".to_owned(), said);
        conversation
    }

    #[test]
    fn each_request_comes_behind_what_the_client_had_then() {
        let plan = Plan::new(
            &conversation(&[
                r#">{"id":0,"method":"initialize"}"#,
                r#"<{"id":0,"result":{}}"#,
                r#">{"id":1,"method":"tools/call","params":{"name":"a"}}"#,
                r#">{"id":2,"method":"tools/call","params":{"name":"b"}}"#,
                r#"<{"id":"s","method":"roots/list"}"#,
                r#"<{"id":2,"result":{}}"#,
                r#">{"id":"s","result":{"roots":[]}}"#,
                r#">{"method":"notifications/cancelled","params":{"requestId":1}}"#,
            ]),
            &[],
        );
        use Step::{Await, AwaitAsked, Send};
        assert_eq!(plan.steps, [Send(0), Await(0), Send(2), Send(3), AwaitAsked(0), Await(2), Send(7)]);
        assert_eq!(plan.asked[0].answer, Some(6));
        assert!(plan.asked[0].during && !plan.asked[0].unsure);
        assert_eq!(plan.exchanges.iter().map(|exchange| exchange.answer).collect::<Vec<_>>(), [Some(1), None, Some(5)]);
        assert_eq!(plan.exchanges[2].label, "tools/call b (id 2)");
    }

    #[test]
    fn the_end_of_a_subscription_is_not_waited_for() {
        let lines = [r#">{"id":"l","method":"subscriptions/listen"}"#, r#"<{"id":"l","result":{}}"#];
        assert_eq!(Plan::new(&conversation(&lines), &[]).steps, [Step::Send(0)]);
    }

    #[test]
    fn what_is_not_allowed_is_left_out_with_what_is_about_it() {
        let lines = [
            r#">{"id":1,"method":"tools/call","params":{"name":"read_a"}}"#,
            r#">{"id":2,"method":"tools/call","params":{"name":"drop_b"}}"#,
            r#"<{"id":7,"method":"sampling/createMessage"}"#,
            r#">{"method":"notifications/cancelled","params":{"requestId":2}}"#,
            r#"<{"id":1,"result":{}}"#,
            r#"<{"id":2,"result":{}}"#,
        ];
        let plan = Plan::new(&conversation(&lines), &[Glob::new("read_*", false)]);
        assert_eq!(plan.steps, [Step::Send(0), Step::AwaitAsked(0), Step::Await(0)]);
        assert_eq!((plan.tools["read_a"].sent, plan.tools["drop_b"].skipped, plan.asked[0].unsure), (1, 1, true));
        assert_eq!(plan.unsent.len(), 1);
    }

    #[test]
    fn what_redaction_took_out_is_not_sent() {
        let lines = [
            r#">{"id":1,"method":"tools/call","params":{"name":"a","arguments":{"k":"[redacted:password:8]"}}}"#,
            r#">{"id":2,"method":"tools/call","params":{"name":"a","_meta":{"t":"[redacted:token:8]","progressToken":1}}}"#,
        ];
        let mut conversation = conversation(&lines);
        assert_eq!(Plan::new(&conversation, &[]).steps.len(), 2, "what a full recording holds is what was said");
        conversation.redacted = true;
        let plan = Plan::new(&conversation, &[]);
        assert_eq!(plan.steps, [Step::Send(1)]);
        assert!(plan.exchanges[0].skipped.is_some());
        let sent = sendable(&conversation.said[1], true);
        assert!(sent.contains(r#""_meta":{"progressToken":1}"#), "{sent}");
    }

    #[test]
    fn a_tool_of_which_nothing_is_said_may_destroy() {
        let mut lines: Vec<String> = ["a", "b", "c", "d", "e"]
            .iter()
            .map(|name| format!(r#">{{"id":"{name}","method":"tools/call","params":{{"name":"{name}"}}}}"#))
            .collect();
        lines.push(r#">{"id":1,"method":"tools/list"}"#.to_owned());
        lines.push(
            r#"<{"id":1,"result":{"tools":[{"name":"a"},{"name":"b","annotations":{"readOnlyHint":true}},{"name":"c","annotations":{"destructiveHint":false}},{"name":"d","annotations":{"readOnlyHint":true,"destructiveHint":true}}]}}"#
                .to_owned(),
        );
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let plan = Plan::new(&conversation(&lines), &[]);
        let harms: Vec<_> = plan.tools.values().map(|called| called.harm).collect();
        assert_eq!(harms, [Some(Harm::Destroys), Some(Harm::ReadsOnly), Some(Harm::Changes), Some(Harm::Destroys), None]);
    }
}
