//! `mcp-sensor policy`: what is wrong with a policy, whether its tests hold, what it makes of an event, how good its rules
//! are.

use super::{Exit, Failure, warn};
use crate::export::{
    sanitize,
    style::{ColorChoice, Style, Styles},
};
use crate::judging::{Loaded, SHIPPED};
use clap::Subcommand;
use include_dir::{Dir, include_dir};
use sensor_core::policy::{self, Case, Explained, FIELDS, Policy};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Attacks and what only looks like them, labelled.
static CORPUS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../rules/corpus");

/// Beside `attacks` and `benign`: the same of cases that no rule was made for.
const HELD_OUT: &str = "heldout";

/// Bytes of an event on the command line or standard input at most.
const MAX_EVENT: u64 = 64 << 20;

const EXAMPLES: &str = "\
Examples:
  mcp-sensor policy shipped > policy.yaml              the rules that come along, to begin with
  mcp-sensor policy check policy.yaml                  what is wrong with it, and where
  mcp-sensor policy test policy.yaml                   do the rules' own tests hold?
  mcp-sensor watch --json | grep rm | head -1 | mcp-sensor policy explain policy.yaml --event -
  mcp-sensor replay today.pcapng --policy policy.yaml  what would it have said today?
  mcp-sensor policy score policy.yaml                  precision and recall on labelled attacks

Exit codes:
  0  all is well
  1  a test does not hold
  2  the command line, the policy or the event cannot be understood";

/// `mcp-sensor policy`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct PolicyCommand {
    /// What to do.
    #[command(subcommand)]
    pub what: What,

    /// When to colour the output
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN", global = true)]
    pub color: ColorChoice,
}

/// What to do with a policy.
#[derive(Clone, Debug, Subcommand)]
pub enum What {
    /// Tells what is wrong with a policy file, and where
    Check {
        /// The policy
        file: PathBuf,
        /// Print the result as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Runs the rules' own tests
    Test {
        /// The policy
        file: PathBuf,
        /// Print the result as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Shows which rules match an event, with the value of each part of their conditions
    Explain {
        /// The policy
        file: PathBuf,
        /// The event, as `watch --json` prints it; `-` reads it from standard input, `@FILE` from a file
        #[arg(long, value_name = "JSON")]
        event: String,
        /// Only this rule
        #[arg(long, value_name = "ID")]
        rule: Option<String>,
        /// Print the result as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Prints precision and recall of each rule on attacks and on what only looks like them
    Score {
        /// The policy; the rules that come along where it is not given
        file: Option<PathBuf>,
        /// A folder with `attacks` and `benign`, and both once more in `heldout`; the corpus that comes along where it is not given
        #[arg(long, value_name = "FOLDER")]
        corpus: Option<PathBuf>,
        /// Name the cases that were missed, and those that were taken for attacks
        #[arg(long)]
        cases: bool,
        /// Print the result as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Prints the fields that conditions can ask for
    Fields {
        /// Print them as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Prints the rules that come along
    Shipped,
}

/// Does it.
pub fn run(command: &PolicyCommand) -> Result<Exit, Failure> {
    let styles = Styles::choose(command.color, &io::stdout());
    match &command.what {
        What::Check { file, json } => check(file, *json, styles),
        What::Test { file, json } => test(file, *json, styles),
        What::Explain { file, event, rule, json } => explain(file, event, rule.as_deref(), *json, styles),
        What::Score { file, corpus, cases, json } => score(file.as_deref(), corpus.as_deref(), *cases, *json, styles),
        What::Fields { json } => fields(*json),
        What::Shipped => print(SHIPPED),
    }
}

fn print(text: &str) -> Result<Exit, Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(Failure::of_output)?;
    Ok(Exit::Ok)
}

fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value}\n")).map(drop)
}

/// The policy that a flag names.
pub fn chosen(name: Option<&Path>) -> Result<Option<Loaded>, Failure> {
    match name {
        None => Ok(None),
        Some(name) if name == Path::new("shipped") => {
            let shipped = Loaded::shipped();
            shipped.map(Some).map_err(|why| Failure::new(Exit::Failed, "the rules that come along cannot be used").because(why))
        }
        Some(file) => read(file).map(Some),
    }
}

/// Reads a policy for a command.
pub fn read(file: &Path) -> Result<Loaded, Failure> {
    Loaded::read(file).map_err(|why| {
        let lines = why.lines().count();
        let failure = Failure::new(Exit::Usage, format!("cannot use the policy {}", file.display())).because(why);
        if lines > 1 { failure.mend("`mcp-sensor policy check` shows it line by line") } else { failure }
    })
}

fn source(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::new(Exit::Usage, format!("cannot read the policy {}", file.display())).because(error))
}

fn check(file: &Path, json: bool, styles: Styles) -> Result<Exit, Failure> {
    let text = source(file)?;
    let wrong = match Policy::parse(&text) {
        Ok(policy) => {
            let on = policy.rules.iter().filter(|rule| rule.enabled).count();
            if json {
                print_json(&json!({"ok": true, "rules": policy.rules.len(), "enabled": on, "digest": policy.digest}))?;
            } else {
                print(&format!("{}: {} rules, {on} enabled, policy {}\n", file.display(), policy.rules.len(), policy.digest))?;
            }
            return Ok(Exit::Ok);
        }
        Err(wrong) => wrong,
    };
    if json {
        let all =
            wrong.iter().map(|wrong| json!({"line": wrong.line, "column": wrong.column, "message": wrong.message, "help": wrong.help}));
        print_json(&json!({"ok": false, "errors": all.collect::<Vec<_>>()}))?;
        return Ok(Exit::Usage);
    }
    let mut out = String::new();
    for wrong in &wrong {
        let _ = write!(out, "{}:{}:{}: ", file.display(), wrong.line, wrong.column);
        styles.paint(Style::ERROR, "error: ", &mut out);
        out.push_str(&sanitize::sanitize(&wrong.message));
        out.push('\n');
        if let Some(line) = text.lines().nth((wrong.line.max(1) - 1) as usize).filter(|_| wrong.line > 0) {
            let (line, number) = (sanitize::sanitize(line), wrong.line.to_string());
            let _ = writeln!(out, "  {number} | {line}");
            let _ = writeln!(out, "  {} | {}^", " ".repeat(number.len()), " ".repeat(wrong.column.saturating_sub(1) as usize));
        }
        if !wrong.help.is_empty() {
            let _ = writeln!(out, "  = {}", sanitize::sanitize(&wrong.help));
        }
    }
    print(&out)?;
    Ok(Exit::Usage)
}

fn test(file: &Path, json: bool, styles: Styles) -> Result<Exit, Failure> {
    let loaded = read(file)?;
    let (count, failures) = loaded.policy.test();
    let untested: Vec<&str> = loaded.policy.rules.iter().filter(|rule| !rule.has_tests()).map(|rule| &*rule.id).collect();
    if json {
        let failed = failures.iter().map(|failure| json!({"rule": &*failure.rule, "test": failure.test, "reason": failure.reason}));
        print_json(&json!({"tests": count, "failed": failed.collect::<Vec<_>>(), "rulesWithoutTests": untested}))?;
    } else {
        let mut out = String::new();
        for failure in &failures {
            styles.paint(Style::ERROR, "failed: ", &mut out);
            let said = format!("rule {}, test `{}`: {}", failure.rule, failure.test, failure.reason);
            out.push_str(&sanitize::sanitize(&said));
            out.push('\n');
        }
        let _ = writeln!(out, "{count} tests of {} rules, {} failed", loaded.policy.rules.len(), failures.len());
        print(&out)?;
        if !untested.is_empty() {
            warn(&format!("rules without tests: {}", untested.join(", ")), Styles::choose(ColorChoice::Auto, &io::stderr()));
        }
    }
    Ok(if failures.is_empty() { Exit::Ok } else { Exit::Failed })
}

fn event_text(event: &str) -> Result<String, Failure> {
    let unreadable = |error: io::Error| Failure::new(Exit::Usage, "cannot read the event").because(error);
    let mut text = String::new();
    if event == "-" {
        io::stdin().take(MAX_EVENT).read_to_string(&mut text).map_err(unreadable)?;
    } else if let Some(file) = event.strip_prefix('@') {
        std::fs::File::open(file).and_then(|file| file.take(MAX_EVENT).read_to_string(&mut text)).map_err(unreadable)?;
    } else {
        event.clone_into(&mut text);
    }
    Ok(text)
}

fn explain(file: &Path, event: &str, only: Option<&str>, json: bool, styles: Styles) -> Result<Exit, Failure> {
    let loaded = read(file)?;
    if let Some(only) = only.filter(|only| !loaded.policy.rules.iter().any(|rule| *rule.id == **only)) {
        return Err(Failure::new(Exit::Usage, format!("there is no rule `{only}`")).because(format!("in {}", file.display())));
    }
    let text = event_text(event)?;
    let mut all = policy::explain(&loaded.policy, &text).map_err(|why| {
        Failure::new(Exit::Usage, "cannot explain the event").because(why).mend("give one event as `mcp-sensor watch --json` prints it")
    })?;
    all.retain(|explained| only.is_none_or(|only| *explained.rule == *only));
    all.sort_by_key(|explained| !explained.matches);
    if json {
        let rules = all.iter().map(|Explained { rule, kind, tool, matches, parts }| {
            let parts = parts.iter().map(|part| json!({"depth": part.depth, "expression": part.source, "value": part.value}));
            json!({"rule": &**rule, "kind": kind, "tool": tool, "matches": matches, "parts": parts.collect::<Vec<_>>()})
        });
        print_json(&json!({"rules": rules.collect::<Vec<_>>()}))?;
        return Ok(Exit::Ok);
    }
    let mut out = String::new();
    for Explained { rule, kind, tool, matches, parts } in &all {
        let (style, word) = if *matches { (Style::ERROR, "matches") } else { (Style::DIM, "does not match") };
        let of = if tool.is_empty() { (*kind).to_owned() } else { format!("{kind} {}", sanitize::sanitize(tool)) };
        styles.paint(style, &format!("{rule} ({of}): {word}"), &mut out);
        out.push('\n');
        for part in parts {
            let line = format!("{} = {}", part.source, part.value);
            let _ = writeln!(out, "{}{}", "  ".repeat(part.depth + 1), sanitize::sanitize(&line));
        }
    }
    let matching = all.iter().filter(|explained| explained.matches).count();
    let _ = writeln!(
        out,
        "{matching} of {} rules of this kind of event match. What happened before (windows, sessions) is not known here.",
        all.len()
    );
    print(&out)
}

/// How a rule does on the corpus.
#[derive(Clone, Debug, Default)]
struct Score {
    found: usize,
    missed: Vec<String>,
    wrong: Vec<String>,
}

/// Attacks, and what only looks like them.
type Corpus = [Vec<Case>; 2];

/// A corpus: of a folder, or the one that comes along. `held_out`: the one beside it that no rule was made for; where a folder has
/// none, it is empty.
fn corpus(folder: Option<&Path>, held_out: bool) -> Result<Corpus, Failure> {
    let wrong = |why: String| Failure::new(Exit::Usage, "cannot read the corpus").because(why);
    let mut both = [Vec::new(), Vec::new()];
    for (name, cases) in ["attacks", "benign"].into_iter().zip(&mut both) {
        let name = if held_out { format!("{HELD_OUT}/{name}") } else { name.to_owned() };
        let mut texts: Vec<String> = Vec::new();
        match folder {
            Some(folder) if held_out && !folder.join(HELD_OUT).is_dir() => {}
            Some(folder) => {
                let folder = folder.join(name);
                let entries = std::fs::read_dir(&folder).map_err(|error| wrong(format!("{}: {error}", folder.display())))?;
                let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
                files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
                files.sort();
                for file in files {
                    texts.push(std::fs::read_to_string(&file).map_err(|error| wrong(format!("{}: {error}", file.display())))?);
                }
            }
            None => texts
                .extend(CORPUS.get_dir(name).into_iter().flat_map(Dir::files).filter_map(|file| Some(file.contents_utf8()?.to_owned()))),
        }
        for text in texts {
            cases.extend(policy::cases(&text).map_err(wrong)?);
        }
    }
    Ok(both)
}

fn score(file: Option<&Path>, folder: Option<&Path>, cases: bool, json: bool, styles: Styles) -> Result<Exit, Failure> {
    let Some(loaded) = chosen(file.or(Some(Path::new("shipped"))))? else { return Ok(Exit::Ok) };
    let tuned = Scores::of(&loaded, &corpus(folder, false)?)?;
    let held_out = Scores::of(&loaded, &corpus(folder, true)?)?;
    let has_held_out = held_out.attacks + held_out.benign > 0;
    if json {
        let mut whole = tuned.json();
        if has_held_out && let Some(members) = whole.as_object_mut() {
            members.insert("heldOut".to_owned(), held_out.json());
        }
        print_json(&whole)?;
        return Ok(Exit::Ok);
    }
    let mut out = String::new();
    tuned.render("The corpus that the rules are made with:", cases, styles, &mut out);
    if has_held_out {
        out.push('\n');
        held_out.render("Held out: written without regard to the rules, which are not tuned to it:", cases, styles, &mut out);
    }
    print(&out)
}

/// How the rules of a policy do on a corpus.
struct Scores {
    rules: BTreeMap<Arc<str>, Score>,
    attacks: usize,
    caught: usize,
    benign: usize,
    alarmed: usize,
}

fn ratio(of: usize, all: usize) -> Option<f64> {
    if all == 0 { None } else { Some(of as f64 / all as f64) }
}

fn percent(of: usize, all: usize) -> String {
    ratio(of, all).map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0))
}

impl Scores {
    fn of(loaded: &Loaded, [attacks, benign]: &Corpus) -> Result<Self, Failure> {
        let rules = loaded.policy.rules.iter().map(|rule| (Arc::clone(&rule.id), Score::default())).collect();
        let mut scores = Self { rules, attacks: attacks.len(), caught: 0, benign: benign.len(), alarmed: 0 };
        for (case, is_attack) in attacks.iter().map(|case| (case, true)).chain(benign.iter().map(|case| (case, false))) {
            let found = loaded
                .policy
                .matching(&case.events)
                .map_err(|why| Failure::new(Exit::Failed, format!("case `{}`", case.id)).because(why))?;
            let expected: BTreeSet<&str> = case.rules.iter().map(String::as_str).collect();
            scores.caught += usize::from(is_attack && found.iter().any(|id| expected.contains(&**id)));
            scores.alarmed += usize::from(!is_attack && !found.is_empty());
            for (id, score) in &mut scores.rules {
                match (found.contains(id), expected.contains(&**id)) {
                    (true, true) => score.found += 1,
                    (false, true) => score.missed.push(case.id.clone()),
                    // Of an attack, what another rule says as well is no false alarm.
                    (true, false) if !is_attack => score.wrong.push(case.id.clone()),
                    _ => {}
                }
            }
        }
        Ok(scores)
    }

    fn json(&self) -> serde_json::Value {
        let rules = self.rules.iter().map(|(id, Score { found, missed, wrong })| {
            json!({"rule": &**id, "found": found, "missed": missed, "falseAlarms": wrong,
                "precision": ratio(*found, found + wrong.len()), "recall": ratio(*found, found + missed.len())})
        });
        let rules: Vec<_> = rules.collect();
        json!({"attacks": self.attacks, "caught": self.caught, "benign": self.benign, "alarmed": self.alarmed, "rules": rules})
    }

    fn render(&self, title: &str, cases: bool, styles: Styles, out: &mut String) {
        let _ = writeln!(out, "{title}");
        let head = format!("{:<24} {:>8} {:>6} {:>6} {:>10} {:>8}", "rule", "attacks", "found", "false", "precision", "recall");
        styles.paint(Style::DIM, &head, out);
        out.push('\n');
        for (id, Score { found, missed, wrong }) in &self.rules {
            let all = found + missed.len();
            let (precision, recall) = (percent(*found, found + wrong.len()), percent(*found, all));
            let _ = writeln!(out, "{id:<24} {all:>8} {found:>6} {:>6} {precision:>10} {recall:>8}", wrong.len());
            if cases {
                for (what, ids) in [("missed", missed), ("false", wrong)] {
                    if !ids.is_empty() {
                        let _ = writeln!(out, "    {what}: {}", ids.join(", "));
                    }
                }
            }
        }
        let Self { attacks, caught, benign, alarmed, .. } = self;
        let (precision, recall) = (percent(*caught, caught + alarmed), percent(*caught, *attacks));
        let _ = writeln!(
            out,
            "\n{caught} of {attacks} attacks caught by the rule that should ({recall}), {alarmed} of {benign} harmless cases taken for \
             attacks (precision {precision})"
        );
    }
}

fn fields(json: bool) -> Result<Exit, Failure> {
    if json {
        let all = FIELDS.iter().map(|row| {
            let kinds: Vec<_> = row.kinds.iter().map(policy::Kinds::name).collect();
            json!({"field": row.name, "type": row.holds.name(), "kinds": kinds, "about": row.about})
        });
        print_json(&all.collect())?;
        return Ok(Exit::Ok);
    }
    let mut out = String::new();
    for row in FIELDS {
        let _ = writeln!(out, "{:<26} {:<7} {}", row.name, row.holds.name(), row.about);
    }
    print(&out)
}
