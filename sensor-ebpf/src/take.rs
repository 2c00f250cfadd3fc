//! Taking the bytes of a call: from the process's buffers, in records of at most [`CHUNK_CAPACITY`] bytes, into the ring.
//!
//! The state of the walk lives in the scratch value, not on the stack: there the verifier would follow every value that
//! it can have.

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_user};
use core::ffi::c_void;
use sensor_ebpf::{CHUNK_CAPACITY, ChunkRecord, Counter, Flags, Loss, Shape};

use crate::{
    kernel::read_user,
    maps::{count, output, zero},
    movement::Pending,
    object::LastDevice,
};

/// Where a call's buffers are.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Buffers {
    /// Address in the process: of the buffer, the vector, the header or the vector of headers.
    pub address: u64,
    /// Elements of the vector.
    pub elements: u64,
    /// A [`Shape`].
    pub shape: u32,
    /// Not 0 where the process's pointers have 32 bits.
    pub compat: u32,
}

/// Scratch space: a record in the making and the state of the walk over the buffers.
#[repr(C)]
pub struct Scratch {
    /// Head of the record.
    pub record: ChunkRecord,
    /// Its payload. Twice the capacity, so that the verifier sees every copy stay inside: begin and length are each below
    /// the capacity.
    pub data: [u8; CHUNK_CAPACITY * 2],
    /// Bytes in `data`.
    fill: u64,
    /// Bytes of the call still to walk.
    left: u64,
    /// Bytes to pass over: they were taken at the other end.
    skip: u64,
    /// Current buffer.
    buffer: u64,
    buffer_left: u64,
    /// Rest of the vector.
    vector: u64,
    vector_left: u64,
    /// Rest of the vector of message headers.
    headers: u64,
    headers_left: u64,
    /// Bytes lost on this call.
    pub lost: u64,
    /// [`Loss`] bits of this call.
    pub loss: u32,
    compat: bool,
    packets: bool,
    done: bool,
    padding: u8,
    /// What is to be taken.
    pub pending: Pending,
    /// Spares a look.
    pub device: LastDevice,
}

/// Steps of a walk at most: a vector has 1,024 elements at most, a call 16 MiB, and the two add.
const STEPS: u32 = 16 * 1024;

struct Context {
    scratch: *mut Scratch,
}

/// Takes the bytes of a call into the ring. What could not be taken stands in `lost` and `loss` afterwards.
///
/// The head of the record must be filled but for its length; `skip` bytes at the beginning are passed over.
///
/// # Safety
/// `scratch` is a value of a scratch map of this program and CPU.
#[inline(always)]
pub unsafe fn take(scratch: *mut Scratch, buffers: &Buffers, bytes: u64, limit: u64, skip: u64, packets: bool) {
    // SAFETY: by the caller.
    let state = unsafe { &mut *scratch };
    state.fill = 0;
    state.lost = 0;
    state.loss = 0;
    let is_short = bytes <= CHUNK_CAPACITY as u64 && bytes <= limit && skip == 0;
    if is_short && buffers.shape == Shape::Plain as u32 && take_short(state, buffers.address, bytes, packets) {
        return;
    }
    state.skip = skip;
    state.left = bytes;
    if bytes > limit {
        state.left = limit;
        state.lost = bytes - limit;
        state.loss = Loss::OverLimit as u32;
        count(Counter::OverLimitBytes, bytes - limit);
    }
    let zero = zero();
    state.buffer = zero;
    state.buffer_left = zero;
    state.vector = zero;
    state.vector_left = zero;
    state.headers = zero;
    state.headers_left = zero;
    state.compat = buffers.compat != 0;
    state.packets = packets;
    state.done = false;
    let shape = buffers.shape;
    if shape == Shape::Plain as u32 {
        state.buffer = buffers.address;
        state.buffer_left = bytes;
    } else if shape == Shape::Vector as u32 {
        state.vector = buffers.address;
        state.vector_left = buffers.elements;
    } else if shape == Shape::Message as u32 {
        open_header(state, buffers.address);
    } else {
        state.headers = buffers.address;
        state.headers_left = buffers.elements;
        // The lengths stand in the headers; the walk ends with the last of them.
        state.left = 0;
    }
    let context = Context { scratch };
    // SAFETY: `step` matches the helper's callback type, and the context outlives the call.
    unsafe { bpf_loop(STEPS, step as *mut c_void, (&raw const context).cast_mut().cast(), 0) };
    if !state.done {
        let rest = state.left + state.fill;
        state.lost += rest;
        state.loss |= Loss::OverLimit as u32;
        count(Counter::OverLimitBytes, rest);
    }
}

/// Most calls: one buffer that fits into a record. False where it cannot be read whole; nothing is done then.
#[inline(always)]
fn take_short(state: &mut Scratch, address: u64, bytes: u64, packet_end: bool) -> bool {
    // The bound again, where the verifier sees it.
    // SAFETY: a local variable.
    let mut amount = unsafe { core::ptr::read_volatile(&raw const bytes) };
    if amount > CHUNK_CAPACITY as u64 {
        amount = CHUNK_CAPACITY as u64;
    }
    // SAFETY: `data` is longer than the capacity.
    let result = unsafe { bpf_probe_read_user(state.data.as_mut_ptr().cast(), amount as u32, address as *const c_void) };
    if result != 0 {
        return false;
    }
    state.fill = amount;
    emit(state, packet_end);
    true
}

/// Adds up the lengths in a vector of message headers, as `recvmmsg` and `sendmmsg` leave them; 64 messages at most.
///
/// # Safety
/// `sum` points into a map value: in a register the verifier would follow each value that it can have.
#[inline(always)]
pub unsafe fn add_lengths(buffers: &Buffers, sum: *mut u64) {
    let (size, at) = header_shape(buffers.compat != 0);
    let mut index = 0;
    while index < 64 {
        if index >= buffers.elements {
            break;
        }
        let length: u32 = read_user(buffers.address.wrapping_add(index * size + at)).unwrap_or(0);
        // SAFETY: by the caller.
        unsafe { sum.write_volatile(sum.read_volatile() + u64::from(length)) };
        index += 1;
    }
}

/// Size of a `struct mmsghdr` and the place of its `msg_len`.
#[inline(always)]
fn header_shape(compat: bool) -> (u64, u64) {
    if compat { (32, 28) } else { (64, 56) }
}

#[inline(always)]
fn open_header(state: &mut Scratch, header: u64) {
    // `msg_iov`, `msg_iovlen` of a `struct msghdr` (include/linux/socket.h, include/net/compat.h).
    if state.compat {
        state.vector = u64::from(read_user::<u32>(header.wrapping_add(8)).unwrap_or(0));
        state.vector_left = u64::from(read_user::<u32>(header.wrapping_add(12)).unwrap_or(0));
    } else {
        state.vector = read_user(header.wrapping_add(16)).unwrap_or(0);
        state.vector_left = read_user(header.wrapping_add(24)).unwrap_or(0);
    }
}

/// One step of the walk: copies the next piece, or opens the next buffer, or ends. 0 goes on, 1 stops.
unsafe extern "C" fn step(_index: u32, context: *mut c_void) -> i64 {
    // SAFETY: `take` passes a `Context`, whose scratch is a map value.
    let state = unsafe { &mut *(*context.cast::<Context>()).scratch };
    if state.left == 0 {
        if state.headers_left != 0 {
            if state.packets && state.fill != 0 {
                emit(state, true);
                return 0;
            }
            return next_header(state);
        }
        if state.fill != 0 {
            let packets = state.packets;
            emit(state, packets);
        }
        state.done = true;
        return 1;
    }
    if state.buffer_left == 0 {
        return next_buffer(state);
    }
    copy(state)
}

#[inline(always)]
fn next_header(state: &mut Scratch) -> i64 {
    let header = state.headers;
    let (size, at) = header_shape(state.compat);
    open_header(state, header);
    state.left = u64::from(read_user::<u32>(header.wrapping_add(at)).unwrap_or(0));
    state.buffer_left = 0;
    state.headers = header.wrapping_add(size);
    state.headers_left -= 1;
    0
}

#[inline(always)]
fn next_buffer(state: &mut Scratch) -> i64 {
    if state.vector_left == 0 {
        // The call moved more than its buffers hold (MSG_TRUNC on a packet): the rest is nowhere.
        let rest = state.left;
        state.lost += rest;
        state.loss |= Loss::NoBuffer as u32;
        count(Counter::NoBufferBytes, rest);
        state.left = 0;
        return 0;
    }
    let at = state.vector;
    let entry = if state.compat {
        state.vector = at.wrapping_add(8);
        read_user::<[u32; 2]>(at).map(|[base, length]| [u64::from(base), u64::from(length)])
    } else {
        state.vector = at.wrapping_add(16);
        read_user::<[u64; 2]>(at)
    };
    state.vector_left -= 1;
    match entry {
        Some([base, length]) => {
            state.buffer = base;
            state.buffer_left = length;
        }
        None => fault(state, u64::MAX),
    }
    0
}

/// Gives up `amount` bytes (or what is left) that cannot be read.
#[inline(always)]
fn fault(state: &mut Scratch, amount: u64) {
    let left = state.left;
    let amount = if amount < left { amount } else { left };
    if state.fill != 0 {
        emit(state, false);
    }
    state.left = left - amount;
    state.lost += amount;
    state.loss |= Loss::ReadFault as u32;
    state.record.offset += amount;
    state.record.header.loss |= Loss::ReadFault as u8;
    count(Counter::ReadFaultBytes, amount);
}

#[inline(always)]
fn copy(state: &mut Scratch) -> i64 {
    let here = if state.buffer_left < state.left { state.buffer_left } else { state.left };
    if state.skip != 0 {
        let passed = if state.skip < here { state.skip } else { here };
        state.skip -= passed;
        state.record.offset += passed;
        advance(state, passed);
        return 0;
    }
    let fill = state.fill;
    if fill >= CHUNK_CAPACITY as u64 {
        emit(state, false);
        return 0;
    }
    let room = CHUNK_CAPACITY as u64 - fill;
    let least = if here < room { here } else { room };
    // The verifier does not relate the room to the fill (nor, before 6.8, one register to another): it must see the bound
    // itself. The compiler, which does, would drop a test of what it knows.
    // SAFETY: a local variable.
    let mut amount = unsafe { core::ptr::read_volatile(&raw const least) };
    if amount > CHUNK_CAPACITY as u64 {
        amount = CHUNK_CAPACITY as u64;
    }
    // SAFETY: `fill` and `amount` are at most the capacity each, and `data` is twice as long.
    let result = unsafe {
        let target = state.data.as_mut_ptr().add(fill as usize);
        bpf_probe_read_user(target.cast(), amount as u32, state.buffer as *const c_void)
    };
    if result != 0 {
        advance(state, amount);
        state.left += amount;
        fault(state, amount);
        return 0;
    }
    state.fill = fill + amount;
    advance(state, amount);
    if state.fill >= CHUNK_CAPACITY as u64 {
        emit(state, state.packets && state.left == 0);
    }
    0
}

#[inline(always)]
fn advance(state: &mut Scratch, amount: u64) {
    state.buffer = state.buffer.wrapping_add(amount);
    state.buffer_left -= amount;
    state.left -= amount;
}

/// Puts what is in `data` into the ring.
#[inline(always)]
fn emit(state: &mut Scratch, packet_end: bool) {
    let mut fill = state.fill;
    if fill > CHUNK_CAPACITY as u64 {
        fill = CHUNK_CAPACITY as u64;
    }
    let length = size_of::<ChunkRecord>() as u64 + fill;
    state.record.header.length = length as u32;
    let flags = state.record.header.flags & !(Flags::PacketEnd as u8);
    state.record.header.flags = flags | if packet_end { Flags::PacketEnd as u8 } else { 0 };
    // SAFETY: head and data lie one behind the other in the scratch, and the length ends inside the data.
    if unsafe { output((&raw const *state).cast(), length) } {
        state.record.header.loss = 0;
        count(Counter::Records, 1);
        count(Counter::Bytes, fill);
    } else {
        state.lost += fill;
        state.loss |= Loss::RingFull as u32;
        state.record.header.loss |= Loss::RingFull as u8;
        count(Counter::RingFullRecords, 1);
        count(Counter::RingFullBytes, fill);
    }
    state.record.offset += fill;
    state.fill = 0;
}
