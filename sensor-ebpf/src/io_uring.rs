//! Completions of io_uring: reads, writes, sends and receives that make no system call of their own.

use aya_ebpf::{Global, macros::btf_tracepoint, programs::BtfTracePointContext};
use sensor_ebpf::{End, Shape};

use crate::{
    kernel::{field, has, offset},
    maps::SCRATCH_IO_URING,
    movement::{Told, moved, put},
    object::put_file,
    take::Buffers,
};

/// Where the result is: 1 the third argument is the `struct io_uring_cqe` (from 6.10), 0 the fourth is the number itself.
#[unsafe(no_mangle)]
pub static IO_URING_COMPLETE_HAS_CQE: Global<u32> = Global::new(0);

/// `enum io_uring_op` (include/uapi/linux/io_uring.h).
mod operation {
    pub const READV: u8 = 1;
    pub const WRITEV: u8 = 2;
    pub const READ_FIXED: u8 = 4;
    pub const WRITE_FIXED: u8 = 5;
    pub const SENDMSG: u8 = 9;
    pub const RECVMSG: u8 = 10;
    pub const READ: u8 = 22;
    pub const WRITE: u8 = 23;
    pub const SEND: u8 = 26;
    pub const RECV: u8 = 27;
    pub const SEND_ZC: u8 = 47;
    pub const SENDMSG_ZC: u8 = 48;
    pub const READ_MULTISHOT: u8 = 49;
}

/// `REQ_F_BUFFER_SELECT` (include/linux/io_uring_types.h): the kernel chose the buffer.
const BUFFER_SELECT: u64 = 1 << 5;
const MSG_PEEK: u32 = 0x2;

#[btf_tracepoint(function = "io_uring_complete")]
pub fn io_uring_complete(context: BtfTracePointContext) -> i32 {
    let request: u64 = context.arg(1);
    if request == 0 || !has(&offset::IO_REQUEST_OPCODE) {
        return 0;
    }
    let result = if IO_URING_COMPLETE_HAS_CQE.load() != 0 {
        let completion: u64 = context.arg(2);
        field::<i32>(completion, &offset::IO_CQE_RESULT)
    } else {
        let result: i64 = context.arg(3);
        result as i32
    };
    if result <= 0 {
        return 0;
    }
    let code: u8 = field(request, &offset::IO_REQUEST_OPCODE);
    let file: u64 = field(request, &offset::IO_REQUEST_FILE);
    let flags: u64 = field(request, &offset::IO_REQUEST_FLAGS);
    let (end, mut shape) = match code {
        operation::READ => (End::Reader, Shape::Plain),
        operation::WRITE => (End::Writer, Shape::Plain),
        operation::READV => (End::Reader, Shape::Vector),
        operation::WRITEV => (End::Writer, Shape::Vector),
        operation::SEND => (End::Writer, Shape::Plain),
        operation::RECV => (End::Reader, Shape::Plain),
        operation::SENDMSG => (End::Writer, Shape::Message),
        operation::RECVMSG => (End::Reader, Shape::Message),
        operation::READ_FIXED | operation::READ_MULTISHOT => (End::Reader, Shape::None),
        operation::WRITE_FIXED | operation::SEND_ZC | operation::SENDMSG_ZC => (End::Writer, Shape::None),
        _ => return 0,
    };
    if flags & BUFFER_SELECT != 0 {
        shape = Shape::None;
    }
    let socket = matches!(code, operation::SEND | operation::RECV | operation::SENDMSG | operation::RECVMSG);
    let (address, elements) = if socket {
        if field::<u32>(request, &offset::IO_MESSAGE_FLAGS) & MSG_PEEK != 0 {
            return 0;
        }
        let place = if matches!(shape, Shape::Message) { &offset::IO_MESSAGE_HEADER } else { &offset::IO_MESSAGE_BUFFER };
        if !has(place) {
            shape = Shape::None;
        }
        let mut address: u64 = field(request, place);
        if matches!(code, operation::SEND | operation::RECV) && has(&offset::IO_MESSAGE_DONE) {
            // A send or receive that took several rounds moved its buffer pointer along.
            address = address.wrapping_sub(u64::from(field::<u32>(request, &offset::IO_MESSAGE_DONE)));
        }
        (address, 0)
    } else {
        (field::<u64>(request, &offset::IO_RW_ADDRESS), u64::from(field::<u32>(request, &offset::IO_RW_LENGTH)))
    };
    let buffers = Buffers { address, elements, shape: shape as u32, compat: 0 };
    let told = Told { end, bytes: result as u64, buffers, discarded: false };
    if put(&SCRATCH_IO_URING, 0, told, |place| put_file(file, place)) {
        moved(&SCRATCH_IO_URING);
    }
    0
}
