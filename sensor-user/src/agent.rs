//! Live capture from beginning to end: load, attach, learn what was there before, run, end.

use crate::{
    bpf::{HeldStream, LoadError, Options, Programs, Verdicts, boot_clock, give_back_memory},
    capture::{Live, from_kernel, process_of, to_kernel},
    export::Exporter,
    identity::{self, Exclusions, Identities, Known},
    judging::{Judging, Loaded},
    pipeline::{Change, Parts, Pipeline, Taken, VerdictTaker},
    recording::Order,
    respond::{self, Guardian, Responder},
    status::{KernelSide, Status},
};
use rustc_hash::FxHashMap;
use rustix::time::{ClockId, clock_gettime};
use sensor_core::{
    engine::Config,
    input::{End, ProcessId, StreamKey, Time, Touch, Verdict},
    redact::{Level, Redactor},
};
use sensor_ebpf::VerdictKind;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::{
    cell::RefCell,
    io,
    sync::{Arc, atomic::AtomicBool, mpsc::Receiver},
};
use thiserror::Error;

/// Shortest time that an ignored stream is left alone; doubled each time it is ignored again.
const HOLD_OFF: Time = 20_000_000;
/// How often it is doubled at most.
const DOUBLINGS: u32 = 3;
/// Streams whose hold-off is remembered; beyond it all start anew.
const HOLD_OFFS: usize = 64 * 1024;

/// Why the agent ended with a failure.
#[derive(Debug, Error)]
pub enum AgentError {
    /// Capture could not be set up.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Signals or threads could not be set up.
    #[error("setting up the agent: {0}")]
    Setup(#[source] io::Error),
    /// The recording cannot begin.
    #[error("beginning the recording: {0}")]
    Recording(#[source] io::Error),
    /// The output failed.
    #[error("writing events: {0}")]
    Output(#[source] io::Error),
}

/// What a run is told.
pub struct Settings {
    /// Sizes for the kernel side.
    pub kernel: Options,
    /// What the engine is told; node, boot time and seed are filled in here.
    pub engine: Config,
    /// Whom to leave alone.
    pub exclusions: Exclusions,
    /// The table of processes, empty.
    pub identities: Identities,
    /// Where events go.
    pub exporter: Box<dyn Exporter>,
    /// Makes a recording.
    pub recording: Option<Order>,
    /// What to judge events by.
    pub policy: Option<Loaded>,
    /// Name of the host.
    pub node: String,
    /// Whether and how something is done about processes.
    pub enforcement: Option<Enforcement>,
}

/// What stopping and killing needs.
pub struct Enforcement {
    /// As the configuration says.
    pub settings: respond::Settings,
    /// Started before anything else; absent where it could not be, or nothing is enforced.
    pub guardian: Option<Guardian>,
}

/// The table of processes. Command lines are redacted unless the operator asked for everything.
#[must_use]
pub fn identities(level: Level) -> Identities {
    let level = if level == Level::Full { Level::Full } else { Level::Redacted };
    let redactor = RefCell::new(Redactor::new(level));
    let redact = move |arguments: &[String]| redactor.borrow_mut().arguments(arguments);
    Identities::new(identity::Settings::new(Box::new(redact)))
}

/// The name that the host gives itself.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Captures until SIGINT or SIGTERM; a second signal ends the process at once.
///
/// # Errors
/// Where capture cannot be set up, or the output fails. [`crate::export::is_closed`] tells whether only the reader of the
/// output has gone, which is no failure.
pub fn run(settings: Settings) -> Result<(), AgentError> {
    let stop = stop_on_signals().map_err(AgentError::Setup)?;
    capture(settings, &stop, None)
}

/// A flag that SIGINT and SIGTERM set; a second signal ends the process at once.
///
/// # Errors
/// Where the system refuses the handlers.
pub fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Order matters: the first signal only sets the flag, the second finds it set.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))?;
    }
    Ok(stop)
}

/// Captures until `stop` is set; does what `changes` say meanwhile.
///
/// # Errors
/// As for [`run`].
pub fn capture(settings: Settings, stop: &AtomicBool, changes: Option<Receiver<Change>>) -> Result<(), AgentError> {
    let Settings { kernel, mut engine, exclusions, mut identities, exporter, recording, policy, node, enforcement } = settings;
    let mut programs = Programs::load(kernel)?;
    let verdicts = programs.take_verdicts()?;
    let counters = programs.take_counters()?;
    let ring = programs.take_ring()?;
    // The hooks first, then the look at what is there already: nothing can slip between.
    let source = Live::start(ring).map_err(AgentError::Setup)?;
    let absent = programs.attach()?;
    // Both clocks at one moment: every event's time rests on their distance.
    let (started, wall) = (boot_clock(), wall_clock());
    // A /proc that cannot be read leaves processes older than the sensor without names; capture works all the same.
    let unnamed = identities.scan().err();
    let held = programs.held_streams()?;
    give_back_memory();

    let responder = match enforcement {
        Some(Enforcement { settings, guardian }) => {
            let marks = Box::new(programs.take_marks()?);
            Some(Responder::new(settings, programs.own_pid(), guardian, Some(marks), wall))
        }
        None => None,
    };

    engine.boot_time = wall.saturating_sub(started);
    engine.node = node_number(&node);
    let status = Status::new(started, engine.boot_time, Some(KernelSide { programs, counters }), shortcomings(&absent, unnamed.as_ref()));
    let verdicts = Some(verdict_taker(verdicts));
    let recorder = recording.map(|order| order.begin(&engine, &node, None, wall)).transpose().map_err(AgentError::Recording)?;
    let known = Known::live(identities, engine.boot_time);
    let status = Some(status);
    let judging = policy.map(|loaded| Judging::live(loaded, engine.seed));
    let parts = Parts { source, config: engine, known, exclusions, exporter, recorder, verdicts, judging, node, status, responder };
    let mut pipeline = Pipeline::new(parts);
    if let Some(changes) = changes {
        pipeline.listen(changes);
    }
    for touch in holders(&held, started) {
        pipeline.held(&touch);
    }
    pipeline.run(stop, |source| source.stop()).map_err(AgentError::Output)
}

/// What this kernel or these privileges lack, in words; empty where nothing.
fn shortcomings(absent: &[&str], unnamed: Option<&io::Error>) -> String {
    let mut lines: Vec<String> = absent.iter().map(|name| format!("this kernel has no {name}")).collect();
    lines.extend(unnamed.map(|error| format!("processes older than the sensor have no names: reading /proc: {error}")));
    lines.join("; ")
}

/// The one holder of each end of each stream that is open already. Ends that several processes hold (a launcher and its
/// child) are left out: who uses them shows at their next call.
fn holders(held: &[HeldStream], now: Time) -> Vec<Touch> {
    let mut ends: FxHashMap<(StreamKey, End), Option<ProcessId>> = FxHashMap::default();
    for entry in held {
        let Some(stream) = from_kernel(&entry.key) else { continue };
        let end = if entry.header.end == sensor_ebpf::End::Writer as u8 { End::Writer } else { End::Reader };
        let holder = process_of(&entry.header);
        ends.entry((stream, end)).and_modify(|known| *known = known.filter(|known| *known == holder)).or_insert(Some(holder));
    }
    ends.into_iter()
        .filter_map(|((stream, end), holder)| {
            Some(Touch { time: now, stream, epoch: 0, end, process: holder?, offset: 0, moved: 0, unseen: false, since_birth: false })
        })
        .collect()
}

/// Carries verdicts to the kernel. A stream that is ignored again and again is left alone for longer.
fn verdict_taker(mut verdicts: Verdicts) -> VerdictTaker {
    let mut ignored: FxHashMap<StreamKey, u32> = FxHashMap::default();
    Box::new(move |stream, taken| {
        let mut retry_at = 0;
        let kind = match taken {
            Taken::Verdict(Verdict::Capture) => VerdictKind::Capture,
            Taken::Verdict(Verdict::Ignore) => {
                if ignored.len() >= HOLD_OFFS {
                    ignored.clear();
                }
                let times = ignored.entry(stream).or_default();
                retry_at = boot_clock() + (HOLD_OFF << (*times).min(DOUBLINGS));
                *times += 1;
                VerdictKind::Ignore
            }
            Taken::Exclude => VerdictKind::Exclude,
        };
        let verdict = sensor_ebpf::Verdict { kind: kind as u8, end: 0, padding: 0, reserved: 0, retry_at };
        // A verdict that the kernel refuses leaves the stream unknown, and unknown streams are captured.
        let _ = verdicts.set(&to_kernel(&stream), &verdict);
    })
}

fn wall_clock() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// A number for the host's name, so that ids of different hosts differ.
#[must_use]
pub fn node_number(name: &str) -> u64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    digest.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
