//! A recorded session against a server that is started now: says the client's part again and tells what is different.
//!
//! ```text
//! recording ─ events ─► Conversation ─► Plan ─ play ─► Transport (the server) ─ answers ─► diff, tolerance ─► Report
//! ```
//!
//! [`recorded`] keeps what was said, [`plan`] decides what can be said again and in which order, [`play`](play::play) does it over a
//! [`Transport`], [`diff`] compares, [`tolerance`] knows clocks and ids, [`report`] is what comes out of it.
//!
//! What is said again is what was said, byte for byte, ids too; but for what a server hands out and gets back (cursors, tasks): see
//! `handles`.
//!
//! Invariants: whatever a server does, nothing waits for it longer than it was told to, and nothing that it says is held beyond a
//! limit; nothing is sent that differs from what the client sent without being told; the process and its group are gone at the end.

pub mod diff;
mod handles;
pub mod plan;
pub mod play;
pub mod recorded;
pub mod report;
mod screen;
mod show;
pub mod stdio;
pub mod tolerance;
mod tools;
pub mod transport;

#[cfg(test)]
mod tests;

pub use plan::Plan;
pub use recorded::{Conversation, Way};
pub use report::Report;
pub use stdio::Stdio;
pub use tolerance::{Pattern, Tolerance};
pub use transport::Transport;
