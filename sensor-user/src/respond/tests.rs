//! The checks and the signals, with real processes and without a kernel side.

use super::*;
use crate::identity::Identities;
use mcp_sensor_proto::v1::action::{Delivered, Kind, Mechanism, Outcome, Target};
use sensor_core::{
    event::{Framing, Implementation, Session, SessionId, Transport},
    redact::Level,
};
use sensor_ebpf::{RecordHeader, RecordKind};
use std::{
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

const LATER: Time = 1_000_000_000_000_000;

#[derive(Clone, Default)]
struct Marking(Arc<Mutex<Vec<(u32, u32)>>>);

impl Marks for Marking {
    fn mark(&mut self, process: ProcessId, signal: u32) -> io::Result<()> {
        self.0.lock().unwrap().push((process.pid, signal));
        Ok(())
    }

    fn unmark(&mut self, process: ProcessId) {
        self.0.lock().unwrap().retain(|(pid, _)| *pid != process.pid);
    }
}

/// A child that waits, and ends with this value.
struct Waiting(Child);

impl Waiting {
    fn start() -> Self {
        Self::program("/bin/sleep".as_ref())
    }

    fn program(program: &Path) -> Self {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            match Command::new(program).arg("1000").stdin(Stdio::null()).spawn() {
                // A test beside this one that forks while a program is copied holds it open for writing, for a moment.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < end => thread::yield_now(),
                child => return Self(child.unwrap()),
            }
        }
    }

    fn id(&self) -> ProcessId {
        id_of(self.0.id())
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    fn ends_by_signal(&mut self) -> Option<i32> {
        self.0.wait().unwrap().signal()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process as `/proc` tells it: its start time is the begin of a tick.
fn id_of(pid: u32) -> ProcessId {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ticks: u64 = stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap().parse().unwrap();
    ProcessId { pid, start_time: ticks * 10_000_000 }
}

struct World {
    responder: Responder,
    known: Known,
    marks: Marking,
}

impl World {
    fn new(mode: Enforcement) -> Self {
        Self::with(Settings { mode, actions_per_minute: 30, exempt: Exempt::default() })
    }

    fn with(settings: Settings) -> Self {
        let marks = Marking::default();
        let mut responder = Responder::new(settings, std::process::id(), None, Some(Box::new(marks.clone())), 7);
        responder.now = LATER;
        Self { responder, known: Known::live(crate::agent::identities(Level::Redacted), 0), marks }
    }

    fn act(&mut self, kind: Kind, server: ProcessId) -> v1::Action {
        let session = session(server);
        let order = Order {
            kind,
            target: Target::Server,
            tree: false,
            by: By::Rule { rule: "r-1", finding_id: "f-1" },
            session: &session,
            client: session.client,
            server: Some(server),
            delivered: Delivered::Yes,
            decided: Instant::now(),
        };
        self.responder.act(&order, &mut self.known);
        self.take()
    }

    fn take(&mut self) -> v1::Action {
        let mut done = self.responder.take_done();
        assert_eq!(done.len(), 1);
        done.remove(0).action
    }
}

fn session(server: ProcessId) -> Session {
    Session {
        id: SessionId(u64::from(server.pid)),
        transport: Transport::Pipe,
        framing: Framing::Ndjson,
        protocol_version: String::new(),
        late_attach: false,
        client: Some(ProcessId { pid: 4, start_time: 1 }),
        server: Some(server),
        client_info: Implementation::default(),
        server_info: Implementation::default(),
        relay_of: None,
        probe: false,
        tunnel: None,
    }
}

#[test]
fn direct_child_is_killed_and_the_action_tells_all() {
    let (mut world, mut server, mut bystander) = (World::new(Enforcement::On), Waiting::start(), Waiting::start());
    let action = world.act(Kind::Kill, server.id());
    assert_eq!(action.outcome(), Outcome::Done, "{}", action.detail);
    assert_eq!((action.mechanism(), action.kind(), action.target()), (Mechanism::Pidfd, Kind::Kill, Target::Server));
    assert_eq!((action.rule.as_str(), action.finding_id.as_str(), action.ordered_by.as_str()), ("r-1", "f-1", ""));
    assert!(action.latency_ns.is_some() && action.detail.is_empty() && action.action_id.len() == 16 && action.decided.is_some());
    assert_eq!(action.processes.len(), 1);
    assert_eq!(action.processes[0].process.as_ref().unwrap().pid, server.0.id());
    assert_eq!(server.ends_by_signal(), Some(9));
    assert!(bystander.is_alive());
}

#[test]
fn dry_run_does_the_same_and_sends_nothing_and_off_does_nothing() {
    let mut server = Waiting::start();
    let mut world = World::new(Enforcement::DryRun);
    let action = world.act(Kind::Kill, server.id());
    assert_eq!((action.outcome(), action.mechanism()), (Outcome::DryRun, Mechanism::Unspecified));
    assert_eq!(action.latency_ns, None);
    world.responder.set(Settings { mode: Enforcement::Off, ..Settings::default() });
    let session = session(server.id());
    let order = Order {
        kind: Kind::Kill,
        target: Target::Server,
        tree: true,
        by: By::Rule { rule: "r", finding_id: "f" },
        session: &session,
        client: None,
        server: None,
        delivered: Delivered::Unknown,
        decided: Instant::now(),
    };
    world.responder.act(&order, &mut world.known);
    assert!(world.responder.take_done().is_empty());
    assert!(server.is_alive());
}

#[test]
fn gone() {
    let mut server = Waiting::start();
    let id = server.id();
    server.0.kill().unwrap();
    let mut world = World::new(Enforcement::On);
    // Ended and not waited for: only its entry is left.
    while !std::fs::read_to_string(format!("/proc/{}/stat", id.pid)).unwrap().contains(") Z ") {
        std::thread::yield_now();
    }
    assert_eq!(world.act(Kind::Kill, id).outcome(), Outcome::Gone);
    server.0.wait().unwrap();
    assert_eq!(world.act(Kind::Kill, id).outcome(), Outcome::Gone);
}

#[test]
fn pid_reused() {
    let (mut world, mut other) = (World::new(Enforcement::On), Waiting::start());
    let id = other.id();
    // It had the pid of this one, and started a tick before.
    let before = ProcessId { start_time: id.start_time - 10_000_000, ..id };
    assert_eq!(world.act(Kind::Kill, before).outcome(), Outcome::Gone);
    let after = ProcessId { start_time: id.start_time + 10_000_000, ..id };
    assert_eq!(world.act(Kind::Kill, after).outcome(), Outcome::Gone);
    assert!(other.is_alive());
}

#[test]
fn a_process_that_began_a_moment_ago_is_waited_for() {
    let (mut world, mut server) = (World::new(Enforcement::On), Waiting::start());
    let id = server.id();
    world.responder.now = id.start_time + 5_000_000;
    let session = session(id);
    let order = Order {
        kind: Kind::Kill,
        target: Target::Server,
        tree: false,
        by: By::Rule { rule: "r", finding_id: "f" },
        session: &session,
        client: None,
        server: Some(id),
        delivered: Delivered::Unknown,
        decided: Instant::now(),
    };
    world.responder.act(&order, &mut world.known);
    world.responder.tick(id.start_time + 12_000_000, &mut world.known);
    assert!(world.responder.take_done().is_empty() && server.is_alive());
    world.responder.tick(id.start_time + 20_000_000, &mut world.known);
    assert_eq!(world.take().outcome(), Outcome::Done);
    assert_eq!(server.ends_by_signal(), Some(9));
}

#[test]
fn exempt_are_pid_1_the_kernel_the_sensor_and_what_started_it() {
    let mut world = World::new(Enforcement::On);
    let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get().unsigned_abs();
    let started_by = "the sensor was started by it";
    for (pid, why) in
        [(1, "the first process"), (2, "a thread of the kernel"), (std::process::id(), "the sensor itself"), (parent, started_by)]
    {
        if pid == 2 && !Path::new("/proc/2").exists() {
            continue;
        }
        for kind in [Kind::Kill, Kind::Stop] {
            let action = world.act(kind, id_of(pid));
            assert_eq!(action.outcome(), Outcome::Refused, "{pid}");
            assert!(action.detail.contains(why), "{pid}: {}", action.detail);
        }
    }
}

/// A copy of `sleep` under another name.
fn renamed(folder: &Path, name: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::copy("/bin/sleep", &path).unwrap();
    path
}

#[test]
fn exempt_are_the_system_s_programs_by_their_files_and_not_by_the_names_that_processes_give_themselves() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["containerd", "containerd-shim-runc-v2", "sshd", "systemd", "systemd-journald", "kubelet", "runc", "conmon"] {
        let mut shim = Waiting::program(&renamed(folder.path(), name));
        let action = World::new(Enforcement::On).act(Kind::Kill, shim.id());
        assert_eq!(action.outcome(), Outcome::Refused, "{name}");
        assert!(action.detail.contains("part of the system"), "{}", action.detail);
        assert!(shim.is_alive());
    }
    // A file that somebody else owns, or may write.
    let path = renamed(folder.path(), "sshd-session");
    std::os::unix::fs::chown(&path, Some(1000), None).unwrap();
    let mut fake = Waiting::program(&path);
    assert_eq!(World::new(Enforcement::On).act(Kind::Kill, fake.id()).outcome(), Outcome::Done);
    assert_eq!(fake.ends_by_signal(), Some(9));
    let path = renamed(folder.path(), "dockerd");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut fake = Waiting::program(&path);
    assert_eq!(World::new(Enforcement::On).act(Kind::Kill, fake.id()).outcome(), Outcome::Done);
    assert_eq!(fake.ends_by_signal(), Some(9));
    // The name in the arguments is the process's own choice.
    let mut fake = Waiting({
        use std::os::unix::process::CommandExt as _;
        Command::new("/bin/sleep").arg0("/usr/sbin/sshd").arg("1000").spawn().unwrap()
    });
    assert_eq!(World::new(Enforcement::On).act(Kind::Kill, fake.id()).outcome(), Outcome::Done);
    assert_eq!(fake.ends_by_signal(), Some(9));
}

#[test]
fn exempt_is_who_the_configuration_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = renamed(folder.path(), "database-17");
    let pattern = format!("{}/database-*", folder.path().display());
    let exempts = [
        (Exempt { executables: vec![pattern], ..Exempt::default() }, "exempt_exe"),
        (Exempt { users: vec![0], ..Exempt::default() }, "exempt_user"),
    ];
    for (exempt, why) in exempts {
        let mut process = Waiting::program(&path);
        let mut world = World::with(Settings { mode: Enforcement::On, exempt, actions_per_minute: 30 });
        let action = world.act(Kind::Kill, process.id());
        assert_eq!(action.outcome(), Outcome::Refused);
        assert!(action.detail.contains(why), "{}", action.detail);
        assert!(process.is_alive());
        // Taken off the list while the sensor runs.
        world.responder.set(Settings { mode: Enforcement::On, exempt: Exempt::default(), actions_per_minute: 30 });
        assert_eq!(world.act(Kind::Kill, process.id()).outcome(), Outcome::Done);
    }
}

#[test]
fn exec_since_the_records() {
    let mut world = World::new(Enforcement::On);
    let mut server = Waiting(Command::new("/bin/sh").args(["-c", "read line; exec sleep 1000"]).stdin(Stdio::piped()).spawn().unwrap());
    let id = server.id();
    let identities = world.known.identities().unwrap();
    while !identities.get(id).executable.contains("sh") {
        *identities = Identities::new(crate::identity::Settings::new(Box::new(<[String]>::to_vec)));
    }
    drop(server.0.stdin.take());
    while !std::fs::read_link(format!("/proc/{}/exe", id.pid)).unwrap().ends_with("sleep") {
        std::thread::yield_now();
    }
    let action = world.act(Kind::Kill, id);
    assert_eq!(action.outcome(), Outcome::Refused);
    assert!(action.detail.contains("another program"), "{}", action.detail);
    assert!(server.is_alive());
}

#[test]
fn a_storm_of_orders_is_stopped_by_the_limit_and_counted() {
    let mut world = World::with(Settings { mode: Enforcement::On, exempt: Exempt::default(), actions_per_minute: 3 });
    let mut servers: Vec<Waiting> = (0..8).map(|_| Waiting::start()).collect();
    let outcomes: Vec<Outcome> =
        servers.iter().map(Waiting::id).collect::<Vec<_>>().into_iter().map(|id| world.act(Kind::Kill, id).outcome()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Done).count(), 3);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Refused).count(), 5);
    assert_eq!(world.responder.refused_by_limit(), 5);
    assert!(servers.iter_mut().skip(3).all(Waiting::is_alive));
}

#[test]
fn without_a_guardian_nothing_is_stopped() {
    let (mut world, mut server) = (World::new(Enforcement::On), Waiting::start());
    let action = world.act(Kind::Stop, server.id());
    assert_eq!(action.outcome(), Outcome::Failed);
    assert!(action.detail.contains("guardian"), "{}", action.detail);
    assert!(server.is_alive() && world.responder.stopped.is_empty());
}

#[test]
fn the_others_of_a_condemned_side_are_marked_until_they_end_and_the_kernel_s_work_is_told() {
    use sensor_core::event::{Body, EventId, SessionState};
    let (mut world, mut workers) = (World::new(Enforcement::On), [Waiting::start(), Waiting::start(), Waiting::start()]);
    let ids = workers.each_ref().map(Waiting::id);
    let session = session(ids[0]);
    for id in [ids[1], ids[2], ids[0]] {
        world.responder.seen(&Event {
            id: EventId(1),
            time: 5,
            session: &session,
            client: session.client,
            server: Some(id),
            reader_in_doubt: false,
            body: Body::Session(SessionState::Updated),
        });
    }
    assert_eq!(world.act(Kind::Kill, ids[0]).outcome(), Outcome::Done);
    assert_eq!(workers[0].ends_by_signal(), Some(9));
    assert_eq!(*world.marks.0.lock().unwrap(), [(ids[1].pid, 9), (ids[2].pid, 9)]);

    let header = |process: ProcessId, kind: RecordKind| RecordHeader {
        kind: kind as u8,
        end: 2,
        loss: 0,
        flags: 0,
        length: 40,
        time: 9,
        start_time: process.start_time,
        pid: process.pid,
        tid: process.pid,
    };
    // Of another process with that pid: nothing of ours.
    let stranger = ProcessId { start_time: 1, ..ids[1] };
    let signal = |process| Record::Signal(SignalRecord { header: header(process, RecordKind::Signal), signal: 9, result: 0 });
    world.responder.record(&signal(stranger), &mut world.known);
    assert!(world.responder.take_done().is_empty());
    world.responder.record(&signal(ids[1]), &mut world.known);
    let action = world.take();
    assert_eq!((action.outcome(), action.mechanism(), action.kind()), (Outcome::Done, Mechanism::Kernel, Kind::Kill));
    assert_eq!((action.rule.as_str(), action.processes[0].process.as_ref().unwrap().pid), ("r-1", ids[1].pid));
    let exit = sensor_ebpf::ExitRecord { header: header(ids[2], RecordKind::Exit), status: 0, padding: 0 };
    world.responder.record(&Record::Exit(exit), &mut world.known);
    assert!(world.marks.0.lock().unwrap().is_empty() && world.responder.marked.is_empty());
}

#[test]
fn orders_by_hand_are_answered_and_named() {
    let mut server = Waiting::start();
    let mut world = World::new(Enforcement::DryRun);
    let id = server.id();
    let hand = |request: Request| {
        let (reply, answer) = std::sync::mpsc::channel();
        (ByHand { request, uid: 0, user: "root".to_owned(), pid: 77, reply }, answer)
    };
    let kill = |session: &str, force| Request::Kill {
        session: session.to_owned(),
        target: Side::Server,
        pid: None,
        tree: false,
        stop: false,
        force,
    };
    let (order, answer) = hand(kill("f00", false));
    world.responder.by_hand(order, &mut world.known);
    assert!(answer.try_recv().unwrap().unwrap_err().error.contains("no session f00"));
    let session = session(id);
    world.responder.sessions.seen(&Event {
        id: sensor_core::event::EventId(1),
        time: 1,
        session: &session,
        client: session.client,
        server: session.server,
        reader_in_doubt: false,
        body: sensor_core::event::Body::Session(sensor_core::event::SessionState::Opened),
    });
    let name = format!("{:016x}", session.id.0);
    for (force, outcome) in [(false, Outcome::DryRun), (true, Outcome::Done)] {
        let (order, _answer) = hand(kill(&name, force));
        assert!(order.in_words().unwrap().1.contains("uid 0 (root), pid 77"));
        world.responder.by_hand(order, &mut world.known);
        let action = world.take();
        assert_eq!((action.outcome(), action.ordered_by.as_str()), (outcome, "uid 0 (root), pid 77"));
    }
    assert_eq!(server.ends_by_signal(), Some(9));
    let (order, answer) = hand(Request::Resume(Which::All));
    world.responder.by_hand(order, &mut world.known);
    assert!(answer.try_recv().unwrap().unwrap_err().error.contains("no process is stopped"));
    world.responder.set(Settings { mode: Enforcement::Off, ..Settings::default() });
    let (order, _answer) = hand(kill(&name, true));
    world.responder.by_hand(order, &mut world.known);
    assert!(world.take().detail.contains("enforcement is off"));
}

#[test]
fn the_last_thousand_actions_are_remembered_without_what_fills_memory() {
    let mut world = World::new(Enforcement::On);
    for number in 0..REMEMBERED + 10 {
        let peer = v1::Peer { command_line: vec!["x".repeat(1000)], pid: 1, ..v1::Peer::default() };
        let victim = v1::action::Victim { process: Some(peer.clone()), ..Default::default() };
        let action = v1::Action { processes: vec![victim], action_id: number.to_string(), ..v1::Action::default() };
        let body = Some(v1::event::Body::Action(action));
        world.responder.remember(&v1::Event { client: Some(peer), body, ..v1::Event::default() });
    }
    assert_eq!(world.responder.history.len(), REMEMBERED);
    let Some(v1::event::Body::Action(first)) = &world.responder.history[0].body else { panic!() };
    assert_eq!(first.action_id, "10");
    assert!(first.processes[0].process.as_ref().unwrap().command_line.is_empty() && world.responder.history[0].client.is_none());
}
