//! A subscription that outlives its connection.
//!
//! A lost connection is told on standard error and made again, after a pause that grows and is never the same twice; the
//! subscription goes on at its cursor, and whether anything was missed meanwhile is told, too.
//!
//! Invariant: an event that came is not shown again. (A collector that was killed may have sent events that it had not stored;
//! their sensors send them once more, with new cursors.)

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use mcp_sensor_proto::v1::subscribe_request::Start;
use mcp_sensor_proto::v1::subscribe_response::Item;
use mcp_sensor_proto::v1::{Filter, SubscribeRequest, SubscribeResponse};
use prost_types::Timestamp;
use rustc_hash::FxHashSet;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tonic::{Code, Status, Streaming};

use super::args::Connection;
use super::client;
use super::failure::{Exit, Failure, of_status};
use super::shown::Shown;

/// How often the output is looked after.
const TICK: Duration = Duration::from_millis(250);

/// Events that are shown before the output is flushed, while more are waiting.
const FLUSH: usize = 256;

/// The first pause before connecting again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// A connection that held so long begins again with the first pause.
const HELD: Duration = Duration::from_secs(30);

/// Ids of the newest events that are remembered: more than a collector sends before it stores.
const REMEMBERED: usize = 128 * 1024;

/// What is followed.
pub(super) struct Followed {
    /// Which events.
    pub(super) filter: Filter,
    /// Where to begin.
    pub(super) start: Option<Start>,
    /// Connect again where the connection is lost.
    pub(super) reconnect: bool,
}

/// Shows what comes, until the output's reader goes away.
///
/// # Errors
/// The first connection fails, the collector refuses, the output cannot be written, or the connection is lost and is not to be
/// made again.
pub(super) async fn follow(connection: &Connection, followed: Followed, mut shown: Shown) -> Result<(), Failure> {
    let mut following = Following::new(followed);
    let mut stream = following.subscribe(connection).await?;
    let mut pauses = Pauses::default();
    loop {
        let since = Instant::now();
        let lost = following.show(&mut stream, &mut shown).await?;
        shown.flush().map_err(Failure::of_output)?;
        let failure = of_status("go on", &lost);
        if !following.reconnect || is_final(&lost) {
            let failure =
                if is_final(&lost) { failure } else { Failure::new(Exit::Unreachable, "the connection was lost").because(failure) };
            return Err(match following.cursor {
                0 => failure,
                cursor => failure.mend(format!("go on later with: tail --after {cursor}")),
            });
        }
        if since.elapsed() > HELD {
            pauses = Pauses::default();
        }
        eprintln!("mcp-collector: the connection was lost ({}); connecting again", failure.in_one_line());
        stream = following.again(connection, &mut pauses, &mut shown).await?;
    }
}

/// Where a subscription stands.
struct Following {
    filter: Filter,
    start: Option<Start>,
    reconnect: bool,
    /// The cursor of the last item; 0 before the first.
    cursor: u64,
    seen: Seen,
    /// The connection was lost once: what comes may have come before.
    again: bool,
    ticks: Interval,
}

impl Following {
    fn new(Followed { filter, start, reconnect }: Followed) -> Self {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { filter, start, reconnect, cursor: 0, seen: Seen::default(), again: false, ticks }
    }

    async fn subscribe(&self, connection: &Connection) -> Result<Streaming<SubscribeResponse>, Failure> {
        let mut client = client::connect(connection).await?;
        let request = self.request(false);
        let subscribed = client.subscribe(request).await;
        subscribed.map(tonic::Response::into_inner).map_err(|status| of_status("subscribe", &status))
    }

    fn request(&self, allow_gap: bool) -> SubscribeRequest {
        let start = if self.cursor > 0 { Some(Start::AfterCursor(self.cursor)) } else { self.start };
        SubscribeRequest { filter: Some(self.filter.clone()), start, allow_gap }
    }

    /// Shows what comes. Returns how the stream ended.
    async fn show(&mut self, stream: &mut Streaming<SubscribeResponse>, shown: &mut Shown) -> Result<Status, Failure> {
        let mut waiting = 0_usize;
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
                _ = self.ticks.tick() => {
                    shown.tick().map_err(Failure::of_output)?;
                    continue;
                }
            };
            match response {
                Ok(Some(response)) => self.item(response, shown)?,
                Ok(None) => return Ok(Status::unavailable("the collector has ended the stream")),
                Err(status) => return Ok(status),
            }
            waiting += 1;
        }
    }

    fn item(&mut self, response: SubscribeResponse, shown: &mut Shown) -> Result<(), Failure> {
        self.cursor = response.cursor;
        match response.item {
            Some(Item::Event(event)) => {
                let is_new = self.seen.insert(&event.id);
                // From a cursor on, the collector does not know any more which time was asked for.
                let is_asked_for = !self.again || event.time.as_ref().is_none_or(|time| !is_before(time, self.start.as_ref()));
                if is_new && is_asked_for { shown.event(&event).map_err(Failure::of_output) } else { Ok(()) }
            }
            Some(Item::Missed(missed)) => shown.missed(missed, self.cursor).map_err(Failure::of_output),
            Some(Item::Live(_)) | None => Ok(()),
        }
    }

    /// Connects again, however long it takes, and looks after the output meanwhile.
    async fn again(
        &mut self,
        connection: &Connection,
        pauses: &mut Pauses,
        shown: &mut Shown,
    ) -> Result<Streaming<SubscribeResponse>, Failure> {
        self.again = true;
        loop {
            let pause = tokio::time::sleep(pauses.next());
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    _ = self.ticks.tick() => shown.tick().map_err(Failure::of_output)?,
                }
            }
            let Ok(mut client) = client::connect(connection).await else { continue };
            match client.subscribe(self.request(false)).await {
                Ok(stream) => {
                    match self.cursor {
                        0 => eprintln!("mcp-collector: connected again; it is not known whether events were missed"),
                        cursor => eprintln!("mcp-collector: connected again, at cursor {cursor}: no events were missed"),
                    }
                    return Ok(stream.into_inner());
                }
                Err(status) if status.code() == Code::OutOfRange => {
                    eprintln!(
                        "mcp-collector: connected again; events were missed: {}",
                        of_status("go on where it was", &status).in_one_line()
                    );
                    let stream = client.subscribe(self.request(true)).await;
                    return stream.map(tonic::Response::into_inner).map_err(|status| of_status("subscribe", &status));
                }
                Err(status) if is_final(&status) => return Err(of_status("subscribe", &status)),
                Err(_) => {}
            }
        }
    }
}

/// True where trying again changes nothing.
fn is_final(status: &Status) -> bool {
    matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument | Code::Unimplemented | Code::OutOfRange)
}

fn is_before(time: &Timestamp, start: Option<&Start>) -> bool {
    matches!(start, Some(Start::From(from)) if (time.seconds, time.nanos) < (from.seconds, from.nanos))
}

/// Pauses that grow, each between half and the whole of its length, so that many clients do not come back at once.
#[derive(Debug, Default)]
struct Pauses {
    taken: u32,
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let (first, longest) = PAUSES;
        let whole = first.saturating_mul(1 << self.taken.min(16)).min(longest);
        self.taken += 1;
        // The standard library's hasher is seeded at random.
        let random = RandomState::new().build_hasher().finish() >> 32;
        whole / 2 + whole.mul_f64(0.5 * random as f64 / f64::from(u32::MAX))
    }
}

/// Ids of the newest events.
#[derive(Debug, Default)]
struct Seen {
    ids: FxHashSet<Box<str>>,
    order: VecDeque<Box<str>>,
}

impl Seen {
    /// False where it is there already.
    fn insert(&mut self, id: &str) -> bool {
        if self.ids.contains(id) {
            return false;
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.ids.insert(id.into());
        self.order.push_back(id.into());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_growing() {
        let mut pauses = Pauses::default();
        let (first, longest) = PAUSES;
        for step in 0..40 {
            let pause = pauses.next();
            let whole = first.saturating_mul(1 << step.min(16)).min(longest);
            assert!(pause >= whole / 2 && pause <= whole, "{step}: {pause:?}");
        }
    }

    #[test]
    fn an_id_is_new_once_and_memory_is_bounded() {
        let mut seen = Seen::default();
        assert!(seen.insert("a") && !seen.insert("a"));
        for number in 0..REMEMBERED {
            assert!(seen.insert(&number.to_string()));
        }
        assert_eq!((seen.ids.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
        assert!(seen.insert("a"), "the oldest is forgotten");
    }
}
