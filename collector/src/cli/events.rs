//! `mcp-collector tail` and `mcp-collector events`.

use std::io;
use std::time::Duration;

use mcp_sensor_proto::json;
use mcp_sensor_proto::v1::subscribe_request::Start;
use mcp_sensor_proto::v1::subscribe_response::Item;
use mcp_sensor_proto::v1::{Event, Filter, Missed, QueryRequest, SubscribeRequest, SubscribeResponse};
use present::output::Output;
use present::style::Styles;
use present::table::{Options, Size, Table};
use tokio::time::MissedTickBehavior;
use tonic::Streaming;

use super::args::{Connection, Events, Output as OutputArgs, Tail};
use super::client::{self, Client};
use super::failure::{Exit, Failure};
use crate::ingest::stream::now;

/// Events of a page.
const PAGE: u32 = 1_000;

/// How often a table is looked after.
const TICK: Duration = Duration::from_millis(250);

/// Events that are shown before the output is flushed, while more are waiting.
const FLUSH: usize = 256;

/// Where events go.
enum Shown {
    Json(Output),
    Table(Box<Table>),
}

impl Shown {
    fn new(args: &OutputArgs, messages: bool) -> Result<Self, Failure> {
        let output = Output::stdout().map_err(Failure::of_output)?;
        if args.json {
            return Ok(Self::Json(output));
        }
        let styles = Styles::choose(args.color.into(), &io::stdout());
        let options = Options { styles, size: Size::of_stdout(), messages };
        Ok(Self::Table(Box::new(Table::new(output, options).with_nodes())))
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match self {
            Self::Json(output) => {
                json::write_event(event, output.buffer());
                output.buffer().push(b'\n');
                output.appended()
            }
            Self::Table(table) => table.event(event),
        }
    }

    /// What was missed is told where the events are, and to people.
    fn missed(&mut self, missed: Missed, cursor: u64) -> io::Result<()> {
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

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Json(output) => output.flush(),
            Self::Table(table) => table.flush(),
        }
    }

    fn tick(&mut self) -> io::Result<()> {
        match self {
            Self::Json(output) => output.flush().and_then(|()| output.check_reader()),
            Self::Table(table) => table.tick(now()),
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        match &mut self {
            Self::Json(output) => output.flush(),
            Self::Table(table) => table.finish(),
        }
        .map_err(Failure::of_output)
    }
}

/// `mcp-collector tail`.
pub(super) async fn tail(args: Tail) -> Result<(), Failure> {
    let Tail { since, after, messages, output, filters, connection } = args;
    let start = since.map(|since| Start::From(since.0)).or(after.map(Start::AfterCursor));
    follow(&connection, filters.into_proto(), start, Shown::new(&output, messages)?).await
}

/// `mcp-collector events`.
pub(super) async fn events(args: Events) -> Result<(), Failure> {
    let Events { since, until, limit, newest_first, follow: goes_on, messages, output, filters, connection } = args;
    let (filter, mut shown) = (filters.into_proto(), Shown::new(&output, messages)?);
    if goes_on {
        let from = since.map_or(prost_types::Timestamp { seconds: -9_000_000_000, nanos: 0 }, |since| since.0);
        return follow(&connection, filter, Some(Start::From(from)), shown).await;
    }
    let mut client = client::connect(&connection).await?;
    let mut left = limit.unwrap_or(u64::MAX);
    let mut request = QueryRequest {
        filter: Some(filter),
        from: since.map(|since| since.0),
        to: until.map(|until| until.0),
        page_size: PAGE,
        page_token: String::new(),
        descending: newest_first,
    };
    while left > 0 {
        request.page_size = u32::try_from(left.min(u64::from(PAGE))).unwrap_or(PAGE);
        let page = client.query(request.clone()).await.map_err(|status| Failure::of_status("read events", &status))?.into_inner();
        left = left.saturating_sub(page.events.len() as u64);
        for event in page.events.iter().filter_map(|stored| stored.event.as_ref()) {
            shown.event(event).map_err(Failure::of_output)?;
        }
        shown.flush().map_err(Failure::of_output)?;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    shown.finish()
}

async fn follow(connection: &Connection, filter: Filter, start: Option<Start>, mut shown: Shown) -> Result<(), Failure> {
    let mut client: Client = client::connect(connection).await?;
    let request = SubscribeRequest { filter: Some(filter), start, allow_gap: false };
    let mut stream: Streaming<SubscribeResponse> =
        client.subscribe(request).await.map_err(|status| Failure::of_status("subscribe", &status))?.into_inner();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut cursor, mut waiting) = (0_u64, 0_usize);
    loop {
        // A reader sees each event as it comes: what is not flushed yet is, as soon as nothing more is here.
        let response = tokio::select! {
            biased;
            response = stream.message(), if waiting < FLUSH => response,
            () = std::future::ready(()), if waiting > 0 => {
                shown.flush().map_err(Failure::of_output)?;
                waiting = 0;
                continue;
            }
            _ = ticks.tick() => {
                shown.tick().map_err(Failure::of_output)?;
                continue;
            }
        };
        let response = match response {
            Ok(Some(response)) => response,
            Ok(None) => return Err(Failure::new(Exit::Unreachable, "the collector has ended the stream")),
            Err(status) => {
                shown.flush().map_err(Failure::of_output)?;
                let failure = Failure::of_status("go on", &status);
                return Err(if cursor == 0 { failure } else { failure.mend(format!("go on later with: tail --after {cursor}")) });
            }
        };
        cursor = response.cursor;
        match response.item {
            Some(Item::Event(event)) => shown.event(&event).map_err(Failure::of_output)?,
            Some(Item::Missed(missed)) => shown.missed(missed, cursor).map_err(Failure::of_output)?,
            Some(Item::Live(_)) | None => {}
        }
        waiting += 1;
    }
}
