//! How it goes, told to systemd: ready, alive, stopping (`sd_notify`), one datagram each.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Tells systemd, where it listens.
#[derive(Debug)]
pub struct Notify {
    socket: Option<UnixDatagram>,
}

impl Notify {
    /// From the variables that systemd sets. Does nothing where they are missing or useless.
    #[must_use]
    pub fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|path| connect(path.as_bytes()).ok());
        Self { socket }
    }

    /// `state` as `sd_notify` has it: `READY=1`.
    pub fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket {
            // systemd may be gone; the collector goes on.
            let _ = socket.send(state.as_bytes());
        }
    }

    /// How often systemd wants to hear that it is alive.
    #[must_use]
    pub fn watchdog() -> Option<Duration> {
        let microseconds: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
        let is_ours = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        (is_ours && microseconds > 0).then(|| Duration::from_micros(microseconds))
    }
}

fn connect(path: &[u8]) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_by_a_datagram() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notify = Notify { socket: Some(connect(path.as_os_str().as_bytes()).unwrap()) };
        notify.tell("READY=1");
        let mut heard = [0; 32];
        let length = systemd.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"READY=1");
    }
}
