//! Events on their way in: from a sensor's stream, through the sequencer, to the live log and the store's queue.
//!
//! - [`stream`] speaks `IngestService.Connect` with one sensor: Hello, batches, acknowledgements.
//! - [`sequencer`] drops what came before, and gives each event its cursor, in one place and one order.
//! - [`run`] is what is known of one run of a sensor while it matters.
//! - [`chunk`] is a batch on its way.
//!
//! Invariants: an event goes to the live log and to the store's queue in the order of cursors; it is acknowledged only after
//! the store has committed it; the bytes between here and the store are bounded.

pub mod chunk;
pub mod run;
pub mod sequencer;
pub mod stream;

pub use chunk::{Chunk, Entry};
pub use run::{Run, RunId, RunInfo, Runs};
pub use sequencer::Sequencer;
