//! Sees to it that no process stays stopped when the sensor ends, however it ends.
//!
//! The guardian is a small process of its own, started before anything else. It holds a handle (pidfd) of every process that
//! the sensor has stopped, or is about to stop, and waits on a socket. When the sensor ends, for whatever reason, the kernel
//! closes the other end of that socket, and the guardian sends SIGCONT to all that it holds and ends.
//!
//! Invariants: a handle is in the guardian's queue before the signal that stops is sent, and what is queued is delivered
//! though the sensor be killed the next moment; it is asked to hold no more than it has room for, so that it drops none; the
//! guardian has a session of its own and does not end by signals that are
//! meant for the group or the terminal; it has one thread.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::{Errno, IoSlice, IoSliceMut},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        SocketFlags, SocketType, recv, recvmsg, send, sendmsg, socketpair,
    },
    process::{Resource, Rlimit, Signal, getrlimit, pidfd_send_signal, setrlimit},
};
use std::{
    cell::Cell,
    collections::BTreeMap,
    io,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt as _,
    process::{Child, Command, Stdio},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// The word by which the own program is asked to be a guardian. No command of its own: nobody types it.
const WORD: &str = "guardian-of-stopped-processes";
/// Processes that it holds at most.
pub const HELD: usize = 1024;
/// A message: what is to be done, and the number of the process.
const MESSAGE: usize = 9;
const HOLD: u8 = 1;
const LET_GO: u8 = 2;
const READY: u8 = 3;
/// Descriptors of its own, and some to spare.
const OWN: u64 = 32;
/// How long a message waits for room in the socket.
const ROOM: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// How long it may take to start.
const START: Duration = Duration::from_secs(5);
/// When SIGCONT is sent after the sensor's end. More than once: the kernel takes the sensor's own programs away a moment after
/// its socket, and until then they can still stop a marked process.
const RELEASES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(1000)];

/// The sensor's end: to be kept for as long as processes are to stay stopped.
#[derive(Debug)]
pub struct Guardian {
    socket: OwnedFd,
    child: Child,
    /// Processes that it has been given and that were not taken from it again.
    held: Cell<u64>,
    /// Processes that it can hold.
    room: u64,
}

impl Guardian {
    /// Starts it: the own program, under another name.
    ///
    /// # Errors
    /// Where it cannot be started, or does not answer.
    pub fn start() -> io::Result<Self> {
        // The file that runs, whatever its path is by now.
        Self::start_program("/proc/self/exe".as_ref())
    }

    /// Starts a guardian of another program: in tests, the test program is no guardian.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_program(program: &std::path::Path) -> io::Result<Self> {
        let (socket, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let child = Command::new(program)
            .arg(WORD)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut guardian = Self { socket, child, held: Cell::new(0), room: 0 };
        rustix::net::sockopt::set_socket_timeout(&guardian.socket, rustix::net::sockopt::Timeout::Recv, Some(START))?;
        let mut answer = [0_u8; MESSAGE];
        let said = loop {
            match recv(&guardian.socket, &mut answer, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        if !matches!(said, Ok((_, MESSAGE))) || answer.first() != Some(&READY) {
            let _ = guardian.child.kill();
            let _ = guardian.child.wait();
            return Err(io::Error::other("the guardian of stopped processes did not start"));
        }
        guardian.room = number_in(&answer);
        Ok(guardian)
    }

    /// Its pid, in the sensor's pid namespace.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True while it lives.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Hands it a process to let go on at the end.
    ///
    /// # Errors
    /// Where it does not take it: then the process must not be stopped.
    pub fn hold(&self, number: u64, process: BorrowedFd<'_>) -> io::Result<()> {
        if self.held.get() >= self.room {
            return Err(io::Error::other(format!("it holds {} processes already", self.room)));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [process];
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let message = message(HOLD, number);
        self.send(|flags| sendmsg(&self.socket, &[IoSlice::new(&message)], &mut control, flags))?;
        self.held.set(self.held.get() + 1);
        Ok(())
    }

    /// Takes a process from it again.
    ///
    /// # Errors
    /// Where it cannot be told.
    pub fn let_go(&self, number: u64) -> io::Result<()> {
        self.send(|flags| send(&self.socket, &message(LET_GO, number), flags))?;
        self.held.set(self.held.get().saturating_sub(1));
        Ok(())
    }

    /// Sends a message; where there is no room for it, once more when there is. A large tree is more than the socket takes at once.
    fn send(&self, mut send: impl FnMut(SendFlags) -> Result<usize, Errno>) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = match send(flags) {
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&self.socket, PollFlags::OUT)], Some(&ROOM))?;
                send(flags)
            }
            sent => sent,
        };
        Ok(sent.map(drop)?)
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // Closing the socket ends it. It is waited for where that takes no time; else the first process gets it.
        let (nobody, _) = match socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None) {
            Ok(pair) => pair,
            Err(_) => return,
        };
        drop(std::mem::replace(&mut self.socket, nobody));
        let _ = self.child.try_wait();
    }
}

fn message(what: u8, number: u64) -> [u8; MESSAGE] {
    let mut message = [what; MESSAGE];
    message.split_at_mut(1).1.copy_from_slice(&number.to_le_bytes());
    message
}

fn number_in(message: &[u8; MESSAGE]) -> u64 {
    let [_, number @ ..] = message;
    u64::from_le_bytes(*number)
}

/// Makes room for so many handles; tells for how many there is.
fn make_room() -> u64 {
    let wanted = HELD as u64 + OWN;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let most = limit.maximum.unwrap_or(wanted).min(wanted);
        if setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit }).is_ok() {
            limit.current = Some(most);
        }
    }
    limit.current.unwrap_or(wanted).saturating_sub(OWN).min(HELD as u64)
}

/// True where this process was started to be a guardian: then it has been one, and is to end.
#[must_use]
pub fn was_guardian() -> bool {
    let asked = std::env::args_os().nth(1).is_some_and(|word| word.as_bytes() == WORD.as_bytes());
    if asked {
        // Nobody is there to be told of a failure; the sensor sees that the ready message does not come.
        let _ = guard(std::io::stdin().as_fd());
    }
    asked
}

/// Holds processes until the other end of the socket is closed; lets all go on then.
fn guard(socket: BorrowedFd<'_>) -> io::Result<()> {
    // Away from the terminal and from the group of the sensor: Ctrl-C and `kill -- -GROUP` are not for this process.
    let _ = rustix::process::setsid();
    let ignored = Arc::new(AtomicBool::new(false));
    {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};
        for signal in [SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2] {
            signal_hook::flag::register(signal, Arc::clone(&ignored))?;
        }
    }
    // Where memory is short, whoever has the most of it is to go, not whoever undoes things. It needs a capability; without
    // it things are as they are.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-999");
    send(socket, &message(READY, make_room()), SendFlags::NOSIGNAL)?;
    let held = hold_until_the_end(socket);
    for (number, after) in RELEASES.into_iter().enumerate() {
        if held.is_empty() {
            break;
        }
        if number > 0 {
            std::thread::sleep(after);
        }
        for process in held.values() {
            // It may have ended meanwhile.
            let _ = pidfd_send_signal(process, Signal::CONT);
        }
    }
    Ok(())
}

fn hold_until_the_end(socket: BorrowedFd<'_>) -> BTreeMap<u64, OwnedFd> {
    let mut held: BTreeMap<u64, OwnedFd> = BTreeMap::new();
    loop {
        let mut bytes = [0_u8; MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = match recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => continue,
            // The sensor has ended.
            Err(_) => return held,
            Ok(received) => received.bytes,
        };
        let process = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        if received == 0 {
            return held;
        }
        if received != MESSAGE {
            continue;
        }
        let ([what, ..], number) = (bytes, number_in(&bytes));
        match (what, process) {
            (HOLD, Some(process)) if held.len() < HELD => {
                held.insert(number, process);
            }
            (LET_GO, _) => {
                held.remove(&number);
            }
            _ => {}
        }
    }
}
