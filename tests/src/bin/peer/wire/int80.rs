//! System calls of 32-bit programs, made from a 64-bit one by `int 0x80`. x86-64 only.
//!
//! Addresses have 32 bits there, so the bytes go through memory that lies below 4 GiB.

use std::io;
use std::os::fd::RawFd;

/// Memory below 4 GiB.
pub struct LowMemory {
    start: *mut u8,
}

// SAFETY: the mapping belongs to this value alone, and all access goes through `&mut self`.
unsafe impl Send for LowMemory {}

/// Bytes for data, behind the first page, which holds vectors and arguments.
const DATA: usize = 1024 * 1024;
#[cfg(target_arch = "x86_64")]
const PAGE: usize = 4096;

#[cfg(not(target_arch = "x86_64"))]
impl LowMemory {
    pub fn new() -> anyhow::Result<Self> {
        Err(super::Unsupported("int 0x80 is of x86-64".to_owned()).into())
    }

    pub fn write(&mut self, _: RawFd, _: &[u8]) -> io::Result<usize> {
        self.none()
    }

    pub fn writev(&mut self, _: RawFd, _: &[u8]) -> io::Result<usize> {
        self.none()
    }

    pub fn socketcall_send(&mut self, _: RawFd, _: &[u8], _: u64) -> io::Result<usize> {
        self.none()
    }

    pub fn read(&mut self, _: RawFd, _: &mut [u8]) -> io::Result<usize> {
        self.none()
    }

    pub fn readv(&mut self, _: RawFd, _: &mut [u8]) -> io::Result<usize> {
        self.none()
    }

    fn none(&self) -> io::Result<usize> {
        let _ = (self.start, DATA);
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(target_arch = "x86_64")]
mod number {
    pub const READ: u32 = 3;
    pub const WRITE: u32 = 4;
    pub const GETPID: u32 = 20;
    pub const SOCKETCALL: u32 = 102;
    pub const READV: u32 = 145;
    pub const WRITEV: u32 = 146;
    /// First argument of socketcall.
    pub const SEND: u32 = 9;
    pub const SENDTO: u32 = 11;
    pub const SENDMSG: u32 = 16;
}

#[cfg(target_arch = "x86_64")]
impl LowMemory {
    pub fn new() -> anyhow::Result<Self> {
        if !kernel_takes_int80()? {
            return Err(super::Unsupported("the kernel takes no int 0x80".to_owned()).into());
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        // SAFETY: a new anonymous mapping at a place of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), PAGE + DATA, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        Ok(Self { start: start.cast() })
    }

    pub fn write(&mut self, fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
        let length = self.put(bytes);
        result(int80(number::WRITE, fd as u32, self.address(PAGE), length))
    }

    /// Two vectors of 32-bit addresses and lengths.
    pub fn writev(&mut self, fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
        let length = self.put(bytes);
        let first = length / 3;
        self.words(0, &[self.address(PAGE), first, self.address(PAGE) + first, length - first]);
        result(int80(number::WRITEV, fd as u32, self.address(0), 2))
    }

    /// sendmsg, send and sendto by turns.
    pub fn socketcall_send(&mut self, fd: RawFd, bytes: &[u8], turn: u64) -> io::Result<usize> {
        let length = self.put(bytes);
        let (fd, data, flags) = (fd as u32, self.address(PAGE), libc::MSG_NOSIGNAL as u32);
        let call = match turn {
            0 => {
                let first = length / 2;
                self.words(64, &[data, first, data + first, length - first]);
                // 32-bit msghdr: name, namelen, iov, iovlen, control, controllen, flags.
                self.words(128, &[0, 0, self.address(64), 2, 0, 0, 0]);
                self.words(0, &[fd, self.address(128), flags]);
                number::SENDMSG
            }
            1 => {
                self.words(0, &[fd, data, length, flags]);
                number::SEND
            }
            _ => {
                self.words(0, &[fd, data, length, flags, 0, 0]);
                number::SENDTO
            }
        };
        result(int80(number::SOCKETCALL, call, self.address(0), 0))
    }

    pub fn read(&mut self, fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
        let read = result(int80(number::READ, fd as u32, self.address(PAGE), buffer.len().min(DATA) as u32))?;
        self.get(read, buffer)
    }

    pub fn readv(&mut self, fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(DATA) as u32;
        let first = length.min(100);
        self.words(0, &[self.address(PAGE), first, self.address(PAGE) + first, length - first]);
        let read = result(int80(number::READV, fd as u32, self.address(0), 2))?;
        self.get(read, buffer)
    }

    fn address(&self, offset: usize) -> u32 {
        (self.start as usize + offset) as u32
    }

    fn put(&mut self, bytes: &[u8]) -> u32 {
        let length = bytes.len().min(DATA);
        // SAFETY: `DATA` bytes lie behind the first page, and overlap nothing.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(PAGE), length) };
        length as u32
    }

    fn get(&self, length: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let part = buffer.get_mut(..length).ok_or_else(|| io::Error::other("more than asked for"))?;
        // SAFETY: at most `DATA` bytes were asked for, and they lie behind the first page.
        unsafe { std::ptr::copy_nonoverlapping(self.start.add(PAGE), part.as_mut_ptr(), length) };
        Ok(length)
    }

    /// Writes 32-bit words into the first page.
    fn words(&mut self, offset: usize, words: &[u32]) {
        for (number, word) in words.iter().enumerate() {
            let at = offset + 4 * number;
            assert!(at + 4 <= PAGE, "arguments fit the page");
            // SAFETY: within the first page; the mapping is page-aligned and `offset` a multiple of four.
            unsafe { self.start.add(at).cast::<u32>().write(*word) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for LowMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        unsafe { libc::munmap(self.start.cast(), PAGE + DATA) };
    }
}

#[cfg(target_arch = "x86_64")]
fn result(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

/// Tries a harmless call in a child: a kernel without 32-bit calls kills the caller.
#[cfg(target_arch = "x86_64")]
fn kernel_takes_int80() -> io::Result<bool> {
    // SAFETY: the child only makes system calls and leaves.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let pid = int80(number::GETPID, 0, 0, 0);
            // SAFETY: leaves at once, running nothing else.
            unsafe { libc::_exit(i32::from(pid <= 0)) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is valid for writing.
            super::count(unsafe { libc::waitpid(child, &raw mut status, 0) } as isize)?;
            Ok(status == 0)
        }
    }
}

/// One 32-bit system call. All arguments are numbers; addresses among them are those of [`LowMemory`].
#[cfg(target_arch = "x86_64")]
fn int80(number: u32, first: u32, second: u32, third: u32) -> i32 {
    let result: i32;
    // SAFETY: rbx, which LLVM keeps for itself, is put back; the kernel changes eax and may clear r8 to r11. What the call writes lies in
    // `LowMemory`, which is only read through raw pointers.
    unsafe {
        std::arch::asm!(
            "xchg {first:r}, rbx",
            "int 0x80",
            "xchg {first:r}, rbx",
            first = inout(reg) u64::from(first) => _,
            inlateout("eax") number => result,
            in("ecx") second,
            in("edx") third,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    result
}
