//! The table of settings.
//!
//! Invariant: a setting is in the file as `key` of `table`, on the command line as `--flag`, and in the environment as
//! `MCP_SENSOR_` and the flag in capitals ([`Setting::variable`]).

use std::path::PathBuf;
use std::time::Duration;

use super::{Config, LogFormat, LogLevel, Payload};
use crate::export::uplink::Address;
use crate::respond::Enforcement;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The table of the file that it is in; empty for the top.
    pub table: &'static str,
    /// Its key there.
    pub key: &'static str,
    /// Its flag, without the dashes.
    pub flag: &'static str,
    /// What stands for its value in help texts.
    pub value: &'static str,
    /// What it is for: one line for the short help.
    pub help: &'static str,
    /// What more there is to know.
    pub more: &'static str,
    /// A value, as it may stand in the file. For settings without a default.
    pub example: &'static str,
    /// True where a running service takes a new value over.
    pub reloads: bool,
    /// Where its value goes.
    pub field: Field,
}

/// A place in the configuration, with what may stand there.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is named after what stands there")]
pub enum Field {
    Text(fn(&mut Config) -> &mut Option<String>),
    Path(fn(&mut Config) -> &mut Option<PathBuf>),
    Address(fn(&mut Config) -> &mut Option<Address>),
    Switch(fn(&mut Config) -> &mut bool),
    Number { of: fn(&mut Config) -> &mut u32, min: u32, max: u32, power_of_two: bool },
    Duration { of: fn(&mut Config) -> &mut Duration, min: Duration, max: Duration },
    Texts(fn(&mut Config) -> &mut Vec<String>),
    Paths(fn(&mut Config) -> &mut Vec<PathBuf>),
    Payload(fn(&mut Config) -> &mut Payload),
    Format(fn(&mut Config) -> &mut LogFormat),
    Level(fn(&mut Config) -> &mut LogLevel),
    Mode(fn(&mut Config) -> &mut Enforcement),
}

macro_rules! each_field {
    ($field:expr, $of:ident => $body:expr) => {
        match $field {
            Field::Text($of) => $body,
            Field::Path($of) => $body,
            Field::Address($of) => $body,
            Field::Switch($of) => $body,
            Field::Number { of: $of, .. } => $body,
            Field::Duration { of: $of, .. } => $body,
            Field::Texts($of) => $body,
            Field::Paths($of) => $body,
            Field::Payload($of) => $body,
            Field::Format($of) => $body,
            Field::Level($of) => $body,
            Field::Mode($of) => $body,
        }
    };
}

impl Field {
    /// True where both have the same value here.
    pub fn agrees(&self, one: &mut Config, other: &mut Config) -> bool {
        each_field!(self, of => of(one) == of(other))
    }

    /// Makes the value of `to` the one of `from`.
    pub fn copy(&self, from: &mut Config, to: &mut Config) {
        each_field!(self, of => of(to).clone_from(of(from)));
    }
}

/// A value that is one of a few words.
pub trait Choice: Copy + Eq + 'static {
    /// The words and what they stand for.
    const WORDS: &'static [(&'static str, Self)];

    /// The word for it.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

impl Choice for Payload {
    const WORDS: &'static [(&'static str, Self)] = &[("full", Self::Full), ("redacted", Self::Redacted), ("none", Self::None)];
}

impl Choice for Enforcement {
    const WORDS: &'static [(&'static str, Self)] = &[("off", Self::Off), ("dry-run", Self::DryRun), ("on", Self::On)];
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("text", Self::Text), ("json", Self::Json), ("journald", Self::Journald)];
}

impl Choice for LogLevel {
    const WORDS: &'static [(&'static str, Self)] =
        &[("error", Self::Error), ("warn", Self::Warn), ("info", Self::Info), ("debug", Self::Debug), ("trace", Self::Trace)];
}

impl Setting {
    /// Its key with the table before it: `collector.address`.
    #[must_use]
    pub fn full_key(&self) -> String {
        if self.table.is_empty() { self.key.to_owned() } else { format!("{}.{}", self.table, self.key) }
    }

    /// Its environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("MCP_SENSOR_{}", self.flag.replace('-', "_").to_uppercase())
    }

    /// The row of a key of the file.
    #[must_use]
    pub fn of_key(full_key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.full_key() == full_key)
    }
}

/// What stands before the settings of a table, in the default file and in the help.
pub const TABLES: &[(&str, &str)] = &[
    ("", "The service"),
    ("collector", "The collector, and the way there"),
    ("capture", "What is captured and sent"),
    ("exclude", "Whom to leave alone: the kernel leaves it out, and it costs next to nothing"),
    ("limits", "What the sensor may use"),
    ("policy", "What events are judged by: `mcp-sensor policy`"),
    ("recording", "What is recorded on this host, for `mcp-sensor replay`"),
    ("enforcement", "What is done about processes: stop and kill, by rules of the policy and by hand"),
    ("log", "The log, on standard error. No payload and no captured text is ever in it"),
];

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = seconds(3600);

/// All settings, in the order of the default file.
pub static SETTINGS: &[Setting] = &[
    Setting {
        table: "",
        key: "node",
        flag: "node",
        value: "NAME",
        help: "Name of this host in events; the host's own name where not set",
        more: "",
        example: "\"web-1\"",
        reloads: false,
        field: Field::Text(|config| &mut config.node),
    },
    Setting {
        table: "",
        key: "shutdown",
        flag: "shutdown",
        value: "TIME",
        help: "How long events that are held may still be sent after SIGTERM",
        more: "",
        example: "",
        reloads: true,
        field: Field::Duration { of: |config| &mut config.shutdown, min: Duration::ZERO, max: HOUR },
    },
    Setting {
        table: "collector",
        key: "address",
        flag: "collector",
        value: "ADDRESS",
        help: "Where the collector is: https://HOST:PORT, http://HOST:PORT or unix:PATH",
        more: "http is for this machine only (localhost, 127.0.0.1, [::1]); see insecure.",
        example: "\"https://collector.example:4780\"",
        reloads: true,
        field: Field::Address(|config| &mut config.collector.address),
    },
    Setting {
        table: "collector",
        key: "ca_file",
        flag: "ca-file",
        value: "FILE",
        help: "Certificates to trust (PEM); the system's where not set",
        more: "Certificates, keys and the token are read anew for each connection.",
        example: "\"/etc/mcp-sensor/ca.pem\"",
        reloads: true,
        field: Field::Path(|config| &mut config.collector.ca_file),
    },
    Setting {
        table: "collector",
        key: "cert_file",
        flag: "cert-file",
        value: "FILE",
        help: "Certificate that the sensor shows to the collector (PEM)",
        more: "",
        example: "\"/etc/mcp-sensor/sensor.pem\"",
        reloads: true,
        field: Field::Path(|config| &mut config.collector.cert_file),
    },
    Setting {
        table: "collector",
        key: "key_file",
        flag: "key-file",
        value: "FILE",
        help: "The key of that certificate (PEM)",
        more: "",
        example: "\"/etc/mcp-sensor/sensor.key\"",
        reloads: true,
        field: Field::Path(|config| &mut config.collector.key_file),
    },
    Setting {
        table: "collector",
        key: "server_name",
        flag: "server-name",
        value: "NAME",
        help: "Name in the collector's certificate, where it is not the address's host",
        more: "",
        example: "\"collector.example\"",
        reloads: true,
        field: Field::Text(|config| &mut config.collector.server_name),
    },
    Setting {
        table: "collector",
        key: "token_file",
        flag: "token-file",
        value: "FILE",
        help: "File with the bearer token that the collector asks for",
        more: "",
        example: "\"/etc/mcp-sensor/token\"",
        reloads: true,
        field: Field::Path(|config| &mut config.collector.token_file),
    },
    Setting {
        table: "collector",
        key: "insecure",
        flag: "insecure",
        value: "BOOL",
        help: "Let events and the token cross a network unencrypted",
        more: "Whoever is on the way can read and change them. Warned of at every start.",
        example: "",
        reloads: true,
        field: Field::Switch(|config| &mut config.collector.insecure),
    },
    Setting {
        table: "collector",
        key: "buffer_mib",
        flag: "buffer-mib",
        value: "MIB",
        help: "How much is held of events that the collector has not acknowledged, in MiB",
        more: "Beyond, the least severe go first, of those the oldest; what is lost is told.",
        example: "",
        reloads: false,
        field: Field::Number { of: |config| &mut config.collector.buffer_mib, min: 1, max: 65_536, power_of_two: false },
    },
    Setting {
        table: "collector",
        key: "backoff_min",
        flag: "backoff-min",
        value: "TIME",
        help: "Longest wait before the first attempt to connect again",
        more: "It doubles with each failure. How long is waited really is random, from zero on.",
        example: "",
        reloads: false,
        field: Field::Duration { of: |config| &mut config.collector.backoff_min, min: MILLISECOND, max: HOUR },
    },
    Setting {
        table: "collector",
        key: "backoff_max",
        flag: "backoff-max",
        value: "TIME",
        help: "Longest wait before any attempt to connect again",
        more: "",
        example: "",
        reloads: false,
        field: Field::Duration { of: |config| &mut config.collector.backoff_max, min: MILLISECOND, max: HOUR },
    },
    Setting {
        table: "collector",
        key: "heartbeat",
        flag: "heartbeat",
        value: "TIME",
        help: "How often the collector is told how the sensor is",
        more: "",
        example: "",
        reloads: false,
        field: Field::Duration { of: |config| &mut config.collector.heartbeat, min: Duration::from_millis(100), max: HOUR },
    },
    Setting {
        table: "capture",
        key: "payload",
        flag: "payload",
        value: "LEVEL",
        help: "How much of the contents leaves the sensor: full, redacted or none",
        more: "full sends secrets as they are; redacted replaces them; none sends who, what, when and how big.",
        example: "",
        reloads: false,
        field: Field::Payload(|config| &mut config.capture.payload),
    },
    Setting {
        table: "capture",
        key: "messages",
        flag: "messages",
        value: "BOOL",
        help: "Send every message, not only tool calls, sessions and gaps",
        more: "",
        example: "",
        reloads: false,
        field: Field::Switch(|config| &mut config.capture.messages),
    },
    Setting {
        table: "exclude",
        key: "exe",
        flag: "exclude-exe",
        value: "PATH",
        help: "Processes of these programs",
        more: "",
        example: "[\"/usr/bin/backup\"]",
        reloads: true,
        field: Field::Paths(|config| &mut config.exclude.exe),
    },
    Setting {
        table: "exclude",
        key: "user",
        flag: "exclude-user",
        value: "USER",
        help: "Processes of these users (names or ids)",
        more: "",
        example: "[\"root\", \"1000\"]",
        reloads: true,
        field: Field::Texts(|config| &mut config.exclude.user),
    },
    Setting {
        table: "exclude",
        key: "cgroup",
        flag: "exclude-cgroup",
        value: "PREFIX",
        help: "Processes in control groups whose path begins so",
        more: "",
        example: "[\"/system.slice/backup.service\"]",
        reloads: true,
        field: Field::Texts(|config| &mut config.exclude.cgroup),
    },
    Setting {
        table: "limits",
        key: "ring_mib",
        flag: "ring-mib",
        value: "MIB",
        help: "Size of the ring buffer between kernel and sensor, in MiB: a power of two",
        more: "",
        example: "",
        reloads: false,
        field: Field::Number { of: |config| &mut config.limits.ring_mib, min: 1, max: 1024, power_of_two: true },
    },
    Setting {
        table: "limits",
        key: "max_call_mib",
        flag: "max-call-mib",
        value: "MIB",
        help: "How much of one read or write is captured, in MiB; the rest is told as a gap",
        more: "",
        example: "",
        reloads: false,
        field: Field::Number { of: |config| &mut config.limits.max_call_mib, min: 1, max: 1024, power_of_two: false },
    },
    Setting {
        table: "limits",
        key: "max_message_mib",
        flag: "max-message-mib",
        value: "MIB",
        help: "The longest message that is read whole, in MiB; a longer one is told as truncated",
        more: "",
        example: "",
        reloads: false,
        field: Field::Number { of: |config| &mut config.limits.max_message_mib, min: 1, max: 1024, power_of_two: false },
    },
    Setting {
        table: "limits",
        key: "memory_mib",
        flag: "memory-mib",
        value: "MIB",
        help: "How much is held of unfinished messages and calls, in MiB",
        more: "What is given up beyond is told.",
        example: "",
        reloads: false,
        field: Field::Number { of: |config| &mut config.limits.memory_mib, min: 8, max: 1_048_576, power_of_two: false },
    },
    Setting {
        table: "policy",
        key: "file",
        flag: "policy",
        value: "FILE",
        help: "The rules that events are judged by; where not set, those that `mcp-sensor policy shipped` prints",
        more: "A change of the file takes effect at once.",
        example: "\"/etc/mcp-sensor/policy.yaml\"",
        reloads: true,
        field: Field::Path(|config| &mut config.policy.file),
    },
    Setting {
        table: "policy",
        key: "off",
        flag: "policy-off",
        value: "BOOL",
        help: "Judge nothing",
        more: "",
        example: "",
        reloads: true,
        field: Field::Switch(|config| &mut config.policy.off),
    },
    Setting {
        table: "recording",
        key: "directory",
        flag: "record-to",
        value: "FOLDER",
        help: "Record to files in this folder; nothing is recorded where not set",
        more: "They open in Wireshark; `mcp-sensor replay` shows them.",
        example: "\"/var/lib/mcp-sensor/recordings\"",
        reloads: false,
        field: Field::Path(|config| &mut config.recording.directory),
    },
    Setting {
        table: "recording",
        key: "incidents",
        flag: "record-incidents",
        value: "BOOL",
        help: "Record only sessions in which something goes wrong, with what was before",
        more: "A call that fails, an error that a tool reports, a gap.",
        example: "",
        reloads: false,
        field: Field::Switch(|config| &mut config.recording.incidents),
    },
    Setting {
        table: "recording",
        key: "before",
        flag: "record-before",
        value: "TIME",
        help: "How much of the time before an incident is recorded, as far as held_mib has room for it",
        more: "",
        example: "",
        reloads: false,
        field: Field::Duration { of: |config| &mut config.recording.before, min: MILLISECOND, max: seconds(86_400) },
    },
    Setting {
        table: "recording",
        key: "client",
        flag: "record-client",
        value: "NAME,…",
        help: "Record only sessions whose client is one of these",
        more: "Names may have * and ?; as in `mcp-sensor watch --client`.",
        example: "[\"claude*\"]",
        reloads: false,
        field: Field::Texts(|config| &mut config.recording.client),
    },
    Setting {
        table: "recording",
        key: "server",
        flag: "record-server",
        value: "NAME,…",
        help: "Record only sessions whose server is one of these",
        more: "",
        example: "[\"github\", \"*-prod\"]",
        reloads: false,
        field: Field::Texts(|config| &mut config.recording.server),
    },
    Setting {
        table: "recording",
        key: "tool",
        flag: "record-tool",
        value: "GLOB,…",
        help: "Record only sessions in which one of these tools is called",
        more: "",
        example: "[\"delete_*\"]",
        reloads: false,
        field: Field::Texts(|config| &mut config.recording.tool),
    },
    Setting {
        table: "recording",
        key: "full",
        flag: "record-full",
        value: "BOOL",
        help: "Record every captured byte, secrets too, in place of redacted messages",
        more: "Warned of at every start where recipients is empty.",
        example: "",
        reloads: false,
        field: Field::Switch(|config| &mut config.recording.full),
    },
    Setting {
        table: "recording",
        key: "held_mib",
        flag: "record-held-mib",
        value: "MIB",
        help: "How much is held in memory of sessions that may have to be recorded yet, in MiB",
        more: "",
        example: "",
        reloads: false,
        field: Field::Number { of: |config| &mut config.recording.held_mib, min: 1, max: 65_536, power_of_two: false },
    },
    Setting {
        table: "recording",
        key: "compress",
        flag: "record-compress",
        value: "BOOL",
        help: "Compress the files (zstd)",
        more: "",
        example: "",
        reloads: false,
        field: Field::Switch(|config| &mut config.recording.compress),
    },
    Setting {
        table: "recording",
        key: "recipients",
        flag: "record-recipient",
        value: "KEY,…",
        help: "Encrypt the files for these public keys of age",
        more: "",
        example: "[\"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\"]",
        reloads: false,
        field: Field::Texts(|config| &mut config.recording.recipients),
    },
    Setting {
        table: "recording",
        key: "signing_key",
        flag: "record-signing-key",
        value: "FILE",
        help: "Sign the files with this key; `mcp-sensor keygen` makes one",
        more: "",
        example: "\"/etc/mcp-sensor/recording.pem\"",
        reloads: false,
        field: Field::Path(|config| &mut config.recording.signing_key),
    },
    Setting {
        table: "recording",
        key: "file_mib",
        flag: "record-file-mib",
        value: "MIB",
        help: "Begin a new file when one is this big, in MiB",
        more: "",
        example: "",
        reloads: false,
        field: Field::Number { of: |config| &mut config.recording.file_mib, min: 4, max: 1_048_576, power_of_two: false },
    },
    Setting {
        table: "recording",
        key: "file_age",
        flag: "record-file-age",
        value: "TIME",
        help: "Begin a new file when one is this old",
        more: "",
        example: "",
        reloads: false,
        field: Field::Duration { of: |config| &mut config.recording.file_age, min: seconds(1), max: seconds(30 * 86_400) },
    },
    Setting {
        table: "recording",
        key: "total_mib",
        flag: "record-total-mib",
        value: "MIB",
        help: "Remove the oldest files when all together are bigger than this, in MiB",
        more: "",
        example: "",
        reloads: false,
        field: Field::Number { of: |config| &mut config.recording.total_mib, min: 16, max: 1_073_741_824, power_of_two: false },
    },
    Setting {
        table: "recording",
        key: "sync",
        flag: "record-sync",
        value: "TIME",
        help: "Make what was written durable after this long; 0s: when the system likes",
        more: "",
        example: "",
        reloads: false,
        field: Field::Duration { of: |config| &mut config.recording.sync, min: Duration::ZERO, max: HOUR },
    },
    Setting {
        table: "enforcement",
        key: "mode",
        flag: "enforcement",
        value: "MODE",
        help: "What stop and kill lead to: off, dry-run or on",
        more: "dry-run decides, checks and tells of it, and sends no signal; on does it.",
        example: "",
        reloads: true,
        field: Field::Mode(|config| &mut config.enforcement.mode),
    },
    Setting {
        table: "enforcement",
        key: "exempt_exe",
        flag: "exempt-exe",
        value: "GLOB",
        help: "Never touch processes of these programs; paths on the host, with * and ?",
        more: "Always exempt: the first process, the kernel's, the sensor and what started it, systemd, sshd, kubelet, container runtimes.",
        example: "[\"/usr/lib/postgresql/*/bin/postgres\"]",
        reloads: true,
        field: Field::Texts(|config| &mut config.enforcement.exempt_exe),
    },
    Setting {
        table: "enforcement",
        key: "exempt_user",
        flag: "exempt-user",
        value: "USER",
        help: "Never touch processes of these users (names or ids)",
        more: "",
        example: "[\"postgres\", \"1000\"]",
        reloads: true,
        field: Field::Texts(|config| &mut config.enforcement.exempt_user),
    },
    Setting {
        table: "enforcement",
        key: "exempt_cgroup",
        flag: "exempt-cgroup",
        value: "PREFIX",
        help: "Never touch processes in control groups whose path begins so",
        more: "",
        example: "[\"/system.slice/postgresql.service\"]",
        reloads: true,
        field: Field::Texts(|config| &mut config.enforcement.exempt_cgroup),
    },
    Setting {
        table: "enforcement",
        key: "actions_per_minute",
        flag: "actions-per-minute",
        value: "NUMBER",
        help: "How many actions there may be on this host in a minute; more are refused",
        more: "A rule that goes wrong does not take the host with it.",
        example: "",
        reloads: true,
        field: Field::Number { of: |config| &mut config.enforcement.actions_per_minute, min: 1, max: 100_000, power_of_two: false },
    },
    Setting {
        table: "enforcement",
        key: "control_socket",
        flag: "control-socket",
        value: "FILE",
        help: "Where `mcp-sensor kill`, `resume` and `actions` reach the service; for root only",
        more: "",
        example: "",
        reloads: false,
        field: Field::Path(|config| &mut config.enforcement.control_socket),
    },
    Setting {
        table: "log",
        key: "format",
        flag: "log-format",
        value: "FORMAT",
        help: "What the lines look like: auto, text, json or journald",
        more: "auto is journald where standard error is the journal, and text elsewhere.",
        example: "",
        reloads: false,
        field: Field::Format(|config| &mut config.log.format),
    },
    Setting {
        table: "log",
        key: "level",
        flag: "log-level",
        value: "LEVEL",
        help: "Which lines are written: error, warn, info, debug or trace",
        more: "",
        example: "",
        reloads: true,
        field: Field::Level(|config| &mut config.log.level),
    },
];
