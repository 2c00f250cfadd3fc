//! Positions in a stream: both ends count, and where their counts began together a byte has the same position at both.
//!
//! Calls end in another order than their bytes went through, on several CPUs and where the kernel preempts: what one end
//! tells the other is written before the bytes are counted.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::generated::bpf_ktime_get_boot_ns,
};
use sensor_ebpf::{Counter, End, Loss, ObjectKind, StreamKey, StreamState};

use crate::{
    kernel::Who,
    maps::{STREAMS, VERDICTS, count, fetch_add, no_key, zero},
    object::{LastDevice, carrier, stream_of},
    recall::forget_end,
};

/// How long one end of a new connection may be ahead of the other's `connect` or `accept`, in nanoseconds.
const HALF_BORN: u64 = 1_000_000_000;

/// The state of a stream that begins now.
#[inline(always)]
pub fn fresh(exact: bool, now: u64) -> StreamState {
    let zero = zero();
    StreamState {
        epoch: now,
        written: zero,
        read: zero,
        unseen_until: zero,
        writer: zero,
        reader: zero,
        writer_inode: zero,
        reader_inode: zero,
        writer_pid: zero as u32,
        reader_pid: zero as u32,
        loss: zero as u32,
        exact: exact as u8,
        taken_at: zero as u8,
        writer_shared: zero as u8,
        reader_shared: zero as u8,
        reader_took: zero,
        writer_tid: zero as u32,
        writer_threads: zero as u32,
    }
}

/// Notes which thread writes.
#[inline(always)]
pub fn note_thread(state: &mut StreamState, tid: u32) {
    if state.writer_tid == tid {
        return;
    }
    if state.writer_tid != 0 {
        state.writer_threads = 1;
    }
    state.writer_tid = tid;
}

/// A sequence number, lengthened to the 64 bits of a position near another.
#[inline(always)]
pub fn lengthened(near: u64, sequence: u32) -> u64 {
    near.wrapping_add_signed(i64::from(sequence.wrapping_sub(near as u32) as i32))
}

/// Where the writer's end will be once its call is counted.
#[inline(always)]
pub fn position_of(state: &StreamState, bytes: u64, tcp: bool, sequence: u32) -> u64 {
    let end = if tcp { lengthened(state.written, sequence) } else { state.written + bytes };
    if end > state.unseen_until { end } else { state.unseen_until }
}

/// Moves the position of one end on; gives where it was.
///
/// On TCP it is the sequence number that the socket has reached. Where several threads write, that is no longer where this
/// call ended: there the bytes are added up, so that each call has a place of its own.
#[inline(always)]
pub fn advance(state: &mut StreamState, writer: bool, bytes: u64, tcp: bool, sequence: u32) -> u64 {
    let threads = writer && state.writer_threads != 0;
    let position = if writer { &raw mut state.written } else { &raw mut state.read };
    // SAFETY: a field of a map value.
    unsafe {
        if tcp && !threads {
            let end = lengthened(*position, sequence);
            *position = end;
            end.wrapping_sub(bytes)
        } else {
            fetch_add(position, bytes)
        }
    }
}

/// Notes who was at this end. True where that is to be told: another process than the last time, or any where several
/// share the end (forked workers), so that each message finds the one that took it.
#[inline(always)]
pub fn note_process(state: &mut StreamState, writer: bool, who: Who) -> bool {
    let (start_time, pid, shared) = if writer {
        (&mut state.writer, &mut state.writer_pid, &mut state.writer_shared)
    } else {
        (&mut state.reader, &mut state.reader_pid, &mut state.reader_shared)
    };
    if *pid == who.pid && *start_time == who.start_time {
        return *shared != 0;
    }
    if *pid != 0 || who.forked {
        *shared = 1;
    }
    *pid = who.pid;
    *start_time = who.start_time;
    true
}

/// Bytes moved at this end without a buffer: the other end has to take them. True where nobody took them: not the
/// writer's end, which could not or was not seen, and not this one.
#[inline(always)]
pub fn unreadable(state: &mut StreamState, writer: bool, start: u64, end: u64) -> bool {
    count(Counter::NoBufferBytes, end - start);
    if !writer {
        let unseen = start < state.unseen_until || state.taken_at == End::Reader as u8;
        if unseen {
            state.loss |= Loss::NoBuffer as u32;
        }
        // A writer that is behind may yet show them: user space waits for it.
        return unseen || end > state.written;
    }
    if state.exact == 0 {
        state.taken_at = End::Reader as u8;
    }
    false
}

/// Counts a stream from now on, with both ends at the same position. One that is counted already stays as it is.
#[inline(always)]
pub fn begin(key: &StreamKey) {
    // SAFETY: the helper has no preconditions.
    let state = fresh(true, unsafe { bpf_ktime_get_boot_ns() });
    let _ = STREAMS.insert(key, &state, u64::from(BPF_NOEXIST));
}

/// Counts a stream from its very first byte: it has just been made. `certain` where nobody can have used it before this
/// moment; else the other end may have been quicker, and what it counts stays. Both directions of an object are given
/// the same moment `now`.
#[inline(always)]
pub fn born(file: u64, end: End, certain: bool, now: u64) {
    let mut key = no_key();
    let Some(carrier) = carrier(file) else { return };
    let Some(facts) = stream_of(&carrier, end, &mut key, &mut LastDevice::default()) else { return };
    if facts.kind == ObjectKind::Tcp as u8 {
        // A socket can be connected anew.
        // SAFETY: made of numbers.
        unsafe { forget_end(&raw const carrier, end) };
        return;
    }
    let mut state = fresh(true, now);
    if matches!(end, End::Writer) {
        state.writer_inode = facts.inode;
    } else {
        state.reader_inode = facts.inode;
    }
    if !certain && let Some(known) = STREAMS.get_ptr_mut(&key) {
        // SAFETY: a map value.
        let (inode, age) = unsafe {
            let inode = if matches!(end, End::Writer) { (*known).writer_inode } else { (*known).reader_inode };
            (inode, state.epoch.wrapping_sub((*known).epoch))
        };
        // Older, or of another socket: what a stream left whose addresses are used again.
        if (inode == 0 || inode == facts.inode) && age < HALF_BORN {
            return;
        }
    }
    let _ = STREAMS.insert(&key, &state, u64::from(BPF_ANY));
    let _ = VERDICTS.remove(&key);
}
