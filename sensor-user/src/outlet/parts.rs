//! The parts that many events share: peers and sessions, made anew only when there is something new to say of them.

use super::{Made, Outlet, PEERS, Side};
use crate::{
    export::{Shared, event},
    identity::Known,
};
use mcp_sensor_proto::v1;
use sensor_core::{
    event::{Implementation, Session},
    input::ProcessId,
};
use std::sync::Arc;

impl Outlet {
    /// Brings a peer that was made before all was known of its process up to date.
    pub(super) fn complete(&mut self, peer: &mut Arc<Shared<v1::Peer>>, process: ProcessId) {
        let (resolved, told) = (self.known.peer(process), peer.get());
        let made_of = |side| self.peers.get(&(process, side)).filter(|made| Arc::ptr_eq(&made.shared, peer)).map(|made| &made.of.0);
        if [Side::Client, Side::Server].into_iter().filter_map(made_of).any(|of| Arc::ptr_eq(of, &resolved)) {
            return;
        }
        let complete = if matches!(self.known, Known::Recorded(_)) {
            v1::Peer { name: told.name.clone(), version: told.version.clone(), ..(*resolved).clone() }
        } else {
            // It may have begun another program meanwhile: only what takes time to find out is filled in.
            let v1::Peer { exe_sha256, command_line, ancestors, .. } = (*resolved).clone();
            v1::Peer { exe_sha256, command_line, ancestors, ..told.clone() }
        };
        if complete != *told {
            *peer = Shared::new(complete);
        }
    }

    /// The peer behind a process, made anew only when identity or the session has learned something.
    pub(super) fn peer(&mut self, side: Side, process: Option<ProcessId>, said: &Implementation) -> Option<Arc<Shared<v1::Peer>>> {
        let Some(process) = process else { return event::peer(None, said).map(Shared::new) };
        let known = self.known.peer(process);
        if let Some(made) = self.peers.get(&(process, side))
            && Arc::ptr_eq(&made.of.0, &known)
            && made.of.1 == *said
        {
            return Some(Arc::clone(&made.shared));
        }
        if self.peers.len() >= PEERS {
            self.peers.clear();
        }
        let shared = Shared::new(event::peer(Some(&known), said)?);
        self.peers.insert((process, side), Made { of: (known, said.clone()), shared: Arc::clone(&shared) });
        Some(shared)
    }

    /// The proto's session, made anew only when it has changed.
    pub(super) fn session(&mut self, session: &Session) -> Arc<Shared<v1::Session>> {
        if let Some(made) = self.sessions.get(&session.id)
            && made.of == *session
        {
            return Arc::clone(&made.shared);
        }
        if self.sessions.len() >= PEERS {
            self.sessions.clear();
        }
        let shared = Shared::new(event::session(session));
        self.sessions.insert(session.id, Made { of: session.clone(), shared: Arc::clone(&shared) });
        shared
    }
}
