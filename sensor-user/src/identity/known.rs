//! Who is behind a process, as events tell it: looked up live, or as a recording tells it.

use super::{Identities, Process};
use mcp_sensor_proto::v1;
use prost_types::Timestamp;
use rustc_hash::FxHashMap;
use sensor_core::input::{ProcessId, Time};
use std::collections::VecDeque;
use std::sync::Arc;

/// Processes that are kept ready; beyond it live ones are made anew, and of a recording's the first are forgotten.
const PROCESSES: usize = 32 * 1024;

/// See the module.
pub enum Known {
    /// Looked up on this host.
    Live(Box<Live>),
    /// As a recording tells it.
    Recorded(Recorded),
}

/// See [`Known::Live`].
pub struct Live {
    /// The table of processes.
    pub identities: Identities,
    boot_time: u64,
    peers: FxHashMap<ProcessId, (Arc<Process>, Arc<v1::Peer>)>,
}

/// See [`Known::Recorded`].
#[derive(Default)]
pub struct Recorded {
    boot_time: u64,
    /// What was told last, and whether more will be told: the process runs another program by now.
    peers: FxHashMap<ProcessId, (Arc<v1::Peer>, bool)>,
    ages: VecDeque<ProcessId>,
    /// Of whom nothing was told yet: no more than their names.
    untold: FxHashMap<ProcessId, Arc<v1::Peer>>,
}

impl Known {
    /// Looks processes up in the table. `boot_time` is when the host booted, in nanoseconds since 1970.
    #[must_use]
    pub fn live(identities: Identities, boot_time: u64) -> Self {
        Self::Live(Box::new(Live { identities, boot_time, peers: FxHashMap::default() }))
    }

    /// Knows what a recording will tell.
    #[must_use]
    pub fn recorded(boot_time: u64) -> Self {
        Self::Recorded(Recorded { boot_time, ..Recorded::default() })
    }

    /// The process as a peer, but for what MCP says of it; another one when more is known.
    pub fn peer(&mut self, process: ProcessId) -> Arc<v1::Peer> {
        match self {
            Self::Live(live) => live.peer(process),
            Self::Recorded(recorded) => recorded.peer(process),
        }
    }

    /// True while more will be known of the process in a moment.
    #[must_use]
    pub fn is_pending(&self, process: ProcessId) -> bool {
        match self {
            Self::Live(live) => live.identities.pending(process),
            Self::Recorded(recorded) => recorded.peers.get(&process).is_none_or(|(_, stale)| *stale),
        }
    }

    /// The table of processes of this host, where there is one.
    pub const fn identities(&mut self) -> Option<&mut Identities> {
        match self {
            Self::Live(live) => Some(&mut live.identities),
            Self::Recorded(_) => None,
        }
    }
}

impl Live {
    fn peer(&mut self, process: ProcessId) -> Arc<v1::Peer> {
        let known = self.identities.get(process);
        if let Some((of, peer)) = self.peers.get(&process)
            && Arc::ptr_eq(of, &known)
        {
            return Arc::clone(peer);
        }
        if self.peers.len() >= PROCESSES {
            self.peers.clear();
        }
        let peer = Arc::new(known.to_peer(i64::try_from(self.boot_time).unwrap_or(i64::MAX)));
        self.peers.insert(process, (known, Arc::clone(&peer)));
        peer
    }
}

impl Recorded {
    /// Takes what the recording tells of a process; nothing where it says that more is to come.
    pub fn learn(&mut self, process: ProcessId, peer: v1::Peer) {
        if peer == v1::Peer::default() {
            self.exec(process);
            return;
        }
        self.untold.remove(&process);
        if self.peers.insert(process, (Arc::new(peer), false)).is_none() {
            self.ages.push_back(process);
            if self.ages.len() > PROCESSES
                && let Some(oldest) = self.ages.pop_front()
            {
                self.peers.remove(&oldest);
            }
        }
    }

    /// The recording is to tell more: the process runs another program, say.
    pub fn exec(&mut self, process: ProcessId) {
        if let Some((_, stale)) = self.peers.get_mut(&process) {
            *stale = true;
        }
    }

    fn peer(&mut self, process: ProcessId) -> Arc<v1::Peer> {
        if let Some((peer, _)) = self.peers.get(&process) {
            return Arc::clone(peer);
        }
        if self.untold.len() >= PROCESSES {
            self.untold.clear();
        }
        let start_time = self.timestamp(process.start_time);
        let made = || Arc::new(v1::Peer { pid: process.pid, start_time: Some(start_time), ..v1::Peer::default() });
        Arc::clone(self.untold.entry(process).or_insert_with(made))
    }

    fn timestamp(&self, time: Time) -> Timestamp {
        crate::export::event::timestamp(time, self.boot_time)
    }
}
