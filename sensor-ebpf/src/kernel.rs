//! Reading the kernel's structures. The offsets are constants to the verifier: the loader writes them from BTF.

use aya_ebpf::{
    Global,
    helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_user},
};
use core::{arch::asm, ffi::c_void, mem::MaybeUninit};

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

/// Descriptors in the table that a process begins with (`NR_OPEN_DEFAULT`, include/linux/fdtable.h, on 64-bit machines).
const FIRST_TABLE: u32 = 64;

macro_rules! slots {
    ($array:expr, $descriptor:expr, $($number:literal)+) => {
        match $descriptor {
            $($number => {
                let file: *const u8;
                asm!("{0} = *(u64 *)({1} + {2})", out(reg) file, in(reg) $array, const $number * 8);
                file
            })+
            _ => core::ptr::null(),
        }
    };
}

/// The `struct file` behind a descriptor of a task, by a pointer whose type the verifier knows; null where there is none, or
/// where it cannot be had so: the process has had more descriptors than its first table holds (as what bash starts: bash
/// has one of the number 255).
///
/// The verifier knows the type of what is loaded at a constant offset only: hence one load for each descriptor.
///
/// # Safety
/// As for [`typed`].
#[inline(always)]
pub unsafe fn typed_file_of(task: *const u8, descriptor: u32) -> *const u8 {
    if descriptor >= FIRST_TABLE || !has(&offset::FILES_FDTAB) || !has(&offset::FILES_ARRAY) {
        return core::ptr::null();
    }
    // SAFETY: by the caller; each load is through a pointer whose type the verifier knows, at an offset that it knows.
    unsafe {
        let files: *const u8 = typed(task, &offset::TASK_FILES);
        let table: *const u8 = typed(files, &offset::FILES_FDT);
        if table != files.add(offset::FILES_FDTAB.load() as usize) {
            return core::ptr::null();
        }
        let array = files.add(offset::FILES_ARRAY.load() as usize);
        slots!(array, descriptor,
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
            32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63)
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
