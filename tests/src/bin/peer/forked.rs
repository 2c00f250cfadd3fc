//! Servers that fork: workers that share one stdin and stdout, and a worker that is handed a connection.

use crate::process;
use crate::server::{self, Server};
use crate::transport::Listener;
use crate::turn::Turn;
use anyhow::{Result, bail};
use clap::Args;
use end_to_end::truth::{LogWriter, Role};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

/// `peer prefork`
#[derive(Args, Clone, Debug)]
pub struct Prefork {
    /// How many workers.
    #[arg(long, default_value_t = 4)]
    workers: u32,
    #[command(flatten)]
    server: server::Options,
}

/// Forks workers that take turns in reading requests from one stdin, and answer on one stdout.
pub fn prefork(options: &Prefork) -> Result<()> {
    let turn = Turn::shared(options.workers)?;
    let workers: Vec<i32> = (0..options.workers.max(1))
        .map(|number| {
            process::fork(|| {
                let log = Arc::new(LogWriter::open(Role::Server, &process::session())?);
                Server::new(&options.server, log)?.serve(Some(&turn.of(number)))
            })
        })
        .collect::<Result<_>>()?;
    join_all(&workers)
}

fn join_all(children: &[i32]) -> Result<()> {
    for child in children {
        match process::join(*child)? {
            0 => {}
            code => bail!("worker {child} ended with {code}"),
        }
    }
    Ok(())
}

/// `peer handoff`
#[derive(Args, Clone, Debug)]
pub struct Handoff {
    /// Connections to accept before it ends.
    #[arg(long, default_value_t = 1)]
    connections: u32,
    #[command(flatten)]
    server: server::Options,
}

/// Accepts connections on the listening socket that is its stdin. Each is handed to a forked worker; this process closes it.
pub fn handoff(options: &Handoff) -> Result<()> {
    // SAFETY: stdin belongs to this function from here on; nothing else in this process uses it.
    let listener = Listener::Packets(unsafe { OwnedFd::from_raw_fd(0) });
    let mut workers = Vec::new();
    for _ in 0..options.connections {
        let socket = listener.accept()?;
        let server = server::Options { input: socket.as_raw_fd(), output: socket.as_raw_fd(), ..options.server.clone() };
        workers.push(process::fork(|| {
            let log = Arc::new(LogWriter::open(Role::Server, &process::session())?);
            Server::new(&server, log)?.serve(None)
        })?);
    }
    join_all(&workers)
}
