//! Where the collector is: `http://HOST:PORT`, `https://HOST:PORT` or `unix:PATH`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// An address of a collector.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// A host and port.
    Tcp {
        /// With TLS.
        tls: bool,
        /// Name or address; an IPv6 address without its brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// A socket of this machine.
    Unix(PathBuf),
}

/// What is no address.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum AddressError {
    /// Some other beginning.
    #[error("it must begin with https://, http:// or unix:")]
    Scheme,
    /// No host.
    #[error("the host is missing")]
    NoHost,
    /// No port.
    #[error("the port is missing or no number from 1 to 65535, as in https://collector.example:4780")]
    NoPort,
    /// Something behind the port.
    #[error("nothing may follow the port")]
    Path,
    /// Characters that no host name has.
    #[error("the host has characters that no host name has")]
    Host,
    /// No absolute path.
    #[error("the path of a socket must be absolute, as in unix:/run/mcp-collector.sock")]
    Relative,
}

impl Address {
    /// True where what is sent stays on this machine: nobody else can read it without being root here.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback()),
        }
    }

    /// True where the connection is encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(AddressError::Relative) };
        }
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(AddressError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(AddressError::Path);
        }
        let bracketed = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match bracketed {
            Some((host, port)) => (host, port.strip_prefix(':').ok_or(AddressError::NoPort)?),
            None => rest.rsplit_once(':').ok_or(AddressError::NoPort)?,
        };
        if host.is_empty() {
            return Err(AddressError::NoHost);
        }
        let valid = if bracketed.is_some() {
            host.parse::<std::net::Ipv6Addr>().is_ok()
        } else {
            host.chars().all(|character| character.is_ascii_alphanumeric() || "-._".contains(character))
        };
        if !valid {
            return Err(AddressError::Host);
        }
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(AddressError::NoPort)?;
        Ok(Self::Tcp { tls, host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Tcp { tls, host, port } => {
                let scheme = if *tls { "https" } else { "http" };
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(formatter, "{scheme}://{open}{host}{close}:{port}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in ["https://collector.example:4780", "http://127.0.0.1:1", "http://[::1]:4780", "unix:/run/c.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("https://a:1/".parse::<Address>().unwrap().to_string(), "https://a:1");
        assert_eq!("unix:///run/c".parse::<Address>().unwrap().to_string(), "unix:/run/c");
    }

    #[test]
    fn only_this_machine_is_local() {
        let local = |text: &str| text.parse::<Address>().unwrap().is_local();
        assert!(local("http://127.0.0.1:1") && local("http://127.9.9.9:1") && local("http://[::1]:1") && local("http://localhost:1"));
        assert!(local("unix:/x") && local("https://localhost:1"));
        assert!(
            !local("http://10.0.0.1:1") && !local("http://localhost.example:1") && !local("http://0.0.0.0:1") && !local("http://[::]:1")
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, wanted) in [
            ("", AddressError::Scheme),
            ("collector:4780", AddressError::Scheme),
            ("grpc://a:1", AddressError::Scheme),
            ("https://collector", AddressError::NoPort),
            ("https://collector:0", AddressError::NoPort),
            ("https://collector:70000", AddressError::NoPort),
            ("https://:1", AddressError::NoHost),
            ("https://a:1/path", AddressError::Path),
            ("https://user@a:1", AddressError::Path),
            ("https://a b:1", AddressError::Host),
            ("https://[::g]:1", AddressError::Host),
            ("unix:c.sock", AddressError::Relative),
        ] {
            assert_eq!(text.parse::<Address>(), Err(wanted), "{text}");
        }
    }
}
