//! Sessions that are chosen to be recorded: what is held of their streams is written, as if it had been from the beginning.

use super::{Recorder, Session, process};
use crate::identity::Known;
use recording::Item;
use rustc_hash::FxHashSet;
use sensor_core::{event::SessionId, input::Time};
use std::collections::BTreeMap;

/// Sessions that have ended and are remembered.
const CLOSED: usize = 128;

impl Recorder {
    /// A session is to be recorded: what is held of it, and what comes.
    pub(super) fn choose(&mut self, session: SessionId) {
        let Session { streams, chosen } = self.sessions.entry(session).or_default();
        *chosen = true;
        let streams = streams.iter().filter(|stream| self.streams.get(stream).is_some_and(|of| !of.chosen));
        self.fresh.extend(streams);
    }

    /// Writes what is held of the streams that were chosen, of all of them together: the order between streams tells, too.
    pub(super) fn write_fresh(&mut self, known: &mut Known) {
        if self.fresh.is_empty() {
            return;
        }
        self.found |= self.sweeping.is_some();
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.sort_unstable_by_key(|stream| self.streams.get(stream).map_or(0, |of| of.epoch));
        fresh.dedup();
        for stream in &fresh {
            if let Some(of) = self.streams.get_mut(stream) {
                of.chosen = true;
            }
        }
        let (mut swept, mut seen, mut ends) = (self.swept.take(), FxHashSet::default(), BTreeMap::new());
        for (order, item) in self.held.take(&fresh) {
            // An end says nothing of streams that nobody had used by then: it stands behind those uses, though it may have been
            // written before, and before those that came late.
            while let Some(end) = ends.first_entry().filter(|end| *end.key() < order) {
                self.sweep_before(*end.key(), &mut swept);
                self.write_end(&end.remove());
            }
            self.sweep_before(order, &mut swept);
            if let Some(process) = process(&item.lend())
                && seen.insert(process)
                && let Some((at, end)) = self.kin.end(process).filter(|(at, _)| *at > order)
            {
                ends.insert(at, end);
            }
            self.give(item, known);
        }
        for (order, end) in ends {
            self.sweep_before(order, &mut swept);
            self.write_end(&end);
        }
        self.swept = self.swept.or(swept);
    }

    /// The last sweep is due before what comes with this number, if it was before that.
    const fn sweep_before(&mut self, order: u64, swept: &mut Option<Time>) {
        if order > self.last_sweep.1 && swept.is_some() {
            self.swept = swept.take();
        }
    }

    fn write_end(&mut self, end: &Item<'_>) {
        self.catch_up();
        self.write(end);
    }

    pub(super) fn ended(&mut self, session: SessionId) {
        let Some(record) = self.sessions.remove(&session) else { return };
        if record.chosen {
            self.closed.truncate(CLOSED - 1);
            self.closed.push_front(session);
        }
        for stream in record.streams {
            if let Some(of) = self.streams.get_mut(&stream) {
                of.sessions.retain(|other| *other != session);
                if of.sessions.is_empty() {
                    self.streams.remove(&stream);
                }
            }
        }
    }
}
