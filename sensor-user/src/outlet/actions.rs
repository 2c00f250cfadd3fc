//! Orders on their way to the responder, and what came of them on its way out.

use super::{Held, Outlet, Side};
use crate::{
    export::{Outgoing, event},
    respond::{ByHand, Done, Order, Responder},
};

impl Outlet {
    /// Stops and kills.
    pub const fn responder(&mut self) -> Option<&mut Responder> {
        self.responder.as_mut()
    }

    /// Does what an order asks for, and tells of it.
    pub fn act(&mut self, order: &Order<'_>) {
        if let Some(responder) = &mut self.responder {
            responder.act(order, &mut self.known);
        }
        self.tell_actions();
    }

    /// Does what somebody orders by hand, answers, and tells of it.
    pub fn by_hand(&mut self, order: ByHand) {
        if let Some(responder) = &mut self.responder {
            responder.by_hand(order, &mut self.known);
        }
        self.tell_actions();
    }

    /// Undoes what is not to outlast the sensor.
    pub fn end_actions(&mut self) {
        if let Some(responder) = &mut self.responder {
            responder.finish(&mut self.known);
        }
        self.tell_actions();
    }

    pub(super) fn tell_actions(&mut self) {
        let done = self.responder.as_mut().map(Responder::take_done).unwrap_or_default();
        for Done { action, session, client, server, reply } in done {
            let (client_info, server_info) =
                session.as_ref().map_or_else(Default::default, |session| (session.client_info.clone(), session.server_info.clone()));
            let built = Outgoing {
                frame: event::action_frame(action, &self.node),
                session: session.as_ref().map(|session| self.session(session)),
                client: client.and_then(|client| self.peer(Side::Client, Some(client), &client_info)),
                server: server.and_then(|server| self.peer(Side::Server, Some(server), &server_info)),
            };
            let whole = built.to_event();
            if let Some(responder) = &mut self.responder {
                responder.remember(&whole);
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.told(&whole, &mut self.known);
            }
            if let Some(reply) = reply {
                // Whoever asked may have gone away.
                let _ = reply.send(Ok(vec![whole]));
            }
            match session.map(|session| session.id).filter(|session| self.held.contains_key(session)) {
                // It comes behind what led to it.
                Some(session) => {
                    self.held_events += 1;
                    let held = Held { event: built, peers: [client, server], since: self.now, shown: true, later: None };
                    self.held.entry(session).or_default().push_back(Box::new(held));
                }
                None => self.give(built),
            }
        }
    }
}
