//! Puts rows together of steps: which stand for a whole exchange, and what runs beside each.

use std::collections::{BTreeMap, BTreeSet};

use mcp_sensor_proto::v1::{Peer, Session};

use super::Timeline;
use super::model::{Exchange, Pair, Step, Turn, Way, What};
use super::notices::{Problem, Tally};
use crate::style::Line;

/// Exchanges side by side that are drawn.
pub(super) const LANES: usize = 6;

/// A session, put together.
pub struct Finished {
    pub(super) timeline: Timeline,
    pub(super) rows: Vec<Row>,
    /// What is missing, in words. Empty where nothing is known to be.
    pub(super) missing: Vec<Line>,
    /// What went wrong, in the order in which it did.
    pub(super) problems: Vec<Problem>,
    pub(super) tally: Tally,
    /// The lanes that are in use somewhere: of the server, of the client.
    pub(super) lanes: (usize, usize),
}

/// One row of what is shown.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Position of its step.
    pub(super) step: usize,
    /// With the answer, which came directly behind the request: the position of its step.
    pub(super) answer: Option<usize>,
    /// What runs on either side.
    pub(super) bars: Vec<Bar>,
}

/// An exchange that runs, beside a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Bar {
    /// The client works on a request of the server's.
    pub(super) on_client: bool,
    pub(super) lane: u8,
    pub(super) shape: Shape,
}

/// Which part of an exchange a row sees.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    Begin,
    Through,
    End,
    Whole,
}

impl Timeline {
    /// Puts the session together.
    #[must_use]
    pub fn finish(mut self) -> Finished {
        self.latest = std::collections::HashMap::new();
        if let (Some(begin), Some(end)) = (self.begin, self.end) {
            // What a sensor lost is told at its next report: in a minute, at the latest.
            const REPORT: i64 = 90_000_000_000;
            let shown = begin.saturating_sub(REPORT)..=end.saturating_add(REPORT);
            self.steps.retain(|step| !matches!(step.what, What::Sensor(_)) || shown.contains(&step.time));
            self.sensors.lost.retain(|lost| lost.since <= end && lost.until >= begin);
        }
        let rows = rows(&self);
        let lanes = lanes_in_use(&rows);
        let mut finished = Finished { timeline: self, rows, missing: Vec::new(), problems: Vec::new(), tally: Tally::default(), lanes };
        finished.take_stock();
        finished
    }
}

impl Finished {
    /// True where there is nothing of a session.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.timeline.is_empty()
    }

    /// True where nothing is known to be missing.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// The session, as the last event tells it.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.timeline.session
    }

    pub(super) fn step(&self, row: &Row) -> Option<&Step> {
        self.timeline.steps.get(row.step)
    }

    pub(super) fn exchange(&self, position: usize) -> Option<&Exchange> {
        self.timeline.exchanges.get(position)
    }

    /// The turn that a step is.
    pub(super) fn turn(&self, step: &Step) -> Option<(&Exchange, &Turn)> {
        let What::Turn(position, number) = step.what else { return None };
        let exchange = self.exchange(position)?;
        Some((exchange, exchange.turns.get(number)?))
    }

    /// The process that is the client, as far as it is known: the one that was met last.
    pub(super) fn client(&self) -> Option<&Peer> {
        self.timeline.clients.last()
    }

    /// The process that is the server.
    pub(super) fn server(&self) -> Option<&Peer> {
        self.timeline.servers.last()
    }

    /// The processes of a step, where they are not those at the head.
    pub(super) fn others(&self, pair: Pair) -> (Option<&Peer>, Option<&Peer>) {
        let other = |peers: &'_ Vec<Peer>, position: Option<u8>| position.map(usize::from).filter(|position| position + 1 != peers.len());
        let client = other(&self.timeline.clients, pair.client).and_then(|position| self.timeline.clients.get(position));
        let server = other(&self.timeline.servers, pair.server).and_then(|position| self.timeline.servers.get(position));
        (client, server)
    }

    /// Nanoseconds since the session's first event. Less than 0 for what was before.
    pub(super) const fn offset(&self, time: i64) -> i64 {
        match self.timeline.begin {
            Some(begin) => time.saturating_sub(begin),
            None => 0,
        }
    }
}

fn rows(timeline: &Timeline) -> Vec<Row> {
    let mut rows = Vec::with_capacity(timeline.steps.len());
    let mut open: BTreeMap<usize, (bool, usize)> = BTreeMap::new();
    let mut used: BTreeSet<(bool, usize)> = BTreeSet::new();
    let mut steps = timeline.steps.iter().enumerate().peekable();
    while let Some((position, step)) = steps.next() {
        let mut bars: Vec<Bar> = Vec::new();
        for &(on_client, lane) in open.values() {
            bars.push(bar(on_client, lane, Shape::Through));
        }
        let mut answer = None;
        match step.what {
            What::Begin(exchange) => {
                let on_client = timeline.exchanges.get(exchange).is_some_and(|exchange| exchange.way == Way::ToClient);
                let free = (0..LANES).find(|lane| !used.contains(&(on_client, *lane)));
                let next = steps.peek().map(|(_, step)| &step.what);
                let is_whole = matches!(next, Some(What::Turn(other, 0)) if *other == exchange);
                if is_whole {
                    answer = steps.next().map(|(position, _)| position);
                }
                if let Some(lane) = free {
                    let goes_on = !is_whole && timeline.exchanges.get(exchange).is_some_and(|exchange| !exchange.turns.is_empty());
                    bars.push(bar(on_client, lane, if goes_on { Shape::Begin } else { Shape::Whole }));
                    if goes_on {
                        used.insert((on_client, lane));
                        open.insert(exchange, (on_client, lane));
                    }
                }
            }
            What::Turn(exchange, _) => close(&mut open, &mut used, &mut bars, exchange),
            What::Single(ref single) if single.cancels => {
                if let Some(exchange) = single.of {
                    close(&mut open, &mut used, &mut bars, exchange);
                }
            }
            What::Single(_) | What::Session(..) | What::Hole(_) | What::Verdict(_) | What::Sensor(_) => {}
        }
        rows.push(Row { step: position, answer, bars });
    }
    rows
}

fn close(open: &mut BTreeMap<usize, (bool, usize)>, used: &mut BTreeSet<(bool, usize)>, bars: &mut [Bar], exchange: usize) {
    let Some((on_client, lane)) = open.remove(&exchange) else { return };
    used.remove(&(on_client, lane));
    for bar in bars.iter_mut().filter(|bar| bar.on_client == on_client && usize::from(bar.lane) == lane) {
        bar.shape = Shape::End;
    }
}

fn bar(on_client: bool, lane: usize, shape: Shape) -> Bar {
    Bar { on_client, lane: u8::try_from(lane).unwrap_or(u8::MAX), shape }
}

fn lanes_in_use(rows: &[Row]) -> (usize, usize) {
    let most = |on_client: bool| {
        let bars = rows.iter().flat_map(|row| &row.bars).filter(|bar| bar.on_client == on_client);
        bars.map(|bar| usize::from(bar.lane) + 1).max().unwrap_or(0)
    };
    (most(false), most(true))
}
