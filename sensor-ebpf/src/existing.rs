//! Who holds which end of which stream when the sensor starts: an iterator over the open files of all tasks.
//!
//! Its first line greets its reader with the reader's own process id as the kernel knows it, which a process in a pid
//! namespace of its own cannot find out otherwise, and with the digest of the ABI.

use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns, bpf_seq_write};
use core::ffi::c_void;
use sensor_ebpf::{End, HeldRecord, RecordHeader};

use crate::{
    kernel::who,
    maps::{ABI_DIGEST, no_key},
    object::{LastDevice, access_of, carrier, is_empty_pipe, stream_of},
    position::begin,
};

/// `struct bpf_iter_meta`: the file that the iterator writes to, and where the iteration is.
#[repr(C)]
struct Meta {
    sequence_file: *mut c_void,
    session: u64,
    index: u64,
}

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub struct Context {
    meta: *const Meta,
    task: *const u8,
    descriptor: u32,
    padding: u32,
    file: *const u8,
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn held_streams(context: *const Context) -> i32 {
    // SAFETY: the kernel calls with this context; null pointers mark the last call.
    unsafe {
        let context = &*context;
        let meta = &*context.meta;
        if meta.index == 0 {
            let greeting = [bpf_get_current_pid_tgid() >> 32, ABI_DIGEST.load()];
            bpf_seq_write(meta.sequence_file.cast(), greeting.as_ptr().cast_mut().cast(), 16);
        }
        // Volatile: the verifier knows a pointer to be non-null in the register that was tested, not in a second load.
        let task = (&raw const context.task).read_volatile();
        let file = (&raw const context.file).read_volatile() as u64;
        if task.is_null() || file == 0 {
            return 0;
        }
        let access = access_of(file);
        let mut end = End::Reader;
        let mut turn = 0;
        while turn < 2 {
            turn += 1;
            let bit = end as u32;
            if access & (if bit == End::Reader as u32 { 1 } else { 2 }) != 0 {
                tell(meta.sequence_file, task, file, end);
            }
            end = End::Writer;
        }
    }
    0
}

#[inline(never)]
unsafe fn tell(sequence_file: *mut c_void, task: *const u8, file: u64, end: End) {
    let mut key = no_key();
    let Some(carrier) = carrier(file) else { return };
    if stream_of(&carrier, end, &mut key, &mut LastDevice::default()).is_none() {
        return;
    }
    if is_empty_pipe(&carrier) {
        // Nothing is under way, so both ends can be counted from here as from the beginning.
        begin(&key);
    }
    // SAFETY: by the caller: pointers of the iterator's context.
    unsafe {
        let holder = who(task);
        let record = HeldRecord {
            header: RecordHeader {
                kind: 0,
                end: end as u8,
                loss: 0,
                flags: 0,
                length: size_of::<HeldRecord>() as u32,
                time: bpf_ktime_get_boot_ns(),
                start_time: holder.start_time,
                pid: holder.pid,
                tid: holder.tid,
            },
            key,
        };
        bpf_seq_write(sequence_file.cast(), (&raw const record).cast_mut().cast(), size_of::<HeldRecord>() as u32);
    }
}
