//! Made traffic, and a sink that remembers: for tests, fuzz targets and benchmarks (feature `testing`).

mod recorder;
mod traffic;

pub use recorder::{Recorded, RecordedCall, RecordedMessage, Recorder, What};
pub use traffic::{Input, Line, Traffic, World};
