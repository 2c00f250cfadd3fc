//! The flags that say which events, the same for every command that shows some.

use clap::ValueEnum;
use mcp_sensor_proto::v1::{
    self,
    event::Severity,
    filter::{Failure, Kind},
};

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
    Finding,
    Action,
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
            KindArg::Finding => Kind::Finding,
            KindArg::Action => Kind::Action,
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
