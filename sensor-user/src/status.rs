//! What the sensor says of itself, in the same stream of events: that it is ready, what it lost, what it cannot see.
//!
//! Invariant: losses only grow, and every place where something can be lost is read here.

use crate::{
    bpf::{Counters, Programs},
    capture::Source,
    export::Outgoing,
    export::event::timestamp,
    outlet::Outlet,
};
use mcp_sensor_proto::v1::{
    self,
    blind_spot::Reason as BlindReason,
    event::Severity,
    loss::{Count, Place, Reason},
    message::Direction,
    sensor::State,
};
use sensor_core::{
    engine::Engine,
    input::{LossReasons, Time},
};
use sensor_ebpf::Counter;

/// Time between two reports of losses at least.
const REPORT: Time = 1_000_000_000;
/// Time between two events of the sensor at most: who listens knows by them that it lives.
const ALIVE: Time = 60_000_000_000;
/// Blind spots that are kept apart; the bytes of more are added to the last one.
const BLIND_SPOTS: usize = 64;

/// The kernel side's own counts.
pub struct KernelSide {
    /// The programs: what the kernel skipped.
    pub programs: Programs,
    /// The counters.
    pub counters: Counters,
}

/// What could not be read: one entry a process and reason, with the sum of its bytes.
#[derive(Debug, Default)]
pub struct BlindSpots {
    spots: Vec<v1::BlindSpot>,
    changed: bool,
}

impl BlindSpots {
    /// Adds one, to what is known of the same process and reason where there is such.
    pub fn add(&mut self, spot: v1::BlindSpot) {
        self.changed = true;
        let pid = |spot: &v1::BlindSpot| spot.process.as_ref().map(|peer| peer.pid);
        let same = |known: &&mut v1::BlindSpot| known.reason == spot.reason && pid(known) == pid(&spot);
        if let Some(known) = self.spots.iter_mut().find(same) {
            known.bytes = known.bytes.saturating_add(spot.bytes);
        } else if self.spots.len() < BLIND_SPOTS {
            self.spots.push(spot);
        } else if let Some(last) = self.spots.last_mut() {
            last.bytes = last.bytes.saturating_add(spot.bytes);
        }
    }

    /// True where something was added since the last call.
    fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

/// What the sensor said of itself last: what is worse since then asks for attention, what is as it was does not.
#[derive(Debug, Default)]
pub struct Told {
    loss: v1::Loss,
    blind_spots: Vec<v1::BlindSpot>,
    detail: String,
}

impl Told {
    /// How much attention an event of the sensor asks for, after those before it.
    pub fn severity(&mut self, sensor: &v1::Sensor) -> Severity {
        let v1::Sensor { loss, blind_spots, detail, .. } = sensor;
        let loss = loss.clone().unwrap_or_default();
        let worse = loss != self.loss || *blind_spots != self.blind_spots || (*detail != self.detail && !detail.is_empty());
        *self = Self { loss, blind_spots: blind_spots.clone(), detail: detail.clone() };
        if worse { Severity::Medium } else { Severity::Info }
    }
}

/// Keeps what the sensor says of itself.
pub struct Status {
    started: Time,
    boot_time: u64,
    kernel: Option<KernelSide>,
    detail: String,
    note: Option<String>,
    news: bool,
    /// What was done at somebody's order and not told yet.
    audits: Vec<v1::Audit>,
    told: v1::Loss,
    told_at: Time,
    alive_at: Time,
    /// Records that the ring had no room for, as counted last.
    records_lost: u64,
    news_of_lost_records: bool,
}

impl Status {
    /// `kernel` is absent where the source is a recording; `detail` says what this kernel lacks, in words.
    #[must_use]
    pub fn new(started: Time, boot_time: u64, kernel: Option<KernelSide>, detail: String) -> Self {
        let (told, told_at, alive_at) = (v1::Loss::default(), 0, started);
        let (records_lost, news_of_lost_records) = (0, false);
        Self {
            started,
            boot_time,
            kernel,
            detail,
            note: None,
            news: false,
            audits: Vec::new(),
            told,
            told_at,
            alive_at,
            records_lost,
            news_of_lost_records,
        }
    }

    /// When the sensor started.
    #[must_use]
    pub const fn started(&self) -> Time {
        self.started
    }

    /// The first event: from here on everything is seen.
    #[must_use]
    pub fn ready(&mut self) -> v1::Sensor {
        self.sensor(State::Ready, v1::Loss::default(), Vec::new())
    }

    /// Something that an operator should know of, until it is taken back with `None`. Told with the next event.
    pub fn note(&mut self, note: Option<String>) {
        self.news |= note != self.note;
        self.note = note;
    }

    /// An event where losses or blind spots have changed, at most one a second, and one a minute in any case.
    pub fn changes(&mut self, now: Time, engine: &Engine, source: &impl Source, outlet: &mut Outlet) -> Option<v1::Sensor> {
        if now.saturating_sub(self.told_at) < REPORT {
            return None;
        }
        self.told_at = now;
        let news = outlet.blind_spots().take_changed() | std::mem::take(&mut self.news);
        let loss = self.loss(engine, source, outlet);
        if loss == self.told && !news && now.saturating_sub(self.alive_at) < ALIVE {
            return None;
        }
        self.alive_at = now;
        self.told.clone_from(&loss);
        let spots = outlet.blind_spots().spots.clone();
        let whole = loss.counts.is_empty() && spots.is_empty();
        Some(self.sensor(if whole { State::Ready } else { State::Degraded }, loss, spots))
    }

    /// True where the kernel had to drop records since the last call.
    pub fn take_records_lost(&mut self) -> bool {
        std::mem::take(&mut self.news_of_lost_records)
    }

    /// The last event, with the sums.
    pub fn stopping(&mut self, engine: &Engine, source: &impl Source, outlet: &mut Outlet) -> v1::Sensor {
        let loss = self.loss(engine, source, outlet);
        self.sensor(State::Stopping, loss, outlet.blind_spots().spots.clone())
    }

    /// Something was done at somebody's order. Told with the next event.
    pub fn audit(&mut self, audit: Option<v1::Audit>, now: Time) {
        self.news |= audit.is_some();
        let time = Some(timestamp(now, self.boot_time));
        self.audits.extend(audit.map(|audit| v1::Audit { time, ..audit }));
    }

    fn sensor(&mut self, state: State, loss: v1::Loss, blind_spots: Vec<v1::BlindSpot>) -> v1::Sensor {
        v1::Sensor {
            state: state.into(),
            detail: self.told_detail(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: Some(timestamp(self.started, self.boot_time)),
            loss: Some(loss),
            blind_spots,
            audits: std::mem::take(&mut self.audits),
        }
    }

    fn told_detail(&self) -> String {
        let parts = [Some(self.detail.as_str()), self.note.as_deref()];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }

    fn loss(&mut self, engine: &Engine, source: &impl Source, outlet: &mut Outlet) -> v1::Loss {
        let mut counts = Vec::new();
        if let Some(KernelSide { programs, counters }) = &self.kernel {
            match counters.read() {
                Ok(kernel) => {
                    let get = |counter| kernel.get(counter);
                    let records = get(Counter::RingFullRecords);
                    self.news_of_lost_records |= records > self.records_lost;
                    self.records_lost = records;
                    push(&mut counts, Place::Kernel, Reason::RingFull, records, get(Counter::RingFullBytes));
                    push(&mut counts, Place::Kernel, Reason::ReadFault, 0, get(Counter::ReadFaultBytes));
                    push(&mut counts, Place::Kernel, Reason::OverLimit, 0, get(Counter::OverLimitBytes));
                    push(&mut counts, Place::Kernel, Reason::NoScratch, 0, get(Counter::NoScratchBytes));
                    push(&mut counts, Place::Kernel, Reason::MapFull, get(Counter::MapFull), 0);
                }
                // Unread counters must not read as "nothing was lost".
                Err(_) => push(&mut counts, Place::Kernel, Reason::Unknown, 1, 0),
            }
            let skipped = programs.verified().iter().map(|program| program.recursion_misses).sum();
            push(&mut counts, Place::Kernel, Reason::ProgramSkipped, skipped, 0);
        }
        let counters = engine.counters();
        push(&mut counts, Place::Pipeline, Reason::Memory, counters.given_up_for_memory + counters.calls_given_up, 0);
        push(&mut counts, Place::Pipeline, Reason::Unknown, source.undecodable(), 0);
        counts.extend(outlet.losses());
        v1::Loss { counts }
    }
}

fn push(counts: &mut Vec<Count>, place: Place, reason: Reason, count: u64, bytes: u64) {
    if count != 0 || bytes != 0 {
        counts.push(Count { place: place.into(), reason: reason.into(), count, bytes });
    }
}

/// The blind spot that a gap shows: bytes moved by a way that neither end shows. `None` for gaps of other causes.
#[must_use]
pub fn blind_spot(gap: &sensor_core::event::Gap, event: &Outgoing) -> Option<v1::BlindSpot> {
    let reason = if gap.reasons.0 & LossReasons::NO_BUFFER.0 != 0 {
        BlindReason::NoBuffer
    } else if gap.reasons.0 & LossReasons::UNKNOWN.0 != 0 {
        BlindReason::CountsDisagree
    } else {
        return None;
    };
    let writer = match &event.frame.body {
        Some(v1::event::Body::Gap(told)) if told.direction() == Direction::ServerToClient => &event.server,
        _ => &event.client,
    };
    Some(v1::BlindSpot {
        process: writer.as_ref().map(|writer| writer.get().clone()),
        reason: reason.into(),
        detail: "bytes of a session moved by a way that neither end shows".to_owned(),
        bytes: gap.bytes.unwrap_or(0),
        since: event.frame.time,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_worse_than_before_asks_for_attention() {
        let (mut told, mut sensor) = (Told::default(), v1::Sensor { loss: Some(v1::Loss::default()), ..v1::Sensor::default() });
        assert_eq!(told.severity(&sensor), Severity::Info);
        let counts = vec![Count { place: Place::Export.into(), reason: Reason::QueueFull.into(), count: 1, bytes: 9 }];
        sensor.loss = Some(v1::Loss { counts });
        assert_eq!(told.severity(&sensor), Severity::Medium);
        assert_eq!(told.severity(&sensor), Severity::Info);
        sensor.blind_spots.push(v1::BlindSpot::default());
        assert_eq!(told.severity(&sensor), Severity::Medium);
        sensor.detail = "the configuration cannot be used".to_owned();
        assert_eq!(told.severity(&sensor), Severity::Medium);
        assert_eq!(told.severity(&sensor), Severity::Info);
        sensor.detail.clear();
        assert_eq!(told.severity(&sensor), Severity::Info);
    }
}
