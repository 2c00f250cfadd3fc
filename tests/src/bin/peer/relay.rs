//! Processes that stand between a client and a server: byte relays and launchers.

use crate::lax::{Item, Splitter};
use crate::process;
use crate::transport::{Ends, Transport};
use crate::wire::Kind;
use crate::wire::carry::{pass_all, splice};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use end_to_end::truth::{LogWriter, Note, Role, Way};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How a relay moves bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum With {
    /// read and write.
    Read,
    /// splice: the bytes never enter the process.
    Splice,
    /// tee, then splice what was doubled to /dev/null. Pipes only.
    Tee,
}

/// `peer relay`
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[arg(long, value_enum, default_value = "read")]
    with: With,
    /// What carries the bytes between the relay and its server.
    #[arg(long, value_enum, default_value = "pipe")]
    transport: Transport,
    /// The server command.
    #[arg(last = true, required = true)]
    server: Vec<String>,
}

/// Passes on the bytes of stdin and stdout to a server of its own, in both directions. Towards the client it logs as a server, of the session
/// `$TRUTH_SESSION`; towards its server as a client, of `$TRUTH_SESSION/1`.
pub fn relay(options: &Options) -> Result<()> {
    let session = process::session();
    let next = format!("{session}/1");
    let (server_log, client_log) = (LogWriter::open(Role::Server, &session)?, LogWriter::open(Role::Client, &next)?);
    if options.with != With::Read {
        server_log.blind();
        client_log.blind();
    }
    let (server_log, client_log) = (Arc::new(server_log), Arc::new(client_log));
    let Ends { client_in, client_out, server, .. } = options.transport.open()?;
    let (stdin, stdout, terminal) = server.accept()?;
    let mut child = process::spawn_server(&options.server, &next, stdin, stdout, terminal)?;
    // SAFETY: stdin and stdout belong to this function from here on; nothing else in this process uses them.
    let (up_in, down_out) = unsafe { (OwnedFd::from_raw_fd(0), OwnedFd::from_raw_fd(1)) };
    let with = options.with;
    let down = {
        let logs = [Arc::clone(&client_log), Arc::clone(&server_log)];
        thread::spawn(move || pass(with, client_in, down_out, logs))
    };
    pass(with, up_in, client_out, [Arc::clone(&server_log), Arc::clone(&client_log)]).context("to the server")?;
    down.join().map_err(|_| anyhow::anyhow!("the relay panicked"))?.context("to the client")?;
    let status = process::wait(&mut child, Duration::from_secs(60))?;
    server_log.end();
    client_log.end();
    if status.success() { Ok(()) } else { bail!("the relay's server ended with {status}") }
}

/// Passes on one direction until its end, then ends it too. Logs: where it is received, where it is sent.
fn pass(with: With, from: OwnedFd, to: OwnedFd, logs: [Arc<LogWriter>; 2]) -> Result<()> {
    match with {
        With::Read => pass_read(File::from(from.try_clone()?), File::from(to.try_clone()?), &logs)?,
        With::Splice => pass_splice(from.as_raw_fd(), to.as_raw_fd())?,
        With::Tee => pass_tee(from.as_raw_fd(), to.as_raw_fd())?,
    }
    // SAFETY: takes no pointers. Fails on what is no socket, which is closed now.
    unsafe { libc::shutdown(to.as_raw_fd(), libc::SHUT_WR) };
    Ok(())
}

fn pass_read(mut from: File, mut to: File, [received, sent]: &[Arc<LogWriter>; 2]) -> Result<()> {
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; 65536];
    loop {
        let length = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        splitter.buffer().extend_from_slice(bytes);
        for item in splitter.take() {
            match item {
                Item::Message { bytes, .. } => {
                    received.message(Way::Received, &bytes, Note::default());
                    sent.message(Way::Sent, &bytes, Note::default());
                }
                Item::Noise(bytes) => {
                    received.noise(Way::Received, &bytes, None);
                    sent.noise(Way::Sent, &bytes, None);
                }
            }
        }
        to.write_all(bytes)?;
    }
}

fn pass_splice(from: RawFd, to: RawFd) -> Result<()> {
    if Kind::of(from)? != Kind::Pipe && Kind::of(to)? != Kind::Pipe {
        return Ok(pass_all(from, to)?);
    }
    while splice(from, to, 65536)? > 0 {}
    Ok(())
}

fn pass_tee(from: RawFd, to: RawFd) -> Result<()> {
    let null = File::options().write(true).open("/dev/null")?;
    loop {
        // SAFETY: takes no pointers.
        let mut doubled = usize::try_from(unsafe { libc::tee(from, to, 65536, 0) }).map_err(|_| std::io::Error::last_os_error())?;
        if doubled == 0 {
            return Ok(());
        }
        while doubled > 0 {
            doubled -= splice(from, null.as_raw_fd(), doubled)?;
        }
    }
}

/// Starts a server that inherits stdin and stdout, waits for it, and moves no bytes: as `sh -c` and `npx` do.
pub fn launch(words: &[String]) -> Result<()> {
    let mut command: Command = process::command(words)?;
    let status = command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).status()?;
    if status.success() { Ok(()) } else { bail!("{words:?} ended with {status}") }
}
