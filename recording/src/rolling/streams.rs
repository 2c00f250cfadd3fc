//! The streams that the next file has to tell of again: who is at their ends.
//!
//! That a process reads a stream is told once, when it begins to. A file that begins later would not say who the other side of its
//! sessions is, and without that nobody can tell that they are sessions.

use crate::item::Item;
use rustc_hash::FxHashMap;
use sensor_core::input::{End, ProcessId, StreamKey, Time, Touch};

/// Streams that are told of again; beyond, those that were used longest ago are given up.
const MAX_STREAMS: usize = 16 * 1024;

/// Who used an end last, when, and where in the stream that ended.
type Use = (Time, ProcessId, u64);

#[derive(Clone, Copy)]
struct Ends {
    epoch: Time,
    since_birth: bool,
    writer: Option<Use>,
    reader: Option<Use>,
}

impl Ends {
    fn last(&self) -> Time {
        [self.writer, self.reader].into_iter().flatten().map(|(time, ..)| time).max().unwrap_or(0)
    }
}

/// See the module.
#[derive(Default)]
pub struct Streams {
    known: FxHashMap<StreamKey, Ends>,
}

impl Streams {
    /// Learns from an item.
    pub fn learn(&mut self, item: &Item<'_>) {
        match item {
            Item::Chunk(chunk) => self.used(&chunk.into()),
            Item::Passed(passed) => self.used(passed),
            Item::Touch(touch) => self.touched(touch),
            Item::Exit { process, .. } => self.known.retain(|_, ends| {
                for end in [&mut ends.writer, &mut ends.reader] {
                    *end = end.filter(|(_, user, _)| user != process);
                }
                ends.writer.is_some() || ends.reader.is_some()
            }),
            _ => {}
        }
    }

    fn used(&mut self, passed: &sensor_core::input::Passed) {
        let sensor_core::input::Passed { time, stream, epoch, end, process, offset, length, since_birth, .. } = *passed;
        self.touched(&Touch { time, stream, epoch, end, process, offset, moved: length, unseen: false, since_birth });
    }

    fn touched(&mut self, touch: &Touch) {
        let Touch { time, stream, epoch, end, process, offset, moved, since_birth, .. } = *touch;
        let new = Ends { epoch, since_birth, writer: None, reader: None };
        if self.known.len() >= MAX_STREAMS && !self.known.contains_key(&stream) {
            self.give_up_half();
        }
        let ends = self.known.entry(stream).or_insert(new);
        // The key is another stream's now; one without an epoch was there before anybody counted.
        if epoch > ends.epoch && ends.epoch != 0 {
            *ends = new;
        }
        ends.epoch = ends.epoch.max(epoch);
        ends.since_birth |= since_birth;
        let place = if end == End::Writer { &mut ends.writer } else { &mut ends.reader };
        *place = Some((time, process, offset.saturating_add(moved)));
    }

    fn give_up_half(&mut self) {
        let mut times: Vec<Time> = self.known.values().map(Ends::last).collect();
        times.sort_unstable();
        let middle = times.get(times.len() / 2).copied().unwrap_or(0);
        self.known.retain(|_, ends| ends.last() > middle);
    }

    /// True where somebody is known at an end.
    pub fn is_used(&self, stream: &StreamKey, epoch: Time) -> bool {
        self.known.get(stream).is_some_and(|ends| ends.epoch == epoch)
    }

    /// The items that tell of them, in the order of their times. `begin` tells where a stream goes on that does so before where its
    /// writer is.
    pub fn items(&self, begin: impl Fn(&StreamKey, Time) -> Option<u64>) -> Vec<Item<'static>> {
        let mut touches: Vec<Touch> = self
            .known
            .iter()
            .flat_map(|(&stream, &Ends { epoch, since_birth, writer, reader })| {
                let begin = begin(&stream, epoch);
                [(End::Writer, writer), (End::Reader, reader)].into_iter().filter_map(move |(end, user)| {
                    let (time, process, offset) = user?;
                    let offset = if end == End::Writer { begin.unwrap_or(offset).min(offset) } else { offset };
                    Some(Touch { time, stream, epoch, end, process, offset, moved: 0, unseen: false, since_birth })
                })
            })
            .collect();
        touches.sort_unstable_by_key(|touch| (touch.time, touch.end == End::Reader, touch.process.pid, touch.offset));
        touches.into_iter().map(Item::Touch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(time: Time, inode: u64, end: End, pid: u32) -> Item<'static> {
        let (stream, process) = (StreamKey::Pipe { device: 1, inode, address: 1 }, ProcessId { pid, start_time: 1 });
        Item::Touch(Touch { time, stream, epoch: inode, end, process, offset: 10, moved: 5, unseen: false, since_birth: true })
    }

    fn users(streams: &Streams) -> Vec<(u32, End, u64, u64)> {
        let items = streams.items(|_, _| None).into_iter();
        items
            .map(|item| if let Item::Touch(touch) = item { (touch.process.pid, touch.end, touch.offset, touch.moved) } else { panic!() })
            .collect()
    }

    #[test]
    fn who_used_an_end_last_is_told_until_it_ends() {
        let mut streams = Streams::default();
        streams.learn(&touch(1, 7, End::Writer, 100));
        streams.learn(&touch(2, 7, End::Reader, 200));
        streams.learn(&touch(3, 7, End::Reader, 201));
        assert_eq!(users(&streams), [(100, End::Writer, 15, 0), (201, End::Reader, 15, 0)]);
        streams.learn(&Item::Exit { time: 4, process: ProcessId { pid: 100, start_time: 1 } });
        assert_eq!(users(&streams), [(201, End::Reader, 15, 0)]);
        streams.learn(&Item::Exit { time: 5, process: ProcessId { pid: 201, start_time: 1 } });
        assert!(streams.known.is_empty());
    }

    #[test]
    fn a_million_streams_stay_bounded_and_the_last_ones_are_known() {
        let mut streams = Streams::default();
        for inode in 1..=100_000 {
            streams.learn(&touch(inode, inode, End::Writer, 1));
            assert!(streams.known.len() <= MAX_STREAMS);
        }
        assert!(users(&streams).len() >= MAX_STREAMS / 2);
        assert!(streams.known.contains_key(&StreamKey::Pipe { device: 1, inode: 100_000, address: 1 }));
    }
}
