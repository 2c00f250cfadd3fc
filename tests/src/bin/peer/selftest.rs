//! The smaller harness: starts a sensor, runs cases, compares what the sensor reports with what the peers logged.
//!
//! One static program is enough for it, so that it runs as well in a virtual machine that holds nothing else.

mod cases;
mod recording;
mod run;

use crate::prepare;
use anyhow::{Context, Result, bail};
use cases::Case;
use clap::Args;
use end_to_end::harness::{Launch, Sensor};
use end_to_end::truth::compare::{self, Report, Seen};
use end_to_end::truth::{TruthLog, disagreements};
use recording::Files;
use run::Running;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// `peer selftest`
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The sensor's program.
    #[arg(long, required_unless_present_any = ["without_sensor", "list"])]
    sensor: Option<PathBuf>,
    /// Further arguments for it, behind `watch --json --messages --payload full`.
    #[arg(long, allow_hyphen_values = true)]
    sensor_arg: Vec<String>,
    /// Only compare the two ends' logs with each other: proves the peers.
    #[arg(long)]
    without_sensor: bool,
    /// Only these (a name, or the beginning of names with a `*` behind it).
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,
    /// Leave these out.
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Print the cases and leave.
    #[arg(long)]
    list: bool,
    /// Every limit of time is so many times longer (virtual machines).
    #[arg(long, default_value_t = 1)]
    patience: u32,
    /// Nobody else on this machine speaks MCP: events of other processes are wrong.
    #[arg(long)]
    alone: bool,
    /// The marks of odd messages must be right too.
    #[arg(long)]
    marks: bool,
    /// Do not ask who received a message: it may be reported before anybody has read it.
    #[arg(long)]
    any_receiver: bool,
    /// Keep the logs in this directory.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Mount what is missing (/proc, /sys, ...) and bring up the loopback interface first; as the first process, power off at the end.
    #[arg(long)]
    prepare: bool,
    /// Record everything, and hold the replay of the recording against what the sensor said.
    #[arg(long)]
    record: bool,
    /// The sensor writes its messages (stderr) here; else to this program's stderr.
    #[arg(long)]
    sensor_log: Option<PathBuf>,
}

impl Options {
    fn strictness(&self) -> compare::Options {
        compare::Options { check_marks: self.marks, check_receiver: !self.any_receiver, ..compare::Options::default() }
    }
}

/// How long the sensor may take to start, and an event to arrive.
const START: Duration = Duration::from_secs(30);
const ARRIVAL: Duration = Duration::from_secs(10);

/// A case that ran, and what is wrong with it.
struct Done {
    name: String,
    logs: Vec<TruthLog>,
    wrong: Option<String>,
}

enum Verdict {
    Right(String),
    Wrong(String),
    Skipped(String),
}

/// Runs the cases; fails if one of them does.
pub fn run(options: &Options) -> Result<()> {
    if options.prepare {
        prepare::machine();
    }
    let outcome = run_cases(options);
    if options.prepare && std::process::id() == 1 {
        if let Err(error) = outcome {
            println!("{error:#}");
        }
        prepare::power_off();
    }
    outcome
}

fn run_cases(options: &Options) -> Result<()> {
    let cases = chosen(options)?;
    if options.list {
        for case in &cases {
            println!("{:<28} {}", case.name, case.description);
        }
        return Ok(());
    }
    let directory = match &options.keep {
        Some(directory) => directory.clone(),
        None => std::env::temp_dir().join(format!("peer-selftest-{}", std::process::id())),
    };
    let outcome = Harness::start(options, &directory, cases)?.run();
    if options.keep.is_none() && outcome.is_ok() {
        let _ = std::fs::remove_dir_all(&directory);
    } else {
        println!("logs: {}", directory.display());
    }
    outcome
}

fn chosen(options: &Options) -> Result<Vec<Case>> {
    let fits = |name: &str, pattern: &String| pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start));
    let all = cases::all();
    if let Some(unknown) = options.cases.iter().find(|pattern| !all.iter().any(|case| fits(&case.name, pattern))) {
        bail!("no case {unknown}; see --list");
    }
    Ok(all
        .into_iter()
        .filter(|case| options.cases.is_empty() || options.cases.iter().any(|pattern| fits(&case.name, pattern)))
        .filter(|case| !options.without.iter().any(|pattern| fits(&case.name, pattern)))
        .collect())
}

/// Starts the sensor; with `files` it records as well, and what it says is kept.
fn launch(program: &Path, options: &Options, files: Option<&Files>) -> Result<&'static Sensor> {
    let mut arguments: Vec<OsString> = Vec::new();
    match files {
        Some(files) => {
            let _ = std::fs::remove_file(files.full());
            arguments.extend(["record", "--level", "full", "--held-mib", "64", "--output"].map(Into::into));
            arguments.push(files.full().into());
        }
        None => arguments.push("watch".into()),
    }
    arguments.extend(["--payload", "full"].map(Into::into));
    arguments.extend(options.sensor_arg.iter().map(Into::into));
    let copy = files.map(Files::live);
    let log = options.sensor_log.as_deref();
    Sensor::launch(&Launch { program, arguments: &arguments, log, copy: copy.as_deref(), messages_only: true })
}

/// Interrupts the sensor and waits for its end and its last event. What is wrong with how it ended, if anything.
fn stop(sensor: &Sensor, limit: Duration) -> Option<String> {
    let status = match sensor.interrupt(limit) {
        Ok(status) => status,
        Err(error) => return Some(format!("interrupted: {error:#}")),
    };
    if let Some(loss) = sensor.loss() {
        println!("note: the sensor told a loss: {loss}");
    }
    let by_interrupt = status.signal() == Some(libc::SIGINT) || status.code() == Some(128 + libc::SIGINT);
    if !status.success() && !by_interrupt {
        return Some(format!("it ended with {status}"));
    }
    sensor.trouble()
}

/// Whether one of these processes has part in the event.
fn is_of(event: &Seen, pids: &BTreeSet<u32>) -> bool {
    [event.client, event.server].into_iter().flatten().any(|pid| pids.contains(&pid))
}

struct Harness<'a> {
    options: &'a Options,
    sensor: Option<&'static Sensor>,
    early: Vec<Running>,
    cases: Vec<Case>,
    directory: &'a Path,
    done: Vec<Done>,
    skipped: usize,
}

impl<'a> Harness<'a> {
    /// Starts the sessions that the sensor is to find under way, then the sensor.
    fn start(options: &'a Options, directory: &'a Path, cases: Vec<Case>) -> Result<Self> {
        let mut early = Vec::new();
        let (late, cases): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.late);
        for case in late {
            let mut running = Running::start(case, directory, options.patience)?;
            running.wait_ready()?;
            early.push(running);
        }
        let sensor = match (&options.sensor, options.without_sensor) {
            (Some(path), false) => {
                std::fs::create_dir_all(directory)?;
                let files = options.record.then(|| Files::new(directory));
                let sensor = launch(path, options, files.as_ref())?;
                sensor.wait_ready(START * options.patience)?;
                Some(sensor)
            }
            _ => None,
        };
        Ok(Self { options, sensor, early, cases, directory, done: Vec::new(), skipped: 0 })
    }

    fn run(mut self) -> Result<()> {
        for mut running in std::mem::take(&mut self.early) {
            running.open_gate()?;
            self.finish(running)?;
        }
        for case in std::mem::take(&mut self.cases) {
            let running = Running::start(case, self.directory, self.options.patience)?;
            self.finish(running)?;
        }
        self.end()
    }

    /// Waits for a case's processes and events, and prints what came of it.
    fn finish(&mut self, mut running: Running) -> Result<()> {
        let start = Instant::now();
        let trouble = running.wait()?;
        let logs = TruthLog::read_directory(&running.directory).with_context(|| format!("logs of {}", running.case.name))?;
        let name = running.case.name.clone();
        let verdict = match trouble {
            Some(run::Trouble::Skipped(why)) => Verdict::Skipped(why),
            Some(run::Trouble::Failed(why)) => Verdict::Wrong(format!("the peers failed: {why}")),
            None => self.judge(&running.case, &logs, ARRIVAL * self.options.patience),
        };
        let seconds = start.elapsed().as_secs_f32();
        let wrong = match verdict {
            Verdict::Right(what) => {
                println!("ok      {name:<28} {what} ({seconds:.1} s)");
                None
            }
            Verdict::Skipped(why) => {
                println!("skipped {name:<28} {why}");
                self.skipped += 1;
                return Ok(());
            }
            Verdict::Wrong(what) => {
                println!("FAILED  {name:<28} {what} ({seconds:.1} s)");
                Some(what)
            }
        };
        self.done.push(Done { name, logs, wrong });
        Ok(())
    }

    fn judge(&self, case: &Case, logs: &[TruthLog], limit: Duration) -> Verdict {
        let wrong = disagreements(logs);
        if let [first, ..] = wrong.as_slice() {
            return Verdict::Wrong(format!("the peers disagree in {} messages: {first}", wrong.len()));
        }
        let Some(sensor) = self.sensor else {
            let messages: usize = logs.iter().map(|log| log.entries.len()).sum();
            return Verdict::Right(format!("{} logs agree, {messages} lines", logs.len()));
        };
        // Comparing is work: not before as many events of these processes came as there must be.
        let pids: BTreeSet<u32> = logs.iter().map(|log| log.pid).collect();
        let expected = self.compare(logs, &[]).expected;
        let (seen, own) = (Cell::new(0), Cell::new(0));
        let report = sensor.wait_for(limit, |events| {
            let new = events.get(seen.replace(events.len())..).unwrap_or_default();
            own.set(own.get() + new.iter().filter(|event| is_of(event, &pids)).count());
            if own.get() < expected {
                return None;
            }
            let report = self.compare(logs, events);
            (!report.is_waiting()).then_some(report)
        });
        let report = report.unwrap_or_else(|| sensor.with_events(|events| self.compare(logs, events)));
        if case.unseeable && !sensor.tells_loss(limit) {
            return Verdict::Wrong("bytes moved where nobody can see them, and the sensor does not say so".to_owned());
        }
        if report.is_right() { Verdict::Right(report.to_string()) } else { Verdict::Wrong(report.to_string()) }
    }

    /// Compares with the events of the case's own processes.
    fn compare(&self, logs: &[TruthLog], events: &[Seen]) -> Report {
        let pids: BTreeSet<u32> = logs.iter().map(|log| log.pid).collect();
        let events: Vec<Seen> = events.iter().filter(|event| is_of(event, &pids)).cloned().collect();
        compare::compare(logs, &events, &self.options.strictness())
    }

    /// Stops the sensor, looks for what came too late or too much, and tells the outcome.
    fn end(mut self) -> Result<()> {
        if let Some(sensor) = self.sensor {
            let trouble = stop(sensor, START * self.options.patience);
            let mut wrong = Vec::new();
            if let Some(trouble) = trouble {
                wrong.push(("sensor".to_owned(), trouble));
            }
            wrong.extend(self.surplus());
            if let (true, Some(path)) = (self.options.record, &self.options.sensor) {
                match Files::new(self.directory).check(path) {
                    Ok(what) => println!("ok      {:<28} {what}", "recording"),
                    Err(error) => wrong.push(("recording".to_owned(), format!("{error:#}"))),
                }
            }
            for (name, what) in wrong {
                println!("FAILED  {name:<28} {what}");
                match self.done.iter_mut().find(|done| done.name == name) {
                    Some(done) => done.wrong = Some(what),
                    None => self.done.push(Done { name, logs: Vec::new(), wrong: Some(what) }),
                }
            }
        }
        let (all, failed) = (self.done.len(), self.done.iter().filter(|done| done.wrong.is_some()).count());
        if self.skipped > 0 {
            println!("{} skipped", self.skipped);
        }
        if failed > 0 || all == 0 {
            println!("SELFTEST FAILED {failed} of {all}");
            bail!("{failed} of {all} cases failed");
        }
        println!("SELFTEST PASSED {all}");
        Ok(())
    }

    /// Cases that were right, and are no more with all that the sensor said in the end.
    fn surplus(&self) -> Vec<(String, String)> {
        let Some(sensor) = self.sensor else { return Vec::new() };
        sensor.with_events(|events| {
            let mut wrong = Vec::new();
            for done in self.done.iter().filter(|done| done.wrong.is_none()) {
                let report = self.compare(&done.logs, events);
                if !report.is_right() {
                    wrong.push((done.name.clone(), format!("at the end: {report}")));
                }
            }
            let known: BTreeSet<u32> = self.done.iter().flat_map(|done| &done.logs).map(|log| log.pid).collect();
            let strangers: Vec<&Seen> = events.iter().filter(|event| !is_of(event, &known)).collect();
            if let [first, ..] = strangers.as_slice() {
                println!("note: {} events of other processes, the first: {first}", strangers.len());
                if self.options.alone {
                    wrong.push(("strangers".to_owned(), format!("{} events of processes that are no peers", strangers.len())));
                }
            }
            wrong
        })
    }
}
