//! One JSON value a line, read as the laxest server reads it.
//!
//! Servers differ in what they take for a message: some split at LF, some also at a bare CR, some read values one after
//! the other and do not care for lines at all. An attacker picks the reading that the sensor lacks, so this one takes
//! the union. Two readings go on side by side:
//!
//! - **by value**: a `{` or `[` where a value may begin opens a *candidate*, which goes on over as many lines as it takes.
//!   It is told the moment its last byte has come, with or without a line end;
//! - **by line**: while a candidate is open over several lines, every line that by itself is one JSON-RPC value is told
//!   at its end. It is marked `AMBIGUOUS`, and so is the candidate around it if it ever completes.
//!
//! Laws (tests and fuzz targets hold them):
//! - *Split invariance*: the frames are the same however the bytes are cut into pushes. So no mark depends on what has
//!   not come yet: `NO_LINE_END` is never set here (see [`Ndjson::line_is_open`]); of two values on a line, or with a
//!   bare CR between them, the second one is marked.
//! - *No line is ever hidden*: a line of at most [`Limits::message_bytes`] that by itself is a JSON-RPC value is told,
//!   whatever came before it: an unfinished candidate cannot poison what follows. When a candidate turns out to be no
//!   JSON, reading begins again at the line that it failed in.
//! - *Gap law*: a gap takes with it the values that it touches, and those that share a line with their rest; no others.
//! - *Every byte counts once*: it is part of a value, of noise, of a gap, or it is white space or a byte order mark.
//! - *Memory*: [`Limits::message_bytes`] and a constant (128 KiB of nesting, small change) a stream, whatever the input.
//! - *Time* is linear: a byte is looked at a handful of times at most, in however many pieces it comes.
//!
//! The usual case, one compact value inside one push, is parsed where it lies: no copy, no second look.
//!
//! Decisions and their bias:
//! - Text before a value on its line (`INFO {"jsonrpc"…`) makes noise of the whole line: no server executes that. Text
//!   behind a value does not: the value has been told already. NUL bytes are noise that spoils nothing.
//! - A line break inside a string ends a candidate, bare CR too, although the tape alone would take it: Python splits
//!   there, and no measured server reads on. Otherwise `{"":"␍{"}":1,"method":…}` would hide what Python executes.
//! - Scalars are noise: no message is one.
//! - The end of a packet (`SOCK_SEQPACKET`) ends noise and lines, but neither a value nor a string: a value bigger than a
//!   packet needs several. So a packet that ends in the middle of a string can change how the next one is read.

mod candidate;
#[cfg(test)]
mod tests;

use crate::event::Marks;
use crate::input::LossReasons;
use crate::json::{BYTE_ORDER_MARK, Progress, Tape};
use candidate::Candidate;
use memchr::memchr2;

/// What a stream may take.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one value. A bigger one is given up, told as [`Frame::Gap`] with `LossReasons::MEMORY`.
    pub message_bytes: usize,
}

impl Limits {
    /// Limits with this many bytes for one value.
    #[must_use]
    pub const fn with_message_bytes(message_bytes: usize) -> Self {
        Self { message_bytes }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: 16 << 20 }
    }
}

/// What was found in the stream.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// One JSON value: an object, or an array (a batch, not split here).
    Value {
        /// Its exact bytes.
        bytes: &'a [u8],
        /// The tape of it: `tape.root(bytes)`.
        tape: &'a Tape,
        /// What was odd about it.
        marks: Marks,
        /// Position in the stream of its first byte.
        start: u64,
    },
    /// Text that is no JSON value of interest.
    Noise {
        /// How much.
        bytes: u64,
    },
    /// Bytes are missing here, or belong to a value that could not be told because of that or for its size.
    Gap {
        /// How many; `None` where that is not known.
        bytes: Option<u64>,
        /// Why.
        reasons: LossReasons,
    },
}

/// Takes what is found.
type Out<'o> = dyn FnMut(Frame<'_>) + 'o;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Where a value may begin.
    Between,
    /// In text that is noise to the next line break.
    Text,
    /// In a candidate.
    Open,
}

/// What stands before this place since the last LF.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Before {
    Nothing,
    Something,
    /// Something, and then a bare CR.
    CarriageReturn,
}

/// The framing of one stream.
#[derive(Debug)]
pub struct Ndjson {
    limits: Limits,
    state: State,
    /// Position in the stream of the next byte.
    position: u64,
    before: Before,
    /// Reasons of the gap that this line follows: what is no value here may be the rest of one, so is told as missing.
    torn: Option<LossReasons>,
    /// Bytes of a byte order mark that have come.
    byte_order_mark: usize,
    /// Bytes of noise not told yet.
    noise: u64,
    candidate: Candidate,
}

impl Ndjson {
    /// The framing of a stream from its beginning, or from wherever it was when the sensor came.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Between,
            position: 0,
            before: Before::Nothing,
            torn: None,
            byte_order_mark: 0,
            noise: 0,
            candidate: Candidate::default(),
        }
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.candidate.buffered()
    }

    /// True where something stands on the current line already, so no line end has come behind the last value.
    #[must_use]
    pub fn line_is_open(&self) -> bool {
        self.before != Before::Nothing || self.state == State::Open
    }

    /// Bytes at the end of those that came which may be the beginning of a value.
    #[must_use]
    pub const fn open_bytes(&self) -> u64 {
        match self.state {
            State::Open => self.candidate.untold(),
            State::Between | State::Text => 0,
        }
    }

    /// The bytes that follow.
    pub fn push(&mut self, bytes: &[u8], tape: &mut Tape, out: &mut Out<'_>) {
        self.run(bytes, tape, out);
        if self.state != State::Open {
            self.candidate.release();
        }
    }

    /// Bytes are missing here. Gives up what they touch; what follows is read on from the next value or line.
    pub fn gap(&mut self, bytes: Option<u64>, reasons: LossReasons, out: &mut Out<'_>) {
        let mut missing = bytes;
        let mut why = reasons;
        if self.state == State::Open {
            if self.candidate.may_hold_line() {
                self.candidate.tell_line(self.position, Marks::NEXT_TO_GAP, &mut Tape::new(), out);
            }
            let (rest, given_up) = self.candidate.end();
            missing = bytes.map(|bytes| bytes.saturating_add(rest));
            if given_up {
                why = why.union(LossReasons::MEMORY);
            }
        }
        self.candidate.release();
        self.end_line(Before::Nothing, out);
        out(Frame::Gap { bytes: missing, reasons: why });
        self.torn = Some(reasons);
        self.position = self.position.saturating_add(bytes.unwrap_or(0));
    }

    /// A packet ends here (`SOCK_SEQPACKET`). It ends a line, but not a value: that may go on in the next packet.
    pub fn packet_end(&mut self, tape: &mut Tape, out: &mut Out<'_>) {
        if self.state == State::Open {
            self.candidate.tell_line(self.position, Marks::default(), tape, out);
            self.candidate.next_line(false);
            self.torn = None;
        } else {
            self.end_line(Before::Nothing, out);
        }
    }

    /// The stream is closed. What was not finished is noise.
    pub fn finish(&mut self, tape: &mut Tape, out: &mut Out<'_>) {
        if self.state == State::Open {
            self.candidate.tell_line(self.position, Marks::default(), tape, out);
            let (rest, given_up) = self.candidate.end();
            if given_up {
                tell_gap(rest, LossReasons::MEMORY, out);
            } else {
                self.noise += rest;
            }
        }
        self.candidate.release();
        self.end_line(Before::Nothing, out);
    }

    /// Reads bytes. Calls itself once at most, with part of one line (see [`Self::abandon`]).
    fn run(&mut self, mut bytes: &[u8], tape: &mut Tape, out: &mut Out<'_>) {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Between => self.between(bytes, tape, out),
                State::Text => self.text(bytes, out),
                State::Open => self.open(bytes, tape, out),
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// From where a value may begin, to what is there. Returns how many bytes were used.
    fn between(&mut self, bytes: &[u8], tape: &mut Tape, out: &mut Out<'_>) -> usize {
        for (at, &byte) in bytes.iter().enumerate() {
            if matches!(self.byte_order_mark, 1 | 2) {
                if BYTE_ORDER_MARK.get(self.byte_order_mark) == Some(&byte) {
                    self.byte_order_mark += 1;
                    self.position += 1;
                    continue;
                }
                self.state = State::Text;
                return at;
            }
            match byte {
                b'{' | b'[' => return at + self.begin(bytes.get(at..).unwrap_or_default(), tape, out),
                b'\n' => self.end_line(Before::Nothing, out),
                b'\r' if self.before == Before::Nothing => self.end_line(Before::Nothing, out),
                b'\r' => self.end_line(Before::CarriageReturn, out),
                b' ' | b'\t' => {}
                0 => {
                    self.noise += 1;
                    self.before = Before::Something;
                }
                0xEF => self.byte_order_mark = 1,
                _ => {
                    self.state = State::Text;
                    return at;
                }
            }
            self.position += 1;
        }
        bytes.len()
    }

    /// A value begins with the first byte: tells it at once if it lies here whole and on one line, else opens a candidate.
    fn begin(&mut self, bytes: &[u8], tape: &mut Tape, out: &mut Out<'_>) -> usize {
        self.tell_noise(out);
        let mut marks = match self.before {
            Before::Nothing => Marks::default(),
            Before::Something => Marks::SHARED_LINE,
            Before::CarriageReturn => Marks::CARRIAGE_RETURN,
        };
        if self.byte_order_mark != 0 {
            marks = marks.union(Marks::BYTE_ORDER_MARK);
        }
        if self.torn.is_some() {
            marks = marks.union(Marks::NEXT_TO_GAP);
        }
        self.byte_order_mark = 0;
        self.before = Before::Something;
        let window = bytes.get(..self.limits.message_bytes).unwrap_or(bytes);
        if let Ok(span) = tape.parse_line(window) {
            let value = window.get(..span.end).unwrap_or_default();
            out(Frame::Value { bytes: value, tape, marks: tape.marks().union(marks), start: self.position });
            self.position += span.end as u64;
            return span.end;
        }
        self.candidate.begin(self.position, marks, self.limits.message_bytes);
        self.state = State::Open;
        0
    }

    /// Noise, to the line break.
    fn text(&mut self, bytes: &[u8], out: &mut Out<'_>) -> usize {
        self.noise += self.byte_order_mark as u64;
        self.byte_order_mark = 0;
        self.before = Before::Something;
        let end = memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
        self.noise += end as u64;
        self.position += end as u64;
        let Some(&line_break) = bytes.get(end) else { return end };
        self.position += 1;
        self.end_line(if line_break == b'\r' { Before::CarriageReturn } else { Before::Nothing }, out);
        end + 1
    }

    /// Goes on with a candidate, to its end or the end of the line.
    fn open(&mut self, bytes: &[u8], tape: &mut Tape, out: &mut Out<'_>) -> usize {
        let end = memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
        let (used, progress) = self.candidate.feed(bytes.get(..end).unwrap_or_default(), out);
        self.position += used as u64;
        match progress {
            Progress::More => {}
            Progress::Done => {
                self.candidate.complete(tape, out);
                self.state = State::Between;
                return used;
            }
            Progress::Invalid | Progress::TooDeep => {
                self.abandon(progress, tape, out);
                return used;
            }
        }
        let Some(&line_break) = bytes.get(end) else { return used };
        if !self.candidate.takes_line_break(line_break) {
            self.abandon(Progress::Invalid, tape, out);
            return used;
        }
        self.candidate.tell_line(self.position, Marks::default(), tape, out);
        self.candidate.feed_line_break(line_break, out);
        self.torn = None;
        self.position += 1;
        used + 1
    }

    /// The candidate is no JSON (or too deep). Its earlier lines have been looked at; its last line may be a value of its
    /// own, or the beginning of one, and is read again.
    ///
    /// A line is read again once only: it then stands on a candidate's first line, which is not read again.
    fn abandon(&mut self, why: Progress, tape: &mut Tape, out: &mut Out<'_>) {
        let Self { candidate, .. } = self;
        let too_big = candidate.line_is_given_up() || (candidate.on_first_line() && why == Progress::TooDeep);
        let after_carriage_return = candidate.line_follows_carriage_return();
        let line = candidate.take_line();
        let (rest, given_up) = candidate.end();
        if too_big {
            tell_gap(rest, LossReasons::MEMORY, out);
            self.torn = Some(LossReasons::MEMORY);
            self.state = State::Text;
            return;
        }
        if given_up {
            tell_gap(rest, LossReasons::MEMORY, out);
        } else {
            self.noise += rest;
        }
        let Some(line) = line else {
            self.state = State::Text;
            return;
        };
        self.end_line(if after_carriage_return { Before::CarriageReturn } else { Before::Nothing }, out);
        self.position = self.position.saturating_sub(line.len() as u64);
        self.run(&line, tape, out);
    }

    /// A line ends; the next one begins after `before`.
    fn end_line(&mut self, before: Before, out: &mut Out<'_>) {
        // Of a byte order mark that nothing follows, what is not whole is noise.
        if matches!(self.byte_order_mark, 1 | 2) {
            self.noise += self.byte_order_mark as u64;
        }
        self.tell_noise(out);
        self.byte_order_mark = 0;
        self.torn = None;
        self.before = before;
        self.state = State::Between;
    }

    /// Tells noise; on a line that follows a gap, as missing.
    fn tell_noise(&mut self, out: &mut Out<'_>) {
        let bytes = std::mem::take(&mut self.noise);
        match self.torn {
            Some(reasons) => tell_gap(bytes, reasons, out),
            None if bytes > 0 => out(Frame::Noise { bytes }),
            None => {}
        }
    }
}

fn tell_gap(bytes: u64, reasons: LossReasons, out: &mut Out<'_>) {
    if bytes > 0 {
        out(Frame::Gap { bytes: Some(bytes), reasons });
    }
}
