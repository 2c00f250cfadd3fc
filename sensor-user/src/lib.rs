//! The agent `mcp-sensor`: everything between the kernel and the pure pipeline, and between the pipeline and people.
//!
//! In the order of the data's way: `bpf` (load, attach, drain the ring) → `capture` (records become input) →
//! `identity` (who is behind a pid) → [`sensor_core::engine`] → `export` (JSON lines, the live table).


pub mod bpf;
pub mod capture;
pub mod cli;
pub mod export;
pub mod identity;
