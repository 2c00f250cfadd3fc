//! The background threads: digests of executables, and arguments of processes older than the sensor.
//!
//! They do what may take long or wait for others, so that the pipeline never does. Rules wait for arguments, and with them whatever
//! is to be stopped; so these have a thread of their own, which no digest keeps waiting. A digest is that of the program that
//! ran, or there is none:
//! - a file comes from `/proc/<pid>/exe` of the live process, opened when the process was seen (containers and deleted
//!   files are no matter then), or by its path if it has the device and inode of the exec record;
//! - an inode number can be used again and a file rewritten: one that was born or changed after the exec is refused
//!   ([`unchanged_since`]), and so is one that changes while it is read, unless its process still runs it, which keeps
//!   writers away.
//!
//! Digests are cached by [`FileKey`]; processes that run one file wait for one reading. Files over
//! [`LARGE`] are read when nothing else is to do, and let smaller ones pass while they are read. All queues are bounded;
//! what is refused can be asked for again. A file system that never answers stops later digests, nothing else.

use super::{
    hash::{self, Reading},
    proc::{Executable, FileKey, ProcessDir},
    process::FileId,
    program::Program,
};
use rustc_hash::FxHashMap;
use rustix::fd::OwnedFd;
use sensor_core::input::ProcessId;
use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Files over this size wait for the others.
const LARGE: u64 = 64 * 1024 * 1024;
/// Open files that wait at most (two descriptors each), other jobs, and processes that wait for one file.
const FILES: usize = 128;
const JOBS: usize = 1024;
const WAITING: usize = 1024;
/// Digests in each half of the cache.
const CACHE: usize = 2048;
/// Bytes read of an argument list.
const ARGUMENTS: usize = sensor_ebpf::ARGUMENTS_CAPACITY;

/// A moment in seconds and nanoseconds since the Unix epoch, as file systems tell it.
pub(super) type Wall = (i64, u32);

/// A file to find by its path, because its process is gone.
pub(super) struct Lost {
    /// What the exec record says of the file.
    pub id: FileId,
    pub path: String,
    /// When it was executed.
    pub since: Wall,
    /// Processes that may live in the same mount namespace.
    pub relatives: Vec<ProcessId>,
}

enum Job {
    /// The program of a process that lived when it was asked for.
    Live { executable: Executable, dir: ProcessDir },
    /// The program of a process that was gone.
    Lost { lost: Lost, program: Arc<Program> },
}

/// What the thread did. Sums since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Files read and digested.
    pub hashed: u64,
    /// Digests that were known already.
    pub cached: u64,
    /// Digests that could not be had: the file is gone, unreadable, changed, or was never the right one.
    pub failed: u64,
    /// Questions that found the queue full. They can be asked again.
    pub refused: u64,
}

#[derive(Default)]
struct State {
    arguments: VecDeque<(ProcessId, Arc<Program>)>,
    jobs: VecDeque<Job>,
    large: VecDeque<Job>,
    waiting: FxHashMap<FileKey, Vec<Arc<Program>>>,
    cache: Cache,
    counts: Counts,
    stop: bool,
}

/// The digests of late: a bounded cache in two generations, the older of which is dropped when the younger is full.
#[derive(Default)]
struct Cache {
    young: FxHashMap<FileKey, [u8; 32]>,
    old: FxHashMap<FileKey, [u8; 32]>,
}

impl Cache {
    fn get(&mut self, key: &FileKey) -> Option<[u8; 32]> {
        if let Some(hash) = self.young.get(key) {
            return Some(*hash);
        }
        let hash = *self.old.get(key)?;
        self.insert(*key, hash);
        Some(hash)
    }

    fn insert(&mut self, key: FileKey, hash: [u8; 32]) {
        if self.young.len() >= CACHE {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, hash);
    }
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// Answers given.
    answers: AtomicU64,
    proc: PathBuf,
    limit: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the queues half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Release);
    }
}

/// The threads' owner. Each is started with its first question, and ends with the owner, though not before the file that
/// it is reading.
pub(super) struct Worker {
    shared: Arc<Shared>,
    /// Which of the two threads were started.
    hashes: bool,
    reads: bool,
}

impl Worker {
    pub fn new(proc: PathBuf, limit: u64) -> Self {
        let (state, wake, answers) = (Mutex::default(), Condvar::new(), AtomicU64::new(0));
        Self { shared: Arc::new(Shared { state, wake, answers, proc, limit }), hashes: false, reads: false }
    }

    /// Answers given so far: while it is the same, nothing is known that was not known.
    pub fn answers(&self) -> u64 {
        self.shared.answers.load(Ordering::Acquire)
    }

    pub fn counts(&self) -> Counts {
        self.shared.lock().counts
    }

    /// Asks for the digest of what the live process `dir` runs.
    pub fn hash_live(&mut self, executable: Executable, dir: ProcessDir, program: &Arc<Program>) {
        if !program.ask_hash() {
            return;
        }
        let key = executable.facts.key;
        let mut state = self.shared.lock();
        if let Some(hash) = state.cache.get(&key) {
            state.counts.cached += 1;
            program.set_hash(Some(hash));
            return self.shared.answered();
        }
        let full = state.waiting.len() >= FILES;
        match state.waiting.get_mut(&key) {
            Some(programs) if programs.len() < WAITING => return programs.push(Arc::clone(program)),
            None if !full => {
                state.waiting.insert(key, vec![Arc::clone(program)]);
            }
            _ => {
                state.counts.refused += 1;
                return program.refuse_hash();
            }
        }
        let queue = if key.size > LARGE { &mut state.large } else { &mut state.jobs };
        queue.push_back(Job::Live { executable, dir });
        drop(state);
        self.wake();
    }

    /// Asks for the digest of what a process ran that is gone.
    pub fn hash_lost(&mut self, lost: Lost, program: &Arc<Program>) {
        if !program.ask_hash() {
            return;
        }
        let mut state = self.shared.lock();
        if state.jobs.len() >= JOBS {
            state.counts.refused += 1;
            return program.refuse_hash();
        }
        state.jobs.push_back(Job::Lost { lost, program: Arc::clone(program) });
        drop(state);
        self.wake();
    }

    /// Asks for the arguments of a live process.
    pub fn arguments(&mut self, process: ProcessId, program: &Arc<Program>) {
        if !program.ask_arguments() {
            return;
        }
        let mut state = self.shared.lock();
        if state.arguments.len() >= JOBS {
            state.counts.refused += 1;
            return program.refuse_arguments();
        }
        state.arguments.push_back((process, Arc::clone(program)));
        drop(state);
        if !self.reads {
            let shared = Arc::clone(&self.shared);
            self.reads = thread::Builder::new().name("arguments".to_owned()).spawn(move || read_arguments(&shared)).is_ok();
        }
        self.shared.wake.notify_all();
    }

    /// Wakes the thread of digests; starts it first where there is none.
    fn wake(&mut self) {
        if !self.hashes {
            let shared = Arc::clone(&self.shared);
            self.hashes = thread::Builder::new().name("identity".to_owned()).spawn(move || run(&shared)).is_ok();
        }
        self.shared.wake.notify_all();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_all();
    }
}

fn run(shared: &Shared) {
    // Of the calling thread only: Linux keeps the value for each. Without it the digests are as right.
    let _ = rustix::process::setpriority_process(None, 19);
    let mut state = shared.lock();
    while !state.stop {
        let Some(job) = next(&mut state) else {
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(state);
        work(shared, job, false);
        state = shared.lock();
    }
}

fn read_arguments(shared: &Shared) {
    let mut state = shared.lock();
    while !state.stop {
        let Some((process, program)) = state.arguments.pop_front() else {
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(state);
        let (bytes, cut) = arguments(shared, process, &program).unwrap_or_default();
        program.set_arguments(bytes, cut);
        shared.answered();
        state = shared.lock();
    }
}

fn next(state: &mut State) -> Option<Job> {
    state.jobs.pop_front().or_else(|| state.large.pop_front())
}

/// Does a job; one that is `nested` in another does not give way itself.
fn work(shared: &Shared, job: Job, nested: bool) {
    match job {
        Job::Live { executable, dir } => {
            let key = executable.facts.key;
            let still_runs = |id: FileId| dir.executable().is_ok_and(|now| now.facts.id == id);
            let hash = hash::reopen(&shared.proc, &executable.file).and_then(|file| digest(shared, &file, key, nested, &still_runs));
            let programs = shared.lock().waiting.remove(&key).unwrap_or_default();
            answer(shared, hash, &programs);
        }
        Job::Lost { lost, program } => {
            let hash = hash::find(&shared.proc, &lost).and_then(|(file, key)| {
                let known = shared.lock().cache.get(&key);
                known.or_else(|| digest(shared, &file, key, nested, &|_| false))
            });
            answer(shared, hash, &[program]);
        }
    }
}

fn answer(shared: &Shared, hash: Option<[u8; 32]>, programs: &[Arc<Program>]) {
    for program in programs {
        program.set_hash(hash);
    }
    if hash.is_none() {
        shared.lock().counts.failed += 1;
    }
    shared.answered();
}

/// Reads the file, which must be as `key` says, and keeps its digest. A large one lets other jobs pass now and then.
fn digest(shared: &Shared, file: &OwnedFd, key: FileKey, nested: bool, still_runs: &dyn Fn(FileId) -> bool) -> Option<[u8; 32]> {
    let mut reading = Reading::new(file, key, shared.limit)?;
    while reading.step()? {
        if key.size > LARGE && !nested {
            give_way(shared);
        }
        if shared.lock().stop {
            return None;
        }
    }
    let hash = reading.finish(still_runs)?;
    let mut state = shared.lock();
    state.cache.insert(key, hash);
    state.counts.hashed += 1;
    Some(hash)
}

/// Does what waits behind a large file.
fn give_way(shared: &Shared) {
    loop {
        let Some(job) = shared.lock().jobs.pop_front() else { return };
        work(shared, job, true);
    }
}

/// The arguments of a process, if it still runs the program that they are asked for.
fn arguments(shared: &Shared, process: ProcessId, program: &Program) -> Option<(Vec<u8>, bool)> {
    let dir = ProcessDir::open_process(&shared.proc, process).ok()?;
    let (bytes, cut) = dir.arguments(ARGUMENTS).ok()?;
    let same = match (program.file, dir.executable()) {
        (Some(file), Ok(now)) => now.facts.id == file,
        (None, Err(_)) => true,
        _ => false,
    };
    same.then_some((bytes, cut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{
        proc::Facts,
        program::{Meter, Source},
    };
    use std::{fs::File, time::Instant};

    #[test]
    fn arguments_do_not_wait_for_digests() {
        const FILES: u64 = 40;
        let (folder, meter) = (tempfile::tempdir().unwrap(), Meter::default());
        let mut worker = Worker::new("/proc".into(), 4 << 30);
        for number in 0..FILES {
            let path = folder.path().join(number.to_string());
            File::create(&path).unwrap().set_len(LARGE).unwrap();
            let file = OwnedFd::from(File::open(&path).unwrap());
            let facts = Facts::of(&file, false).unwrap();
            let dir = ProcessDir::open("/proc".as_ref(), std::process::id()).unwrap();
            worker.hash_live(Executable { file, facts, path: String::new() }, dir, &Program::new(&meter, Source::default()));
        }
        let dir = ProcessDir::open("/proc".as_ref(), std::process::id()).unwrap();
        let file = Some(dir.executable().unwrap().facts.id);
        let program = Program::new(&meter, Source { file, ..Source::default() });
        let process = ProcessId { pid: std::process::id(), start_time: dir.stat.tick * 10_000_000 };
        worker.arguments(process, &program);
        let deadline = Instant::now() + std::time::Duration::from_secs(60);
        while program.arguments_pending() {
            assert!(Instant::now() < deadline, "the arguments are not read");
            thread::yield_now();
        }
        assert!(worker.counts().hashed < FILES, "they waited for all digests");
    }
}
