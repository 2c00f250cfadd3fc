//! Tests of rules that set variables and lists for themselves.
//!
//! Conditions are made for the values that the policy declares. So a test that sets others is asked of a policy of its own:
//! the same file, taken once more with these values. That happens where tests are run, never in the sensor.

use super::compile::{Policy, Values};
use super::diagnostic::nearest;
use super::expression::Names;
use super::file::Test;
use serde_json::Value;
use serde_saphyr::Location;
use std::sync::Arc;

/// Something that is wrong with a test: where, what, and how to mend it.
type Wrong = (Location, String, String);

impl Test {
    /// True where it sets something.
    pub fn alters(&self) -> bool {
        !self.variables.is_empty() || !self.lists.is_empty()
    }

    /// What it sets, by the names that conditions use.
    fn values(&self) -> Values {
        let variables = self.variables.iter().map(|(name, value)| (format!("vars.{name}"), value.value.clone()));
        let lists = self.lists.iter().map(|(name, list)| (format!("list.{name}"), list.value.clone().into()));
        variables.chain(lists).collect()
    }

    /// What is wrong with what it sets: only what the policy declares can be set, to a value of the same kind.
    pub fn check(&self, names: &Names) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let known = |kind: &'static str| names.all().filter_map(move |name| name.strip_prefix(kind));
        for (name, value) in &self.variables {
            match names.constant_named(&format!("vars.{name}")) {
                None => wrong.push((
                    value.referenced,
                    format!("test `{}`: the policy has no variable `{name}`", self.name),
                    nearest(name, known("vars.")),
                )),
                Some(declared) if kind(declared) != kind(&value.value) => wrong.push((
                    value.referenced,
                    format!("test `{}`: `{name}` is {} in the policy, and {} here", self.name, kind(declared), kind(&value.value)),
                    String::new(),
                )),
                Some(_) => {}
            }
        }
        for (name, list) in &self.lists {
            if names.constant_named(&format!("list.{name}")).is_none() {
                let message = format!("test `{}`: the policy has no list `{name}`", self.name);
                wrong.push((list.referenced, message, nearest(name, known("list."))));
            }
        }
        wrong
    }
}

/// What kind of value it is, in words.
const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

impl Policy {
    /// The policy that a test is asked of: this one, or the same with the values that the test sets.
    ///
    /// # Errors
    /// What is wrong with it then.
    pub(super) fn for_test(self: &Arc<Self>, test: &Test) -> Result<Arc<Self>, String> {
        if !test.alters() {
            return Ok(Arc::clone(self));
        }
        Self::parse_with(&self.text, &test.values()).map(Arc::new).map_err(|wrong| {
            let first = wrong.first().map(ToString::to_string).unwrap_or_default();
            format!("the policy cannot be used with what the test sets: {first}")
        })
    }
}
