//! Tells systemd how the service is (sd_notify(3)): a datagram to the socket that `NOTIFY_SOCKET` names.
//!
//! Invariant: a notification never blocks and never fails the service; without systemd it does nothing.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The way to systemd.
#[derive(Debug, Default)]
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// To the socket of that name, as `NOTIFY_SOCKET` gives it: a path, or `@` and an abstract name.
    #[must_use]
    pub fn to(name: Option<&OsStr>) -> Self {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Self::default() };
        let connected = || -> io::Result<_> {
            let address = match name.as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(name)?,
            };
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        };
        match connected() {
            Ok(connected) => Self(Some(connected)),
            Err(error) => {
                tracing::warn!(%error, "systemd cannot be told how the service is: NOTIFY_SOCKET names no socket");
                Self::default()
            }
        }
    }

    /// It captures.
    pub fn ready(&self) {
        self.send("READY=1\nSTATUS=capturing");
    }

    /// It reads its configuration again; [`Notifier::ready`] is to follow.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// It stops.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=handing on what is held");
    }

    /// It makes progress.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.0
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::debug!(%error, "systemd could not be told how the service is");
        }
    }
}

/// How often systemd wants to hear that the service lives: half of the time after which it would end it.
#[must_use]
pub fn watchdog(microseconds: Option<OsString>, pid: Option<OsString>) -> Option<Duration> {
    let number = |text: OsString| text.to_str().and_then(|text| text.parse::<u64>().ok());
    if pid.is_some_and(|pid| number(pid) != Some(u64::from(std::process::id()))) {
        return None;
    }
    number(microseconds?).filter(|number| *number > 0).map(|number| Duration::from_micros(number / 2).max(Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_hears_of_each_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(Some(path.as_os_str()));
        let heard = || {
            let mut buffer = [0; 256];
            let length = systemd.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        notifier.ready();
        assert!(heard().starts_with("READY=1\n"));
        notifier.reloading();
        let told = heard();
        assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told}");
        notifier.alive();
        assert_eq!(heard(), "WATCHDOG=1");
        notifier.stopping();
        assert!(heard().starts_with("STOPPING=1\n"));
        drop(systemd);
        notifier.ready();
    }

    #[test]
    fn an_abstract_socket_is_found() {
        let name = format!("mcp-sensor-test-{}", std::process::id());
        let systemd = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Notifier::to(Some(OsStr::new(&format!("@{name}")))).alive();
        let mut buffer = [0; 16];
        assert_eq!(systemd.recv(&mut buffer).unwrap(), "WATCHDOG=1".len());
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_it_names() {
        let own = Some(OsString::from(std::process::id().to_string()));
        let text = |text: &str| Some(OsString::from(text));
        assert_eq!(watchdog(text("30000000"), own), Some(Duration::from_secs(15)));
        assert_eq!(watchdog(text("30000000"), None), Some(Duration::from_secs(15)));
        assert_eq!(watchdog(text("30000000"), text("1")), None);
        assert_eq!(watchdog(text("0"), None), None);
        assert_eq!(watchdog(None, None), None);
        Notifier::to(None).ready();
    }
}
