//! End to end tests: what the tests share.
//!
//! Clients and servers log every message that crosses their wire (the *truth*, see [`truth`]); the sensor reports what it saw; the
//! two are compared ([`truth::compare`]). The raw client and server that drive every system call are the binary `peer` of this package.

pub mod harness;
pub mod truth;
