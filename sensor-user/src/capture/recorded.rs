//! A recording as a source.

use super::{Progress, Record, Source};
use crate::recording::Owned;
use recording::{Ending, Item, Level, ReadError, Reader};
use sensor_core::input::{Time, Touch};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Items that are given at once.
const BATCH: usize = 1024;

/// How fast a recording is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as can be.
    Max,
    /// So many times as fast as it was.
    Times(f64),
}

/// See the module.
pub struct Recorded<'r> {
    reader: Reader<'r>,
    is_redacted: bool,
    pace: Pace,
    /// When the first item was given, and its time.
    began: Option<(Instant, Time)>,
    /// The item whose time has not come.
    waiting: Option<Owned>,
    /// Nothing behind this moment is given.
    until: Time,
    now: Time,
    malformed: u64,
    failure: Option<ReadError>,
}

impl<'r> Recorded<'r> {
    /// What `reader` gives, up to the moment `until`.
    #[must_use]
    pub fn new(reader: Reader<'r>, pace: Pace, until: Option<Time>) -> Self {
        let is_redacted = reader.header().level == Level::Redacted;
        let until = until.unwrap_or(Time::MAX);
        Self { reader, is_redacted, pace, began: None, waiting: None, until, now: 0, malformed: 0, failure: None }
    }

    /// Why reading stopped before the recording's end; and how that end was.
    #[must_use]
    pub fn into_ending(self) -> (Option<ReadError>, Ending) {
        let Self { reader, failure, .. } = self;
        (failure, reader.ending())
    }

    /// How long it is until an item of this time is due.
    fn due(pace: Pace, began: &mut Option<(Instant, Time)>, time: Time) -> Duration {
        let Pace::Times(times) = pace else { return Duration::ZERO };
        let (start, first) = *began.get_or_insert_with(|| (Instant::now(), time));
        let after = Duration::try_from_secs_f64(time.saturating_sub(first) as f64 / 1e9 / times).unwrap_or(Duration::MAX);
        after.saturating_sub(start.elapsed())
    }
}

impl Source for Recorded<'_> {
    fn read(&mut self, wait: Duration, each: &mut dyn FnMut(Record<'_>)) -> Progress {
        let Self { reader, is_redacted, pace, began, waiting, until, now, malformed, failure } = self;
        if let Some(item) = waiting {
            let time = item.lend().time().unwrap_or(*now);
            let due = Self::due(*pace, began, time);
            if !due.is_zero() {
                thread::sleep(due.min(wait));
                return Progress::Nothing;
            }
            *now = (*now).max(time);
            each(Record::Recorded(&item.lend()));
            *waiting = None;
        }
        for _ in 0..BATCH {
            let item = match reader.next() {
                Ok(Some(item)) => item,
                Ok(None) => return Progress::End,
                Err(error) if error.is_passing() => {
                    *malformed += 1;
                    continue;
                }
                Err(error) => {
                    *failure = Some(error);
                    return Progress::End;
                }
            };
            let time = item.time().unwrap_or(*now);
            if time > *until {
                return Progress::End;
            }
            // Who a process is says nothing of when.
            if !matches!(item, Item::Process { .. }) {
                if !Self::due(*pace, began, time).is_zero() {
                    *waiting = Some(Owned::of(&item));
                    return Progress::Records;
                }
                *now = (*now).max(time);
            }
            each(Record::Recorded(&match item {
                // What moved unseen is a gap in a redacted recording where it was one.
                Item::Touch(touch) if *is_redacted => Item::Touch(Touch { unseen: false, ..touch }),
                item => item,
            }));
        }
        Progress::Records
    }

    fn now(&self) -> Time {
        self.now
    }

    fn undecodable(&self) -> u64 {
        self.malformed
    }
}
