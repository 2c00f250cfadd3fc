//! Asks the rules of a policy about each event.

use super::Kinds;
use super::compile::{Policy, Rule, Window};
use super::expression::{Answer, Expression, Facts, Name};
use super::fact::Fact;
use super::field::row;
use super::index::{Candidate, Index};
use super::memory::{Memory, Recent, Remembered};
use super::subject::Subject;
use super::view::{Numbers, View};
use super::window::Counts;
use crate::input::Time;
use crate::mcp::hash::Keyed;
use crate::redact::{Level, Redactor};
use std::sync::Arc;

/// Time of the processor that one condition may take, in nanoseconds.
const TOO_LONG: u64 = 20_000_000;
/// Bytes of a value in the evidence.
const EVIDENCE: usize = 256;
/// Fields in the evidence.
const FIELDS: usize = 16;

/// What a judge may remember.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all windows together, roughly.
    pub window_bytes: usize,
    /// Tools, secrets and first sights, each; sessions are a sixteenth of it.
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { window_bytes: 8 << 20, entries: 32 * 1024 }
    }
}

/// A rule matched.
#[derive(Debug)]
pub struct Finding<'j> {
    /// The rule.
    pub rule: &'j Rule,
    /// The fields that its condition names, and their values; secrets taken out.
    pub evidence: Vec<(String, String)>,
    /// Times that it matched the same session and tool and was quiet.
    pub suppressed: u64,
}

/// What a judge has to tell of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct News {
    /// The rule that is not asked any more.
    pub rule: Arc<str>,
    /// Why.
    pub reason: String,
}

/// See the module.
pub struct Judge {
    policy: Arc<Policy>,
    keyed: Keyed,
    counts: Vec<Counts>,
    firsts: Vec<Recent<()>>,
    memory: Memory,
    disabled: Vec<bool>,
    quiet: Recent<(Time, u64)>,
    /// The processor's time of this thread in nanoseconds; `None` where rules may take as long as they need.
    clock: Option<fn() -> u64>,
    news: Vec<News>,
    redactor: Redactor,
    suppressed: u64,
    numbers: Numbers,
    /// What was forgotten by what is no longer here: windows of a policy before this one.
    forgotten_before: u64,
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Judge").field("policy", &self.policy.digest).finish_non_exhaustive()
    }
}

impl Judge {
    /// A judge that has seen nothing. `seed` keys what is remembered by hash; `clock` gives the thread's processor time, and
    /// without it no rule is switched off for taking long.
    #[must_use]
    pub fn new(policy: Arc<Policy>, limits: Limits, seed: u64, clock: Option<fn() -> u64>) -> Self {
        let keyed = Keyed::new(seed);
        let share = limits.window_bytes / policy.windows.len().max(1);
        Self {
            counts: policy.windows.iter().map(|window| Counts::new(window.within, share)).collect(),
            firsts: policy.firsts.iter().map(|_| Recent::new(limits.entries)).collect(),
            memory: Memory::new(keyed, limits.entries),
            disabled: vec![false; policy.rules.len()],
            quiet: Recent::new(limits.entries),
            keyed,
            clock,
            news: Vec::new(),
            redactor: Redactor::new(Level::Redacted),
            suppressed: 0,
            numbers: Numbers::default(),
            forgotten_before: 0,
            policy,
        }
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Takes another policy. What is remembered of sessions, tools and secrets stays; windows begin anew, but for those
    /// that are the same in both.
    pub fn replace(&mut self, policy: Arc<Policy>, limits: Limits) {
        let forgotten = self.forgotten();
        let mut new = Self::new(policy, limits, 0, self.clock);
        for (window, counts) in new.policy.windows.iter().zip(&mut new.counts) {
            let same = |known: &&Window| {
                known.name == window.name && known.within == window.within && known.by == window.by && known.on == window.on
            };
            if let Some(place) = self.policy.windows.iter().position(|known| same(&known))
                && let Some(known) = self.counts.get_mut(place)
            {
                std::mem::swap(counts, known);
            }
        }
        for (first, seen) in new.policy.firsts.iter().zip(&mut new.firsts) {
            if let Some(place) = self.policy.firsts.iter().position(|known| known.name == first.name && known.by == first.by)
                && let Some(known) = self.firsts.get_mut(place)
            {
                std::mem::swap(seen, known);
            }
        }
        std::mem::swap(&mut new.memory, &mut self.memory);
        new.keyed = self.keyed;
        new.suppressed = self.suppressed;
        // What went along brought its own count with it.
        new.forgotten_before = forgotten.saturating_sub(new.forgotten());
        *self = new;
    }

    /// What the judge has to tell since it was asked last.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Things that were forgotten before their time, for want of room. Only grows.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        let windows = self.counts.iter().map(|counts| counts.forgotten);
        let firsts = self.firsts.iter().map(|first| first.forgotten);
        self.forgotten_before + windows.chain(firsts).sum::<u64>() + self.memory.forgotten() + self.quiet.forgotten
    }

    /// Matches that were kept quiet.
    #[must_use]
    pub const fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Judges an event, and the tools that it lists; tells each rule that matches, with what was judged.
    pub fn judge(&mut self, subject: &Subject<'_>, found: &mut dyn FnMut(&Subject<'_>, Finding<'_>)) {
        self.judge_one(subject, found);
        if self.asks(Kinds::TOOL) {
            for tool in subject.tools() {
                self.judge_one(&tool, found);
            }
        }
    }

    /// True where events of a kind need to be judged: a rule, a window or the memory asks for them.
    #[must_use]
    pub fn wants(&self, kind: Kinds) -> bool {
        let counts = |windows: &[Window]| windows.iter().any(|window| window.on.intersects(kind));
        let tools = kind == Kinds::MESSAGE && self.wants(Kinds::TOOL);
        self.asks(kind) || counts(&self.policy.windows) || counts(&self.policy.firsts) || tools
    }

    /// True where a rule or a memory asks for events of a kind.
    fn asks(&self, kind: Kinds) -> bool {
        let index = self.policy.index.get(kind.place());
        let has_rules = index.is_some_and(|index| !index.always.is_empty() || !index.by_name.is_empty());
        has_rules || !self.policy.needs(kind).is_empty()
    }

    fn judge_one(&mut self, subject: &Subject<'_>, found: &mut dyn FnMut(&Subject<'_>, Finding<'_>)) {
        let policy = Arc::clone(&self.policy);
        if policy.rules.is_empty() {
            return;
        }
        let Some(index) = policy.index.get(subject.kind.place()) else { return };
        let mut numbers = std::mem::take(&mut self.numbers);
        self.ask_all(subject, &policy, index, &mut numbers, found);
        self.numbers = numbers;
    }

    fn ask_all(
        &mut self,
        subject: &Subject<'_>,
        policy: &Policy,
        index: &Index,
        numbers: &mut Numbers,
        found: &mut dyn FnMut(&Subject<'_>, Finding<'_>),
    ) {
        let known = self.memory.note(subject, policy.needs(subject.kind));
        self.count(subject, policy, &index.windows, &known, numbers);
        let view = View { subject, known: &known, numbers, policy };
        let name = if subject.kind == Kinds::MESSAGE { subject.method } else { &subject.tool };
        let named = index.by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        for &Candidate { rule: number, ref tests } in index.always.iter().chain(named) {
            let Some(rule) = policy.rules.get(number as usize) else { continue };
            if self.disabled.get(number as usize) != Some(&false) || !rule.when.may_hold_by(tests, &view) {
                continue;
            }
            if rule.when.needs_cel() && !self.ask(number, rule, &view) {
                continue;
            }
            let key = self.keyed.pair(
                self.keyed.pair(u64::from(number), self.keyed.bytes(subject.session.as_bytes())),
                self.keyed.bytes(subject.tool.as_bytes()),
            );
            let Some(suppressed) = self.speaks(key, rule, subject.time) else { continue };
            let evidence = evidence(&rule.when, &view, &mut self.redactor);
            found(subject, Finding { rule, evidence, suppressed });
        }
    }

    /// Counts the event in those of some windows that it is of, and looks the others up.
    fn count(&mut self, subject: &Subject<'_>, policy: &Policy, numbered: &[u16], known: &Remembered, numbers: &mut Numbers) {
        let Self { counts: windows, firsts: seen, keyed, .. } = self;
        numbers.begin(policy);
        let Numbers { keys, counts, firsts } = numbers;
        let nothing = Numbers::default();
        let view = View { subject, known, numbers: &nothing, policy };
        for &number in numbered {
            let number = usize::from(number);
            let (Some(window), Some(kept), Some(count)) = (policy.windows.get(number), windows.get_mut(number), counts.get_mut(number))
            else {
                continue;
            };
            let key = match keys.get_mut(window.key_of) {
                Some(key) => *key.get_or_insert_with(|| self::key(*keyed, &window.by, &view)),
                None => self::key(*keyed, &window.by, &view),
            };
            let is_of = window.on.contains(subject.kind) && window.only.as_ref().is_none_or(|only| holds(only, &view));
            *count = if is_of && !subject.closed {
                let amount = window.sum.as_ref().map_or(0.0, |sum| sum.number(&view).filter(|amount| amount.is_finite()).unwrap_or(0.0));
                kept.add(key, subject.time, amount)
            } else {
                kept.peek(key, subject.time)
            };
        }
        for ((first, seen), is_first) in policy.firsts.iter().zip(seen).zip(firsts) {
            if first.on.contains(subject.kind) && !subject.closed && first.only.as_ref().is_none_or(|only| holds(only, &view)) {
                *is_first = seen.entry(key(*keyed, &first.by, &view), || ()).1;
            }
        }
    }

    /// Asks CEL. A condition that fails or takes too long is not asked again.
    fn ask(&mut self, number: u32, rule: &Rule, view: &View<'_>) -> bool {
        let before = self.clock.map(|clock| clock());
        let answer = rule.when.answer(view);
        let took = before.zip(self.clock).map_or(0, |(before, clock)| clock().saturating_sub(before));
        let reason = match &answer {
            Answer::Error(error) => format!("its condition cannot be evaluated: {error}"),
            Answer::Yes | Answer::No if took > TOO_LONG => {
                format!("its condition took {} ms of one event, {} ms at most are given", took / 1_000_000, TOO_LONG / 1_000_000)
            }
            Answer::Yes => return true,
            Answer::No => return false,
        };
        if let Some(disabled) = self.disabled.get_mut(number as usize) {
            *disabled = true;
        }
        self.news.push(News { rule: Arc::clone(&rule.id), reason });
        answer == Answer::Yes
    }

    /// Whether a rule that matches speaks, and how often it was quiet before.
    fn speaks(&mut self, key: u64, rule: &Rule, time: Time) -> Option<u64> {
        if rule.quiet == 0 {
            return Some(0);
        }
        let until = time.saturating_add(rule.quiet);
        // Whose time is over is as good as forgotten.
        let ((then, suppressed), is_new) = self.quiet.entry_while(key, || (until, 0), |(then, _)| time < *then);
        if is_new {
            return Some(0);
        }
        if time < *then {
            *suppressed += 1;
            self.suppressed += 1;
            return None;
        }
        *then = until;
        Some(std::mem::take(suppressed))
    }
}

fn holds(condition: &Expression, view: &View<'_>) -> bool {
    condition.may_hold(view) && (!condition.needs_cel() || condition.answer(view) == Answer::Yes)
}

/// A hash of the values of some fields.
fn key(keyed: Keyed, by: &[Name], view: &View<'_>) -> u64 {
    by.iter().fold(0x6b65_7973, |hash, name| {
        let value = match view.fact(*name) {
            Fact::Truth(truth) => u64::from(truth),
            Fact::Number(number) => keyed.number(number.cast_unsigned()),
            Fact::Fraction(number) => keyed.number(number.to_bits()),
            Fact::Text(text) => keyed.bytes(text.as_bytes()),
            Fact::Texts(texts) => texts.iter().fold(1, |hash, text| keyed.pair(hash, keyed.bytes(text.as_bytes()))),
            Fact::Names(names) => names.iter().fold(2, |hash, name| keyed.pair(hash, keyed.bytes(name.as_bytes()))),
            Fact::Json(_) | Fact::Previous(..) | Fact::Constant(_) => 0,
        };
        keyed.pair(hash, value)
    })
}

fn evidence(condition: &Expression, view: &View<'_>, redactor: &mut Redactor) -> Vec<(String, String)> {
    let names = condition.names().iter().take(FIELDS);
    names
        .map(|&name| {
            let label = match name {
                Name::Field(field) => row(field).map_or("", |row| row.name).to_owned(),
                Name::Count(number) => format!("window.{}.count", window(view.policy, number)),
                Name::Sum(number) => format!("window.{}.sum", window(view.policy, number)),
                Name::First(number) => format!("first.{}", view.policy.firsts.get(usize::from(number)).map_or("", |first| &first.name)),
                Name::Constant(_) => String::new(),
            };
            let shown = match view.fact(name) {
                Fact::Json(Some(value)) => {
                    let mut text = String::new();
                    redactor.value(value, EVIDENCE, &mut text);
                    text
                }
                other => redactor.text(&other.show(EVIDENCE)),
            };
            (label, shown)
        })
        .collect()
}

fn window(policy: &Policy, number: u16) -> &str {
    policy.windows.get(usize::from(number)).map_or("", |window| &window.name)
}

/// What a rule's condition makes of an event, part by part.
pub(super) fn explain(judge: &mut Judge, subject: &Subject<'_>, found: &mut dyn FnMut(&Rule, bool, Vec<super::Part>)) {
    let policy = Arc::clone(&judge.policy);
    let known = judge.memory.note(subject, policy.needs(subject.kind));
    let all: Vec<u16> = (0..).take(policy.windows.len()).collect();
    let mut numbers = Numbers::default();
    judge.count(subject, &policy, &all, &known, &mut numbers);
    let view = View { subject, known: &known, numbers: &numbers, policy: &policy };
    for rule in policy.rules.iter().filter(|rule| rule.enabled && rule.on.contains(subject.kind)) {
        found(rule, holds(&rule.when, &view), rule.when.explain(&view));
    }
}
