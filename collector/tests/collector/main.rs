//! The collector as its peers see it: sensors that send, readers that ask, operators that kill it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

mod ingest;
mod process;
mod query;
mod security;
mod store;
mod subscribe;
mod support;
