//! The proto's enumerations in words, for people.

use std::fmt::Write as _;

use mcp_sensor_proto::v1::loss::Count;
use mcp_sensor_proto::v1::{Action, BlindSpot, action, blind_spot, loss, message, session};

use crate::sanitize::sanitize;
use crate::{names, units};

/// Why something was lost.
#[must_use]
pub fn loss_reason(reason: i32) -> &'static str {
    use loss::Reason;
    match Reason::try_from(reason).unwrap_or_default() {
        Reason::Unspecified | Reason::Unknown => "cause not known",
        Reason::RingFull => "the ring buffer was full",
        Reason::ReadFault => "the process's memory could not be read",
        Reason::OverLimit => "one call moved more than the limit",
        Reason::NoBuffer => "moved by a call that shows no buffer",
        Reason::NoScratch => "the kernel had no scratch space",
        Reason::Memory => "the sensor was at its memory limit",
        Reason::QueueFull => "the sensor's queue was full",
        Reason::ProgramSkipped => "the kernel skipped a program",
        Reason::SpoolFull => "the spool was full",
        Reason::MapFull => "a kernel table was full",
        Reason::WriteFailed => "a file could not be written",
    }
}

/// What could be done about a loss.
#[must_use]
pub fn loss_mend(place: i32, reason: i32) -> Option<&'static str> {
    use loss::{Place, Reason};
    match Reason::try_from(reason).unwrap_or_default() {
        Reason::Memory if place == Place::Policy as i32 => Some("let windows count by fewer fields, or within less time"),
        Reason::RingFull => Some("raise --ring-mib"),
        Reason::OverLimit => Some("raise --max-call-mib"),
        Reason::Memory => Some("raise --memory-mib"),
        _ => None,
    }
}

/// Where something was lost, and what is counted there: `record`, `in the kernel`.
#[must_use]
pub fn loss_place(place: i32) -> (&'static str, &'static str) {
    use loss::Place;
    match Place::try_from(place).unwrap_or_default() {
        Place::Unspecified => ("unit", "at a place not known"),
        Place::Kernel => ("record", "in the kernel"),
        Place::Queue => ("record", "behind the ring buffer"),
        Place::Pipeline => ("message", "in the pipeline"),
        Place::Export => ("event", "before the output"),
        Place::Spool => ("event", "in the spool"),
        Place::Recording => ("item", "in the recording"),
        Place::Policy => ("count", "that rules ask for"),
    }
}

/// Why something cannot be read.
#[must_use]
pub fn blind_reason(reason: i32) -> &'static str {
    use blind_spot::Reason;
    match Reason::try_from(reason).unwrap_or_default() {
        Reason::Unspecified => "cause not known",
        Reason::TlsLibrary => "its TLS library has no probe",
        Reason::TlsSymbols => "its TLS functions could not be found",
        Reason::ProbeFailed => "a probe could not be attached",
        Reason::NoBuffer => "its bytes move without a buffer",
        Reason::CountsDisagree => "bytes moved unseen",
        Reason::AttachedLate => "it was running before the sensor",
        Reason::OtherKernel => "it runs on another kernel",
        Reason::KernelLacks => "this kernel lacks what is needed",
    }
}

/// What carries a session, and how it was read: `pipe`, `tcp http1 openssl`.
#[must_use]
pub fn carrier(session: &mcp_sensor_proto::v1::Session) -> String {
    use session::{Framing, Tls, Transport};
    let transport = match session.transport() {
        Transport::Unspecified => "",
        Transport::Pipe => "pipe",
        Transport::Unix => "unix socket",
        Transport::Tcp => "tcp",
        Transport::Pty => "terminal",
    };
    let framing = match session.framing() {
        // What stdio does needs no word.
        Framing::Unspecified | Framing::Ndjson => "",
        Framing::Http1 => "http",
        Framing::Http2 => "http/2",
        Framing::Sse => "sse",
        Framing::Websocket => "websocket",
    };
    let tls = match session.tls() {
        Tls::Unspecified | Tls::None => "",
        Tls::Openssl => "openssl",
        Tls::Boringssl => "boringssl",
        Tls::Go => "go tls",
        Tls::Gnutls => "gnutls",
        Tls::Rustls => "rustls",
    };
    let words = [transport, framing, tls].into_iter().filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// What was odd about a message. `None` for what only says how it was written.
#[must_use]
pub fn odd_mark(mark: i32) -> Option<&'static str> {
    use message::Mark;
    match Mark::try_from(mark).unwrap_or_default() {
        Mark::Batch | Mark::NoLineEnd | Mark::SeveralLines | Mark::NoVersion => None,
        Mark::Unspecified => Some("a mark not known to this version"),
        Mark::DuplicateKey => Some("a key twice"),
        Mark::InvalidUtf8 => Some("invalid UTF-8"),
        Mark::CarriageReturn => Some("a carriage return between messages"),
        Mark::SharedLine => Some("shares its line with other text"),
        Mark::ByteOrderMark => Some("a byte order mark"),
        Mark::EscapedName => Some("an escaped name"),
        Mark::OddId => Some("an odd id"),
        Mark::NextToGap => Some("bytes missing next to it"),
        Mark::UnknownMethod => Some("a method not in MCP"),
        Mark::NoRequest => Some("no request was seen"),
        Mark::IdInUse => Some("its id was in use"),
        Mark::LaxJson => Some("lax JSON"),
        Mark::Ambiguous => Some("servers may read another message in it"),
    }
}

/// A severity in a word.
#[must_use]
pub fn severity(severity: i32) -> &'static str {
    use mcp_sensor_proto::v1::event::Severity;
    match Severity::try_from(severity).unwrap_or_default() {
        Severity::Critical => "critical",
        Severity::High => "high",
        Severity::Medium => "medium",
        Severity::Low => "low",
        Severity::Info | Severity::Debug => "info",
        Severity::Unspecified => "of unknown severity",
    }
}

/// What an action did, or did not, safe to print: `killed the server node[4711], 0.21 ms after the decision`.
#[must_use]
pub fn action(action: &Action) -> String {
    use action::{Delivered, Kind, Mechanism, Outcome, Target};
    let (done, plain) = match action.kind() {
        Kind::Stop => ("stopped", "stop"),
        Kind::Kill => ("killed", "kill"),
        Kind::Resume => ("resumed", "resume"),
        Kind::Unspecified => ("acted on", "act on"),
    };
    let target = match action.target() {
        Target::Server => "the server",
        Target::Client => "the client",
        Target::Both => "client and server",
        Target::Unspecified => "a process",
    };
    let mut shown = match action.outcome() {
        Outcome::Done => format!("{done} {target}"),
        Outcome::Partly => format!("{done} {target} in part"),
        Outcome::DryRun => format!("would have {done} {target} (dry run)"),
        Outcome::Refused => format!("refused to {plain} {target}"),
        Outcome::Failed => format!("could not {plain} {target}"),
        Outcome::Gone => format!("did not {plain} {target}: it had ended"),
        Outcome::Unspecified => format!("tried to {plain} {target}"),
    };
    let mut processes = action.processes.iter().filter_map(|victim| victim.process.as_ref());
    let named: Vec<String> =
        processes.by_ref().take(4).map(|process| format!("{}[{}]", sanitize(names::short(process)), process.pid)).collect();
    if !named.is_empty() {
        let _ = write!(shown, " {}", named.join(", "));
    }
    let more = processes.count();
    if more > 0 {
        let _ = write!(shown, " and {more} more");
    }
    if action.tree {
        shown.push_str(" with all descendants");
    }
    if action.mechanism() == Mechanism::Kernel {
        shown.push_str(" (by the kernel)");
    }
    if let Some(latency) = action.latency_ns {
        let _ = write!(shown, ", {} after the decision", units::duration(latency));
    }
    match action.delivered_before_kill() {
        Delivered::Yes => shown.push_str(", after the message was read"),
        Delivered::No => shown.push_str(", before the message was read"),
        Delivered::Unknown | Delivered::Unspecified => {}
    }
    for (what, text) in [("rule", &action.rule), ("ordered by", &action.ordered_by)] {
        if !text.is_empty() {
            let _ = write!(shown, "; {what} {}", sanitize(text.get(..text.floor_char_boundary(256)).unwrap_or_default()));
        }
    }
    if !action.detail.is_empty() {
        let _ = write!(shown, ": {}", sanitize(action.detail.get(..action.detail.floor_char_boundary(1024)).unwrap_or_default()));
    }
    shown
}

/// A loss in words: `lost 12 records in the kernel (1.2 MiB): the ring buffer was full; raise --ring-mib`.
#[must_use]
pub fn loss(count: &Count) -> String {
    let (unit, place) = loss_place(count.place);
    let mut line = match (count.count, count.bytes) {
        (0, bytes) => format!("lost {} {place}: ", units::bytes(bytes)),
        (number, 0) => format!("lost {} {place}: ", units::count(number, unit)),
        (number, bytes) => format!("lost {} {place} ({}): ", units::count(number, unit), units::bytes(bytes)),
    };
    line.push_str(loss_reason(count.reason));
    if let Some(mend) = loss_mend(count.place, count.reason) {
        line.push_str("; ");
        line.push_str(mend);
    }
    line
}

/// A blind spot in words, safe to print. `size`: with the bytes that moved unseen, which change while it lasts.
#[must_use]
pub fn blind_spot(spot: &BlindSpot, size: bool) -> String {
    let mut shown = match &spot.process {
        Some(process) => format!("{}[{}]: ", sanitize(names::short(process)), process.pid),
        None => "this host: ".to_owned(),
    };
    shown.push_str(blind_reason(spot.reason));
    if !spot.detail.is_empty() {
        let _ = write!(shown, ": {}", sanitize(&spot.detail));
    }
    if size && spot.bytes > 0 {
        let _ = write!(shown, " ({} unseen)", units::bytes(spot.bytes));
    }
    shown
}
