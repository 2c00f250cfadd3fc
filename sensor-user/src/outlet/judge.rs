//! Events on their way to the judge, and what it finds on its way out.

use super::{Held, Outlet};
use crate::{
    export::Shared,
    identity::Known,
    judging::{About, Found, Judging, Loaded, Peers},
    respond::{By, Order},
};
use mcp_sensor_proto::v1::{self, action::Delivered};
use prost_types::Timestamp;
use sensor_core::{
    event::{EventId, Session},
    input::ProcessId,
    policy::Kept,
};
use std::sync::Arc;

/// An event that is judged when its peers are known.
pub struct Later {
    pub id: EventId,
    pub kept: Kept,
    pub session: Session,
    /// Whom an order would be about.
    pub aim: [Option<ProcessId>; 2],
}

impl Outlet {
    /// Judges events from now on. In a replay, findings of the recording are left out then.
    pub fn judge_by(&mut self, judging: Option<Judging>) {
        self.judging = judging;
    }

    /// Judges by another policy.
    pub fn judge_by_another(&mut self, loaded: Loaded) {
        match &mut self.judging {
            Some(judging) => judging.replace(loaded),
            None => self.judging = Some(Judging::live(loaded, self.boot_time)),
        }
    }

    /// What judges events.
    pub const fn judging(&mut self) -> Option<&mut Judging> {
        self.judging.as_mut()
    }

    /// True where rules can be asked about these processes: all that they ask for is known.
    pub(super) fn may_judge(&self, peers: [Option<ProcessId>; 2]) -> bool {
        match &self.known {
            Known::Live(live) => !peers.iter().flatten().any(|peer| live.identities.arguments_pending(*peer)),
            Known::Recorded(_) => false,
        }
    }

    /// Judges an event whose peers are known by now, and gives out what is found.
    pub(super) fn judge_later(&mut self, later: Later, time: Option<Timestamp>, of: &Arc<Shared<v1::Session>>, peers: &Peers) {
        let Some(judging) = &mut self.judging else { return };
        let Later { id, kept, session, aim } = later;
        let mut found = Vec::new();
        judging.judge_kept(&kept, &About { id, time, node: &self.node, session: of, peers }, &mut found);
        for found in found {
            self.give(found.event.clone());
            self.obey(&found, &session, aim);
        }
    }

    /// Gives out what was found in an event, behind it, and does what is to be done about it.
    pub(super) fn report(&mut self, found: Vec<Found>, session: &Session, peers: [Option<ProcessId>; 2], aim: [Option<ProcessId>; 2]) {
        for found in found {
            if self.held.contains_key(&session.id) {
                self.hold(session.id, Held { event: found.event.clone(), peers, since: self.now, shown: true, later: None });
            } else {
                self.give(found.event.clone());
            }
            self.obey(&found, session, aim);
        }
    }

    /// Does what a rule asks for.
    pub(super) fn obey(&mut self, found: &Found, session: &Session, [client, server]: [Option<ProcessId>; 2]) {
        let (Some(wanted), true) = (&found.wanted, self.responder.is_some()) else { return };
        let order = Order {
            kind: wanted.kind,
            target: wanted.target,
            tree: wanted.tree,
            by: By::Rule { rule: &wanted.rule, finding_id: &found.event.frame.id },
            session,
            client,
            server,
            delivered: if wanted.answered { Delivered::Yes } else { Delivered::Unknown },
            decided: wanted.decided,
        };
        self.act(&order);
    }
}
