//! What the engine gives out, on its way to the exporter: the peers are named here, and verdicts go to the kernel.

use crate::{
    export::{Exporter, Summary, event},
    identity::Identities,
    pipeline::{Taken, VerdictTaker},
    status::{BlindSpots, Told, blind_spot},
};
use mcp_sensor_proto::v1;
use rustc_hash::FxHashMap;
use sensor_core::{
    event::{Body, Event, SessionId, Sink},
    input::{Chunk, ProcessId, StreamKey, Time, Touch, Verdict},
};
use std::{collections::VecDeque, io, sync::Arc};

/// How long an event waits at most for the hash of an executable that was never seen before.
pub const HOLD: Time = 3_000_000_000;
/// Events that wait at most.
const HELD_EVENTS: usize = 4096;
/// Peers that are kept ready; beyond it all are made anew.
const PEERS: usize = 16 * 1024;

/// An event that waits for its peers.
struct Held {
    event: v1::Event,
    peers: [Option<ProcessId>; 2],
    since: Time,
}

/// Takes what the engine gives out.
pub struct Outlet {
    identities: Identities,
    exporter: Box<dyn Exporter>,
    verdicts: Option<VerdictTaker>,
    node: String,
    boot_time: u64,
    sequence: u64,
    held: FxHashMap<SessionId, VecDeque<Held>>,
    held_events: usize,
    peers: FxHashMap<ProcessId, (Arc<crate::identity::Process>, v1::Peer)>,
    summary: Summary,
    failure: Option<io::Error>,
    now: Time,
    blind_spots: BlindSpots,
    told: Told,
}

impl Outlet {
    /// An outlet to `exporter`.
    #[must_use]
    pub fn new(identities: Identities, exporter: Box<dyn Exporter>, verdicts: Option<VerdictTaker>, node: String, boot_time: u64) -> Self {
        Self {
            identities,
            exporter,
            verdicts,
            node,
            boot_time,
            sequence: 0,
            held: FxHashMap::default(),
            held_events: 0,
            peers: FxHashMap::default(),
            summary: Summary::default(),
            failure: None,
            now: 0,
            blind_spots: BlindSpots::default(),
            told: Told::default(),
        }
    }

    /// The table of processes.
    pub const fn identities(&mut self) -> &mut Identities {
        &mut self.identities
    }

    /// What was seen so far.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// A process wrote or read bytes. Where they may be JSON, what only the live process can tell is taken now.
    pub fn speaks(&mut self, chunk: &Chunk<'_>) {
        if matches!(chunk.bytes.first(), Some(b'{' | b'[')) {
            self.identities.observe(chunk.process);
        }
    }

    /// A process used an end of a stream whose other end somebody of interest may use.
    pub fn listens(&mut self, touch: &Touch) {
        self.identities.observe(touch.process);
    }

    /// The bytes that a process moved were taken at neither end, and the stream is of no session: a blind spot, MCP or
    /// not. Nobody can know.
    pub fn cannot_see(&mut self, touch: &Touch) {
        let spot = v1::BlindSpot {
            process: Some(self.peer(touch.process).clone()),
            reason: v1::blind_spot::Reason::NoBuffer.into(),
            detail: "bytes moved by calls that show no buffer at either end (splice, registered buffers)".to_owned(),
            bytes: touch.moved,
            since: Some(event::timestamp(touch.time, self.boot_time)),
        };
        self.blind_spots.add(spot);
    }

    /// Tells the kernel to leave a stream alone.
    pub fn exclude(&mut self, stream: StreamKey) {
        if let Some(verdicts) = &mut self.verdicts {
            verdicts(stream, Taken::Exclude);
        }
    }

    /// Tells the kernel to look at an excluded stream again.
    pub fn readmit(&mut self, stream: StreamKey) {
        if let Some(verdicts) = &mut self.verdicts {
            verdicts(stream, Taken::Verdict(Verdict::Ignore));
        }
    }

    /// Gives out an event of the sensor itself.
    ///
    /// # Errors
    /// Where the exporter fails.
    pub fn tell(&mut self, sensor: v1::Sensor, now: Time) -> io::Result<()> {
        let wall = u128::from(now) + u128::from(self.boot_time);
        let event = v1::Event {
            id: format!("{wall:016x}{:016x}", self.sequence),
            time: Some(event::timestamp(now, self.boot_time)),
            node: self.node.clone(),
            severity: self.told.severity(&sensor).into(),
            body: Some(v1::event::Body::Sensor(sensor)),
            ..v1::Event::default()
        };
        self.give(event);
        self.flush()
    }

    /// Gives out the events whose peers are known by now, or that waited long enough.
    pub fn release(&mut self, now: Time) {
        self.now = now;
        if self.held.is_empty() {
            return;
        }
        let sessions: Vec<_> = self.held.keys().copied().collect();
        for session in sessions {
            self.release_session(session, |held, identities| {
                now.saturating_sub(held.since) >= HOLD || !held.peers.iter().flatten().any(|peer| identities.pending(*peer))
            });
        }
    }

    /// Gives out every event that waits.
    pub fn release_all(&mut self) {
        let sessions: Vec<_> = self.held.keys().copied().collect();
        for session in sessions {
            self.release_session(session, |_, _| true);
        }
    }

    fn release_session(&mut self, session: SessionId, ready: impl Fn(&Held, &Identities) -> bool) {
        let Some(mut queue) = self.held.remove(&session) else { return };
        while let Some(held) = queue.pop_front() {
            if !ready(&held, &self.identities) {
                queue.push_front(held);
                self.held.insert(session, queue);
                return;
            }
            self.held_events -= 1;
            let Held { mut event, peers: [client, server], .. } = held;
            // What was still being looked up is known only now.
            for (peer, process) in [(&mut event.client, client), (&mut event.server, server)] {
                if let (Some(peer), Some(process)) = (peer, process) {
                    let known = self.peer(process);
                    peer.exe_sha256.clone_from(&known.exe_sha256);
                    peer.command_line.clone_from(&known.command_line);
                    peer.ancestors.clone_from(&known.ancestors);
                }
            }
            self.give(event);
        }
    }

    /// The peer behind a process, made anew only when identity has learned something.
    fn peer(&mut self, process: ProcessId) -> &v1::Peer {
        let known = self.identities.get(process);
        if self.peers.len() >= PEERS {
            self.peers.clear();
        }
        let boot_time = self.boot_time;
        let entry = self.peers.entry(process).or_insert_with(|| (Arc::clone(&known), event::resolved(&known, boot_time)));
        if !Arc::ptr_eq(&entry.0, &known) {
            *entry = (Arc::clone(&known), event::resolved(&known, boot_time));
        }
        &entry.1
    }

    fn give(&mut self, mut event: v1::Event) {
        self.summary.count(&event);
        if !self.exporter.wants(&event) {
            return;
        }
        self.sequence += 1;
        event.sequence = self.sequence;
        if self.failure.is_none()
            && let Err(error) = self.exporter.event(&event)
        {
            self.failure = Some(error);
        }
    }

    /// Brings what was given so far to its reader.
    ///
    /// # Errors
    /// Where the exporter has failed, now or before.
    pub fn flush(&mut self) -> io::Result<()> {
        match self.failure.take() {
            Some(error) => Err(error),
            None => self.exporter.flush(),
        }
    }

    /// Periodic work of the exporter.
    ///
    /// # Errors
    /// Where the exporter fails.
    pub fn tick(&mut self, now: Time) -> io::Result<()> {
        let wall = u128::from(now) + u128::from(self.boot_time);
        self.exporter.tick(i64::try_from(wall).unwrap_or(i64::MAX))
    }

    /// What was lost behind this point so far.
    #[must_use]
    pub fn losses(&self) -> Vec<v1::loss::Count> {
        self.exporter.losses()
    }

    /// What could not be read so far.
    pub const fn blind_spots(&mut self) -> &mut BlindSpots {
        &mut self.blind_spots
    }

    /// The end.
    ///
    /// # Errors
    /// Where the exporter fails.
    pub fn finish(&mut self, duration: Time) -> io::Result<()> {
        self.flush()?;
        self.summary.duration = duration;
        self.exporter.finish(&self.summary)
    }
}

impl Sink for Outlet {
    fn event(&mut self, event: &Event<'_>) {
        let client = event.client.map(|process| self.peer(process).clone());
        let server = event.server.map(|process| self.peer(process).clone());
        let built = event::build(event, client.as_ref(), server.as_ref(), &self.node, 0, self.boot_time);
        if let Body::Gap(gap) = &event.body
            && let Some(spot) = blind_spot(gap, &built)
        {
            self.blind_spots.add(spot);
        }
        let session = event.session.id;
        let peers = [event.client, event.server];
        let pending = peers.iter().flatten().any(|peer| self.identities.pending(*peer));
        if (pending && self.held_events < HELD_EVENTS) || self.held.contains_key(&session) {
            self.held_events += 1;
            let since = self.now;
            self.held.entry(session).or_default().push_back(Held { event: built, peers, since });
            if self.held_events > HELD_EVENTS {
                self.release_session(session, |_, _| true);
            }
            return;
        }
        self.give(built);
    }

    fn verdict(&mut self, stream: StreamKey, _epoch: Time, verdict: Verdict) {
        if let Some(verdicts) = &mut self.verdicts {
            verdicts(stream, Taken::Verdict(verdict));
        }
    }
}
