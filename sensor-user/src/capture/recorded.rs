//! A recording as a source.

use super::{Progress, Record, Source};
use crate::{recording::Owned, replay::ReplayError};
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

/// Files that follow each other, opened when it is their turn.
pub type Following<'r> = Box<dyn Iterator<Item = Result<Reader<'r>, ReplayError>> + 'r>;

/// What a file that follows another begins with, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Beginning {
    /// Who is at the ends of its streams.
    Streams,
    /// Bytes of messages that go on, and then the sensor's last event.
    Bytes,
    /// It goes on.
    Over,
}

/// See the module.
pub struct Recorded<'r> {
    reader: Reader<'r>,
    following: Following<'r>,
    /// How the first of the files ended that was not complete, and has others behind it.
    incomplete: Option<Ending>,
    /// The file that could not be opened.
    unopened: Option<ReplayError>,
    /// Where in a file that follows another this is: what stands at its beginning is known already.
    beginning: Beginning,
    /// The id of the last event that the sensor told of itself: the next file begins with it again.
    told: String,
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
        Self {
            reader,
            following: Box::new(std::iter::empty()),
            incomplete: None,
            unopened: None,
            beginning: Beginning::Over,
            told: String::new(),
            is_redacted,
            pace,
            began: None,
            waiting: None,
            until,
            now: 0,
            malformed: 0,
            failure: None,
        }
    }

    /// And behind that what these give, as one recording.
    #[must_use]
    pub fn followed_by(self, following: Following<'r>) -> Self {
        Self { following, ..self }
    }

    /// Why reading stopped before the recording's end; and how that end was.
    ///
    /// # Errors
    /// Where a file that follows could not be opened.
    pub fn into_ending(self) -> Result<(Option<ReadError>, Ending), ReplayError> {
        let Self { reader, failure, incomplete, unopened, .. } = self;
        match unopened {
            Some(error) => Err(error),
            None => Ok((failure, incomplete.unwrap_or_else(|| reader.ending()))),
        }
    }

    /// Goes on with the next file; false where there is none.
    fn turn(&mut self) -> bool {
        match self.following.next() {
            None => return false,
            Some(Err(error)) => {
                self.unopened = Some(error);
                return false;
            }
            Some(Ok(next)) => {
                let ending = std::mem::replace(&mut self.reader, next).ending();
                if self.incomplete.is_none() && !matches!(ending, Ending::Complete(_)) {
                    self.incomplete = Some(ending);
                }
            }
        }
        self.beginning = Beginning::Streams;
        true
    }

    /// How long it is until an item of this time is due.
    fn due(pace: Pace, began: &mut Option<(Instant, Time)>, time: Time) -> Duration {
        let Pace::Times(times) = pace else { return Duration::ZERO };
        let (start, first) = *began.get_or_insert_with(|| (Instant::now(), time));
        let after = Duration::try_from_secs_f64(time.saturating_sub(first) as f64 / 1e9 / times).unwrap_or(Duration::MAX);
        after.saturating_sub(start.elapsed())
    }
}

/// True of what a file that follows another says again.
fn is_known(item: &Item<'_>, beginning: &mut Beginning, told: &mut String) -> bool {
    match item {
        // More may have come to be known.
        Item::Process { .. } => false,
        Item::Touch(touch) if *beginning == Beginning::Streams && touch.moved == 0 => true,
        // Bytes are told apart by where they stand.
        Item::Chunk(_) if *beginning != Beginning::Over => {
            *beginning = Beginning::Bytes;
            false
        }
        Item::Event(event) => {
            let again = *beginning != Beginning::Over && event.id == *told;
            *beginning = Beginning::Over;
            told.clone_from(&event.id);
            again
        }
        _ => {
            *beginning = Beginning::Over;
            false
        }
    }
}

impl Source for Recorded<'_> {
    fn read(&mut self, wait: Duration, each: &mut dyn FnMut(Record<'_>)) -> Progress {
        if let Some(item) = &self.waiting {
            let time = item.lend().time().unwrap_or(self.now);
            let due = Self::due(self.pace, &mut self.began, time);
            if !due.is_zero() {
                thread::sleep(due.min(wait));
                return Progress::Nothing;
            }
            self.now = self.now.max(time);
            each(Record::Recorded(&item.lend()));
            self.waiting = None;
        }
        for _ in 0..BATCH {
            let Self { reader, is_redacted, pace, began, waiting, until, now, malformed, failure, beginning, told, .. } = self;
            let item = match reader.next() {
                Ok(Some(item)) => item,
                Ok(None) => {
                    if self.turn() {
                        continue;
                    }
                    return Progress::End;
                }
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
            if is_known(&item, beginning, told) {
                continue;
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
