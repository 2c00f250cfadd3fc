//! Who speaks in which session, as far as an action needs it: which process is the right one.
//!
//! `CASES.md` beside this file is the table of cases that this decides. Bias: where it is not certain, nothing is done.

use super::Refusal;
use mcp_sensor_proto::v1::action::Target;
use rustc_hash::FxHashMap;
use sensor_core::{
    event::{Body, CallState, Event, MessageDirection, Session, SessionId, SessionState, Transport},
    input::{ProcessId, Time},
};

/// Sessions that are remembered; beyond it the ones that were quiet longest are forgotten.
const SESSIONS: usize = 16 * 1024;
/// Processes of one side that are remembered, the last ones.
const PEERS: usize = 32;
/// Relays behind one another at most.
const CHAIN: usize = 16;

/// A session, as far as actions need it.
#[derive(Clone, Debug)]
struct Spoken {
    info: Session,
    /// Whoever was seen on each side.
    clients: Vec<ProcessId>,
    servers: Vec<ProcessId>,
    /// Of some message it did not show who read it.
    in_doubt: bool,
    closed: bool,
    /// It is among those of the session that it relays.
    linked: bool,
    last: Time,
}

/// A process that speaks.
#[derive(Clone, Copy, Debug, Default)]
struct Speaker {
    /// Open sessions that it was seen in.
    sessions: u32,
    /// It began another program since it spoke last.
    changed: bool,
}

/// The sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    sessions: FxHashMap<SessionId, Spoken>,
    /// The sessions whose bytes are another one's, by that one; of open ones.
    relayed: FxHashMap<SessionId, Vec<SessionId>>,
    speakers: FxHashMap<ProcessId, Speaker>,
    /// How many of them began another program since.
    changed: usize,
}

/// Whom an action is aimed at, and who else is of the condemned side.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Aim {
    /// The processes that get the signal.
    pub processes: Vec<ProcessId>,
    /// Others of the same side that may speak next; none of them speaks in another session.
    pub others: Vec<ProcessId>,
    /// A reason for which one of both sides is not aimed at.
    pub refused: Option<Refusal>,
}

/// Client and server of the message of an event; `None` for the one of which it is not certain that it read the message.
#[must_use]
pub fn peers_of(event: &Event<'_>) -> (Option<ProcessId>, Option<ProcessId>) {
    let to_server = match &event.body {
        Body::Message(message) => message.direction == MessageDirection::ClientToServer,
        Body::ToolCall(call) => call.state == CallState::Started,
        Body::Session(_) | Body::Gap(_) => return (event.client, event.server),
    };
    match (event.reader_in_doubt, to_server) {
        (false, _) => (event.client, event.server),
        (true, true) => (event.client, None),
        (true, false) => (None, event.server),
    }
}

impl Sessions {
    /// Learns from an event. It costs next to nothing where nothing is new.
    pub fn seen(&mut self, event: &Event<'_>) {
        let Event { session, client, server, time, .. } = event;
        if matches!(event.body, Body::Session(SessionState::Closed)) {
            self.close(session.id);
            return;
        }
        if !self.sessions.contains_key(&session.id) {
            self.make_room();
            self.sessions.insert(session.id, Spoken::new(session));
        }
        let Some(spoken) = self.sessions.get_mut(&session.id) else { return };
        spoken.last = *time;
        spoken.in_doubt |= event.reader_in_doubt;
        let mut new = [None, None];
        for ((known, process), new) in [(&mut spoken.clients, *client), (&mut spoken.servers, *server)].into_iter().zip(&mut new) {
            let Some(process) = process.filter(|process| known.last() != Some(process)) else { continue };
            let before = known.iter().position(|known| *known == process);
            // The last that spoke stands last.
            match before {
                Some(at) => drop(known.remove(at)),
                None => *new = Some(process),
            }
            if known.len() >= PEERS {
                let forgotten = known.remove(0);
                release(&mut self.speakers, &mut self.changed, forgotten);
            }
            known.push(process);
        }
        if spoken.info != **session {
            spoken.info = (*session).clone();
        }
        if let Some(parent) = session.relay_of.filter(|_| !spoken.linked) {
            spoken.linked = true;
            self.relayed.entry(parent).or_default().push(session.id);
        }
        for process in new.into_iter().flatten() {
            self.speakers.entry(process).or_default().sessions += 1;
        }
        if self.changed > 0 && matches!(event.body, Body::Message(_) | Body::ToolCall(_)) {
            // What it runs now speaks in this session, too.
            for process in [*client, *server].into_iter().flatten() {
                if let Some(speaker) = self.speakers.get_mut(&process).filter(|speaker| speaker.changed) {
                    speaker.changed = false;
                    self.changed -= 1;
                }
            }
        }
    }

    /// A process began another program.
    pub fn exec(&mut self, process: ProcessId) {
        if let Some(speaker) = self.speakers.get_mut(&process).filter(|speaker| !speaker.changed) {
            speaker.changed = true;
            self.changed += 1;
        }
    }

    fn close(&mut self, session: SessionId) {
        let Some(spoken) = self.sessions.get_mut(&session).filter(|spoken| !spoken.closed) else { return };
        spoken.closed = true;
        let (speakers, parent) = ([spoken.clients.clone(), spoken.servers.clone()].concat(), spoken.info.relay_of);
        for process in speakers {
            release(&mut self.speakers, &mut self.changed, process);
        }
        if let Some(parent) = parent
            && let Some(relayed) = self.relayed.get_mut(&parent)
        {
            relayed.retain(|relayed| *relayed != session);
            if relayed.is_empty() {
                self.relayed.remove(&parent);
            }
        }
    }

    fn make_room(&mut self) {
        if self.sessions.len() < SESSIONS {
            return;
        }
        let mut ages: Vec<(bool, Time, SessionId)> = self.sessions.iter().map(|(id, known)| (!known.closed, known.last, *id)).collect();
        // An eighth at once, so that this is seldom done.
        let eighth = ages.len() / 8;
        ages.select_nth_unstable(eighth);
        for (_, _, id) in ages.into_iter().take(eighth) {
            self.close(id);
            self.sessions.remove(&id);
        }
    }

    /// The one session whose id begins so.
    ///
    /// # Errors
    /// Where there is none, or several.
    pub fn find(&self, prefix: &str) -> Result<&Session, String> {
        let name = |id: &SessionId| format!("{:016x}", id.0);
        let mut found: Vec<&Spoken> =
            self.sessions.iter().filter(|(id, _)| !prefix.is_empty() && name(id).starts_with(prefix)).map(|(_, spoken)| spoken).collect();
        if found.len() > 1 && found.iter().filter(|spoken| !spoken.closed).count() == 1 {
            found.retain(|spoken| !spoken.closed);
        }
        match found.as_slice() {
            [] => Err(format!("no session {prefix} is known")),
            [spoken] if spoken.closed => Err(format!("the session {} has closed", name(&spoken.info.id))),
            [spoken] => Ok(&spoken.info),
            several => {
                let mut names: Vec<String> = several.iter().take(4).map(|spoken| name(&spoken.info.id)).collect();
                names.sort();
                Err(format!("{} sessions begin with {prefix}, among them {}: give more of the id", several.len(), names.join(", ")))
            }
        }
    }

    /// The sessions that are open, the latest first, as `id (client pid, server pid)`; so many at most.
    pub fn open(&self, limit: usize) -> Vec<String> {
        let mut open: Vec<&Spoken> = self.sessions.values().filter(|spoken| !spoken.closed).collect();
        open.sort_by_key(|spoken| std::cmp::Reverse(spoken.last));
        let pid = |process: Option<ProcessId>| process.map_or_else(|| "unknown".to_owned(), |process| format!("pid {}", process.pid));
        let words = |info: &Session| format!("{:016x} (client {}, server {})", info.id.0, pid(info.client), pid(info.server));
        open.into_iter().take(limit).map(|spoken| words(&spoken.info)).collect()
    }

    /// The process with this pid, where it is that side of a session.
    ///
    /// # Errors
    /// Where it is not.
    pub fn named(&self, session: &Session, side: Target, pid: u32) -> Result<ProcessId, Refusal> {
        let (info, spoken) = self.end_of_chain(session, side)?;
        let (known, last) = match side {
            Target::Client => (spoken.map(|spoken| &spoken.clients), info.client),
            _ => (spoken.map(|spoken| &spoken.servers), info.server),
        };
        let mut all = known.into_iter().flatten().copied().chain(last);
        all.rfind(|process| process.pid == pid).ok_or_else(|| Refusal::uncertain(format!("process {pid} is not that side of the session")))
    }

    /// Whom an action on a session is aimed at. `client` and `server` are those of the message that led to it; `lives` tells
    /// whether a process has not ended.
    ///
    /// # Errors
    /// Where that is not certain.
    pub fn aim(
        &self,
        session: &Session,
        target: Target,
        client: Option<ProcessId>,
        server: Option<ProcessId>,
        lives: impl Fn(ProcessId) -> bool,
    ) -> Result<Aim, Refusal> {
        let sides = match target {
            Target::Client => vec![Target::Client],
            Target::Both => vec![Target::Server, Target::Client],
            Target::Server | Target::Unspecified => vec![Target::Server],
        };
        let mut aim = Aim::default();
        let count = sides.len();
        for side in sides {
            match self.aim_at(session, side, if side == Target::Client { client } else { server }, &lives) {
                Ok((process, others)) => {
                    if !aim.processes.contains(&process) {
                        aim.processes.push(process);
                    }
                    aim.others.extend(others);
                }
                Err(refusal) if count == 1 => return Err(refusal),
                Err(refusal) if aim.refused.is_some() => return Err(refusal),
                Err(refusal) => aim.refused = Some(refusal),
            }
        }
        let Aim { processes, others, .. } = &mut aim;
        others.retain(|other| !processes.contains(other));
        Ok(aim)
    }

    fn aim_at(
        &self,
        session: &Session,
        side: Target,
        of_message: Option<ProcessId>,
        lives: &impl Fn(ProcessId) -> bool,
    ) -> Result<(ProcessId, Vec<ProcessId>), Refusal> {
        let (info, spoken) = self.end_of_chain(session, side)?;
        let none = Spoken::new(info);
        let spoken = spoken.unwrap_or(&none);
        let (known, other_side, last) = match side {
            Target::Client => (&spoken.clients, &spoken.servers, info.client),
            _ => (&spoken.servers, &spoken.clients, info.server),
        };
        // Behind a relay, another process is that side than the one of the message.
        let of_message = of_message.filter(|process| info.id == session.id || known.contains(process));
        let alive: Vec<ProcessId> = known.iter().copied().filter(|process| lives(*process)).collect();
        let process = match (of_message, alive.as_slice()) {
            (Some(process), _) => process,
            (None, [process]) if !spoken.in_doubt => *process,
            (None, [_]) => return Err(Refusal::uncertain("other processes may have read it as well, and it did not show which one did")),
            (None, []) => match (last, info.transport) {
                (Some(process), _) => process,
                (None, Transport::Tcp) => return Err(Refusal::uncertain("that side of the session is not on this host")),
                (None, _) => return Err(Refusal::uncertain("the process of that side is not known")),
            },
            (None, several) => {
                let pids: Vec<String> = several.iter().map(|process| process.pid.to_string()).collect();
                let text = format!(
                    "several processes are that side of the session (pids {}), and it is not known which one is meant",
                    pids.join(", ")
                );
                return Err(Refusal::uncertain(text));
            }
        };
        if side != Target::Client && (other_side.contains(&process) || (info.client == Some(process) && info.server == Some(process))) {
            return Err(Refusal::uncertain("client and server are one process"));
        }
        if lives(process) && self.speakers.get(&process).is_some_and(|speaker| speaker.changed) {
            return Err(Refusal::uncertain(format!("process {} began another program since it spoke", process.pid)));
        }
        let alone = |other: &ProcessId| self.speakers.get(other).is_some_and(|speaker| speaker.sessions == 1 && !speaker.changed);
        let others = alive.into_iter().filter(|other| *other != process && !other_side.contains(other) && alone(other)).collect();
        Ok((process, others))
    }

    /// The session whose server answers in the end (the last one, where relays pass bytes on), or whose client asked (the
    /// first one).
    fn end_of_chain<'a>(&'a self, session: &'a Session, side: Target) -> Result<(&'a Session, Option<&'a Spoken>), Refusal> {
        let mut current = (session, self.sessions.get(&session.id));
        for _ in 0..CHAIN {
            let next = if side == Target::Client {
                let Some(parent) = current.0.relay_of else { return Ok(current) };
                parent
            } else {
                match self.relayed.get(&current.0.id).map_or(&[][..], Vec::as_slice) {
                    [] => return Ok(current),
                    [next] => *next,
                    _ => return Err(Refusal::uncertain("a relay passes the session on to several servers")),
                }
            };
            let Some(spoken) = self.sessions.get(&next) else {
                return Err(Refusal::uncertain("a relay stands between, and the session behind it is not known any more"));
            };
            current = (&spoken.info, Some(spoken));
        }
        Err(Refusal::uncertain("too many relays stand between"))
    }

    /// Sessions that are remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }
}

/// Notes that a process is in one session less.
fn release(speakers: &mut FxHashMap<ProcessId, Speaker>, changed: &mut usize, process: ProcessId) {
    let Some(speaker) = speakers.get_mut(&process) else { return };
    speaker.sessions = speaker.sessions.saturating_sub(1);
    if speaker.sessions == 0 {
        *changed -= usize::from(speaker.changed);
        speakers.remove(&process);
    }
}

impl Spoken {
    fn new(info: &Session) -> Self {
        Self { info: info.clone(), clients: Vec::new(), servers: Vec::new(), in_doubt: false, closed: false, linked: false, last: 0 }
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
