//! The command line: commands, flags, and the help that explains them.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;

use sensor_core::redact::Level;

use super::filter::{Glob, Name, Pattern};
use super::{control, tape};
use crate::config::Given;
pub use crate::export::style::ColorChoice as Color;

const ABOUT: &str = "Shows the MCP traffic of this host: who calls which tool of whom, with what, and what came back";

const LONG_ABOUT: &str = "\
Shows the MCP traffic of this host: who calls which tool of whom, with what, and what came back.

mcp-sensor reads along in the kernel (eBPF). Nothing is reconfigured: no proxy, no wrapper, no \
certificate, and the programs that are watched do not notice. It needs root, or the capabilities \
CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH.

What could not be seen is said: gaps, losses and blind spots are shown where they occur and are \
summed up at the end.";

const EXIT_CODES: &str = "\
Exit codes:
  0  all went well (also after Ctrl-C, or when the reader of the output went away)
  1  something failed while running
  2  the command line or the configuration cannot be understood
  3  this machine or this user cannot capture; `mcp-sensor check` tells why";

const EXAMPLES: &str = "\
Examples:
  sudo mcp-sensor watch                 a live table of tool calls
  sudo mcp-sensor watch --json | jq .   the same as JSON, one object a line
  sudo mcp-sensor record -o FILE        record sessions, for `replay`, Wireshark and the file
  mcp-sensor replay FILE --session ID   one session of a recording as a timeline
  sudo mcp-sensor check                 what works on this machine, and what to mend
  sudo mcp-sensor run --config FILE     send everything to a collector, as a service";

const WATCH_ABOUT: &str = "Shows tool calls as they happen, until Ctrl-C";

const WATCH_LONG_ABOUT: &str = "\
Shows tool calls as they happen, until Ctrl-C.

One line for each tool call that ended; a call that takes longer than two seconds shows while it \
runs. Times are in UTC. Text from the traffic is made safe for the terminal: control characters \
and what cannot be seen are shown as escapes.

A summary goes to standard error at the end.";

const WATCH_EXAMPLES: &str = "\
Examples:
  mcp-sensor watch --process claude             what Claude Code does
  mcp-sensor watch --tool 'delete_*' --tool rm  calls of some tools
  mcp-sensor watch --server github --messages   every message with one server
  mcp-sensor watch --container 3f2a --user 1000 one user's processes in one container
  mcp-sensor watch --json --messages            everything, one JSON object a line
  mcp-sensor watch --json --payload none        who calls what, without contents

Filters of one kind are alternatives; filters of different kinds must all match. Gaps are shown \
for the sessions that match. What the sensor tells of itself (losses, blind spots) is shown always. \
What is left out shows in --json as holes in `sequence`.";

const CHECK_ABOUT: &str = "Tells what works on this machine, and how to mend what does not";

const CHECK_LONG_ABOUT: &str = "\
Tells what works on this machine, and how to mend what does not.

Loads the kernel programs, attaches none, and removes them. Ends with 0 if all that \
capturing needs is there, and with 3 if not.";

const RUN_ABOUT: &str = "Captures and sends everything to a collector, until SIGTERM";

const RUN_LONG_ABOUT: &str = "\
Captures and sends everything to a collector, until SIGTERM.

For systemd or a DaemonSet. It starts and captures whether the collector is there or not, holds what \
the collector has not acknowledged (in memory, within --buffer-mib), and connects again. What it has \
to drop is told in the log and in its own events.

SIGHUP reads the configuration again. A flag goes before an environment variable, a variable before \
the file, the file before the default; `mcp-sensor config` prints all settings with their defaults.";

const RUN_EXAMPLES: &str = "\
Examples:
  mcp-sensor run --config /etc/mcp-sensor/sensor.toml
  mcp-sensor run --collector unix:/run/mcp-collector/ingest.sock
  mcp-sensor run --collector https://collector.example:4780 --ca-file ca.pem --token-file token
  MCP_SENSOR_COLLECTOR=http://localhost:4780 mcp-sensor run --log-format json";

const CONFIG_ABOUT: &str = "Prints the default configuration file, or checks one";

const CONFIG_LONG_ABOUT: &str = "\
Prints the default configuration file of `mcp-sensor run`, with a comment for each setting; or, with \
--check, tells whether a file can be used: ends with 0 if so, and with 2 if not.";

const CONFIG_EXAMPLES: &str = "\
Examples:
  mcp-sensor config > /etc/mcp-sensor/sensor.toml
  mcp-sensor config --check /etc/mcp-sensor/sensor.toml";

/// The whole command line.
#[derive(Clone, Debug, Parser)]
#[command(name = "mcp-sensor", version, about = ABOUT, long_about = LONG_ABOUT)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
#[command(arg_required_else_help = true, subcommand_required = true, disable_help_subcommand = true)]
#[command(max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// `mcp-sensor watch`.
    #[command(about = WATCH_ABOUT, long_about = WATCH_LONG_ABOUT)]
    Watch(Box<Watch>),
    /// Records sessions to a file, until Ctrl-C
    Record(Box<tape::Record>),
    /// Shows what a recording holds, as `watch` showed it or as the timeline of a session; needs no root
    Replay(Box<tape::Replay>),
    /// Tells whether a recording is complete and unaltered
    Verify(tape::Verify),
    /// Makes the keys that sign recordings
    Keygen(tape::Keygen),
    /// Checks, tests, explains and scores policies
    Policy(super::policy::PolicyCommand),
    /// `mcp-sensor run`.
    #[command(about = RUN_ABOUT, long_about = RUN_LONG_ABOUT)]
    #[command(after_help = EXIT_CODES, after_long_help = format!("{RUN_EXAMPLES}\n\n{EXIT_CODES}"))]
    Run(Box<Given>),
    /// Kills or stops one side of a session, by way of the service that runs on this host
    Kill(control::Kill),
    /// Lets processes go on that were stopped
    Resume(control::Resume),
    /// Shows the last actions of the service that runs on this host
    Actions(control::Actions),
    /// `mcp-sensor config`.
    #[command(about = CONFIG_ABOUT, long_about = CONFIG_LONG_ABOUT)]
    Config(ConfigCommand),
    /// `mcp-sensor check`.
    #[command(about = CHECK_ABOUT, long_about = CHECK_LONG_ABOUT)]
    Check(Check),
    /// Prints completions for a shell
    #[command(after_help = "Example:\n  mcp-sensor completions bash > /etc/bash_completion.d/mcp-sensor")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// `mcp-sensor watch`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{WATCH_EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Watch {
    /// Print events as JSON, one object a line
    #[arg(long)]
    pub json: bool,

    /// Show every message, not only tool calls
    #[arg(long)]
    pub messages: bool,

    /// How much of the contents to show
    #[arg(long, value_enum, default_value_t = Payload::Redacted, value_name = "LEVEL")]
    pub payload: Payload,

    /// Judge by this policy, and show what it finds; `shipped` stands for the rules that come along
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// When to colour the table
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,

    /// What to show.
    #[command(flatten)]
    pub filters: FilterArgs,

    /// What not to look at.
    #[command(flatten)]
    pub exclude: ExcludeArgs,

    /// What the sensor may use.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Which events to show. Within one kind any may match, across kinds all must.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters (repeatable; NAME and GLOB may have * and ?)")]
pub struct FilterArgs {
    /// Client or server is this program or script, or has this process id
    #[arg(long, value_name = "NAME|PID", action = ArgAction::Append)]
    pub process: Vec<Pattern>,

    /// Client or server runs as this user (name or id)
    #[arg(long, value_name = "USER", action = ArgAction::Append)]
    pub user: Vec<String>,

    /// Client or server runs in this container (the beginning of its id) or pod (its name)
    #[arg(long, value_name = "ID|NAME", action = ArgAction::Append)]
    pub container: Vec<String>,

    /// The server calls itself this, or is this program or script
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    pub server: Vec<Name>,

    /// The client calls itself this, or is this program or script
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    pub client: Vec<Name>,

    /// Calls of this tool, and messages that name it
    #[arg(long, value_name = "GLOB", action = ArgAction::Append)]
    pub tool: Vec<Glob>,

    /// Messages of this method; a tool call is of tools/call
    #[arg(long, value_name = "GLOB", action = ArgAction::Append)]
    pub method: Vec<Glob>,

    /// This session (the beginning of its id)
    #[arg(long, value_name = "ID", action = ArgAction::Append)]
    pub session: Vec<String>,
}

/// What is not looked at: the kernel leaves it out, and it costs next to nothing.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "What not to look at (repeatable)")]
pub struct ExcludeArgs {
    /// Processes of this program
    #[arg(long, value_name = "PATH", action = ArgAction::Append)]
    pub exclude_exe: Vec<PathBuf>,

    /// Processes of this user (name or id)
    #[arg(long, value_name = "USER", action = ArgAction::Append)]
    pub exclude_user: Vec<String>,

    /// Processes in control groups whose path begins so
    #[arg(long, value_name = "PREFIX", action = ArgAction::Append)]
    pub exclude_cgroup: Vec<String>,
}

/// What the sensor may use.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Size of the ring buffer between kernel and sensor, in MiB: a power of two
    #[arg(long, value_name = "MIB", default_value = "32", value_parser = ring_mib)]
    pub ring_mib: u32,

    /// How much of one read or write is captured, in MiB; the rest is shown as a gap
    #[arg(long, value_name = "MIB", default_value = "16", value_parser = value_parser!(u32).range(1..=1024))]
    pub max_call_mib: u32,

    /// How much the sensor may hold of unfinished messages and calls, in MiB; what it gives up beyond is shown
    #[arg(long, value_name = "MIB", default_value = "32", value_parser = value_parser!(u32).range(8..=1_048_576))]
    pub memory_mib: u32,
}

/// `mcp-sensor check`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Check {
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,

    /// List each kernel program, as the kernel has verified it
    #[arg(long)]
    pub programs: bool,

    /// When to colour the table
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
}

/// `mcp-sensor config`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = CONFIG_EXAMPLES)]
pub struct ConfigCommand {
    /// Check this file instead
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
}

/// How much of the contents of messages leaves the sensor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Payload {
    /// Everything as it is, secrets too
    Full,
    /// Contents with secrets replaced
    Redacted,
    /// No contents: who, what, when, how big
    None,
}

impl From<Payload> for Level {
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Full => Self::Full,
            Payload::Redacted => Self::Redacted,
            Payload::None => Self::None,
        }
    }
}

/// The kernel takes ring buffers of powers of two only.
fn ring_mib(text: &str) -> Result<u32, String> {
    let size: u32 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (1..=1024).contains(&size) && size.is_power_of_two() {
        return Ok(size);
    }
    Err("must be a power of two from 1 to 1024".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    fn watch(line: &str) -> Watch {
        match parse(line).unwrap().command {
            Command::Watch(watch) => *watch,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definitions_hold_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn watch_has_the_defaults_of_the_design() {
        let watch = watch("mcp-sensor watch");
        assert_eq!((watch.payload, watch.color), (Payload::Redacted, Color::Auto));
        let LimitArgs { ring_mib, max_call_mib, memory_mib } = watch.limits;
        assert_eq!((ring_mib, max_call_mib, memory_mib), (32, 16, 32));
        assert!(!watch.json && !watch.messages);
    }

    #[test]
    fn filters_can_be_repeated() {
        let watch = watch("mcp-sensor watch --process claude --process 812 --tool a* --exclude-exe /bin/x --session 0f");
        assert_eq!(watch.filters.process.len(), 2);
        assert_eq!(watch.filters.tool.len(), 1);
        assert_eq!(watch.exclude.exclude_exe, [PathBuf::from("/bin/x")]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "mcp-sensor watch --ring-mib 33",
            "mcp-sensor watch --ring-mib 2048",
            "mcp-sensor watch --ring-mib x",
            "mcp-sensor watch --max-call-mib 0",
            "mcp-sensor watch --payload some",
            "mcp-sensor watch --tool ",
            "mcp-sensor completions tcsh",
        ] {
            let error = parse(line).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue), "{line}: {error}");
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        assert_eq!(parse("mcp-sensor").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn help_texts() {
        let help = |line: &str| {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 0, "{line}");
            error.render().to_string()
        };
        insta::assert_snapshot!("help_short", help("mcp-sensor -h"));
        insta::assert_snapshot!("help_long", help("mcp-sensor --help"));
        insta::assert_snapshot!("help_watch_short", help("mcp-sensor watch -h"));
        insta::assert_snapshot!("help_watch_long", help("mcp-sensor watch --help"));
        insta::assert_snapshot!("help_run_short", help("mcp-sensor run -h"));
        insta::assert_snapshot!("help_run_long", help("mcp-sensor run --help"));
        insta::assert_snapshot!("help_config_long", help("mcp-sensor config --help"));
        insta::assert_snapshot!("help_check_long", help("mcp-sensor check --help"));
        insta::assert_snapshot!("help_completions", help("mcp-sensor completions --help"));
    }
}
