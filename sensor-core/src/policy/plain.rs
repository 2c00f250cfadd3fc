//! Parts of a condition that need no CEL: a truth, a text compared, a count against a limit.

use super::expression::{Facts, Name, Names, dotted};
use super::fact::Fact;
use super::field::{Field, Type, row};
use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue, operators};
use rustc_hash::FxHashSet;

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
    pub fn holds(&self, facts: &dyn Facts) -> bool {
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
    pub const fn price(&self) -> u8 {
        match self {
            Self::Always(_) => 0,
            Self::Number(Name::Count(_) | Name::Sum(_), ..) | Self::Truth(Name::First(_), _) => 1,
            Self::Text(..) | Self::OneOf(..) => 2,
            Self::Number(..) | Self::Truth(..) => 3,
            Self::Has(..) | Self::Size(..) => 4,
        }
    }
}

/// The operands of a conjunction.
pub fn conjuncts(part: &IdedExpr) -> Vec<&IdedExpr> {
    match &part.expr {
        Expr::Call(call) if call.func_name == operators::LOGICAL_AND => call.args.iter().flat_map(conjuncts).collect(),
        _ => vec![part],
    }
}

/// A part as a test that needs no CEL.
pub fn test(part: &IdedExpr, names: &Names) -> Option<Test> {
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

pub fn row_type(field: Field) -> Type {
    row(field).map_or(Type::Json, |row| row.holds)
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
