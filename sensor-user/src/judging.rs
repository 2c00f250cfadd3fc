//! The policy on the way out: each event with its peers goes to the judge, and what the judge finds becomes events.

use crate::export::{Outgoing, Shared};
use mcp_sensor_proto::v1::{
    self,
    event::Severity,
    finding::Evidence,
    loss::{Count, Place, Reason},
};
use rustc_hash::FxHashMap;
use rustix::time::{ClockId, clock_gettime};
use sensor_core::{
    detect,
    event::{Body, Event, EventId},
    input::ProcessId,
    mcp::hash::Keyed,
    policy::{self, Diagnostic, Finding, Judge, Kept, Kinds, Limits, News, Party, Policy, Response, Subject, Target},
};
use std::{path::Path, sync::Arc, time::Instant};

/// Parties that are kept ready; beyond it all are made anew.
const PARTIES: usize = 4 * 1024;

/// A peer of an event, encoded once for many.
pub type SharedPeer = Arc<Shared<v1::Peer>>;

/// The two peers of an event.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// The client.
    pub client: Option<SharedPeer>,
    /// The server.
    pub server: Option<SharedPeer>,
    /// Their processes.
    pub processes: [Option<ProcessId>; 2],
}

/// What a rule asks to be done.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Stop or kill.
    pub kind: v1::action::Kind,
    /// Whose process.
    pub target: v1::action::Target,
    /// When it was decided.
    pub decided: Instant,
    /// With all descendants.
    pub tree: bool,
    /// The rule.
    pub rule: Arc<str>,
    /// The message was surely read: its answer is there.
    pub answered: bool,
}

/// A finding on its way out.
#[derive(Debug)]
pub struct Found {
    /// The finding as an event, but for its number.
    pub event: Outgoing,
    /// What the rule asks to be done; nothing where it only tells.
    pub wanted: Option<Wanted>,
}

/// A party and the peers that it was made of.
type Made = (Option<SharedPeer>, Option<SharedPeer>, Arc<Party>);

/// A policy, and where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Arc<Policy>,
    /// The file, or `built-in`.
    pub name: String,
}

/// The rules that the sensor brings along.
pub const SHIPPED: &str = include_str!("../../rules/default.yaml");

impl Loaded {
    /// The rules that the sensor brings along.
    ///
    /// # Errors
    /// Never: a test reads them.
    pub fn shipped() -> Result<Self, String> {
        Self::parse(SHIPPED, "built-in".to_owned())
    }

    /// Reads a policy file.
    ///
    /// # Errors
    /// Why it cannot be used: all that is wrong with it, one to a line.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        Self::parse(&text, name)
    }

    fn parse(text: &str, name: String) -> Result<Self, String> {
        match Policy::parse(text) {
            Ok(policy) => Ok(Self { policy: Arc::new(policy), name }),
            Err(wrong) => Err(wrong
                .iter()
                .map(|wrong| format!("{name}:{}:{}: {}", wrong.line, wrong.column, said(wrong)))
                .collect::<Vec<_>>()
                .join("\n")),
        }
    }

    /// What the sensor tells of it.
    #[must_use]
    pub fn audit(&self) -> v1::Audit {
        let rules = self.policy.rules.iter().filter(|rule| rule.enabled).count();
        let acting = self.policy.rules.iter().filter(|rule| rule.enabled && rule.response != Response::Alert).count();
        let detail = format!("{rules} rules, {acting} of them act; policy {}", self.policy.digest);
        v1::Audit { kind: v1::audit::Kind::PolicyLoaded.into(), subject: self.name.clone(), detail, time: None }
    }
}

/// A diagnostic without its place.
fn said(wrong: &Diagnostic) -> String {
    if wrong.help.is_empty() { wrong.message.clone() } else { format!("{} ({})", wrong.message, wrong.help) }
}

/// See the module.
pub struct Judging {
    judge: Judge,
    loaded: Loaded,
    parties: FxHashMap<[Option<ProcessId>; 2], [Option<Made>; 2]>,
    nobody: Arc<Party>,
}

/// The processor's time of this thread, in nanoseconds.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

impl Judging {
    /// Judges live traffic: a rule that takes too long is switched off.
    #[must_use]
    pub fn live(loaded: Loaded, seed: u64) -> Self {
        Self::new(Judge::new(Arc::clone(&loaded.policy), Limits::default(), seed, Some(thread_time)), loaded)
    }

    /// Judges a recording: the same findings on any machine.
    #[must_use]
    pub fn replayed(loaded: Loaded) -> Self {
        Self::new(Judge::new(Arc::clone(&loaded.policy), Limits::default(), 0, None), loaded)
    }

    fn new(judge: Judge, loaded: Loaded) -> Self {
        let launch = detect::Launch { pinned: true, ..detect::Launch::default() };
        Self { judge, loaded, parties: FxHashMap::default(), nobody: Arc::new(Party { launch, ..Party::default() }) }
    }

    /// Takes another policy.
    pub fn replace(&mut self, loaded: Loaded) {
        self.judge.replace(Arc::clone(&loaded.policy), Limits::default());
        self.loaded = loaded;
    }

    /// The policy that is in force.
    #[must_use]
    pub const fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Rules that were switched off since it was asked last.
    pub fn take_news(&mut self) -> Vec<News> {
        self.judge.take_news()
    }

    /// What rules count by and was forgotten for want of room, so far.
    #[must_use]
    pub fn loss(&self) -> Option<Count> {
        let count = self.judge.forgotten();
        (count > 0).then(|| Count { place: Place::Policy.into(), reason: Reason::Memory.into(), count, bytes: 0 })
    }

    /// True where an event is worth judging.
    #[must_use]
    pub fn wants(&self, body: &Body<'_>) -> bool {
        match body {
            Body::Message(_) => self.judge.wants(Kinds::MESSAGE),
            Body::ToolCall(_) | Body::Session(_) => true,
            Body::Gap(_) => false,
        }
    }

    /// Keeps an event that cannot be judged yet.
    #[must_use]
    pub fn keep(&self, event: &Event<'_>, session: &str, node: &str) -> Option<Kept> {
        Subject::of(event, session, node, &self.nobody, &self.nobody).map(|subject| Kept::new(&subject))
    }

    /// Judges an event whose peers are known.
    pub fn judge(&mut self, event: &Event<'_>, about: &About<'_>, found: &mut Vec<Found>) {
        let [client, server] = self.parties(about.peers);
        if let Some(subject) = Subject::of(event, &about.session.get().id, about.node, &client, &server) {
            self.ask(&subject, about, found);
        }
    }

    /// Judges an event that was kept.
    pub fn judge_kept(&mut self, kept: &Kept, about: &About<'_>, found: &mut Vec<Found>) {
        let [client, server] = self.parties(about.peers);
        kept.with(&client, &server, |subject| self.ask(subject, about, found));
    }

    fn ask(&mut self, subject: &Subject<'_>, about: &About<'_>, found: &mut Vec<Found>) {
        let policy = Arc::clone(self.judge.policy());
        self.judge.judge(subject, &mut |subject, finding| found.push(about.found(subject, finding, &policy.digest)));
    }

    /// The peers as rules see them.
    fn parties(&mut self, peers: &Peers) -> [Arc<Party>; 2] {
        if self.parties.len() >= PARTIES && !self.parties.contains_key(&peers.processes) {
            self.parties.clear();
        }
        let known = self.parties.entry(peers.processes).or_default();
        let same = |one: Option<&SharedPeer>, other: Option<&SharedPeer>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let client = peers.client.as_ref();
        let mut made = |place: usize, peer: Option<&SharedPeer>| {
            let Some(peer) = peer else { return Arc::clone(&self.nobody) };
            let Some(place) = known.get_mut(place) else { return Arc::clone(&self.nobody) };
            if let Some((of, beside, party)) = place
                && same(of.as_ref(), Some(peer))
                && same(beside.as_ref(), client)
            {
                return Arc::clone(party);
            }
            let above = client.map_or(0, |client| client.get().pid);
            let party = Arc::new(party(peer.get(), above));
            *place = Some((Some(Arc::clone(peer)), client.cloned(), Arc::clone(&party)));
            party
        };
        [made(0, client), made(1, peers.server.as_ref())]
    }
}

/// A peer as rules see it. What stands above the process `above` (its client) did not start it.
fn party(peer: &v1::Peer, above: u32) -> Party {
    let ancestors = || peer.ancestors.iter();
    let below =
        ancestors().take_while(|ancestor| ancestor.pid != above).map(|ancestor| (ancestor.exe.as_str(), ancestor.command_line.as_slice()));
    let container = peer.container.as_ref();
    let pod = peer.pod.as_ref();
    Party {
        pid: peer.pid,
        launch: Party::launched(&peer.exe, &peer.command_line, below),
        exe: peer.exe.clone(),
        name: peer.name.clone(),
        version: peer.version.clone(),
        command: peer.command_line.join(" "),
        command_line: peer.command_line.clone(),
        directory: peer.working_directory.clone(),
        uid: peer.uid,
        user: peer.user.clone(),
        container: container.map_or_else(String::new, |container| container.id.clone()),
        pod: pod.map_or_else(String::new, |pod| pod.name.clone()),
        namespace: pod.map_or_else(String::new, |pod| pod.namespace.clone()),
        unit: peer.systemd_unit.clone(),
        address: peer.address.clone(),
        ancestors: ancestors().map(|ancestor| ancestor.exe.clone()).collect(),
    }
}

/// What stands around an event that is judged.
#[derive(Debug)]
pub struct About<'a> {
    /// The event's name.
    pub id: EventId,
    /// When it happened.
    pub time: Option<prost_types::Timestamp>,
    /// The host's name.
    pub node: &'a str,
    /// Its session.
    pub session: &'a Arc<Shared<v1::Session>>,
    /// Its peers.
    pub peers: &'a Peers,
}

impl About<'_> {
    fn found(&self, subject: &Subject<'_>, finding: Finding<'_>, digest: &str) -> Found {
        let Finding { rule, evidence, suppressed } = finding;
        let event_id = format!("{:032x}", self.id.0);
        let reason = evidence.iter().filter(|(_, value)| !value.is_empty()).map(|(field, value)| format!("{field} = {value}"));
        let frame = v1::Event {
            id: derived_id(self.id, &rule.id, &subject.tool),
            time: self.time,
            node: self.node.to_owned(),
            severity: severity(rule.severity).into(),
            body: Some(v1::event::Body::Finding(v1::Finding {
                rule: rule.id.to_string(),
                title: rule.title.clone(),
                reason: reason.collect::<Vec<_>>().join("; "),
                tags: rule.tags.clone(),
                event_id,
                method: subject.method.to_owned(),
                tool: subject.tool.to_string(),
                request_id: subject.request_id.to_owned(),
                evidence: evidence.into_iter().map(|(field, value)| Evidence { field, value }).collect(),
                suppressed,
                policy: digest.to_owned(),
            })),
            ..v1::Event::default()
        };
        let wanted = (rule.response != Response::Alert).then(|| Wanted {
            kind: if rule.response == Response::Stop { v1::action::Kind::Stop } else { v1::action::Kind::Kill },
            target: match rule.target {
                Target::Server => v1::action::Target::Server,
                Target::Client => v1::action::Target::Client,
                Target::Both => v1::action::Target::Both,
            },
            decided: Instant::now(),
            tree: rule.tree,
            rule: Arc::clone(&rule.id),
            answered: subject.kind == Kinds::RESULT,
        });
        let Peers { client, server, .. } = self.peers.clone();
        Found { event: Outgoing { frame, session: Some(Arc::clone(self.session)), client, server }, wanted }
    }
}

/// The id of an event that comes of another: it sorts with that one, and is the same for the same traffic.
fn derived_id(of: EventId, rule: &str, tool: &str) -> String {
    let keyed = Keyed::new(0);
    let low = keyed.pair(keyed.pair(of.0 as u64, keyed.bytes(rule.as_bytes())), keyed.bytes(tool.as_bytes()));
    format!("{:016x}{low:016x}", of.0 >> 64)
}

const fn severity(severity: policy::Severity) -> Severity {
    match severity {
        policy::Severity::Info => Severity::Info,
        policy::Severity::Low => Severity::Low,
        policy::Severity::Medium => Severity::Medium,
        policy::Severity::High => Severity::High,
        policy::Severity::Critical => Severity::Critical,
    }
}
