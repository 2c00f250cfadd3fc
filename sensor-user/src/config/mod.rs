//! How the service is configured: a file, environment variables, flags.
//!
//! One table ([`settings`]) has a row for each setting: where its value goes, what it may be, what it is for. The keys of the
//! file, the names of flags and variables, the help and the commented default file all come from it, so none can be
//! forgotten.
//!
//! Invariants: a flag goes before a variable, a variable before the file, the file before the default; nothing that is
//! not understood is passed over: an unknown key, a wrong type or an impossible value is an error that says where it
//! stands, what is wrong and how to mend it; a [`Config`] that was made by [`load`] can be run.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

mod defaults;
mod error;
mod file;
mod flags;
mod merge;
pub mod settings;

#[cfg(test)]
mod tests;

pub use self::defaults::default_file;
pub use self::error::{ConfigError, Origin, Problem};
pub use self::flags::Given;
pub use self::merge::{Environment, Loaded, load};

use crate::export::uplink::Address;
use crate::respond::Enforcement as Mode;

/// Everything that can be set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// Name of the host in events; the host's own where absent.
    pub node: Option<String>,
    /// How long what is held may still be handed on at the end.
    pub shutdown: Duration,
    /// The collector and the way there.
    pub collector: Collector,
    /// What is captured and sent.
    pub capture: Capture,
    /// Whom to leave alone.
    pub exclude: Exclude,
    /// What the sensor may use.
    pub limits: Limits,
    /// What events are judged by.
    pub policy: Policy,
    /// What is recorded on this host.
    pub recording: Recording,
    /// What is done about processes.
    pub enforcement: Enforcement,
    /// The log.
    pub log: Log,
}

/// The collector and the way there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Collector {
    /// Where it is.
    pub address: Option<Address>,
    /// Certificates to trust, PEM; the system's where absent.
    pub ca_file: Option<PathBuf>,
    /// The sensor's certificate, PEM.
    pub cert_file: Option<PathBuf>,
    /// The key to it, PEM.
    pub key_file: Option<PathBuf>,
    /// The name in the collector's certificate, where it is another than the address's host.
    pub server_name: Option<String>,
    /// Holds the bearer token.
    pub token_file: Option<PathBuf>,
    /// Events may cross a network unencrypted.
    pub insecure: bool,
    /// What is held of unacknowledged events, in MiB.
    pub buffer_mib: u32,
    /// The first wait after a failure is at most this long,
    pub backoff_min: Duration,
    /// and every wait is at most this long.
    pub backoff_max: Duration,
    /// Time between two messages of how the sensor is.
    pub heartbeat: Duration,
}

/// How much of the contents of messages leaves the sensor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Payload {
    /// Everything as it is.
    Full,
    /// Secrets replaced.
    Redacted,
    /// Nothing.
    None,
}

/// What is captured and sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Capture {
    /// How much of the contents.
    pub payload: Payload,
    /// Single messages, not only what is made of them.
    pub messages: bool,
}

/// Whom to leave alone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Exclude {
    /// Programs, by path.
    pub exe: Vec<PathBuf>,
    /// Users, by name or number.
    pub user: Vec<String>,
    /// Control groups, by the beginning of their path.
    pub cgroup: Vec<String>,
}

/// What the sensor may use, in MiB.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The ring buffer between kernel and sensor.
    pub ring_mib: u32,
    /// What is captured of one call.
    pub max_call_mib: u32,
    /// The longest message that is read whole.
    pub max_message_mib: u32,
    /// What is held of unfinished messages and calls.
    pub memory_mib: u32,
}

/// What events are judged by.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    /// The policy; the rules that come along where absent.
    pub file: Option<PathBuf>,
    /// Nothing is judged.
    pub off: bool,
}

/// What is recorded on this host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recording {
    /// Where the files are; nothing is recorded where absent.
    pub directory: Option<PathBuf>,
    /// Only sessions in which something goes wrong.
    pub incidents: bool,
    /// With this much before.
    pub before: Duration,
    /// Only sessions with one of these clients,
    pub client: Vec<String>,
    /// one of these servers,
    pub server: Vec<String>,
    /// or calls of one of these tools.
    pub tool: Vec<String>,
    /// Every captured byte, not redacted messages.
    pub full: bool,
    /// What is held in memory of sessions that may have to be recorded yet, in MiB.
    pub held_mib: u32,
    /// Files are compressed.
    pub compress: bool,
    /// Public keys of age for which files are encrypted.
    pub recipients: Vec<String>,
    /// The key that signs files.
    pub signing_key: Option<PathBuf>,
    /// A file is no bigger than this, in MiB,
    pub file_mib: u32,
    /// and no older.
    pub file_age: Duration,
    /// All files together, in MiB.
    pub total_mib: u32,
    /// What was written is durable after this long; whenever the system likes where zero.
    pub sync: Duration,
}

/// Where the control socket is, where nothing else is said.
pub const CONTROL_SOCKET: &str = "/run/mcp-sensor/control.sock";

/// What is done about processes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Enforcement {
    /// What orders lead to.
    pub mode: Mode,
    /// Who is never touched: programs, by path with `*` and `?`,
    pub exempt_exe: Vec<String>,
    /// users, by name or number,
    pub exempt_user: Vec<String>,
    /// control groups, by the beginning of their path.
    pub exempt_cgroup: Vec<String>,
    /// Actions on this host in a minute at most.
    pub actions_per_minute: u32,
    /// Where orders by hand come in.
    pub control_socket: Option<PathBuf>,
}

/// What the lines of the log look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// To the journal where standard error is the journal, as text elsewhere.
    Auto,
    /// Text on standard error.
    Text,
    /// JSON on standard error.
    Json,
    /// To the journal, with fields.
    Journald,
}

/// Which lines of the log are written.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what is not as it should be.
    Warn,
    /// And what changes.
    Info,
    /// And what happens.
    Debug,
    /// And each step.
    Trace,
}

/// The log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Log {
    /// What the lines look like.
    pub format: LogFormat,
    /// Which lines are written.
    pub level: LogLevel,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: None,
            shutdown: Duration::from_secs(5),
            collector: Collector {
                address: None,
                ca_file: None,
                cert_file: None,
                key_file: None,
                server_name: None,
                token_file: None,
                insecure: false,
                buffer_mib: 16,
                backoff_min: Duration::from_millis(250),
                backoff_max: Duration::from_secs(30),
                heartbeat: Duration::from_secs(5),
            },
            capture: Capture { payload: Payload::Redacted, messages: true },
            exclude: Exclude::default(),
            limits: Limits { ring_mib: 32, max_call_mib: 16, max_message_mib: 16, memory_mib: 32 },
            policy: Policy::default(),
            recording: Recording {
                directory: None,
                incidents: false,
                before: Duration::from_secs(300),
                client: Vec::new(),
                server: Vec::new(),
                tool: Vec::new(),
                full: false,
                held_mib: 16,
                compress: true,
                recipients: Vec::new(),
                signing_key: None,
                file_mib: 256,
                file_age: Duration::from_secs(3600),
                total_mib: 4096,
                sync: Duration::from_secs(5),
            },
            enforcement: Enforcement {
                mode: Mode::DryRun,
                exempt_exe: Vec::new(),
                exempt_user: Vec::new(),
                exempt_cgroup: Vec::new(),
                actions_per_minute: 30,
                control_socket: Some(PathBuf::from(CONTROL_SOCKET)),
            },
            log: Log { format: LogFormat::Auto, level: LogLevel::Info },
        }
    }
}
