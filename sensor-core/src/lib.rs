//! Bytes in, events out: the pure half of the sensor.
//!
//! No clock, no files, no threads, no `unsafe`: time and identity come with the input, so live capture, replay, tests,
//! fuzzing and benchmarks run the same code. The modules stand in the order of the data's way:
//! [`input`] → `stream` (order, gaps) → `wire` (frames) → `mcp` (messages, sessions, exchanges) → `redact` → [`event`].
#![forbid(unsafe_code)]

pub mod detect;
pub mod engine;
pub mod event;
pub mod input;
pub mod json;
pub mod mcp;
pub mod policy;
pub mod redact;
pub mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod wire;
