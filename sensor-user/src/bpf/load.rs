//! Loading and attaching the kernel programs.

use super::{
    counters::Counters,
    existing::{self, HeldStream},
    marks::Marks,
    measure::Hook,
    object::{OBJECT, abi_digest},
    offsets::{self, OffsetError},
    ring::Drain,
    verdicts::Verdicts,
};
use aya::{
    Btf, Ebpf, EbpfLoader, Pod,
    maps::{Array, MapError},
    programs::{BtfTracePoint, Iter, ProgramError},
    util::nr_cpus,
};
use sensor_ebpf::Settings;
use std::io;
use thiserror::Error;

/// The tracepoint programs: name in the object, tracepoint, whether capture needs it.
const TRACEPOINTS: [(&str, &str, bool); 5] = [
    ("sys_exit", "sys_exit", true),
    ("sched_process_exec", "sched_process_exec", true),
    ("sched_process_fork", "sched_process_fork", true),
    ("sched_process_exit", "sched_process_exit", true),
    ("io_uring_complete", "io_uring_complete", false),
];
const ITERATOR: &str = "held_streams";

/// Sizes that the operator may set.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of the ring between kernel and agent; a power of two.
    pub ring_bytes: u32,
    /// Bytes of one call that are captured at most.
    pub call_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { ring_bytes: 32 << 20, call_limit: 16 << 20 }
    }
}

/// Why capture could not be set up.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The embedded object is of another ABI.
    #[error("the embedded kernel programs were built for another version of this agent: run `cargo xtask ebpf build`")]
    Stale,
    /// The running kernel's structures could not be resolved.
    #[error(transparent)]
    Offsets(#[from] OffsetError),
    /// The kernel's types could not be read.
    #[error("reading the kernel's types: {0}")]
    Btf(#[from] aya::BtfError),
    /// The object or its maps were refused.
    #[error("creating the kernel maps: {}", chain(.0))]
    Object(#[from] aya::EbpfError),
    /// A program was refused.
    #[error("{action} the kernel program {program}: {}", chain(.source))]
    Program {
        /// What was being done.
        action: &'static str,
        /// To which program.
        program: &'static str,
        /// Why not.
        #[source]
        source: ProgramError,
    },
    /// A map is missing or of the wrong type: the object is broken.
    #[error("opening the kernel map {name}: {source}")]
    Map {
        /// Its name.
        name: &'static str,
        /// Why not.
        #[source]
        source: MapError,
    },
    /// A program or map is not in the object.
    #[error("the embedded object has no {0}")]
    Absent(&'static str),
    /// The iterator over open files failed.
    #[error("listing the streams that are open already: {0}")]
    Iterator(#[source] io::Error),
}

/// An error with the reasons behind it: aya's own texts name only the outermost.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

/// What the verifier says of a loaded program.
#[derive(Clone, Debug)]
pub struct VerifiedProgram {
    /// Its name.
    pub name: String,
    /// Instructions that the verifier walked; `None` before kernel 5.16.
    pub verified_instructions: Option<u32>,
    /// Runs that the kernel skipped because the program was running on that CPU already.
    pub recursion_misses: u64,
}

/// The loaded programs. Dropping it detaches everything.
#[derive(Debug)]
pub struct Programs {
    ebpf: Ebpf,
    btf: Btf,
    own_pid: u32,
    call_limit: u64,
}

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct SettingsPod(pub(super) Settings);
// SAFETY: `Settings` is plain numbers without padding (it derives `IntoBytes`).
unsafe impl Pod for SettingsPod {}

impl Programs {
    /// Loads every program; attaches none. Learns the sensor's own pid from the iterator.
    ///
    /// # Errors
    /// Where the kernel or the privileges do not allow capture.
    ///
    /// # Minimum kernel version
    /// 5.17 (`bpf_loop`); tested from 6.1.
    pub fn load(options: Options) -> Result<Self, LoadError> {
        if abi_digest(OBJECT) != Some(sensor_ebpf::ABI_DIGEST) {
            return Err(LoadError::Stale);
        }
        let facts = offsets::resolve()?;
        let btf = Btf::from_sys_fs()?;
        let cpus = u32::try_from(nr_cpus().unwrap_or(1)).unwrap_or(1);
        let mut loader = EbpfLoader::new();
        loader.btf(Some(&btf)).map_max_entries("RECORDS", options.ring_bytes);
        for scratch in ["SCRATCH_SYSCALLS", "SCRATCH_IO_URING", "SCRATCH_EXEC"] {
            loader.map_max_entries(scratch, cpus);
        }
        for (global, offset) in &facts.offsets {
            loader.override_global(global, offset, true);
        }
        loader.override_global("CGROUP_PIDS", &facts.cgroup_pids, true);
        loader.override_global("IO_URING_COMPLETE_HAS_CQE", &facts.io_uring_complete_has_cqe, true);
        let mut programs = Self { ebpf: loader.load(OBJECT)?, btf, own_pid: 0, call_limit: options.call_limit };
        for (name, tracepoint, required) in TRACEPOINTS {
            match programs.load_tracepoint(name, tracepoint) {
                Err(error) if required => return Err(error),
                _ => {}
            }
        }
        programs.load_iterator()?;
        programs.own_pid = existing::greeting(&mut programs.ebpf, ITERATOR)?;
        programs.set(Settings { own_pid: programs.own_pid, marks: 0, call_limit: options.call_limit })?;
        Ok(programs)
    }

    fn load_tracepoint(&mut self, name: &'static str, tracepoint: &str) -> Result<(), LoadError> {
        let program = self.ebpf.program_mut(name).ok_or(LoadError::Absent(name))?;
        let fail = |source| LoadError::Program { action: "loading", program: name, source };
        let program: &mut BtfTracePoint = program.try_into().map_err(fail)?;
        program.load(tracepoint, &self.btf).map_err(fail)
    }

    fn load_iterator(&mut self) -> Result<(), LoadError> {
        let program = self.ebpf.program_mut(ITERATOR).ok_or(LoadError::Absent(ITERATOR))?;
        let fail = |source| LoadError::Program { action: "loading", program: ITERATOR, source };
        let program: &mut Iter = program.try_into().map_err(fail)?;
        program.load("task_file", &self.btf).map_err(fail)
    }

    fn set(&mut self, settings: Settings) -> Result<(), LoadError> {
        const NAME: &str = "SETTINGS";
        let fail = |source| LoadError::Map { name: NAME, source };
        let map = self.ebpf.map_mut(NAME).ok_or(LoadError::Absent(NAME))?;
        Array::try_from(map).map_err(fail)?.set(0, SettingsPod(settings), 0).map_err(fail)
    }

    /// Attaches the programs: from here on records arrive. Gives the names of those that this kernel does not have.
    ///
    /// # Errors
    /// Where a program that capture needs cannot be attached.
    pub fn attach(&mut self) -> Result<Vec<&'static str>, LoadError> {
        let mut absent = Vec::new();
        for (name, _, required) in TRACEPOINTS {
            let program = self.ebpf.program_mut(name).ok_or(LoadError::Absent(name))?;
            let fail = |source| LoadError::Program { action: "attaching", program: name, source };
            let program: &mut BtfTracePoint = program.try_into().map_err(fail)?;
            match program.attach() {
                Ok(_) => {}
                Err(source) if required => return Err(fail(source)),
                Err(_) => absent.push(name),
            }
        }
        Ok(absent)
    }

    /// Every stream that some process holds open now, and at which end.
    ///
    /// # Errors
    /// Where the iterator fails.
    pub fn held_streams(&mut self) -> Result<Vec<HeldStream>, LoadError> {
        existing::held(&mut self.ebpf, ITERATOR)
    }

    /// The sensor's own process id as the kernel knows it.
    #[must_use]
    pub const fn own_pid(&self) -> u32 {
        self.own_pid
    }

    /// Takes the reading end of the ring. Once.
    ///
    /// # Errors
    /// Where it was taken already.
    pub fn take_ring(&mut self) -> Result<Drain, LoadError> {
        const NAME: &str = "RECORDS";
        let map = self.ebpf.take_map(NAME).ok_or(LoadError::Absent(NAME))?;
        Drain::new(map).map_err(|source| LoadError::Map { name: NAME, source })
    }

    /// Takes the map of verdicts. Once.
    ///
    /// # Errors
    /// Where it was taken already.
    pub fn take_verdicts(&mut self) -> Result<Verdicts, LoadError> {
        let mut take = |name: &'static str| self.ebpf.take_map(name).ok_or(LoadError::Absent(name));
        let (verdicts, generations) = (take("VERDICTS")?, take("GENERATIONS")?);
        Verdicts::new(verdicts, generations).map_err(|source| LoadError::Map { name: "VERDICTS", source })
    }

    /// Takes the map of marked processes, and the settings that tell the programs whether there are any. Once.
    ///
    /// # Errors
    /// Where they were taken already.
    pub fn take_marks(&mut self) -> Result<Marks, LoadError> {
        let mut take = |name: &'static str| self.ebpf.take_map(name).ok_or(LoadError::Absent(name));
        let (marks, settings) = (take("MARKS")?, take("SETTINGS")?);
        let unmarked = Settings { own_pid: self.own_pid, marks: 0, call_limit: self.call_limit };
        Marks::new(marks, settings, unmarked).map_err(|source| LoadError::Map { name: "MARKS", source })
    }

    /// Takes the counters. Once.
    ///
    /// # Errors
    /// Where they were taken already.
    pub fn take_counters(&mut self) -> Result<Counters, LoadError> {
        const NAME: &str = "COUNTS";
        let map = self.ebpf.take_map(NAME).ok_or(LoadError::Absent(NAME))?;
        Counters::new(map).map_err(|source| LoadError::Map { name: NAME, source })
    }

    /// For measuring: gives up everything but the capture hook, which then captures the measuring process too.
    ///
    /// # Errors
    /// Where the settings cannot be written.
    pub fn into_hook(mut self, options: Options) -> Result<Hook, LoadError> {
        self.set(Settings { own_pid: 0, marks: 0, call_limit: options.call_limit })?;
        Ok(Hook::capture(self.ebpf))
    }

    /// What the kernel says of each loaded program.
    #[must_use]
    pub fn verified(&self) -> Vec<VerifiedProgram> {
        let mut programs: Vec<_> = self
            .ebpf
            .programs()
            .filter_map(|(name, program)| {
                let information = program.info().ok()?;
                Some(VerifiedProgram {
                    name: name.to_owned(),
                    verified_instructions: information.verified_instruction_count(),
                    recursion_misses: program.fd().ok().and_then(recursion_misses).unwrap_or(0),
                })
            })
            .collect();
        programs.sort_by(|left, right| left.name.cmp(&right.name));
        programs
    }
}

/// The kernel's count of runs that it skipped: a line of the program's fdinfo (kernel/bpf/syscall.c,
/// `bpf_prog_show_fdinfo`).
fn recursion_misses(fd: &aya::programs::ProgramFd) -> Option<u64> {
    use std::os::fd::{AsFd as _, AsRawFd as _};
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
}
