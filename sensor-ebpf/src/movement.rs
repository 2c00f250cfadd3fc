//! What is done about one movement of bytes at one end of a stream: find the stream, obey its verdict, count, take.
//!
//! Both ends of a stream count positions. Bytes are taken at the writer's end; the reader's end takes what the writer's
//! could not (`unseen_until`), and what reached the reader without the writer's call having been seen. Where the counts of
//! both ends began together (`exact`) or are absolute (TCP sequence numbers), a byte has the same position at both ends, so
//! user space can merge what it gets twice. Where they did not (a stream older than the sensor, or taken up again), only
//! one end is ever taken.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    btf_maps::Array,
    helpers::generated::bpf_ktime_get_boot_ns,
};
use sensor_ebpf::{Counter, End, Flags, Loss, ObjectKind, RecordHeader, RecordKind, Shape, StreamKey, StreamState, Verdict, VerdictKind};

use crate::{
    kernel::{Who, read_user, task, who},
    maps::{SETTINGS, STREAMS, VERDICTS, count, count_up, cpu, forget, no_key, output, zero},
    mark::obey,
    object::{Facts, Place, stream_of},
    position::{advance, fresh, note_process, note_thread, position_of, unreadable},
    recall::{Passing, Recalled, is_due, look_anew, looks_like_a_message, passing, remember, tag_of},
    take::{Buffers, Scratch, add_lengths, take},
};

/// Bytes that moved at one end of what a file stands for.
#[repr(C)]
pub struct Movement {
    /// What they moved through.
    place: Place,
    /// How many bytes. 0 where the lengths stand in the message headers.
    pub bytes: u64,
    /// Where they are in the process.
    pub buffers: Buffers,
    /// Which end.
    pub end: End,
    /// `MSG_TRUNC` was given: on TCP the buffer was left alone.
    pub discarded: bool,
    /// What is known of the verdict.
    passing: Passing,
    /// What stands for it in the table of what is remembered.
    tag: u64,
}

/// The movements of one call, and the stream of the one that is worked on.
#[repr(C)]
pub struct Pending {
    movements: [Movement; 2],
    count: u64,
    facts: Facts,
    key: StreamKey,
}

/// How long a stream that was found to be no text stays ignored at least, in nanoseconds.
const BINARY_HOLD: u64 = 20_000_000;
/// Bytes of a call between which those of another thread may come, at most: what the kernel passes on at once. Calls of more
/// would tear each other's messages apart, so there are no two at once.
const SHARED: u64 = 64 * 1024;
/// Bytes at the beginning of a call that are looked at.
const SNIFF: usize = 16;

/// What a call says of a movement.
#[derive(Clone, Copy)]
pub struct Told {
    pub end: End,
    pub bytes: u64,
    pub buffers: Buffers,
    pub discarded: bool,
}

/// Puts a movement of a call, its first (0) or second (1), where [`moved`] finds it: what it moved through is put there by
/// `carrier`. False where that carries no stream, or one that is passed over.
///
/// What is known of it goes by way of a map value, of which the verifier remembers nothing: else it would follow each kind
/// of call on each kind of object through all that comes after. (Before 6.3 it takes every number for one that matters as
/// soon as a program has a callback, and so never finds that it has been at a place before.)
#[inline(always)]
pub fn put(scratch: &Array<Scratch, 1>, number: usize, told: Told, carrier: impl FnOnce(&mut Place) -> bool) -> bool {
    let Told { end, bytes, buffers, discarded } = told;
    let Some(scratch) = scratch.get_ptr_mut(cpu()) else {
        count(Counter::NoScratchBytes, bytes);
        return false;
    };
    // SAFETY: a map value of this CPU, and nothing else runs this program here meanwhile; `number` is 0 or 1.
    unsafe {
        let pending = &raw mut (*scratch).pending;
        let movement = &mut *(&raw mut (*pending).movements).cast::<Movement>().add(number);
        if !carrier(&mut movement.place) {
            return false;
        }
        movement.tag = tag_of(&raw const movement.place.carrier, end);
        movement.passing = passing(movement.tag, &buffers);
        if matches!(movement.passing, Passing::Over) {
            return false;
        }
        movement.bytes = bytes;
        movement.buffers = buffers;
        movement.end = end;
        movement.discarded = discarded;
        (*pending).count = number as u64 + 1;
    }
    true
}

/// Handles the movements of a call.
#[inline(always)]
pub fn moved(scratch: &Array<Scratch, 1>) {
    let Some(scratch) = scratch.get_ptr_mut(cpu()) else { return };
    // Here and not behind, where the verifier has a hundred paths to follow through it.
    obey_mark(scratch);
    forget();
    let mut number = 0;
    // One body for both: the program would be twice as long, or its stack too deep.
    while number < 2 {
        // SAFETY: a map value of this CPU, and nothing else runs this program here meanwhile.
        unsafe {
            let pending = &raw mut (*scratch).pending;
            if number >= (&raw const (*pending).count).read_volatile() {
                return;
            }
            let movement = (&raw mut (*pending).movements).cast::<Movement>().add(number as usize);
            one(&mut *movement, &mut (*pending).facts, &mut (*pending).key, scratch);
        }
        number += 1;
    }
}

/// A process that was condemned is sent its signal; its bytes are taken all the same.
#[inline(always)]
fn obey_mark(scratch: *mut Scratch) {
    let Some(settings) = SETTINGS.get(0) else { return };
    if settings.marks == 0 {
        return;
    }
    // SAFETY: a map value.
    let end = unsafe {
        let first = (&raw const (*scratch).pending.movements).cast::<Movement>();
        (&raw const (*first).end).cast::<u8>().read_volatile()
    };
    obey(u32::from(end));
}

#[inline(always)]
unsafe fn one(movement: &mut Movement, facts: &mut Facts, key: &mut StreamKey, scratch: *mut Scratch) {
    if movement.buffers.shape == Shape::Messages as u32 {
        // SAFETY: in a map value.
        unsafe { add_lengths(&movement.buffers, &raw mut movement.bytes) };
    }
    let mut stream = no_key();
    // SAFETY: a map value of this CPU.
    let device = unsafe { &mut (*scratch).device };
    let Some(told) = stream_of(&movement.place.carrier, movement.end, &mut stream, device) else { return };
    *facts = told;
    *key = stream;
    forget();
    let (movement, facts, key) = (&*movement, *facts, &*key);
    // SAFETY: the task is the one that the verifier knows.
    let who = unsafe { who(task()) };
    let Some(settings) = SETTINGS.get(0) else { return };
    if who.pid == settings.own_pid {
        exclude(key);
        return;
    }
    let mut only_at = 0;
    if movement.passing as u8 != Passing::Capture as u8
        && let Some(verdict) = VERDICTS.get_ptr(key)
    {
        // SAFETY: a map value.
        let verdict = unsafe { &*verdict };
        if verdict.kind == VerdictKind::Exclude as u8 {
            count(Counter::IgnoredCalls, 1);
            remember(movement.tag, Recalled::Excluded, 0);
            return;
        }
        if verdict.kind == VerdictKind::Ignore as u8 {
            // At a pipe's or Unix socket's reader it is too late: the writer's call was passed over already.
            let late =
                matches!(movement.end, End::Reader) && (facts.kind == ObjectKind::Pipe as u8 || facts.kind == ObjectKind::Unix as u8);
            remember(movement.tag, if late { Recalled::Excluded } else { Recalled::Ignored }, verdict.retry_at);
            if late {
                count(Counter::IgnoredCalls, 1);
                return;
            }
            if !looks_again(verdict, movement) {
                return;
            }
            count(Counter::Probes, 1);
            let _ = VERDICTS.remove(key);
            let _ = STREAMS.remove(key);
            look_anew();
        } else {
            only_at = verdict.end;
            if only_at == 0 {
                remember(movement.tag, Recalled::Captured, 0);
            }
        }
    }
    count(Counter::Calls, 1);
    let Some(state) = state_of(key, movement, &facts) else { return };
    // SAFETY: a map value.
    unsafe { on_stream(movement, key, &facts, who, &mut *state, only_at, settings.call_limit, scratch) };
}

/// What the sensor writes and reads itself is nobody's traffic.
#[inline(always)]
fn exclude(key: &StreamKey) {
    let verdict = verdict(VerdictKind::Exclude, zero());
    let _ = VERDICTS.insert(key, &verdict, u64::from(BPF_ANY));
}

#[inline(always)]
fn verdict(kind: VerdictKind, retry_at: u64) -> Verdict {
    let zero = zero();
    Verdict { kind: kind as u8, end: zero as u8, padding: zero as u16, reserved: zero as u32, retry_at }
}

/// True where a call on an ignored stream is worth another look, and the stream was left alone for long enough.
#[inline(always)]
fn looks_again(verdict: &Verdict, movement: &Movement) -> bool {
    if movement.passing as u8 != Passing::Again as u8 {
        let calls = count_up(Counter::IgnoredCalls);
        if !is_due(calls, movement.tag) && !looks_like_a_message(&movement.buffers) {
            return false;
        }
    }
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_boot_ns() >= verdict.retry_at }
}

/// Address of the first buffer of a call; `None` where there is none or it cannot be told cheaply.
#[inline(always)]
pub fn first_buffer(buffers: &Buffers) -> Option<u64> {
    let shape = buffers.shape;
    if shape == Shape::Plain as u32 {
        return Some(buffers.address);
    }
    let vector = if shape == Shape::Vector as u32 {
        buffers.address
    } else if shape == Shape::None as u32 {
        return None;
    } else if buffers.compat != 0 {
        u64::from(read_user::<u32>(buffers.address.wrapping_add(8))?)
    } else {
        read_user::<u64>(buffers.address.wrapping_add(16))?
    };
    if buffers.compat != 0 { read_user::<u32>(vector).map(u64::from) } else { read_user(vector) }
}

/// True where a call begins with bytes that no text has.
#[inline(always)]
fn begins_binary(movement: &Movement) -> bool {
    let Some(address) = first_buffer(&movement.buffers) else { return false };
    if movement.bytes < SNIFF as u64 {
        return false;
    }
    let Some(words) = read_user::<[u64; SNIFF / 8]>(address) else { return false };
    has_control(words[0]) || has_control(words[1])
}

/// True where one of eight bytes is below 0x08: no text of any kind has such bytes.
#[inline(always)]
fn has_control(word: u64) -> bool {
    word.wrapping_sub(0x0808_0808_0808_0808) & !word & 0x8080_8080_8080_8080 != 0
}

/// The state of a stream, made where there was none. `None` where the stream turned out to be no text, or no room was.
#[inline(always)]
fn state_of(key: &StreamKey, movement: &Movement, facts: &Facts) -> Option<*mut StreamState> {
    if let Some(state) = STREAMS.get_ptr_mut(key) {
        // SAFETY: a map value.
        let known = unsafe { &mut *state };
        let (at_this_end, inode) = match movement.end {
            End::Writer => (&mut known.writer_inode, facts.inode),
            _ => (&mut known.reader_inode, facts.inode),
        };
        if *at_this_end == 0 {
            *at_this_end = inode;
        }
        if *at_this_end == inode {
            return Some(state);
        }
        // The addresses of a socket that is gone came into use again.
        let _ = STREAMS.remove(key);
    }
    if begins_binary(movement) {
        // SAFETY: the helper has no preconditions.
        let now = unsafe { bpf_ktime_get_boot_ns() };
        let verdict = verdict(VerdictKind::Ignore, now + BINARY_HOLD);
        let _ = VERDICTS.insert(key, &verdict, u64::from(BPF_ANY));
        return None;
    }
    create(key, facts.kind == ObjectKind::Tcp as u8, movement, facts)
}

#[inline(always)]
fn create(key: &StreamKey, exact: bool, movement: &Movement, facts: &Facts) -> Option<*mut StreamState> {
    // SAFETY: the helper has no preconditions.
    let mut state = fresh(exact, unsafe { bpf_ktime_get_boot_ns() });
    let writer = matches!(movement.end, End::Writer);
    if writer {
        state.writer_inode = facts.inode;
    } else {
        state.reader_inode = facts.inode;
    }
    if facts.kind == ObjectKind::Tcp as u8 {
        // Positions are sequence numbers, lengthened to 64 bits; what one end does not know yet lies before the other.
        let begin = (1 << 32) + u64::from(facts.sequence.wrapping_sub(movement.bytes as u32));
        state.written = begin;
        state.read = begin;
    }
    if STREAMS.insert(key, &state, u64::from(BPF_NOEXIST)).is_err() && STREAMS.get_ptr_mut(key).is_none() {
        count(Counter::MapFull, 1);
        return None;
    }
    STREAMS.get_ptr_mut(key)
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one caller, inlined; a structure would cost stack")]
unsafe fn on_stream(
    movement: &Movement,
    key: &StreamKey,
    facts: &Facts,
    who: Who,
    state: &mut StreamState,
    only_at: u8,
    limit: u64,
    scratch: *mut Scratch,
) {
    let writer = matches!(movement.end, End::Writer);
    let bytes = movement.bytes;
    let tcp = facts.kind == ObjectKind::Tcp as u8;
    let no_buffer = movement.buffers.shape == Shape::None as u32 || (movement.discarded && tcp);
    if writer {
        note_thread(state, who.tid);
        if no_buffer && state.exact != 0 {
            // Before the bytes are counted: a reader that finds them counted must find them marked, too.
            state.unseen_until = position_of(state, bytes, tcp, facts.sequence);
        }
    }
    let start = advance(state, writer, bytes, tcp, facts.sequence);
    let end = start + bytes;
    let tell = note_process(state, writer, who);

    let mut skip = 0;
    let birth = if state.exact != 0 && !tcp { Flags::SinceBirth as u8 } else { 0 };
    let mut flags = birth;
    let wanted = if key.kind == ObjectKind::Pty as u8 {
        // Echo and line discipline stand between master and slave: only the slave's bytes are the conversation's.
        !facts.master
    } else if state.taken_at != 0 || only_at != 0 {
        let at = if only_at != 0 { only_at } else { state.taken_at };
        at == End::Both as u8 || at == movement.end as u8
    } else if writer {
        // Of several threads that write at once, the one that is counted first need not be the one that wrote first: what the
        // reader has taken before the other's count is no measure then.
        let at_once = state.writer_threads != 0 && bytes <= SHARED && state.reader_took <= end + SHARED;
        if state.exact == 0 || at_once {
            true
        } else if end <= state.reader_took {
            false
        } else {
            if start < state.reader_took {
                skip = state.reader_took - start;
            }
            true
        }
    } else if state.exact != 0 {
        let unreadable = start < state.unseen_until;
        let ahead = end > state.written;
        if ahead && !unreadable && state.writer != 0 {
            flags = birth | Flags::Ahead as u8;
        }
        if ahead {
            count(Counter::ReaderAheadBytes, bytes);
        }
        ahead || unreadable
    } else {
        false
    };

    if !wanted || no_buffer {
        let unseen = no_buffer && unreadable(state, writer, start, end);
        // A writer whose bytes were taken at the reader's end says that they are its own.
        if tell || no_buffer || (writer && state.exact != 0) {
            touch(movement, key, state.epoch, start, who, birth, unseen);
        }
        return;
    }
    if skip != 0 {
        touch(movement, key, state.epoch, start, who, birth, false);
    }
    // SAFETY: a map value of this CPU, and nothing else runs this program here meanwhile.
    unsafe {
        let record = &mut (*scratch).record;
        record.header = header(RecordKind::Chunk, movement.end, who);
        record.header.loss = state.loss as u8;
        record.header.flags = flags;
        record.key = *key;
        record.epoch = state.epoch;
        record.offset = start;
        record.call_bytes = bytes;
        state.loss = 0;
        take(scratch, &movement.buffers, bytes, limit, skip, facts.packets);
        state.loss |= u32::from((*scratch).record.header.loss) | (*scratch).loss;
        if (*scratch).lost != 0 {
            if writer && state.unseen_until < end {
                state.unseen_until = end;
            }
        } else if !writer && (start <= state.reader_took || start <= state.written) && state.reader_took < end {
            // What came before was taken at one end or the other.
            state.reader_took = end;
        }
    }
}

#[inline(always)]
fn header(kind: RecordKind, end: End, who: Who) -> RecordHeader {
    RecordHeader {
        kind: kind as u8,
        end: end as u8,
        loss: 0,
        flags: 0,
        length: 0,
        // SAFETY: the helper has no preconditions.
        time: unsafe { bpf_ktime_get_boot_ns() },
        start_time: who.start_time,
        pid: who.pid,
        tid: who.tid,
    }
}

/// Tells who used an end where the bytes were not taken; `unseen` where they were taken at neither end.
#[inline(always)]
fn touch(movement: &Movement, key: &StreamKey, epoch: u64, start: u64, who: Who, flags: u8, unseen: bool) {
    let mut record = sensor_ebpf::ChunkRecord {
        header: header(RecordKind::Touch, movement.end, who),
        key: *key,
        epoch,
        offset: start,
        call_bytes: movement.bytes,
    };
    let length = size_of::<sensor_ebpf::ChunkRecord>() as u64;
    record.header.length = length as u32;
    record.header.flags = flags;
    if unseen {
        record.header.loss = Loss::NoBuffer as u8;
    }
    // SAFETY: the record is on the stack, whole.
    if unsafe { output((&raw const record).cast(), length) } {
        count(Counter::Records, 1);
    } else {
        count(Counter::RingFullRecords, 1);
    }
}
