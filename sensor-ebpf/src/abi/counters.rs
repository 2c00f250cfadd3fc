//! What the kernel programs count, one number per CPU and counter, summed by user space.

/// A counter: its index in the map `COUNTS`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Counter {
    /// Records that went into the ring.
    Records = 0,
    /// Payload bytes that went into the ring.
    Bytes = 1,
    /// Records that the ring had no room for.
    RingFullRecords = 2,
    /// Payload bytes lost because the ring had no room.
    RingFullBytes = 3,
    /// Payload bytes lost because the process's memory could not be read.
    ReadFaultBytes = 4,
    /// Payload bytes of calls beyond the limit for one call.
    OverLimitBytes = 5,
    /// Payload bytes that moved without a buffer that could be read.
    NoBufferBytes = 6,
    /// Payload bytes lost because there was no scratch space.
    NoScratchBytes = 7,
    /// Streams that could not be entered into the map.
    MapFull = 8,
    /// Calls on streams that are not ignored.
    Calls = 9,
    /// Calls on streams that are ignored or excluded.
    IgnoredCalls = 10,
    /// Ignored streams that were taken up again because a call looked like a message.
    Probes = 11,
    /// Bytes that a reader got before, or without, the writer's call being seen.
    ReaderAheadBytes = 12,
    /// Paths of processes that were cut because they were longer than their space.
    PathsCut = 13,
}

/// Every counter, with the name under which it is exported, in the order of the map.
pub const COUNTERS: [(Counter, &str); 14] = [
    (Counter::Records, "records"),
    (Counter::Bytes, "bytes"),
    (Counter::RingFullRecords, "ringFullRecords"),
    (Counter::RingFullBytes, "ringFullBytes"),
    (Counter::ReadFaultBytes, "readFaultBytes"),
    (Counter::OverLimitBytes, "overLimitBytes"),
    (Counter::NoBufferBytes, "noBufferBytes"),
    (Counter::NoScratchBytes, "noScratchBytes"),
    (Counter::MapFull, "mapFull"),
    (Counter::Calls, "calls"),
    (Counter::IgnoredCalls, "ignoredCalls"),
    (Counter::Probes, "probes"),
    (Counter::ReaderAheadBytes, "readerAheadBytes"),
    (Counter::PathsCut, "pathsCut"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_in_the_order_of_the_map() {
        for (index, (counter, name)) in COUNTERS.iter().enumerate() {
            assert_eq!(*counter as usize, index, "{name}");
        }
    }
}
