//! The kernel's counters, summed over the CPUs.

use aya::maps::{Map, MapData, MapError, PerCpuArray};
use sensor_ebpf::{COUNTERS, Counter};

/// The counters' map.
pub struct Counters(PerCpuArray<MapData, u64>);

/// Every counter at one moment, in the order of [`COUNTERS`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KernelCounts([u64; COUNTERS.len()]);

impl KernelCounts {
    /// One of them.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// All of them, with their names.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        COUNTERS.iter().zip(self.0).map(|((_, name), value)| (*name, value))
    }

    /// Payload bytes that were lost in the kernel, whatever the reason.
    #[must_use]
    pub fn lost_bytes(&self) -> u64 {
        [Counter::RingFullBytes, Counter::ReadFaultBytes, Counter::OverLimitBytes, Counter::NoScratchBytes]
            .into_iter()
            .map(|counter| self.get(counter))
            .sum()
    }
}

impl Counters {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        PerCpuArray::try_from(map).map(Self)
    }

    /// Reads them all.
    ///
    /// # Errors
    /// Where the map cannot be read.
    pub fn read(&self) -> Result<KernelCounts, MapError> {
        let mut counts = KernelCounts::default();
        for (index, slot) in (0_u32..).zip(&mut counts.0) {
            *slot = self.0.get(&index, 0)?.iter().sum();
        }
        Ok(counts)
    }
}
