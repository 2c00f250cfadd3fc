//! What each command does: the command line's words become the agent's settings.

use super::{
    Args, Check, Command, Exit, Failure, Filter, Watch,
    args::{ExcludeArgs, LimitArgs},
    check::Report,
    completions, show, tape, warn_of_choices,
};
use crate::{
    agent::{self, AgentError},
    bpf::{Options, preflight},
    export::{
        Exporter, Outgoing, Summary, is_closed,
        style::{ColorChoice, Styles},
    },
    identity::{self, Exclusions},
    judging::Loaded,
    recording::Order,
};
use mcp_sensor_proto::v1::event::Body;
use sensor_core::{engine::Config, redact::Level};
use std::io::{self, Write as _};

/// Does what the command line says; gives how the program ends.
#[must_use]
pub fn run(args: Args) -> Exit {
    let (result, color) = match args.command {
        Command::Watch(options) => (watch(&options), options.color),
        Command::Record(options) => (tape::record(&options), options.color),
        Command::Replay(options) => (tape::replay(&options), options.color),
        Command::Verify(options) => (tape::verify(&options), options.color),
        Command::Keygen(options) => (tape::keygen(&options), ColorChoice::Auto),
        Command::Policy(options) => (super::policy::run(&options), options.color),
        Command::Run(given) => (super::service::run(&given), ColorChoice::Auto),
        Command::Kill(options) => (super::control::kill(&options), options.socket.color),
        Command::Resume(options) => (super::control::resume(&options), options.socket.color),
        Command::Actions(options) => (super::control::actions(&options), options.socket.color),
        Command::Config(options) => (super::service::config(&options), ColorChoice::Auto),
        Command::Check(options) => (check(&options), options.color),
        Command::Completions { shell } => (completions(shell).map(|()| Exit::Ok).map_err(Failure::of_output), ColorChoice::Auto),
    };
    result.unwrap_or_else(|failure| failure.report(color))
}

fn watch(options: &Watch) -> Result<Exit, Failure> {
    warn_of_choices(options);
    capture(Capture {
        level: options.payload.into(),
        exclude: &options.exclude,
        limits: &options.limits,
        recording: None,
        policy: super::policy::chosen(options.policy.as_deref())?,
        exporter: Box::new(Filtered {
            filter: Filter::new(&options.filters),
            messages: options.messages,
            inner: show(options.json, options.messages, options.color).map_err(Failure::of_output)?,
            shown: Summary::default(),
        }),
    })
}

/// What is captured on this host, and where it goes.
pub(super) struct Capture<'a> {
    pub level: Level,
    pub exclude: &'a ExcludeArgs,
    pub limits: &'a LimitArgs,
    pub recording: Option<Order>,
    pub policy: Option<Loaded>,
    pub exporter: Box<dyn Exporter>,
}

/// Captures until Ctrl-C.
pub(super) fn capture(capture: Capture<'_>) -> Result<Exit, Failure> {
    let Capture { level, exclude, limits, recording, policy, exporter } = capture;
    let settings = agent::Settings {
        kernel: kernel_options(limits.ring_mib, limits.max_call_mib),
        engine: Config { level, memory: mebibytes(limits.memory_mib), message_bytes: mebibytes(limits.max_call_mib), ..Config::default() },
        exclusions: exclusions(exclude)?,
        identities: agent::identities(level),
        node: agent::host_name(),
        recording,
        policy,
        exporter,
        enforcement: None,
    };
    match agent::run(settings) {
        Ok(()) => Ok(Exit::Ok),
        Err(AgentError::Output(error)) if is_closed(&error) => Ok(Exit::Ok),
        Err(AgentError::Output(error)) => Err(Failure::of_output(error)),
        Err(error @ (AgentError::Setup(_) | AgentError::Recording(_))) => Err(Failure::new(Exit::Failed, error.to_string())),
        Err(AgentError::Load(error)) => Err(cannot_capture(&error)),
    }
}

/// Names what is missing and how to get it, rather than what the kernel said first.
pub(super) fn cannot_capture(error: &crate::bpf::LoadError) -> Failure {
    let (items, _) = preflight(Options::default());
    let missing = items.iter().find(|item| item.required && item.state == crate::bpf::CheckState::Missing);
    let (cause, mend) =
        missing.map_or_else(|| (error.to_string(), String::new()), |item| (format!("{}: {}", item.name, item.detail), item.mend.clone()));
    let mend = if mend.is_empty() { "see `mcp-sensor check`".to_owned() } else { format!("{mend}; see `mcp-sensor check`") };
    Failure::new(Exit::CannotCapture, "cannot capture here").because(cause).mend(mend)
}

fn check(options: &Check) -> Result<Exit, Failure> {
    let (items, programs) = preflight(Options::default());
    let report = Report::new(&items, options.programs.then_some(programs.as_slice()));
    let text = if options.json {
        report.json().map_err(|error| Failure::of_output(io::Error::other(error)))?
    } else {
        let styles = Styles::choose(options.color, &io::stdout());
        report.render(crate::export::table::Size::of_stdout().columns(), styles)
    };
    io::stdout().write_all(text.as_bytes()).map_err(Failure::of_output)?;
    Ok(report.exit())
}

fn kernel_options(ring_mib: u32, call_mib: u32) -> Options {
    Options { ring_bytes: ring_mib << 20, call_limit: u64::from(call_mib) << 20 }
}

pub(super) fn mebibytes(number: u32) -> usize {
    usize::try_from(u64::from(number) << 20).unwrap_or(usize::MAX)
}

fn exclusions(exclude: &ExcludeArgs) -> Result<Exclusions, Failure> {
    let users = exclude.exclude_user.iter().map(|user| {
        identity::user_id(user).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("--exclude-user {user}: no user of this name"))
                .mend("give a name of /etc/passwd, or a number")
        })
    });
    Ok(Exclusions {
        executables: exclude.exclude_exe.clone(),
        files: Vec::new(),
        users: users.collect::<Result<_, _>>()?,
        cgroups: exclude.exclude_cgroup.clone(),
    })
}

/// Passes on what the filters let through. Single messages only where they were asked for.
pub(super) struct Filtered {
    pub filter: Filter,
    pub messages: bool,
    pub inner: Box<dyn Exporter>,
    /// What passed.
    pub shown: Summary,
}

impl Exporter for Filtered {
    fn event(&mut self, event: &Outgoing) -> io::Result<()> {
        let message = matches!(event.frame.body, Some(Body::Message(_)));
        if !self.filter.is_empty() && !self.filter.matches(&event.to_event()) {
            return Ok(());
        }
        self.shown.count(&event.frame);
        if message && !self.messages {
            return Ok(());
        }
        self.inner.event(event)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }

    fn tick(&mut self, now: i64) -> io::Result<()> {
        self.inner.tick(now)
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        self.shown.duration = summary.duration;
        self.shown.recording.clone_from(&summary.recording);
        self.inner.finish(&self.shown)
    }
}
