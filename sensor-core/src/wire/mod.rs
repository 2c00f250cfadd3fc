//! Framing: from the bytes of a stream to the JSON values in it.

pub mod ndjson;
