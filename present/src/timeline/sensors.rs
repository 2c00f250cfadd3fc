//! What the sensors told of themselves while the session went on: as news, for each report tells everything.

use std::collections::{BTreeMap, BTreeSet};

use mcp_sensor_proto::v1::loss::Count;
use mcp_sensor_proto::v1::sensor::State;
use mcp_sensor_proto::v1::{Event, Sensor};

use crate::sanitize::sanitize;
use crate::units::{self, Moment};
use crate::words;

/// Nodes whose reports are compared.
const MAX_NODES: usize = 256;

/// Blind spots that are told one by one.
const MAX_SPOTS: usize = 64;

/// Losses that are kept.
const MAX_LOST: usize = 10_000;

/// A loss, and when it can have been.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) since: i64,
    pub(super) until: i64,
    /// Safe to print.
    pub(super) words: String,
}

/// The last report of each node's sensor.
#[derive(Default)]
pub(super) struct Sensors {
    nodes: BTreeMap<String, Report>,
    /// Losses, in the order in which they were told.
    pub(super) lost: Vec<Lost>,
    /// Blind spots, safe to print.
    pub(super) blind: BTreeSet<String>,
    /// True where some sensor told anything.
    pub(super) told: bool,
}

struct Report {
    time: i64,
    started: i64,
    state: State,
    detail: String,
    loss: BTreeMap<(i32, i32), Count>,
    blind: BTreeSet<String>,
}

impl Sensors {
    /// Takes a report; gives the news, each with whether it is a warning. What was lost before the session had `begun` is none.
    pub(super) fn add(&mut self, event: &Event, sensor: &Sensor, time: i64, begun: bool) -> Vec<(bool, String)> {
        self.told = true;
        let node = event.node.get(..event.node.floor_char_boundary(256)).unwrap_or_default();
        let started = sensor.started.as_ref().map_or(0, units::nanoseconds);
        let detail = sanitize(sensor.detail.get(..sensor.detail.floor_char_boundary(4096)).unwrap_or_default()).into_owned();
        let blind: BTreeSet<String> = sensor.blind_spots.iter().take(MAX_SPOTS).map(|spot| words::blind_spot(spot, false)).collect();
        let mut report = Report { time, started, state: sensor.state(), detail, loss: BTreeMap::new(), blind };
        let before = self.nodes.remove(node).filter(|before| before.started == started);
        let mut news = Vec::new();
        if before.as_ref().is_none_or(|before| (before.state, &before.detail) != (report.state, &report.detail)) {
            news.push(state(&report, sensor));
        }
        let since = before.as_ref().map_or(started, |before| before.time);
        for count in sensor.loss.iter().flat_map(|loss| &loss.counts).take(256) {
            let key = (count.place, count.reason);
            let known = before.as_ref().and_then(|before| before.loss.get(&key)).copied().unwrap_or_default();
            report.loss.insert(key, *count);
            let fresh = Count { count: count.count.saturating_sub(known.count), bytes: count.bytes.saturating_sub(known.bytes), ..*count };
            let is_earlier = before.is_none() && !begun;
            if is_earlier || (fresh.count == 0 && fresh.bytes == 0) {
                continue;
            }
            let mut words = words::loss(&fresh);
            if before.is_none() {
                words.push_str(&format!(", since the sensor started ({} UTC)", Moment::from_unix(started).whole()));
            }
            if self.lost.len() < MAX_LOST {
                self.lost.push(Lost { since, until: time, words: words.clone() });
            }
            news.push((true, words));
        }
        let nothing = BTreeSet::new();
        let known = before.as_ref().map_or(&nothing, |before| &before.blind);
        news.extend(report.blind.difference(known).map(|spot| (true, format!("blind spot: {spot}"))));
        news.extend(known.difference(&report.blind).map(|spot| (false, format!("no blind spot any more: {spot}"))));
        for spot in &report.blind {
            if self.blind.len() < MAX_SPOTS {
                self.blind.insert(spot.clone());
            }
        }
        if self.nodes.len() < MAX_NODES {
            self.nodes.insert(node.to_owned(), report);
        }
        news
    }
}

fn state(report: &Report, sensor: &Sensor) -> (bool, String) {
    let (words, mut is_warning) = match report.state {
        State::Unspecified => ("sensor: state not known", true),
        State::Starting => ("sensor starting", false),
        State::Ready => ("sensor ready", false),
        State::Degraded => ("sensor does not see everything", true),
        State::Stopping => ("sensor stopping", true),
    };
    is_warning |= !report.detail.is_empty();
    let mut words = words.to_owned();
    if !report.detail.is_empty() {
        words.push_str(": ");
        words.push_str(&report.detail);
    }
    if !sensor.version.is_empty() {
        let version = sensor.version.get(..sensor.version.floor_char_boundary(64)).unwrap_or_default();
        words.push_str(&format!(" (version {})", sanitize(version)));
    }
    (is_warning, words)
}
