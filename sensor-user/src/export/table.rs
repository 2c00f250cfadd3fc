//! Events for people: the table of [`present::table`], as an exporter.

use std::io;

use mcp_sensor_proto::v1::Event;
pub use present::table::*;

use super::{Exporter, Summary};

impl Exporter for Table {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        Self::event(self, event)
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
