//! Records as the kernel would send them; live children are in `live`.

mod live;

use super::*;
use proptest::prelude::*;
use sensor_ebpf::RecordKind;
use zerocopy::FromZeros;

const SECOND: u64 = 1_000_000_000;

fn redact() -> Redact {
    Box::new(|arguments| arguments.iter().map(|argument| argument.replace("hunter2", "***")).collect())
}

fn settings() -> Settings {
    Settings { proc: None, passwd: None, ..Settings::new(redact()) }
}

fn id(pid: u32, start_time: u64) -> ProcessId {
    ProcessId { pid, start_time }
}

fn header(kind: RecordKind, process: ProcessId) -> RecordHeader {
    let ProcessId { pid, start_time } = process;
    RecordHeader { kind: kind as u8, start_time, pid, tid: pid, time: start_time + SECOND, ..RecordHeader::new_zeroed() }
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
    record.executable[..record.executable_length as usize].copy_from_slice(&zeroed[..record.executable_length as usize]);
    record.directory_length = put_path(&mut record.directory, "/home/ana/project");
    record.cgroup_length = put_path(&mut record.cgroup, "/system.slice/mcp.service");
    let name = executable.as_bytes();
    record.file_name[..name.len()].copy_from_slice(name);
    record
}

fn fork(child: ProcessId, parent: ProcessId) -> ForkRecord {
    ForkRecord { header: header(RecordKind::Fork, child), parent_start_time: parent.start_time, parent_pid: parent.pid, padding: 0 }
}

fn exit(process: ProcessId) -> ExitRecord {
    ExitRecord { header: header(RecordKind::Exit, process), status: 0, padding: 0 }
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
