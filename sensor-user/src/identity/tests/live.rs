//! Live children of the test process.

use super::*;
use crate::identity::proc::ProcessDir;
use ring::digest::{SHA256, digest};
use std::{
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// With `/proc`, even where the tests run in a pid namespace of their own: there it is the tests' host.
fn live_identities() -> Identities {
    let mut identities = Identities::new(settings());
    identities.proc = Some("/proc".into());
    identities.worker = Worker::new("/proc".into(), 4 << 30);
    identities
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
        let child = Self(child.unwrap());
        // The parent goes on as soon as exec has let go of its memory: /proc may show nothing of the new program yet.
        let arguments = format!("/proc/{}/cmdline", child.0.id());
        wait_for("its arguments", || std::fs::read(&arguments).is_ok_and(|text| !text.is_empty()));
        child
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
    let records: Vec<_> = (0..1000).map(|number| exec(process(number), AGENT, "/usr/bin/node", "node\0a.js\0")).collect();
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
