//! Two JSON documents, then and now: which places differ.
//!
//! Members go by name, elements by position; what was put in or taken out in the middle of an array is found by what is equal
//! before and behind it.

use super::Tolerance;
use sensor_core::redact::is_redacted;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Differences of two documents that are kept; more are counted.
const CHANGES: usize = 200;

/// How two documents are compared.
#[derive(Clone, Copy, Debug)]
pub struct Compare<'t> {
    /// What may differ.
    pub tolerance: &'t Tolerance,
    /// Clocks and ids are compared, whatever the tolerance says of them.
    pub exact: bool,
    /// Secrets have been taken out of the document of then: what stands in their place is not compared.
    pub redacted: bool,
    /// The document of then was cut for its size: what is in the other one alone may have been in it, too.
    pub cut: bool,
}

/// A place that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<'v> {
    /// Where: a JSON pointer.
    pub pointer: String,
    /// What was there.
    pub then: Option<&'v Value>,
    /// What is there.
    pub now: Option<&'v Value>,
}

/// What the comparison of two documents found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found<'v> {
    /// What differs.
    pub changes: Vec<Change<'v>>,
    /// How much more.
    pub more: u64,
    /// Places that could not be compared.
    pub hidden: u64,
    /// Places that count as equal by the tolerance.
    pub tolerated: u64,
}

impl Found<'_> {
    /// True where nothing differs.
    #[must_use]
    pub const fn is_same(&self) -> bool {
        self.changes.is_empty()
    }
}

impl Compare<'_> {
    /// Compares two documents that stand at `root`.
    #[must_use]
    pub fn documents<'v>(&self, root: &[&'v str], then: &'v Value, now: &'v Value) -> Found<'v> {
        let path = root.iter().map(|step| Cow::Borrowed(*step)).collect();
        let mut walk = Walk { how: *self, path, found: Some(Found::default()), differs: false };
        walk.values(then, now);
        walk.found.unwrap_or_default()
    }
}

struct Walk<'t, 'v> {
    how: Compare<'t>,
    path: Vec<Cow<'v, str>>,
    /// `None` where only whether something differs is asked.
    found: Option<Found<'v>>,
    differs: bool,
}

impl<'v> Walk<'_, 'v> {
    fn values(&mut self, then: &'v Value, now: &'v Value) {
        if self.is_known() {
            return;
        }
        match (then, now) {
            (Value::Object(then), Value::Object(now)) => self.objects(then, now),
            (Value::Array(then), Value::Array(now)) => self.arrays(then, now),
            _ if same(then, now) => {}
            _ => self.scalars(then, now),
        }
    }

    /// True where the answer is known already.
    const fn is_known(&self) -> bool {
        self.found.is_none() && self.differs
    }

    fn scalars(&mut self, then: &'v Value, now: &'v Value) {
        if self.is_hidden(then) {
            self.count(|found| found.hidden += 1);
        } else if !self.how.exact && self.how.tolerance.alike(self.path.last().map_or("", |name| name), then, now) {
            self.count(|found| found.tolerated += 1);
        } else {
            self.changed(Some(then), Some(now));
        }
    }

    fn is_hidden(&self, then: &Value) -> bool {
        let Value::String(text) = then else { return false };
        (self.how.redacted && is_redacted(text)) || (self.how.cut && text.contains("[cut:"))
    }

    fn count(&mut self, with: impl FnOnce(&mut Found<'v>)) {
        if let Some(found) = &mut self.found {
            with(found);
        }
    }

    fn changed(&mut self, then: Option<&'v Value>, now: Option<&'v Value>) {
        if self.how.tolerance.ignores(&self.path) {
            self.count(|found| found.tolerated += 1);
            return;
        }
        self.differs = true;
        let Some(found) = &mut self.found else { return };
        if found.changes.len() < CHANGES {
            found.changes.push(Change { pointer: pointer(&self.path), then, now });
        } else {
            found.more += 1;
        }
    }

    fn at(&mut self, step: Cow<'v, str>, visit: impl FnOnce(&mut Self)) {
        self.path.push(step);
        visit(self);
        self.path.pop();
    }

    fn objects(&mut self, then: &'v Map<String, Value>, now: &'v Map<String, Value>) {
        let hidden = self.how.redacted && then.keys().any(|name| is_redacted(name));
        for (name, value) in then {
            if self.is_of_one_run(name) {
                self.tolerate_unless(now.get(name) == Some(value));
            } else if let Some(now) = now.get(name) {
                self.at(Cow::Borrowed(name), |this| this.values(value, now));
            } else if self.how.redacted && is_redacted(name) {
                self.count(|found| found.hidden += 1);
            } else {
                self.at(Cow::Borrowed(name), |this| this.changed(Some(value), None));
            }
        }
        for (name, value) in now.iter().filter(|(name, _)| !then.contains_key(*name)) {
            if self.is_of_one_run(name) {
                self.tolerate_unless(false);
            } else if hidden || self.how.cut {
                self.count(|found| found.hidden += 1);
            } else {
                self.at(Cow::Borrowed(name), |this| this.changed(None, Some(value)));
            }
        }
    }

    fn is_of_one_run(&self, name: &str) -> bool {
        !self.how.exact && self.how.tolerance.is_of_one_run(name)
    }

    fn tolerate_unless(&mut self, equal: bool) {
        self.count(|found| found.tolerated += u64::from(!equal));
    }

    fn arrays(&mut self, then: &'v [Value], now: &'v [Value]) {
        let shorter = then.len().min(now.len());
        // Of the same length, position by position says the same with less work.
        let (mut before, mut behind) = (0, 0);
        if then.len() != now.len() {
            before = then.iter().zip(now).enumerate().take_while(|(at, (then, now))| self.equal(*at, then, now)).count();
            let tails = then.iter().rev().zip(now.iter().rev()).take(shorter - before);
            let longer = then.len().max(now.len());
            behind = tails.enumerate().take_while(|(at, (then, now))| self.equal(longer - 1 - at, then, now)).count();
        }
        let then = then.get(before..then.len() - behind).unwrap_or_default();
        let now = now.get(before..now.len() - behind).unwrap_or_default();
        for at in 0..then.len().max(now.len()) {
            self.at(Cow::Owned((before + at).to_string()), |this| match (then.get(at), now.get(at)) {
                (Some(then), Some(now)) => this.values(then, now),
                (None, Some(_)) if this.how.cut => this.count(|found| found.hidden += 1),
                (then, now) => this.changed(then, now),
            });
        }
    }

    fn equal(&mut self, at: usize, then: &'v Value, now: &'v Value) -> bool {
        let outer = (self.found.take(), self.differs);
        self.differs = false;
        self.at(Cow::Owned(at.to_string()), |this| this.values(then, now));
        let equal = !self.differs;
        (self.found, self.differs) = outer;
        equal
    }
}

/// Equal as JSON: `1` and `1.0` are one number.
fn same(then: &Value, now: &Value) -> bool {
    match (then, now) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || ((left.is_f64() || right.is_f64()) && left.as_f64() == right.as_f64())
        }
        _ => then == now,
    }
}

/// A path as a JSON pointer.
#[must_use]
pub fn pointer(path: &[impl AsRef<str>]) -> String {
    path.iter().fold(String::new(), |pointer, step| pointer + "/" + &step.as_ref().replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn compare<'v>(tolerance: &Tolerance, then: &'v Value, now: &'v Value) -> Found<'v> {
        Compare { tolerance, exact: false, redacted: false, cut: false }.documents(&[], then, now)
    }

    fn pointers(then: &Value, now: &Value) -> Vec<(String, bool, bool)> {
        let found = compare(&Tolerance::default(), then, now);
        found.changes.iter().map(|change| (change.pointer.clone(), change.then.is_some(), change.now.is_some())).collect()
    }

    #[test]
    fn differences_are_told_by_place() {
        assert_eq!(
            pointers(&json!({"a": 1, "b/c": {"d": [1, 2]}}), &json!({"a": 1, "b/c": {"d": [1, 3]}, "e": 0})),
            [("/b~1c/d/1".to_owned(), true, true), ("/e".to_owned(), false, true)]
        );
        assert_eq!(pointers(&json!([1, 2, 3]), &json!([1, 9, 2, 3])), [("/1".to_owned(), false, true)]);
        assert_eq!(pointers(&json!(["a", "b"]), &json!([])), [("/0".to_owned(), true, false), ("/1".to_owned(), true, false)]);
        assert_eq!(pointers(&json!([{"a": 1}, 2]), &json!([{"a": 2}])), [("/0/a".to_owned(), true, true), ("/1".to_owned(), true, false)]);
        assert_eq!(pointers(&json!(1), &json!(1.0)), []);
        assert_eq!(pointers(&json!({"_meta": {"x": 1}}), &json!({})), []);
    }

    #[test]
    fn what_is_hidden_is_not_compared() {
        let how = Compare { tolerance: &Tolerance::default(), exact: false, redacted: true, cut: false };
        let then = json!({"token": "[redacted:token:8]", "x": "a [redacted:github-token:40] b", "y": 1});
        let now = json!({"token": "hunter22", "x": "c", "y": 2});
        let found = how.documents(&[], &then, &now);
        assert_eq!((found.changes.len(), found.hidden), (1, 2));
        let found = Compare { redacted: false, ..how }.documents(&[], &then, &now);
        assert_eq!((found.changes.len(), found.hidden), (3, 0));
    }

    #[test]
    fn what_was_cut_is_compared_as_far_as_it_is_there() {
        let how = Compare { tolerance: &Tolerance::default(), exact: false, redacted: false, cut: true };
        let (then, now) = (json!({"a": "xxx[cut:9]", "b": [1]}), json!({"a": "xxxyyyyyyyyy", "b": [1, 2], "c": 3}));
        let found = how.documents(&[], &then, &now);
        assert_eq!((found.is_same(), found.hidden), (true, 3));
    }

    #[test]
    fn ignored_places_do_not_shift_an_array() {
        let tolerance = Tolerance { ignore: vec!["**/n".parse().unwrap()], exact: false };
        let (then, now) = (json!([{"n": 1, "k": "a"}, {"n": 2, "k": "b"}]), json!([{"n": 3, "k": "a"}, {"k": "new"}, {"n": 4, "k": "b"}]));
        let found = compare(&tolerance, &then, &now);
        assert_eq!(found.changes.iter().map(|change| change.pointer.as_str()).collect::<Vec<_>>(), ["/1"]);
    }

    pub fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..4_i64).prop_map(Value::from),
            (1_700_000_000..1_700_000_003_i64).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
            Just(Value::from("2026-01-31T12:00:00Z")),
            Just(Value::from("[redacted:token:8]")),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[ab/~]{0,2}|_meta|cursor", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn equal_documents_do_not_differ(document in documents(), exact: bool, redacted: bool, cut: bool) {
            let found = Compare { tolerance: &Tolerance::default(), exact, redacted, cut }.documents(&["x"], &document, &document);
            prop_assert!(found.is_same() && found.tolerated == 0);
        }

        #[test]
        fn differences_are_the_same_from_both_sides(then in documents(), now in documents(), exact: bool) {
            let tolerance = Tolerance { exact, ..Tolerance::default() };
            let (there, back) = (compare(&tolerance, &then, &now), compare(&tolerance, &now, &then));
            let swapped = |found: &Found<'_>| {
                let mut all: Vec<_> = found.changes.iter().map(|change| (change.pointer.clone(), change.now.cloned(), change.then.cloned())).collect();
                all.sort_by(|left, right| left.0.cmp(&right.0));
                all
            };
            let mut straight: Vec<_> =
                there.changes.iter().map(|change| (change.pointer.clone(), change.then.cloned(), change.now.cloned())).collect();
            straight.sort_by(|left, right| left.0.cmp(&right.0));
            prop_assert_eq!(straight, swapped(&back));
            prop_assert_eq!(there.tolerated, back.tolerated);
            // Each difference is at the place that it names, where positions did not shift.
            for change in &there.changes {
                if let Some(value) = change.then.filter(|_| change.now.is_none()) {
                    prop_assert_eq!(then.pointer(&change.pointer), Some(value));
                }
            }
        }

        #[test]
        fn documents_without_differences_are_equal(then in documents(), now in documents()) {
            let tolerance = Tolerance { exact: true, ..Tolerance::default() };
            let found = compare(&tolerance, &then, &now);
            prop_assert_eq!(found.is_same(), equal(&then, &now));
        }
    }

    /// Equality in other words.
    fn equal(then: &Value, now: &Value) -> bool {
        match (then, now) {
            (Value::Object(then), Value::Object(now)) => {
                then.len() == now.len() && then.iter().all(|(name, value)| now.get(name).is_some_and(|now| equal(value, now)))
            }
            (Value::Array(then), Value::Array(now)) => then.len() == now.len() && then.iter().zip(now).all(|(then, now)| equal(then, now)),
            _ => same(then, now),
        }
    }
}
