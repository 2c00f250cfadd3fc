//! Where events go: a table, JSON Lines or CSV, on standard output.
//!
//! Invariants: what comes from outside is made safe for a terminal in every form; output is flushed with each batch.

use std::io;

use mcp_sensor_proto::json;
use mcp_sensor_proto::v1::{Event, Missed};
use present::output::Output;
use present::style::{ColorChoice, Styles};
use present::table::{Options, Size, Table};

use super::args::Format;
use super::csv;
use super::failure::Failure;
use crate::ingest::stream::now;

/// Takes events and shows them.
pub(super) enum Shown {
    Json(Output),
    Csv(Output),
    Table(Box<Table>),
}

impl Shown {
    /// `messages`: every message, not only tool calls, in the table.
    pub(super) fn new(format: Format, color: ColorChoice, messages: bool) -> Result<Self, Failure> {
        let mut output = Output::stdout().map_err(Failure::of_output)?;
        Ok(match format {
            Format::Json => Self::Json(output),
            Format::Csv => {
                csv::event_header(output.buffer());
                Self::Csv(output)
            }
            Format::Table => {
                let options = Options { styles: Styles::choose(color, &io::stdout()), size: Size::of_stdout(), messages };
                Self::Table(Box::new(Table::new(output, options).with_nodes()))
            }
        })
    }

    pub(super) fn event(&mut self, event: &Event) -> io::Result<()> {
        match self {
            Self::Json(output) => {
                json::write_event(event, output.buffer());
                output.buffer().push(b'\n');
                output.appended()
            }
            Self::Csv(output) => {
                csv::event(event, output.buffer());
                output.appended()
            }
            Self::Table(table) => table.event(event),
        }
    }

    /// What was missed is told where the events are, and to people.
    pub(super) fn missed(&mut self, missed: Missed, cursor: u64) -> io::Result<()> {
        let Missed { events, first_cursor, last_cursor } = missed;
        if let Self::Json(output) = self {
            let line = format!(
                "{{\"missed\":{{\"events\":\"{events}\",\"firstCursor\":\"{first_cursor}\",\"lastCursor\":\"{last_cursor}\"}},\
                 \"cursor\":\"{cursor}\"}}\n"
            );
            output.buffer().extend_from_slice(line.as_bytes());
        }
        eprintln!("mcp-collector: too slow: {events} events were not shown; `mcp-collector events` has them");
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Json(output) | Self::Csv(output) => output.flush(),
            Self::Table(table) => table.flush(),
        }
    }

    pub(super) fn tick(&mut self) -> io::Result<()> {
        match self {
            Self::Json(output) | Self::Csv(output) => output.flush().and_then(|()| output.check_reader()),
            Self::Table(table) => table.tick(now()),
        }
    }

    pub(super) fn finish(mut self) -> Result<(), Failure> {
        match &mut self {
            Self::Json(output) | Self::Csv(output) => output.flush(),
            Self::Table(table) => table.finish(),
        }
        .map_err(Failure::of_output)
    }
}
