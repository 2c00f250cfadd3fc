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
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    ffi::OsString,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Condvar, Mutex, OnceLock, PoisonError},
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
    values: Vec<Value>,
    ready: bool,
    ended: bool,
    trouble: Option<String>,
    pid: Option<Pid>,
    status: Option<ExitStatus>,
}

/// A sensor under test.
pub struct Sensor {
    said: Mutex<Said>,
    changed: Condvar,
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
        Self { said: Mutex::default(), changed: Condvar::new() }
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
            Err(error) => said.trouble = Some(format!("{error} in {}", String::from_utf8_lossy(line))),
        }
        if let Some(value) = value {
            said.ready |= value["sensor"]["state"] == "READY";
            said.values.push(value);
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
        let sensor: &'static Self = Box::leak(Box::default());
        let mut command = Command::new(agent());
        command.args(arguments).args(["--json", "--messages"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // The thread that starts the agent must live as long as this process: a parent's death signal is the thread's.
        std::thread::spawn(move || {
            end_with_this_process(&mut command);
            match command.spawn() {
                Ok(mut child) => {
                    sensor.lock().pid = Some(Pid::from_child(&child));
                    let output = child.stdout.take().expect("its output is a pipe");
                    sensor.read(output, child);
                }
                Err(error) => {
                    sensor.lock().trouble = Some(format!("{command:?}: {error}; `cargo build -p sensor-user` makes it"));
                }
            }
            sensor.lock().ended = true;
            sensor.changed.notify_all();
        });
        let ready = sensor.wait(READY, |said| said.ready || said.ended);
        let said = sensor.lock();
        assert!(ready && said.ready, "the sensor cannot capture: run as root, and see `mcp-sensor check`; {:?}", said.trouble);
        drop(said);
        sensor
    }

    /// Interrupts it, and waits for its last event; gives how it ended.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn stop(&self) -> ExitStatus {
        let pid = self.lock().pid.expect("it was started");
        kill_process(pid, Signal::INT).expect("it runs");
        assert!(self.wait(SETTLED, |said| said.ended), "the sensor does not end");
        self.lock().status.expect("it has ended")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, output: ChildStdout, mut child: Child) {
        for line in BufReader::with_capacity(1 << 20, output).split(b'\n').map_while(Result::ok) {
            self.hear(&line);
        }
        self.lock().status = child.wait().ok();
    }

    /// Waits until something holds; false where it does not within the time.
    fn wait(&self, limit: Duration, holds: impl Fn(&Said) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut said = self.lock();
        while !holds(&said) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
            said = self.changed.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
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
        self.wait(SETTLED, |said| said.trouble.is_some() || said.ended || !compare(&logs, &said.events, options).is_waiting());
        let said = self.lock();
        assert_eq!(said.trouble, None, "the sensor wrote a line that is no event");
        compare(&logs, &said.events, options)
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
