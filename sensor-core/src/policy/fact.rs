//! The value of a field, and how CEL gets to see it.

use super::memory::Previous;
use crate::input::Time;
use crate::json::{Kind, Value};
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString};
use cel::common::value::Val;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

/// Values of a captured JSON text that a condition gets to see. What is beyond them is `null`.
const JSON_NODES: usize = 4096;

/// The value of a field.
#[derive(Clone, Debug)]
pub enum Fact<'a> {
    /// A truth.
    Truth(bool),
    /// A whole number.
    Number(i64),
    /// A number with a fraction.
    Fraction(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Texts.
    Texts(Cow<'a, [String]>),
    /// Short names.
    Names(Vec<&'static str>),
    /// Captured JSON.
    Json(Option<Value<'a>>),
    /// The calls of a session, and the time now.
    Previous(&'a [Previous], Time),
    /// A constant of the policy.
    Constant(&'a serde_json::Value),
}

impl<'a> Fact<'a> {
    /// A text that is there anyway.
    pub const fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A count.
    pub fn count(count: u64) -> Self {
        Self::Number(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// As a number, where it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number as f64),
            Self::Fraction(number) => Some(*number),
            Self::Constant(value) => value.as_f64(),
            _ => None,
        }
    }

    /// How many elements or characters it has.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::Text(text) => Some(text.chars().count()),
            Self::Texts(texts) => Some(texts.len()),
            Self::Names(names) => Some(names.len()),
            Self::Previous(calls, _) => Some(calls.len()),
            Self::Constant(serde_json::Value::Array(values)) => Some(values.len()),
            Self::Constant(serde_json::Value::Object(members)) => Some(members.len()),
            _ => None,
        }
    }

    /// For a condition.
    pub fn into_cel(self) -> Box<dyn Val + 'a> {
        match self {
            Self::Truth(truth) => Box::new(CelBool::from(truth)),
            Self::Number(number) => Box::new(CelInt::from(number)),
            Self::Fraction(number) => Box::new(CelDouble::from(number)),
            Self::Text(text) => Box::new(CelString::from(text)),
            Self::Texts(Cow::Borrowed(texts)) => list(texts.iter().map(|text| Box::new(CelString::from(text.as_str())) as Box<dyn Val>)),
            Self::Texts(Cow::Owned(texts)) => list(texts.into_iter().map(|text| Box::new(CelString::from(text)) as Box<dyn Val>)),
            Self::Names(names) => list(names.into_iter().map(|name| Box::new(CelString::from(name)) as Box<dyn Val>)),
            Self::Json(None) => Box::new(CelNull),
            Self::Json(Some(value)) => json(value, &mut { JSON_NODES }),
            Self::Previous(calls, now) => list(calls.iter().map(|call| previous(call, now))),
            Self::Constant(value) => constant(value),
        }
    }

    /// As text, cut to `limit` bytes, for people. Captured JSON as it is: redact it.
    pub fn show(&self, limit: usize) -> String {
        let mut text = match self {
            Self::Truth(truth) => truth.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Fraction(number) => number.to_string(),
            Self::Text(text) => text.to_string(),
            Self::Texts(texts) => texts.join(", "),
            Self::Names(names) => names.join(", "),
            Self::Json(None) => "null".to_owned(),
            Self::Json(Some(value)) => {
                let raw = value.raw();
                String::from_utf8_lossy(raw.get(..limit).unwrap_or(raw)).into_owned()
            }
            Self::Previous(calls, _) => calls.iter().map(|call| call.tool.as_str()).collect::<Vec<_>>().join(", "),
            Self::Constant(value) => value.to_string(),
        };
        if text.len() > limit {
            let left_out = text.len() - text.floor_char_boundary(limit);
            text.truncate(text.floor_char_boundary(limit));
            let _ = write!(text, "[cut:{left_out}]");
        }
        text
    }
}

fn list<'a>(values: impl Iterator<Item = Box<dyn Val + 'a>>) -> Box<dyn Val + 'a> {
    Box::new(CelList::from(values.collect::<Vec<_>>()))
}

fn previous<'a>(call: &'a Previous, now: Time) -> Box<dyn Val + 'a> {
    let age = i64::try_from(now.saturating_sub(call.time) / 1_000_000_000).unwrap_or(i64::MAX);
    let members: [(&str, Box<dyn Val + 'a>); 4] = [
        ("tool", Box::new(CelString::from(call.tool.as_str()))),
        ("argumentsHash", Box::new(CelString::from(format!("{:016x}", call.arguments)))),
        ("failed", Box::new(CelBool::from(call.failed == Some(true)))),
        ("age", Box::new(CelInt::from(age))),
    ];
    let members: HashMap<CelMapKey<'a>, Box<dyn Val + 'a>> =
        members.into_iter().map(|(name, value)| (CelMapKey::from(name), value)).collect();
    Box::new(CelMap::from(members))
}

fn json<'a>(value: Value<'a>, left: &mut usize) -> Box<dyn Val + 'a> {
    if *left == 0 {
        return Box::new(CelNull);
    }
    *left -= 1;
    match value.kind() {
        Kind::Null => Box::new(CelNull),
        Kind::True => Box::new(CelBool::from(true)),
        Kind::False => Box::new(CelBool::from(false)),
        Kind::Number => match value.as_i64() {
            Some(number) => Box::new(CelInt::from(number)),
            None => Box::new(CelDouble::from(std::str::from_utf8(value.raw()).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN))),
        },
        Kind::String => Box::new(CelString::from(value.as_str().unwrap_or_default())),
        Kind::Array => {
            let mut elements = Vec::new();
            for element in value.elements() {
                if *left == 0 {
                    break;
                }
                elements.push(json(element, left));
            }
            list(elements.into_iter())
        }
        Kind::Object => {
            let mut members: HashMap<CelMapKey<'a>, Box<dyn Val + 'a>> = HashMap::new();
            for (name, member) in value.entries() {
                if *left == 0 {
                    break;
                }
                let name = name.as_str().unwrap_or_default().into_owned();
                members.insert(CelMapKey::String(CelString::from(name)), json(member, left));
            }
            Box::new(CelMap::from(members))
        }
    }
}

fn constant<'a>(value: &'a serde_json::Value) -> Box<dyn Val + 'a> {
    match value {
        serde_json::Value::Null => Box::new(CelNull),
        serde_json::Value::Bool(truth) => Box::new(CelBool::from(*truth)),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Box::new(CelInt::from(number)),
            None => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        serde_json::Value::String(text) => Box::new(CelString::from(text.as_str())),
        serde_json::Value::Array(values) => list(values.iter().map(constant)),
        serde_json::Value::Object(members) => {
            let members: HashMap<CelMapKey<'a>, Box<dyn Val + 'a>> =
                members.iter().map(|(name, value)| (CelMapKey::from(name.as_str()), constant(value))).collect();
            Box::new(CelMap::from(members))
        }
    }
}
