//! Recordings being made: what the pipeline takes and finds, on its way to a file.
//!
//! ```text
//! pipeline ─ record, frames, bindings ─► Recorder: which sessions? ─ item ─► Spool (bounded) ─► thread: encode, compress, write
//! ```
//!
//! The [`Recorder`] runs on the pipeline's thread and only decides and copies; the [`Spool`] is the bounded queue before a file, as
//! each exporter has one, and its thread does all that can be slow. The file's format is the crate `recording`'s.
//!
//! Invariants: capture never waits for a file; what is not written is counted by reason and told in the sensor's own events;
//! no byte of a stream is written before the stream is known to be of a session that is to be recorded.

mod choice;
mod held;
mod kin;
mod order;
mod owned;
mod plan;
mod recorder;
mod spool;

pub use choice::Choice;
pub use order::{Destination, Order, Rolls, ZSTD_LEVEL, signer};
pub use owned::Owned;
pub use plan::Plan;
pub use recorder::Recorder;
pub use spool::{Keep, Spool};

#[cfg(test)]
mod tests;
