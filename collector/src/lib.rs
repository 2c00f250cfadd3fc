//! The collector: takes events from many sensors, keeps them, and serves them.
//!
//! The way of an event, and the modules in its order: [`config`] says what is allowed; [`event`] checks the bytes and reads the
//! keys; [`ingest`] gives each event its place; [`live`] has the newest for whoever watches; [`store`] keeps them; [`serve`] is
//! the network around it; [`cli`] is the command line.
//!
//! Invariants: what is acknowledged is stored; a live subscription does not wait for the store, and nobody waits for a slow
//! subscriber; memory is bounded, whatever comes in; events are stored and served as the bytes that came.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod event;
pub mod ingest;
pub mod live;
pub mod serve;
pub mod store;
