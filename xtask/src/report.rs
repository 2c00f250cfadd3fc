//! The parts of a long command: what ran, for how long, with what result.

use anyhow::Result;
use std::time::{Duration, Instant};

use crate::process::say;

/// How many tests passed and failed, as the test harness counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
}

impl Counts {
    /// Adds what a line of test output says, if it is a result line:
    /// `test result: ok. 12 passed; 0 failed; 1 ignored; ...`.
    pub fn read_line(&mut self, line: &str) {
        let Some(result) = line.trim_start().strip_prefix("test result: ") else {
            return;
        };
        let words = result.split([' ', ';', '.']).filter(|word| !word.is_empty());
        let mut last = "";
        for word in words {
            match word {
                "passed" => self.passed += last.parse().unwrap_or(0),
                "failed" => self.failed += last.parse().unwrap_or(0),
                _ => {}
            }
            last = word;
        }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

#[derive(Debug)]
enum Outcome {
    Passed(Counts),
    Failed(Counts, String),
}

#[derive(Debug)]
struct Part {
    name: String,
    seconds: f64,
    outcome: Outcome,
}

/// Collects the parts of one command, going on after a failure, and prints them as a table.
#[derive(Debug)]
pub struct Report {
    parts: Vec<Part>,
    started: Instant,
}

impl Report {
    /// An empty report; the clock for the total starts now.
    pub fn new() -> Self {
        Self { parts: Vec::new(), started: Instant::now() }
    }

    /// Runs one part. Returns whether it succeeded: an error is printed and kept, not passed on.
    pub fn part(&mut self, name: &str, work: impl FnOnce(&mut Counts) -> Result<()>) -> bool {
        say(name);
        let started = Instant::now();
        let mut counts = Counts::default();
        let result = work(&mut counts);
        let success = result.is_ok() && counts.failed == 0;
        let outcome = match result {
            Ok(()) if counts.failed == 0 => Outcome::Passed(counts),
            Ok(()) => Outcome::Failed(counts, format!("{} tests failed", counts.failed)),
            Err(error) => Outcome::Failed(counts, format!("{error:#}")),
        };
        if let Outcome::Failed(_, reason) = &outcome {
            eprintln!("xtask: {name}: {reason}");
        }
        let seconds = started.elapsed();
        println!("    {name}: {}", describe(seconds));
        self.parts.push(Part { name: name.to_owned(), seconds: seconds.as_secs_f64(), outcome });
        success
    }

    /// Whether no part failed.
    pub fn success(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part.outcome, Outcome::Failed(..)))
    }

    /// Every test that was seen. A part that failed without a failed test (a lint, a build that broke) counts as one failure, so
    /// that "0 failed" is never printed for a failed run.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for part in &self.parts {
            match &part.outcome {
                Outcome::Passed(counts) => sum.add(*counts),
                Outcome::Failed(counts, _) => {
                    sum.add(*counts);
                    if counts.failed == 0 {
                        sum.failed += 1;
                    }
                }
            }
        }
        sum
    }

    /// Prints the table of parts, and as the last line the sum of tests.
    pub fn print(&self) {
        let width = self.parts.iter().map(|part| part.name.chars().count()).max().unwrap_or(0).max("total".len());
        println!();
        println!("{:<width$}  {:>8}  result", "part", "seconds");
        for part in &self.parts {
            let result = match &part.outcome {
                Outcome::Passed(counts) if *counts == Counts::default() => "ok".to_owned(),
                Outcome::Passed(counts) => format!("ok, {} passed", counts.passed),
                Outcome::Failed(_, reason) => {
                    format!("FAILED: {}", reason.lines().next().unwrap_or(""))
                }
            };
            println!("{:<width$}  {:>8.1}  {result}", part.name, part.seconds);
        }
        println!("{:<width$}  {:>8.1}", "total", self.started.elapsed().as_secs_f64());
        let sum = self.counts();
        println!("{} passed, {} failed", sum.passed, sum.failed);
    }
}

/// Runs one step of a command and says how long it took.
///
/// # Errors
/// What `work` returns.
pub fn timed<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    say(name);
    let started = Instant::now();
    let result = work();
    println!("    {name}: {}", describe(started.elapsed()));
    result
}

fn describe(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_summed_and_others_ignored() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 5 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s",
            "he said: 7 passed; 7 failed",
        ] {
            counts.read_line(line);
        }
        assert_eq!(counts, Counts { passed: 7, failed: 3 });
    }

    #[test]
    fn a_part_that_breaks_without_a_failed_test_counts_as_one_failure() {
        let mut report = Report::new();
        report.part("tests", |counts| {
            counts.read_line("test result: ok. 4 passed; 0 failed;");
            Ok(())
        });
        report.part("lint", |_| anyhow::bail!("too long"));
        assert!(!report.success());
        assert_eq!(report.counts(), Counts { passed: 4, failed: 1 });
    }
}
