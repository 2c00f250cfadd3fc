//! One CEL expression of a policy: parsed, its names checked against what there is, and as far as possible turned into
//! tests that need no CEL.
//!
//! A condition is mostly a conjunction whose first parts are cheap: a truth, a text compared, a count against a limit.
//! Those are taken out as [`Test`]s and asked first; CEL is asked only where all of them hold and something else is left.
//! A test says what CEL would say (`tests::tests_say_what_cel_says`).

use super::fact::Fact;
use super::field::{FIELDS, Field, find};
use super::glob;
use super::plain::{Test, conjuncts, test};
use super::walk::Walk;
use super::written::{shown, written};
use cel::common::ast::Expr;
use cel::common::types::{CelBool, CelList, CelString, LIST_TYPE, STRING_TYPE};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, IdedExpr, Program};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Bytes of an expression at most.
const MAX_BYTES: usize = 8 * 1024;
/// Brackets inside of brackets at most: the parser recurses.
const MAX_DEPTH: usize = 32;

/// What a name in an expression stands for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Name {
    /// A field of the event.
    Field(Field),
    /// The count of a window.
    Count(u16),
    /// The sum of a window.
    Sum(u16),
    /// Whether something is seen for the first time.
    First(u16),
    /// A variable or list of the policy.
    Constant(u16),
}

/// The names that a policy declares, beside the fields.
#[derive(Debug, Default)]
pub struct Names {
    by_name: FxHashMap<String, Name>,
    constants: Vec<serde_json::Value>,
}

impl Names {
    /// Declares a variable or list.
    pub fn constant(&mut self, name: String, value: serde_json::Value) {
        let index = u16::try_from(self.constants.len()).unwrap_or(u16::MAX);
        self.constants.push(value);
        self.by_name.insert(name, Name::Constant(index));
    }

    /// Declares another name.
    pub fn declare(&mut self, name: String, stands_for: Name) {
        self.by_name.insert(name, stands_for);
    }

    /// What a name stands for.
    pub fn find(&self, name: &str) -> Option<Name> {
        find(name).map(|row| Name::Field(row.field)).or_else(|| self.by_name.get(name).copied())
    }

    /// The value of a constant.
    pub fn value(&self, constant: u16) -> Option<&serde_json::Value> {
        self.constants.get(usize::from(constant))
    }

    /// The value of a variable or list by its name: `vars.limit`.
    pub fn constant_named(&self, name: &str) -> Option<&serde_json::Value> {
        match self.by_name.get(name) {
            Some(Name::Constant(constant)) => self.value(*constant),
            _ => None,
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        FIELDS.iter().map(|row| row.name).chain(self.by_name.keys().map(String::as_str))
    }
}

/// Gives the values of names.
pub trait Facts: Send + Sync {
    /// The value of a name.
    fn fact(&self, name: Name) -> Fact<'_>;
}

/// What is wrong with an expression, and at which byte of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wrong {
    pub at: usize,
    pub message: String,
    pub help: String,
}

/// An expression, ready to be asked.
pub struct Expression {
    source: String,
    program: Program,
    tests: Vec<Test>,
    /// The tests are not the whole of it.
    needs_cel: bool,
    names: Vec<Name>,
    spoken: FxHashMap<String, Name>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Expression").field("source", &self.source).field("tests", &self.tests).finish_non_exhaustive()
    }
}

/// What an expression says of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// True.
    Yes,
    /// False, or something that it asks of the captured JSON is not there.
    No,
    /// It cannot be evaluated.
    Error(String),
}

fn environment() -> Arc<Env> {
    static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
    Arc::clone(ENVIRONMENT.get_or_init(|| {
        let mut environment = Env::stdlib();
        // These cannot fail: the standard library has no such function.
        let _ = environment.add_overload("like", "like_string", vec![STRING_TYPE, STRING_TYPE], like);
        let _ = environment.add_overload("like", "like_list", vec![STRING_TYPE, LIST_TYPE], like);
        Arc::new(environment)
    }))
}

fn like<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, patterns] = arguments.as_slice() else { return Err(ExecutionError::invalid_argument_count(2, arguments.len())) };
    let Some(text) = text.downcast_ref::<CelString<'_>>() else { return Err(ExecutionError::missing_argument_or_target()) };
    let is_like = if let Some(pattern) = patterns.downcast_ref::<CelString<'_>>() {
        glob::matches(pattern.inner(), text.inner())
    } else if let Some(patterns) = patterns.downcast_ref::<CelList<'_>>() {
        patterns
            .iter()
            .any(|pattern| pattern.downcast_ref::<CelString<'_>>().is_some_and(|pattern| glob::matches(pattern.inner(), text.inner())))
    } else {
        false
    };
    Ok(CowVal::owned(CelBool::from(is_like)))
}

/// Resolves names for CEL.
struct Resolver<'a> {
    facts: &'a dyn Facts,
    names: &'a FxHashMap<String, Name>,
}

impl VariableResolver for Resolver<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let name = self.names.get(variable)?;
        Some(CowVal::Owned(self.facts.fact(*name).into_cel()))
    }
}

impl Expression {
    /// Parses an expression and checks its names.
    ///
    /// # Errors
    /// What is wrong, all of it.
    pub fn new(source: &str, names: &Names) -> Result<Self, Vec<Wrong>> {
        check_size(source).map_err(|wrong| vec![wrong])?;
        let program = environment().compile(source).map_err(|errors| {
            let wrong =
                errors.errors.iter().map(|error| Wrong { at: offset(source, error.pos), message: plain(&error.msg), help: String::new() });
            wrong.collect::<Vec<_>>()
        })?;
        let mut walk = Walk { program: &program, names, wrong: Vec::new(), spoken: FxHashMap::default(), bound: Vec::new() };
        walk.expression(program.expression(), 0);
        let Walk { wrong, spoken, .. } = walk;
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let mut tests = Vec::new();
        let mut needs_cel = false;
        for part in conjuncts(program.expression()) {
            match test(part, names) {
                Some(test) => tests.push(test),
                None => needs_cel = true,
            }
        }
        tests.sort_by_key(Test::price);
        let mut all: Vec<Name> = spoken.values().copied().collect::<BTreeSet<_>>().into_iter().collect();
        all.retain(|name| !matches!(name, Name::Constant(_)));
        Ok(Self { source: source.to_owned(), program, tests, needs_cel, names: all, spoken })
    }

    /// The names that it asks for, constants left out.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// The tests of it that need no CEL.
    pub fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// True where the cheap tests hold, so that [`Self::answer`] is worth its time.
    pub fn may_hold(&self, facts: &dyn Facts) -> bool {
        self.tests.iter().all(|test| test.holds(facts))
    }

    /// The same for some of them, by number: the others are known to hold.
    pub fn may_hold_by(&self, tests: &[u16], facts: &dyn Facts) -> bool {
        tests.iter().all(|&number| self.tests.get(usize::from(number)).is_some_and(|test| test.holds(facts)))
    }

    /// True where the cheap tests are not the whole of it.
    pub const fn needs_cel(&self) -> bool {
        self.needs_cel
    }

    /// What it says, by CEL.
    pub fn answer(&self, facts: &dyn Facts) -> Answer {
        self.with_value(self.program.expression(), facts, |value| match value {
            Ok(value) => match value.downcast_ref::<CelBool>() {
                Some(truth) if bool::from(*truth) => Answer::Yes,
                Some(_) => Answer::No,
                None => Answer::Error(format!("it is of type {}, not true or false", value.get_type().name())),
            },
            Err(ExecutionError::NoSuchKey(_)) => Answer::No,
            Err(error) => Answer::Error(error.to_string()),
        })
    }

    /// Its value as a number. `None` where it has none.
    pub fn number(&self, facts: &dyn Facts) -> Option<f64> {
        if let Expr::Ident(_) | Expr::Select(_) = self.program.expression().expr
            && let [name] = self.names.as_slice()
        {
            return facts.fact(*name).number();
        }
        self.with_value(self.program.expression(), facts, |value| match value.ok()?.as_ref().try_into().ok()? {
            cel::Value::Int(number) => Some(number as f64),
            cel::Value::UInt(number) => Some(number as f64),
            cel::Value::Float(number) => Some(number),
            _ => None,
        })
    }

    fn with_value<R>(&self, part: &IdedExpr, facts: &dyn Facts, then: impl FnOnce(Result<CowVal<'_, '_>, ExecutionError>) -> R) -> R {
        let resolver = Resolver { facts, names: &self.spoken };
        let mut context = Context::with_env(environment());
        context.set_variable_resolver(&resolver);
        then(cel::Value::resolve_val(part, &context))
    }

    /// The value of each part of it that is one, in the order in which they are written.
    pub fn explain(&self, facts: &dyn Facts) -> Vec<Part> {
        let mut parts = Vec::new();
        self.explain_part(self.program.expression(), 0, facts, &mut parts);
        parts
    }

    fn explain_part(&self, part: &IdedExpr, depth: usize, facts: &dyn Facts, out: &mut Vec<Part>) {
        let source = written(part, &self.source, &self.program);
        let is_constant = matches!(part.expr, Expr::Literal(_));
        if !is_constant && !source.is_empty() {
            let value = self.with_value(part, facts, |value| match value {
                Ok(value) => cel::Value::try_from(value.as_ref()).map_or_else(|error| error.to_string(), |value| shown(&value)),
                Err(error) => format!("no value: {error}"),
            });
            out.push(Part { depth, source, value });
        }
        if let Expr::Call(call) = &part.expr {
            let target = call.target.as_deref();
            for argument in target.into_iter().chain(&call.args) {
                self.explain_part(argument, depth + 1, facts, out);
            }
        }
    }
}

/// A part of an expression and its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// How deep it stands.
    pub depth: usize,
    /// As it was written, or what it asks for.
    pub source: String,
    /// Its value, as text.
    pub value: String,
}

fn check_size(source: &str) -> Result<(), Wrong> {
    if source.len() > MAX_BYTES {
        return Err(Wrong {
            at: 0,
            message: format!("the expression has {} bytes, {MAX_BYTES} at most are taken", source.len()),
            help: "put long lists into `lists`".to_owned(),
        });
    }
    let mut depth = 0_usize;
    let mut signs = 0_usize;
    for (at, byte) in source.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' | b'?' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        signs = if matches!(byte, b'!' | b'-') {
            signs + 1
        } else if byte.is_ascii_whitespace() {
            signs
        } else {
            0
        };
        if depth > MAX_DEPTH || signs > MAX_DEPTH {
            return Err(Wrong {
                at,
                message: format!("more than {MAX_DEPTH} levels of brackets"),
                help: "make two rules of it".to_owned(),
            });
        }
    }
    Ok(())
}

/// The byte at a line (from 1) and column (from 0 or 1) of the parser.
fn offset(source: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line - 1).unwrap_or(0);
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    (start + usize::try_from(column.saturating_sub(1)).unwrap_or(0)).min(source.len())
}

/// A parser's message on one line.
fn plain(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let end = line.floor_char_boundary(240);
    line.get(..end).unwrap_or_default().to_owned()
}

/// The name that an expression spells: `a.b.c`.
pub fn dotted(part: &IdedExpr) -> Option<String> {
    match &part.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", dotted(&select.operand)?, select.field)),
        _ => None,
    }
}
