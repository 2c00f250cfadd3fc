//! A value that is not whole yet, or stands on several lines.

use super::{Frame, Out, tell_gap};
use crate::event::Marks;
use crate::input::LossReasons;
use crate::json::{Kind, Progress, Scanner, Tape, Value, is_space};

/// Bytes of memory that a stream keeps between candidates.
const KEEP: usize = 4096;

/// The bytes of one candidate and of its current line.
///
/// Over its limit the candidate is *given up*: its bytes are counted instead of held, but the scanner goes on, so its end
/// is found; and the current line is still held (to the same limit), so no line is hidden.
#[derive(Debug, Default)]
pub(super) struct Candidate {
    scanner: Scanner,
    limit: usize,
    /// All its bytes; once given up, those of the current line; of a line that is given up too, nothing.
    held: Vec<u8>,
    /// Where in `held` the current line begins.
    line_start: usize,
    /// Bytes of the current line.
    line_length: u64,
    /// All bytes.
    length: u64,
    /// Bytes that have been told, as values inside or as given up.
    told: u64,
    /// Position of its first byte.
    start: u64,
    /// What is odd about the place where it begins.
    marks: Marks,
    /// A line break (or the end of a packet) has come: the current line is not the first.
    later_line: bool,
    /// A line break has come.
    several_lines: bool,
    /// The current line begins after a bare CR.
    after_carriage_return: bool,
    given_up: bool,
    line_given_up: bool,
}

impl Candidate {
    pub(super) fn begin(&mut self, start: u64, marks: Marks, limit: usize) {
        self.end();
        self.start = start;
        self.marks = marks;
        self.limit = limit;
    }

    /// Forgets it. Returns the bytes of it that have not been told, and whether it was given up.
    pub(super) fn end(&mut self) -> (u64, bool) {
        let rest = (self.length.saturating_sub(self.told), self.given_up);
        let mut scanner = std::mem::take(&mut self.scanner);
        scanner.reset();
        let mut held = std::mem::take(&mut self.held);
        held.clear();
        *self = Self { scanner, held, ..Self::default() };
        rest
    }

    /// Gives back memory that the usual message does not need.
    pub(super) fn release(&mut self) {
        if self.held.capacity() > KEEP {
            self.held = Vec::new();
        }
        self.scanner.release();
    }

    pub(super) const fn buffered(&self) -> usize {
        self.held.capacity() + self.scanner.buffered()
    }

    /// Bytes of which nothing has been told: all of them, or those of its current line where lines of it were values.
    pub(super) const fn untold(&self) -> u64 {
        if self.told > 0 { self.line_length } else { self.length }
    }

    pub(super) const fn on_first_line(&self) -> bool {
        !self.later_line
    }

    pub(super) const fn line_is_given_up(&self) -> bool {
        self.line_given_up
    }

    pub(super) const fn line_follows_carriage_return(&self) -> bool {
        self.after_carriage_return
    }

    /// True where [`Self::tell_line`] may find something.
    pub(super) fn may_hold_line(&self) -> bool {
        self.later_line && !self.line_given_up && begins_container(self.line())
    }

    fn line(&self) -> &[u8] {
        self.held.get(self.line_start..).unwrap_or_default()
    }

    /// Goes on with bytes without a line break.
    pub(super) fn feed(&mut self, piece: &[u8], out: &mut Out<'_>) -> (usize, Progress) {
        let (used, progress) = self.scanner.feed(piece);
        self.keep(piece.get(..used).unwrap_or_default());
        self.tell_given_up(out);
        (used, progress)
    }

    /// True where a line break may stand here. Inside of a string none may (see the words of `ndjson`).
    pub(super) fn takes_line_break(&mut self, line_break: u8) -> bool {
        !self.scanner.in_string() && self.scanner.feed(&[line_break]).1 == Progress::More
    }

    /// Goes on with a line break, which [`Self::takes_line_break`] has taken.
    pub(super) fn feed_line_break(&mut self, line_break: u8, out: &mut Out<'_>) {
        self.keep(&[line_break]);
        self.several_lines = true;
        self.next_line(line_break == b'\r');
        self.tell_given_up(out);
    }

    /// Begins another line.
    pub(super) fn next_line(&mut self, after_carriage_return: bool) {
        if self.given_up {
            self.held.clear();
        }
        self.line_start = self.held.len();
        self.line_length = 0;
        self.later_line = true;
        self.line_given_up = false;
        self.after_carriage_return = after_carriage_return;
    }

    /// Holds bytes, or counts them where they are too many.
    fn keep(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        self.line_length += piece.len() as u64;
        if self.line_given_up {
            return;
        }
        if self.held.len() + piece.len() > self.limit {
            self.given_up = true;
            self.held.drain(..self.line_start);
            self.line_start = 0;
            if self.held.len() + piece.len() > self.limit {
                self.line_given_up = true;
                self.held = Vec::new();
                return;
            }
        }
        let needed = self.held.len() + piece.len();
        if needed > self.held.capacity() {
            let room = needed.max(self.held.capacity() * 2).min(self.limit.max(needed));
            self.held.reserve_exact(room - self.held.len());
        }
        self.held.extend_from_slice(piece);
    }

    /// Of what was given up, tells as much as fills the limit, again and again: an endless value is not endless silence.
    fn tell_given_up(&mut self, out: &mut Out<'_>) {
        if !self.given_up {
            return;
        }
        let line = if self.line_given_up { 0 } else { self.line_length };
        let limit = self.limit.max(1) as u64;
        while self.length.saturating_sub(line).saturating_sub(self.told) >= limit {
            tell_gap(limit, LossReasons::MEMORY, out);
            self.told += limit;
        }
    }

    /// Tells the current line, if it is not the first one and by itself is one JSON-RPC value. It ends at `position`.
    ///
    /// Whether the candidate around it will complete is not known yet, and waiting for it would let anybody hold messages
    /// back: it is marked `AMBIGUOUS` at once.
    pub(super) fn tell_line(&mut self, position: u64, marks: Marks, tape: &mut Tape, out: &mut Out<'_>) {
        if !self.may_hold_line() {
            return;
        }
        let line = self.held.get(self.line_start..).unwrap_or_default();
        let indent = line.iter().take_while(|byte| is_space(**byte)).count();
        let line = line.get(indent..).unwrap_or_default();
        let Ok(span) = tape.parse(line) else { return };
        let (Some(value), Some(behind)) = (line.get(..span.end), line.get(span.end..)) else { return };
        if !behind.iter().copied().all(is_space) || !tape.root(value).is_some_and(is_json_rpc) {
            return;
        }
        let mut marks = marks.union(tape.marks()).union(Marks::AMBIGUOUS);
        if self.after_carriage_return {
            marks = marks.union(Marks::CARRIAGE_RETURN);
        }
        let start = position.saturating_sub(self.line_length).saturating_add(indent as u64);
        out(Frame::Value { bytes: value, tape, marks, start });
        self.told += value.len() as u64;
        self.marks = self.marks.union(Marks::AMBIGUOUS);
    }

    /// Tells the candidate, whose last byte has come.
    pub(super) fn complete(&mut self, tape: &mut Tape, out: &mut Out<'_>) {
        if !self.given_up && tape.parse(&self.held).is_ok() {
            let mut marks = self.marks.union(tape.marks());
            if self.several_lines {
                marks = marks.union(Marks::SEVERAL_LINES);
            }
            out(Frame::Value { bytes: &self.held, tape, marks, start: self.start });
            self.end();
        } else {
            // Too big, or more values than a tape holds.
            let (rest, _) = self.end();
            tell_gap(rest, LossReasons::MEMORY, out);
        }
    }

    /// The current line, where it is not the first one: it is no longer part of the candidate.
    pub(super) fn take_line(&mut self) -> Option<Vec<u8>> {
        if !self.later_line || self.line_given_up {
            return None;
        }
        let mut line = std::mem::take(&mut self.held);
        line.drain(..self.line_start);
        self.length = self.length.saturating_sub(self.line_length);
        Some(line)
    }
}

fn begins_container(line: &[u8]) -> bool {
    line.iter().find(|byte| !is_space(**byte)).is_some_and(|byte| matches!(byte, b'{' | b'['))
}

/// True for what a server may take for a JSON-RPC message or a batch. Says yes rather than no.
fn is_json_rpc(value: Value<'_>) -> bool {
    let message = match value.kind() {
        Kind::Array => value.elements().next(),
        _ => Some(value),
    };
    let Some(message) = message else { return false };
    let (mut id, mut answer) = (false, false);
    for (key, _) in message.entries() {
        if key.is_str("jsonrpc") || key.is_str("method") {
            return true;
        }
        id |= key.is_str("id");
        answer |= key.is_str("result") || key.is_str("error");
    }
    id && answer
}
