//! Whole-module tests: records as the kernel would send them, and live children of the test process.

use super::{proc::ProcessDir, *};
use proptest::prelude::*;
use ring::digest::{SHA256, digest};
use sensor_ebpf::RecordKind;
use std::{
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use zerocopy::FromZeros;

const SECOND: u64 = 1_000_000_000;

fn redact() -> Redact {
    Box::new(|arguments| arguments.iter().map(|argument| argument.replace("hunter2", "***")).collect())
}

fn settings() -> Settings {
    Settings { proc: None, passwd: None, ..Settings::new(redact()) }
}

/// With `/proc`, even where the tests run in a pid namespace of their own: there it is the tests' host.
fn live_identities() -> Identities {
    let mut identities = Identities::new(settings());
    identities.proc = Some("/proc".into());
    identities.worker = Worker::new("/proc".into(), 4 << 30);
    identities
}

fn id(pid: u32, start_time: u64) -> ProcessId {
    ProcessId { pid, start_time }
}

fn header(kind: RecordKind, process: ProcessId) -> RecordHeader {
    let ProcessId { pid, start_time } = process;
    RecordHeader {
        kind: kind as u8,
        start_time,
        pid,
        tid: pid,
        time: start_time + SECOND,
        ..RecordHeader::new_zeroed()
    }
}

fn put_path(target: &mut [u8], path: &str) -> u32 {
    let mut at = 0;
    for component in path.rsplit('/').filter(|part| !part.is_empty()) {
        target[at..at + component.len()].copy_from_slice(component.as_bytes());
        at += component.len() + 1;
    }
    at as u32
}

/// An exec, with garbage of earlier ones behind what is used.
fn exec(process: ProcessId, parent: ProcessId, executable: &str, arguments: &str) -> ExecRecord {
    let mut record = ExecRecord::new_zeroed();
    record.header = header(RecordKind::Exec, process);
    (record.parent_pid, record.parent_start_time) = (parent.pid, parent.start_time);
    (record.executable_device, record.executable_inode) = (0x0080_0001, 4711);
    (record.user, record.login_user, record.cgroup_id) = (1000, u32::MAX, 7);
    record.pid_namespace = proc::FIRST_PID_NAMESPACE;
    record.arguments.fill(b'#');
    record.arguments[..arguments.len()].copy_from_slice(arguments.as_bytes());
    record.arguments_length = arguments.len() as u32;
    record.executable.fill(b'#');
    record.executable_length = 0;
    let mut zeroed = [0; PATH_CAPACITY];
    record.executable_length = put_path(&mut zeroed, executable);
    record.executable[..record.executable_length as usize]
        .copy_from_slice(&zeroed[..record.executable_length as usize]);
    record.directory_length = put_path(&mut record.directory, "/home/ana/project");
    record.cgroup_length = put_path(&mut record.cgroup, "/system.slice/mcp.service");
    let name = executable.as_bytes();
    record.file_name[..name.len()].copy_from_slice(name);
    record
}

fn fork(child: ProcessId, parent: ProcessId) -> ForkRecord {
    ForkRecord {
        header: header(RecordKind::Fork, child),
        parent_start_time: parent.start_time,
        parent_pid: parent.pid,
        padding: 0,
    }
}

fn exit(process: ProcessId) -> ExitRecord {
    ExitRecord { header: header(RecordKind::Exit, process), status: 0, padding: 0 }
}

/// A child that lives until the end of the test.
struct Living(Child);

impl Living {
    fn new(command: &mut Command) -> Self {
        // A test beside this one that forks while a program is copied holds it open for writing, for a moment.
        let mut child = None;
        wait_for("the program", || {
            child = command.spawn().map_err(|error| assert_eq!(error.kind(), ErrorKind::ExecutableFileBusy)).ok();
            child.is_some()
        });
        Self(child.unwrap())
    }

    fn id(&self) -> ProcessId {
        let dir = ProcessDir::open(Path::new("/proc"), self.0.id()).unwrap();
        id(self.0.id(), proc::start_of(dir.stat.tick) + 4_321)
    }

    fn end(mut self) -> ProcessId {
        let id = self.id();
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        id
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::yield_now();
    }
}

fn settle(identities: &mut Identities, process: ProcessId) -> Arc<Process> {
    let _ = identities.get(process);
    wait_for("the answer", || !identities.pending(process));
    identities.get(process)
}

/// A copy of `sleep` with contents and inode of its own.
fn own_sleep(directory: &Path) -> PathBuf {
    let path = directory.join("sleeper");
    std::fs::copy(which("sleep"), &path).unwrap();
    path
}

fn which(name: &str) -> PathBuf {
    let path = ["/usr/bin", "/bin"].iter().map(|directory| Path::new(directory).join(name)).find(|path| path.exists());
    std::fs::canonicalize(path.unwrap()).unwrap()
}

fn sha256(path: &Path) -> [u8; 32] {
    digest(&SHA256, &std::fs::read(path).unwrap()).as_ref().try_into().unwrap()
}

/// The exec record of a program that was executed now.
fn exec_of(process: ProcessId, path: &Path) -> ExecRecord {
    let meta = std::fs::metadata(path).unwrap();
    let mut record = exec(process, id(1, 1), path.to_str().unwrap(), "sleeper\0");
    let file = FileId::new(rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()), meta.ino());
    (record.executable_device, record.executable_inode) = (file.device, file.inode);
    let now = clock_gettime(ClockId::Boottime);
    record.header.time = now.tv_sec as u64 * SECOND + now.tv_nsec as u64;
    record
}

const AGENT: ProcessId = ProcessId { pid: 100, start_time: 10 * SECOND + 17 };
const SHELL: ProcessId = ProcessId { pid: 200, start_time: 20 * SECOND + 17 };
const SERVER: ProcessId = ProcessId { pid: 300, start_time: 30 * SECOND + 17 };

#[test]
fn an_exec_record_tells_everything_even_of_a_process_that_is_gone() {
    let mut identities = Identities::new(settings());
    identities.fork(&fork(SERVER, AGENT));
    identities.exec(&exec(SERVER, AGENT, "/usr/bin/node", "node\0server.js\0--password=hunter2\0"));
    identities.exit(&exit(SERVER));
    let process = identities.get(SERVER);
    assert_eq!(process.origin, Origin::Exec);
    assert_eq!(&*process.executable, "/usr/bin/node");
    assert_eq!(&*process.called_as, "/usr/bin/node");
    assert_eq!(process.file, Some(FileId { device: 0x0080_0001, inode: 4711 }));
    assert_eq!(&*process.arguments, ["node", "server.js", "--password=***"]);
    assert!(!process.arguments_cut);
    assert_eq!(&*process.directory, "/home/ana/project");
    assert_eq!((process.user, process.login_user), (Some(1000), None));
    assert_eq!(process.cgroup.systemd_unit, "mcp.service");
    assert_eq!(process.sha256, None);
    assert!(Arc::ptr_eq(&process, &identities.get(SERVER)), "nothing changed, nothing is built");

    let peer = process.to_peer(1_700_000_000 * SECOND as i64);
    let start = peer.start_time.unwrap();
    assert_eq!((peer.pid, start.seconds, start.nanos), (300, 1_700_000_030, 17));
    assert_eq!(peer.uid, Some(1000));
    assert_eq!(peer.systemd_unit, "mcp.service");
}

#[test]
fn a_worker_that_was_only_forked_runs_its_parent_s_program() {
    let mut identities = Identities::new(settings());
    identities.exec(&exec(SHELL, AGENT, "/usr/bin/python3", "python3\0serve.py\0"));
    identities.fork(&fork(SERVER, SHELL));
    identities.exec(&exec(SHELL, AGENT, "/usr/bin/other", "other\0"));
    identities.exit(&exit(SHELL));
    let process = identities.get(SERVER);
    assert_eq!(process.origin, Origin::Fork);
    assert_eq!(&*process.executable, "/usr/bin/python3");
    assert_eq!(&*process.arguments, ["python3", "serve.py"]);
    assert_eq!(process.user, Some(1000));
    assert_eq!(process.ancestors[0].id, SHELL);
    assert_eq!(&*process.ancestors[0].executable, "/usr/bin/python3", "as it was when it forked");
    assert_eq!(&*identities.get(SHELL).executable, "/usr/bin/other");
}

#[test]
fn ancestors_are_those_that_forked_not_those_that_adopted() {
    let mut identities = Identities::new(settings());
    let init = id(1, 1);
    identities.exec(&exec(init, id(0, 0), "/sbin/init", "init\0"));
    identities.fork(&fork(AGENT, init));
    identities.exec(&exec(AGENT, init, "/usr/bin/claude", "claude\0--key=hunter2\0"));
    identities.fork(&fork(SHELL, AGENT));
    identities.exec(&exec(SHELL, AGENT, "/bin/sh", "sh\0-c\0serve &\0"));
    identities.fork(&fork(SERVER, SHELL));
    identities.exit(&exit(SHELL));
    identities.exec(&exec(SERVER, init, "/usr/bin/node", "node\0"));
    let process = identities.get(SERVER);
    let names: Vec<&str> = process.ancestors.iter().map(|ancestor| &*ancestor.executable).collect();
    assert_eq!(names, ["/bin/sh", "/usr/bin/claude"]);
    assert_eq!(process.ancestors[1].id, AGENT);
    assert_eq!(&*process.ancestors[1].arguments, ["claude", "--key=***"]);
    let sibling = id(301, 31 * SECOND);
    identities.fork(&fork(sibling, AGENT));
    assert_eq!(identities.get(sibling).ancestors.len(), 1);
}

#[test]
fn a_line_of_ancestors_has_an_end() {
    let mut identities = Identities::new(settings());
    let member = |index: u32| id(1000 + index, u64::from(index + 1) * SECOND + 1);
    for index in 0..100 {
        identities.fork(&fork(member(index + 1), member(index)));
        identities.exec(&exec(member(index + 1), id(1, 1), &format!("/bin/p{index}"), "p\0"));
        identities.exit(&exit(member(index)));
    }
    let ancestors = &identities.get(member(100)).ancestors;
    assert_eq!(ancestors.len(), table::ANCESTORS);
    assert_eq!(&*ancestors[0].executable, "/bin/p98");
}

#[test]
fn a_pid_that_is_used_again_names_two_processes() {
    let mut identities = Identities::new(settings());
    let second = id(SERVER.pid, SERVER.start_time + SECOND);
    identities.exec(&exec(SERVER, AGENT, "/bin/first", "first\0"));
    identities.exit(&exit(SERVER));
    identities.fork(&fork(second, SHELL));
    identities.exec(&exec(second, SHELL, "/bin/second", "second\0"));
    assert_eq!(&*identities.get(SERVER).executable, "/bin/first");
    assert_eq!(&*identities.get(second).executable, "/bin/second");
    let same_tick = id(SERVER.pid, SERVER.start_time + 1);
    assert_eq!(*identities.get(same_tick).executable, *"");
    assert_eq!(&*identities.get(SERVER).executable, "/bin/first");
}

#[test]
fn an_unknown_process_is_told_by_its_id_and_known_as_soon_as_a_record_comes() {
    let mut identities = Identities::new(settings());
    assert_eq!(*identities.get(SERVER), Process::unknown(SERVER));
    identities.observe(SERVER);
    assert!(!identities.pending(SERVER));
    identities.exec(&exec(SERVER, AGENT, "/usr/bin/node", "node\0"));
    assert_eq!(&*identities.get(SERVER).executable, "/usr/bin/node");
}

#[test]
fn a_container_s_runtime_is_told_by_its_shim() {
    for (arguments, runtime) in [
        ("containerd-shim-runc-v2\0-namespace\0moby\0", Runtime::Docker),
        ("containerd-shim-runc-v2\0-namespace\0k8s.io\0", Runtime::Containerd),
    ] {
        let mut identities = Identities::new(settings());
        identities.exec(&exec(AGENT, id(1, 1), "/usr/bin/containerd-shim-runc-v2", arguments));
        identities.fork(&fork(SHELL, AGENT));
        identities.exec(&exec(SHELL, AGENT, "/usr/bin/runc", "runc\0create\0"));
        identities.fork(&fork(SERVER, SHELL));
        let mut record = exec(SERVER, SHELL, "/app", "app\0");
        record.cgroup_length = put_path(&mut record.cgroup, &format!("/batch/{}", "ab".repeat(32)));
        record.pid_namespace = 4_026_532_000;
        identities.exec(&record);
        assert_eq!(identities.get(SERVER).cgroup.container.as_ref().unwrap().runtime, runtime);
    }
}

#[test]
fn memory_is_bounded_and_those_in_use_stay() {
    let limits = Limits { live: 100, dead: 20, bytes: 128 * 1024 };
    let mut identities = Identities::new(Settings { limits, ..settings() });
    identities.exec(&exec(SERVER, AGENT, "/usr/bin/node", "node\0"));
    for round in 0..20_000_u32 {
        let process = id(1000 + round, 40 * SECOND + u64::from(round) * 1_000_000);
        identities.exec(&exec(process, AGENT, "/bin/true", &"x".repeat(round as usize % 4096)));
        if round % 3 == 0 {
            identities.exit(&exit(process));
        }
        if round % 10 == 0 {
            assert_eq!(&*identities.get(SERVER).executable, "/usr/bin/node");
        }
        let (live, dead) = identities.len();
        assert!(live <= limits.live && dead <= limits.dead);
        assert!(identities.table.bytes() <= limits.bytes);
    }
    assert!(identities.evicted() > 10_000);
}

#[test]
fn an_older_process_is_read_from_proc() {
    let directory = tempfile::tempdir().unwrap();
    let directory = std::fs::canonicalize(directory.path()).unwrap();
    let child = Living::new(Command::new("cat").args(["-", "hunter2"]).stdin(Stdio::piped()).current_dir(&directory));
    let mut identities = live_identities();
    assert!(identities.scan().unwrap() > 1);
    identities.observe(child.id());
    let process = settle(&mut identities, child.id());
    assert_eq!(process.origin, Origin::Proc);
    assert_eq!(process.id, child.id());
    assert_eq!(&*process.executable, which("cat").to_str().unwrap());
    assert_eq!(&*process.arguments, ["cat", "-", "***"]);
    assert_eq!(&*process.directory, directory.to_str().unwrap());
    assert_eq!(process.user, Some(rustix::process::getuid().as_raw()));
    assert_eq!(process.sha256, Some(sha256(&which("cat"))));
    assert_eq!(process.ancestors[0].id.pid, std::process::id());
    assert_eq!(&*process.ancestors[0].executable, std::env::current_exe().unwrap().to_str().unwrap());
    assert!(!process.ancestors[0].arguments.is_empty());
    assert!(process.cgroup.path.starts_with('/'));
}

#[test]
fn without_a_scan_it_is_found_when_it_is_asked_for() {
    let child = Living::new(Command::new("sleep").arg("1000"));
    let mut identities = live_identities();
    let process = settle(&mut identities, child.id());
    assert_eq!(&*process.arguments, ["sleep", "1000"]);
    assert_eq!(process.ancestors[0].id.pid, std::process::id());
}

#[test]
fn nothing_of_another_process_with_the_same_pid_is_told() {
    let child = Living::new(Command::new("sleep").arg("1000"));
    let mut identities = live_identities();
    let earlier = id(child.id().pid, child.id().start_time.saturating_sub(SECOND));
    identities.observe(earlier);
    assert_eq!(*identities.get(earlier), Process::unknown(earlier));
    assert_eq!(&*settle(&mut identities, child.id()).arguments, ["sleep", "1000"]);
}

#[test]
fn what_the_kernel_told_wins_over_the_scan() {
    let child = Living::new(Command::new("sleep").arg("1000"));
    let mut identities = live_identities();
    identities.exec(&exec(child.id(), AGENT, "/kernel/said", "so\0"));
    identities.scan().unwrap();
    assert_eq!(&*identities.get(child.id()).executable, "/kernel/said");
}

#[test]
fn a_fork_record_that_comes_after_the_scan_does_not_undo_it() {
    let child = Living::new(Command::new("sleep").arg("1000"));
    let mut identities = live_identities();
    identities.exec(&exec(AGENT, id(1, 1), "/bin/changed", "changed\0"));
    identities.scan().unwrap();
    identities.fork(&fork(child.id(), AGENT));
    let process = settle(&mut identities, child.id());
    assert_eq!(&*process.arguments, ["sleep", "1000"]);
    assert_eq!(process.ancestors[0].id, AGENT);
}

#[test]
fn the_digest_is_of_the_file_that_runs_even_if_it_was_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = own_sleep(directory.path());
    let expected = sha256(&path);
    let child = Living::new(Command::new(&path).arg("1000"));
    let mut identities = live_identities();
    identities.exec(&exec_of(child.id(), &path));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "another program").unwrap();
    identities.observe(child.id());
    identities.observe(child.id());
    assert_eq!(settle(&mut identities, child.id()).sha256, Some(expected));
    assert_eq!(identities.counts().hashed, 1);

    let twin = id(child.id().pid + 1, child.id().start_time + SECOND);
    identities.fork(&fork(twin, child.id()));
    assert_eq!(identities.get(twin).sha256, Some(expected), "a forked worker runs the same program");
}

#[test]
fn one_file_is_read_once_for_all_that_run_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = own_sleep(directory.path());
    let children: Vec<Living> = (0..8).map(|_| Living::new(Command::new(&path).arg("1000"))).collect();
    let mut identities = live_identities();
    for child in &children {
        identities.exec(&exec_of(child.id(), &path));
        identities.observe(child.id());
    }
    for child in &children {
        assert_eq!(settle(&mut identities, child.id()).sha256, Some(sha256(&path)));
    }
    assert_eq!(identities.counts().hashed, 1);
}

#[test]
fn another_program_s_file_is_not_digested_for_this_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = own_sleep(directory.path());
    let child = Living::new(Command::new("sleep").arg("1000"));
    let mut identities = live_identities();
    identities.exec(&exec_of(child.id(), &path));
    identities.observe(child.id());
    assert!(!identities.pending(child.id()));
    assert_eq!(identities.get(child.id()).sha256, None);
    // The record of the exec that was on its way.
    identities.exec(&exec_of(child.id(), &which("sleep")));
    identities.observe(child.id());
    assert_eq!(settle(&mut identities, child.id()).sha256, Some(sha256(&which("sleep"))));
}

#[test]
fn the_file_of_a_process_that_is_gone_is_found_by_its_path_if_it_is_the_same_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = own_sleep(directory.path());
    let digest_of = |change: &dyn Fn()| {
        let process = Living::new(Command::new(&path).arg("1000")).end();
        let mut identities = live_identities();
        identities.exec(&exec_of(process, &path));
        identities.exit(&exit(process));
        change();
        identities.observe(process);
        settle(&mut identities, process).sha256
    };
    assert_eq!(digest_of(&|| {}), Some(sha256(&path)));
    // Changed after it ran, though to the same size and time of writing.
    let rewrite = || {
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let ((seconds, nanoseconds), _) = wall_clocks(0);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        // File systems tell time in steps of some milliseconds.
        wait_for("a later time of change", || {
            std::fs::write(&path, &bytes).unwrap();
            let now = std::fs::metadata(&path).unwrap();
            (now.ctime(), now.ctime_nsec()) > (seconds, i64::from(nanoseconds) + 5_000_000)
        });
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    };
    assert_eq!(digest_of(&rewrite), None);
    let replace = || {
        let other = directory.path().join("other");
        std::fs::copy(which("sleep"), &other).unwrap();
        std::fs::rename(&other, &path).unwrap();
    };
    assert_eq!(digest_of(&replace), None);
}

#[test]
fn repair_corrects_what_lost_records_left_wrong() {
    let child = Living::new(Command::new("sleep").arg("1000"));
    let gone = Living::new(Command::new("sleep").arg("1000")).end();
    let mut identities = live_identities();
    identities.exec(&exec(child.id(), AGENT, "/bin/sh", "sh\0"));
    identities.exec(&exec(gone, AGENT, "/bin/sh", "sh\0"));
    assert!(identities.repair().unwrap() >= 2);
    assert_eq!(&*settle(&mut identities, child.id()).arguments, ["sleep", "1000"]);
    assert_eq!(identities.len().1, 1);
}

#[test]
fn a_proc_of_another_pid_namespace_is_told_and_not_read() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(directory.path().join("1/ns")).unwrap();
    std::os::unix::fs::symlink("pid:[4026532999]", directory.path().join("1/ns/pid")).unwrap();
    let proc = Some(directory.path().to_owned());
    let mut identities = Identities::new(Settings { proc, ..settings() });
    assert!(!identities.proc_is_host());
    assert_eq!(identities.scan().unwrap(), 0);

    std::fs::remove_file(directory.path().join("1/ns/pid")).unwrap();
    std::os::unix::fs::symlink("pid:[4026531836]", directory.path().join("1/ns/pid")).unwrap();
    assert!(proc::is_host(directory.path()));
}

#[derive(Clone, Debug)]
enum Step {
    Exec(Vec<u8>),
    Fork(u32, u32),
    Exit(u32),
    Get(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..600).prop_map(Step::Exec),
        (0u32..12, 0u32..12).prop_map(|(child, parent)| Step::Fork(child, parent)),
        (0u32..12).prop_map(Step::Exit),
        (0u32..12).prop_map(Step::Get),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_records_in_any_order_do_no_harm(steps in proptest::collection::vec(step(), 0..60)) {
        let limits = Limits { live: 6, dead: 3, bytes: 40_000 };
        let mut identities = Identities::new(Settings { limits, ..settings() });
        let process = |number: u32| id(number, u64::from(number) * SECOND);
        for step in steps {
            match step {
                Step::Exec(bytes) => {
                    let number = u32::from(bytes[0] % 12);
                    let filled: Vec<u8> = bytes.iter().copied().cycle().take(size_of::<ExecRecord>()).collect();
                    let mut record = <ExecRecord as zerocopy::FromBytes>::read_from_bytes(&filled).unwrap();
                    (record.header.pid, record.header.start_time) = (number, u64::from(number) * SECOND);
                    record.parent_pid %= 12;
                    record.parent_start_time = u64::from(record.parent_pid) * SECOND;
                    identities.exec(&record);
                }
                Step::Fork(child, parent) => identities.fork(&fork(process(child), process(parent))),
                Step::Exit(number) => identities.exit(&exit(process(number))),
                Step::Get(number) => {
                    identities.observe(process(number));
                    let told = identities.get(process(number));
                    prop_assert_eq!(told.id, process(number));
                    prop_assert!(told.ancestors.len() <= table::ANCESTORS);
                }
            }
            let (live, dead) = identities.len();
            prop_assert!(live <= limits.live && dead <= limits.dead);
        }
    }
}

/// `cargo test --release -- --ignored --nocapture costs`
#[test]
#[ignore = "prints what things cost; proves nothing"]
fn costs() {
    let measure = |what: &str, times: u32, action: &mut dyn FnMut(u32)| {
        let begin = Instant::now();
        (0..times).for_each(&mut *action);
        println!("{what}: {:.2?}", begin.elapsed() / times);
    };
    println!("an entry: {} bytes", size_of::<table::Entry>());
    let mut identities = live_identities();
    measure("scan", 1, &mut |_| println!("{} processes", identities.scan().unwrap()));
    let process = |number: u32| id(100_000 + number, 50 * SECOND + u64::from(number) * 1_000_000);
    let records: Vec<_> =
        (0..1000).map(|number| exec(process(number), AGENT, "/usr/bin/node", "node\0a.js\0")).collect();
    measure("fork", 1000, &mut |number| identities.fork(&fork(process(number), AGENT)));
    measure("exec", 1000, &mut |number| identities.exec(&records[number as usize]));
    measure("first get", 1000, &mut |number| drop(identities.get(process(number))));
    measure("get", 1000, &mut |number| drop(identities.get(process(number))));
    let child = Living::new(Command::new("sleep").arg("1000"));
    let live = child.id();
    identities.exec(&exec_of(live, &which("sleep")));
    measure("observe", 1, &mut |_| identities.observe(live));
    measure("observe again", 1000, &mut |_| identities.observe(live));
}
