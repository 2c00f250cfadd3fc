//! The ways to connect a client with a server that it starts.

use crate::process::replace_fd;
use crate::wire::Unsupported;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

/// What carries the bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Transport {
    Pipe,
    Socketpair,
    Seqpacket,
    Fifo,
    /// A named socket: listen, connect, accept.
    Unix,
    /// A named SOCK_SEQPACKET socket.
    UnixSeqpacket,
    /// The server at the slave, raw.
    Pty,
    /// The server at the slave, in canonical mode with echo, as a shell leaves it.
    PtyCooked,
    Tcp4,
    Tcp6,
    /// An IPv6 socket to an IPv4 address.
    Tcp46,
}

/// Both ends, before the server has its own.
pub struct Ends {
    pub client_in: OwnedFd,
    pub client_out: OwnedFd,
    pub server: ServerEnds,
    /// What the client's reader must expect: its own bytes come back.
    pub echo: bool,
}

/// The server's ends.
pub enum ServerEnds {
    Ready {
        stdin: OwnedFd,
        stdout: OwnedFd,
        terminal: bool,
    },
    /// Not accepted yet: the client may write before.
    Listening(Listener),
}

pub enum Listener {
    Unix(UnixListener),
    Packets(OwnedFd),
    Tcp(TcpListener),
}

impl Listener {
    /// Accepts the one connection.
    pub fn accept(&self) -> Result<OwnedFd> {
        Ok(match self {
            Self::Unix(listener) => listener.accept()?.0.into(),
            Self::Tcp(listener) => {
                let stream = listener.accept()?.0;
                stream.set_nodelay(true)?;
                stream.into()
            }
            Self::Packets(listener) => {
                // SAFETY: no address is asked for.
                owned(unsafe { libc::accept4(listener.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC) })?
            }
        })
    }

    /// The listening socket itself, to hand to a server.
    pub fn into_fd(self) -> OwnedFd {
        match self {
            Self::Unix(listener) => listener.into(),
            Self::Tcp(listener) => listener.into(),
            Self::Packets(listener) => listener,
        }
    }
}

impl ServerEnds {
    /// The descriptors for the server's stdin and stdout, and whether they are a terminal.
    pub fn accept(self) -> Result<(OwnedFd, OwnedFd, bool)> {
        match self {
            Self::Ready { stdin, stdout, terminal } => Ok((stdin, stdout, terminal)),
            Self::Listening(listener) => {
                let socket = listener.accept()?;
                Ok((socket.try_clone()?, socket, false))
            }
        }
    }
}

impl Transport {
    /// Makes both ends.
    pub fn open(self) -> Result<Ends> {
        match self {
            Self::Pipe => {
                let ((server_in, client_out), (client_in, server_out)) = (pipe()?, pipe()?);
                Ok(Ends { client_in, client_out, server: ready(server_in, server_out), echo: false })
            }
            Self::Fifo => {
                let ((server_in, client_out), (client_in, server_out)) = (fifo()?, fifo()?);
                Ok(Ends { client_in, client_out, server: ready(server_in, server_out), echo: false })
            }
            Self::Socketpair => socket_pair(libc::SOCK_STREAM),
            Self::Seqpacket => socket_pair(libc::SOCK_SEQPACKET),
            Self::Unix => {
                let path = temporary_path("socket")?;
                let listener = UnixListener::bind(&path)?;
                let stream = UnixStream::connect(&path)?;
                std::fs::remove_file(&path)?;
                listening(stream.into(), Listener::Unix(listener))
            }
            Self::UnixSeqpacket => named_packets(),
            Self::Tcp4 => tcp("127.0.0.1:0", None),
            Self::Tcp6 => tcp("[::1]:0", None),
            Self::Tcp46 => tcp("[::]:0", Some("::ffff:127.0.0.1")),
            Self::Pty => terminal(true),
            Self::PtyCooked => terminal(false),
        }
    }
}

fn ready(stdin: OwnedFd, stdout: OwnedFd) -> ServerEnds {
    ServerEnds::Ready { stdin, stdout, terminal: false }
}

fn listening(client: OwnedFd, listener: Listener) -> Result<Ends> {
    Ok(Ends { client_in: client.try_clone()?, client_out: client, server: ServerEnds::Listening(listener), echo: false })
}

/// A descriptor that a call has just made, or -1.
fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A pipe, closed on exec: (read end, write end).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: the array has room for the two descriptors.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((owned(fds[0])?, owned(fds[1])?))
}

/// A socket pair of this type, closed on exec.
pub fn socketpair(kind: i32) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: the array has room for the two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((owned(fds[0])?, owned(fds[1])?))
}

fn socket_pair(kind: i32) -> Result<Ends> {
    let (client, server) = socketpair(kind)?;
    let server = ready(server.try_clone()?, server);
    Ok(Ends { client_in: client.try_clone()?, client_out: client, server, echo: false })
}

/// A path that nothing has.
pub fn temporary_path(what: &str) -> io::Result<PathBuf> {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let directory = std::env::temp_dir();
    std::fs::create_dir_all(&directory)?;
    Ok(directory.join(format!("peer-{}-{number}.{what}", std::process::id())))
}

/// A named pipe, opened at both ends and unlinked.
fn fifo() -> Result<(OwnedFd, OwnedFd)> {
    let path = temporary_path("fifo")?;
    let name = CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: the name is a C string.
    if unsafe { libc::mkfifo(name.as_ptr(), 0o600) } < 0 {
        return Err(io::Error::last_os_error()).context("mkfifo");
    }
    // SAFETY: the name is a C string.
    let reader = owned(unsafe { libc::open(name.as_ptr(), libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC) })?;
    let writer = File::options().write(true).open(&path)?;
    crate::wire::set_nonblocking(reader.as_raw_fd(), false)?;
    std::fs::remove_file(&path)?;
    Ok((reader, writer.into()))
}

fn tcp(listen: &str, connect: Option<&str>) -> Result<Ends> {
    let unsupported = |error: io::Error| Unsupported(format!("TCP on {listen}: {error}"));
    let listener = TcpListener::bind(listen).map_err(unsupported)?;
    let address = listener.local_addr()?;
    let stream = match connect {
        Some(host) => TcpStream::connect((host, address.port())),
        None => TcpStream::connect(address),
    }
    .map_err(unsupported)?;
    stream.set_nodelay(true)?;
    listening(stream.into(), Listener::Tcp(listener))
}

fn named_packets() -> Result<Ends> {
    let path = temporary_path("packets")?;
    // SAFETY: an all-zero address is a valid value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as _;
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.len() >= address.sun_path.len() {
        bail!("the path {} is too long for a socket", path.display());
    }
    for (place, byte) in address.sun_path.iter_mut().zip(bytes) {
        *place = *byte as _;
    }
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointers.
    let (listener, client) = unsafe { (owned(libc::socket(libc::AF_UNIX, kind, 0))?, owned(libc::socket(libc::AF_UNIX, kind, 0))?) };
    // SAFETY: `address` is valid for reading `length` bytes.
    let result = unsafe {
        libc::bind(listener.as_raw_fd(), (&raw const address).cast(), length)
            | libc::listen(listener.as_raw_fd(), 8)
            | libc::connect(client.as_raw_fd(), (&raw const address).cast(), length)
    };
    if result != 0 {
        return Err(io::Error::last_os_error()).context("a named seqpacket socket");
    }
    std::fs::remove_file(&path)?;
    listening(client, Listener::Packets(listener))
}

/// A pseudo-terminal: the client at the master, the server at the slave.
fn terminal(raw: bool) -> Result<Ends> {
    let unsupported = |what: &str| Unsupported(format!("{what}: {}", io::Error::last_os_error()));
    // SAFETY: takes no pointers.
    let master =
        owned(unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) }).map_err(|_| unsupported("/dev/ptmx"))?;
    let mut name = [0; 64];
    // SAFETY: the name has room for its length.
    let result = unsafe {
        libc::grantpt(master.as_raw_fd())
            | libc::unlockpt(master.as_raw_fd())
            | libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len())
    };
    if result != 0 {
        return Err(unsupported("/dev/pts").into());
    }
    // SAFETY: ptsname_r wrote a C string.
    let slave = owned(unsafe { libc::open(name.as_ptr(), libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) })
        .map_err(|_| unsupported("/dev/pts"))?;
    if raw {
        // SAFETY: an all-zero termios is a valid value, which tcgetattr fills.
        unsafe {
            let mut settings: libc::termios = std::mem::zeroed();
            libc::tcgetattr(slave.as_raw_fd(), &raw mut settings);
            libc::cfmakeraw(&raw mut settings);
            libc::tcsetattr(slave.as_raw_fd(), libc::TCSANOW, &raw const settings);
        }
    }
    let server = ServerEnds::Ready { stdin: slave.try_clone()?, stdout: slave, terminal: true };
    Ok(Ends { client_in: master.try_clone()?, client_out: master, server, echo: !raw })
}

/// Swaps the file behind a descriptor for /dev/null, keeping the descriptor's number.
pub fn swap_for_null(fd: RawFd) -> Result<()> {
    let null = File::options().write(true).open("/dev/null")?;
    Ok(replace_fd(null.as_raw_fd(), fd)?)
}
