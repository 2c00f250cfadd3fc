//! Telling the kernel what was decided about a stream.

use aya::{
    Pod,
    maps::{Array, HashMap, Map, MapData, MapError},
};
use sensor_ebpf::{StreamKey, USER_GENERATION, Verdict};

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

/// The map of verdicts, and the number that tells the kernel when one of them has changed.
pub struct Verdicts {
    verdicts: HashMap<MapData, Key, Value>,
    generations: Array<MapData, u64>,
    generation: u64,
}

impl Verdicts {
    pub(super) fn new(verdicts: Map, generations: Map) -> Result<Self, MapError> {
        Ok(Self { verdicts: HashMap::try_from(verdicts)?, generations: Array::try_from(generations)?, generation: 0 })
    }

    /// Sets the verdict on a stream.
    ///
    /// # Errors
    /// Where the kernel refuses; the stream then stays as it was, and unknown streams are captured.
    pub fn set(&mut self, stream: &StreamKey, verdict: &Verdict) -> Result<(), MapError> {
        self.verdicts.insert(Key(*stream), Value(*verdict), 0)?;
        // After it: what the kernel remembers from now on is what it was told.
        self.generation += 1;
        self.generations.set(USER_GENERATION, self.generation, 0)
    }
}
