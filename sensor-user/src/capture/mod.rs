//! Where captured traffic comes from, as the pipeline sees it: a [`Source`] of decoded records.
//!
//! This is the seam of the whole design: live capture is one source, a recording another; everything behind it runs the
//! same code on both, and needs no kernel.

mod key;
mod live;
mod record;
mod recorded;

pub use key::{from_kernel, to_kernel};
pub use live::Live;
pub use record::{DecodeError, Record, decode, kin, process_of};
pub use recorded::{Following, Pace, Recorded};

use sensor_core::input::Time;
use std::time::Duration;

/// What became of a call to [`Source::read`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// Records were given.
    Records,
    /// There was none within the time.
    Nothing,
    /// There is none left, and none will come.
    End,
}

/// Gives records in the order in which they were captured.
pub trait Source {
    /// Gives the next records to `each`, waiting at most `wait` for the first.
    fn read(&mut self, wait: Duration, each: &mut dyn FnMut(Record<'_>)) -> Progress;

    /// The moment that the source has come to, in nanoseconds since boot.
    fn now(&self) -> Time;

    /// Records that could not be decoded so far.
    fn undecodable(&self) -> u64;
}
