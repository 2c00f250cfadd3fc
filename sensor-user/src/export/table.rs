//! Events for people: the table of [`present::table`], as an exporter.

use std::io;

pub use present::table::*;

use super::{Exporter, Outgoing, Summary};

impl Exporter for Table {
    fn event(&mut self, event: &Outgoing) -> io::Result<()> {
        Self::event(self, &event.to_event())
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self)
    }

    fn tick(&mut self, now: i64) -> io::Result<()> {
        Self::tick(self, now)
    }

    fn finish(&mut self, _summary: &Summary) -> io::Result<()> {
        Self::finish(self)
    }
}
