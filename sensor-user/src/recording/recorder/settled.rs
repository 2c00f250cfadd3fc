//! How far streams are read: with that a file that follows another begins with the messages that are half there.
//!
//! It is told before the bytes that it is about, or long before where these are held back: a position says it all.

use super::Recorder;
use crate::recording::spool::Settled;
use recording::Level;
use sensor_core::input::{Chunk, StreamKey, Time};

/// Streams that are asked for again.
const UNSETTLED: usize = 1024;

impl Recorder {
    /// The engine has taken a chunk; `position` tells how far its stream is read.
    pub fn taken(&mut self, chunk: &Chunk<'_>, position: impl FnOnce() -> Option<u64>) {
        if !self.plan.rolls || self.plan.level != Level::Full {
            return;
        }
        let &Chunk { stream, epoch, offset, bytes, .. } = chunk;
        // A stream that is none of a session's is not read.
        let Some(position) = position() else { return };
        self.spool.settled(Settled { stream, epoch, position });
        if position >= offset.saturating_add(bytes.len() as u64) {
            self.unsettled.remove(&stream);
        } else if self.unsettled.len() < UNSETTLED || self.unsettled.contains_key(&stream) {
            self.unsettled.insert(stream, (epoch, position));
        }
    }

    /// Time has passed: what waited for bytes before it may have been read since.
    pub fn settle_all(&mut self, position: impl Fn(StreamKey, Time) -> Option<u64>) {
        let Self { unsettled, spool, .. } = self;
        unsettled.retain(|&stream, (epoch, told)| {
            let Some(position) = position(stream, *epoch) else { return false };
            if position != *told {
                *told = position;
                spool.settled(Settled { stream, epoch: *epoch, position });
            }
            true
        });
    }
}
