//! What can be set: by flag, by environment variable, in a file; in this order of precedence, and with defaults that are safe.
//!
//! - [`values`] are the sorts of value, with one way to write each, wherever it is written.
//! - `file` reads the TOML file and prints the commented default one.
//! - [`Settings`] is what comes out, complete and checked.
//!
//! Invariant: what is not understood is an error, never ignored.

pub mod file;
pub mod values;

use std::path::PathBuf;
use std::time::Duration;

pub use values::{Address, ByteSize, Span};

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where to listen.
    pub listen: Vec<Address>,
    /// Serve without encryption or credentials where that is not safe.
    pub insecure: bool,
    /// Encryption and credentials.
    pub security: SecuritySettings,
    /// The store.
    pub store: StoreSettings,
    /// Limits.
    pub limits: Limits,
    /// Logs.
    pub log: LogSettings,
}

/// Encryption and credentials. All files are PEM, but for the tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecuritySettings {
    /// The server's certificate chain.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Who signs the certificates of sensors.
    pub sensor_ca: Option<PathBuf>,
    /// Who signs the certificates of readers.
    pub reader_ca: Option<PathBuf>,
    /// Tokens of sensors, one a line.
    pub sensor_token_file: Option<PathBuf>,
    /// Tokens of readers, one a line.
    pub reader_token_file: Option<PathBuf>,
}

/// How sure a commit is before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// On the disk: outlives a power failure.
    #[default]
    Full,
    /// With the kernel: outlives the collector.
    Normal,
}

/// The store.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSettings {
    /// Directory of the database.
    pub directory: PathBuf,
    /// Events are deleted after this time. `None` keeps them.
    pub max_age: Option<Duration>,
    /// The oldest events are deleted where the database holds more bytes. `None` does not limit it.
    pub max_bytes: Option<u64>,
    /// How sure a commit is.
    pub sync: Sync,
    /// Events of a partition; for tests.
    pub partition_events: Option<u64>,
    /// Time between two looks for what is to be deleted; for tests.
    pub chores: Option<Duration>,
}

/// Limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of one event.
    pub event_bytes: u64,
    /// Bytes of one batch.
    pub batch_bytes: u64,
    /// Bytes that one sensor may have under way.
    pub window_bytes: u64,
    /// Bytes that all sensors together may have under way to the store.
    pub queue_bytes: u64,
    /// Bytes of the newest events that are kept for subscribers that are slow.
    pub live_bytes: u64,
    /// Sensors connected at once.
    pub sensors: u32,
    /// Subscribers at once.
    pub subscribers: u32,
    /// Connections at once.
    pub connections: u32,
    /// Connections of one address at once.
    pub connections_per_peer: u32,
    /// Streams and requests of one connection at once.
    pub streams_per_connection: u32,
    /// Time from the connection to the sensor's Hello.
    pub hello: Duration,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Failures.
    Error,
    /// And what is not as it should be.
    Warn,
    /// And who comes and goes.
    #[default]
    Info,
    /// And details.
    Debug,
}

/// Logs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LogSettings {
    /// How.
    pub format: LogFormat,
    /// How much.
    pub level: LogLevel,
}

const MIB: u64 = 1024 * 1024;

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![Address::default()],
            insecure: false,
            security: SecuritySettings::default(),
            store: StoreSettings::default(),
            limits: Limits::default(),
            log: LogSettings::default(),
        }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("/var/lib/mcp-collector"),
            max_age: Some(Duration::from_secs(30 * 86_400)),
            max_bytes: Some(20 * 1024 * MIB),
            sync: Sync::Full,
            partition_events: None,
            chores: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes: 4 * MIB,
            batch_bytes: MIB,
            window_bytes: 8 * MIB,
            queue_bytes: 64 * MIB,
            live_bytes: 64 * MIB,
            sensors: 1_000,
            subscribers: 1_000,
            connections: 4_096,
            connections_per_peer: 256,
            streams_per_connection: 64,
            hello: Duration::from_secs(10),
        }
    }
}

/// Settings that do not go together.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Conflict {
    /// Nothing to listen on.
    #[error("there is no address to listen on")]
    NoAddress,
    /// One of the certificate and its key is missing.
    #[error("a certificate needs its key, and a key its certificate: set both tls.certificate and tls.key")]
    HalfIdentity,
    /// Client certificates without encryption.
    #[error("tls.{0} needs tls.certificate and tls.key")]
    CaWithoutTls(&'static str),
    /// An address that others can reach, without encryption.
    #[error("{0} can be reached from other hosts and needs encryption: set tls.certificate and tls.key, or --insecure")]
    Plaintext(Address),
    /// An address that others can reach, where anyone may come in.
    #[error("{address} can be reached from other hosts and {who} need no credentials: set tls.{ca} or {token}, or --insecure")]
    Open {
        /// The address.
        address: Address,
        /// Who needs none.
        who: &'static str,
        /// What would ask for certificates.
        ca: &'static str,
        /// What would ask for tokens.
        token: &'static str,
    },
}

impl Settings {
    /// Finds what does not go together. What is dangerous and allowed by `insecure` comes back as warnings.
    ///
    /// # Errors
    /// The first thing that cannot be, or must not be.
    pub fn check(&self) -> Result<Vec<Conflict>, Conflict> {
        let SecuritySettings { certificate, key, sensor_ca, reader_ca, sensor_token_file, reader_token_file } = &self.security;
        if self.listen.is_empty() {
            return Err(Conflict::NoAddress);
        }
        if certificate.is_some() != key.is_some() {
            return Err(Conflict::HalfIdentity);
        }
        for (ca, name) in [(sensor_ca, "sensor_ca"), (reader_ca, "reader_ca")] {
            if ca.is_some() && certificate.is_none() {
                return Err(Conflict::CaWithoutTls(name));
            }
        }
        let mut dangers = Vec::new();
        for address in self.listen.iter().filter(|address| !address.is_local()) {
            if certificate.is_none() {
                dangers.push(Conflict::Plaintext(address.clone()));
            }
            if sensor_ca.is_none() && sensor_token_file.is_none() {
                let (who, ca, token) = ("sensors", "sensor_ca", "sensor_token_file");
                dangers.push(Conflict::Open { address: address.clone(), who, ca, token });
            }
            if reader_ca.is_none() && reader_token_file.is_none() {
                let (who, ca, token) = ("readers", "reader_ca", "reader_token_file");
                dangers.push(Conflict::Open { address: address.clone(), who, ca, token });
            }
        }
        match dangers.first() {
            Some(danger) if !self.insecure => Err(danger.clone()),
            _ => Ok(dangers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(address: &str) -> Settings {
        Settings { listen: vec![address.parse().unwrap()], ..Settings::default() }
    }

    #[test]
    fn plain_text_is_for_this_host_alone() {
        for address in ["127.0.0.1:1", "[::1]:1", "unix:/run/x.sock"] {
            assert_eq!(on(address).check(), Ok(Vec::new()));
        }
        for address in ["0.0.0.0:1", "192.0.2.1:1", "[::]:1"] {
            assert_eq!(on(address).check(), Err(Conflict::Plaintext(address.parse().unwrap())));
            let dangers = Settings { insecure: true, ..on(address) }.check().unwrap();
            assert_eq!(dangers.len(), 3, "{dangers:?}");
        }
    }

    #[test]
    fn encryption_alone_lets_nobody_in() {
        let file = || Some(PathBuf::from("x"));
        let mut settings = on("0.0.0.0:1");
        settings.security = SecuritySettings { certificate: file(), key: file(), ..SecuritySettings::default() };
        assert!(matches!(settings.check(), Err(Conflict::Open { who: "sensors", .. })));
        settings.security.sensor_token_file = file();
        assert!(matches!(settings.check(), Err(Conflict::Open { who: "readers", .. })));
        settings.security.reader_ca = file();
        assert_eq!(settings.check(), Ok(Vec::new()));
        settings.security.key = None;
        assert_eq!(settings.check(), Err(Conflict::HalfIdentity));
    }
}
