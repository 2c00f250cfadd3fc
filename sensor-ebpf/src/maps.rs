//! The maps, and counting.

use aya_ebpf::{
    Global,
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
    helpers::generated::{bpf_get_smp_processor_id, bpf_ringbuf_output, bpf_ringbuf_query},
    macros::btf_map,
};
use core::{arch::asm, ffi::c_void};
use sensor_ebpf::{Counter, ExecRecord, Mark, Settings, StreamKey, StreamState, Verdict};

use crate::take::Scratch;

/// The digest of the ABI that this object was built with, for the loader.
#[unsafe(no_mangle)]
pub static ABI_DIGEST: Global<u64> = Global::new(sensor_ebpf::ABI_DIGEST);

#[btf_map]
pub static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
pub static COUNTS: PerCpuArray<u64, 14> = PerCpuArray::new();
/// What was decided about a stream. Written by user space.
#[btf_map]
pub static VERDICTS: LruHashMap<StreamKey, Verdict, 65536> = LruHashMap::new();
/// Processes that are to be sent a signal, by their pid. Written by user space.
#[btf_map]
pub static MARKS: HashMap<u32, Mark, 4096> = HashMap::new();
/// What is counted about a stream that is not ignored.
#[btf_map]
pub static STREAMS: LruHashMap<StreamKey, StreamState, 16384> = LruHashMap::new();
#[btf_map]
pub static RECORDS: RingBuf<u8, { 32 << 20 }> = RingBuf::new();
/// One element a possible CPU (the loader sizes them): per-CPU maps cannot hold values of this size.
#[btf_map]
pub static SCRATCH_SYSCALLS: Array<Scratch, 1> = Array::new();
#[btf_map]
pub static SCRATCH_IO_URING: Array<Scratch, 1> = Array::new();
#[btf_map]
pub static SCRATCH_EXEC: Array<ExecRecord, 1> = Array::new();

const AVAILABLE: u64 = 0;
const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;
/// Bytes waiting in the ring at which the consumer is woken. Below it the consumer's own poll finds them: waking costs
/// more than the capture itself.
const WAKE_AT: u64 = 1 << 20;

#[inline(always)]
pub fn cpu() -> u32 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_get_smp_processor_id() as u32 }
}

/// Adds to a counter, atomically: an interrupt may run the other program on this CPU meanwhile.
#[inline(always)]
pub fn count(counter: Counter, amount: u64) {
    if let Some(value) = COUNTS.get_ptr_mut(counter as u32) {
        // SAFETY: the map gave a valid pointer to a u64 of this CPU.
        unsafe { add(value, amount) };
    }
}

/// The same by one; gives what was counted on this CPU before.
#[inline(always)]
pub fn count_up(counter: Counter) -> u64 {
    match COUNTS.get_ptr_mut(counter as u32) {
        // SAFETY: as above.
        Some(value) => unsafe { fetch_add(value, 1) },
        None => 0,
    }
}

/// # Safety
/// `value` points into a map value.
#[inline(always)]
pub unsafe fn add(value: *mut u64, amount: u64) {
    // SAFETY: by the caller; the instruction touches these eight bytes only.
    unsafe { asm!("lock *(u64 *)({1} + 0) += {0}", in(reg) amount, in(reg) value) };
}

/// Adds and gives the value before.
///
/// # Safety
/// `value` points into a map value.
#[inline(always)]
pub unsafe fn fetch_add(value: *mut u64, amount: u64) -> u64 {
    let mut result = amount;
    // SAFETY: by the caller; the instruction touches these eight bytes only.
    unsafe { asm!("{0} = atomic_fetch_add((u64 *)({1} + 0), {0})", inout(reg) result, in(reg) value) };
    result
}

/// A zero that the compiler does not know: of zeroes that it knows it makes calls of `memset`, byte by byte.
#[inline(always)]
pub fn zero() -> u64 {
    let value;
    // SAFETY: sets one register.
    unsafe { asm!("{0} = 0", out(reg) value, options(pure, nomem, nostack, preserves_flags)) };
    value
}

/// The key of nothing, to be filled.
#[inline(always)]
pub fn no_key() -> StreamKey {
    let zero = zero();
    StreamKey { words: [zero; 5], ports: zero as u32, kind: zero as u8, direction: zero as u8, padding: zero as u16 }
}

/// Makes the compiler read map values anew behind this point, rather than keep what was written there.
#[inline(always)]
pub fn forget() {
    // SAFETY: no instruction.
    unsafe { asm!("") };
}

/// Puts a record into the ring. False where there was no room.
///
/// # Safety
/// `record` points to `length` readable bytes that the verifier knows.
#[inline(always)]
pub unsafe fn output(record: *const c_void, length: u64) -> bool {
    let ring = (&raw const RECORDS).cast_mut().cast::<c_void>();
    // SAFETY: `ring` is the ring map; the record is the caller's.
    unsafe {
        let waiting = bpf_ringbuf_query(ring, AVAILABLE);
        // Not a sum with the length: 6.12's verifier forgets a number's bounds when another is that number and a constant.
        let is_first = waiting > WAKE_AT && waiting.wrapping_sub(length) <= WAKE_AT + 64;
        let flags = if is_first { FORCE_WAKEUP } else { NO_WAKEUP };
        bpf_ringbuf_output(ring, record.cast_mut(), length, flags) == 0
    }
}
