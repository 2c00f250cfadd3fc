//! What may differ: places that the operator names, and values that are clocks and ids by their shape.
//!
//! Of two texts, those parts count as equal that are, in both of them and in the same place, a time, an epoch, a UUID, a long
//! hexadecimal id of the same length, or a duration in seconds or less. What is around them is compared.

use present::find::Glob;
use regex::Regex;
use serde_json::{Number, Value};
use std::{borrow::Cow, str::FromStr, sync::LazyLock};

/// Members whose values belong to one run: what a server hands out to be given back, and what is about the message itself.
const HANDLES: &[&str] = &["progressToken", "cursor", "nextCursor", "requestState", "taskId"];

/// Shapes of parts of a text, each a group with a name.
static SHAPES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?-u)(?P<time>\b[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?(?: ?(?:[Zz]\b|[+-][0-9]{2}:?[0-9]{2}\b))?)",
        r"|(?P<uuid>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b)",
        r"|(?P<epoch>\b[12][0-9]{9}(?:[0-9]{3}){0,3}(?:\.[0-9]+)?\b)",
        r"|(?P<hex>\b[0-9a-fA-F]{16,}\b)",
        r"|(?P<duration>\b(?:[0-9]+(?:\.[0-9]+)? ?(?:ns|us|ms|s|secs?|seconds?)|PT[0-9.HMS]+)\b)",
    ))
    .ok()
});

/// What may differ.
#[derive(Clone, Debug, Default)]
pub struct Tolerance {
    /// Places that are not compared.
    pub ignore: Vec<Pattern>,
    /// Clocks and ids are compared, too.
    pub exact: bool,
}

impl Tolerance {
    /// True where nobody wants to know of a difference at this place.
    #[must_use]
    pub fn ignores(&self, path: &[Cow<'_, str>]) -> bool {
        self.ignore.iter().any(|pattern| pattern.matches(path))
    }

    /// True where a member is of one run by its name, whatever its value.
    #[must_use]
    pub fn is_of_one_run(&self, member: &str) -> bool {
        !self.exact && member == "_meta"
    }

    /// True where two values that are not equal are clocks or ids of the same shape. `member` is the name that they stand under.
    #[must_use]
    pub fn alike(&self, member: &str, then: &Value, now: &Value) -> bool {
        if self.exact {
            return false;
        }
        match (then, now) {
            (Value::String(_) | Value::Number(_), Value::String(_) | Value::Number(_)) if HANDLES.contains(&member) => true,
            (Value::String(then), Value::String(now)) => alike_texts(then, now),
            (Value::Number(then), Value::Number(now)) => {
                is_duration(member) || matches!((epoch(then), epoch(now)), (Some(then), Some(now)) if then == now)
            }
            _ => false,
        }
    }
}

/// Whether two texts are the same but for clocks and ids of the same shape, of which there is one at least.
fn alike_texts(then: &str, now: &str) -> bool {
    let Some(shapes) = &*SHAPES else { return false };
    let (mut of_then, mut of_now) = (shapes.captures_iter(then), shapes.captures_iter(now));
    let (mut then_at, mut now_at, mut any) = (0, 0, false);
    loop {
        match (of_then.next(), of_now.next()) {
            (None, None) => return any && then.get(then_at..) == now.get(now_at..),
            (Some(left), Some(right)) => {
                let (Some((left_shape, left)), Some((right_shape, right))) = (shape(&left), shape(&right)) else { return false };
                if left_shape != right_shape || then.get(then_at..left.start()) != now.get(now_at..right.start()) {
                    return false;
                }
                (then_at, now_at, any) = (left.end(), right.end(), true);
            }
            _ => return false,
        }
    }
}

/// The shape that was found: its name, and of ids their length.
fn shape<'t>(found: &regex::Captures<'t>) -> Option<((&'static str, usize), regex::Match<'t>)> {
    ["time", "uuid", "epoch", "hex", "duration"].into_iter().find_map(|name| {
        let part = found.name(name)?;
        let whole = part.as_str().split('.').next().map_or(0, str::len);
        Some(((name, if matches!(name, "epoch" | "hex") { whole } else { 0 }), part))
    })
}

/// Which unit of time since 1970 a number is in, where it is one of the years 2001 to 2065.
fn epoch(number: &Number) -> Option<u32> {
    let number = number.as_f64()?;
    (0..4).find(|unit| {
        let second = 1000_f64.powi(i32::try_from(*unit).unwrap_or(0));
        (1e9 * second..3e9 * second).contains(&number)
    })
}

/// Whether a number under this name says how long something took.
fn is_duration(member: &str) -> bool {
    let lower = member.to_ascii_lowercase();
    ["duration", "elapsed", "latency", "uptime"].iter().any(|word| lower.contains(word)) || lower == "took" || lower.starts_with("took_")
}

/// A JSON pointer in which `*` stands for any characters of one step, `?` for one, and `**` for any steps. What is below it is meant
/// as well.
#[derive(Clone, Debug)]
pub struct Pattern {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Any,
    Like(Glob),
}

impl Pattern {
    /// True where the pattern means this place or one above it.
    fn matches(&self, path: &[Cow<'_, str>]) -> bool {
        // For each beginning of the path: whether the steps so far can have come as far as there.
        let mut reached = vec![false; path.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        for step in &self.steps {
            let mut next = vec![false; path.len() + 1];
            let mut any = false;
            for (at, here) in reached.iter().enumerate() {
                any |= here;
                match step {
                    Step::Any => set(&mut next, at, any),
                    Step::Like(glob) => {
                        if *here && path.get(at).is_some_and(|name| glob.matches(name)) {
                            set(&mut next, at + 1, true);
                        }
                    }
                }
            }
            reached = next;
        }
        reached.contains(&true)
    }
}

fn set(all: &mut [bool], at: usize, value: bool) {
    if let Some(one) = all.get_mut(at) {
        *one = value;
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let steps = text.strip_prefix('/').or_else(|| text.starts_with("**").then_some(text));
        let steps = steps
            .filter(|steps| !steps.is_empty())
            .ok_or("write a JSON pointer, such as /result/structuredContent/time or **/timestamp")?;
        let step = |step: &str| match step {
            "**" => Step::Any,
            name => Step::Like(Glob::new(&name.replace("~1", "/").replace("~0", "~"), false)),
        };
        Ok(Self { steps: steps.split('/').map(step).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ignores(pattern: &str, pointer: &str) -> bool {
        let path: Vec<Cow<'_, str>> = pointer.split('/').skip(1).map(Cow::Borrowed).collect();
        Tolerance { ignore: vec![pattern.parse().unwrap()], exact: false }.ignores(&path)
    }

    #[test]
    fn patterns_mean_a_place_and_what_is_below() {
        assert!(ignores("/result/time", "/result/time") && ignores("/result/time", "/result/time/zone"));
        assert!(!ignores("/result/time", "/result") && !ignores("/result/time", "/result/times"));
        assert!(ignores("**/timestamp", "/timestamp") && ignores("**/timestamp", "/a/b/timestamp/c"));
        assert!(ignores("/result/*/x", "/result/7/x") && !ignores("/result/*/x", "/result/7/8/x"));
        assert!(ignores("/a/**/z", "/a/z") && ignores("/a/**/z", "/a/b/c/z") && !ignores("/a/**/z", "/a/b/c"));
        assert!(["", "/", "result"].iter().all(|text| text.parse::<Pattern>().is_err()));
    }

    #[test]
    fn clocks_and_ids_of_one_shape_are_alike() {
        let tolerance = Tolerance::default();
        let alike = |member: &str, then: Value, now: Value| {
            assert_eq!(tolerance.alike(member, &then, &now), tolerance.alike(member, &now, &then), "{then} {now}");
            assert!(!Tolerance { exact: true, ..Tolerance::default() }.alike(member, &then, &now));
            tolerance.alike(member, &then, &now)
        };
        assert!(alike("at", json!("2026-01-31T12:00:00Z"), json!("2027-02-01T01:02:03.5+01:00")));
        assert!(alike("", json!("It is 2026-01-31 12:00:00, took 12 ms"), json!("It is 2027-02-01 12:00:01, took 7.5 ms")));
        assert!(alike("", json!("3f2b1c00-aaaa-bbbb-cccc-0123456789ab"), json!("00000000-aaaa-bbbb-cccc-0123456789ab")));
        assert!(alike("", json!("run 0123456789abcdef"), json!("run fedcba9876543210")));
        assert!(alike("", json!(1_700_000_000), json!(1_800_000_000)) && alike("", json!(1_700_000_000_000_u64), json!(1.8e12)));
        assert!(alike("durationMs", json!(5), json!(1234.5)) && alike("nextCursor", json!("a"), json!("b")));
        assert!(!alike("", json!(1_700_000_000), json!(1_700_000_000_000_u64)));
        assert!(!alike("", json!(1), json!(2)) && !alike("", json!("a"), json!("b")) && !alike("", json!("1"), json!(1)));
        assert!(!alike("", json!("at 2026-01-31T12:00:00Z"), json!("on 2026-01-31T12:00:01Z")));
        assert!(!alike("", json!("in 3 hours"), json!("in 4 hours")) && !alike("nextCursor", json!("a"), json!(null)));
        assert!(!alike("", json!("0123456789abcdef"), json!("0123456789abcdef01")));
    }
}
