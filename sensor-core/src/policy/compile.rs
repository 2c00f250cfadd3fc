//! Makes a policy of its file: everything is looked up, checked and indexed once.

use super::diagnostic::{Diagnostic, nearest, position};
use super::expression::{Expression, Name, Names};
use super::field::{Field, Type};
use super::file::{self, File};
use super::index::{self, Index};
use super::{Kinds, Needs, Response, Severity, Target};
use crate::input::Time;
use ring::digest;
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// Bytes of a policy file at most.
const MAX_FILE: usize = 4 << 20;
/// Rules at most.
const MAX_RULES: usize = 10_000;
/// Values of variables and lists, by the names that conditions use.
pub(super) type Values = BTreeMap<String, serde_json::Value>;

/// Windows and firsts at most, each.
const MAX_WINDOWS: usize = 256;

/// A rule, ready to be asked.
#[derive(Debug)]
pub struct Rule {
    /// Names it.
    pub id: Arc<str>,
    /// What it finds, in a few words.
    pub title: String,
    /// Kinds of events that it is asked about.
    pub on: Kinds,
    pub(super) when: Expression,
    /// How bad it is.
    pub severity: Severity,
    /// What catalogues call it.
    pub tags: Vec<String>,
    /// What is to be done.
    pub response: Response,
    /// About whom.
    pub target: Target,
    /// With all descendants.
    pub tree: bool,
    /// After a finding, nothing more of the same session and tool for so long.
    pub quiet: Time,
    /// It is asked.
    pub enabled: bool,
    pub(super) tests: Vec<file::Test>,
    /// Line of the rule in the file.
    pub line: u64,
}

/// A window, ready to count.
#[derive(Debug)]
pub(super) struct Window {
    pub name: String,
    pub on: Kinds,
    pub by: Vec<Name>,
    /// The first window with the same `by`: what tells its counts apart needs to be worked out only once.
    pub key_of: usize,
    pub within: Time,
    pub only: Option<Expression>,
    pub sum: Option<Expression>,
}

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    /// Its rules, in the order of the file.
    pub rules: Vec<Rule>,
    /// SHA-256 of the file, the first 16 hexadecimal digits.
    pub digest: String,
    /// The file, where tests need it once more; else empty.
    pub(super) text: Box<str>,
    pub(super) names: Names,
    pub(super) windows: Vec<Window>,
    pub(super) firsts: Vec<Window>,
    pub(super) needs: [Needs; Kinds::NAMES.len()],
    pub(super) index: [Index; Kinds::NAMES.len()],
}

impl Rule {
    /// True where it has tests.
    #[must_use]
    pub const fn has_tests(&self) -> bool {
        !self.tests.is_empty()
    }
}

impl Policy {
    /// A policy without rules.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            rules: Vec::new(),
            digest: String::new(),
            text: Box::default(),
            names: Names::default(),
            windows: Vec::new(),
            firsts: Vec::new(),
            needs: Default::default(),
            index: Default::default(),
        }
    }

    /// What must be remembered at a kind of event.
    pub(super) fn needs(&self, kind: Kinds) -> Needs {
        self.needs.get(kind.place()).copied().unwrap_or_default()
    }

    /// Takes a policy file.
    ///
    /// # Errors
    /// Everything that is wrong with it, with the place of each.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        Self::parse_with(text, &Values::new())
    }

    /// Takes a policy file with other values for some of its variables and lists.
    pub(super) fn parse_with(text: &str, values: &Values) -> Result<Self, Vec<Diagnostic>> {
        if text.len() > MAX_FILE {
            let message = format!("the policy has {} bytes, {MAX_FILE} at most are taken", text.len());
            return Err(vec![Diagnostic { line: 0, column: 0, message, help: String::new() }]);
        }
        let file: File = serde_saphyr::from_str(text).map_err(|error| vec![of_yaml(&error)])?;
        let mut compiler = Compiler { text, values, wrong: Vec::new(), names: Names::default() };
        let policy = compiler.policy(file);
        if compiler.wrong.is_empty() {
            Ok(policy)
        } else {
            compiler.wrong.sort_by_key(|wrong| (wrong.line, wrong.column));
            Err(compiler.wrong)
        }
    }
}

/// What the YAML library says, with a nearest name where there is one.
fn of_yaml(error: &serde_saphyr::Error) -> Diagnostic {
    let error = error.without_snippet();
    let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
    if let serde_saphyr::Error::SerdeUnknownField { field, expected, .. } = error {
        let near = nearest(field, expected.iter().copied());
        let help = if near.is_empty() { format!("known here: {}", expected.join(", ")) } else { near };
        return Diagnostic { line, column, message: format!("there is no key `{field}` here"), help };
    }
    let mut message = error.to_string().lines().next().unwrap_or_default().to_owned();
    // The library names the place in its own way, too; once is enough.
    if let Some(at) = message.find(" at line ") {
        message.truncate(at);
    }
    let is_tag = message.contains("null into string");
    let help = if is_tag { "put a condition that begins with `!` into quotes: YAML takes it for a tag" } else { "" };
    Diagnostic { line, column, message, help: help.to_owned() }
}

struct Compiler<'t> {
    text: &'t str,
    values: &'t Values,
    wrong: Vec<Diagnostic>,
    names: Names,
}

impl Compiler<'_> {
    fn wrong(&mut self, place: Location, message: String, help: String) {
        self.wrong.push(Diagnostic { line: place.line(), column: place.column(), message, help });
    }

    /// One of the names that are allowed here.
    fn one_of<T: Copy>(&mut self, place: Location, what: &str, name: &str, known: &[(&str, T)]) -> Option<T> {
        let found = known.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let near = nearest(name, names.iter().copied());
            let help = if near.is_empty() { format!("one of {}", names.join(", ")) } else { near };
            self.wrong(place, format!("`{name}` is no {what}"), help);
        }
        found
    }

    fn kinds(&mut self, names: &Spanned<file::Names>) -> Kinds {
        let mut kinds = Kinds::empty();
        for name in names.value.iter() {
            kinds |= self.one_of(names.referenced, "kind of event", name, &Kinds::NAMES).unwrap_or(Kinds::empty());
        }
        if kinds.is_empty() && self.wrong.is_empty() {
            self.wrong(names.referenced, "no kind of event is named".to_owned(), "for example `on: call`".to_owned());
        }
        kinds
    }

    fn duration(&mut self, text: &Spanned<String>) -> Time {
        let value = text.value.trim();
        let time = super::sample::duration(value).filter(|time| *time > 0);
        time.unwrap_or_else(|| {
            self.wrong(text.referenced, format!("`{value}` is no duration"), "for example `30s`, `5m`, `1h`, `7d`".to_owned());
            1
        })
    }

    /// An expression; what is wrong in it is told at its own place.
    fn expression(&mut self, source: &Spanned<String>, kinds: Kinds) -> Option<Expression> {
        match Expression::new(&source.value, &self.names) {
            Ok(expression) => {
                for name in expression.names() {
                    if let Name::Field(field) = name
                        && let Some(row) = super::field::row(*field)
                        && !row.kinds.intersects(kinds)
                    {
                        let of: Vec<_> = row.kinds.iter().map(Kinds::name).collect();
                        let message = format!("`{}` is always empty here", row.name);
                        let (line, column) = self.place_in(source, row.name);
                        self.wrong.push(Diagnostic { line, column, message, help: format!("only {} has it", of.join(", ")) });
                    }
                }
                Some(expression)
            }
            Err(all) => {
                for wrong in all {
                    let (line, column) = self.place_of(source, wrong.at, &wrong.message);
                    self.wrong.push(Diagnostic { line, column, message: wrong.message, help: wrong.help });
                }
                None
            }
        }
    }

    /// Where a part of an expression stands in the file: where what the message quotes is found, or counted from the
    /// beginning of the expression.
    fn place_of(&self, source: &Spanned<String>, at: usize, message: &str) -> (u64, u64) {
        let quoted = message.split('`').nth(1).unwrap_or_default();
        if !quoted.is_empty() && source.value.contains(quoted) {
            return self.place_in(source, quoted);
        }
        let place = source.referenced;
        if source.value.contains('\n') {
            return (place.line(), place.column());
        }
        let quote = self
            .text
            .lines()
            .nth(place.line().saturating_sub(1) as usize)
            .and_then(|line| line.chars().nth(place.column().saturating_sub(1) as usize));
        let shift = u64::from(matches!(quote, Some('"' | '\'')));
        let before = source.value.get(..source.value.floor_char_boundary(at)).unwrap_or_default();
        (place.line(), place.column() + shift + before.chars().count() as u64)
    }

    fn place_in(&self, source: &Spanned<String>, part: &str) -> (u64, u64) {
        let start = self.start_of(source.referenced);
        match self.text.get(start..).and_then(|rest| rest.find(part)) {
            Some(at) => position(self.text, start + at),
            None => (source.referenced.line(), source.referenced.column()),
        }
    }

    /// The byte of a place.
    fn start_of(&self, place: Location) -> usize {
        let line: usize = self.text.split_inclusive('\n').take(place.line().saturating_sub(1) as usize).map(str::len).sum();
        let column = self.text.get(line..).unwrap_or_default().char_indices().nth(place.column().saturating_sub(1) as usize);
        line + column.map_or(0, |(at, _)| at)
    }

    fn policy(&mut self, file: File) -> Policy {
        if file.version.value != 1 {
            let message = format!("version {} of the policy language is not known", file.version.value);
            self.wrong(file.version.referenced, message, "this sensor knows version 1".to_owned());
        }
        for (name, value) in file.variables {
            self.check_name(&name, value.referenced);
            self.constant(format!("vars.{name}"), value.value);
        }
        for (name, list) in file.lists {
            self.check_name(&name, list.referenced);
            self.constant(format!("list.{name}"), list.value.into());
        }
        if file.windows.len() > MAX_WINDOWS || file.firsts.len() > MAX_WINDOWS || file.rules.len() > MAX_RULES {
            let message = format!("more than {MAX_RULES} rules, or {MAX_WINDOWS} windows or firsts");
            self.wrong(file.version.referenced, message, String::new());
        }
        let mut windows: Vec<Window> = Vec::new();
        for (name, window) in file.windows {
            let window = self.window(name, window);
            let key_of = windows.iter().position(|known| known.by == window.by).unwrap_or(windows.len());
            windows.push(Window { key_of, ..window });
        }
        let firsts: Vec<Window> = file.firsts.into_iter().map(|(name, first)| self.first(name, first)).collect();
        for (number, window) in (0_u16..).zip(&windows) {
            self.names.declare(format!("window.{}.count", window.name), Name::Count(number));
            self.names.declare(format!("window.{}.sum", window.name), Name::Sum(number));
        }
        for (number, first) in (0_u16..).zip(&firsts) {
            self.names.declare(format!("first.{}", first.name), Name::First(number));
        }
        let mut rules: Vec<Rule> = Vec::new();
        for rule in file.rules {
            if let Some(rule) = self.rule(rule, &rules) {
                rules.push(rule);
            }
        }
        let digest = digest::digest(&digest::SHA256, self.text.as_bytes()).as_ref().iter().take(8).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let names = std::mem::take(&mut self.names);
        let alters = rules.iter().flat_map(|rule| &rule.tests).any(file::Test::alters);
        let text = if alters { self.text.into() } else { Box::default() };
        let mut policy = Policy { rules, digest, text, names, windows, firsts, needs: Default::default(), index: Default::default() };
        policy.needs = index::needs(&policy);
        policy.index = index::index(&policy);
        policy
    }

    /// Declares a variable or list, with the value that it has or is to have.
    fn constant(&mut self, name: String, declared: serde_json::Value) {
        let value = self.values.get(&name).cloned().unwrap_or(declared);
        self.names.constant(name, value);
    }

    fn check_name(&mut self, name: &str, place: Location) {
        let is_name = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !is_name {
            self.wrong(place, format!("`{name}` cannot be named in a condition"), "letters, digits and `_`, no digit first".to_owned());
        }
    }

    fn by(&mut self, fields: &[Spanned<String>], kinds: Kinds) -> Vec<Name> {
        let mut by = Vec::new();
        for field in fields {
            match super::field::find(&field.value) {
                Some(row) if row.holds == Type::Json || row.field == Field::SessionPrevious => {
                    self.wrong(
                        field.referenced,
                        format!("`{}` cannot tell windows apart", row.name),
                        "name a text, a number or a truth".to_owned(),
                    );
                }
                Some(row) if !row.kinds.intersects(kinds) => {
                    let of: Vec<_> = row.kinds.iter().map(Kinds::name).collect();
                    self.wrong(field.referenced, format!("`{}` is always empty here", row.name), format!("only {} has it", of.join(", ")));
                }
                Some(row) => by.push(Name::Field(row.field)),
                None => {
                    let help = nearest(&field.value, super::field::FIELDS.iter().map(|row| row.name));
                    self.wrong(field.referenced, format!("there is no field `{}`", field.value), help);
                }
            }
        }
        by
    }

    fn window(&mut self, name: String, window: Spanned<file::Window>) -> Window {
        self.check_name(&name, window.referenced);
        let window = window.value;
        let on = self.kinds(&window.on);
        Window {
            name,
            on,
            by: self.by(&window.by, on),
            key_of: 0,
            within: self.duration(&window.within),
            only: window.r#where.and_then(|condition| self.expression(&condition, on)),
            sum: window.sum.and_then(|amount| self.expression(&amount, on)),
        }
    }

    fn first(&mut self, name: String, first: Spanned<file::First>) -> Window {
        self.check_name(&name, first.referenced);
        let first = first.value;
        let on = self.kinds(&first.on);
        let only = first.r#where.and_then(|condition| self.expression(&condition, on));
        Window { name, on, by: self.by(&first.by, on), key_of: 0, within: Time::MAX, only, sum: None }
    }

    fn rule(&mut self, rule: Spanned<file::Rule>, before: &[Rule]) -> Option<Rule> {
        let line = rule.referenced.line();
        let rule = rule.value;
        let id = rule.id.value;
        if id.is_empty() || !id.chars().all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '-')) {
            self.wrong(rule.id.referenced, format!("`{id}` is no id"), "lower-case letters, digits and hyphens".to_owned());
        }
        if let Some(other) = before.iter().find(|other| *other.id == *id) {
            self.wrong(rule.id.referenced, format!("there is a rule `{id}` already"), format!("in line {}", other.line));
        }
        let on = self.kinds(&rule.on);
        let severity = self.one_of(rule.severity.referenced, "severity", &rule.severity.value, &Severity::NAMES);
        let response =
            rule.action.map_or(Some(Response::default()), |name| self.one_of(name.referenced, "action", &name.value, &Response::NAMES));
        let target =
            rule.target.map_or(Some(Target::default()), |name| self.one_of(name.referenced, "target", &name.value, &Target::NAMES));
        let quiet = rule.quiet.map_or(0, |quiet| self.duration(&quiet));
        let when = self.expression(&rule.when, on);
        for test in &rule.tests {
            for (place, message, help) in test.value.check(&self.names) {
                self.wrong(place, message, help);
            }
            for event in &test.value.events {
                if let Err(message) = super::sample::check(event) {
                    self.wrong(test.referenced, format!("test `{}`: {message}", test.value.name), String::new());
                }
            }
        }
        Some(Rule {
            id: id.into(),
            title: rule.title,
            on,
            when: when?,
            severity: severity?,
            tags: rule.tags,
            response: response?,
            target: target?,
            tree: rule.tree,
            quiet,
            enabled: rule.enabled,
            tests: rule.tests.into_iter().map(|test| test.value).collect(),
            line,
        })
    }
}
