//! `mcp-sensor kill`, `resume` and `actions`: orders by hand to the service that runs on this host.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, value::RawValue};

use super::args::Color;
use super::{Exit, Failure};
use crate::config::CONTROL_SOCKET;
use crate::export::sanitize::sanitize;
use crate::export::style::{Style, Styles};
use crate::respond::{Denied, Request, Side, Which};
use crate::service::control::{Line, ask};

const KILL_EXAMPLES: &str = "\
Examples:
  sudo mcp-sensor kill 4f21                     kill the server of the session whose id begins so
  sudo mcp-sensor kill 4f21 --stop              stop it; `mcp-sensor resume` lets it go on
  sudo mcp-sensor kill 4f21 --target client --tree
  sudo mcp-sensor kill 4f21 --force             also where enforcement is dry-run";

const RESUME_EXAMPLES: &str = "\
Examples:
  sudo mcp-sensor resume --all
  sudo mcp-sensor resume 9c01d2                 what the action whose id begins so has stopped
  sudo mcp-sensor resume --pid 4711";

const ACTIONS_EXAMPLES: &str = "\
Examples:
  sudo mcp-sensor actions
  sudo mcp-sensor actions --json | jq -r 'select(.action.outcome == \"REFUSED\") | .action.detail'";

/// Where the service is.
#[derive(Args, Clone, Debug)]
pub struct Socket {
    /// The service's control socket [env: MCP_SENSOR_CONTROL_SOCKET; default: /run/mcp-sensor/control.sock]
    #[arg(long, value_name = "FILE")]
    pub control_socket: Option<PathBuf>,

    /// Print the action's event as JSON, one object a line
    #[arg(long)]
    pub json: bool,

    /// When to colour the output
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
}

/// `mcp-sensor kill`.
#[derive(Args, Clone, Debug)]
#[command(after_help = KILL_EXAMPLES)]
pub struct Kill {
    /// The session: its id, or the beginning of it
    #[arg(value_name = "SESSION")]
    pub session: String,

    /// Which side of it
    #[arg(long, value_enum, default_value_t = Side::Server, value_name = "SIDE")]
    pub target: Side,

    /// Which process of that side, where there are several
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,

    /// With all descendants
    #[arg(long)]
    pub tree: bool,

    /// Stop it instead; `mcp-sensor resume` lets it go on
    #[arg(long)]
    pub stop: bool,

    /// Also where enforcement is dry-run; never against who is exempt
    #[arg(long)]
    pub force: bool,

    /// Where the service is.
    #[command(flatten)]
    pub socket: Socket,
}

/// `mcp-sensor resume`.
#[derive(Args, Clone, Debug)]
#[command(after_help = RESUME_EXAMPLES)]
#[group(id = "which", required = true, multiple = false, args = ["action", "pid", "all"])]
pub struct Resume {
    /// The action that stopped them: its id, or the beginning of it
    #[arg(value_name = "ACTION")]
    pub action: Option<String>,

    /// The process with this pid
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,

    /// All that are stopped
    #[arg(long)]
    pub all: bool,

    /// Where the service is.
    #[command(flatten)]
    pub socket: Socket,
}

/// `mcp-sensor actions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = ACTIONS_EXAMPLES)]
pub struct Actions {
    /// Where the service is.
    #[command(flatten)]
    pub socket: Socket,
}

impl Socket {
    fn path(&self) -> PathBuf {
        let variable = || std::env::var_os("MCP_SENSOR_CONTROL_SOCKET").filter(|path| !path.is_empty()).map(PathBuf::from);
        self.control_socket.clone().or_else(variable).unwrap_or_else(|| CONTROL_SOCKET.into())
    }
}

pub(super) fn kill(options: &Kill) -> Result<Exit, Failure> {
    let Kill { session, target, pid, tree, stop, force, socket } = options;
    let request = Request::Kill { session: session.clone(), target: *target, pid: *pid, tree: *tree, stop: *stop, force: *force };
    order(socket, &request)
}

pub(super) fn resume(options: &Resume) -> Result<Exit, Failure> {
    let which = match (&options.action, options.pid) {
        (Some(action), _) => Which::Action(action.clone()),
        (None, Some(pid)) => Which::Pid(pid),
        (None, None) => Which::All,
    };
    order(&options.socket, &Request::Resume(which))
}

pub(super) fn actions(options: &Actions) -> Result<Exit, Failure> {
    let events = events(&options.socket, &Request::Actions)?;
    print(&options.socket, &events)?;
    Ok(Exit::Ok)
}

/// Gives an order, and says what came of it. It has succeeded where a signal was sent, or dry-run would have sent it.
fn order(socket: &Socket, request: &Request) -> Result<Exit, Failure> {
    let events = events(socket, request)?;
    print(socket, &events)?;
    let well = events.iter().all(|event| matches!(outcome(&parsed(event)), "DONE" | "DRY_RUN"));
    Ok(if well { Exit::Ok } else { Exit::Failed })
}

fn events(socket: &Socket, request: &Request) -> Result<Vec<Box<RawValue>>, Failure> {
    let path = socket.path();
    let line = ask(&path, request).map_err(|error| {
        let what = format!("cannot reach the service at {}", path.display());
        let mend = match error.kind() {
            io::ErrorKind::PermissionDenied => "run it as root",
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "is `mcp-sensor run` running? `systemctl status mcp-sensor`; --control-socket names another socket"
            }
            _ => "see the service's log",
        };
        Failure::new(Exit::Unreachable, what).because(error).mend(mend)
    })?;
    match line {
        Line::Events(events) => Ok(events),
        Line::Denied(Denied { error, mend }) => Err(Failure::new(Exit::Failed, error).mend(mend)),
    }
}

fn parsed(event: &RawValue) -> Value {
    serde_json::from_str(event.get()).unwrap_or_default()
}

fn outcome(event: &Value) -> &str {
    text(event, "/action/outcome")
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn print(socket: &Socket, events: &[Box<RawValue>]) -> Result<(), Failure> {
    let styles = Styles::choose(socket.color, &io::stdout());
    let mut shown = String::new();
    for event in events {
        if socket.json {
            // As the service wrote it, which is safe to print.
            shown.push_str(event.get());
            shown.push('\n');
        } else {
            in_words(&parsed(event), styles, &mut shown);
        }
    }
    if events.is_empty() && !socket.json {
        shown.push_str("no actions yet\n");
    }
    io::stdout().write_all(shown.as_bytes()).map_err(Failure::of_output)
}

/// One action: a line of what and why, and one for each process.
fn in_words(event: &Value, styles: Styles, shown: &mut String) {
    let outcome = outcome(event);
    let style = match outcome {
        "DONE" => Style::GOOD,
        "DRY_RUN" => Style::WARNING,
        _ => Style::ERROR,
    };
    let word = |pointer: &str| sanitize(text(event, pointer)).into_owned();
    let by = match (text(event, "/action/rule"), text(event, "/action/orderedBy")) {
        ("", "") => String::new(),
        ("", by) => format!(", by {}", sanitize(by)),
        (rule, _) => format!(", rule {}", sanitize(rule)),
    };
    let session = word("/session/id");
    let session = if session.is_empty() { String::new() } else { format!(" of session {session}") };
    let what = format!("{} {}", word("/action/kind").to_lowercase(), word("/action/target").to_lowercase());
    shown.push_str(&format!("{}  {}  {}{session}{by}: ", word("/time"), word("/action/actionId"), what.trim_end()));
    styles.paint(style, outcome, shown);
    let detail = word("/action/detail");
    shown.push_str(&if detail.is_empty() { "\n".to_owned() } else { format!(" ({detail})\n") });
    for process in event.pointer("/action/processes").and_then(Value::as_array).into_iter().flatten() {
        let pid = process.pointer("/process/pid").and_then(Value::as_u64).unwrap_or(0);
        let exe = sanitize(text(process, "/process/exe")).into_owned();
        let detail = match text(process, "/detail") {
            "" => String::new(),
            detail => format!(" ({})", sanitize(detail)),
        };
        shown.push_str(&format!("    pid {pid} {exe}: {}{detail}\n", sanitize(text(process, "/outcome"))));
    }
}
