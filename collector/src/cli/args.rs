//! The command line: commands, flags, and the help that explains them.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use mcp_sensor_proto::v1::{
    self,
    event::Severity,
    filter::{Failure, Kind},
};
use present::style::ColorChoice;

use super::time::Moment;
use crate::config::file::{BatchBytes, BufferBytes, Count, EventBytes, Layer, LimitsLayer, LogLayer, Patience, StoreLayer, TlsLayer};
use crate::config::values::OrNone;
use crate::config::{Address, ByteSize, LogFormat, LogLevel, Span, Sync};

const ABOUT: &str = "Takes the events of many sensors, keeps them, and shows them";

const LONG_ABOUT: &str = "\
Takes the events of many sensors, keeps them, and shows them.

`mcp-collector serve` is the server; sensors connect to it. The other commands ask a running one: \
tables for people, and with --json one JSON object a line for programs.";

const EXIT_CODES: &str = "\
Exit codes:
  0  all went well (also after Ctrl-C, or when the reader of the output went away)
  1  something failed while running
  2  the command line or the configuration cannot be understood
  4  the collector cannot be reached, or has refused";

const EXAMPLES: &str = "\
Examples:
  mcp-collector serve --config /etc/mcp-collector/config.toml
  mcp-collector tail                    a live table of tool calls of all sensors
  mcp-collector tail --json | jq .      the same as JSON, one object a line
  mcp-collector sensors                 which sensors there are, and what they lose";

const SERVE_EXAMPLES: &str = "\
Examples:
  mcp-collector serve --directory ./events               for this host alone
  mcp-collector serve --listen unix:/run/mcp-collector.sock
  mcp-collector serve --listen 0.0.0.0:4780 --tls-certificate c.pem --tls-key k.pem \\
      --sensor-token-file sensor.tokens --reader-token-file reader.tokens
  mcp-collector config > config.toml                     all settings, with comments

Each flag can be set by its environment variable or in the file instead; flags go first.";

const TAIL_EXAMPLES: &str = "\
Examples:
  mcp-collector tail --tool 'delete_*'             calls of some tools, as they happen
  mcp-collector tail --node web-1 --since 10m      and those of the last ten minutes before
  mcp-collector tail --json --after 1874919424001  everything after a cursor";

const EVENTS_EXAMPLES: &str = "\
Examples:
  mcp-collector events --since 1h --tool 'delete_*'
  mcp-collector events --since 2026-01-31T00:00:00Z --until 2026-02-01T00:00:00Z --json > january-31.jsonl
  mcp-collector events --since 1d --format csv > yesterday.csv
  mcp-collector events --newest-first --limit 20 --min-severity high
  mcp-collector events --process claude --argument /etc/passwd --since 1d
  mcp-collector events --failed any --container 3f2a
  mcp-collector events --since 1h --follow         and then what comes";

const SESSIONS_EXAMPLES: &str = "\
Examples:
  mcp-collector sessions --open                    who talks to whom now
  mcp-collector sessions --server github --since 1d
  mcp-collector sessions --error 'permission denied' --format csv
  mcp-collector sessions 3f2a                      one session, by the beginning of its id";

const SENSORS_EXAMPLES: &str = "\
Examples:
  mcp-collector sensors
  mcp-collector sensors --follow                   anew every two seconds
  mcp-collector sensors --json | jq 'select(.node and (.connected | not))'
  mcp-collector sensors --json | jq 'select(.collector)'    the collector's own state, the last line";

const HEALTH_EXAMPLES: &str = "\
Examples:
  mcp-collector health                             ends with 0 where the collector takes and serves events
  mcp-collector health --address unix:/run/mcp-collector/probe.sock";

/// The whole command line.
#[derive(Clone, Debug, Parser)]
#[command(name = "mcp-collector", version, about = ABOUT, long_about = LONG_ABOUT)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
#[command(arg_required_else_help = true, subcommand_required = true, disable_help_subcommand = true, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Takes, keeps and serves events, until SIGTERM or Ctrl-C
    Serve(Box<Serve>),
    /// Prints the default configuration file, with comments
    #[command(after_help = "Example:\n  mcp-collector config > /etc/mcp-collector/config.toml")]
    Config,
    /// Shows events as they come, until Ctrl-C
    Tail(Box<Tail>),
    /// Shows stored events
    Events(Box<Events>),
    /// Shows sessions, or one of them
    Sessions(Box<Sessions>),
    /// Shows the sensors and the collector itself
    Sensors(Box<Sensors>),
    /// Tells whether the collector works: ends with 0 if so, and with 4 if not
    #[command(after_help = EXIT_CODES, after_long_help = format!("{HEALTH_EXAMPLES}\n\n{EXIT_CODES}"))]
    Health(Box<Connection>),
    /// Prints completions for a shell
    #[command(after_help = "Example:\n  mcp-collector completions bash > /etc/bash_completion.d/mcp-collector")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

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

/// How to reach a collector.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// The collector: HOST:PORT, https://HOST:PORT or unix:PATH
    #[arg(long, env = "MCP_COLLECTOR_ADDRESS", value_name = "ADDRESS", default_value = "127.0.0.1:4780")]
    pub address: String,
    /// File with the reader's token
    #[arg(long, env = "MCP_COLLECTOR_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Who signs the collector's certificate, PEM; turns encryption on
    #[arg(long, env = "MCP_COLLECTOR_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Own certificate chain, PEM
    #[arg(long, env = "MCP_COLLECTOR_CLIENT_CERTIFICATE", value_name = "FILE", requires = "client_key")]
    pub client_certificate: Option<PathBuf>,
    /// Own key, PEM
    #[arg(long, env = "MCP_COLLECTOR_CLIENT_KEY", value_name = "FILE", requires = "client_certificate")]
    pub client_key: Option<PathBuf>,
    /// Name in the collector's certificate, where it is not the host of the address
    #[arg(long, env = "MCP_COLLECTOR_SERVER_NAME", value_name = "NAME")]
    pub server_name: Option<String>,
    /// Talk without encryption to another host
    #[arg(long, env = "MCP_COLLECTOR_CLIENT_INSECURE")]
    pub insecure: bool,
}

/// Which events.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters (those of one kind are alternatives; * and ? stand for any characters)")]
pub struct Filters {
    /// The event's host
    #[arg(long, value_name = "NAME")]
    pub node: Vec<String>,
    /// The server's name, program or address
    #[arg(long, value_name = "PATTERN")]
    pub server: Vec<String>,
    /// The client's name, program or address
    #[arg(long, value_name = "PATTERN")]
    pub client: Vec<String>,
    /// The tool
    #[arg(long, value_name = "PATTERN")]
    pub tool: Vec<String>,
    /// The method
    #[arg(long, value_name = "PATTERN")]
    pub method: Vec<String>,
    /// The session, by its id or the beginning of it
    #[arg(long, value_name = "ID")]
    pub session: Vec<String>,
    /// The kind of event
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Vec<KindArg>,
    /// At least this severe
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub min_severity: Option<SeverityArg>,
    /// Client or server is this program or script, or has this process id
    #[arg(long, value_name = "PATTERN|PID")]
    pub process: Vec<String>,
    /// Client or server runs in this container (the beginning of its id) or pod (its name, namespace/name, or UID)
    #[arg(long, value_name = "ID|NAME")]
    pub container: Vec<String>,
    /// Text in the arguments of a call; capital letters do not matter
    #[arg(long, value_name = "TEXT")]
    pub argument: Vec<String>,
    /// Text in an error, or in the result of a call that failed; capital letters do not matter
    #[arg(long, value_name = "TEXT")]
    pub error: Vec<String>,
    /// What went wrong in this way
    #[arg(long, value_enum, value_name = "WAY")]
    pub failed: Vec<FailureArg>,
}

/// How something went wrong.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FailureArg {
    /// In any way
    Any,
    /// The tool said that it failed
    Tool,
    /// A JSON-RPC error came back
    Rpc,
    /// The call was cancelled
    Cancelled,
    /// The end of the call cannot be seen
    Abandoned,
}

/// A kind of event.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KindArg {
    ToolCall,
    Message,
    SessionChange,
    Gap,
    Sensor,
}

/// How severe.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SeverityArg {
    Debug,
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Filters {
    /// As the contract has it.
    #[must_use]
    pub fn into_proto(self) -> v1::Filter {
        let Self { node, server, client, tool, method, session, kind, min_severity, process, container, argument, error, failed } = self;
        let failure_of = |failed: &FailureArg| match failed {
            FailureArg::Any => Failure::Unspecified,
            FailureArg::Tool => Failure::ToolError,
            FailureArg::Rpc => Failure::RpcError,
            FailureArg::Cancelled => Failure::Cancelled,
            FailureArg::Abandoned => Failure::Abandoned,
        };
        let kind_of = |kind: &KindArg| match kind {
            KindArg::ToolCall => Kind::ToolCall,
            KindArg::Message => Kind::Message,
            KindArg::SessionChange => Kind::SessionChange,
            KindArg::Gap => Kind::Gap,
            KindArg::Sensor => Kind::Sensor,
        };
        let severity = min_severity.map_or(Severity::Unspecified, |severity| match severity {
            SeverityArg::Debug => Severity::Debug,
            SeverityArg::Info => Severity::Info,
            SeverityArg::Low => Severity::Low,
            SeverityArg::Medium => Severity::Medium,
            SeverityArg::High => Severity::High,
            SeverityArg::Critical => Severity::Critical,
        });
        v1::Filter {
            nodes: node,
            servers: server,
            clients: client,
            tools: tool,
            kinds: kind.iter().map(|kind| kind_of(kind) as i32).collect(),
            min_severity: severity as i32,
            sessions: session,
            methods: method,
            processes: process,
            containers: container,
            arguments: argument,
            errors: error,
            failures: failed.iter().map(|failed| failure_of(failed) as i32).collect(),
        }
    }
}

/// A form of output.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// JSON Lines: one object a line, everything that is known
    Json,
    /// Comma-separated values with a header, safe to open in a spreadsheet
    Csv,
}

/// How to show or export.
#[derive(Clone, Debug, clap::Args)]
pub struct Export {
    /// Print JSON, one object a line; the same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// The form of the output
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORM")]
    pub format: Format,
    /// When to colour
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub color: ColorChoice,
}

impl Export {
    /// The form that was asked for.
    #[must_use]
    pub const fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// How to show.
#[derive(Clone, Debug, clap::Args)]
pub struct Output {
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
    /// When to colour
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub color: ColorChoice,
}

/// `mcp-collector tail`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{TAIL_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Tail {
    /// Begin with the stored events since then: a time (2026-01-31T12:00:00Z) or a span (10m)
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Begin after the event with this cursor
    #[arg(long, value_name = "CURSOR", conflicts_with = "since")]
    pub after: Option<u64>,
    /// Show every message, not only tool calls
    #[arg(long)]
    pub messages: bool,
    /// End where the connection is lost
    #[arg(long)]
    pub no_reconnect: bool,
    /// How to show.
    #[command(flatten)]
    pub output: Output,
    /// Which events.
    #[command(flatten)]
    pub filters: Filters,
    /// The collector.
    #[command(flatten)]
    pub connection: Connection,
}

/// `mcp-collector events`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{EVENTS_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Events {
    /// Since then: a time (2026-01-31T12:00:00Z) or a span (10m)
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Before then
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    pub until: Option<Moment>,
    /// So many at most
    #[arg(long, value_name = "COUNT", conflicts_with = "follow")]
    pub limit: Option<u64>,
    /// The newest first
    #[arg(long, conflicts_with = "follow")]
    pub newest_first: bool,
    /// Go on with what comes, until Ctrl-C
    #[arg(long)]
    pub follow: bool,
    /// With --follow, end where the connection is lost
    #[arg(long, requires = "follow")]
    pub no_reconnect: bool,
    /// Show every message, not only tool calls
    #[arg(long)]
    pub messages: bool,
    /// How to show.
    #[command(flatten)]
    pub export: Export,
    /// Which events.
    #[command(flatten)]
    pub filters: Filters,
    /// The collector.
    #[command(flatten)]
    pub connection: Connection,
}

/// `mcp-collector sessions`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{SESSIONS_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Sessions {
    /// One session: its id, or the beginning of it
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Only those that are open
    #[arg(long)]
    pub open: bool,
    /// With an event since then: a time or a span
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// With an event before then
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
    /// So many at most
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub limit: u64,
    /// Anew every two seconds, until Ctrl-C
    #[arg(long)]
    pub follow: bool,
    /// How to show.
    #[command(flatten)]
    pub export: Export,
    /// Which events.
    #[command(flatten)]
    pub filters: Filters,
    /// The collector.
    #[command(flatten)]
    pub connection: Connection,
}

/// `mcp-collector sensors`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{SENSORS_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Sensors {
    /// Anew every two seconds, until Ctrl-C
    #[arg(long)]
    pub follow: bool,
    /// How to show.
    #[command(flatten)]
    pub output: Output,
    /// The collector.
    #[command(flatten)]
    pub connection: Connection,
}
