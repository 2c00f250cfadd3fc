//! Events as the collector handles them: encoded bytes, and the few keys by which they can be asked for.
//!
//! Idea: an event is stored and sent on as the bytes that the sensor made, so that nothing is lost of what this version
//! does not know. [`valid`] makes sure that every consumer can decode them; [`keys`] reads from them what filters and
//! summaries need; [`filter`] decides by these keys alone, live and in the store alike;
//! [`text`] is how it looks into contents.

pub mod filter;
pub mod keys;
pub mod text;
pub mod valid;
pub mod wire;

pub use filter::Filter;
pub use keys::{Keys, PeerKey};
