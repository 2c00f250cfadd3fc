//! Which rules may match at each kind of event, which windows matter then, and what must be remembered: worked out once, so
//! that an event is asked about what can hold only.

use super::compile::Policy;
use super::expression::Name;
use super::field::Field;
use super::plain::Test;
use super::{Kinds, Needs};
use rustc_hash::FxHashMap;

/// A rule that may match at one kind of event.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Its number.
    pub rule: u32,
    /// The numbers of those of its tests that are not settled by the kind.
    pub tests: Box<[u16]>,
}

/// The rules of one kind of event, and the windows that matter then.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Rules that ask for another tool or method are not even looked at.
    pub by_name: FxHashMap<Box<str>, Vec<Candidate>>,
    pub always: Vec<Candidate>,
    /// Windows, by number: the event is counted in them, or one of these rules asks for them.
    pub windows: Vec<u16>,
}

/// What must be remembered for these rules, at each kind of event.
pub(super) fn needs(policy: &Policy) -> [Needs; Kinds::NAMES.len()] {
    let mut all = [Needs::empty(); Kinds::NAMES.len()];
    let mut add = |kinds: Kinds, needs: Needs| {
        for kind in kinds.iter() {
            if let Some(of_kind) = all.get_mut(kind.place()) {
                *of_kind |= needs;
            }
        }
    };
    let windows = policy.windows.iter().chain(&policy.firsts);
    let by = windows.clone().flat_map(|window| window.by.iter().map(|name| (window.on, *name)));
    let asked = windows.flat_map(|window| window.only.iter().chain(&window.sum).map(|asked| (window.on, asked)));
    let asked = asked.chain(policy.rules.iter().filter(|rule| rule.enabled).map(|rule| (rule.on, &rule.when)));
    let calls = Kinds::CALL | Kinds::RESULT;
    for (on, name) in asked.flat_map(|(on, asked)| asked.names().iter().map(move |name| (on, *name))).chain(by) {
        let Name::Field(field) = name else { continue };
        match field {
            Field::CallArgumentsHash => add(Kinds::CALL, Needs::ARGUMENTS),
            Field::SessionCalls => add(calls | on, Needs::SESSIONS),
            Field::SessionPrevious => add(calls | on, Needs::SESSIONS | Needs::ARGUMENTS | Needs::PREVIOUS),
            Field::CallListed | Field::CallAnnotated | Field::CallReadOnlyHint | Field::CallDestructiveHint => {
                add(Kinds::TOOL | on, Needs::TOOLS);
            }
            Field::ToolNew | Field::ToolChanged | Field::ToolChanges | Field::ToolShadows => add(Kinds::TOOL, Needs::TOOLS),
            Field::DetectSecrets => add(on, Needs::SECRETS),
            Field::DetectSecretTravels => add(calls | on, Needs::SECRETS),
            _ => {}
        }
    }
    all
}

/// The field by which the rules of a kind are indexed.
const fn pivot(kind: Kinds) -> Option<Field> {
    match kind {
        Kinds::CALL | Kinds::RESULT => Some(Field::CallTool),
        Kinds::TOOL => Some(Field::ToolName),
        Kinds::MESSAGE => Some(Field::MessageMethod),
        _ => None,
    }
}

/// Whether a test holds at every event of a kind, or at none. `None` where that depends on the event.
fn settled(test: &Test, kind: Kinds) -> Option<bool> {
    // Only messages, and the tools that they list, have a method.
    let of_messages = |field| matches!(field, Field::MessageMethod | Field::MessageType | Field::MessageDirection | Field::MessageTarget);
    let is_message = (Kinds::MESSAGE | Kinds::TOOL).contains(kind);
    match test {
        Test::Text(Name::Field(field), text, wanted) if of_messages(*field) && !is_message => Some(text.is_empty() == *wanted),
        Test::OneOf(Name::Field(field), texts, wanted) if of_messages(*field) && !is_message => Some(texts.contains("") == *wanted),
        Test::Always(holds) => Some(*holds),
        _ => None,
    }
}

pub(super) fn index(policy: &Policy) -> [Index; Kinds::NAMES.len()] {
    let mut all: [Index; Kinds::NAMES.len()] = Default::default();
    for (number, rule) in (0_u32..).zip(&policy.rules).filter(|(_, rule)| rule.enabled) {
        let tests = rule.when.tests();
        for kind in rule.on.iter() {
            let Some(index) = all.get_mut(kind.place()) else { continue };
            if tests.iter().any(|test| settled(test, kind) == Some(false)) {
                continue;
            }
            let open = (0_u16..).zip(tests).filter(|(_, test)| settled(test, kind).is_none());
            let candidate = Candidate { rule: number, tests: open.map(|(place, _)| place).collect() };
            let names = pivot(kind).and_then(|pivot| {
                tests.iter().find_map(|test| match test {
                    Test::Text(Name::Field(field), text, true) if *field == pivot => Some(vec![text.clone()]),
                    Test::OneOf(Name::Field(field), texts, true) if *field == pivot => Some(texts.iter().cloned().collect()),
                    _ => None,
                })
            });
            match names {
                Some(names) => names.into_iter().for_each(|name| index.by_name.entry(name).or_default().push(candidate.clone())),
                None => index.always.push(candidate),
            }
            for &name in rule.when.names() {
                if let Name::Count(window) | Name::Sum(window) = name {
                    index.windows.push(window);
                }
            }
        }
    }
    for (number, window) in (0_u16..).zip(&policy.windows) {
        for kind in window.on.iter() {
            if let Some(index) = all.get_mut(kind.place()) {
                index.windows.push(number);
            }
        }
    }
    for index in &mut all {
        index.windows.sort_unstable();
        index.windows.dedup();
    }
    all
}
