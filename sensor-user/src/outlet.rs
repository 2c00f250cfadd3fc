//! What the engine gives out, on its way to the exporter: the peers are named here, and verdicts go to the kernel.

mod actions;
mod judge;
mod parts;
mod taking;

use crate::{
    capture::Record,
    export::{Exporter, Outgoing, Shared, Summary, event},
    identity::Known,
    judging::{Judging, Peers},
    pipeline::{Taken, VerdictTaker},
    recording::Recorder,
    respond::Responder,
    status::{BlindSpots, Told},
};
use judge::Later;
use mcp_sensor_proto::v1;
use rustc_hash::FxHashMap;
use sensor_core::{
    event::{Implementation, Session, SessionId},
    input::{Chunk, ProcessId, StreamKey, Time, Touch, Verdict},
};
use std::{collections::VecDeque, io, sync::Arc};

/// How long an event waits at most for the hash of an executable that was never seen before.
pub const HOLD: Time = 3_000_000_000;
/// Events that wait at most.
const HELD_EVENTS: usize = 4096;
/// Peers that are kept ready; beyond it all are made anew. The same for sessions.
const PEERS: usize = 4 * 1024;

/// An event that waits for its peers.
struct Held {
    event: Outgoing,
    peers: [Option<ProcessId>; 2],
    since: Time,
    /// It is given out, too; otherwise it is only judged.
    shown: bool,
    /// What is still to be judged of it.
    later: Option<Box<Later>>,
}

/// A part that events share, and what it was made of.
struct Made<Of, M> {
    of: Of,
    shared: Arc<Shared<M>>,
}

/// A peer, made of what identity knows and of what it said of itself.
type MadePeer = Made<(Arc<v1::Peer>, Implementation), v1::Peer>;

/// A side of a session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Side {
    Client,
    Server,
}

const fn known_live(known: &Known) -> bool {
    matches!(known, Known::Live(_))
}

/// Takes what the engine gives out.
pub struct Outlet {
    known: Known,
    exporter: Box<dyn Exporter>,
    recorder: Option<Recorder>,
    verdicts: Option<VerdictTaker>,
    responder: Option<Responder>,
    node: String,
    boot_time: u64,
    /// The number of the last event; `None` in a replay, whose events have none.
    sequence: Option<u64>,
    /// In boxes, for an event is a large thing to move, and in a replay each waits until the next item is read.
    held: FxHashMap<SessionId, VecDeque<Box<Held>>>,
    held_events: usize,
    /// A queue for the next session that waits, with the room that the last one had.
    spare: VecDeque<Box<Held>>,
    /// Sessions whose first event waits no more; empty between two looks at them.
    ready: Vec<SessionId>,
    peers: FxHashMap<(ProcessId, Side), MadePeer>,
    sessions: FxHashMap<SessionId, Made<Session, v1::Session>>,
    /// Whether the exporter takes the events of single messages.
    wants_messages: bool,
    summary: Summary,
    failure: Option<io::Error>,
    now: Time,
    blind_spots: BlindSpots,
    told: Told,
    judging: Option<Judging>,
}

impl Outlet {
    /// An outlet to `exporter`.
    #[must_use]
    pub fn new(
        known: Known,
        exporter: Box<dyn Exporter>,
        recorder: Option<Recorder>,
        verdicts: Option<VerdictTaker>,
        responder: Option<Responder>,
        node: String,
        boot_time: u64,
    ) -> Self {
        Self {
            wants_messages: exporter.wants_messages(),
            sequence: known_live(&known).then_some(0),
            known,
            exporter,
            recorder,
            verdicts,
            responder,
            node,
            boot_time,
            held: FxHashMap::default(),
            held_events: 0,
            spare: VecDeque::new(),
            ready: Vec::new(),
            peers: FxHashMap::default(),
            sessions: FxHashMap::default(),
            summary: Summary::default(),
            failure: None,
            now: 0,
            blind_spots: BlindSpots::default(),
            told: Told::default(),
            judging: None,
        }
    }

    /// Who is behind a process.
    pub const fn known(&mut self) -> &mut Known {
        &mut self.known
    }

    /// The recording that is being made.
    pub const fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// The same, to tell it more.
    pub const fn recorder_mut(&mut self) -> Option<&mut Recorder> {
        self.recorder.as_mut()
    }

    /// Takes a record to the recording, before the engine gets it.
    pub fn record(&mut self, record: &Record<'_>) {
        if let Some(responder) = &mut self.responder {
            responder.record(record, &mut self.known);
            if matches!(record, Record::Signal(_)) {
                self.tell_actions();
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.record(record, &mut self.known);
        }
    }

    /// The engine has taken the record.
    pub fn recorded(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.settle(&mut self.known);
        }
    }

    /// The same for what was there before the first record.
    pub fn record_held(&mut self, touch: &Touch) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(&Record::Touch(*touch), &mut self.known);
        }
    }

    /// What was seen so far.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// A process wrote or read bytes. Where they may be JSON, what only the live process can tell is taken now.
    pub fn speaks(&mut self, chunk: &Chunk<'_>) {
        if matches!(chunk.bytes.first(), Some(b'{' | b'[')) {
            self.observe(chunk.process);
        }
    }

    /// A process used an end of a stream whose other end somebody of interest may use.
    pub fn listens(&mut self, touch: &Touch) {
        self.observe(touch.process);
    }

    fn observe(&mut self, process: ProcessId) {
        if let Some(identities) = self.known.identities() {
            identities.observe(process);
        }
    }

    /// The bytes that a process moved were taken at neither end, and the stream is of no session: a blind spot, MCP or
    /// not. Nobody can know.
    pub fn cannot_see(&mut self, touch: &Touch) {
        let spot = v1::BlindSpot {
            process: Some((*self.known.peer(touch.process)).clone()),
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
            id: format!("{wall:016x}{:016x}", self.sequence.unwrap_or(0)),
            time: Some(event::timestamp(now, self.boot_time)),
            node: self.node.clone(),
            severity: self.told.severity(&sensor).into(),
            body: Some(v1::event::Body::Sensor(sensor)),
            ..v1::Event::default()
        };
        if let Some(recorder) = &mut self.recorder {
            recorder.told(&event, &mut self.known);
        }
        self.give(event.into());
        self.flush()
    }

    /// Gives out an event that the sensor told of itself when it was recorded.
    pub fn retell(&mut self, event: v1::Event) {
        if self.judging.is_some() && matches!(event.body, Some(v1::event::Body::Finding(_))) {
            return;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.told(&event, &mut self.known);
        }
        self.give(v1::Event { sequence: 0, ..event }.into());
    }

    /// Gives out the events whose peers are known by now, or that waited long enough.
    pub fn release(&mut self, now: Time) {
        self.now = now;
        if !self.held.is_empty() {
            self.release_ready(|held, known| {
                now.saturating_sub(held.since) >= HOLD || !held.peers.iter().flatten().any(|peer| known.is_pending(*peer))
            });
        }
    }

    /// Gives out the events whose peers are known by now, before an item of a recording: how long they waited is in its time.
    pub fn release_known(&mut self, time: Option<Time>) {
        self.release(self.now.max(time.unwrap_or(0)));
    }

    /// Gives out every event that waits.
    pub fn release_all(&mut self) {
        self.release_ready(|_, _| true);
    }

    fn release_ready(&mut self, is_ready: impl Fn(&Held, &Known) -> bool) {
        let mut ready = std::mem::take(&mut self.ready);
        let fronts = self.held.iter().filter_map(|(session, queue)| Some((session, queue.front()?)));
        ready.extend(fronts.filter(|(_, front)| is_ready(front, &self.known)).map(|(session, _)| *session));
        for session in ready.drain(..) {
            self.release_session(session, &is_ready);
        }
        self.ready = ready;
    }

    fn release_session(&mut self, session: SessionId, is_ready: impl Fn(&Held, &Known) -> bool) {
        let Some(mut queue) = self.held.remove(&session) else { return };
        while let Some(held) = queue.pop_front_if(|held| is_ready(held, &self.known)) {
            self.held_events -= 1;
            self.release_held(session, *held);
        }
        if queue.is_empty() {
            self.spare = queue;
        } else {
            self.held.insert(session, queue);
        }
    }

    fn release_held(&mut self, session: SessionId, held: Held) {
        let Held { mut event, peers: [client, server], shown, later, .. } = held;
        // What was still being looked up is known only now.
        for (peer, process) in [(&mut event.client, client), (&mut event.server, server)] {
            if let (Some(peer), Some(process)) = (peer, process) {
                self.complete(peer, process);
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.names(session, [client, server], &mut self.known);
        }
        let later = later.zip(event.session.clone()).map(|(later, of)| {
            let peers = Peers { client: event.client.clone(), server: event.server.clone(), processes: [client, server] };
            (later, event.frame.time, of, peers)
        });
        if shown {
            self.give(event);
        }
        if let Some((later, time, of, peers)) = later {
            self.judge_later(*later, time, &of, &peers);
        }
    }

    /// Lets an event wait behind those of its session.
    fn hold(&mut self, session: SessionId, held: Held) {
        self.held_events += 1;
        let spare = &mut self.spare;
        self.held.entry(session).or_insert_with(|| std::mem::take(spare)).push_back(Box::new(held));
        if self.held_events > HELD_EVENTS {
            self.release_session(session, |_, _| true);
        }
    }

    fn give(&mut self, mut event: Outgoing) {
        if let Some(recorder) = &mut self.recorder
            && matches!(event.frame.body, Some(v1::event::Body::Finding(_)))
        {
            recorder.judged(&event, &mut self.known);
        }
        self.summary.count(&event.frame);
        if let Some(sequence) = &mut self.sequence {
            *sequence += 1;
            event.frame.sequence = *sequence;
        }
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
        if let Some(recorder) = &mut self.recorder {
            recorder.tick(now, &mut self.known);
        }
        if let Some(responder) = &mut self.responder {
            responder.tick(now, &mut self.known);
            self.tell_actions();
        }
        let wall = u128::from(now) + u128::from(self.boot_time);
        self.exporter.tick(i64::try_from(wall).unwrap_or(i64::MAX))
    }

    /// What was lost behind this point so far.
    #[must_use]
    pub fn losses(&mut self) -> Vec<v1::loss::Count> {
        let mut losses = self.exporter.losses();
        losses.extend(self.recorder.as_ref().map(Recorder::losses).unwrap_or_default());
        losses.extend(self.judging.as_ref().and_then(Judging::loss));
        losses
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
        if let Some(recorder) = &mut self.recorder {
            self.summary.recording = recorder.finish(&mut self.known).or_else(|| recorder.take_failure());
        }
        self.flush()?;
        self.summary.duration = duration;
        self.exporter.finish(&self.summary)
    }
}
