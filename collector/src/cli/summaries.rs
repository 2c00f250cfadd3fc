//! `mcp-collector sessions` and `mcp-collector sensors`.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use mcp_sensor_proto::v1::{
    CollectorStatus, GetSessionRequest, ListSensorsRequest, ListSensorsResponse, ListSessionsRequest, Peer, SensorStatus, SessionSummary,
    ToolSummary, sensor::State,
};
use present::names;
use present::style::{ColorChoice, Line, Style, Styles};
use present::table::Size;
use present::{units, words};

use super::args::{Export, Format, Output, Sensors, Sessions};
use super::client::{self, Client};
use super::failure::{Failure, of_status};
use super::text::{Grid, ago, count, raw};
use super::{csv, json, print};
use crate::event::keys::nanoseconds;
use crate::ingest::stream::now;

/// Time between two looks with `--follow`.
const AGAIN: Duration = Duration::from_secs(2);

/// Sessions of a page.
const PAGE: u64 = 1_000;

/// `mcp-collector sessions`.
pub(super) async fn sessions(args: Sessions) -> Result<(), Failure> {
    let Sessions { id, open, since, until, limit, follow, export, filters, connection } = args;
    let mut client = client::connect(&connection).await?;
    let request = ListSessionsRequest {
        filter: Some(filters.into_proto()),
        from: since.map(|since| since.0),
        to: until.map(|until| until.0),
        page_size: 0,
        page_token: String::new(),
        open,
    };
    loop {
        let shown = match &id {
            Some(id) => one_session(&mut client, id, &export).await?,
            None => list(&mut client, request.clone(), limit, &export).await?,
        };
        if !again(&shown, follow, export.format() == Format::Table).await? {
            return Ok(());
        }
    }
}

async fn list(client: &mut Client, mut request: ListSessionsRequest, limit: u64, export: &Export) -> Result<Vec<u8>, Failure> {
    let mut sessions: Vec<SessionSummary> = Vec::new();
    loop {
        let left = limit.saturating_sub(sessions.len() as u64);
        if left == 0 {
            break;
        }
        request.page_size = u32::try_from(left.min(PAGE)).unwrap_or(0);
        let page = client.list_sessions(request.clone()).await.map_err(|status| of_status("list sessions", &status))?;
        let page = page.into_inner();
        sessions.extend(page.sessions);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let mut lines = Vec::new();
    match export.format() {
        Format::Json => {
            sessions.iter().try_for_each(|session| json::write("SessionSummary", session, &mut lines))?;
            return Ok(lines);
        }
        Format::Csv => {
            csv::session_header(&mut lines);
            sessions.iter().for_each(|session| csv::session(session, &mut lines));
            return Ok(lines);
        }
        Format::Table => {}
    }
    let mut grid = Grid::new(&["SESSION", "NODE", "CLIENT → SERVER", "LAST", "MESSAGES", "CALLS", "FAILED", "GAPS", "HOW"]);
    sessions.iter().for_each(|session| grid.row(session_row(session)));
    Ok(grid.render(Size::of_stdout().columns(), styles(export.color)).into_bytes())
}

async fn one_session(client: &mut Client, id: &str, export: &Export) -> Result<Vec<u8>, Failure> {
    let response = client.get_session(GetSessionRequest { id: id.to_owned() }).await;
    let response = response.map_err(|status| of_status("read the session", &status))?.into_inner();
    let mut lines = Vec::new();
    match export.format() {
        Format::Json => {
            json::write("GetSessionResponse", &response, &mut lines)?;
            return Ok(lines);
        }
        Format::Csv => {
            csv::session_header(&mut lines);
            response.summary.iter().for_each(|session| csv::session(session, &mut lines));
            return Ok(lines);
        }
        Format::Table => {}
    }
    let (columns, styles) = (Size::of_stdout().columns(), styles(export.color));
    let mut facts = Grid::new(&["SESSION", "NODE", "CLIENT → SERVER", "LAST", "MESSAGES", "CALLS", "FAILED", "GAPS", "HOW"]);
    facts.row(session_row(&response.summary.unwrap_or_default()));
    let mut shown = facts.render(columns, styles);
    if !response.tools.is_empty() {
        let mut tools = Grid::new(&["TOOL", "CALLS", "FAILED", "LONGEST"]);
        for ToolSummary { tool, calls, failed, max_duration_ms } in &response.tools {
            let longest = max_duration_ms.map_or(Line::default(), |ms| Line::own(Style::PLAIN, &units::duration((ms * 1e6) as u64)));
            tools.row(vec![raw(tool), count(*calls, Style::PLAIN), count(*failed, Style::ERROR), longest]);
        }
        shown.push('\n');
        shown.push_str(&tools.render(columns, styles));
    }
    Ok(shown.into_bytes())
}

fn session_row(summary: &SessionSummary) -> Vec<Line> {
    let session = summary.session.clone().unwrap_or_default();
    let mut peers = peer(summary.client.as_ref());
    peers.push_own(Style::DIM, " → ");
    peers.push_line(peer(summary.server.as_ref()));
    let mut how = Line::own(Style::DIM, &words::carrier(&session));
    if !summary.closed {
        how.push_own(Style::GOOD, " open");
    }
    vec![
        raw(&session.id),
        raw(&summary.node),
        peers,
        ago(now(), summary.last.as_ref()),
        count(summary.messages, Style::PLAIN),
        count(summary.tool_calls, Style::PLAIN),
        count(summary.failed_calls, Style::ERROR),
        count(summary.gaps, Style::WARNING),
        how,
    ]
}

fn peer(peer: Option<&Peer>) -> Line {
    let Some(peer) = peer else { return Line::own(Style::DIM, "?") };
    let name = [names::short(peer), &peer.name, &peer.address].into_iter().find(|name| !name.is_empty()).unwrap_or("?");
    let mut line = raw(name);
    if peer.pid > 0 {
        line.push_own(Style::DIM, &format!("[{}]", peer.pid));
    }
    line
}

/// `mcp-collector sensors`.
pub(super) async fn sensors(args: Sensors) -> Result<(), Failure> {
    let Sensors { follow, output, connection } = args;
    let mut client = client::connect(&connection).await?;
    loop {
        let response = client.list_sensors(ListSensorsRequest {}).await;
        let response = response.map_err(|status| of_status("list sensors", &status))?.into_inner();
        if !again(&sensors_shown(&response, &output)?, follow, !output.json).await? {
            return Ok(());
        }
    }
}

fn sensors_shown(response: &ListSensorsResponse, output: &Output) -> Result<Vec<u8>, Failure> {
    let ListSensorsResponse { sensors, collector } = response;
    if output.json {
        let mut lines = Vec::new();
        sensors.iter().try_for_each(|sensor| json::write("SensorStatus", sensor, &mut lines))?;
        // The collector's own line is told from a sensor's by its one name.
        let own = ListSensorsResponse { sensors: Vec::new(), collector: collector.clone() };
        json::write("ListSensorsResponse", &own, &mut lines)?;
        return Ok(lines);
    }
    let (columns, styles) = (Size::of_stdout().columns(), styles(output.color));
    let mut grid = Grid::new(&["NODE", "STATE", "VERSION", "SEEN", "BEHIND", "MISSING", "LOST", "BLIND SPOTS", "ADDRESS"]);
    sensors.iter().for_each(|sensor| grid.row(sensor_row(sensor)));
    let mut shown = grid.render(columns, styles);
    for sensor in sensors {
        let own = sensor.sensor.as_ref();
        for lost in own.and_then(|own| own.loss.as_ref()).iter().flat_map(|loss| &loss.counts) {
            warn(&mut shown, styles, &sensor.node, &words::loss(lost));
        }
        for spot in own.iter().flat_map(|own| &own.blind_spots) {
            warn(&mut shown, styles, &sensor.node, &format!("blind spot: {}", words::blind_spot(spot, true)));
        }
    }
    collector_shown(&collector.clone().unwrap_or_default(), styles, &mut shown);
    Ok(shown.into_bytes())
}

fn sensor_row(sensor: &SensorStatus) -> Vec<Line> {
    let own = sensor.sensor.clone().unwrap_or_default();
    let state = match (sensor.connected, own.state()) {
        (false, _) => Line::own(Style::ERROR, "away"),
        (true, State::Degraded) => Line::own(Style::WARNING, "degraded"),
        (true, State::Starting) => Line::own(Style::DIM, "starting"),
        (true, State::Stopping) => Line::own(Style::DIM, "stopping"),
        (true, State::Ready | State::Unspecified) => Line::own(Style::GOOD, "ready"),
    };
    let lost = own.loss.iter().flat_map(|loss| &loss.counts).map(|count| count.count).sum();
    vec![
        raw(&sensor.node),
        state,
        raw(&sensor.version),
        ago(now(), sensor.last_seen.as_ref()),
        count(sensor.lag_events, Style::PLAIN),
        count(sensor.missing_events, Style::WARNING),
        count(lost, Style::WARNING),
        count(own.blind_spots.len() as u64, Style::WARNING),
        raw(&sensor.address),
    ]
}

fn collector_shown(collector: &CollectorStatus, styles: Styles, shown: &mut String) {
    let CollectorStatus { version, started, events, store_bytes, oldest_event, subscribers, duplicates, refused, warnings } = collector;
    let mut line = Line::own(Style::DIM, "\ncollector ");
    line.push_raw(Style::DIM, version);
    let since = |time: &Option<prost_types::Timestamp>| {
        time.as_ref()
            .and_then(nanoseconds)
            .map_or_else(String::new, |time| units::duration(u64::try_from(now().saturating_sub(time)).unwrap_or(0)))
    };
    line.push_own(
        Style::DIM,
        &format!(
            ": up {}, {} in {}, the oldest {} ago, {}, {} came again",
            since(started),
            units::count(*events, "event"),
            units::bytes(*store_bytes),
            since(oldest_event),
            units::count(u64::from(*subscribers), "subscriber"),
            units::grouped(*duplicates),
        ),
    );
    line.print(styles, shown);
    shown.push('\n');
    let mut refused: Vec<_> = refused.iter().collect();
    refused.sort();
    for (reason, count) in refused {
        warn(shown, styles, "refused", &format!("{} × {reason}", units::grouped(*count)));
    }
    warnings.iter().for_each(|warning| warn(shown, styles, "collector", warning));
}

fn warn(shown: &mut String, styles: Styles, who: &str, what: &str) {
    let mut line = Line::raw(Style::WARNING, who);
    line.push_own(Style::WARNING, ": ");
    line.push_raw(Style::WARNING, what);
    line.print(styles, shown);
    shown.push('\n');
}

fn styles(color: ColorChoice) -> Styles {
    Styles::choose(color, &io::stdout())
}

/// Prints, and waits where it is to be done again. False where not.
async fn again(shown: &[u8], follow: bool, is_table: bool) -> Result<bool, Failure> {
    if follow && is_table && io::stdout().is_terminal() {
        // A clean screen for each look.
        print(b"\x1b[H\x1b[2J")?;
    }
    print(shown)?;
    if follow {
        tokio::time::sleep(AGAIN).await;
    }
    Ok(follow)
}
