//! Turns that forked processes take: a counter in shared memory, waited for with a futex.

use anyhow::{Result, bail};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

/// One process's view of the turns.
pub struct Turn {
    counter: &'static AtomicU32,
    me: u32,
    of: u32,
}

impl Turn {
    /// Shared memory with turns for so many processes. Make it before forking; each process then takes its own with [`Turn::of`].
    pub fn shared(of: u32) -> Result<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping at a place of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        // SAFETY: the mapping is zeroed, page-aligned, never unmapped, and only used as an atomic.
        let counter = unsafe { &*start.cast::<AtomicU32>() };
        Ok(Self { counter, me: 0, of: of.max(1) })
    }

    /// The view of process number `me`.
    pub fn of(&self, me: u32) -> Self {
        Self { counter: self.counter, me, of: self.of }
    }

    /// Waits for this process's turn.
    pub fn wait(&self) -> Result<()> {
        loop {
            let now = self.counter.load(Ordering::Acquire);
            if now % self.of == self.me {
                return Ok(());
            }
            // SAFETY: the counter is a valid futex word; no timeout is given.
            let result =
                unsafe { libc::syscall(libc::SYS_futex, self.counter.as_ptr(), libc::FUTEX_WAIT, now, std::ptr::null::<libc::timespec>()) };
            let error = io::Error::last_os_error();
            if result < 0 && !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) {
                bail!("futex: {error}");
            }
        }
    }

    /// It is the next one's turn.
    pub fn pass(&self) {
        self.counter.fetch_add(1, Ordering::Release);
        // SAFETY: the counter is a valid futex word.
        unsafe { libc::syscall(libc::SYS_futex, self.counter.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
    }
}
