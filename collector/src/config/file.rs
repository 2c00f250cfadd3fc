//! The configuration file, and how flags and environment lie over it.
//!
//! Invariants: a key that is not known, a value of the wrong type and one that cannot be are errors that name file, line and
//! column; the default file, with its comments taken off, says what the defaults are (tested).

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::values::{Address, ByteSize, OrNone, Span, Within};
use super::{LogFormat, LogLevel, Settings, Sync};

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// Bytes of one event.
pub type EventBytes = Within<ByteSize, KIB, { 64 << 20 }>;
/// Bytes of one batch.
pub type BatchBytes = Within<ByteSize, KIB, { 64 << 20 }>;
/// Bytes of queues and windows.
pub type BufferBytes = Within<ByteSize, { 64 * KIB }, { 2 * GIB }>;
/// How many.
pub type Count = Within<u32, 1, 1_000_000>;
/// How long to wait.
pub type Patience = Within<Span, 10, 3_600_000>;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It says something that is not understood.
    #[error("{path}:{line}:{column}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is not understood.
        message: String,
    },
}

/// What a file, or flags, may say. What they do not say stays as it is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Layer {
    /// See [`Settings::listen`].
    pub listen: Option<Vec<Address>>,
    /// See [`Settings::insecure`].
    pub insecure: Option<bool>,
    /// See [`super::SecuritySettings::sensor_token_file`].
    pub sensor_token_file: Option<PathBuf>,
    /// See [`super::SecuritySettings::reader_token_file`].
    pub reader_token_file: Option<PathBuf>,
    /// Encryption.
    pub tls: TlsLayer,
    /// The store.
    pub store: StoreLayer,
    /// Limits.
    pub limits: LimitsLayer,
    /// Logs.
    pub log: LogLayer,
}

/// See [`super::SecuritySettings`].
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each is documented where it ends up")]
pub struct TlsLayer {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub sensor_ca: Option<PathBuf>,
    pub reader_ca: Option<PathBuf>,
}

/// See [`super::StoreSettings`].
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each is documented where it ends up")]
pub struct StoreLayer {
    pub directory: Option<PathBuf>,
    pub max_age: Option<OrNone<Span>>,
    pub max_size: Option<OrNone<ByteSize>>,
    pub sync: Option<Sync>,
}

/// See [`super::Limits`].
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each is documented where it ends up")]
pub struct LimitsLayer {
    pub event_bytes: Option<EventBytes>,
    pub batch_bytes: Option<BatchBytes>,
    pub window_bytes: Option<BufferBytes>,
    pub queue_bytes: Option<BufferBytes>,
    pub live_bytes: Option<BufferBytes>,
    pub sensors: Option<Count>,
    pub subscribers: Option<Count>,
    pub connections: Option<Count>,
    pub connections_per_peer: Option<Count>,
    pub streams_per_connection: Option<Count>,
    pub hello_timeout: Option<Patience>,
}

/// See [`super::LogSettings`].
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each is documented where it ends up")]
pub struct LogLayer {
    pub format: Option<LogFormat>,
    pub level: Option<LogLevel>,
}

impl Layer {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or says something that is not understood.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Understands the text of a file.
    ///
    /// # Errors
    /// It says something that is not understood.
    pub fn parse(text: &str, path: &Path) -> Result<Self, FileError> {
        toml::from_str(text).map_err(|error| {
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let message = error.message().trim().to_owned();
            FileError::Parse { path: path.to_owned(), line, column, message }
        })
    }

    /// Lays it over settings.
    pub fn apply(self, settings: &mut Settings) {
        let Self { listen, insecure, sensor_token_file, reader_token_file, tls, store, limits, log } = self;
        let (security, limit) = (&mut settings.security, &mut settings.limits);
        set(&mut settings.listen, listen);
        set(&mut settings.insecure, insecure);
        set_some(&mut security.sensor_token_file, sensor_token_file);
        set_some(&mut security.reader_token_file, reader_token_file);
        let TlsLayer { certificate, key, sensor_ca, reader_ca } = tls;
        set_some(&mut security.certificate, certificate);
        set_some(&mut security.key, key);
        set_some(&mut security.sensor_ca, sensor_ca);
        set_some(&mut security.reader_ca, reader_ca);
        let StoreLayer { directory, max_age, max_size, sync } = store;
        set(&mut settings.store.directory, directory);
        set(&mut settings.store.max_age, max_age.map(|age| age.0.map(|span| span.0)));
        set(&mut settings.store.max_bytes, max_size.map(|size| size.0.map(|bytes| bytes.0)));
        set(&mut settings.store.sync, sync);
        let LimitsLayer {
            event_bytes,
            batch_bytes,
            window_bytes,
            queue_bytes,
            live_bytes,
            sensors,
            subscribers,
            connections,
            connections_per_peer,
            streams_per_connection,
            hello_timeout,
        } = limits;
        set(&mut limit.event_bytes, event_bytes.map(|bytes| bytes.0.0));
        set(&mut limit.batch_bytes, batch_bytes.map(|bytes| bytes.0.0));
        set(&mut limit.window_bytes, window_bytes.map(|bytes| bytes.0.0));
        set(&mut limit.queue_bytes, queue_bytes.map(|bytes| bytes.0.0));
        set(&mut limit.live_bytes, live_bytes.map(|bytes| bytes.0.0));
        set(&mut limit.sensors, sensors.map(|count| count.0));
        set(&mut limit.subscribers, subscribers.map(|count| count.0));
        set(&mut limit.connections, connections.map(|count| count.0));
        set(&mut limit.connections_per_peer, connections_per_peer.map(|count| count.0));
        set(&mut limit.streams_per_connection, streams_per_connection.map(|count| count.0));
        set(&mut limit.hello, hello_timeout.map(|span| span.0.0));
        let LogLayer { format, level } = log;
        set(&mut settings.log.format, format);
        set(&mut settings.log.level, level);
    }
}

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

fn set_some<T>(setting: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *setting = value;
    }
}

/// The default file, with comments.
#[must_use]
pub fn default_file() -> String {
    let Settings { listen, store, limits, .. } = Settings::default();
    let listen = listen.iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(", ");
    let size = |bytes: u64| ByteSize(bytes);
    let span = |duration: Duration| Span(duration);
    format!(
        r#"# Settings of mcp-collector: `mcp-collector serve --config FILE`.
#
# What is commented out is the default. Flags of the command line go first, then environment variables (MCP_COLLECTOR_*), then
# this file. Sizes are written with B, KiB, MiB, GiB or TiB, stretches of time with ms, s, m, h or d.

# Where to listen: IP:PORT or unix:PATH. Without encryption only on loopback and Unix sockets.
#listen = [{listen}]

# Serve without encryption or credentials where others can reach it. Warns at every start.
#insecure = false

# Tokens of sensors and of readers (subscribers, queries), one a line. Asked for on every address once they are set.
#sensor_token_file = "/etc/mcp-collector/sensor.tokens"
#reader_token_file = "/etc/mcp-collector/reader.tokens"

[tls]
# The server's certificate chain and its key, PEM.
#certificate = "/etc/mcp-collector/tls.crt"
#key = "/etc/mcp-collector/tls.key"

# Who signs the certificates of sensors and of readers, PEM. A certificate is as good as a token.
#sensor_ca = "/etc/mcp-collector/sensor-ca.crt"
#reader_ca = "/etc/mcp-collector/reader-ca.crt"

[store]
# Directory of the database.
#directory = "{directory}"

# Events are deleted after this time ("none" keeps them), and the oldest where the database holds more than this ("none" does
# not limit it). Whole partitions are deleted, so some events live a little longer.
#max_age = "{max_age}"
#max_size = "{max_size}"

# What is acknowledged to a sensor outlives a power failure ("full"), or the end of the collector alone ("normal").
#sync = "full"

[limits]
# Bytes of one event, and of one batch, that a sensor may send.
#event_bytes = "{event}"
#batch_bytes = "{batch}"

# Bytes that one sensor, and all sensors, may have under way to the store.
#window_bytes = "{window}"
#queue_bytes = "{queue}"

# Bytes of the newest events that are kept for slow subscribers. Who is further behind misses events, and is told.
#live_bytes = "{live}"

# How many at once.
#sensors = {sensors}
#subscribers = {subscribers}
#connections = {connections}
#connections_per_peer = {per_peer}
#streams_per_connection = {streams}

# Time that a new connection has to say who it is.
#hello_timeout = "{hello}"

[log]
# "text" or "json"; "error", "warn", "info" or "debug". Never has contents of events.
#format = "text"
#level = "info"
"#,
        directory = store.directory.display(),
        max_age = OrNone(store.max_age.map(span)),
        max_size = OrNone(store.max_bytes.map(size)),
        event = size(limits.event_bytes),
        batch = size(limits.batch_bytes),
        window = size(limits.window_bytes),
        queue = size(limits.queue_bytes),
        live = size(limits.live_bytes),
        sensors = limits.sensors,
        subscribers = limits.subscribers,
        connections = limits.connections,
        per_peer = limits.connections_per_peer,
        streams = limits.streams_per_connection,
        hello = span(limits.hello),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Layer::parse(text, Path::new("c.toml")).unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_file_line_and_column() {
        let cases = [
            ("x = 1\n", "c.toml:1:1: unknown field `x`"),
            ("insecure = false\n\n[store]\n  size = 1\n", "c.toml:4:3: unknown field `size`"),
            ("insecure = 7", "c.toml:1:12: invalid type: integer `7`, expected a boolean"),
            ("[store]\nmax_age = \"soon\"", "c.toml:2:11: `soon` is no time span"),
            ("[limits]\nsensors = 0", "c.toml:2:11: 0 is out of range: expected 1 to 1000000"),
            ("[limits]\nevent_bytes = \"1B\"", "c.toml:2:15: 1B is out of range: expected 1KiB to 64MiB"),
            ("listen = [\"127.0.0.1:1\", \"host\"]", "c.toml:1:10: `host` is no address"),
            ("[store]\nsync = \"maybe\"", "c.toml:2:8: unknown variant `maybe`"),
            ("[log\n", "c.toml:1:5: "),
        ];
        for (text, expected) in cases {
            assert!(error(text).starts_with(expected), "{text:?}: {}", error(text));
        }
    }

    #[test]
    fn the_default_file_says_what_the_defaults_are() {
        let text = default_file();
        let mut settings = Settings::default();
        Layer::parse(&text, Path::new("x")).unwrap().apply(&mut settings);
        assert_eq!(settings, Settings::default());
        // The same with every setting written out, but for files, which have no default.
        let is_setting = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
        let is_file = |line: &str| line.contains("/etc/");
        let written: String = text
            .lines()
            .filter(|line| !is_file(line))
            .map(|line| format!("{}\n", if is_setting(line) { &line[1..] } else { line }))
            .collect();
        let layer = Layer::parse(&written, Path::new("x")).unwrap();
        assert!(layer.limits.hello_timeout.is_some() && layer.listen.is_some() && layer.log.level.is_some());
        layer.apply(&mut settings);
        assert_eq!(settings, Settings::default());
    }
}
