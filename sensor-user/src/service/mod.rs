//! `mcp-sensor run`: the agent unattended, with an uplink to a collector.
//!
//! ```text
//! main thread     the pipeline: records → events → queue of the uplink
//! `uplink`        sends to the collector
//! `log`           writes to standard error, so that nobody else waits for who reads it
//! `signals`       SIGTERM, SIGINT: stop; SIGHUP: read the configuration again
//! `control`       takes orders by hand (`mcp-sensor kill`)
//! `watchdog`      tells systemd that the pipeline makes progress
//! ```
//!
//! Invariants: capture begins and goes on whatever the collector does; the end comes within the deadline, and what could not
//! be handed on by then is told in the log.
#![forbid(unsafe_code)]

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use sensor_core::engine;
use sensor_core::redact::Level;
use thiserror::Error;

pub mod control;
pub mod log;
pub mod notify;
mod policy;
mod progress;
mod recording;
mod reload;
pub mod signals;

use self::control::Control;
use self::log::LogError;
use self::notify::Notifier;
use self::progress::{Observed, Progress};
use self::reload::{Current, Reloader, with_collector};
use self::signals::{Asked, Stop};
use crate::agent::{self, AgentError};
use crate::bpf;
use crate::config::{self, Config, ConfigError, Environment, Given, Payload};
use crate::export::uplink::queue::{Accounting, Limits};
use crate::export::uplink::{self, Target, Uplink, UplinkError};
use crate::identity::{self, Exclusions};
use crate::respond::{self, Enforcement, Exempt, Guardian};

/// Why the service ended with a failure.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// It was configured wrongly.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It has no log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It has no uplink.
    #[error(transparent)]
    Uplink(#[from] UplinkError),
    /// It cannot record as it is told to.
    #[error("cannot record: {}: {why}", what.display())]
    Recording {
        /// The folder or file.
        what: PathBuf,
        /// Why.
        why: String,
    },
    /// The policy cannot be used.
    #[error("cannot use the policy: {0}")]
    Policy(String),
    /// Signals or threads could not be set up.
    #[error("setting up the service: {0}")]
    Setup(#[source] io::Error),
    /// Capture failed.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// The variables of this process that concern the sensor.
#[must_use]
pub fn environment() -> Environment {
    let own = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.into_string().ok().filter(|name| name.starts_with("MCP_SENSOR_"))?;
        Some((name, value.to_string_lossy().into_owned()))
    };
    std::env::vars_os().filter_map(own).collect()
}

/// Runs until a signal stops it.
///
/// # Errors
/// Where it cannot be configured or set up, or capture fails.
pub fn run(given: &Given, environment: &Environment) -> Result<(), ServiceError> {
    let loaded = config::load(given.file(environment).as_deref(), environment, given).and_then(with_collector)?;
    let config = loaded.config;
    let (log, _guard) = log::start(&config.log)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    warn_of_choices(&config, &loaded.strange_variables);

    let policy = policy::load(&config).map_err(ServiceError::Policy)?;
    // Before anything else: it shares nothing with what comes.
    let guardian = (config.enforcement.mode != Enforcement::Off).then(guardian).flatten();
    let recording = recording::order(&config)?;
    let node = config.node.clone().unwrap_or_else(agent::host_name);
    let Some(target) = target(&config) else { return Ok(()) };
    let (uplink, exporter) = Uplink::start(uplink_settings(&config, target, &node))?;
    let notifier = Arc::new(Notifier::to(std::env::var_os("NOTIFY_SOCKET").as_deref()));
    let progress = Arc::new(Progress::default());
    let current = Current::new(config.clone());
    let (changes, changed) = mpsc::channel();

    policy::watch(current.clone(), changes.clone()).map_err(ServiceError::Setup)?;

    // It lives as long as the process: the signals' thread does.
    let stop: &'static Stop = Box::leak(Box::default());
    let reloader = Reloader {
        given: given.clone(),
        environment: environment.clone(),
        current: current.clone(),
        log,
        changes: changes.clone(),
        uplink: uplink.steering(),
    };
    let control = config.enforcement.control_socket.as_deref().and_then(|path| Control::open(path, changes));
    let (told, moving) = (Arc::clone(&notifier), Arc::clone(&progress));
    signals::watch(stop, move |asked| match asked {
        Asked::Stop => {
            tracing::info!("told to stop: handing on what is held");
            told.stopping();
        }
        Asked::Reload => {
            told.reloading();
            reloader.reload();
            if moving.has_begun() {
                told.ready();
            }
        }
    })
    .map_err(ServiceError::Setup)?;
    let interval = notify::watchdog(std::env::var_os("WATCHDOG_USEC"), std::env::var_os("WATCHDOG_PID"));
    progress::guard(Arc::clone(&progress), Arc::clone(&notifier), interval).map_err(ServiceError::Setup)?;

    let exporter = Box::new(Observed::new(exporter, Arc::clone(&progress), Arc::clone(&notifier)));
    let settings = agent::Settings {
        kernel: bpf::Options { ring_bytes: config.limits.ring_mib << 20, call_limit: u64::from(config.limits.max_call_mib) << 20 },
        engine: engine_config(&config),
        exclusions: exclusions(&config),
        identities: agent::identities(level(&config)),
        exporter,
        recording,
        policy: Some(policy),
        node,
        enforcement: Some(agent::Enforcement { settings: enforcement(&config), guardian }),
    };
    let captured = agent::capture(settings, stop.flag(), Some(changed));
    drop(control);
    progress.finish();
    let deadline = match captured {
        Ok(()) => stop.since() + current.shutdown(),
        // What failed at the start has nothing to hand on.
        Err(_) => Instant::now() + current.shutdown(),
    };
    tell_end(uplink.finish(deadline));
    Ok(captured?)
}

/// Says what became of the events.
fn tell_end(accounting: Accounting) {
    let Accounting { pushed, acknowledged, held, dropped } = accounting;
    tracing::info!(
        events = pushed.events,
        acknowledged = acknowledged.events,
        undelivered = held.events,
        dropped = dropped.events,
        "stopped"
    );
}

/// Warns of what the operator's choices lead to.
fn warn_of_choices(config: &Config, strange_variables: &[String]) {
    if config.capture.payload == Payload::Full {
        tracing::warn!("capture.payload is full: secrets in the traffic are sent as they are");
    }
    if config.enforcement.mode == Enforcement::On {
        tracing::warn!("enforcement.mode is on: processes are stopped and killed");
        if !bpf::may_signal() {
            tracing::warn!(
                "without CAP_KILL the sensor cannot signal processes of other users: give it, or set enforcement.mode to dry-run"
            );
        }
    }
    if let Some(address) = config.collector.address.as_ref().filter(|address| !address.is_encrypted() && !address.is_local()) {
        tracing::warn!(collector = %address, "collector.insecure: events and the token cross the network unencrypted");
    }
    for name in strange_variables {
        tracing::warn!(name, "this environment variable is no setting; `mcp-sensor config` prints all");
    }
}

fn uplink_settings(config: &Config, target: Target, node: &str) -> uplink::Settings {
    let collector = &config.collector;
    uplink::Settings {
        target,
        node: node.to_owned(),
        messages: config.capture.messages,
        limits: Limits::of_bytes(mebibytes(collector.buffer_mib)),
        backoff_min: collector.backoff_min,
        backoff_max: collector.backoff_max,
        heartbeat: collector.heartbeat,
    }
}

/// The collector that the configuration names.
fn target(config: &Config) -> Option<Target> {
    let collector = config.collector.clone();
    Some(Target {
        address: collector.address?,
        ca_file: collector.ca_file,
        identity: collector.cert_file.zip(collector.key_file),
        server_name: collector.server_name,
        token_file: collector.token_file,
    })
}

/// Whom the configuration excludes. That its users exist was checked when it was read.
fn exclusions(config: &Config) -> Exclusions {
    Exclusions {
        executables: config.exclude.exe.clone(),
        files: Vec::new(),
        users: config.exclude.user.iter().filter_map(|user| identity::user_id(user)).collect(),
        cgroups: config.exclude.cgroup.clone(),
    }
}

/// What is done about processes. That its users exist was checked when it was read.
fn enforcement(config: &Config) -> respond::Settings {
    let config::Enforcement { mode, exempt_exe, exempt_user, exempt_cgroup, actions_per_minute, control_socket: _ } = &config.enforcement;
    respond::Settings {
        mode: *mode,
        exempt: Exempt {
            executables: exempt_exe.clone(),
            users: exempt_user.iter().filter_map(|user| identity::user_id(user)).collect(),
            cgroups: exempt_cgroup.clone(),
        },
        actions_per_minute: *actions_per_minute,
    }
}

/// Starts the guardian of stopped processes.
fn guardian() -> Option<Guardian> {
    Guardian::start()
        .inspect_err(|error| tracing::error!("no guardian of stopped processes can be started, so that nothing will be stopped: {error}"))
        .ok()
}

fn engine_config(config: &Config) -> engine::Config {
    engine::Config {
        level: level(config),
        memory: mebibytes(config.limits.memory_mib),
        message_bytes: mebibytes(config.limits.max_message_mib),
        ..engine::Config::default()
    }
}

const fn level(config: &Config) -> Level {
    match config.capture.payload {
        Payload::Full => Level::Full,
        Payload::Redacted => Level::Redacted,
        Payload::None => Level::None,
    }
}

fn mebibytes(number: u32) -> usize {
    usize::try_from(u64::from(number) << 20).unwrap_or(usize::MAX)
}
