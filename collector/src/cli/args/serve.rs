//! The flags of `mcp-collector serve`: every setting of the file, each also an environment variable.

use std::path::PathBuf;

use super::EXIT_CODES;
use crate::config::file::{BatchBytes, BufferBytes, Count, EventBytes, Layer, LimitsLayer, LogLayer, Patience, StoreLayer, TlsLayer};
use crate::config::values::OrNone;
use crate::config::{Address, ByteSize, LogFormat, LogLevel, Span, Sync};

const SERVE_EXAMPLES: &str = "\
Examples:
  mcp-collector serve --directory ./events               for this host alone
  mcp-collector serve --listen unix:/run/mcp-collector.sock
  mcp-collector serve --listen 0.0.0.0:4780 --tls-certificate c.pem --tls-key k.pem \\
      --sensor-token-file sensor.tokens --reader-token-file reader.tokens
  mcp-collector config > config.toml                     all settings, with comments

Each flag can be set by its environment variable or in the file instead; flags go first.";

/// `mcp-collector serve`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{SERVE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Serve {
    /// File of settings (TOML); see `mcp-collector config`
    #[arg(long, env = "MCP_COLLECTOR_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen: IP:PORT or unix:PATH; may be given several times [default: 127.0.0.1:4780]
    #[arg(long, env = "MCP_COLLECTOR_LISTEN", value_name = "ADDRESS", value_delimiter = ',')]
    pub listen: Vec<Address>,
    /// Serve without encryption or credentials where other hosts can reach it
    #[arg(long, env = "MCP_COLLECTOR_INSECURE")]
    pub insecure: bool,
    /// Tokens of sensors, one a line
    #[arg(long, env = "MCP_COLLECTOR_SENSOR_TOKEN_FILE", value_name = "FILE")]
    pub sensor_token_file: Option<PathBuf>,
    /// Tokens of readers (subscribers and queries), one a line
    #[arg(long, env = "MCP_COLLECTOR_READER_TOKEN_FILE", value_name = "FILE")]
    pub reader_token_file: Option<PathBuf>,
    /// The server's certificate chain, PEM
    #[arg(long, env = "MCP_COLLECTOR_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// The server's key, PEM
    #[arg(long, env = "MCP_COLLECTOR_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Who signs the certificates of sensors, PEM
    #[arg(long, env = "MCP_COLLECTOR_TLS_SENSOR_CA", value_name = "FILE")]
    pub tls_sensor_ca: Option<PathBuf>,
    /// Who signs the certificates of readers, PEM
    #[arg(long, env = "MCP_COLLECTOR_TLS_READER_CA", value_name = "FILE")]
    pub tls_reader_ca: Option<PathBuf>,
    /// Directory of the database [default: /var/lib/mcp-collector]
    #[arg(long, env = "MCP_COLLECTOR_DIRECTORY", value_name = "PATH")]
    pub directory: Option<PathBuf>,
    /// Delete events after this time, or `none` [default: 30d]
    #[arg(long, env = "MCP_COLLECTOR_MAX_AGE", value_name = "SPAN")]
    pub max_age: Option<OrNone<Span>>,
    /// Delete the oldest events where the database holds more, or `none` [default: 20GiB]
    #[arg(long, env = "MCP_COLLECTOR_MAX_SIZE", value_name = "SIZE")]
    pub max_size: Option<OrNone<ByteSize>>,
    /// What an acknowledged event outlives: a power failure (full) or the collector's end (normal) [default: full]
    #[arg(long, env = "MCP_COLLECTOR_SYNC", value_enum)]
    pub sync: Option<Sync>,
    /// Bytes of one event [default: 4MiB]
    #[arg(long, env = "MCP_COLLECTOR_EVENT_BYTES", value_name = "SIZE", help_heading = "Limits")]
    pub event_bytes: Option<EventBytes>,
    /// Bytes of one batch of events [default: 1MiB]
    #[arg(long, env = "MCP_COLLECTOR_BATCH_BYTES", value_name = "SIZE", help_heading = "Limits")]
    pub batch_bytes: Option<BatchBytes>,
    /// Bytes that one sensor may have under way to the store [default: 8MiB]
    #[arg(long, env = "MCP_COLLECTOR_WINDOW_BYTES", value_name = "SIZE", help_heading = "Limits")]
    pub window_bytes: Option<BufferBytes>,
    /// Bytes that all sensors may have under way to the store [default: 64MiB]
    #[arg(long, env = "MCP_COLLECTOR_QUEUE_BYTES", value_name = "SIZE", help_heading = "Limits")]
    pub queue_bytes: Option<BufferBytes>,
    /// Bytes of the newest events kept for slow subscribers [default: 64MiB]
    #[arg(long, env = "MCP_COLLECTOR_LIVE_BYTES", value_name = "SIZE", help_heading = "Limits")]
    pub live_bytes: Option<BufferBytes>,
    /// Sensors connected at once [default: 1000]
    #[arg(long, env = "MCP_COLLECTOR_SENSORS", value_name = "COUNT", help_heading = "Limits")]
    pub sensors: Option<Count>,
    /// Subscribers at once [default: 1000]
    #[arg(long, env = "MCP_COLLECTOR_SUBSCRIBERS", value_name = "COUNT", help_heading = "Limits")]
    pub subscribers: Option<Count>,
    /// Connections at once [default: 4096]
    #[arg(long, env = "MCP_COLLECTOR_CONNECTIONS", value_name = "COUNT", help_heading = "Limits")]
    pub connections: Option<Count>,
    /// Connections of one address at once [default: 256]
    #[arg(long, env = "MCP_COLLECTOR_CONNECTIONS_PER_PEER", value_name = "COUNT", help_heading = "Limits")]
    pub connections_per_peer: Option<Count>,
    /// Streams and requests of one connection at once [default: 64]
    #[arg(long, env = "MCP_COLLECTOR_STREAMS_PER_CONNECTION", value_name = "COUNT", help_heading = "Limits")]
    pub streams_per_connection: Option<Count>,
    /// Time that a new connection has to say who it is [default: 10s]
    #[arg(long, env = "MCP_COLLECTOR_HELLO_TIMEOUT", value_name = "SPAN", help_heading = "Limits")]
    pub hello_timeout: Option<Patience>,
    /// How to write logs, to standard error [default: text]
    #[arg(long, env = "MCP_COLLECTOR_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// How much to log [default: info]
    #[arg(long, env = "MCP_COLLECTOR_LOG_LEVEL", value_enum)]
    pub log_level: Option<LogLevel>,
}

impl Serve {
    /// What the flags say, as a layer over the file.
    #[must_use]
    pub fn layer(self) -> Layer {
        Layer {
            listen: (!self.listen.is_empty()).then_some(self.listen),
            insecure: self.insecure.then_some(true),
            sensor_token_file: self.sensor_token_file,
            reader_token_file: self.reader_token_file,
            tls: TlsLayer {
                certificate: self.tls_certificate,
                key: self.tls_key,
                sensor_ca: self.tls_sensor_ca,
                reader_ca: self.tls_reader_ca,
            },
            store: StoreLayer { directory: self.directory, max_age: self.max_age, max_size: self.max_size, sync: self.sync },
            limits: LimitsLayer {
                event_bytes: self.event_bytes,
                batch_bytes: self.batch_bytes,
                window_bytes: self.window_bytes,
                queue_bytes: self.queue_bytes,
                live_bytes: self.live_bytes,
                sensors: self.sensors,
                subscribers: self.subscribers,
                connections: self.connections,
                connections_per_peer: self.connections_per_peer,
                streams_per_connection: self.streams_per_connection,
                hello_timeout: self.hello_timeout,
            },
            log: LogLayer { format: self.log_format, level: self.log_level },
        }
    }
}
