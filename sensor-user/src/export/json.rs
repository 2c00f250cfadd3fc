//! Events for programs: one JSON object a line.
//!
//! The proto's JSON form, the same as in files and in the collector's answers. It is safe to print on a terminal: the
//! writer escapes control characters and those that change the writing direction (see [`mcp_sensor_proto::json`]).

use std::io;

use super::output::Output;
use super::{Exporter, Outgoing, Summary};

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
    fn event(&mut self, event: &Outgoing) -> io::Result<()> {
        let buffer = self.output.buffer();
        event.write_json(buffer);
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use mcp_sensor_proto::v1::event::Body;
    use mcp_sensor_proto::v1::{Event, Peer, ToolCall};

    use super::*;

    fn event(text: &str) -> Event {
        let server = Peer { exe: text.to_owned(), command_line: vec![text.to_owned()], name: text.to_owned(), ..Peer::default() };
        let arguments = serde_json::json!({ text: text }).to_string();
        let call = ToolCall { tool: text.to_owned(), arguments, result: text.to_owned(), ..ToolCall::default() };
        Event { server: Some(server), body: Some(Body::ToolCall(call)), ..Event::default() }
    }

    #[test]
    fn each_event_is_one_line_that_no_terminal_obeys() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let hostile = "\u{1b}[2J\u{7f}\u{9b}\r\n\u{2028}\u{202e}\u{2066}";
        let mut exporter = JsonLines::new(Output::to(Box::new(File::from(writer))));
        for text in ["plain", hostile] {
            exporter.event(&event(text).into()).unwrap();
        }
        exporter.finish(&Summary::default()).unwrap();
        drop(exporter);
        let mut shown = String::new();
        File::from(reader).read_to_string(&mut shown).unwrap();
        let lines: Vec<&str> = shown.split_terminator('\n').collect();
        assert_eq!(lines.len(), 2, "{shown}");
        for line in &lines {
            let obeyed = |character: char| character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            assert!(!line.contains(obeyed), "{line}");
        }
        let value: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        assert_eq!(value["toolCall"]["arguments"][hostile], hostile);
    }
}
