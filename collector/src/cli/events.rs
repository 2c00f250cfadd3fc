//! `mcp-collector tail` and `mcp-collector events`.

use mcp_sensor_proto::v1::QueryRequest;
use mcp_sensor_proto::v1::subscribe_request::Start;

use super::args::{Events, Format, Tail};
use super::client;
use super::failure::{Failure, of_status};
use super::follow::{Followed, follow};
use super::shown::Shown;

/// Events of a page.
const PAGE: u32 = 1_000;

/// `mcp-collector tail`.
pub(super) async fn tail(args: Tail) -> Result<(), Failure> {
    let Tail { since, after, messages, no_reconnect, output, filters, connection } = args;
    let start = since.map(|since| Start::From(since.0)).or(after.map(Start::AfterCursor));
    let shown = Shown::new(if output.json { Format::Json } else { Format::Table }, output.color, messages)?;
    follow(&connection, Followed { filter: filters.into_proto(), start, reconnect: !no_reconnect }, shown).await
}

/// `mcp-collector events`.
pub(super) async fn events(args: Events) -> Result<(), Failure> {
    let Events { since, until, limit, newest_first, follow: goes_on, no_reconnect, messages, export, filters, connection } = args;
    let (filter, mut shown) = (filters.into_proto(), Shown::new(export.format(), export.color, messages)?);
    if goes_on {
        let from = since.map_or(prost_types::Timestamp { seconds: -9_000_000_000, nanos: 0 }, |since| since.0);
        let followed = Followed { filter, start: Some(Start::From(from)), reconnect: !no_reconnect };
        return follow(&connection, followed, shown).await;
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
        let page = client.query(request.clone()).await.map_err(|status| of_status("read events", &status))?.into_inner();
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
