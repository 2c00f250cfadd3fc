//! Reading the kernel's structures. The offsets are constants to the verifier: the loader writes them from BTF.

use aya_ebpf::{
    Global,
    helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_user},
};
use core::{ffi::c_void, mem::MaybeUninit};

macro_rules! globals {
    ($($name:ident $structure:literal [$($field:literal),+] $required:ident),+ $(,)?) => {
        /// The offsets, one global a field.
        pub mod offset {
            use super::Global;
            $(#[unsafe(no_mangle)] pub static $name: Global<u32> = Global::new(sensor_ebpf::Offset::ABSENT);)+
        }
    };
}
sensor_ebpf::with_offsets!(globals);

/// Reads a plain value at a kernel address; zero where it cannot be read.
#[inline(always)]
pub fn read<T: Copy>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper fills all of `T`, with zeroes where the address is bad. `T` is plain numbers at every caller.
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const c_void);
        value.assume_init()
    }
}

/// Reads a field of a structure at a kernel address; zero where it cannot be read.
#[inline(always)]
pub fn field<T: Copy>(structure: u64, offset: &Global<u32>) -> T {
    read(structure.wrapping_add(u64::from(offset.load())))
}

/// Reads a field through a pointer whose type the verifier knows: a plain load, no helper call.
///
/// # Safety
/// `structure` came from the context, from [`task`] or from such a load.
#[inline(always)]
pub unsafe fn typed<T: Copy>(structure: *const u8, offset: &Global<u32>) -> T {
    // SAFETY: by the caller; the verifier checks the access against BTF, and a fault reads as zero.
    unsafe { structure.add(offset.load() as usize).cast::<T>().read() }
}

/// True where this kernel has the field.
#[inline(always)]
pub fn has(offset: &Global<u32>) -> bool {
    offset.load() != sensor_ebpf::Offset::ABSENT
}

/// Reads a plain value of the process's memory; `None` where it cannot be read.
#[inline(always)]
pub fn read_user<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: as in `read`.
    unsafe {
        match bpf_probe_read_user(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const c_void) {
            0 => Some(value.assume_init()),
            _ => None,
        }
    }
}

/// The task that runs now.
#[inline(always)]
pub fn task() -> *const u8 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_get_current_task_btf().cast_const().cast() }
}

/// Process id, thread id and start time of the process of a task.
#[derive(Clone, Copy)]
pub struct Who {
    pub pid: u32,
    pub tid: u32,
    pub start_time: u64,
    /// It runs the program that it was forked with, so that others may use its descriptors as well.
    pub forked: bool,
}

/// `PF_FORKNOEXEC`: forked, but no exec since (include/linux/sched.h).
const PF_FORKNOEXEC: u32 = 0x40;

/// Who a task is.
///
/// # Safety
/// As for [`typed`].
#[inline(always)]
pub unsafe fn who(task: *const u8) -> Who {
    // SAFETY: by the caller.
    unsafe {
        let leader: *const u8 = typed(task, &offset::TASK_GROUP_LEADER);
        Who {
            pid: typed(task, &offset::TASK_TGID),
            tid: typed(task, &offset::TASK_PID),
            start_time: typed(leader, &offset::TASK_START),
            forked: typed::<u32>(leader, &offset::TASK_FLAGS) & PF_FORKNOEXEC != 0,
        }
    }
}

/// Address of the `struct file` behind a descriptor of a task; 0 where there is none.
///
/// # Safety
/// As for [`typed`].
#[inline(always)]
pub unsafe fn file_of(task: *const u8, descriptor: u32) -> u64 {
    // SAFETY: by the caller.
    unsafe {
        let files: *const u8 = typed(task, &offset::TASK_FILES);
        let table: *const u8 = typed(files, &offset::FILES_FDT);
        let size: u32 = typed(table, &offset::FDT_MAX);
        if descriptor >= size {
            return 0;
        }
        let slots: u64 = typed(table, &offset::FDT_FD);
        read(slots.wrapping_add(u64::from(descriptor) * 8))
    }
}
