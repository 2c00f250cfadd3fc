//! System calls that move bytes, or that make the objects which bytes move through: their numbers and their shapes.
//!
//! Numbers: `arch/x86/entry/syscalls/syscall_64.tbl` and `syscall_32.tbl`, `include/uapi/asm-generic/unistd.h` (arm64),
//! `arch/arm/tools/syscall.tbl` (32-bit calls on arm64).

/// A system call that matters here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Call {
    /// None of these.
    Other = 0,
    /// `read`
    Read,
    /// `readv`, `preadv`, `preadv2`
    Readv,
    /// `recvfrom`, `recv`
    Recvfrom,
    /// `recvmsg`
    Recvmsg,
    /// `recvmmsg`
    Recvmmsg,
    /// `write`
    Write,
    /// `writev`, `pwritev`, `pwritev2`
    Writev,
    /// `sendto`, `send`
    Sendto,
    /// `sendmsg`
    Sendmsg,
    /// `sendmmsg`
    Sendmmsg,
    /// `splice`
    Splice,
    /// `tee`
    Tee,
    /// `vmsplice`
    Vmsplice,
    /// `sendfile`
    Sendfile,
    /// `pipe`, `pipe2`
    Pipe,
    /// `socketpair`
    Socketpair,
    /// `connect`
    Connect,
    /// `accept`, `accept4`
    Accept,
    /// `ioctl`
    Ioctl,
    /// `socketcall`: the call is in the first argument, its arguments in memory (32-bit x86 only)
    Socketcall,
}

/// How the buffers of a call are found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Shape {
    /// No buffer of the process.
    None = 0,
    /// One buffer: pointer.
    Plain = 1,
    /// A vector of buffers: pointer and count.
    Vector = 2,
    /// A `struct msghdr`.
    Message = 3,
    /// A vector of `struct mmsghdr`.
    Messages = 4,
}

const NUMBERS: usize = 512;

#[expect(clippy::indexing_slicing, reason = "evaluated when compiling: an index out of bounds does not compile")]
const fn table(entries: &[(usize, Call)]) -> [Call; NUMBERS] {
    let mut table = [Call::Other; NUMBERS];
    let mut index = 0;
    while index < entries.len() {
        table[entries[index].0] = entries[index].1;
        index += 1;
    }
    table
}

#[cfg(any(not(bpf_target_arch = "aarch64"), test))]
static X86_64: [Call; NUMBERS] = table(&[
    (0, Call::Read),
    (1, Call::Write),
    (16, Call::Ioctl),
    (19, Call::Readv),
    (20, Call::Writev),
    (22, Call::Pipe),
    (40, Call::Sendfile),
    (42, Call::Connect),
    (43, Call::Accept),
    (44, Call::Sendto),
    (45, Call::Recvfrom),
    (46, Call::Sendmsg),
    (47, Call::Recvmsg),
    (53, Call::Socketpair),
    (275, Call::Splice),
    (276, Call::Tee),
    (278, Call::Vmsplice),
    (288, Call::Accept),
    (293, Call::Pipe),
    (295, Call::Readv),
    (296, Call::Writev),
    (299, Call::Recvmmsg),
    (307, Call::Sendmmsg),
    (327, Call::Readv),
    (328, Call::Writev),
]);

#[cfg(any(not(bpf_target_arch = "aarch64"), test))]
static I386: [Call; NUMBERS] = table(&[
    (3, Call::Read),
    (4, Call::Write),
    (54, Call::Ioctl),
    (102, Call::Socketcall),
    (145, Call::Readv),
    (146, Call::Writev),
    (187, Call::Sendfile),
    (239, Call::Sendfile),
    (313, Call::Splice),
    (315, Call::Tee),
    (316, Call::Vmsplice),
    (333, Call::Readv),
    (334, Call::Writev),
    (337, Call::Recvmmsg),
    (345, Call::Sendmmsg),
    (369, Call::Sendto),
    (370, Call::Sendmsg),
    (371, Call::Recvfrom),
    (372, Call::Recvmsg),
    (378, Call::Readv),
    (379, Call::Writev),
    (417, Call::Recvmmsg),
]);

#[cfg(any(bpf_target_arch = "aarch64", test))]
static AARCH64: [Call; NUMBERS] = table(&[
    (29, Call::Ioctl),
    (59, Call::Pipe),
    (63, Call::Read),
    (64, Call::Write),
    (65, Call::Readv),
    (66, Call::Writev),
    (69, Call::Readv),
    (70, Call::Writev),
    (71, Call::Sendfile),
    (75, Call::Vmsplice),
    (76, Call::Splice),
    (77, Call::Tee),
    (199, Call::Socketpair),
    (202, Call::Accept),
    (203, Call::Connect),
    (206, Call::Sendto),
    (207, Call::Recvfrom),
    (211, Call::Sendmsg),
    (212, Call::Recvmsg),
    (242, Call::Accept),
    (243, Call::Recvmmsg),
    (269, Call::Sendmmsg),
    (286, Call::Readv),
    (287, Call::Writev),
]);

#[cfg(any(bpf_target_arch = "aarch64", test))]
static ARM: [Call; NUMBERS] = table(&[
    (3, Call::Read),
    (4, Call::Write),
    (54, Call::Ioctl),
    (145, Call::Readv),
    (146, Call::Writev),
    (187, Call::Sendfile),
    (239, Call::Sendfile),
    (289, Call::Sendto),
    (290, Call::Sendto),
    (291, Call::Recvfrom),
    (292, Call::Recvfrom),
    (296, Call::Sendmsg),
    (297, Call::Recvmsg),
    (340, Call::Splice),
    (342, Call::Tee),
    (343, Call::Vmsplice),
    (361, Call::Readv),
    (362, Call::Writev),
    (365, Call::Recvmmsg),
    (374, Call::Sendmmsg),
    (392, Call::Readv),
    (393, Call::Writev),
    (417, Call::Recvmmsg),
]);

#[inline(always)]
fn look_up(table: &'static [Call; NUMBERS], number: u64) -> Call {
    match table.get(number as usize) {
        Some(call) => *call,
        None => Call::Other,
    }
}

/// The call behind a number of this architecture's own numbering.
#[inline(always)]
#[must_use]
pub fn native_call(number: u64) -> Call {
    #[cfg(not(bpf_target_arch = "aarch64"))]
    return look_up(&X86_64, number);
    #[cfg(bpf_target_arch = "aarch64")]
    return look_up(&AARCH64, number);
}

/// The call behind a number of the 32-bit numbering of this architecture.
#[inline(always)]
#[must_use]
pub fn compat_call(number: u64) -> Call {
    #[cfg(not(bpf_target_arch = "aarch64"))]
    return look_up(&I386, number);
    #[cfg(bpf_target_arch = "aarch64")]
    return look_up(&ARM, number);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_reach_and_every_other_number_is_other() {
        for table in [&X86_64, &I386, &AARCH64, &ARM] {
            assert!(table.iter().filter(|call| **call != Call::Other).count() > 15);
            assert_eq!(look_up(table, u64::MAX), Call::Other);
            assert_eq!(look_up(table, NUMBERS as u64), Call::Other);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn numbers_are_the_ones_of_the_c_library() {
        assert_eq!(native_call(0), Call::Read);
        assert_eq!(native_call(328), Call::Writev);
        assert_eq!(compat_call(4), Call::Write);
    }
}
