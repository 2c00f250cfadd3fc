//! Events written by hand: tests of rules, the labelled corpus, and `policy explain`.
//!
//! They have the form in which the sensor prints events; what is left out has a default.

use super::compile::Policy;
use super::file;
use super::judge::{self, Judge, Limits};
use super::subject::{Party, Subject};
use super::{Kinds, Part};
use crate::detect;
use crate::event::{Marks, Said};
use crate::input::Time;
use crate::json::{Tape, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The time of the first event of a sample.
const START: Time = 1_000_000_000_000;
/// Events that one sample may be repeated to.
const REPEAT: u64 = 1_000_000;

/// Members of a written event that mean something.
const MEMBERS: [&str; 16] = [
    "repeat",
    "every",
    "after",
    "id",
    "time",
    "node",
    "sequence",
    "session",
    "client",
    "server",
    "severity",
    "toolCall",
    "message",
    "sessionChange",
    "gap",
    "sensor",
];

/// Says what is wrong with a written event.
pub fn check(event: &serde_json::Value) -> Result<(), String> {
    let Some(members) = event.as_object() else { return Err("an event is an object".to_owned()) };
    for name in members.keys() {
        if !MEMBERS.contains(&name.as_str()) {
            let near = super::diagnostic::nearest(name, MEMBERS);
            return Err(format!("an event has no `{name}`{}{near}", if near.is_empty() { "" } else { ": " }));
        }
    }
    for name in ["every", "after"] {
        if members.get(name).is_some_and(|value| value.as_str().and_then(duration).is_none()) {
            return Err(format!("`{name}` is a duration, for example `30s`"));
        }
    }
    if members.get("repeat").is_some_and(|value| value.as_u64().is_none_or(|times| times == 0 || times > REPEAT)) {
        return Err(format!("`repeat` is a number from 1 to {REPEAT}"));
    }
    if !["toolCall", "message", "sessionChange"].iter().any(|name| members.contains_key(*name)) {
        return Err("an event has a `toolCall`, a `message` or a `sessionChange`".to_owned());
    }
    Ok(())
}

/// A time as policies write it: `500ms`, `30s`, `5m`, `1h`, `7d`.
pub fn duration(text: &str) -> Option<Time> {
    let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit: Time = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    number.parse::<Time>().ok()?.checked_mul(unit)
}

fn text(value: Option<Value<'_>>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().into_owned()
}

fn texts(value: Option<Value<'_>>) -> Vec<String> {
    value.into_iter().flat_map(Value::elements).map(|element| text(Some(element))).collect()
}

fn number(value: Option<Value<'_>>) -> u64 {
    // 64-bit numbers are written as texts.
    let said = value.and_then(Value::as_str);
    said.map_or_else(|| value.and_then(Value::as_i64).and_then(|number| u64::try_from(number).ok()), |text| text.parse().ok()).unwrap_or(0)
}

impl Party {
    fn sample(value: Option<Value<'_>>, pid: u32, exe: &str) -> Self {
        let get = |name| value.and_then(|peer| peer.get(name));
        let command_line = texts(get("commandLine"));
        let ancestors: Vec<(String, Vec<String>)> = get("ancestors")
            .into_iter()
            .flat_map(Value::elements)
            .map(|process| (text(process.get("exe")), texts(process.get("commandLine"))))
            .collect();
        let written = text(get("exe"));
        let exe = if written.is_empty() && get("address").is_none() { exe.to_owned() } else { written };
        Self {
            pid: get("pid").map_or(pid, |pid| u32::try_from(number(Some(pid))).unwrap_or(0)),
            launch: Self::launched(&exe, &command_line, ancestors.iter().map(|(exe, words)| (exe.as_str(), words.as_slice()))),
            exe,
            name: text(get("name")),
            version: text(get("version")),
            command: command_line.join(" "),
            command_line,
            directory: text(get("workingDirectory")),
            uid: get("uid").and_then(|uid| u32::try_from(number(Some(uid))).ok()),
            user: text(get("user")),
            container: text(get("container").and_then(|container| container.get("id"))),
            pod: text(get("pod").and_then(|pod| pod.get("name"))),
            namespace: text(get("pod").and_then(|pod| pod.get("namespace"))),
            unit: text(get("systemdUnit")),
            address: text(get("address")),
            ancestors: ancestors.into_iter().map(|(exe, _)| exe).collect(),
        }
    }

    /// What fetched and started a process: what its own command line says, or else that of the nearest ancestor (the
    /// client, and what is above it, left out by the caller).
    pub fn launched<'p>(exe: &str, command_line: &[String], ancestors: impl Iterator<Item = (&'p str, &'p [String])>) -> detect::Launch {
        let own = detect::launch(exe, command_line);
        if !own.launcher.is_empty() {
            return own;
        }
        ancestors.map(|(exe, words)| detect::launch(exe, words)).find(|launch| !launch.launcher.is_empty()).unwrap_or(own)
    }
}

/// The name of a state among those that the contract has.
fn one_of(value: Option<Value<'_>>, known: &[&'static str]) -> &'static str {
    known.iter().find(|known| value.is_some_and(|value| value.is_str(known))).copied().unwrap_or_default()
}

/// Tells the subjects of one written event, at a time. Text that must outlive the event is in `event`'s tape.
fn subjects(event: Value<'_>, time: Time, then: &mut dyn FnMut(&Subject<'_>)) {
    let client = Party::sample(event.get("client"), 100, "/usr/bin/agent");
    let server = Party::sample(event.get("server"), 200, "/usr/bin/server");
    let session = event.get("session");
    let get = |name| session.and_then(|session| session.get(name));
    let id = session.map_or_else(|| "test".to_owned(), |_| text(get("id")));
    let (revision, node) = (text(get("protocolVersion")), text(event.get("node")));
    let transport = match one_of(get("transport"), &["PIPE", "UNIX", "TCP", "PTY"]) {
        "" => "PIPE",
        known => known,
    };
    let base = |kind| Subject {
        node: &node,
        session: id.as_str().into(),
        transport,
        protocol_version: &revision,
        late_attach: get("lateAttach").and_then(Value::as_bool) == Some(true),
        relayed: get("relayOf").is_some(),
        ..Subject::new(kind, time, &client, &server)
    };
    let marks = |part: Value<'_>| {
        let names = part.get("marks").into_iter().flat_map(Value::elements);
        names.fold(Marks::default(), |marks, name| {
            let known = Marks::NAMES.iter().find(|(_, known)| name.is_str(known));
            marks.union(known.map_or(Marks::default(), |(mark, _)| *mark))
        })
    };
    if let Some(call) = event.get("toolCall") {
        let (tool, request_id) = (text(call.get("tool")), text(call.get("requestId")));
        let state = one_of(call.get("state"), &["STARTED", "COMPLETED", "FAILED", "CANCELLED", "ABANDONED"]);
        let is_start = matches!(state, "STARTED" | "");
        let arguments = call.get("arguments");
        let (result, error) = (call.get("result"), call.get("error"));
        let size = |value: Option<Value<'_>>| value.map_or(0, |value| value.raw().len() as u64);
        let written = |name, otherwise| call.get(name).map_or(otherwise, |value| number(Some(value)));
        let subject = Subject {
            tool: tool.as_str().into(),
            request_id: &request_id,
            bytes: written("requestBytes", 80 + size(arguments)),
            response_bytes: if is_start { 0 } else { written("responseBytes", 40 + size(result.or(error))) },
            marks: marks(call),
            state: if is_start { "" } else { state },
            is_error: call.get("isError").and_then(Value::as_bool) == Some(true),
            duration: number(call.get("durationMs")).saturating_mul(1_000_000),
            said: if is_start { Said { params: arguments, ..Said::default() } } else { Said { result, error, params: None } },
            ..base(if is_start { Kinds::CALL } else { Kinds::RESULT })
        };
        then(&subject);
    }
    if let Some(message) = event.get("message") {
        let (method, target, request_id) = (text(message.get("method")), text(message.get("target")), text(message.get("requestId")));
        let body = message.get("body");
        let part = |name| body.and_then(|body| body.get(name));
        let subject = Subject {
            method: &method,
            message_type: one_of(message.get("type"), &["REQUEST", "RESPONSE", "ERROR", "NOTIFICATION"]),
            direction: one_of(message.get("direction"), &["CLIENT_TO_SERVER", "SERVER_TO_CLIENT"]),
            target: &target,
            marks: marks(message),
            request_id: &request_id,
            bytes: message.get("sizeBytes").map_or(body.map_or(0, |body| body.raw().len() as u64), |size| number(Some(size))),
            said: Said { params: part("params"), result: part("result"), error: part("error") },
            ..base(Kinds::MESSAGE)
        };
        then(&subject);
    }
    if let Some(change) = event.get("sessionChange") {
        then(&Subject { closed: change.get("state").is_some_and(|state| state.is_str("CLOSED")), ..base(Kinds::SESSION) });
    }
}

/// Plays written events; tells the id of each rule that matches.
fn play(judge: &mut Judge, events: &[serde_json::Value], found: &mut BTreeSet<Arc<str>>) -> Result<(), String> {
    let mut now = START;
    let mut tape = Tape::new();
    for event in events {
        check(event)?;
        let written = |name| event.get(name).and_then(serde_json::Value::as_str).and_then(duration);
        now += written("after").unwrap_or(0);
        let every = written("every").unwrap_or(1_000_000);
        let json = event.to_string();
        tape.parse(json.as_bytes()).map_err(|error| error.to_string())?;
        let Some(root) = tape.root(json.as_bytes()) else { continue };
        for _ in 0..event.get("repeat").and_then(serde_json::Value::as_u64).unwrap_or(1) {
            now += every;
            subjects(root, now, &mut |subject| {
                judge.judge(subject, &mut |_, finding| {
                    found.insert(Arc::clone(&finding.rule.id));
                });
            });
        }
    }
    match judge.take_news().first() {
        Some(news) => Err(format!("rule `{}` was switched off: {}", news.rule, news.reason)),
        None => Ok(()),
    }
}

/// A test of a rule that does not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// The rule.
    pub rule: Arc<str>,
    /// The test.
    pub test: String,
    /// What is not as it should be.
    pub reason: String,
}

impl Policy {
    /// Runs the rules' own tests. Tells how many there were, and which do not hold.
    #[must_use]
    pub fn test(self: &Arc<Self>) -> (usize, Vec<Failure>) {
        let mut count = 0;
        let mut failures = Vec::new();
        for rule in &self.rules {
            for test in &rule.tests {
                count += 1;
                let mut found = BTreeSet::new();
                let asked = self.for_test(test);
                let played = asked.clone().and_then(|policy| {
                    let mut judge = Judge::new(policy, Limits::default(), 0, None);
                    play(&mut judge, &test.events, &mut found)
                });
                let others: Vec<&str> = found.iter().map(|id| &**id).collect();
                let reason = match played {
                    Err(reason) => reason,
                    Ok(()) if !rule.enabled && test.r#match => "the rule is not enabled".to_owned(),
                    Ok(()) if found.contains(&rule.id) == test.r#match => continue,
                    Ok(()) if test.r#match => {
                        format!("the rule does not match{}", last(&asked.unwrap_or_else(|_| Arc::clone(self)), rule, &test.events))
                    }
                    Ok(()) => format!("the rule matches; so do: {}", others.join(", ")),
                };
                failures.push(Failure { rule: Arc::clone(&rule.id), test: test.name.clone(), reason });
            }
        }
        (count, failures)
    }

    /// The rules that match at one of these written events.
    ///
    /// # Errors
    /// What is wrong with the events, or with a rule.
    pub fn matching(self: &Arc<Self>, events: &[serde_json::Value]) -> Result<BTreeSet<Arc<str>>, String> {
        let mut judge = Judge::new(Arc::clone(self), Limits::default(), 0, None);
        let mut found = BTreeSet::new();
        play(&mut judge, events, &mut found)?;
        Ok(found)
    }
}

/// Why a rule does not match at the last of some events: the parts of its condition that are false.
fn last(policy: &Arc<Policy>, rule: &super::Rule, events: &[serde_json::Value]) -> String {
    let Some((event, before)) = events.split_last() else { return String::new() };
    let mut before = before.to_vec();
    if let Some(times) = event.get("repeat").and_then(serde_json::Value::as_u64).filter(|times| *times > 1) {
        let mut event = event.clone();
        if let Some(members) = event.as_object_mut() {
            members.insert("repeat".to_owned(), (times - 1).into());
        }
        before.push(event);
    }
    let mut judge = Judge::new(Arc::clone(policy), Limits::default(), 0, None);
    if play(&mut judge, &before, &mut BTreeSet::new()).is_err() {
        return String::new();
    }
    let Ok(explained) = explain_in(&mut judge, &event.to_string()) else { return String::new() };
    let parts = explained.into_iter().find(|explained| explained.rule == rule.id).map(|explained| explained.parts).unwrap_or_default();
    let shown: Vec<String> =
        parts.iter().filter(|part| part.depth > 0).take(6).map(|part| format!("{} = {}", part.source, part.value)).collect();
    if shown.is_empty() { String::new() } else { format!(": {}", shown.join("; ")) }
}

/// What a rule makes of an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explained {
    /// The rule.
    pub rule: Arc<str>,
    /// What was judged: `call`, `tool`, ...
    pub kind: &'static str,
    /// The tool, where there is one.
    pub tool: String,
    /// Whether it matches.
    pub matches: bool,
    /// The parts of its condition.
    pub parts: Vec<Part>,
}

/// What the rules of a policy make of one event, written as JSON.
///
/// # Errors
/// What is wrong with the event.
pub fn explain(policy: &Arc<Policy>, event: &str) -> Result<Vec<Explained>, String> {
    explain_in(&mut Judge::new(Arc::clone(policy), Limits::default(), 0, None), event)
}

fn explain_in(judge: &mut Judge, event: &str) -> Result<Vec<Explained>, String> {
    let mut tape = Tape::new();
    tape.parse(event.as_bytes()).map_err(|error| format!("the event is no JSON: {error}"))?;
    let root = tape.root(event.as_bytes()).ok_or("the event is no JSON")?;
    if !["toolCall", "message", "sessionChange"].iter().any(|name| root.get(name).is_some()) {
        return Err("the event has no `toolCall`, `message` or `sessionChange`: rules speak of nothing else".to_owned());
    }
    let mut all = Vec::new();
    subjects(root, START, &mut |subject| {
        let mut one = |subject: &Subject<'_>| {
            judge::explain(judge, subject, &mut |rule, matches, parts| {
                let (rule, tool) = (Arc::clone(&rule.id), subject.tool.to_string());
                all.push(Explained { rule, kind: subject.kind.name(), tool, matches, parts });
            });
        };
        one(subject);
        subject.tools().for_each(|tool| one(&tool));
    });
    Ok(all)
}

/// A case of a labelled corpus.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Names it.
    pub id: String,
    /// What it is.
    pub about: String,
    /// The rules that must match.
    pub rules: Vec<String>,
    /// The rules that it nearly looks like.
    pub near: Vec<String>,
    /// What happens.
    pub events: Vec<serde_json::Value>,
}

/// Reads a labelled corpus: a YAML list of cases.
///
/// # Errors
/// What is wrong with it.
pub fn cases(text: &str) -> Result<Vec<Case>, String> {
    let cases: Vec<file::Case> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let mut all = Vec::with_capacity(cases.len());
    for file::Case { id, about, rules, near, events } in cases {
        for event in &events {
            check(event).map_err(|message| format!("case `{id}`: {message}"))?;
        }
        all.push(Case { id, about, rules, near, events });
    }
    Ok(all)
}
