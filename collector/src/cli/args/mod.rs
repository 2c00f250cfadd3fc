//! The command line: commands, flags, and the help that explains them.

mod filters;
mod serve;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use present::style::ColorChoice;

pub use self::filters::Filters;
pub use self::serve::Serve;
use super::time::Moment;

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

const REPLAY_EXAMPLES: &str = "\
Examples:
  mcp-collector replay 3f2a                        by the beginning of the session's id
  mcp-collector replay 3f2a --html session.html    one page that needs no network
  mcp-collector replay 3f2a --markdown             for the ticket";

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
    /// Shows a session step by step: who asked what, what came back, and what is missing
    Replay(Box<Replay>),
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

/// `mcp-collector replay`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{REPLAY_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Replay {
    /// The session: its id, or the beginning of it
    #[arg(value_name = "SESSION")]
    pub session: String,
    /// Write one page of HTML to a new file, readable for its owner alone
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "markdown"])]
    pub html: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, requires = "html")]
    pub force: bool,
    /// Print one JSON object
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// Print Markdown
    #[arg(long)]
    pub markdown: bool,
    /// Lines of arguments and results that are shown below a step; 0 shows the steps alone
    #[arg(long, value_name = "COUNT", default_value_t = 12, conflicts_with_all = ["html", "json", "markdown"])]
    pub lines: usize,
    /// When to colour
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub color: ColorChoice,
    /// The collector.
    #[command(flatten)]
    pub connection: Connection,
}
