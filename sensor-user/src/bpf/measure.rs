//! What the benchmarks need of the kernel side: the empty program to compare with, attaching and detaching at will, and
//! the kernel's own clock for programs.

use super::{load::LoadError, object::OBJECT};
use aya::{
    Btf, Ebpf, EbpfLoader,
    programs::{BtfTracePoint, Program, links::Link as _, tp_btf::BtfTracePointLink},
    sys::{Stats, enable_stats},
};
use std::{io, os::fd::OwnedFd, time::Duration};

/// A loaded sys_exit program that can be attached and detached.
pub struct Hook {
    ebpf: Ebpf,
    name: &'static str,
    link: Option<BtfTracePointLink>,
}

impl Hook {
    /// The program that returns at once.
    ///
    /// # Errors
    /// Where the kernel refuses it.
    pub fn empty() -> Result<Self, LoadError> {
        const NAME: &str = "empty";
        let btf = Btf::from_sys_fs()?;
        let mut ebpf = EbpfLoader::new().btf(Some(&btf)).load(OBJECT)?;
        let fail = |source| LoadError::Program { action: "loading", program: NAME, source };
        let program: &mut BtfTracePoint = ebpf.program_mut(NAME).ok_or(LoadError::Absent(NAME))?.try_into().map_err(fail)?;
        program.load("sys_exit", &btf).map_err(fail)?;
        Ok(Self { ebpf, name: NAME, link: None })
    }

    /// The capture program of programs that are loaded.
    #[must_use]
    pub const fn capture(ebpf: Ebpf) -> Self {
        Self { ebpf, name: "sys_exit", link: None }
    }

    /// Attaches it.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn attach(&mut self) -> Result<(), LoadError> {
        let name = self.name;
        let fail = |source| LoadError::Program { action: "attaching", program: name, source };
        let program: &mut BtfTracePoint = self.ebpf.program_mut(name).ok_or(LoadError::Absent(name))?.try_into().map_err(fail)?;
        let id = program.attach().map_err(fail)?;
        self.link = Some(program.take_link(id).map_err(fail)?);
        Ok(())
    }

    /// Detaches it.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn detach(&mut self) -> Result<(), LoadError> {
        let name = self.name;
        match self.link.take() {
            Some(link) => link.detach().map_err(|source| LoadError::Program { action: "detaching", program: name, source }),
            None => Ok(()),
        }
    }

    /// Time that the kernel spent in the program, and how often it ran, since it was loaded. Zero without [`count_time`].
    #[must_use]
    pub fn time(&self) -> (Duration, u64) {
        let information = self.ebpf.program(self.name).map(Program::info);
        information.and_then(Result::ok).map_or((Duration::ZERO, 0), |information| (information.run_time(), information.run_count()))
    }
}

/// Has the kernel count the time of every program while the descriptor is held.
///
/// # Errors
/// Where the kernel refuses.
pub fn count_time() -> io::Result<OwnedFd> {
    enable_stats(Stats::RunTime).map_err(io::Error::other)
}
