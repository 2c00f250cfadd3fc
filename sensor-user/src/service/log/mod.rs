//! The log: structured, on standard error or in the journal.
//!
//! Invariants: who logs never waits for who reads (`lines`); no payload and no captured text is ever in it. The agent's own lines carry none; those of libraries, which do
//! not know the difference, are written from warnings on only, whatever the level.

mod lines;

use std::io::{self, IsTerminal as _};
use std::os::unix::fs::MetadataExt as _;

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use self::lines::Lines;
use crate::config::{Log, LogFormat, LogLevel};

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LogError {
    /// No journal.
    #[error("writing the log to the journal: {0}")]
    Journal(#[source] io::Error),
    /// No thread.
    #[error("starting the thread that writes the log: {0}")]
    Thread(#[source] io::Error),
    /// There is a log already.
    #[error("the process has a log already")]
    Taken,
}

/// Brings the last lines to their reader when dropped.
#[must_use = "without it the last lines may not be written"]
pub struct LogGuard(Lines);

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Changes what is written.
pub struct LogControl(reload::Handle<Targets, Registry>);

impl LogControl {
    /// Of a log that nobody reads.
    #[cfg(test)]
    pub(super) fn detached() -> Self {
        let (_, control) = reload::Layer::new(targets(LogLevel::Info));
        Self(control)
    }

    /// Sets the level.
    pub fn set_level(&self, level: LogLevel) {
        // It fails only where the log is gone, and then nobody reads of it.
        let _ = self.0.reload(targets(level));
    }
}

/// Begins the log of this process.
///
/// # Errors
/// Where the journal cannot be reached, or there is no thread.
pub fn start(log: &Log) -> Result<(LogControl, LogGuard), LogError> {
    let journal = match log.format {
        LogFormat::Journald => Some(journal().map_err(LogError::Journal)?),
        // A journal that cannot be reached (from within a container, say) still gets what is written to standard error.
        LogFormat::Auto if stderr_is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref()) => journal().ok(),
        _ => None,
    };
    let as_text = matches!(log.format, LogFormat::Text | LogFormat::Auto) && journal.is_none();
    let lines = Lines::to(io::stderr()).map_err(LogError::Thread)?;
    let (writer, guard) = (lines.clone(), LogGuard(lines));
    let writer = move || writer.clone();
    let json = (log.format == LogFormat::Json).then(|| fmt::layer().json().flatten_event(true).with_writer(writer.clone()));
    let text = as_text.then(|| fmt::layer().with_target(false).with_ansi(io::stderr().is_terminal()).with_writer(writer));
    let (filter, control) = reload::Layer::new(targets(log.level));
    let subscriber = Registry::default().with(filter).with(journal).with(json).with(text);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Taken)?;
    Ok((LogControl(control), guard))
}

/// The journal, with the fields of a line as fields of its own: `MCP_SENSOR_EVENTS=17`.
fn journal() -> io::Result<tracing_journald::Layer> {
    Ok(tracing_journald::layer()?.with_field_prefix(Some("MCP_SENSOR".to_owned())))
}

fn targets(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_target("sensor_user", own).with_default(own.min(LevelFilter::WARN))
}

/// True where standard error is the stream that systemd says leads to the journal: `JOURNAL_STREAM` is its device and inode.
fn stderr_is_journal(stream: Option<&str>) -> bool {
    let Some((device, inode)) = stream.and_then(|stream| stream.split_once(':')) else { return false };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|found| device.parse() == Ok(found.dev()) && inode.parse() == Ok(found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn libraries_are_heard_from_warnings_on_only() {
        let targets = targets(LogLevel::Trace);
        assert!(targets.would_enable("sensor_user::export::uplink", &Level::TRACE));
        assert!(targets.would_enable("h2::codec", &Level::WARN));
        assert!(!targets.would_enable("h2::codec", &Level::INFO));
        assert!(!super::targets(LogLevel::Error).would_enable("h2::codec", &Level::WARN));
    }

    #[test]
    fn the_journal_is_where_systemd_says() {
        let stderr = std::fs::metadata("/proc/self/fd/2").unwrap();
        assert!(stderr_is_journal(Some(&format!("{}:{}", stderr.dev(), stderr.ino()))));
        assert!(!stderr_is_journal(Some(&format!("{}:{}", stderr.dev(), stderr.ino() + 1))));
        assert!(!stderr_is_journal(Some("")) && !stderr_is_journal(None));
    }
}
