//! A process that was condemned before is sent its signal here, in its own context, before it goes on.

use aya_ebpf::helpers::generated::{bpf_ktime_get_boot_ns, bpf_send_signal};
use sensor_ebpf::{Counter, RecordHeader, RecordKind, SignalRecord};

use crate::{
    kernel::{task, who},
    maps::{MARKS, count, output},
};

/// Sends the current process the signal that it is marked for, once, and tells of it.
///
/// A SIGKILL sent here is taken on the way back from this very call: not one more instruction of the program runs.
///
/// A global function: the verifier looks at it once, alone, and not again on each way that leads here. So it returns a number.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn obey(end: u32) -> u32 {
    // SAFETY: the task is the one that the verifier knows.
    let who = unsafe { who(task()) };
    let Some(mark) = MARKS.get_ptr(&who.pid) else { return 0 };
    // SAFETY: a map value.
    let mark = unsafe { *mark };
    if mark.start_time != who.start_time {
        return 0;
    }
    // Before the signal: of two threads that come here at once, one sends it. (And one that is resumed is not stopped again.)
    if MARKS.remove(&who.pid).is_err() {
        return 0;
    }
    // SAFETY: takes no pointers; the kernel refuses its own threads and the first process.
    let result = unsafe { bpf_send_signal(mark.signal) };
    let length = size_of::<SignalRecord>();
    let record = SignalRecord {
        header: RecordHeader {
            kind: RecordKind::Signal as u8,
            end: end as u8,
            loss: 0,
            flags: 0,
            length: length as u32,
            // SAFETY: the helper has no preconditions.
            time: unsafe { bpf_ktime_get_boot_ns() },
            start_time: who.start_time,
            pid: who.pid,
            tid: who.tid,
        },
        signal: mark.signal,
        result: result as i32,
    };
    // SAFETY: the record is on the stack, whole.
    if unsafe { output((&raw const record).cast(), length as u64) } {
        count(Counter::Records, 1);
    } else {
        count(Counter::RingFullRecords, 1);
    }
    1
}
