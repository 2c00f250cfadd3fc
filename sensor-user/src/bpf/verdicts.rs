//! Telling the kernel what was decided about a stream.

use aya::{
    Pod,
    maps::{HashMap, Map, MapData, MapError},
};
use sensor_ebpf::{StreamKey, Verdict};

#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
struct Key(StreamKey);
// SAFETY: `StreamKey` is plain numbers without padding (it derives `IntoBytes`).
unsafe impl Pod for Key {}

#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
struct Value(Verdict);
// SAFETY: as for `Key`.
unsafe impl Pod for Value {}

/// The map of verdicts.
#[derive(Debug)]
pub struct Verdicts(HashMap<MapData, Key, Value>);

impl Verdicts {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        HashMap::try_from(map).map(Self)
    }

    /// Sets the verdict on a stream.
    ///
    /// # Errors
    /// Where the kernel refuses; the stream then stays as it was, and unknown streams are captured.
    pub fn set(&mut self, stream: &StreamKey, verdict: &Verdict) -> Result<(), MapError> {
        self.0.insert(Key(*stream), Value(*verdict), 0)
    }
}
