//! What the engine gives out arrives here: each event gets its peers and its session, is judged, and goes on or waits; the
//! rest goes to the recording and to the kernel.

use super::{HELD_EVENTS, Held, Outlet, Side, judge::Later, known_live};
use crate::{
    export::{Outgoing, event},
    judging::{About, Peers},
    pipeline::Taken,
    respond::peers_of,
    status::blind_spot,
};
use mcp_sensor_proto::v1;
use sensor_core::{
    event::{Body, Event, SessionId, SessionState, Sink},
    input::{Between, Framed, StreamKey, Time, Verdict},
};
use std::sync::Arc;

impl Sink for Outlet {
    fn event(&mut self, event: &Event<'_>) {
        if let Some(responder) = &mut self.responder {
            responder.seen(event);
        }
        let session = event.session;
        let judged = self.judging.as_ref().is_some_and(|judging| judging.wants(&event.body));
        let mut shown = true;
        if let Body::Message(message) = &event.body
            && !self.wants_messages
        {
            self.summary.count_message(message.size);
            shown = false;
            if self.recorder.is_none() && !judged {
                return;
            }
        }
        let of = self.session(session);
        let peers = Peers {
            client: self.peer(Side::Client, event.client, &session.client_info),
            server: self.peer(Side::Server, event.server, &session.server_info),
            processes: [event.client, event.server],
        };
        let built = (shown || self.recorder.is_some()).then(|| Outgoing {
            frame: event::frame(event, &self.node, self.boot_time),
            session: Some(Arc::clone(&of)),
            client: peers.client.clone(),
            server: peers.server.clone(),
        });
        if let (Body::Gap(gap), Some(built)) = (&event.body, &built)
            && let Some(spot) = blind_spot(gap, built)
        {
            self.blind_spots.add(spot);
        }
        if let (Some(recorder), Some(built)) = (&mut self.recorder, &built) {
            recorder.event(session.id, built, matches!(event.body, Body::Session(SessionState::Closed)), &mut self.known);
        }
        if !shown && !judged {
            return;
        }
        let processes = peers.processes;
        // Whose bytes did not look like JSON at first was not looked up yet.
        for process in processes.into_iter().flatten() {
            self.observe(process);
        }
        // In a replay, what the recording tells of them comes right behind.
        let pending = !known_live(&self.known) || processes.iter().flatten().any(|peer| self.known.is_pending(*peer));
        let waits = (pending && self.held_events < HELD_EVENTS) || self.held.contains_key(&session.id);
        let (client, server) = peers_of(event);
        let aim = [client, server];
        let (mut found, mut later) = (Vec::new(), None);
        if let Some(judging) = self.judging.as_ref().filter(|_| judged && waits && !self.may_judge(processes)) {
            let kept = judging.keep(event, &of.get().id, &self.node);
            later = kept.map(|kept| Box::new(Later { id: event.id, kept, session: session.clone(), aim }));
        } else if let Some(judging) = self.judging.as_mut().filter(|_| judged) {
            let time = Some(event::timestamp(event.time, self.boot_time));
            judging.judge(event, &About { id: event.id, time, node: &self.node, session: &of, peers: &peers }, &mut found);
        }
        if waits && (shown || later.is_some()) {
            let event = built.unwrap_or_else(|| Outgoing {
                frame: v1::Event { time: Some(event::timestamp(event.time, self.boot_time)), ..v1::Event::default() },
                session: Some(of),
                client: peers.client,
                server: peers.server,
            });
            self.hold(session.id, Held { event, peers: processes, since: self.now, shown, later });
        } else if let Some(built) = built.filter(|_| shown) {
            if let Some(recorder) = &mut self.recorder {
                recorder.names(session.id, processes, &mut self.known);
            }
            self.give(built);
        }
        self.report(found, session, processes, aim);
    }

    fn bound(&mut self, stream: StreamKey, session: SessionId) {
        if let Some(recorder) = &mut self.recorder {
            recorder.bound(stream, session);
        }
    }

    fn framed(&mut self, framed: &Framed<'_>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.framed(framed, &mut self.known);
        }
    }

    fn between(&mut self, stream: StreamKey, epoch: Time, time: Time, what: Between) {
        if let Some(recorder) = &mut self.recorder {
            recorder.between(stream, epoch, time, what, &mut self.known);
        }
    }

    fn sweeps(&mut self, now: Time) {
        if let Some(recorder) = &mut self.recorder {
            recorder.sweeps(now);
        }
    }

    fn swept(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.swept(&mut self.known);
        }
    }

    fn verdict(&mut self, stream: StreamKey, _epoch: Time, verdict: Verdict) {
        if let Some(recorder) = &mut self.recorder {
            recorder.verdict(stream, verdict);
        }
        if let Some(verdicts) = &mut self.verdicts {
            verdicts(stream, Taken::Verdict(verdict));
        }
    }
}
