//! The agent `mcp-sensor`: everything between the kernel and the pure pipeline, and between the pipeline and people.
//!
//! In the order of the data's way: [`bpf`] (load, attach, drain the ring) → [`capture`] (records become input) →
//! [`pipeline`] (drives [`sensor_core::engine`]) → [`outlet`] (names the peers, by [`identity`]; has events judged, by
//! [`judging`], and acted upon, by [`respond`]) → [`export`] (JSON lines, the live table). [`agent`] puts them together for
//! live capture; [`service`] runs it unattended, as [`config`] says; [`status`] is what the sensor says of itself;
//! [`against`] says a recorded session again to a server;
//! [`cli`] is what people type.

pub mod against;
pub mod agent;
pub mod bpf;
pub mod capture;
pub mod cli;
pub mod config;
pub mod export;
pub mod identity;
pub mod judging;
pub mod outlet;
pub mod pipeline;
pub mod recording;
pub mod replay;
pub mod respond;
pub mod service;
pub mod status;
