//! Processes: spawning a server on given ends, forking, ending with the parent.

use anyhow::{Context, Result, bail};
use std::ffi::CString;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Exit code of what cannot be done on this machine.
pub const SKIPPED: i32 = 77;

/// A command whose first word may be `peer`, which is this very program.
pub fn command(words: &[String]) -> Result<Command> {
    let [program, arguments @ ..] = words else { bail!("no server command") };
    let mut command = if program == "peer" || program == "@" { Command::new("/proc/self/exe") } else { Command::new(program) };
    if program == "peer" || program == "@" {
        command.arg0("peer");
    }
    command.args(arguments);
    Ok(command)
}

/// Starts a server whose stdin and stdout are these. A terminal becomes its controlling one.
pub fn spawn_server(words: &[String], session: &str, stdin: OwnedFd, stdout: OwnedFd, terminal: bool) -> Result<Child> {
    let mut command = command(words)?;
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).env("TRUTH_SESSION", session);
    if terminal {
        // SAFETY: both calls are safe between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY as _, 0);
                Ok(())
            });
        }
    }
    command.spawn().with_context(|| format!("cannot start {words:?}"))
}

/// Waits for a child, for so long.
pub fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("it did not end within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Ends this process by SIGALRM after so many seconds: nothing hangs for ever.
pub fn limit_life(seconds: u32) {
    // SAFETY: takes no pointers.
    unsafe { libc::alarm(seconds) };
}

/// Ends this process when its parent ends.
pub fn end_with_parent() {
    // SAFETY: takes no pointers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Forks a child that runs `run` and exits with 0, or with 1 after a message. Call it while the process has one thread.
pub fn fork(run: impl FnOnce() -> Result<()>) -> Result<i32> {
    // SAFETY: the process has one thread, so the child may do anything.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()).context("fork"),
        0 => std::process::exit(exit_code(run())),
        child => Ok(child),
    }
}

/// Prints an error, and gives the exit code.
pub fn exit_code(result: Result<()>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("peer {}: {error:#}", std::process::id());
            if error.chain().any(|cause| cause.is::<crate::wire::Unsupported>()) { SKIPPED } else { 1 }
        }
    }
}

/// Waits for a forked child, and returns its exit code (128 + signal where one ended it).
pub fn join(child: i32) -> Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is valid for writing.
        let result = unsafe { libc::waitpid(child, &raw mut status, 0) };
        if result == child {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error).context("waitpid");
        }
    }
    Ok(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) })
}

/// Sends a signal.
pub fn signal(pid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: takes no pointers.
    if unsafe { libc::kill(pid as i32, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Names this process (its first thread), as `ps` shows it.
pub fn rename(name: &str) -> Result<()> {
    let name = CString::new(name)?;
    // SAFETY: the name is a C string.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    Ok(())
}

/// Runs on this processor from now on, if there is such a one.
pub fn pin(processor: usize) {
    // SAFETY: an all-zero set is a valid value; the kernel reads it only.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Puts a copy of `from` in the place of `to`, inherited by children.
pub fn replace_fd(from: RawFd, to: RawFd) -> io::Result<()> {
    // SAFETY: takes no pointers.
    if unsafe { libc::dup2(from, to) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Raises the limit of open descriptors to at least this, if allowed.
pub fn raise_descriptor_limit(wanted: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if limit.rlim_cur >= wanted {
        return Ok(());
    }
    limit.rlim_cur = wanted;
    limit.rlim_max = limit.rlim_max.max(wanted);
    // SAFETY: `limit` is valid for reading.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The session's name: given by whoever started this process, or one of its own.
pub fn session() -> String {
    std::env::var("TRUTH_SESSION").unwrap_or_else(|_| format!("peer-{}", std::process::id()))
}

/// Waits until the file named by `$GATE` exists, having said `ready` on stderr. True if there was a gate.
pub fn gate() -> Result<bool> {
    let Some(path) = std::env::var_os("GATE") else { return Ok(false) };
    eprintln!("ready");
    let deadline = Instant::now() + Duration::from_secs(300);
    while !std::path::Path::new(&path).exists() {
        if Instant::now() > deadline {
            bail!("the gate {} did not open", path.display());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}
