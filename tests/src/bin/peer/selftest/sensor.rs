//! The sensor under test: a child whose events are collected as they come.

use super::recording::Files;
use anyhow::{Context, Result, bail};
use end_to_end::truth::compare::Seen;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Said {
    ready: bool,
    ended: bool,
    events: Vec<Seen>,
    /// Lines that are no events, and other trouble.
    trouble: Vec<String>,
    /// The last `sensor` event that tells a loss or a blind spot.
    loss: Option<Value>,
}

#[derive(Default)]
struct Shared {
    said: Mutex<Said>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running sensor.
pub struct Sensor {
    child: Child,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

impl Sensor {
    /// Starts it; with `files` it records as well, and what it says is kept.
    pub fn start(path: &Path, arguments: &[String], log: Option<&Path>, files: Option<&Files>) -> Result<Self> {
        let stderr = match log {
            Some(log) => Stdio::from(File::create(log)?),
            None => Stdio::inherit(),
        };
        let mut command = Command::new(path);
        match files {
            Some(files) => {
                let _ = std::fs::remove_file(files.full());
                command.args(["record", "--level", "full", "--held-mib", "64", "--output"]).arg(files.full())
            }
            None => command.arg("watch"),
        };
        command.args(["--json", "--messages", "--payload", "full"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        // SAFETY: prctl is safe between fork and exec.
        unsafe {
            command.pre_exec(|| {
                crate::process::end_with_parent();
                Ok(())
            });
        }
        let mut child = command.spawn().with_context(|| format!("cannot start the sensor {}", path.display()))?;
        let stdout = child.stdout.take().context("stdout")?;
        let shared = Arc::new(Shared::default());
        let reader = {
            let shared = Arc::clone(&shared);
            let copy = files.map(|files| File::create(files.live())).transpose()?;
            thread::spawn(move || read(stdout, copy, &shared))
        };
        Ok(Self { child, shared, reader: Some(reader) })
    }

    /// Waits for the event that says that capture is on.
    pub fn wait_ready(&self, limit: Duration) -> Result<()> {
        match self.wait(limit, |said| (said.ready || said.ended).then_some(said.ready)) {
            Some(true) => Ok(()),
            Some(false) => bail!("the sensor ended before it was ready"),
            None => bail!("the sensor was not ready within {limit:?}"),
        }
    }

    /// Waits until `answer` has one, asked again whenever events have come. `None` when the time is over or the sensor ended.
    pub fn wait_for<T>(&self, limit: Duration, answer: impl Fn(&[Seen]) -> Option<T>) -> Option<T> {
        self.wait(limit, |said| answer(&said.events).map(Some).or_else(|| said.ended.then_some(None))).flatten()
    }

    fn wait<T>(&self, limit: Duration, answer: impl Fn(&Said) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut said = self.shared.lock();
        loop {
            if let Some(answer) = answer(&said) {
                return Some(answer);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            said = self.shared.changed.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether the sensor has told, or tells within this time, that something was lost or cannot be seen.
    pub fn told_loss(&self, limit: Duration) -> bool {
        self.wait(limit, |said| said.loss.as_ref().map(|_| true)).unwrap_or(false)
    }

    /// Shows all events so far.
    pub fn with_events<T>(&self, show: impl FnOnce(&[Seen]) -> T) -> T {
        show(&self.shared.lock().events)
    }

    /// Interrupts the sensor and waits for its end and its last event. What is wrong with how it ended, if anything.
    pub fn stop(&mut self, limit: Duration) -> Result<Option<String>> {
        crate::process::signal(self.child.id(), libc::SIGINT)?;
        let status = match crate::process::wait(&mut self.child, limit) {
            Ok(status) => status,
            Err(error) => return Ok(Some(format!("interrupted: {error:#}"))),
        };
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let said = self.shared.lock();
        if let Some(loss) = &said.loss {
            println!("note: the sensor told a loss: {loss}");
        }
        let by_interrupt = status.signal() == Some(libc::SIGINT) || status.code() == Some(128 + libc::SIGINT);
        if !status.success() && !by_interrupt {
            return Ok(Some(format!("it ended with {status}")));
        }
        Ok(said.trouble.first().map(|first| format!("{} bad lines, the first: {first}", said.trouble.len())))
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(stdout: ChildStdout, mut copy: Option<File>, shared: &Shared) {
    let mut lines = BufReader::with_capacity(1 << 20, stdout);
    let mut line = Vec::new();
    while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
        // `sensor` events are short; anything long is a message with its body.
        let sensor: Option<Value> = if line.len() < 100_000 { serde_json::from_slice(&line).ok() } else { None };
        let sensor = sensor.as_ref().and_then(|event| event.get("sensor"));
        let event = Seen::from_line(&line);
        let copied = copy.as_mut().map_or(Ok(()), |copy| copy.write_all(&line));
        let mut said = shared.lock();
        match event {
            Ok(Some(event)) => said.events.push(event),
            Ok(None) => {}
            Err(error) => said.trouble.push(format!("{error}: {}", String::from_utf8_lossy(line.get(..200).unwrap_or(&line)))),
        }
        if let Err(error) = copied {
            said.trouble.push(format!("keeping what it said: {error}"));
        }
        if let Some(sensor) = sensor {
            said.ready |= sensor.get("state").and_then(Value::as_str).is_some_and(|state| state.ends_with("READY"));
            let blind = sensor.get("blindSpots").and_then(Value::as_array).is_some_and(|spots| !spots.is_empty());
            if blind || sensor.get("loss").is_some_and(tells_loss) {
                said.loss = Some(sensor.clone());
            }
        }
        drop(said);
        shared.changed.notify_all();
        line.clear();
    }
    shared.lock().ended = true;
    shared.changed.notify_all();
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
