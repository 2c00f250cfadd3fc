//! What the comments of packets say.

use mcp_sensor_proto::v1::{self, Sensor, blind_spot, event, loss, sensor};
use present::sanitize::sanitize;
use sensor_core::input::{LossReasons, StreamKey};
use std::fmt::{self, Write as _};

/// Characters of a text from outside in a comment.
const MAX_TEXT: usize = 400;

/// Blind spots and losses that are listed.
const MAX_LISTED: usize = 20;

/// A stream in words.
pub struct Stream<'a>(pub &'a StreamKey);

impl fmt::Display for Stream<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            StreamKey::Pipe { inode, .. } => write!(out, "pipe {inode}"),
            StreamKey::Unix { from, to } => write!(out, "unix socket {from:x} to {to:x}"),
            StreamKey::Tcp { from, to, .. } => {
                write!(out, "TCP {}:{} to {}:{}", from.ip().to_canonical(), from.port(), to.ip().to_canonical(), to.port())
            }
            StreamKey::Pty { terminal, to_slave: true } => write!(out, "terminal {terminal:x} to its program"),
            StreamKey::Pty { terminal, to_slave: false } => write!(out, "terminal {terminal:x} from its program"),
        }
    }
}

/// Why bytes are missing, in words.
pub struct Reasons(pub LossReasons);

impl fmt::Display for Reasons {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WORDS: [(LossReasons, &str); 8] = [
            (LossReasons::RING_FULL, "the ring buffer was full"),
            (LossReasons::READ_FAULT, "the process's memory could not be read"),
            (LossReasons::OVER_LIMIT, "the call moved more than the limit for a call"),
            (LossReasons::NO_BUFFER, "they moved without a buffer that could be read"),
            (LossReasons::NO_SCRATCH, "the kernel had no scratch space"),
            (LossReasons::MEMORY, "given up to stay within the sensor's memory"),
            (LossReasons::UNKNOWN, "the cause is not known"),
            (LossReasons::QUEUE_FULL, "the sensor's queue was full"),
        ];
        if self.0.is_empty() {
            return out.write_str("no reason given");
        }
        let mut first = true;
        for (reason, words) in WORDS {
            if self.0.0 & reason.0 != 0 {
                out.write_str(if first { "" } else { "; " })?;
                out.write_str(words)?;
                first = false;
            }
        }
        Ok(())
    }
}

/// Captured or configured text, made safe and short.
pub struct Text<'a>(pub &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Cut first: sanitising may lengthen the text, and the text may be long.
        let end = self.0.char_indices().nth(MAX_TEXT).map_or(self.0.len(), |(at, _)| at);
        let (shown, rest) = self.0.split_at_checked(end).unwrap_or_default();
        out.write_str(&sanitize(shown))?;
        if rest.is_empty() { Ok(()) } else { out.write_char('…') }
    }
}

/// An event of the sensor in words.
pub struct Told<'a>(pub &'a v1::Event);

impl fmt::Display for Told<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.body {
            Some(event::Body::Sensor(sensor)) => told(sensor, out),
            _ => write!(out, "event {}", Text(&self.0.id)),
        }
    }
}

fn told(sensor: &Sensor, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let state = sensor::State::try_from(sensor.state).map_or("in a state that this version does not know", |state| match state {
        sensor::State::Unspecified => "tells",
        sensor::State::Starting => "is starting",
        sensor::State::Ready => "is ready",
        sensor::State::Degraded => "is DEGRADED",
        sensor::State::Stopping => "is stopping",
    });
    write!(out, "The sensor {state}")?;
    if !sensor.detail.is_empty() {
        write!(out, ": {}", Text(&sensor.detail))?;
    }
    let counts = sensor.loss.as_ref().map_or(&[][..], |loss| &loss.counts);
    for count in counts.iter().take(MAX_LISTED) {
        let reason = loss::Reason::try_from(count.reason).unwrap_or_default().as_str_name();
        let place = loss::Place::try_from(count.place).unwrap_or_default().as_str_name();
        write!(out, "\nLOSS since the sensor started: {} in {place}, {} bytes, {reason}", count.count, count.bytes)?;
    }
    for spot in sensor.blind_spots.iter().take(MAX_LISTED) {
        let reason = blind_spot::Reason::try_from(spot.reason).unwrap_or_default().as_str_name();
        write!(out, "\nBLIND SPOT {reason}")?;
        if let Some(process) = &spot.process {
            write!(out, " process {} {}", process.pid, Text(&process.exe))?;
        }
        if !spot.detail.is_empty() {
            write!(out, ": {}", Text(&spot.detail))?;
        }
    }
    let listed = |length: usize| length.saturating_sub(MAX_LISTED);
    match listed(counts.len()) + listed(sensor.blind_spots.len()) {
        0 => Ok(()),
        more => write!(out, "\nand {more} more"),
    }
}
