//! Connections: accepted within limits, and given up where nothing comes of them.
//!
//! Invariants: connections are bounded, all together and of one address; a refused one is closed at once; one on which nothing
//! comes within the time for Hello is closed.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::Sleep;
use tonic::transport::server::Connected;

use super::refusals::{Reason, Refusals};
use crate::config::{Address, Limits};

/// A socket that listens.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket, and its file, which goes with it.
    Unix(UnixListener, PathBuf),
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Remote {
    /// In words.
    pub address: Arc<str>,
}

/// An accepted connection.
pub struct Connection {
    stream: Either,
    remote: Remote,
    /// Until when something must have come.
    deadline: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

enum Either {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Counts connections.
#[derive(Debug)]
pub struct Places {
    counts: Mutex<Counts>,
    limits: Limits,
    refusals: Arc<Refusals>,
}

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    of: HashMap<Option<IpAddr>, u32>,
}

/// A place that a connection takes; given back when it goes.
struct Place {
    places: Arc<Places>,
    of: Option<IpAddr>,
}

impl Listener {
    /// Begins to listen.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            Address::Unix(path) => {
                remove_stale(path)?;
                // Nobody but the owner and the group may connect, from the first moment.
                let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o117));
                let bound = UnixListener::bind(path);
                rustix::process::umask(before);
                let listener = bound?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
                Ok(Self::Unix(listener, path.clone()))
            }
        }
    }

    /// Where it listens; with the port that it was given where 0 was asked for.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix(_, path) => Ok(Address::Unix(path.clone())),
        }
    }

    /// The connections, as they come.
    pub fn incoming(self, places: Arc<Places>) -> impl futures_util::Stream<Item = io::Result<Connection>> + Send {
        futures_util::stream::unfold((self, places), |(listener, places)| async move {
            loop {
                match listener.accept().await {
                    Ok((stream, ip, address)) => {
                        if let Some(connection) = places.seat(stream, ip, &address) {
                            return Some((Ok(connection), (listener, places)));
                        }
                    }
                    Err(error) => {
                        // Out of descriptors, most likely: it passes.
                        tracing::warn!(error = %error, "a connection cannot be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        })
    }

    async fn accept(&self) -> io::Result<(Either, Option<IpAddr>, String)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Either::Tcp(stream), Some(address.ip().to_canonical()), address.to_string()))
            }
            Self::Unix(listener, path) => {
                let (stream, _) = listener.accept().await?;
                let pid = stream.peer_cred().ok().and_then(|credentials| credentials.pid());
                let process = pid.map_or_else(String::new, |pid| format!(", process {pid}"));
                Ok((Either::Unix(stream), None, format!("unix:{}{process}", path.display())))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // It may be gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes the socket of a collector that is gone. A living one keeps its own; a file that is no socket stays, and binding fails.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(_) => std::fs::remove_file(path),
        },
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Places {
    /// With these limits.
    #[must_use]
    pub fn new(limits: Limits, refusals: Arc<Refusals>) -> Self {
        Self { counts: Mutex::default(), limits, refusals }
    }

    fn seat(self: &Arc<Self>, stream: Either, ip: Option<IpAddr>, address: &str) -> Option<Connection> {
        {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            if counts.all >= self.limits.connections {
                self.refusals.refuse(Reason::TooManyConnections, "there are too many connections");
                return None;
            }
            let of = counts.of.entry(ip).or_default();
            if *of >= self.limits.connections_per_peer {
                self.refusals.refuse(Reason::TooManyOfPeer, format!("{address} has too many connections"));
                return None;
            }
            *of += 1;
            counts.all += 1;
        }
        let place = Place { places: Arc::clone(self), of: ip };
        let deadline = Some(Box::pin(tokio::time::sleep(self.limits.hello)));
        Some(Connection { stream, remote: Remote { address: address.into() }, deadline, _place: place })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.places.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if let Some(of) = counts.of.get_mut(&self.of) {
            *of = of.saturating_sub(1);
            if *of == 0 {
                counts.of.remove(&self.of);
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Remote;

    fn connect_info(&self) -> Remote {
        self.remote.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = match &mut self.stream {
            Either::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Either::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if read.is_ready() {
            self.deadline = None;
        } else if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            self._place.places.refusals.refuse(Reason::NoHello, "nothing came on a connection");
            self.deadline = None;
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Either::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Either::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Either::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Either::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Either::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Either::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Either::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Either::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
