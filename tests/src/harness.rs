//! Runs real peers under a live sensor and holds its events against their logs.
//!
//! One sensor serves all tests of a test program: starting one takes longer than most tests, and a sensor on a real host
//! watches everything at once, too. Peers are told apart by their processes.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "serves tests only: what goes wrong here is a failed test, with the reason"
)]

use crate::truth::{
    TruthLog,
    compare::{Options, Report, Seen, compare},
};
use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Condvar, Mutex, OnceLock, PoisonError, mpsc},
    time::{Duration, Instant},
};

/// How long the sensor may take until it captures.
const READY: Duration = Duration::from_secs(60);
/// How long the events of a run may take after its end.
const SETTLED: Duration = Duration::from_secs(20);
/// How long a run of peers may take.
const RUN: Duration = Duration::from_secs(300);

/// What the sensor has said so far.
#[derive(Default)]
struct Said {
    events: Vec<Seen>,
    /// Events that are no messages, where they are kept.
    values: Vec<Value>,
    ready: bool,
    ended: bool,
    /// Lines that are no events, and other trouble.
    trouble: Vec<String>,
    /// The last that it said of itself that tells a loss or a blind spot.
    loss: Option<Value>,
    pid: Option<Pid>,
    status: Option<ExitStatus>,
}

/// A sensor under test.
pub struct Sensor {
    said: Mutex<Said>,
    changed: Condvar,
    /// Only messages are kept: a long run must not fill the memory.
    messages_only: bool,
}

/// How a sensor is started.
pub struct Launch<'a> {
    /// Its program.
    pub program: &'a Path,
    /// Its arguments; that it says every message as JSON is added to them.
    pub arguments: &'a [OsString],
    /// Where its own words (stderr) go: to this new file, or to this program's stderr.
    pub log: Option<&'a Path>,
    /// A file that gets a copy of all that it says.
    pub copy: Option<&'a Path>,
    /// Keep only messages, and of what it says of itself the last that tells a loss.
    pub messages_only: bool,
}

/// The sensor that all tests of this program share; started by the first that asks.
///
/// # Panics
/// Where it cannot capture: the tests need root.
pub fn sensor() -> &'static Sensor {
    static SENSOR: OnceLock<&'static Sensor> = OnceLock::new();
    SENSOR.get_or_init(|| Sensor::start(&["watch".into(), "--payload".into(), "full".into()]))
}

impl Default for Sensor {
    fn default() -> Self {
        Self::new()
    }
}

/// The agent under test: `MCP_SENSOR_BIN`, or the one beside this test program.
#[must_use]
pub fn agent() -> PathBuf {
    std::env::var_os("MCP_SENSOR_BIN").map_or_else(|| beside("mcp-sensor"), PathBuf::from)
}

/// A program of this workspace, beside the test program's folder.
///
/// # Panics
/// Where the test program does not know where it is.
#[must_use]
pub fn beside(name: &str) -> PathBuf {
    let me = std::env::current_exe().expect("the path of this program");
    me.ancestors().nth(2).expect("target/PROFILE/deps/NAME").join(name)
}

/// The folder `tests`.
#[must_use]
pub fn tests_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Sensor {
    /// What somebody heard of a sensor, so far nothing: see [`Self::hear`].
    #[must_use]
    pub fn new() -> Self {
        Self::keeping(false)
    }

    fn keeping(messages_only: bool) -> Self {
        Self { said: Mutex::default(), changed: Condvar::new(), messages_only }
    }

    /// Takes one event, as a line of JSON.
    pub fn hear(&self, line: &[u8]) {
        let seen = Seen::from_line(line);
        // What is no message is short, and tests look into it.
        let value: Option<Value> = if matches!(seen, Ok(None)) { serde_json::from_slice(line).ok() } else { None };
        let mut said = self.lock();
        match seen {
            Ok(Some(event)) => said.events.push(event),
            Ok(None) => {}
            Err(error) => said.trouble.push(format!("{error} in {}", String::from_utf8_lossy(line.get(..400).unwrap_or(line)))),
        }
        if let Some(value) = value {
            let sensor = &value["sensor"];
            said.ready |= sensor["state"] == "READY";
            let is_blind = sensor["blindSpots"].as_array().is_some_and(|spots| !spots.is_empty());
            if is_blind || tells_loss(&sensor["loss"]) {
                said.loss = Some(sensor.clone());
            }
            if !self.messages_only {
                said.values.push(value);
            }
        }
        drop(said);
        self.changed.notify_all();
    }

    /// Waits until the sensor says that it captures.
    ///
    /// # Panics
    /// Where it does not.
    pub fn await_ready(&self) {
        assert!(self.wait(READY, |said| said.ready), "the sensor does not say that it captures");
    }

    /// Starts a sensor with these arguments, which prints every message as JSON, and waits until it captures.
    ///
    /// # Panics
    /// Where it cannot capture: the tests need root.
    #[must_use]
    pub fn start(arguments: &[OsString]) -> &'static Self {
        let launch = Launch { program: &agent(), arguments, log: None, copy: None, messages_only: false };
        let started = Self::launch(&launch).and_then(|sensor| sensor.wait_ready(READY).map(|()| sensor));
        started.unwrap_or_else(|error| panic!("{error:#}; run as root, and see `mcp-sensor check`"))
    }

    /// Starts a sensor. It ends with this process at the latest.
    ///
    /// # Errors
    /// Where it cannot be started, or a file that it is to have cannot be made.
    pub fn launch(launch: &Launch<'_>) -> Result<&'static Self> {
        let Launch { program, arguments, log, copy, messages_only } = *launch;
        let make = |path: &Path| File::create(path).with_context(|| format!("cannot make {}", path.display()));
        let sensor: &'static Self = Box::leak(Box::new(Self::keeping(messages_only)));
        let mut command = Command::new(program);
        command.args(arguments).args(["--json", "--messages"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.map(make).transpose()?.map_or_else(Stdio::inherit, Stdio::from));
        let copy = copy.map(make).transpose()?;
        let (tell, told) = mpsc::channel();
        // The thread that starts the agent must live as long as this process: a parent's death signal is the thread's.
        std::thread::spawn(move || {
            end_with_this_process(&mut command);
            match command.spawn() {
                Ok(mut child) => {
                    sensor.lock().pid = Some(Pid::from_child(&child));
                    let output = child.stdout.take().expect("its output is a pipe");
                    let _ = tell.send(Ok(()));
                    sensor.read(output, copy, child);
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            }
            sensor.changed.notify_all();
        });
        told.recv()?.with_context(|| format!("cannot start {}; `cargo build -p sensor-user` makes it", program.display()))?;
        Ok(sensor)
    }

    /// Waits until the sensor says that it captures.
    ///
    /// # Errors
    /// Where it does not, or ends.
    pub fn wait_ready(&self, limit: Duration) -> Result<()> {
        ensure!(self.wait(limit, |said| said.ready || said.ended), "the sensor was not ready within {limit:?}");
        let said = self.lock();
        ensure!(said.ready, "the sensor ended before it could capture; {:?}", said.trouble);
        Ok(())
    }

    /// Interrupts it, and waits for its last event; gives how it ended.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn stop(&self) -> ExitStatus {
        self.interrupt(SETTLED).expect("the sensor ends")
    }

    /// Interrupts it, and waits for its last event; gives how it ended. Where it does not end in time, it is killed.
    ///
    /// # Errors
    /// Where it was not started, or does not end.
    pub fn interrupt(&self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::INT)?;
        if !self.wait(limit, |said| said.ended) {
            self.signal(Signal::KILL)?;
            bail!("the sensor did not end within {limit:?}");
        }
        self.lock().status.context("the sensor's end is not known")
    }

    /// Sends a signal, unless it has ended.
    fn signal(&self, signal: Signal) -> Result<()> {
        let said = self.lock();
        let pid = said.pid.context("the sensor was not started")?;
        if !said.ended {
            kill_process(pid, signal)?;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, output: ChildStdout, mut copy: Option<File>, mut child: Child) {
        let mut lines = BufReader::with_capacity(1 << 20, output);
        let mut line = Vec::new();
        while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
            if let Some(Err(error)) = copy.as_mut().map(|copy| copy.write_all(&line)) {
                self.lock().trouble.push(format!("keeping what it said: {error}"));
            }
            self.hear(&line);
            line.clear();
        }
        // It has closed its output, and is a process until it is waited for: under the lock, so that nobody signals its pid behind it.
        let exited = waitid(WaitId::Pid(Pid::from_child(&child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let mut said = self.lock();
        said.trouble.extend(exited.err().map(|error| format!("waiting for its end: {error}")));
        said.status = child.wait().ok();
        said.ended = true;
    }

    /// Waits until something holds; false where it does not within the time.
    fn wait(&self, limit: Duration, holds: impl Fn(&Said) -> bool) -> bool {
        self.wait_said(limit, |said| holds(said).then_some(())).is_some()
    }

    fn wait_said<T>(&self, limit: Duration, answer: impl Fn(&Said) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut said = self.lock();
        loop {
            if let Some(answer) = answer(&said) {
                return Some(answer);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            said = self.changed.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until `answer` has one, asked again whenever something was heard. `None` when the time is over or the sensor has ended.
    pub fn wait_for<T>(&self, limit: Duration, answer: impl Fn(&[Seen]) -> Option<T>) -> Option<T> {
        self.wait_said(limit, |said| answer(&said.events).map(Some).or_else(|| said.ended.then_some(None))).flatten()
    }

    /// Shows all messages so far.
    pub fn with_events<T>(&self, show: impl FnOnce(&[Seen]) -> T) -> T {
        show(&self.lock().events)
    }

    /// Whether the sensor has told, or tells within this time, that something was lost or cannot be seen.
    pub fn tells_loss(&self, limit: Duration) -> bool {
        self.wait(limit, |said| said.loss.is_some() || said.ended) && self.loss().is_some()
    }

    /// The last that the sensor said of itself with a loss or a blind spot in it.
    #[must_use]
    pub fn loss(&self) -> Option<Value> {
        self.lock().loss.clone()
    }

    /// Lines that are no events, and other trouble with what it said: how many, and the first.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let said = self.lock();
        said.trouble.first().map(|first| format!("{} bad lines, the first: {first}", said.trouble.len()))
    }

    /// Waits for an event that is no single message (a tool call, a session, the sensor's own) and of which `wanted` is
    /// true.
    ///
    /// # Panics
    /// Where none comes.
    #[must_use]
    pub fn event(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = self.wait(SETTLED, |said| said.values.iter().any(&wanted));
        assert!(found, "no event of {what}");
        self.lock().values.iter().find(|value| wanted(value)).cloned().unwrap_or_default()
    }

    /// Compares with the logs in a folder, waiting for events that are still on their way.
    #[must_use]
    pub fn compare(&self, folder: &Path, options: &Options) -> Report {
        let logs = TruthLog::read_directory(folder).expect("the peers' logs");
        assert!(!logs.is_empty(), "the peers logged nothing in {}", folder.display());
        self.wait(SETTLED, |said| !said.trouble.is_empty() || said.ended || !compare(&logs, &said.events, options).is_waiting());
        assert_eq!(self.trouble(), None, "the sensor wrote a line that is no event");
        self.with_events(|events| compare(&logs, events, options))
    }

    /// The events of any kind in which one of the processes has part that logged something in a folder, each in a line.
    #[must_use]
    pub fn events_of(&self, folder: &Path) -> Vec<String> {
        let logs = TruthLog::read_directory(folder).expect("the peers' logs");
        assert!(!logs.is_empty(), "the peers logged nothing in {}", folder.display());
        let pids: BTreeSet<u32> = logs.iter().map(|log| log.pid).collect();
        let said = self.lock();
        let messages = said.events.iter().filter(|event| [event.client, event.server].into_iter().flatten().any(|pid| pids.contains(&pid)));
        let messages = messages.map(ToString::to_string);
        let is_theirs = |value: &&Value| {
            let pid = |side: &str| value[side]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
            ["client", "server"].into_iter().filter_map(pid).any(|pid| pids.contains(&pid))
        };
        messages.chain(said.values.iter().filter(is_theirs).map(Value::to_string)).collect()
    }
}

/// Any number in it that is not zero.
fn tells_loss(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => text.parse::<u64>().is_ok_and(|number| number > 0),
        Value::Array(list) => list.iter().any(tells_loss),
        Value::Object(members) => members.values().any(tells_loss),
        _ => false,
    }
}

/// A child of this process ends with it, whatever ends it.
pub fn end_with_this_process(command: &mut Command) {
    // SAFETY: prctl is safe between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

/// Runs a command of peers, with their logs in `folder`; gives how it ended.
///
/// # Panics
/// Where it does not start, or does not end within its time.
pub fn run(command: &mut Command, folder: &Path, session: &str) -> ExitStatus {
    command.env("TRUTH_DIR", folder).env("TRUTH_SESSION", session).stdin(Stdio::null()).stdout(Stdio::null());
    end_with_this_process(command);
    let mut child = command.spawn().expect("the peer starts");
    let deadline = Instant::now() + RUN;
    loop {
        if let Some(status) = child.try_wait().expect("waiting for the peer") {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("{command:?} did not end within {RUN:?}");
        }
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
