//! The policy with real clients and servers under a real sensor: what rules find, and on whom they act.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test: what goes wrong fails it")]

use end_to_end::harness::{agent, beside, end_with_this_process, tests_folder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A rule acts on the whole host: one test at a time.
static HOST: Mutex<()> = Mutex::new(());

/// The fifth call of a session is one too many. Of a session of this test's own: the machine may be somebody's, and its
/// servers are none of ours.
fn a_loop() -> String {
    let me = std::env::current_exe().unwrap();
    format!(
        r#"
version: 1
rules:
  - id: too-many
    title: Five calls are enough
    on: call
    when: call.tool in ["echo", "slow"] && session.calls >= 5 && "{}" in client.ancestors
    severity: critical
    action: kill
    quiet: 10m
"#,
        me.display()
    )
}

/// Waits until something is there.
fn await_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waiting for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// True where a process has ended.
fn is_gone(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
}

/// A child that ends with this value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        end_with_this_process(command);
        Self(command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    fn end(mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the service's configuration says.
fn configuration(mode: &str) -> String {
    format!("[enforcement]\nmode = \"{mode}\"\n")
}

/// A service with a policy; its collector is away unless there is one in its folder.
struct Service {
    folder: TempDir,
    child: Running,
}

impl Service {
    fn start(policy: &str, mode: &str, more: &[&str]) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), policy, mode, more)
    }

    fn in_folder(folder: TempDir, policy: &str, mode: &str, more: &[&str]) -> Self {
        let file = folder.path().join("policy.yaml");
        std::fs::write(&file, policy).unwrap();
        std::fs::write(folder.path().join("sensor.toml"), configuration(mode)).unwrap();
        let mut command = Command::new(agent());
        command.args(["run", "--log-level", "info", "--shutdown", "0s", "--backoff-max", "1s"]).args(more);
        command.arg("--config").arg(folder.path().join("sensor.toml"));
        command.stderr(std::fs::File::create(folder.path().join("log")).unwrap());
        command.arg("--policy").arg(file).arg("--collector").arg(format!("unix:{}", folder.path().join("collector.sock").display()));
        command.arg("--control-socket").arg(folder.path().join("control.sock"));
        let service = Self { child: Running::start(&mut command), folder };
        await_some("the service", || service.events());
        service
    }

    /// Gives it another mode by its configuration; returns when that is in force.
    fn set_mode(&self, mode: &str) {
        let reloads =
            || std::fs::read_to_string(self.folder.path().join("log")).unwrap().matches("the configuration was read again").count();
        let before = reloads();
        std::fs::write(self.folder.path().join("sensor.toml"), configuration(mode)).unwrap();
        kill_process(Pid::from_child(&self.child.0), Signal::HUP).unwrap();
        await_some("the configuration to be read again", || (reloads() > before).then_some(()));
        // What the pipeline was told before is done when it answers.
        self.events().unwrap();
    }

    /// The events of the last actions.
    fn events(&self) -> Option<Vec<Value>> {
        let mut command = Command::new(agent());
        let output = command.args(["actions", "--json", "--control-socket"]).arg(self.folder.path().join("control.sock")).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// The first action about a process whose executable's path has this in it.
    fn action_on(&self, part: &str) -> Value {
        await_some(&format!("an action on {part}"), || {
            let mut events = self.events().unwrap().into_iter();
            let about = |event: &Value| event["action"]["processes"][0]["process"]["exe"].as_str().is_some_and(|exe| exe.contains(part));
            events.find(about).map(|mut event| event["action"].take())
        })
    }
}

/// The raw client with a server; it calls until the server is gone.
fn client(folder: &Path, server: &mut Command) -> Running {
    let mut command = Command::new(beside("peer"));
    command.args(["client", "--tool", "echo", "--calls", "1000000", "--"]).arg(server.get_program()).args(server.get_args());
    command.env("TRUTH_DIR", folder).env("TRUTH_SESSION", "s").stdout(Stdio::null()).stderr(Stdio::null());
    Running::start(&mut command)
}

/// A client of the published server `everything`, which asks for other arguments.
fn client_of_everything(folder: &Path, server: &Command) -> Running {
    let call = json!({"tool": "echo", "arguments": {"message": "x"}});
    let mut command = Command::new(tests_folder().join("peers/run"));
    command.args(["python2", "client", "--era", "legacy", "--scenario", "calls", "--calls", &json!(vec![call; 500]).to_string(), "--"]);
    command.arg(server.get_program()).args(server.get_args());
    command.env("TRUTH_DIR", folder).env("TRUTH_SESSION", "s").stdout(Stdio::null()).stderr(Stdio::null());
    Running::start(&mut command)
}

fn sdk(name: &str) -> Command {
    let mut command = Command::new(tests_folder().join("peers/run"));
    command.args([name, "server"]);
    command
}

/// A server behind npx: npm's own where this machine's Node has it, else the processes that it makes (itself, a shell).
fn by_npx() -> Command {
    let cache = PathBuf::from(std::env::var_os("MCP_PEERS_DIR").unwrap_or_else(|| "/var/cache/mcp-sensor-peers".into()));
    let node = cache.join("bin/node").canonicalize().unwrap();
    let npx = node.parent().unwrap().join("../lib/node_modules/npm/bin/npx-cli.js");
    let modules = cache.join("published/node_modules/.bin");
    let start = if npx.exists() {
        format!("cd {} && {} {} --no-install mcp-server-everything", cache.join("published").display(), node.display(), npx.display())
    } else {
        format!("sh -c '{} {}/mcp-server-everything; exit $?'", node.display(), modules.display())
    };
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("PATH={}:$PATH; export PATH; {start}; exit $?", cache.join("bin").display()));
    command
}

/// A server in a container, with this host's libraries.
fn in_runc(folder: &Path) -> Command {
    let (bundle, root) = (folder.join("bundle"), folder.join("root"));
    std::fs::create_dir(&bundle).unwrap();
    std::fs::create_dir(&root).unwrap();
    for name in ["bin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name)).unwrap();
    }
    assert!(Command::new("runc").args(["spec", "--bundle"]).arg(&bundle).status().unwrap().success(), "runc spec");
    let file = bundle.join("config.json");
    let mut spec: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    // Limits are another's matter; the machines of the tests have not all of the controllers.
    spec["process"].as_object_mut().unwrap().remove("rlimits");
    spec["linux"].as_object_mut().unwrap().remove("resources");
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(["/peer", "server"]);
    spec["root"] = json!({"path": root, "readonly": false});
    let mounts = spec["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "cgroup");
    for (from, to) in [(Path::new("/usr"), "/usr"), (&beside("peer"), "/peer")] {
        mounts.push(json!({"destination": to, "type": "bind", "source": from, "options": ["rbind", "ro"]}));
    }
    std::fs::write(&file, spec.to_string()).unwrap();
    let mut command = Command::new("runc");
    command.arg("--root").arg(folder.join("runc")).args(["run", "--bundle"]).arg(bundle).arg(format!("mcp-policy-{}", std::process::id()));
    command
}

/// A rule ends exactly the process that reads the calls, whatever stands between it and its client, while the collector is
/// away.
#[test]
fn a_rule_kills_the_server_of_a_loop_and_nobody_else() {
    let _host = HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let service = Service::start(&a_loop(), "on", &["--actions-per-minute", "1000"]);
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, Command, &str); 6] = [
        ("Python", sdk("python2"), "python"),
        ("Node", sdk("node1"), "/node"),
        ("Bun", sdk("bun1"), "/bun"),
        ("Go", sdk("go"), "/go/peer"),
        ("npx", by_npx(), "/node"),
        ("runc", in_runc(folder.path()), "/peer"),
    ];
    let mut seen = BTreeSet::new();
    for (what, mut server, exe) in cases {
        let logs = tempfile::tempdir().unwrap();
        let _client = if what == "npx" { client_of_everything(logs.path(), &server) } else { client(logs.path(), &mut server) };
        let action = await_some(&format!("{what}: an action"), || {
            let mut events = service.events().unwrap().into_iter().map(|mut event| event["action"].take());
            events.find(|action| !seen.contains(action["actionId"].as_str().unwrap()))
        });
        seen.insert(action["actionId"].as_str().unwrap().to_owned());
        let victim = &action["processes"][0]["process"];
        assert_eq!(
            (&action["kind"], &action["outcome"], &action["rule"]),
            (&json!("KILL"), &json!("DONE"), &json!("too-many")),
            "{what}: {action}"
        );
        assert!(victim["exe"].as_str().unwrap().contains(exe), "{what}: {victim}");
        assert_eq!(action["processes"].as_array().unwrap().len(), 1, "{what}: {action}");
        assert!(action["latencyNs"].is_string() && action["findingId"].as_str().unwrap().len() == 32, "{what}: {action}");
        assert!(matches!(action["deliveredBeforeKill"].as_str(), Some("YES" | "NO" | "UNKNOWN")), "{what}: {action}");
        let pid = victim["pid"].as_u64().unwrap();
        await_some(&format!("{what}: the server's end"), || is_gone(pid).then_some(()));
    }
}

#[test]
fn a_dry_run_tells_what_it_would_do_and_does_nothing() {
    let _host = HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(&a_loop(), "dry-run", &[]);
    let mut server = Command::new(beside("peer"));
    let mut running = client(folder.path(), server.arg("server"));
    let action = service.action_on("/peer");
    assert_eq!((&action["outcome"], &action["mechanism"]), (&json!("DRY_RUN"), &Value::Null), "{action}");
    let pid = action["processes"][0]["process"]["pid"].as_u64().unwrap();
    assert!(!is_gone(pid) && running.0.try_wait().unwrap().is_none());
}

#[test]
fn the_mode_changes_while_the_service_runs() {
    let _host = HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let (_collector, address) = collector(folder.path());
    let service = Service::in_folder(folder, &a_loop(), "dry-run", &["--actions-per-minute", "1000"]);
    let pid_of = |event: &Value| event["server"]["pid"].as_u64().unwrap();
    let mut offenders = BTreeSet::new();
    // A session that the rule is about; gives its server's pid, and what was done about it.
    let mut offend = |logs: &TempDir| {
        let mut server = Command::new(beside("peer"));
        let running = client(logs.path(), server.arg("server"));
        let finding = await_some("a finding", || stored(&address, "finding").into_iter().find(|event| !offenders.contains(&pid_of(event))));
        let pid = pid_of(&finding);
        offenders.insert(pid);
        // It acts before it does anything else, such as to answer this.
        let mut actions = service.events().unwrap().into_iter().map(|mut event| event["action"].take());
        let action = actions.find(|action| action["processes"][0]["process"]["pid"] == pid);
        (running, pid, action.map(|action| action["outcome"].as_str().unwrap().to_owned()))
    };
    let logs: [TempDir; 3] = std::array::from_fn(|_| tempfile::tempdir().unwrap());

    let (mut first, spared, outcome) = offend(&logs[0]);
    assert_eq!(outcome.as_deref(), Some("DRY_RUN"));
    assert!(!is_gone(spared) && first.0.try_wait().unwrap().is_none());
    drop(first);
    service.set_mode("on");
    let (_second, killed, outcome) = offend(&logs[1]);
    assert_eq!(outcome.as_deref(), Some("DONE"));
    await_some("the server's end", || is_gone(killed).then_some(()));
    service.set_mode("off");
    let (mut third, spared, outcome) = offend(&logs[2]);
    assert_eq!(outcome, None);
    assert!(!is_gone(spared) && third.0.try_wait().unwrap().is_none());
}

#[test]
fn a_policy_that_would_kill_the_exempt_is_refused() {
    let _host = HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let exempt = beside("peer");
    let service = Service::start(&a_loop(), "on", &["--exempt-exe", exempt.to_str().unwrap()]);
    let mut server = Command::new(&exempt);
    let mut running = client(folder.path(), server.arg("server"));
    let action = await_some("an action", || service.events().unwrap().into_iter().map(|mut event| event["action"].take()).next());
    assert_eq!(action["outcome"], "REFUSED", "{action}");
    assert!(running.0.try_wait().unwrap().is_none());
}

/// A collector with its store in a folder, and where it listens.
fn collector(folder: &Path) -> (Running, String) {
    let address = format!("unix:{}", folder.join("collector.sock").display());
    let mut command = Command::new(beside("mcp-collector"));
    command.args(["serve", "--log-level", "error", "--listen", &address, "--directory"]).arg(folder.join("store"));
    (Running::start(&mut command), address)
}

/// What a collector has of some kinds of events.
fn stored(collector: &str, kind: &str) -> Vec<Value> {
    let mut command = Command::new(beside("mcp-collector"));
    let output = command.args(["events", "--address", collector, "--kind", kind, "--json"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_policy_is_reloaded_whole_or_not_at_all_and_that_is_told() {
    let _host = HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let (_collector, address) = collector(folder.path());
    let service = Service::in_folder(folder, &a_loop(), "dry-run", &[]);
    let audits = || -> Vec<(String, String)> {
        let events = stored(&address, "sensor");
        let audits = events.iter().flat_map(|event| event["sensor"]["audits"].as_array().cloned().unwrap_or_default());
        audits.map(|audit| (audit["kind"].as_str().unwrap().to_owned(), audit["detail"].as_str().unwrap_or_default().to_owned())).collect()
    };
    await_some("the first policy", || audits().iter().any(|(kind, _)| kind == "POLICY_LOADED").then_some(()));

    let file = service.folder.path().join("policy.yaml");
    std::fs::write(&file, a_loop().replace("call.tool in", "call.tol in")).unwrap();
    let refused = await_some("a refusal", || audits().into_iter().find(|(kind, _)| kind == "POLICY_REFUSED"));
    assert!(refused.1.contains("there is no `call.tol` (did you mean `call.tool`?)"), "{refused:?}");

    // The one before is still in force.
    let logs = tempfile::tempdir().unwrap();
    let mut server = Command::new(beside("peer"));
    let _client = client(logs.path(), server.arg("server"));
    service.action_on("/peer");
    let finding = await_some("the finding", || stored(&address, "finding").into_iter().next());
    assert_eq!((&finding["finding"]["rule"], &finding["severity"]), (&json!("too-many"), &json!("CRITICAL")), "{finding}");
    assert_eq!(finding["finding"]["tool"], "echo");
    await_some("the action", || stored(&address, "action").into_iter().next());

    std::fs::write(&file, a_loop().replace("too-many", "other-rule")).unwrap();
    await_some("the next policy", || (audits().iter().filter(|(kind, _)| kind == "POLICY_LOADED").count() > 1).then_some(()));
}

/// What was found in one session, from the events of a sensor: ids and rules.
fn found<'e>(events: impl Iterator<Item = &'e Value>, session: &Value) -> Vec<(String, String)> {
    let found = events.filter(|event| event["finding"].is_object() && event["session"]["id"] == *session);
    found.map(|event| (event["id"].as_str().unwrap().to_owned(), event["finding"]["rule"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn a_recording_judged_again_gives_the_findings_of_the_day() {
    let _host = HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape.pcapng");
    let mut command = Command::new(agent());
    command.args(["record", "--level", "full", "--json", "--policy", "shipped", "-o"]).arg(&tape);
    let mut recording = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut lines = BufReader::new(recording.0.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    while next()["sensor"]["state"] != "READY" {}

    let calls = json!([
        {"tool": "echo", "arguments": {"text": "../../../../etc/shadow"}},
        {"tool": "echo", "arguments": {"text": "http://169.254.169.254/latest/meta-data/"}},
        {"tool": "echo", "arguments": {"text": "nothing to see"}},
    ]);
    let mut command = Command::new(tests_folder().join("peers/run"));
    command.args(["python2", "client", "--era", "legacy", "--scenario", "calls", "--calls", &calls.to_string(), "--"]);
    command.arg(tests_folder().join("peers/run")).args(["python2", "server"]).env("TRUTH_DIR", folder.path());
    assert!(Running::start(command.stdout(Stdio::null())).0.wait().unwrap().success());

    let mut live = Vec::new();
    let session = loop {
        live.push(next());
        let event = &live[live.len() - 1];
        if event["sessionChange"]["state"] == "CLOSED" && event["client"]["exe"].as_str().is_some_and(|exe| exe.contains("python")) {
            break event["session"]["id"].clone();
        }
    };
    let live = found(live.iter(), &session);
    let rules: BTreeSet<&str> = live.iter().map(|(_, rule)| rule.as_str()).collect();
    assert!(rules.contains("path-traversal") && rules.contains("ssrf-metadata"), "{live:?}");
    recording.end(Signal::TERM);

    // As they were recorded, and judged anew.
    for more in [&[][..], &["--policy", "shipped"]] {
        let output = Command::new(agent()).arg("replay").arg(&tape).arg("--json").args(more).output().unwrap();
        let events: Vec<Value> =
            String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(found(events.iter(), &session), live, "{more:?}");
    }
}
