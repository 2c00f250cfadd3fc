//! Recordings: files that hold captured traffic, or its redacted messages, with all that replaying them needs.
//!
//! A recording is a pcapng file that Wireshark opens, perhaps compressed (zstd) and encrypted (age). `FORMAT.md` describes it.
//! This crate writes, reads and verifies it, and knows no clock, no kernel and no events: what to record comes in as [`Item`]s,
//! and comes out as the same items.
//!
//! - [`Writer`] takes items and writes a file.
//! - [`Reader`] gives them back, streaming, in constant memory, from a file that may be cut or hostile.
//! - [`verify`](verify()) says whether a file is what its writer wrote, all of it, and what the sensor declared as lost.
//! - [`Rolling`] writes one file after the other into a folder.
#![forbid(unsafe_code)]

mod address;
mod blocks;
mod chain;
mod decode;
mod encode;
mod error;
mod format;
mod item;
pub mod keys;
mod known;
mod manifest;
mod proto;
mod put;
pub mod reader;
pub mod rolling;
mod sink;
mod source;
mod take;
pub mod verify;
mod words;
pub mod writer;

pub use age::x25519::{Identity, Recipient};
pub use error::{Fault, ReadError};
pub use item::{Framed, Header, Item, Kind, Level, Passed};
pub use manifest::{Lost, Manifest, Signed, Summary};
pub use reader::{Ending, Reader};
pub use rolling::Rolling;
pub use verify::{Verdict, Verification, verify};
pub use writer::Writer;
