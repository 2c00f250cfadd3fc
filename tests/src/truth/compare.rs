//! Compares the truth with what the sensor reported: every message once, whole, with the right two processes; and nothing else.
//!
//! A message is known by (direction, size, SHA-256). Equal messages of several sessions, or of several processes of one session, are told apart
//! by who sent and who received them; a relay's two hops are two sessions with their own pairs of processes.

mod seen;

pub use seen::Seen;

use super::{Brief, Entry, Role, TruthLog, Way};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// What to hold the sensor to.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The right process at both ends of each message; otherwise at the sender's end only.
    pub check_receiver: bool,
    /// Messages of one sender are reported in the order in which it sent them.
    pub check_order: bool,
    /// `method` and `requestId` of requests and notifications are right.
    pub check_fields: bool,
    /// Odd messages carry the mark that says so: one of each kind at least.
    pub check_marks: bool,
    /// Events of processes that no log names count as surplus. Otherwise they are only counted, as other processes of the machine may speak MCP.
    pub strangers_are_surplus: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { check_receiver: true, check_order: true, check_fields: true, check_marks: false, strangers_are_surplus: false }
    }
}

/// The outcome. Empty lists mean that the sensor told the truth.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Messages that had to be reported.
    pub expected: usize,
    /// Of these, reported rightly.
    pub found: usize,
    /// Messages that were not reported.
    pub missing: Vec<String>,
    /// Events about nothing that was sent.
    pub surplus: Vec<String>,
    /// Messages reported again.
    pub duplicates: Vec<String>,
    /// Messages reported with another process than the one that sent or received them.
    pub wrong_process: Vec<String>,
    /// Messages reported with a wrong method, id or mark.
    pub wrong_fields: Vec<String>,
    /// Messages reported before one that was sent earlier.
    pub out_of_order: Vec<String>,
    /// Events of processes that no log names.
    pub strangers: usize,
    /// Messages that need not be reported, and were.
    pub optional: usize,
}

impl Report {
    /// True where nothing is wrong.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.wrongs().iter().all(|(_, list)| list.is_empty())
    }

    /// True where messages are still missing and nothing else is known to be wrong: waiting may help.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.missing.is_empty()
    }

    fn wrongs(&self) -> [(&'static str, &Vec<String>); 6] {
        [
            ("missing", &self.missing),
            ("surplus", &self.surplus),
            ("duplicate", &self.duplicates),
            ("wrong process", &self.wrong_process),
            ("wrong field", &self.wrong_fields),
            ("out of order", &self.out_of_order),
        ]
    }
}

/// Examples shown of each kind of fault.
const EXAMPLES: usize = 4;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} messages right", self.found, self.expected)?;
        if self.optional > 0 {
            write!(f, ", {} optional", self.optional)?;
        }
        if self.strangers > 0 {
            write!(f, ", {} events of other processes", self.strangers)?;
        }
        for (what, list) in self.wrongs() {
            if !list.is_empty() {
                write!(f, "\n    {} {what}:", list.len())?;
            }
            for line in list.iter().take(EXAMPLES) {
                write!(f, "\n      {line}")?;
            }
            if list.len() > EXAMPLES {
                write!(f, "\n      and {} more", list.len() - EXAMPLES)?;
            }
        }
        Ok(())
    }
}

/// How a message is known.
type Key = (bool, u64, String);

/// Equal messages of one session in one direction.
#[derive(Debug)]
struct Group {
    session: String,
    entry: Entry,
    /// Who sent each, where known.
    senders: Vec<Option<u32>>,
    /// Who received each, where known.
    receivers: Vec<Option<u32>>,
    /// Places in the order of sending, where there is one.
    places: Vec<usize>,
    /// How many must still be reported.
    required: usize,
}

impl Group {
    /// Takes one message from the group, if it holds one of these two processes.
    fn take(&mut self, event: &Seen, exact: bool, options: &Options) -> bool {
        let find = |list: &[Option<u32>], pid: Option<u32>, checked: bool| {
            list.iter()
                .position(|known| known.is_some() && *known == pid)
                .or_else(|| if exact { None } else { list.iter().position(|known| known.is_none() || !checked) })
        };
        let sender = find(&self.senders, event.sender(), true);
        let receiver = find(&self.receivers, event.receiver(), options.check_receiver);
        let (Some(sender), Some(receiver)) = (sender, receiver) else { return false };
        self.senders.remove(sender);
        self.receivers.remove(receiver);
        self.required = self.required.saturating_sub(1);
        true
    }

    /// Takes any message from the group.
    fn take_any(&mut self) -> bool {
        let taken = self.senders.pop().is_some() && self.receivers.pop().is_some();
        self.required = self.required.saturating_sub(usize::from(taken));
        taken
    }
}

/// Compares the logs with the events, which stand in the order in which they were reported.
#[must_use]
pub fn compare(logs: &[TruthLog], events: &[Seen], options: &Options) -> Report {
    Comparison::new(logs, *options).run(events)
}

struct Comparison {
    options: Options,
    groups: HashMap<Key, Vec<Group>>,
    noise: BTreeSet<(u64, String)>,
    pids: BTreeSet<u32>,
    report: Report,
    /// Places of the messages found, by session and direction, in the order of the events.
    order: BTreeMap<(String, bool), Vec<(usize, usize)>>,
    /// By row: whether one of its messages carries its mark.
    marked: BTreeMap<String, bool>,
}

impl Comparison {
    fn new(logs: &[TruthLog], options: Options) -> Self {
        let mut this = Self {
            options,
            groups: HashMap::new(),
            noise: BTreeSet::new(),
            pids: logs.iter().map(|log| log.pid).collect(),
            report: Report::default(),
            order: BTreeMap::new(),
            marked: BTreeMap::new(),
        };
        for entry in logs.iter().flat_map(|log| &log.entries).filter(|entry| entry.noise) {
            this.noise.insert((entry.size, entry.sha256.clone()));
        }
        let sessions: BTreeSet<&String> = logs.iter().flat_map(|log| &log.sessions).collect();
        for session in sessions {
            for to_server in [true, false] {
                this.add_stream(logs, session, to_server);
            }
        }
        this.report.expected = this.groups.values().flatten().map(|group| group.required).sum();
        this
    }

    /// What must be reported of one direction of one session.
    fn add_stream(&mut self, logs: &[TruthLog], session: &str, to_server: bool) {
        // Behind a relay, only the first hop's client knows what went before the sensor watched.
        let first_hop = session.split('/').next().unwrap_or(session);
        let unseen: BTreeSet<&str> = logs
            .iter()
            .flat_map(|log| &log.entries)
            .filter(|entry| entry.unseen && first_hop != session && entry.session == first_hop)
            .map(|entry| entry.sha256.as_str())
            .collect();
        let (from, to) = if to_server { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
        let side = |role| logs.iter().filter(move |log: &&TruthLog| log.role == role && log.sessions.iter().any(|name| name == session));
        let ordered = side(from).count() == 1 && side(from).all(|log| !log.unordered && !log.blind);
        let mut places = 0;
        let mut streams: BTreeMap<(u64, &str), Gathered<'_>> = BTreeMap::new();
        for (role, way) in [(from, Way::Sent), (to, Way::Received)] {
            for log in side(role) {
                for entry in log.messages(way).filter(|entry| entry.session == session) {
                    let gathered = streams.entry((entry.size, entry.sha256.as_str())).or_insert_with(|| Gathered::new(entry));
                    gathered.add(log, entry, way);
                    if way == Way::Sent {
                        if ordered {
                            gathered.places.push(places);
                        }
                        places += 1;
                    }
                }
            }
        }
        let only_blind = |role| {
            let mut blind = side(role).filter(|log| log.blind);
            let first = blind.next().map(|log| log.pid);
            if blind.next().is_none() { first } else { None }
        };
        let (blind_sender, blind_receiver) = (only_blind(from), only_blind(to));
        for ((size, sha256), mut gathered) in streams {
            gathered.unseen += usize::from(unseen.contains(sha256));
            let group = gathered.group(session, blind_sender, blind_receiver);
            self.groups.entry((to_server, size, sha256.to_owned())).or_default().push(group);
        }
    }

    fn run(mut self, events: &[Seen]) -> Report {
        let mut left: Vec<(usize, &Seen)> = events.iter().enumerate().collect();
        for exact in [true, false] {
            left.retain(|(number, event)| !self.find(*number, event, exact));
        }
        for (_, event) in left {
            self.misfit(event);
        }
        self.finish()
    }

    /// Looks for a message that fits the event.
    fn find(&mut self, number: usize, event: &Seen, exact: bool) -> bool {
        let options = self.options;
        let Some(groups) = self.groups.get_mut(&event.key()) else { return false };
        let Some(group) = groups.iter_mut().find_map(|group| {
            let required = group.required;
            group.take(event, exact, &options).then_some((group, required > 0))
        }) else {
            return false;
        };
        let (group, required) = group;
        if required {
            self.report.found += 1;
        } else {
            self.report.optional += 1;
        }
        if !group.places.is_empty() {
            let place = group.places.remove(0);
            self.order.entry((group.session.clone(), event.to_server)).or_default().push((number, place));
        }
        if let Some(row) = &group.entry.odd {
            let marks = seen::expected_marks(row);
            *self.marked.entry(row.clone()).or_default() |= marks.is_empty() || seen::has_mark(event, marks);
        }
        let wrong = seen::wrong_fields(&group.entry, event, &options);
        self.report.wrong_fields.extend(wrong);
        true
    }

    /// Files an event that fits no message.
    fn misfit(&mut self, event: &Seen) {
        let known = [event.client, event.server].into_iter().flatten().any(|pid| self.pids.contains(&pid));
        if !known && !self.options.strangers_are_surplus && (event.client.is_some() || event.server.is_some()) {
            self.report.strangers += 1;
            return;
        }
        let Some(groups) = self.groups.get_mut(&event.key()) else {
            let noise = self.noise.contains(&(event.size, event.sha256.clone()));
            self.report.surplus.push(format!("{event}{}", if noise { ": noise, which no server executes" } else { "" }));
            return;
        };
        let Some(group) = groups.iter_mut().find(|group| !group.senders.is_empty() && group.required > 0) else {
            self.report.duplicates.push(event.to_string());
            return;
        };
        let pids = |list: &[Option<u32>]| list.first().copied().flatten().map_or("any".to_owned(), |pid| pid.to_string());
        let should = format!("sent by {} to {}", pids(&group.senders), pids(&group.receivers));
        group.take_any();
        self.report.wrong_process.push(format!("{event}; {should}, session {:?}", group.session));
    }

    fn finish(mut self) -> Report {
        for ((to_server, ..), groups) in &self.groups {
            for group in groups.iter().filter(|group| group.required > 0) {
                let pids = |list: &[Option<u32>]| {
                    list.iter().map(|pid| pid.map_or("?".to_owned(), |pid| pid.to_string())).collect::<Vec<_>>().join(" ")
                };
                self.report.missing.push(format!(
                    "{}{} from {} to {}, session {:?}{}",
                    if *to_server { "> " } else { "< " },
                    Brief(&group.entry),
                    pids(&group.senders),
                    pids(&group.receivers),
                    group.session,
                    if group.required > 1 { format!(", {} times", group.required) } else { String::new() }
                ));
            }
        }
        self.report.missing.sort();
        for (row, _) in self.marked.iter().filter(|(_, marked)| self.options.check_marks && !**marked) {
            self.report.wrong_fields.push(format!("no message of {row:?} carries one of {:?}", seen::expected_marks(row)));
        }
        if self.options.check_order {
            for ((session, to_server), mut places) in std::mem::take(&mut self.order) {
                places.sort_unstable();
                for pair in places.windows(2) {
                    if let [(_, before), (_, after)] = pair
                        && before > after
                    {
                        let direction = if to_server { "to the server" } else { "to the client" };
                        self.report
                            .out_of_order
                            .push(format!("session {session:?}: message {after} {direction} came behind message {before}"));
                    }
                }
            }
        }
        self.report
    }
}

/// Equal messages of one direction of one session, as both ends logged them.
struct Gathered<'a> {
    entry: &'a Entry,
    sent: Vec<u32>,
    received: Vec<u32>,
    /// Sent by processes that ended in order, so that the bytes did go out.
    surely_sent: usize,
    optional: bool,
    unseen: usize,
    places: Vec<usize>,
}

impl<'a> Gathered<'a> {
    fn new(entry: &'a Entry) -> Self {
        Self { entry, sent: Vec::new(), received: Vec::new(), surely_sent: 0, optional: false, unseen: 0, places: Vec::new() }
    }

    fn add(&mut self, log: &TruthLog, entry: &'a Entry, way: Way) {
        match way {
            Way::Sent => {
                self.entry = entry;
                self.sent.push(log.pid);
                self.surely_sent += usize::from(log.ended);
            }
            Way::Received => self.received.push(log.pid),
        }
        self.optional |= entry.optional;
        self.unseen += usize::from(entry.unseen);
    }

    fn group(self, session: &str, blind_sender: Option<u32>, blind_receiver: Option<u32>) -> Group {
        let Self { entry, sent, received, surely_sent, optional, unseen, places } = self;
        let all = sent.len().max(received.len());
        let possible = all - unseen.min(all);
        let required = if optional { 0 } else { surely_sent.max(received.len()).min(possible) };
        let fill = |pids: Vec<u32>, blind: Option<u32>| -> Vec<Option<u32>> {
            let mut pids: Vec<Option<u32>> = pids.into_iter().map(Some).collect();
            pids.resize(all, blind);
            pids.truncate(possible);
            pids
        };
        Group {
            session: session.to_owned(),
            entry: entry.clone(),
            senders: fill(sent, blind_sender),
            receivers: fill(received, blind_receiver),
            places,
            required,
        }
    }
}

#[cfg(test)]
mod tests;
