//! Events as people ask for them and read them: found by name, sanitised, in words, in a live table, as the timeline of a
//! session, as CSV. Shared by the sensor's and the collector's command lines.
//!
//! Invariant: nothing that was captured reaches a terminal but through [`sanitize`].
#![forbid(unsafe_code)]

pub mod csv;
mod excerpt;
pub mod failure;
pub mod find;
mod json;
pub mod names;
pub mod output;
pub mod sanitize;
pub mod style;
pub mod table;
pub mod timeline;
pub mod units;
pub mod words;
