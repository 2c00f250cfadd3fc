//! The exit of every system call: the arguments still stand in the registers, the result is the true count, and the
//! buffer is resident because the kernel has just used it.

use aya_ebpf::{helpers::generated::bpf_ktime_get_boot_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_ebpf::{Call, End, Shape, compat_call, native_call};

use crate::{
    kernel::{file_of, has, offset, read_user, task, typed},
    maps::SCRATCH_SYSCALLS,
    movement::{Told, moved, put},
    object::{Place, access_of, put_descriptor, put_file},
    position::born,
    take::Buffers,
};

const MSG_OOB: u64 = 0x1;
const MSG_PEEK: u64 = 0x2;
const MSG_TRUNC: u64 = 0x20;
const MSG_ERRQUEUE: u64 = 0x2000;
/// `ioctl(TIOCSPTLCK)`: locks or unlocks the slave of a pseudo-terminal (include/uapi/asm-generic/ioctls.h).
const TIOCSPTLCK: u64 = 0x4004_5431;
const FMODE_READ: u32 = 1;
const FMODE_WRITE: u32 = 2;

/// The number and the first four arguments of a call.
struct Arguments {
    call: Call,
    compat: bool,
    values: [u64; 4],
}

#[cfg(bpf_target_arch = "x86_64")]
mod registers {
    //! `struct pt_regs` (arch/x86/include/asm/ptrace.h), byte offsets.
    pub const NUMBER: usize = 120;
    pub const NATIVE: [usize; 4] = [112, 104, 96, 56];
    pub const COMPAT: [usize; 4] = [40, 88, 96, 104];
    /// `TS_COMPAT` of `thread_info.status` (arch/x86/include/asm/thread_info.h).
    pub const COMPAT_BIT: u32 = 2;
}

#[cfg(bpf_target_arch = "aarch64")]
mod registers {
    //! `struct pt_regs` (arch/arm64/include/asm/ptrace.h), byte offsets. The result overwrote x0; `orig_x0` keeps it.
    pub const NUMBER: usize = 280;
    pub const NATIVE: [usize; 4] = [272, 8, 16, 24];
    pub const COMPAT: [usize; 4] = NATIVE;
    /// `TIF_32BIT` of `thread_info.flags` (arch/arm64/include/asm/thread_info.h).
    pub const COMPAT_BIT: u32 = 1 << 22;
}

#[inline(always)]
unsafe fn register(registers: *const u8, at: usize) -> u64 {
    // SAFETY: a typed pointer to the registers, and an offset inside them.
    unsafe { registers.add(at).cast::<u64>().read() }
}

#[inline(always)]
unsafe fn is_compat(task: *const u8) -> bool {
    #[cfg(bpf_target_arch = "x86_64")]
    let field = &offset::THREAD_STATUS;
    #[cfg(bpf_target_arch = "aarch64")]
    let field = &offset::THREAD_FLAGS;
    // SAFETY: the current task.
    has(field) && unsafe { typed::<u32>(task, field) } & registers::COMPAT_BIT != 0
}

/// What was called; `Other` for the calls that do not matter here.
#[inline(always)]
unsafe fn arguments_of(context: &BtfTracePointContext) -> Arguments {
    let values: *const u8 = context.arg(0);
    // SAFETY: argument 0 of sys_exit is the `struct pt_regs` of the call.
    unsafe {
        #[cfg(bpf_target_arch = "x86_64")]
        let number = register(values, registers::NUMBER);
        #[cfg(bpf_target_arch = "aarch64")]
        let number = u64::from(values.add(registers::NUMBER).cast::<u32>().read());
        let compat = is_compat(task());
        let call = if compat { compat_call(number) } else { native_call(number) };
        if matches!(call, Call::Other) {
            return Arguments { call, compat, values: [0; 4] };
        }
        let at = if compat { registers::COMPAT } else { registers::NATIVE };
        let mut values = [register(values, at[0]), register(values, at[1]), register(values, at[2]), register(values, at[3])];
        if compat {
            let mut index = 0;
            while index < 4 {
                values[index] &= 0xffff_ffff;
                index += 1;
            }
        }
        Arguments { call, compat, values }
    }
}

/// `socketcall(call, arguments)` of 32-bit x86 (include/uapi/linux/net.h).
#[inline(always)]
fn unpack_socketcall(arguments: &mut Arguments) {
    arguments.call = match arguments.values[0] {
        9 | 11 => Call::Sendto,
        10 | 12 => Call::Recvfrom,
        16 => Call::Sendmsg,
        17 => Call::Recvmsg,
        _ => Call::Other,
    };
    let Some(values) = read_user::<[u32; 4]>(arguments.values[1]) else {
        arguments.call = Call::Other;
        return;
    };
    arguments.values = [u64::from(values[0]), u64::from(values[1]), u64::from(values[2]), u64::from(values[3])];
}

#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(context: BtfTracePointContext) -> i32 {
    let result: i64 = context.arg(1);
    if result < 0 {
        return 0;
    }
    // SAFETY: the context is sys_exit's.
    let mut arguments = unsafe { arguments_of(&context) };
    if matches!(arguments.call, Call::Other) {
        return 0;
    }
    if matches!(arguments.call, Call::Socketcall) {
        unpack_socketcall(&mut arguments);
    }
    match arguments.call {
        Call::Other => {}
        Call::Pipe | Call::Socketpair | Call::Connect | Call::Accept => birth(&arguments, result as u64),
        Call::Ioctl => {
            if arguments.values[1] == TIOCSPTLCK {
                // Every maker of a pseudo-terminal unlocks its slave before anybody can open that.
                birth(&arguments, 0);
            }
        }
        call => {
            let without_buffer = matches!(call, Call::Splice | Call::Tee | Call::Vmsplice | Call::Sendfile);
            let movements = match result {
                0 => 0,
                _ if without_buffer => put_without_buffer(&arguments, result as u64),
                _ => put_with_buffer(&arguments, result as u64),
            };
            if movements != 0 {
                moved(&SCRATCH_SYSCALLS);
            }
        }
    }
    0
}

/// Gives the number of movements that were put: at most one.
#[inline(always)]
fn put_with_buffer(arguments: &Arguments, result: u64) -> usize {
    let [descriptor, address, third, fourth] = arguments.values;
    let compat = arguments.compat;
    let mut flags = 0;
    let (end, shape, elements) = match arguments.call {
        Call::Read => (End::Reader, Shape::Plain, 0),
        Call::Write | Call::Sendto => (End::Writer, Shape::Plain, 0),
        Call::Readv => (End::Reader, Shape::Vector, third),
        Call::Writev => (End::Writer, Shape::Vector, third),
        Call::Recvfrom => {
            flags = fourth;
            (End::Reader, Shape::Plain, 0)
        }
        Call::Recvmsg => {
            flags = third;
            (End::Reader, Shape::Message, 0)
        }
        Call::Sendmsg => (End::Writer, Shape::Message, 0),
        Call::Recvmmsg => {
            flags = fourth;
            (End::Reader, Shape::Messages, result)
        }
        Call::Sendmmsg => (End::Writer, Shape::Messages, result),
        _ => return 0,
    };
    if flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE) != 0 {
        return 0;
    }
    let bytes = if matches!(shape, Shape::Messages) { 0 } else { result };
    let buffers = Buffers { address, elements, shape: shape as u32, compat: u32::from(compat) };
    let discarded = flags & MSG_TRUNC != 0;
    // SAFETY: the current task; the place is in a map value.
    let carrier = |place: &mut Place| unsafe { put_descriptor(task(), descriptor as u32, place) };
    usize::from(put(&SCRATCH_SYSCALLS, 0, Told { end, bytes, buffers, discarded }, carrier))
}

/// Gives the number of movements that were put: the writer's end and the reader's.
#[inline(always)]
fn put_without_buffer(arguments: &Arguments, bytes: u64) -> usize {
    let [first, second, third, _] = arguments.values;
    // The descriptors that bytes came from and went to (splice: in, offset, out; tee: in, out; sendfile: out, in).
    let (from, to) = match arguments.call {
        Call::Splice => (first, third),
        Call::Tee => (u64::MAX, second),
        Call::Sendfile => (second, first),
        _ => (first, first),
    };
    let buffers = Buffers { address: 0, elements: 0, shape: Shape::None as u32, compat: 0 };
    let mut movements = 0;
    for (descriptor, end, access) in [(to, End::Writer, FMODE_WRITE), (from, End::Reader, FMODE_READ)] {
        if descriptor == u64::MAX {
            continue;
        }
        // SAFETY: the current task.
        let file = unsafe { file_of(task(), descriptor as u32) };
        if file == 0 || access_of(file) & access == 0 {
            continue;
        }
        let told = Told { end, bytes, buffers, discarded: false };
        if put(&SCRATCH_SYSCALLS, movements, told, |place| put_file(file, place)) {
            movements += 1;
        }
    }
    movements
}

/// A pipe, socket or pseudo-terminal came to be: from here on its bytes are counted from the first.
#[inline(always)]
fn birth(arguments: &Arguments, result: u64) {
    // SAFETY: the current task.
    let file = |descriptor: u32| unsafe { file_of(task(), descriptor) };
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    match arguments.call {
        Call::Pipe => {
            if let Some([_, writer]) = read_user::<[u32; 2]>(arguments.values[0]) {
                born(file(writer), End::Writer, true, now);
            }
        }
        Call::Socketpair => {
            if let Some([one, _]) = read_user::<[u32; 2]>(arguments.values[3]) {
                let file = file(one);
                born(file, End::Writer, true, now);
                born(file, End::Reader, true, now);
            }
        }
        Call::Ioctl => {
            let file = file(arguments.values[0] as u32);
            born(file, End::Writer, true, now);
            born(file, End::Reader, true, now);
        }
        Call::Connect => {
            let file = file(arguments.values[0] as u32);
            born(file, End::Writer, true, now);
            born(file, End::Reader, false, now);
        }
        // What the client sent before this moment was counted already.
        _ => born(file(result as u32), End::Writer, false, now),
    }
}
