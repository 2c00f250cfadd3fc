//! Events on their way out: as JSON lines for programs ([`json`]), as a live table for people ([`table`]), to a collector
//! ([`uplink`]).
//!
//! [`event`] makes the proto's event of what the pipeline gives out; an [`Exporter`] takes it from there; [`summary`]
//! tells at the end what was seen and what was not.
//!
//! Invariants: an exporter shows events in the order in which it gets them; nothing that was captured reaches a terminal
//! but through [`sanitize`]; a reader that goes away (`mcp-sensor watch | head`) is no failure, see [`is_closed`].

use std::io;

use mcp_sensor_proto::v1::loss::Count;

pub mod event;
pub mod json;
pub mod outgoing;
pub mod summary;
pub mod table;
pub mod uplink;

pub use outgoing::{Outgoing, Shared};
pub use present::{names, output, sanitize, style, units, words};
pub use summary::Summary;

/// Where events go.
///
/// The pipeline calls [`event`](Self::event) for each event, [`flush`](Self::flush) after each batch of them (what the
/// ring held at once), [`tick`](Self::tick) a few times a second, and [`finish`](Self::finish) once. An error ends the
/// export: the exporter is not used again.
pub trait Exporter: Send {
    /// False where the events of single messages are neither to be numbered nor given to [`event`](Self::event): to whom
    /// the events go it is no loss.
    fn wants_messages(&self) -> bool {
        true
    }

    /// What was lost on the way out, since the start. The sensor tells it in its own events.
    fn losses(&self) -> Vec<Count> {
        Vec::new()
    }

    /// Takes one event. It may stay in memory until [`flush`](Self::flush).
    ///
    /// # Errors
    /// The output could not be written; see [`is_closed`].
    fn event(&mut self, event: &Outgoing) -> io::Result<()>;

    /// Brings what was taken so far to its reader.
    ///
    /// # Errors
    /// The output could not be written; see [`is_closed`].
    fn flush(&mut self) -> io::Result<()>;

    /// Time passes: shows what is due (a tool call that still runs), and notices a reader that has gone away.
    ///
    /// `now` is wall-clock time in nanoseconds since 1970, on the clock of the events' times; in a replay, the time that
    /// the replay has reached.
    ///
    /// # Errors
    /// The output could not be written, or nobody reads it any more; see [`is_closed`].
    fn tick(&mut self, now: i64) -> io::Result<()>;

    /// The last call: shows what is left.
    ///
    /// # Errors
    /// The output could not be written; see [`is_closed`].
    fn finish(&mut self, summary: &Summary) -> io::Result<()>;
}

/// True where an exporter failed because nobody reads its output any more. The program ends quietly then, with success, as
/// users of `head` expect.
#[must_use]
pub fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}
