//! One CEL expression of a policy: parsed, its names checked against what there is, and as far as possible turned into
//! tests that need no CEL.
//!
//! A condition is mostly a conjunction whose first parts are cheap: a truth, a text compared, a count against a limit.
//! Those are taken out as [`Test`]s and asked first; CEL is asked only where all of them hold and something else is left.
//! A test says what CEL would say (`tests::tests_say_what_cel_says`).

use super::diagnostic::nearest;
use super::fact::Fact;
use super::field::{FIELDS, Field, Type, find};
use super::glob;
use cel::common::ast::{Expr, LiteralValue, operators};
use cel::common::types::{CelBool, CelList, CelString, LIST_TYPE, STRING_TYPE};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, IdedExpr, Program};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Bytes of an expression at most.
const MAX_BYTES: usize = 8 * 1024;
/// Brackets inside of brackets at most: the parser recurses.
const MAX_DEPTH: usize = 32;
/// Loops (`exists`, `map`) inside of loops at most.
const MAX_LOOPS: usize = 2;

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

    fn all(&self) -> impl Iterator<Item = &str> {
        FIELDS.iter().map(|row| row.name).chain(self.by_name.keys().map(String::as_str))
    }
}

/// Gives the values of names.
pub trait Facts: Send + Sync {
    /// The value of a name.
    fn fact(&self, name: Name) -> Fact<'_>;
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    fn of(function: &str) -> Option<Self> {
        Some(match function {
            operators::EQUALS => Self::Equal,
            operators::NOT_EQUALS => Self::NotEqual,
            operators::LESS => Self::Less,
            operators::LESS_EQUALS => Self::LessOrEqual,
            operators::GREATER => Self::Greater,
            operators::GREATER_EQUALS => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    #[expect(clippy::float_cmp, reason = "equality of numbers is what was asked for")]
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// A part of a conjunction that needs no CEL.
#[derive(Debug)]
pub enum Test {
    /// A truth, or its opposite.
    Truth(Name, bool),
    /// A text is, or is not, this one.
    Text(Name, Box<str>, bool),
    /// A text is, or is not, one of these.
    OneOf(Name, FxHashSet<Box<str>>, bool),
    /// This text is one of a list, or is not.
    Has(Name, Box<str>, bool),
    /// A number compares so with another.
    Number(Name, Compare, f64),
    /// The size of a list or text compares so with a number.
    Size(Name, Compare, f64),
    /// The same for every event: a comparison of constants.
    Always(bool),
}

impl Test {
    fn holds(&self, facts: &dyn Facts) -> bool {
        match self {
            Self::Truth(name, wanted) => matches!(facts.fact(*name), Fact::Truth(truth) if truth == *wanted),
            Self::Text(name, text, wanted) => match facts.fact(*name) {
                Fact::Text(value) => (value == text.as_ref()) == *wanted,
                _ => false,
            },
            Self::OneOf(name, texts, wanted) => match facts.fact(*name) {
                Fact::Text(value) => texts.contains(value.as_ref()) == *wanted,
                _ => false,
            },
            Self::Has(name, text, wanted) => match facts.fact(*name) {
                Fact::Texts(values) => values.iter().any(|value| value.as_str() == text.as_ref()) == *wanted,
                Fact::Names(values) => values.contains(&text.as_ref()) == *wanted,
                _ => false,
            },
            Self::Number(name, compare, number) => facts.fact(*name).number().is_some_and(|value| compare.holds(value, *number)),
            Self::Size(name, compare, number) => facts.fact(*name).size().is_some_and(|size| compare.holds(size as f64, *number)),
            Self::Always(holds) => *holds,
        }
    }

    /// How dear it is to ask, roughly.
    const fn price(&self) -> u8 {
        match self {
            Self::Always(_) => 0,
            Self::Number(Name::Count(_) | Name::Sum(_), ..) | Self::Truth(Name::First(_), _) => 1,
            Self::Text(..) | Self::OneOf(..) => 2,
            Self::Number(..) | Self::Truth(..) => 3,
            Self::Has(..) | Self::Size(..) => 4,
        }
    }
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

/// A part of an expression as people write it.
fn written(part: &IdedExpr, source: &str, program: &Program) -> String {
    if let Some(name) = dotted(part) {
        return name;
    }
    let infix = |function: &str| {
        Some(match function {
            operators::LOGICAL_AND => "&&",
            operators::LOGICAL_OR => "||",
            operators::EQUALS => "==",
            operators::NOT_EQUALS => "!=",
            operators::LESS => "<",
            operators::LESS_EQUALS => "<=",
            operators::GREATER => ">",
            operators::GREATER_EQUALS => ">=",
            operators::ADD => "+",
            operators::SUBSTRACT => "-",
            operators::MULTIPLY => "*",
            operators::DIVIDE => "/",
            operators::MODULO => "%",
            operators::IN => "in",
            _ => return None,
        })
    };
    match &part.expr {
        Expr::Call(call) => {
            let arguments: Vec<String> = call.args.iter().map(|argument| written(argument, source, program)).collect();
            match (infix(&call.func_name), arguments.as_slice()) {
                (Some(sign), [left, right]) => format!("{left} {sign} {right}"),
                _ => match (call.func_name.as_str(), arguments.as_slice()) {
                    (operators::LOGICAL_NOT, [operand]) => format!("!({operand})"),
                    (operators::NEGATE, [operand]) => format!("-{operand}"),
                    (operators::INDEX, [left, index]) => format!("{left}[{index}]"),
                    (operators::CONDITIONAL, [asked, yes, no]) => format!("{asked} ? {yes} : {no}"),
                    (function, _) => match &call.target {
                        Some(target) => format!("{}.{function}({})", written(target, source, program), arguments.join(", ")),
                        None => format!("{function}({})", arguments.join(", ")),
                    },
                },
            }
        }
        Expr::Literal(literal) => match literal {
            LiteralValue::String(text) => format!("{:?}", text.inner()),
            LiteralValue::Boolean(truth) => bool::from(*truth).to_string(),
            LiteralValue::Int(number) => i64::from(*number).to_string(),
            LiteralValue::UInt(number) => u64::from(*number).to_string(),
            LiteralValue::Double(number) => f64::from(*number).to_string(),
            LiteralValue::Null => "null".to_owned(),
            LiteralValue::Bytes(_) => "bytes".to_owned(),
        },
        Expr::List(list) => {
            format!("[{}]", list.elements.iter().map(|element| written(element, source, program)).collect::<Vec<_>>().join(", "))
        }
        Expr::Select(select) if select.test => format!("has({}.{})", written(&select.operand, source, program), select.field),
        Expr::Select(select) => format!("{}.{}", written(&select.operand, source, program), select.field),
        Expr::Comprehension(_) => {
            let range = program.source_info().offset_for(part.id);
            range
                .and_then(|(start, end)| source.get(start as usize..=(end as usize).min(source.len().saturating_sub(1))))
                .map_or_else(|| "a loop".to_owned(), str::to_owned)
        }
        _ => String::new(),
    }
}

/// A value as text, cut.
fn shown(value: &cel::Value) -> String {
    let text = match value {
        cel::Value::String(text) => format!("{:?}", text.as_str()),
        cel::Value::Bool(truth) => truth.to_string(),
        cel::Value::Int(number) => number.to_string(),
        cel::Value::UInt(number) => number.to_string(),
        cel::Value::Float(number) => number.to_string(),
        cel::Value::Null => "null".to_owned(),
        cel::Value::List(values) => format!("[{}]", values.iter().take(16).map(shown).collect::<Vec<_>>().join(", ")),
        cel::Value::Map(map) => format!("an object of {} members", map.map.len()),
        other => format!("{other:?}"),
    };
    let end = text.floor_char_boundary(200);
    if end < text.len() { format!("{}…", text.get(..end).unwrap_or_default()) } else { text }
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
fn dotted(part: &IdedExpr) -> Option<String> {
    match &part.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", dotted(&select.operand)?, select.field)),
        _ => None,
    }
}

/// The operands of a conjunction.
fn conjuncts(part: &IdedExpr) -> Vec<&IdedExpr> {
    match &part.expr {
        Expr::Call(call) if call.func_name == operators::LOGICAL_AND => call.args.iter().flat_map(conjuncts).collect(),
        _ => vec![part],
    }
}

/// A part as a test that needs no CEL.
fn test(part: &IdedExpr, names: &Names) -> Option<Test> {
    if let Some(name) = name_of(part, names) {
        return match name {
            Name::Field(field) if row_type(field) == Type::Truth => Some(Test::Truth(name, true)),
            Name::First(_) => Some(Test::Truth(name, true)),
            Name::Constant(constant) => Some(Test::Always(names.value(constant)?.as_bool()?)),
            _ => None,
        };
    }
    let Expr::Call(call) = &part.expr else { return None };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::LOGICAL_NOT, [operand]) => match test(operand, names)? {
            Test::Truth(name, wanted) => Some(Test::Truth(name, !wanted)),
            Test::Text(name, text, wanted) => Some(Test::Text(name, text, !wanted)),
            Test::OneOf(name, texts, wanted) => Some(Test::OneOf(name, texts, !wanted)),
            Test::Has(name, text, wanted) => Some(Test::Has(name, text, !wanted)),
            Test::Always(holds) => Some(Test::Always(!holds)),
            Test::Number(..) | Test::Size(..) => None,
        },
        (operators::IN, [needle, stack]) => membership(needle, stack, names),
        (function, [left, right]) => comparison(Compare::of(function)?, left, right, names),
        _ => None,
    }
}

fn membership(needle: &IdedExpr, stack: &IdedExpr, names: &Names) -> Option<Test> {
    let values = constant(stack, names);
    if let (Some(name @ Name::Field(field)), Some(serde_json::Value::Array(values))) = (name_of(needle, names), &values)
        && row_type(field) == Type::Text
    {
        let texts = values.iter().filter_map(|value| value.as_str().map(Box::from)).collect();
        return Some(Test::OneOf(name, texts, true));
    }
    if let (Some(serde_json::Value::String(text)), Some(name @ Name::Field(field))) = (constant(needle, names), name_of(stack, names))
        && row_type(field) == Type::List
        && field != Field::SessionPrevious
    {
        return Some(Test::Has(name, text.into(), true));
    }
    None
}

fn comparison(compare: Compare, left: &IdedExpr, right: &IdedExpr, names: &Names) -> Option<Test> {
    let constant_right = constant(right, names)?;
    if let Expr::Call(call) = &left.expr
        && call.func_name == "size"
        && let [operand] = call.target.as_deref().into_iter().chain(&call.args).collect::<Vec<_>>().as_slice()
    {
        let number = constant_right.as_f64()?;
        if let Some(Name::Constant(index)) = name_of(operand, names) {
            let size = Fact::Constant(names.value(index)?).size()?;
            return Some(Test::Always(compare.holds(size as f64, number)));
        }
        return match name_of(operand, names)? {
            name @ Name::Field(field) if matches!(row_type(field), Type::List | Type::Text) && field != Field::SessionPrevious => {
                Some(Test::Size(name, compare, number))
            }
            _ => None,
        };
    }
    let name = name_of(left, names)?;
    let holds = match name {
        Name::Field(field) => row_type(field),
        Name::Count(_) | Name::Sum(_) => Type::Number,
        Name::First(_) => Type::Truth,
        Name::Constant(index) => {
            let (left, right) = (names.value(index)?.as_f64()?, constant_right.as_f64()?);
            return Some(Test::Always(compare.holds(left, right)));
        }
    };
    match (holds, constant_right, compare) {
        (Type::Number, serde_json::Value::Number(number), _) => Some(Test::Number(name, compare, number.as_f64()?)),
        (Type::Text, serde_json::Value::String(text), Compare::Equal) => Some(Test::Text(name, text.into(), true)),
        (Type::Text, serde_json::Value::String(text), Compare::NotEqual) => Some(Test::Text(name, text.into(), false)),
        (Type::Truth, serde_json::Value::Bool(truth), Compare::Equal) => Some(Test::Truth(name, truth)),
        (Type::Truth, serde_json::Value::Bool(truth), Compare::NotEqual) => Some(Test::Truth(name, !truth)),
        _ => None,
    }
}

fn row_type(field: Field) -> Type {
    super::field::row(field).map_or(Type::Json, |row| row.holds)
}

fn name_of(part: &IdedExpr, names: &Names) -> Option<Name> {
    names.find(&dotted(part)?)
}

/// The value of a literal, a list of literals, or a constant of the policy.
fn constant(part: &IdedExpr, names: &Names) -> Option<serde_json::Value> {
    match &part.expr {
        Expr::Literal(literal) => Some(match literal {
            LiteralValue::Boolean(truth) => bool::from(*truth).into(),
            LiteralValue::Int(number) => i64::from(*number).into(),
            LiteralValue::UInt(number) => u64::from(*number).into(),
            LiteralValue::Double(number) => f64::from(*number).into(),
            LiteralValue::String(text) => text.inner().into(),
            LiteralValue::Null | LiteralValue::Bytes(_) => return None,
        }),
        Expr::List(list) => list.elements.iter().map(|element| constant(element, names)).collect::<Option<Vec<_>>>().map(Into::into),
        _ => match name_of(part, names)? {
            Name::Constant(index) => names.value(index).cloned(),
            _ => None,
        },
    }
}

/// Functions that a condition can call.
const FUNCTIONS: &[&str] = &[
    "like",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "type",
    "dyn",
    "has",
    "exists",
    "exists_one",
    "all",
    "map",
    "filter",
    "max",
    "min",
];

/// Goes through an expression and looks whether there is what it names.
struct Walk<'a> {
    program: &'a Program,
    names: &'a Names,
    wrong: Vec<Wrong>,
    spoken: FxHashMap<String, Name>,
    /// Variables of the loops around.
    bound: Vec<String>,
}

impl Walk<'_> {
    fn at(&self, part: &IdedExpr) -> usize {
        self.program.source_info().offset_for(part.id).map_or(0, |(start, _)| start as usize)
    }

    fn expression(&mut self, part: &IdedExpr, loops: usize) {
        if let Some(name) = dotted(part) {
            self.name(part, &name);
            return;
        }
        match &part.expr {
            Expr::Call(call) => {
                let function = call.func_name.as_str();
                let is_sign = function.contains(['_', '@']) || function == operators::NOT_STRICTLY_FALSE;
                if !is_sign && !FUNCTIONS.contains(&function) {
                    self.wrong.push(Wrong {
                        at: self.at(part),
                        message: format!("there is no function `{function}`"),
                        help: nearest(function, FUNCTIONS.iter().copied()),
                    });
                }
                for argument in call.target.as_deref().into_iter().chain(&call.args) {
                    self.expression(argument, loops);
                }
            }
            Expr::Comprehension(comprehension) => {
                if loops >= MAX_LOOPS {
                    self.wrong.push(Wrong {
                        at: self.at(part),
                        message: format!("more than {MAX_LOOPS} loops inside of each other"),
                        help: "such a condition takes too long".to_owned(),
                    });
                    return;
                }
                self.expression(&comprehension.iter_range, loops);
                let before = self.bound.len();
                self.bound.push(comprehension.iter_var.clone());
                self.bound.extend(comprehension.iter_var2.clone());
                self.bound.push(comprehension.accu_var.clone());
                for inner in [&comprehension.accu_init, &comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
                    self.expression(inner, loops + 1);
                }
                self.bound.truncate(before);
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.expression(element, loops)),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let cel::common::ast::EntryExpr::MapEntry(entry) = &entry.expr {
                        self.expression(&entry.key, loops);
                        self.expression(&entry.value, loops);
                    }
                }
            }
            Expr::Select(select) => self.expression(&select.operand, loops),
            Expr::Struct(_) => {
                self.wrong.push(Wrong { at: self.at(part), message: "there are no structures".to_owned(), help: String::new() });
            }
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    /// A name, of which the beginning is what there is, and the rest is looked up in it.
    fn name(&mut self, part: &IdedExpr, name: &str) {
        let root = name.split('.').next().unwrap_or_default();
        if self.bound.iter().any(|bound| bound == root) {
            return;
        }
        let mut end = name.len();
        loop {
            let prefix = name.get(..end).unwrap_or_default();
            if let Some(found) = self.names.find(prefix) {
                let has_members = match found {
                    Name::Field(field) => matches!(row_type(field), Type::Json),
                    Name::Constant(index) => self.names.value(index).is_some_and(serde_json::Value::is_object),
                    _ => false,
                };
                if end == name.len() || has_members {
                    self.spoken.insert(prefix.to_owned(), found);
                    return;
                }
                break;
            }
            match prefix.rfind('.') {
                Some(dot) => end = dot,
                None => break,
            }
        }
        let known = self.names.all().collect::<Vec<_>>();
        self.wrong.push(Wrong { at: self.at(part), message: format!("there is no `{name}`"), help: nearest(name, known) });
    }
}
