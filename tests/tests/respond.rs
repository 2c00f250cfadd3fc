//! Stopping and killing, with real processes and a real sensor: exactly the right one, or nobody.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test: what goes wrong fails it")]

#[path = "respond/cut_short.rs"]
mod cut_short;
#[path = "respond/reuse.rs"]
mod reuse;

use end_to_end::harness::{agent, beside, end_with_this_process};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{PoisonError, RwLock, RwLockReadGuard},
    time::{Duration, Instant},
};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until something holds.
fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "waiting for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The letter of a process's state; `None` where it is gone.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

fn is_gone(pid: u32) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// A child that ends with this value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        end_with_this_process(command);
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Held by who has pids given out again, for himself: others would find theirs used by strangers.
static PIDS: RwLock<()> = RwLock::new(());

/// A sensor as a service, with nobody to send events to.
struct Service {
    child: Running,
    _pids: RwLockReadGuard<'static, ()>,
    folder: tempfile::TempDir,
}

impl Service {
    fn start(mode: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(agent());
        command.args(["run", "--log-level", "error", "--shutdown", "0s", "--enforcement", mode]);
        if !more.contains(&"--actions-per-minute") {
            command.args(["--actions-per-minute", "10000"]);
        }
        command.args(more).arg("--collector").arg(format!("unix:{}", folder.path().join("nobody").display()));
        command.arg("--control-socket").arg(folder.path().join("control.sock")).stdin(Stdio::null());
        let pids = PIDS.read().unwrap_or_else(PoisonError::into_inner);
        let service = Self { child: Running::start(&mut command), _pids: pids, folder };
        // It answers once it captures.
        await_that("the service", || service.folder.path().join("control.sock").exists());
        await_that("the pipeline", || service.command(&["actions"]).0.is_some());
        service
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    /// Runs a command of the sensor; gives the events that it prints, or what it says instead.
    fn command(&self, words: &[&str]) -> (Option<Vec<Value>>, String) {
        let output = Command::new(agent()).args(words).arg("--json").arg("--control-socket").arg(self.socket()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let events = String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (said.is_empty().then_some(events), said)
    }

    /// The one action that an order brings about.
    fn order(&self, words: &[&str]) -> Value {
        let (events, said) = self.command(words);
        let mut events = events.unwrap_or_else(|| panic!("{words:?}: {said}"));
        assert_eq!(events.len(), 1, "{words:?}");
        events.remove(0)["action"].take()
    }

    /// The last actions.
    fn actions(&self) -> Vec<Value> {
        self.command(&["actions"]).0.unwrap().into_iter().map(|mut event| event["action"].take()).collect()
    }

    /// Waits for the session of a client; gives its id and the pid of its server.
    fn session(&self, client: u32) -> (String, u32) {
        let mut found = None;
        await_that("the session", || {
            let said = self.command(&["kill", "no-such-session"]).1;
            let wanted = format!("(client pid {client}, server pid ");
            found = said.find(&wanted).map(|at| {
                let id = said[..at].trim_end().rsplit(' ').next().unwrap().to_owned();
                let server = said[at + wanted.len()..].split(')').next().unwrap().parse().unwrap();
                (id, server)
            });
            found.is_some()
        });
        found.unwrap()
    }
}

/// A conversation of `peer client` with a server, in a folder for its logs.
struct Conversation {
    client: Running,
    _folder: tempfile::TempDir,
}

impl Conversation {
    fn start(server: &[&str]) -> Self {
        Self::with(&[], server)
    }

    fn with(client: &[&str], server: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(beside("peer"));
        command.args(["client", "--tool", "slow", "--slow-ms", "10", "--calls", "1000000"]).args(client).arg("--").args(server);
        command.env("TRUTH_DIR", folder.path()).env("TRUTH_SESSION", "s").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { client: Running::start(&mut command), _folder: folder }
    }

    fn client(&self) -> u32 {
        self.client.0.id()
    }

    fn client_goes_on(&mut self) -> bool {
        self.client.0.try_wait().unwrap().is_none()
    }
}

/// A shell that serves, with this test as its client.
struct Shell {
    child: Running,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next: u32,
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
const INITIALIZED: &str =
    r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"sh","version":"1"}}}"#;

impl Shell {
    /// `then`: what it does after it has answered `initialize`.
    fn start(then: &str) -> Self {
        let script = format!("read line; echo '{INITIALIZED}'; {then}");
        Self::program(Command::new("/bin/sh").args(["-c", &script]))
    }

    fn program(command: &mut Command) -> Self {
        let mut child = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let (input, output) = (child.0.stdin.take().unwrap(), BufReader::new(child.0.stdout.take().unwrap()));
        let mut shell = Self { child, input, output, next: 0 };
        shell.say(INITIALIZE);
        shell.hear();
        shell
    }

    fn say(&mut self, line: &str) {
        // In one call: of several readers, one gets all of it.
        self.input.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    fn call(&mut self) {
        self.next += 1;
        let line = format!(r#"{{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{{"name":"echo","arguments":{{}}}}}}"#, self.next);
        self.say(&line);
    }

    fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Its session with this test.
    fn session(&self, service: &Service, servers: &[u32]) -> String {
        let mut id = String::new();
        await_that("the session", || {
            let said = service.command(&["kill", "no-such-session"]).1;
            let wanted = servers.iter().map(|server| format!("(client pid {}, server pid {server})", std::process::id()));
            wanted.into_iter().find_map(|wanted| said.find(&wanted)).is_some_and(|at| {
                said[..at].trim_end().rsplit(' ').next().unwrap().clone_into(&mut id);
                true
            })
        });
        id
    }
}

/// A server of three processes that read one standard input, whoever is first.
const POOL: &str = r#"
import json, os
os.fork() and os.fork()
while True:
    read = os.read(0, 65536)
    if not read:
        break
    for line in read.splitlines():
        asked = json.loads(line)
        result = {"content": [], "pid": os.getpid()}
        if asked["method"] == "initialize":
            result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "pool", "version": "1"}}
        os.write(1, (json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}) + "\n").encode())
"#;

/// Answers calls for ever: the ids count from 1.
const SERVE: &str = r#"n=1; while read line; do echo '{"jsonrpc":"2.0","id":'$n',"result":{"content":[]}}'; n=$((n+1)); done"#;

#[test]
fn direct_child_is_stopped_resumed_and_killed_by_hand() {
    let service = Service::start("on", &[]);
    let conversation = Conversation::start(&["peer", "server"]);
    let (id, server) = service.session(conversation.client());

    let action = service.order(&["kill", &id[..8], "--stop"]);
    assert_eq!((&action["outcome"], &action["kind"], &action["mechanism"]), (&"DONE".into(), &"STOP".into(), &"PIDFD".into()), "{action}");
    await_that("the stop", || state(server) == Some('T'));
    let stop_id = action["actionId"].as_str().unwrap().to_owned();
    assert!(service.command(&["resume", "ffffffffffffffff"]).1.contains("no such process is stopped"));
    let action = service.order(&["resume", &stop_id]);
    assert_eq!((&action["outcome"], &action["kind"]), (&"DONE".into(), &"RESUME".into()), "{action}");
    await_that("the resume", || state(server) != Some('T'));
    assert!(service.command(&["resume", "--all"]).1.contains("no process is stopped"));

    let action = service.order(&["kill", &id]);
    assert_eq!((&action["outcome"], &action["kind"]), (&"DONE".into(), &"KILL".into()), "{action}");
    assert!(action["orderedBy"].as_str().unwrap().starts_with("uid 0"), "{action}");
    assert!(action["latencyNs"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    await_that("the kill", || is_gone(server));
    let kinds: Vec<Value> = service.actions().into_iter().map(|mut action| action["kind"].take()).collect();
    assert_eq!(kinds, ["STOP", "RESUME", "KILL"]);
    let said = service.command(&["kill", &id]);
    let closed = said.1.contains("has closed");
    assert!(closed || said.0.unwrap()[0]["action"]["outcome"] == "GONE", "{}", said.1);
}

#[test]
fn in_dry_run_nothing_is_done_but_by_force_and_never_to_the_exempt() {
    let service = Service::start("dry-run", &["--exempt-cgroup", "/no-such-group"]);
    let mut conversation = Conversation::start(&["peer", "server"]);
    let (id, server) = service.session(conversation.client());
    for words in [&["kill", &id][..], &["kill", &id, "--stop", "--tree"], &["kill", &id, "--target", "both"]] {
        let action = service.order(words);
        assert_eq!(action["outcome"], "DRY_RUN", "{action}");
    }
    assert!(conversation.client_goes_on() && !matches!(state(server), Some('T') | None));
    assert_eq!(service.order(&["kill", &id, "--force"])["outcome"], "DONE");
    await_that("the kill", || is_gone(server));

    drop(service);
    let exempt = beside("peer");
    let service = Service::start("dry-run", &["--exempt-exe", exempt.to_str().unwrap()]);
    let mut conversation = Conversation::start(&["peer", "server"]);
    let (id, server) = service.session(conversation.client());
    for words in
        [&["kill", &id][..], &["kill", &id, "--force"], &["kill", &id, "--force", "--tree"], &["kill", &id, "--force", "--target", "both"]]
    {
        let action = service.order(words);
        assert_eq!(action["outcome"], "REFUSED", "{action}");
        assert!(action["detail"].as_str().unwrap().contains("exempt_exe"), "{action}");
    }
    assert!(conversation.client_goes_on() && !is_gone(server));
}

#[test]
fn whatever_ends_the_sensor_nobody_stays_stopped() {
    for signal in [Signal::TERM, Signal::KILL, Signal::ABORT] {
        let service = Service::start("on", &[]);
        let mut conversation = Conversation::start(&["peer", "server"]);
        let (id, server) = service.session(conversation.client());
        assert_eq!(service.order(&["kill", &id, "--stop"])["outcome"], "DONE");
        await_that("the stop", || state(server) == Some('T'));
        let guardian = children(service.child.0.id());
        service.child.signal(signal);
        await_that("the server to go on", || state(server) != Some('T'));
        assert!(conversation.client_goes_on() && !is_gone(server), "{signal:?}");
        await_that("the guardian's end", || guardian.iter().all(|guardian| is_gone(*guardian)));
    }
}

#[test]
fn a_guardian_that_is_killed_is_started_anew_and_told_who_is_stopped() {
    let service = Service::start("on", &[]);
    let conversation = Conversation::start(&["peer", "server"]);
    let (id, server) = service.session(conversation.client());
    assert_eq!(service.order(&["kill", &id, "--stop"])["outcome"], "DONE");
    let [guardian] = children(service.child.0.id())[..] else { panic!("one guardian") };
    for harmless in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(Pid::from_raw(guardian.cast_signed()).unwrap(), harmless).unwrap();
    }
    kill_process(Pid::from_raw(guardian.cast_signed()).unwrap(), Signal::KILL).unwrap();
    let holds = |guardian: &u32| {
        // Between fork and exec, it has copies of the sensor's own handles.
        let words = std::fs::read_to_string(format!("/proc/{guardian}/cmdline")).unwrap_or_default();
        if !words.contains("guardian-of-stopped-processes") {
            return false;
        }
        let descriptors = std::fs::read_dir(format!("/proc/{guardian}/fd")).into_iter().flatten().flatten();
        descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok()).any(|link| link.to_string_lossy().contains("pidfd"))
    };
    await_that("another guardian", || children(service.child.0.id()).iter().any(|child| *child != guardian && holds(child)));
    assert_eq!(state(server), Some('T'));
    service.child.signal(Signal::KILL);
    await_that("the server to go on", || state(server) != Some('T'));
}

#[test]
fn a_storm_is_stopped_by_the_limit() {
    let service = Service::start("on", &["--actions-per-minute", "5"]);
    let conversations: Vec<Conversation> = (0..8).map(|_| Conversation::start(&["peer", "server"])).collect();
    let sessions: Vec<(String, u32)> = conversations.iter().map(|conversation| service.session(conversation.client())).collect();
    let outcomes: Vec<Value> = sessions.iter().map(|(id, _)| service.order(&["kill", id])).collect();
    let count = |wanted: &str| outcomes.iter().filter(|action| action["outcome"] == wanted).count();
    assert_eq!((count("DONE"), count("REFUSED")), (5, 3), "{outcomes:?}");
    assert!(outcomes[7]["detail"].as_str().unwrap().contains("limit of 5 actions a minute"));
    for (number, (_, server)) in sessions.iter().enumerate() {
        if number < 5 {
            await_that("the kill", || is_gone(*server));
        } else {
            assert!(!is_gone(*server));
        }
    }
}

#[test]
fn launcher_is_left_and_what_read_the_message_is_killed() {
    let service = Service::start("on", &[]);
    let conversation = Conversation::start(&["peer", "launcher", "--", "peer", "launcher", "--", "peer", "server"]);
    let (id, server) = service.session(conversation.client());
    let outer = children(conversation.client());
    let inner = children(outer[0]);
    assert_eq!(children(inner[0]), [server]);
    let action = service.order(&["kill", &id]);
    assert_eq!(action["processes"][0]["process"]["pid"], server, "{action}");
    await_that("the kill", || is_gone(server));
}

#[test]
fn relay_is_left_and_the_server_behind_it_is_killed() {
    let service = Service::start("on", &[]);
    let conversation = Conversation::start(&["peer", "relay", "--", "peer", "server"]);
    let (first, relay) = service.session(conversation.client());
    let (second, server) = service.session(relay);
    assert_eq!(children(relay), [server]);
    // It has shown that it is one once both sessions are told so.
    let action = service.order(&["kill", &first, "--stop"]);
    assert_eq!(action["processes"][0]["process"]["pid"], server, "{action}");
    service.order(&["resume", "--all"]);
    let action = service.order(&["kill", &second, "--target", "client", "--stop"]);
    assert_eq!(action["processes"][0]["process"]["pid"], conversation.client(), "{action}");
    service.order(&["resume", "--all"]);
    assert_eq!(service.order(&["kill", &first])["outcome"], "DONE");
    await_that("the kill", || is_gone(server));
}

#[test]
fn of_workers_one_is_killed_and_the_kernel_kills_the_others_when_they_read_next() {
    let service = Service::start("on", &[]);
    let mut pool = Shell::program(Command::new("python3").args(["-c", POOL]));
    let mut workers = children(pool.pid());
    assert_eq!(workers.len(), 2);
    workers.push(pool.pid());
    // Whoever is quick reads: it may take a while until each has had its turn.
    let mut spoken = std::collections::HashSet::new();
    await_that("all workers to have spoken", || {
        pool.call();
        let answer: Value = serde_json::from_str(&pool.hear()).unwrap();
        spoken.insert(answer["result"]["pid"].as_u64().unwrap());
        spoken.len() == 3
    });
    let id = pool.session(&service, &workers);
    let mut said = String::new();
    await_that("the sensor to have heard of all", || {
        let action = service.order(&["kill", &id]);
        assert_eq!(action["outcome"], "REFUSED", "{action}");
        action["detail"].as_str().unwrap().clone_into(&mut said);
        workers.iter().all(|worker| said.contains(&worker.to_string()))
    });
    assert!(said.contains("several processes"), "{said}");
    assert!(service.order(&["kill", &id, "--pid", "1"])["detail"].as_str().unwrap().contains("not that side"));
    let action = service.order(&["kill", &id, "--pid", &workers[0].to_string()]);
    assert_eq!((&action["outcome"], &action["processes"][0]["process"]["pid"]), (&"DONE".into(), &workers[0].into()), "{action}");
    await_that("the kill", || is_gone(workers[0]));
    // What is left of them is marked: the next that reads is killed before it can answer.
    pool.call();
    let mut by_kernel = Vec::new();
    await_that("the kernel's turn", || {
        by_kernel = service.actions().into_iter().filter(|action| action["mechanism"] == "KERNEL").collect();
        !by_kernel.is_empty()
    });
    let told = &by_kernel[0];
    assert_eq!((&told["outcome"], &told["kind"]), (&"DONE".into(), &"KILL".into()), "{told}");
    let victim = told["processes"][0]["process"]["pid"].as_u64().unwrap();
    assert!(workers[1..].iter().any(|worker| u64::from(*worker) == victim), "{told}");
    await_that("its end", || is_gone(u32::try_from(victim).unwrap()));
}

#[test]
fn handed_over_to_a_worker_the_worker_is_killed_and_the_listener_is_left() {
    let service = Service::start("on", &[]);
    let conversation = Conversation::with(&["--transport", "unix", "--pass-listener"], &["peer", "handoff"]);
    let (id, server) = service.session(conversation.client());
    let listener = children(conversation.client())[0];
    assert_eq!(children(listener), [server]);
    let action = service.order(&["kill", &id]);
    assert_eq!((&action["outcome"], &action["processes"][0]["process"]["pid"]), (&"DONE".into(), &server.into()), "{action}");
    await_that("the kill", || is_gone(server));
}

#[test]
fn exec_since_and_gone_are_refused() {
    let service = Service::start("on", &[]);
    let mut shell = Shell::start(r#"read line; echo '{"jsonrpc":"2.0","id":1,"result":{"content":[]}}'; read line; exec sleep 1000"#);
    shell.call();
    shell.hear();
    let id = shell.session(&service, &[shell.pid()]);
    // What makes it begin another program is no message.
    shell.say("");
    await_that("the exec", || {
        std::fs::read_link(format!("/proc/{}/exe", shell.pid()))
            .is_ok_and(|exe| exe.to_string_lossy().contains("sleep") || exe.to_string_lossy().contains("coreutils"))
    });
    let mut action = Value::Null;
    await_that("the news of it", || {
        action = service.order(&["kill", &id, "--stop"]);
        action["outcome"] == "REFUSED"
    });
    assert!(action["detail"].as_str().unwrap().contains("another program"), "{action}");
    assert_eq!(state(shell.pid()), Some('S'));
    shell.child.signal(Signal::KILL);
    shell.child.0.wait().unwrap();
    let (events, said) = service.command(&["kill", &id]);
    assert!(said.contains("has closed") || events.is_some_and(|events| events[0]["action"]["outcome"] == "GONE"), "{said}");
}

#[test]
fn tree_takes_every_descendant_though_they_fork() {
    let service = Service::start("on", &[]);
    // Each of its children has children of its own, and new ones come all the time.
    let marked = format!("1000.{}", std::process::id());
    let forks = format!("(while :; do (sleep {marked} & sleep {marked}) & sleep 0.01; done) & {SERVE}");
    let mut shell = Shell::start(&forks);
    shell.call();
    shell.hear();
    let pid = shell.pid();
    let id = shell.session(&service, &[shell.pid()]);
    let sleepers = || {
        let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let is_marked = |pid: &u32| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&format!("\0{marked}\0")))
        };
        pids.filter(is_marked).filter(|pid| !is_gone(*pid)).count()
    };
    await_that("descendants", || sleepers() >= 6);
    let action = service.order(&["kill", &id, "--tree"]);
    assert_eq!(action["outcome"], "DONE", "{action}");
    assert!(action["processes"].as_array().unwrap().len() >= 6, "{action}");
    await_that("the kill", || is_gone(pid) && sleepers() == 0);
}
