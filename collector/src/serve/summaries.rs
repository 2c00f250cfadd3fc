//! `ListSessions`, `GetSession` and `ListSensors`.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use mcp_sensor_proto::v1::{
    CollectorStatus, GetSessionRequest, GetSessionResponse, ListSensorsResponse, ListSessionsRequest, ListSessionsResponse, Peer, Sensor,
    SensorStatus, Session, SessionSummary, ToolSummary,
};
use prost::Message;
use tonic::Status;

use super::collector::{Collector, fingerprint, page_size, unreadable};
use crate::event::filter::MAX_VALUE;
use crate::event::keys::timestamp;
use crate::store::sqlite::{RunRow, SessionQuery, SessionRow};

impl Collector {
    pub(super) async fn sessions(&self, request: ListSessionsRequest) -> Result<ListSessionsResponse, Status> {
        let of = fingerprint(&ListSessionsRequest { page_token: String::new(), page_size: 0, ..request.clone() }.encode_to_vec());
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(parse_token(token, of).ok_or_else(|| self.bad("page_token is not of this query"))?),
        };
        let limit = page_size(request.page_size);
        let query = SessionQuery {
            filter: self.filter(request.filter.as_ref())?,
            from: self.time("from", request.from.as_ref())?,
            to: self.time("to", request.to.as_ref())?,
            open: request.open,
            after,
            limit: limit + 1,
        };
        let mut rows = self.store.sessions(query).await.map_err(|error| unreadable(&error))?;
        let is_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| is_more).map(|row| format!("{}_{}_{of:x}", row.last, row.id));
        Ok(ListSessionsResponse { sessions: rows.into_iter().map(summary).collect(), next_page_token: next.unwrap_or_default() })
    }

    pub(super) async fn session(&self, request: GetSessionRequest) -> Result<GetSessionResponse, Status> {
        let GetSessionRequest { id } = request;
        if id.is_empty() || id.len() > MAX_VALUE {
            return Err(self.bad("id is empty, or too long"));
        }
        let rows = self.store.sessions_named(id).await.map_err(|error| unreadable(&error))?;
        let mut rows = rows.into_iter();
        let row = match (rows.next(), rows.next()) {
            (None, _) => return Err(Status::not_found("nothing is stored of such a session")),
            (Some(_), Some(_)) => return Err(self.bad("several sessions have an id that begins so")),
            (Some(row), None) => row,
        };
        let tools = self.store.tools(row.id).await.map_err(|error| unreadable(&error))?;
        let tools =
            tools.into_iter().map(|row| ToolSummary { tool: row.tool, calls: row.calls, failed: row.failed, max_duration_ms: row.max_ms });
        Ok(GetSessionResponse { tools: tools.collect(), summary: Some(summary(row)) })
    }

    pub(super) async fn sensors(&self) -> Result<ListSensorsResponse, Status> {
        let rows = self.store.runs().await.map_err(|error| unreadable(&error))?;
        let runs: HashMap<_, _> = self.ingest.runs.all().into_iter().map(|run| (run.id, run)).collect();
        let mut sensors: Vec<SensorStatus> = Vec::new();
        for row in rows {
            // By node, the newest run first: the others of the node are not told.
            if sensors.last().is_some_and(|last| last.node == row.node) {
                continue;
            }
            let live = runs.get(&row.id);
            let mut status = sensor(row);
            if let Some(run) = live {
                status.connected = run.connected.load(Ordering::Relaxed);
                status.last_seen = Some(timestamp(run.last_seen.load(Ordering::Relaxed)));
                status.last_sequence = *run.stored.borrow();
                let made = run.made.load(Ordering::Relaxed).max(run.accepted.load(Ordering::Relaxed));
                status.lag_events = made.saturating_sub(status.last_sequence);
            }
            sensors.push(status);
        }
        Ok(ListSensorsResponse { sensors, collector: Some(self.status()) })
    }

    fn status(&self) -> CollectorStatus {
        let store = self.store.status();
        CollectorStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: Some(timestamp(self.started)),
            events: store.events,
            store_bytes: store.bytes,
            oldest_event: store.oldest.map(timestamp),
            subscribers: self.subscribers.load(Ordering::Relaxed),
            duplicates: self.ingest.sequencer.duplicates(),
            refused: self.refusals.counts(),
            warnings: store.warnings,
        }
    }
}

fn parse_token(token: &str, of: u64) -> Option<(i64, i64)> {
    let mut parts = token.split('_');
    let (last, id, request) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
    (u64::from_str_radix(request, 16).ok()? == of).then_some((last, id))
}

/// What was stored was checked when it came; what a newer collector stored may still not be known here.
fn decode<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    if bytes.is_empty() { None } else { M::decode(bytes).ok() }
}

fn summary(row: SessionRow) -> SessionSummary {
    let SessionRow { id: _, name, node, session, client, server, first, last, closed, messages, calls, failed, gaps } = row;
    SessionSummary {
        session: Some(decode(&session).unwrap_or_else(|| Session { id: name, ..Session::default() })),
        node,
        client: decode::<Peer>(&client),
        server: decode::<Peer>(&server),
        first: Some(timestamp(first)),
        last: Some(timestamp(last)),
        closed,
        messages,
        tool_calls: calls,
        failed_calls: failed,
        gaps,
    }
}

fn sensor(row: RunRow) -> SensorStatus {
    let RunRow { id, node, version, started, address, last_seen, last_event, last_sequence, missing, sensor } = row;
    SensorStatus {
        node,
        run_id: id.to_string(),
        version,
        started: Some(timestamp(started)),
        connected: false,
        address,
        last_seen: Some(timestamp(last_seen)),
        last_event: last_event.map(timestamp),
        last_sequence,
        lag_events: 0,
        missing_events: missing,
        sensor: decode::<Sensor>(&sensor),
    }
}
