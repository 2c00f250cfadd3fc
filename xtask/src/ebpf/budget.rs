//! What each program may cost: the number of instructions the verifier walks, which grows before loading fails.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A program may exceed its budget by this many percent: kernels and compilers differ a little.
const TOLERANCE_PERCENT: u64 = 20;

/// Verified instructions of each program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget(BTreeMap<String, u64>);

/// The result of a comparison.
#[derive(Debug)]
pub struct Comparison {
    /// Every program, for people.
    pub table: String,
    /// What is wrong; empty when nothing is.
    pub complaints: Vec<String>,
}

/// What `mcp-sensor check --json --programs` prints, as far as it matters here.
#[derive(Deserialize)]
struct Check {
    programs: Vec<Program>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Program {
    name: String,
    /// Absent where the kernel does not tell (before 5.16) or did not load the program.
    verified_instructions: Option<u64>,
}

impl Budget {
    /// The committed budget's file name.
    pub const FILE_NAME: &'static str = "budget.json";

    /// Reads what the agent measured.
    ///
    /// # Errors
    /// When the text is not what `mcp-sensor check --json --programs` prints, names no program, or a program without a count.
    pub fn from_check(json: &str) -> Result<Self> {
        let check: Check = serde_json::from_str(json)
            .with_context(|| format!("understanding what `mcp-sensor check --json --programs` printed: {json}"))?;
        if check.programs.is_empty() {
            bail!("`mcp-sensor check --json --programs` named no program: {json}");
        }
        let mut programs = BTreeMap::new();
        for Program { name, verified_instructions } in check.programs {
            let count = verified_instructions.with_context(|| {
                format!("{name}: this kernel does not tell how many instructions it verified (Linux 5.16 and later do)")
            })?;
            programs.insert(name, count);
        }
        Ok(Self(programs))
    }

    /// Reads the committed budget.
    ///
    /// # Errors
    /// When it is missing or is no JSON object of numbers.
    pub fn read(path: &Path) -> Result<Self> {
        const MEND: &str = "run `cargo xtask ebpf check --update-budget`";
        let text = fs::read_to_string(path).with_context(|| format!("reading {}: {MEND}", path.display()))?;
        let programs = serde_json::from_str(&text).with_context(|| format!("understanding {}: {MEND}", path.display()))?;
        Ok(Self(programs))
    }

    /// Writes the budget, sorted by name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(&self.0).context("writing the budget as JSON")?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// How many programs there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Compares what was measured with this budget.
    pub fn compare(&self, measured: &Self) -> Comparison {
        let mut table = format!("    {:<32} {:>10} {:>10} {:>8}\n", "program", "verified", "budget", "");
        let mut complaints = Vec::new();
        for (name, &instructions) in &measured.0 {
            let (budget, change) = match self.0.get(name) {
                Some(&budget) => {
                    if instructions * 100 > budget * (100 + TOLERANCE_PERCENT) {
                        complaints.push(format!(
                            "{name}: {instructions} verified instructions, more than {TOLERANCE_PERCENT} % above its budget of {budget}"
                        ));
                    }
                    (budget.to_string(), percent(instructions, budget))
                }
                None => {
                    complaints.push(format!("{name}: has no budget yet"));
                    ("none".to_owned(), String::new())
                }
            };
            // Writing to a String cannot fail.
            let _ = writeln!(table, "    {name:<32} {instructions:>10} {budget:>10} {change:>8}");
        }
        for name in self.0.keys().filter(|name| !measured.0.contains_key(*name)) {
            complaints.push(format!("{name}: has a budget but was not loaded"));
        }
        Comparison { table, complaints }
    }
}

fn percent(instructions: u64, budget: u64) -> String {
    if budget == 0 {
        return String::new();
    }
    // For display alone; the counts are far below 2^52.
    let change = (instructions as f64 / budget as f64 - 1.0) * 100.0;
    format!("{change:+.1} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(programs: &[(&str, u64)]) -> Budget {
        Budget(programs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
    }

    #[test]
    fn up_to_a_fifth_more_is_accepted() {
        let committed = budget(&[("on_exit", 100)]);
        assert!(committed.compare(&budget(&[("on_exit", 120)])).complaints.is_empty());
        assert_eq!(committed.compare(&budget(&[("on_exit", 121)])).complaints.len(), 1);
        assert!(committed.compare(&budget(&[("on_exit", 1)])).complaints.is_empty());
    }

    #[test]
    fn a_program_on_one_side_only_is_a_complaint() {
        let committed = budget(&[("on_exit", 100), ("on_fork", 10)]);
        let complaints = committed.compare(&budget(&[("on_exit", 100), ("on_exec", 5)])).complaints;
        assert_eq!(complaints, ["on_exec: has no budget yet", "on_fork: has a budget but was not loaded"]);
    }

    #[test]
    fn the_agents_report_is_read_and_fields_of_no_interest_ignored() -> Result<()> {
        let json = r#"{"kernel":"6.18","programs":[{"name":"on_exit","type":"tp_btf","verifiedInstructions":812}]}"#;
        assert_eq!(Budget::from_check(json)?, budget(&[("on_exit", 812)]));
        assert!(Budget::from_check(r#"{"programs":[]}"#).is_err());
        let unknown = r#"{"programs":[{"name":"on_exit","verifiedInstructions":null}]}"#;
        assert!(Budget::from_check(unknown).is_err());
        Ok(())
    }
}
