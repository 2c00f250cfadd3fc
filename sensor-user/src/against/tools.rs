//! The tools that a server lists, over all pages: then and now.

use super::{
    diff::Compare,
    report::{Difference, Report},
    screen::Screen,
    tolerance::Tolerance,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Bytes of memory that the listings of one side may take, about.
const WEIGHT: usize = 256 << 20;

/// One listing of the tools: what came page by page.
#[derive(Debug, Default)]
pub struct Listing {
    /// Then.
    pub then: Pages,
    /// Now.
    pub now: Pages,
    /// The parameters of its first request.
    pub parameters: Value,
    /// A page was cut in the recording.
    pub cut: bool,
}

/// One side of it.
#[derive(Debug, Default)]
pub struct Pages {
    tools: Vec<Value>,
    weight: usize,
    /// There is more of it than is kept.
    pub too_many: bool,
    /// The last page has come.
    pub whole: bool,
    /// The next page, as the last one names it.
    pub next: Option<String>,
}

impl Pages {
    /// Takes an answer to `tools/list` that takes so many bytes of memory, and leaves what else is in it.
    pub fn take(&mut self, answer: &mut Value, weight: usize) {
        let Some(result) = answer.get_mut("result").and_then(Value::as_object_mut) else { return };
        let Some(Value::Array(tools)) = result.remove("tools") else { return };
        self.weight = self.weight.saturating_add(weight);
        if self.weight > WEIGHT {
            (self.whole, self.next, self.too_many) = (false, None, true);
            return;
        }
        self.tools.extend(tools);
        self.next = result.remove("nextCursor").and_then(|next| next.as_str().map(str::to_owned));
        self.whole = self.next.is_none();
    }

    /// The tools by name; a name that comes again is another tool.
    fn by_name(&self) -> BTreeMap<(&str, usize), &Value> {
        let mut counts = BTreeMap::<&str, usize>::new();
        let mut tools = BTreeMap::new();
        for tool in &self.tools {
            let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
            let count = counts.entry(name).or_default();
            *count += 1;
            tools.insert((name, *count), tool);
        }
        tools
    }
}

impl Listing {
    /// Tells what changed. Nothing of it is tolerated but what the operator names: this is what a model is told to trust.
    pub fn compare(&self, tolerance: &Tolerance, redacted: bool, screen: &mut Screen, report: &mut Report) {
        let (then, now) = (self.then.by_name(), self.now.by_name());
        let how = Compare { tolerance, exact: true, redacted, cut: self.cut };
        let label = |(name, count): (&str, usize)| if count > 1 { format!("{name} ({count})") } else { name.to_owned() };
        for (key, was) in &then {
            let Some(is) = now.get(key) else {
                if self.now.whole {
                    tell(report, Difference::ToolRemoved { tool: label(*key) });
                }
                continue;
            };
            let root = ["tools", key.0];
            let found = how.documents(&root, was, is);
            report.tools_compared += 1;
            report.hidden += found.hidden;
            report.tolerated += found.tolerated;
            if !found.is_same() {
                let changes = screen.changes(&found, &root, was, is);
                tell(report, Difference::ToolChanged { tool: label(*key), changes });
            }
        }
        if self.then.whole && !self.cut {
            for (key, is) in now.iter().filter(|(key, _)| !then.contains_key(*key)) {
                tell(report, Difference::ToolAdded { tool: label(*key), now: screen.json(is) });
            }
        }
    }
}

/// Tells a difference once: a session may list the tools again and again.
fn tell(report: &mut Report, difference: Difference) {
    if report.is_full() || !report.differences.contains(&difference) {
        report.differs(difference);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sensor_core::redact::Level;
    use serde_json::json;

    fn differences(then: &[Value], now: &[Value]) -> Vec<Difference> {
        let mut listing = Listing::default();
        for page in then {
            listing.then.take(&mut page.clone(), 1);
        }
        for page in now {
            listing.now.take(&mut page.clone(), 1);
        }
        let mut report = Report::default();
        listing.compare(&Tolerance::default(), false, &mut Screen::new(Level::Full), &mut report);
        report.differences
    }

    fn page(names: &[&str], next: Option<&str>) -> Value {
        json!({"result": {"tools": names.iter().map(|name| json!({"name": name, "description": "2026-01-31T12:00:00Z"})).collect::<Vec<_>>(), "nextCursor": next}})
    }

    #[test]
    fn tools_are_compared_over_all_pages_whatever_their_order() {
        assert_eq!(differences(&[page(&["a", "b"], Some("x")), page(&["c"], None)], &[page(&["c", "b", "a"], None)]), []);
        let removed = |tool: &str| Difference::ToolRemoved { tool: tool.to_owned() };
        assert_eq!(differences(&[page(&["a", "b"], None)], &[page(&["a"], None)]), [removed("b")]);
        assert_eq!(differences(&[page(&["a", "b"], None)], &[page(&["a"], Some("x"))]), [], "the rest has not come");
        assert_eq!(differences(&[page(&["a"], Some("x"))], &[page(&["a", "b"], None)]), [], "the client did not ask for the rest");
    }

    #[test]
    fn a_second_tool_of_a_name_is_one_more() {
        let found = differences(&[page(&["a"], None)], &[page(&["a", "a"], None)]);
        assert!(matches!(found.as_slice(), [Difference::ToolAdded { tool, .. }] if tool == "a (2)"), "{found:?}");
    }

    #[test]
    fn of_a_description_no_clock_is_tolerated() {
        let mut changed = page(&["a"], None);
        changed["result"]["tools"][0]["description"] = json!("2026-01-31T12:00:01Z");
        let found = differences(&[page(&["a"], None)], &[changed]);
        assert!(
            matches!(found.as_slice(), [Difference::ToolChanged { changes, .. }] if changes.changes[0].pointer == "/tools/a/description")
        );
    }
}
