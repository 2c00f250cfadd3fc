//! What was refused, and why: the status that the peer gets and the count that the operator sees are made together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use tonic::{Code, Status};

/// Why something was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// No credentials, or ones that are not known.
    Unauthenticated,
    /// Credentials of a reader at ingestion, or the other way round.
    WrongRole,
    /// No Hello in time.
    NoHello,
    /// An event, or a frame, that cannot be decoded.
    Malformed,
    /// An event of another node, or a run of another node.
    OtherNode,
    /// A sequence that does not grow.
    Sequence,
    /// A frame out of its place.
    Protocol,
    /// A frame, a batch or an event that is too big.
    TooBig,
    /// More under way than granted.
    OverWindow,
    /// Too many sensors.
    TooManySensors,
    /// Too many subscribers.
    TooManySubscribers,
    /// Too many connections.
    TooManyConnections,
    /// Too many connections of one address.
    TooManyOfPeer,
    /// A request that cannot be understood.
    BadRequest,
}

const REASONS: [(Reason, Code, &str); 14] = [
    (Reason::Unauthenticated, Code::Unauthenticated, "no credentials, or unknown ones"),
    (Reason::WrongRole, Code::PermissionDenied, "credentials of the other role"),
    (Reason::NoHello, Code::DeadlineExceeded, "no Hello in time"),
    (Reason::Malformed, Code::InvalidArgument, "malformed events"),
    (Reason::OtherNode, Code::InvalidArgument, "events of another node"),
    (Reason::Sequence, Code::InvalidArgument, "sequences that do not grow"),
    (Reason::Protocol, Code::InvalidArgument, "frames out of place"),
    (Reason::TooBig, Code::ResourceExhausted, "too big"),
    (Reason::OverWindow, Code::ResourceExhausted, "more under way than granted"),
    (Reason::TooManySensors, Code::ResourceExhausted, "too many sensors"),
    (Reason::TooManySubscribers, Code::ResourceExhausted, "too many subscribers"),
    (Reason::TooManyConnections, Code::ResourceExhausted, "too many connections"),
    (Reason::TooManyOfPeer, Code::ResourceExhausted, "too many connections of one address"),
    (Reason::BadRequest, Code::InvalidArgument, "requests that cannot be understood"),
];

/// Refusals of one reason that are logged one by one; of more, the 32nd, the 64th, …
const FEW: u64 = 20;

/// Counts refusals by their reason.
#[derive(Debug, Default)]
pub struct Refusals {
    counts: [AtomicU64; REASONS.len()],
}

impl Refusals {
    /// Counts a refusal and makes its status.
    pub fn refuse(&self, reason: Reason, message: impl Into<String>) -> Status {
        let message = message.into();
        let position = REASONS.iter().position(|(known, ..)| *known == reason);
        let (_, code, words) = position.and_then(|position| REASONS.get(position)).copied().unwrap_or((reason, Code::Unknown, "?"));
        let before = position.and_then(|position| self.counts.get(position)).map_or(0, |count| count.fetch_add(1, Ordering::Relaxed));
        // Whoever is refused again and again does not fill the log.
        if before < FEW || before.is_power_of_two() {
            tracing::warn!(reason = words, count = before + 1, "refused: {message}");
        }
        Status::new(code, message)
    }

    /// The counts that are not 0, by reason in words.
    #[must_use]
    pub fn counts(&self) -> HashMap<String, u64> {
        let counts = REASONS.iter().zip(&self.counts).map(|((_, _, words), count)| ((*words).to_owned(), count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}
