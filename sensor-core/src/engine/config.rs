//! What the engine is told, and what it counts.

use crate::redact::Level;

/// What the engine is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// How much of the payload leaves the engine.
    pub level: Level,
    /// Names the host in the ids of sessions and events.
    pub node: u64,
    /// Wall clock time of boot in nanoseconds since 1970, so that ids of events sort by wall time.
    pub boot_time: u64,
    /// Makes the engine's tables safe against ids chosen to collide. Any random number; changes nothing that is given out.
    pub seed: u64,
    /// Bytes that the engine may hold, for all streams and sessions together.
    pub memory: usize,
    /// Bytes of the longest message that is read whole.
    pub message_bytes: usize,
    /// Bytes of JSON text of a message's body, of arguments and of a result, that are given out.
    pub body_limit: usize,
    /// What time alone brings about is done at ticks only, and not as records come. A recording tells when it was done, and
    /// replaying it does it then.
    pub paced: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            level: Level::Redacted,
            node: 0,
            boot_time: 0,
            seed: 0,
            memory: 32 << 20,
            message_bytes: 16 << 20,
            body_limit: 64 << 10,
            paced: false,
        }
    }
}

/// What went in, what came out, and what became of the rest. All but the gauges only grow.
///
/// Two sums hold at any time: [`Counters::messages_balance`] and [`Counters::calls_balance`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Chunks taken.
    pub chunks: u64,
    /// Bytes in them. A byte taken at both ends counts twice.
    pub bytes: u64,
    /// Touches taken.
    pub touches: u64,
    /// Chunks and touches of a stream that another has replaced.
    pub stale: u64,
    /// Streams begun.
    pub streams_begun: u64,
    /// Streams forgotten.
    pub streams_forgotten: u64,
    /// Gauge: streams known.
    pub streams: u64,
    /// Verdicts: capture.
    pub captured: u64,
    /// Verdicts: ignore.
    pub ignored: u64,
    /// Sessions reported as opened.
    pub sessions_opened: u64,
    /// Sessions reported as closed.
    pub sessions_closed: u64,
    /// Gauge: sessions known, reported or not.
    pub sessions: u64,
    /// JSON-RPC messages read, of MCP and other.
    pub messages_read: u64,
    /// Messages given out.
    pub messages_given: u64,
    /// Messages of streams that are not MCP, or were never shown to be.
    pub messages_foreign: u64,
    /// Messages given up because their stream had too many before it was known to be MCP.
    pub messages_overflowed: u64,
    /// Gauge: messages that wait for their stream or their peers to become known.
    pub messages_waiting: u64,
    /// JSON values in MCP streams that are no messages.
    pub other_values: u64,
    /// Bytes in MCP streams that are no JSON.
    pub noise_bytes: u64,
    /// Gaps reported.
    pub gaps: u64,
    /// Bytes in them, as far as known.
    pub gap_bytes: u64,
    /// Events given out.
    pub events: u64,
    /// Tool calls seen to start.
    pub calls_started: u64,
    /// Tool calls that ended with a result.
    pub calls_completed: u64,
    /// Tool calls that ended with an error.
    pub calls_failed: u64,
    /// Tool calls that were cancelled.
    pub calls_cancelled: u64,
    /// Tool calls that asked for input and were called again with it.
    pub calls_retried: u64,
    /// Tool calls whose end cannot be seen.
    pub calls_abandoned: u64,
    /// Of these: given up for memory.
    pub calls_given_up: u64,
    /// Gauge: tool calls under way.
    pub calls_open: u64,
    /// Requests of other methods given up for memory.
    pub requests_given_up: u64,
    /// Sessions that another's bytes were relayed into.
    pub relays: u64,
    /// Streams or sessions given up for memory.
    pub given_up_for_memory: u64,
    /// Gauge: bytes held, by estimate.
    pub memory: u64,
}

impl Counters {
    /// Both sides of the messages' sum: read, and given out, dropped or waiting.
    #[must_use]
    pub const fn messages_balance(&self) -> (u64, u64) {
        (self.messages_read, self.messages_given + self.messages_foreign + self.messages_overflowed + self.messages_waiting)
    }

    /// Both sides of the tool calls' sum: started, and ended or under way.
    #[must_use]
    pub const fn calls_balance(&self) -> (u64, u64) {
        let ended = self.calls_completed + self.calls_failed + self.calls_cancelled + self.calls_retried + self.calls_abandoned;
        (self.calls_started, ended + self.calls_open)
    }
}
