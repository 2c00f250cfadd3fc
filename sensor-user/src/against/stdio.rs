//! A server as a process with pipes, in a process group of its own.
//!
//! One thread does it all with `poll`: nothing blocks, whatever the server reads or writes, and no thread can be left behind.

use super::transport::{Ended, Received, Transport, Unsent};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};
use std::{
    collections::VecDeque,
    io,
    os::{
        fd::OwnedFd,
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Child, Command, Stdio as Pipe},
    time::{Duration, Instant},
};

/// Bytes that one message may have.
pub const LINE: usize = 16 << 20;

/// Bytes that may wait for a server that does not read.
const UNREAD: usize = 64 << 20;

/// Bytes of its standard error that are kept.
const COMPLAINTS: usize = 16 << 10;

/// Bytes that are read at once.
const READ: usize = 64 << 10;

/// How long a server may take to end by itself, and then once it has been asked to.
const PATIENCE: Duration = Duration::from_secs(2);

/// A server that was started.
pub struct Stdio {
    child: Child,
    pid: Pid,
    /// Readable once the process has ended.
    process: OwnedFd,
    input: Option<OwnedFd>,
    output: Option<OwnedFd>,
    errors: Option<OwnedFd>,
    /// What waits to be written.
    unsent: VecDeque<u8>,
    /// What was read.
    read: Vec<u8>,
    /// Where in `read` the next line begins.
    at: usize,
    /// How far behind `at` there is no line end.
    searched: usize,
    /// The rest of the line that is being read is thrown away.
    too_long: bool,
    complaints: VecDeque<u8>,
    ended: bool,
    /// It was told that nothing is sent any more.
    told: bool,
    killed: bool,
}

impl Stdio {
    /// Starts a program.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(program: &str, arguments: &[String]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Pipe::piped()).stdout(Pipe::piped()).stderr(Pipe::piped()).process_group(0);
        let mut child = command.spawn()?;
        let input = child.stdin.take().map(OwnedFd::from);
        let output = child.stdout.take().map(OwnedFd::from);
        let errors = child.stderr.take().map(OwnedFd::from);
        let opened =
            Pid::from_raw(i32::try_from(child.id()).unwrap_or(0)).ok_or_else(|| io::Error::other("no process id")).and_then(|pid| {
                for pipe in [&input, &output, &errors].into_iter().flatten() {
                    fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?;
                }
                Ok((pid, pidfd_open(pid, PidfdFlags::empty())?))
            });
        let (pid, process) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // It has just been started: nothing of it is lost.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        Ok(Self {
            child,
            pid,
            process,
            input,
            output,
            errors,
            unsent: VecDeque::new(),
            read: Vec::new(),
            at: 0,
            searched: 0,
            too_long: false,
            complaints: VecDeque::new(),
            ended: false,
            told: false,
            killed: false,
        })
    }

    /// Id of its process, which is the id of its group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next whole line that was read, or that there is one too long.
    fn line(&mut self) -> Option<Received> {
        loop {
            let rest = self.read.get(self.at + self.searched..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.searched += rest.len();
                if self.searched > LINE {
                    (self.at, self.searched) = (0, 0);
                    self.read = Vec::new();
                    if !std::mem::replace(&mut self.too_long, true) {
                        return Some(Received::TooLong);
                    }
                }
                self.read.drain(..self.at);
                self.at = 0;
                return None;
            };
            let line = self.read.get(self.at..self.at + self.searched + end).unwrap_or_default().trim_ascii().to_vec();
            self.at += self.searched + end + 1;
            self.searched = 0;
            if !std::mem::take(&mut self.too_long) && !line.is_empty() {
                return Some(Received::Line(line));
            }
        }
    }

    /// Waits until something can be read or written or the process has ended, and does it. False where nothing was to be done until
    /// then.
    fn turn(&mut self, until: Instant) -> bool {
        // Once the process has ended, what is left in the pipes is all that there is: a descendant of it may hold them open for ever.
        let wait = if self.ended { Duration::ZERO } else { until.saturating_duration_since(Instant::now()) };
        let wait = Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX), tv_nsec: wait.subsec_nanos().into() };
        let Self { input, output, errors, unsent, process, ended, .. } = self;
        let input = input.as_ref().filter(|_| !unsent.is_empty()).map(|pipe| PollFd::new(pipe, PollFlags::OUT));
        let read = [output, errors].into_iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::IN));
        let process = (!*ended).then(|| PollFd::new(process, PollFlags::IN));
        let mut watched: Vec<_> = input.into_iter().chain(read).chain(process).collect();
        match poll(&mut watched, Some(&wait)) {
            Ok(0) if *ended => {
                self.output = None;
                return true;
            }
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
        *ended |= watched.last().is_some_and(|process| !process.revents().is_empty()) && !*ended;
        self.write();
        self.hear();
        self.read();
        true
    }

    fn write(&mut self) {
        while let Some(input) = self.input.as_ref().filter(|_| !self.unsent.is_empty()) {
            match rustix::io::write(input, self.unsent.as_slices().0) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(_) => {
                    self.input = None;
                    self.unsent = VecDeque::new();
                }
            }
        }
    }

    fn read(&mut self) {
        let Some(output) = &self.output else { return };
        let before = self.read.len();
        self.read.resize(before + READ, 0);
        let read = rustix::io::read(output, self.read.get_mut(before..).unwrap_or_default());
        self.read.truncate(before + read.unwrap_or(0));
        match read {
            Ok(0) => self.output = None,
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.output = None,
        }
    }

    /// Reads its standard error, of which the end is kept.
    fn hear(&mut self) {
        let Some(errors) = &self.errors else { return };
        let mut buffer = [0; 4096];
        match rustix::io::read(errors, &mut buffer) {
            Ok(0) => self.errors = None,
            Ok(read) => {
                self.complaints.extend(buffer.get(..read).unwrap_or_default());
                let more = self.complaints.len().saturating_sub(COMPLAINTS);
                self.complaints.drain(..more);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.errors = None,
        }
    }

    /// Waits for the end of the process. What it says meanwhile is thrown away.
    fn wait(&mut self, until: Instant) -> bool {
        while !self.ended && Instant::now() < until {
            self.turn(until);
            (self.at, self.searched) = (0, 0);
            self.read.clear();
        }
        self.ended
    }

    /// Ends the whole group. Its leader is not reaped before, so that nobody else can have its id. True where the leader ended by
    /// itself.
    fn kill(&mut self) -> bool {
        if std::mem::replace(&mut self.killed, true) {
            return false;
        }
        self.close();
        self.unsent = VecDeque::new();
        let alone = self.wait(Instant::now() + PATIENCE);
        if !alone {
            let _ = kill_process_group(self.pid, Signal::TERM);
            self.wait(Instant::now() + PATIENCE);
        }
        let _ = kill_process_group(self.pid, Signal::KILL);
        self.wait(Instant::now() + PATIENCE);
        alone
    }
}

impl Transport for Stdio {
    fn send(&mut self, message: &str) -> Result<(), Unsent> {
        if self.input.is_none() || self.unsent.len().saturating_add(message.len()) > UNREAD {
            return Err(Unsent);
        }
        self.unsent.extend(message.as_bytes());
        self.unsent.push_back(b'\n');
        self.write();
        if self.input.is_some() { Ok(()) } else { Err(Unsent) }
    }

    fn receive(&mut self, until: Instant) -> Received {
        loop {
            if let Some(line) = self.line() {
                return line;
            }
            if self.output.is_none() {
                // A last line without an end.
                let rest = std::mem::take(&mut self.read).trim_ascii().to_vec();
                (self.at, self.searched) = (0, 0);
                return if rest.is_empty() || self.too_long { Received::Closed } else { Received::Line(rest) };
            }
            if !self.turn(until) || Instant::now() >= until {
                return self.line().unwrap_or(Received::Nothing);
            }
        }
    }

    fn close(&mut self) {
        self.told = true;
        self.write();
        // What waits is written first where the server reads.
        let until = Instant::now() + PATIENCE;
        while !self.unsent.is_empty() && self.input.is_some() && !self.ended && self.read.len() < LINE && Instant::now() < until {
            self.turn(until);
        }
        self.input = None;
    }

    fn end(&mut self) -> Ended {
        // It was not told to end: it closed its output, and its end may be a moment behind.
        let early = self.output.is_none() && !self.told;
        let alone = self.kill();
        while self.errors.is_some() {
            let before = self.complaints.len();
            self.hear();
            if self.complaints.len() == before {
                break;
            }
        }
        let status = self.child.try_wait().ok().flatten().filter(|_| early && alone);
        let how = match status.map(|status| (status.code(), status.signal())) {
            Some((Some(code), _)) => format!("exited with {code}"),
            Some((None, Some(signal))) => format!("was killed by signal {signal}"),
            _ => String::new(),
        };
        let complaints = self.complaints.make_contiguous();
        Ended { how, complaints: String::from_utf8_lossy(complaints).into_owned() }
    }
}

impl Drop for Stdio {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.try_wait();
    }
}

#[cfg(test)]
mod tests;
