//! Events on their way to whoever watches: before the store, and never waiting for anyone.
//!
//! - [`log`] holds the newest events, one copy for all subscribers.
//! - [`subscription`] is one subscriber's place in it.

pub mod log;
pub mod subscription;

pub use log::Log;
pub use subscription::{Start, Subscription};
