//! Events for programs: one JSON object a line.
//!
//! The proto's JSON form, the same as in files and in the collector's answers. It is safe to print on a terminal: the
//! writer escapes control characters and those that change the writing direction (see [`mcp_sensor_proto::json`]).

use std::io;

use mcp_sensor_proto::json;
use mcp_sensor_proto::v1::Event;

use super::output::Output;
use super::{Exporter, Summary};

/// Writes each event as one line of JSON.
pub struct JsonLines {
    output: Output,
}

impl JsonLines {
    /// Writes to `output`.
    #[must_use]
    pub const fn new(output: Output) -> Self {
        Self { output }
    }
}

impl Exporter for JsonLines {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let buffer = self.output.buffer();
        json::write_event(event, buffer);
        buffer.push(b'\n');
        self.output.appended()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    fn tick(&mut self, _now: i64) -> io::Result<()> {
        self.output.flush()?;
        self.output.check_reader()
    }

    fn finish(&mut self, _summary: &Summary) -> io::Result<()> {
        self.output.flush()
    }
}
