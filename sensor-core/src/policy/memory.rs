//! What a policy remembers of sessions, tools and secrets. All of it is bounded; what was not touched for longest goes
//! first, and is counted.

use super::subject::Subject;
use super::{Kinds, Needs};
use crate::input::Time;
use crate::json::{Kind, Value};
use crate::mcp::hash::Keyed;
use crate::redact;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::sync::OnceLock;

/// Calls of a session that are remembered.
const PREVIOUS: usize = 16;
/// Kinds of secrets that are told of one event.
const SECRETS: usize = 16;
/// Levels of arguments that are told apart by their hash.
const LEVELS: usize = 256;

/// Members of a tool's definition that are watched one by one.
const MEMBERS: [&str; 6] = ["title", "description", "inputSchema", "outputSchema", "annotations", "_meta"];

/// What was remembered lately: a map in two generations, the older of which goes when the younger is full.
#[derive(Debug)]
pub struct Recent<V> {
    young: FxHashMap<u64, V>,
    old: FxHashMap<u64, V>,
    limit: usize,
    /// Entries that were forgotten.
    pub forgotten: u64,
}

impl<V> Recent<V> {
    /// At most so many.
    pub fn new(limit: usize) -> Self {
        Self { young: FxHashMap::default(), old: FxHashMap::default(), limit, forgotten: 0 }
    }

    /// What is remembered under a key.
    pub fn get(&self, key: u64) -> Option<&V> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }

    /// What is remembered under a key, made if it is new: then the second is true.
    pub fn entry(&mut self, key: u64, make: impl FnOnce() -> V) -> (&mut V, bool) {
        self.entry_while(key, make, |_| true)
    }

    /// The same of what is remembered for a time: that something is forgotten counts only where it is still `wanted`.
    pub fn entry_while(&mut self, key: u64, make: impl FnOnce() -> V, wanted: impl Fn(&V) -> bool) -> (&mut V, bool) {
        let older = self.old.remove(&key);
        if self.young.len() >= self.limit / 2 && !self.young.contains_key(&key) {
            self.forgotten += self.old.values().filter(|value| wanted(value)).count() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        match (self.young.entry(key), older) {
            (Entry::Occupied(known), _) => (known.into_mut(), false),
            (Entry::Vacant(place), Some(known)) => (place.insert(known), false),
            (Entry::Vacant(place), None) => (place.insert(make()), true),
        }
    }

    /// Forgets one.
    pub fn remove(&mut self, key: u64) {
        self.young.remove(&key);
        self.old.remove(&key);
    }
}

/// A call of a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Previous {
    /// The tool.
    pub tool: String,
    /// Hash of its arguments.
    pub arguments: u64,
    /// When.
    pub time: Time,
    /// The request's id, hashed.
    request: u64,
    /// Whether it failed; `None` while that is not known.
    pub failed: Option<bool>,
}

#[derive(Debug, Default)]
struct Session {
    calls: u64,
    previous: VecDeque<Previous>,
}

/// What a server said of one of its tools.
#[derive(Clone, Copy, Debug, Default)]
struct Tool {
    members: [u64; MEMBERS.len() + 1],
    annotations: Annotations,
}

/// What a tool's annotations say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Annotations {
    /// The server has listed the tool.
    pub listed: bool,
    /// It has annotations.
    pub annotated: bool,
    /// `readOnlyHint`
    pub read_only: bool,
    /// `destructiveHint`
    pub destructive: bool,
}

/// What is remembered with regard to one event.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// Calls of the session so far.
    pub calls: u64,
    /// The calls before this one, the latest first.
    pub previous: Vec<Previous>,
    /// Hash of a call's arguments.
    pub arguments: u64,
    /// What the called tool's annotations say.
    pub annotations: Annotations,
    /// The tool was not listed before.
    pub is_new: bool,
    /// Members of its definition that differ.
    pub changes: Vec<&'static str>,
    /// Another server of the client has a tool of this name.
    pub shadows: bool,
    /// Kinds of secrets, where they were looked for.
    secrets: OnceLock<Vec<String>>,
    /// A secret was at another server before.
    pub secret_travels: bool,
}

impl Remembered {
    /// Kinds of secrets in what is judged.
    pub fn secrets(&self, subject: &Subject<'_>) -> &[String] {
        self.secrets.get_or_init(|| {
            let mut kinds = Vec::new();
            if let Some(value) = subject.looked_at() {
                redact::secrets(value, &mut |secret| note_kind(&mut kinds, secret.kind));
            }
            kinds
        })
    }
}

/// Puts the kind of a secret on a list that has room and does not have it yet.
fn note_kind(kinds: &mut Vec<String>, kind: &str) {
    if kinds.len() < SECRETS && !kinds.iter().any(|known| known == kind) {
        kinds.push(kind.to_owned());
    }
}

/// See the module.
#[derive(Debug)]
pub struct Memory {
    keyed: Keyed,
    sessions: Recent<Session>,
    tools: Recent<Tool>,
    names: Recent<u64>,
    secrets: Recent<u64>,
}

impl Memory {
    /// Remembers `entries` of each kind at most.
    pub fn new(keyed: Keyed, entries: usize) -> Self {
        let sessions = (entries / 16).max(64);
        Self {
            keyed,
            sessions: Recent::new(sessions),
            tools: Recent::new(entries),
            names: Recent::new(entries),
            secrets: Recent::new(entries),
        }
    }

    /// Entries that were forgotten for want of room.
    pub const fn forgotten(&self) -> u64 {
        self.sessions.forgotten + self.tools.forgotten + self.names.forgotten + self.secrets.forgotten
    }

    fn text(&self, texts: &[&str]) -> u64 {
        texts.iter().fold(0, |hash, text| self.keyed.pair(hash, self.keyed.bytes(text.as_bytes())))
    }

    /// Takes note of an event, as far as rules need it, and tells what is known.
    pub fn note(&mut self, subject: &Subject<'_>, needs: Needs) -> Remembered {
        let mut known = Remembered::default();
        let session = self.keyed.bytes(subject.session.as_bytes());
        if subject.closed {
            self.sessions.remove(session);
            return known;
        }
        let program = if needs.intersects(Needs::TOOLS | Needs::SECRETS) { self.text(&subject.server.program()) } else { 0 };
        match subject.kind {
            Kinds::CALL => {
                if needs.contains(Needs::ARGUMENTS) {
                    known.arguments = subject.said.params.map_or(0, |arguments| self.canonical(arguments, LEVELS));
                }
                if needs.contains(Needs::SESSIONS) {
                    let request = self.keyed.bytes(subject.request_id.as_bytes());
                    let (record, _) = self.sessions.entry(session, Session::default);
                    if needs.contains(Needs::PREVIOUS) {
                        known.previous = record.previous.iter().cloned().collect();
                    }
                    record.calls += 1;
                    known.calls = record.calls;
                    if needs.contains(Needs::PREVIOUS) {
                        record.previous.truncate(PREVIOUS - 1);
                        let tool = subject.tool.get(..subject.tool.floor_char_boundary(128)).unwrap_or_default().to_owned();
                        let (arguments, time) = (known.arguments, subject.time);
                        record.previous.push_front(Previous { tool, arguments, time, request, failed: None });
                    }
                }
            }
            Kinds::RESULT if needs.contains(Needs::SESSIONS) => {
                let request = self.keyed.bytes(subject.request_id.as_bytes());
                let (record, _) = self.sessions.entry(session, Session::default);
                known.calls = record.calls;
                if let Some(call) = record.previous.iter_mut().find(|call| call.request == request) {
                    call.failed = Some(subject.is_error || subject.state != "COMPLETED");
                }
                known.previous = record.previous.iter().filter(|call| call.request != request).cloned().collect();
            }
            _ if needs.contains(Needs::SESSIONS) => {
                if let Some(record) = self.sessions.get(session) {
                    known.calls = record.calls;
                    known.previous = record.previous.iter().cloned().collect();
                }
            }
            _ => {}
        }
        if needs.contains(Needs::TOOLS) {
            let key = self.keyed.pair(program, self.keyed.bytes(subject.tool.as_bytes()));
            match (subject.kind, subject.definition) {
                (Kinds::TOOL, Some(definition)) => self.listed(key, program, definition, subject, &mut known),
                _ => known.annotations = self.tools.get(key).map(|tool| tool.annotations).unwrap_or_default(),
            }
        }
        // What a call says is looked at as the call's, and what its answer says as the result's: not once more as the message's.
        let is_of_call = subject.kind == Kinds::MESSAGE && subject.method == "tools/call";
        if needs.contains(Needs::SECRETS) && !is_of_call {
            self.look_for_secrets(subject, program, &mut known);
        }
        known
    }

    fn listed(&mut self, key: u64, program: u64, definition: Value<'_>, subject: &Subject<'_>, known: &mut Remembered) {
        let mut members = [0; MEMBERS.len() + 1];
        let mut rest = 0_u64;
        for (name, value) in definition.entries() {
            let name = name.as_str().unwrap_or_default();
            let hash = self.canonical(value, LEVELS);
            match MEMBERS.iter().position(|member| *member == name) {
                Some(at) => {
                    if let Some(place) = members.get_mut(at) {
                        *place = hash;
                    }
                }
                None => rest = rest.wrapping_add(self.keyed.pair(self.keyed.bytes(name.as_bytes()), hash)),
            }
        }
        if let Some(place) = members.last_mut() {
            *place = rest;
        }
        let hint =
            |name| definition.get("annotations").and_then(|annotations| annotations.get(name)).and_then(Value::as_bool) == Some(true);
        let annotations = Annotations {
            listed: true,
            annotated: definition.get("annotations").is_some_and(|annotations| annotations.kind() == Kind::Object),
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
        };
        let (tool, is_new) = self.tools.entry(key, || Tool { members, annotations });
        if !is_new {
            let differ = tool.members.iter().zip(&members).zip(MEMBERS.into_iter().chain(["other"]));
            known.changes = differ.filter(|((before, now), _)| before != now).map(|(_, name)| name).collect();
        }
        *tool = Tool { members, annotations };
        known.is_new = is_new;
        known.annotations = annotations;
        let folded = fold(&subject.tool);
        let name = self
            .keyed
            .pair(self.keyed.pair(u64::from(subject.client.pid), self.text(&[&subject.client.exe])), self.keyed.bytes(folded.as_bytes()));
        let (owner, _) = self.names.entry(name, || program);
        known.shadows = *owner != program;
    }

    fn look_for_secrets(&mut self, subject: &Subject<'_>, program: u64, known: &mut Remembered) {
        let Some(value) = subject.looked_at() else { return };
        let Self { keyed, secrets, .. } = self;
        let goes_in = subject.kind == Kinds::CALL;
        let mut kinds = Vec::new();
        redact::secrets(value, &mut |secret| {
            note_kind(&mut kinds, secret.kind);
            if let Some(bytes) = secret.bytes {
                let (owner, _) = secrets.entry(keyed.bytes(bytes), || program);
                known.secret_travels |= goes_in && *owner != program;
            }
        });
        known.secrets = OnceLock::from(kinds);
    }

    /// A hash of what a value says: the order of members and the way in which it is written are no matter.
    fn canonical(&self, value: Value<'_>, levels: usize) -> u64 {
        let keyed = self.keyed;
        if levels == 0 || value.is_folded() {
            return keyed.bytes(value.raw());
        }
        match value.kind() {
            Kind::Object => {
                let members = value.entries().map(|(name, member)| {
                    keyed.pair(keyed.bytes(name.as_str().unwrap_or_default().as_bytes()), self.canonical(member, levels - 1))
                });
                keyed.pair(1, members.fold(0, u64::wrapping_add))
            }
            Kind::Array => value.elements().fold(2, |hash, element| keyed.pair(hash, self.canonical(element, levels - 1))),
            Kind::String => keyed.pair(3, keyed.bytes(value.as_str().unwrap_or_default().as_bytes())),
            Kind::Number => match value.as_i64() {
                Some(number) => keyed.pair(4, number.cast_unsigned()),
                None => keyed.pair(5, keyed.bytes(value.raw())),
            },
            Kind::Null => keyed.number(6),
            Kind::True => keyed.number(7),
            Kind::False => keyed.number(8),
        }
    }
}

/// A name as a person may take it for another: case, separators and look-alike letters are no matter.
fn fold(name: &str) -> String {
    let folded = name.chars().take(256).filter(|letter| !matches!(letter, '_' | '-' | '.' | ' ' | '\u{200b}'..='\u{200f}' | '\u{feff}'));
    let folded = folded.flat_map(char::to_lowercase).map(|letter| match letter {
        'а' | 'α' => 'a',
        'с' => 'c',
        'ԁ' => 'd',
        'е' | 'ε' => 'e',
        'һ' => 'h',
        'і' | 'ı' | 'ι' | 'l' | '1' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'м' => 'm',
        'ո' => 'n',
        'о' | 'ο' | '0' => 'o',
        'р' | 'ρ' => 'p',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' => 'u',
        'ν' | 'ѵ' => 'v',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        other => other,
    });
    folded.collect()
}
