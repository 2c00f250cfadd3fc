//! `mcp-sensor replay`.

use super::{
    Replay, identities,
    record::{is_compressed, order},
    session::OneSession,
};
use crate::{
    agent::stop_on_signals,
    cli::{Exit, Failure, Filter, Payload, run::Filtered, run::mebibytes, show, warn},
    export::{Exporter, Outgoing, Summary, style::Styles},
    recording::{Order, ZSTD_LEVEL},
    replay::{self, ReplayError, Settings},
};
use mcp_sensor_proto::v1::event::Body;
use recording::{Ending, Fault, Level, ReadError, reader, writer};
use std::io;

pub fn replay(options: &Replay) -> Result<Exit, Failure> {
    if options.filters.session.is_empty() && (options.html.is_some() || options.markdown) {
        return Err(Failure::new(Exit::Usage, "--html and --markdown show one session")
            .mend("add --session ID; `mcp-sensor replay FILE --json` names them"));
    }
    let reading = reader::Options { identities: identities(options.identity.as_deref())?, ..reader::Options::default() };
    let (reader, following) = replay::open_all(&options.files, reading).map_err(|error| unreadable(&error))?;
    if let Some(command) = &options.against.against {
        return super::against::against(options, command, (reader, following));
    }
    let styles = Styles::choose(options.color, &io::stderr());
    if options.payload == Payload::Full && reader.header().level == Level::Redacted {
        warn("--payload full: this recording is redacted, what was hidden is not in it", styles);
    }
    let began = reader.header().started;
    let moment = |moment: Option<super::Moment>| moment.map(|moment| moment.since_1970(began));
    let (from, to) = (moment(options.from), moment(options.to));
    let one = if options.filters.session.is_empty() { None } else { Some(OneSession::new(&options.filters.session)) };
    let inner: Box<dyn Exporter> = match &one {
        Some(one) => Box::new(one.clone()),
        None => Box::new(Filtered {
            filter: Filter::new(&options.filters),
            messages: options.messages,
            inner: show(options.json, options.messages, options.color).map_err(Failure::of_output)?,
            shown: Summary::default(),
        }),
    };
    let stop = stop_on_signals().map_err(|error| Failure::new(Exit::Failed, "cannot watch for signals").because(error))?;
    let settings = Settings {
        whole: false,
        recording: again(options)?,
        policy: crate::cli::policy::chosen(options.policy.as_deref())?,
        level: options.payload.into(),
        memory: mebibytes(options.memory_mib),
        pace: options.speed.0,
        until: to,
        exporter: Box::new(From { from: from.unwrap_or(0), inner }),
    };
    let (failure, ending) = match replay::run_all((reader, following), settings, &stop) {
        Ok(ended) => ended,
        Err(ReplayError::Output(error)) => return Err(Failure::of_output(error)),
        Err(error) => return Err(unreadable(&error)),
    };
    if let Some(one) = one {
        one.render(options)?;
    }
    match (failure, ending) {
        (Some(error), _) => Err(damaged(&error)),
        _ if to.is_some() => Ok(Exit::Ok),
        (None, Ending::Cut { .. }) => {
            warn("the recording is cut: what is shown is what is left of it", styles);
            Ok(Exit::Ok)
        }
        (None, Ending::NotClosed) => {
            warn("the recording was not ended: its sensor was killed, or still writes", styles);
            Ok(Exit::Ok)
        }
        (None, Ending::Complete(_)) => Ok(Exit::Ok),
    }
}

/// The recording that is to be made of this one.
fn again(options: &Replay) -> Result<Option<Order>, Failure> {
    let Some(path) = &options.output else { return Ok(None) };
    let how = writer::Options { zstd_level: is_compressed(path).then_some(ZSTD_LEVEL), ..writer::Options::default() };
    let more = options.files.len().saturating_sub(1);
    let first = options.files.first().map(|file| file.display().to_string()).unwrap_or_default();
    let reason = format!("mcp-sensor replay of {first}{}", if more > 0 { format!(" and {more} more") } else { String::new() });
    order(path, options.level, Filter::new(&options.filters), options.memory_mib, &reason, how).map(Some)
}

/// A recording that cannot be opened.
pub(super) fn unreadable(error: &ReplayError) -> Failure {
    let failure = Failure::new(Exit::Usage, "cannot read the recording").because(error.to_string());
    match error {
        ReplayError::Read { source, .. } => match mend(&source.fault) {
            Some(mend) => failure.mend(mend),
            None => failure,
        },
        _ => failure,
    }
}

/// A recording that could be read to a point.
fn damaged(error: &ReadError) -> Failure {
    Failure::new(Exit::Failed, "the recording cannot be read to its end")
        .because(error.to_string())
        .mend("`mcp-sensor verify` tells what is wrong with it")
}

/// What can be done about it.
pub fn mend(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::Encrypted | Fault::NotForUs => Some("give the identity that it was encrypted for with --identity"),
        Fault::NotARecording | Fault::Foreign => Some("give a file that `mcp-sensor record` made"),
        Fault::Newer { .. } => Some("use a newer mcp-sensor"),
        _ => None,
    }
}

/// Passes on what happened from a moment on. What the sensor told of itself is passed on always.
struct From {
    /// In nanoseconds since 1970.
    from: u64,
    inner: Box<dyn Exporter>,
}

impl Exporter for From {
    fn event(&mut self, event: &Outgoing) -> io::Result<()> {
        let time = event.frame.time.unwrap_or_default();
        let time = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        let is_told = matches!(event.frame.body, Some(Body::Sensor(_)));
        if is_told || time >= i128::from(self.from) { self.inner.event(event) } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }

    fn tick(&mut self, now: i64) -> io::Result<()> {
        self.inner.tick(now)
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        self.inner.finish(summary)
    }
}
