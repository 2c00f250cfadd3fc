//! Reading the iterator over open files: who holds which stream, and who we are.

use super::load::LoadError;
use aya::{
    Ebpf,
    programs::{Iter, ProgramError},
};
use sensor_ebpf::{HeldRecord, ITERATOR_GREETING};
use std::{fs::File, io::Read as _};
use zerocopy::FromBytes as _;

/// A process holds a descriptor that can use an end of a stream.
pub type HeldStream = HeldRecord;

fn open(ebpf: &mut Ebpf, name: &'static str) -> Result<File, LoadError> {
    let program = ebpf.program_mut(name).ok_or(LoadError::Absent(name))?;
    let fail = |source: ProgramError| LoadError::Program { action: "attaching", program: name, source };
    let program: &mut Iter = program.try_into().map_err(fail)?;
    let link = program.attach().and_then(|id| program.take_link(id)).map_err(fail)?;
    link.into_file().map_err(|error| LoadError::Iterator(std::io::Error::other(error)))
}

/// The sensor's own process id in the first pid namespace: the iterator's first word.
pub fn greeting(ebpf: &mut Ebpf, name: &'static str) -> Result<u32, LoadError> {
    let mut bytes = [0; ITERATOR_GREETING];
    open(ebpf, name)?.read_exact(&mut bytes).map_err(LoadError::Iterator)?;
    let [pid, _digest]: [u64; 2] = zerocopy::transmute!(bytes);
    u32::try_from(pid).map_err(|_| LoadError::Iterator(std::io::Error::other("a pid beyond 32 bits")))
}

/// Every stream that is held, as the iterator tells it.
pub fn held(ebpf: &mut Ebpf, name: &'static str) -> Result<Vec<HeldStream>, LoadError> {
    let mut bytes = Vec::new();
    open(ebpf, name)?.read_to_end(&mut bytes).map_err(LoadError::Iterator)?;
    let mut rest = bytes.get(ITERATOR_GREETING..).unwrap_or_default();
    let mut held = Vec::new();
    while let Ok((record, after)) = HeldRecord::read_from_prefix(rest) {
        held.push(record);
        rest = after;
    }
    Ok(held)
}
