//! The kernel programs of mcp-sensor.
//!
//! One small file per family: `syscalls` (the exit of every system call that moves bytes), `io_uring` (its completions),
//! `process` (exec, fork, exit), `existing` (who holds which stream when the sensor starts). The first two hand each
//! movement of bytes to `movement`, which passes over what it is known to be told to (`recall`), finds the stream behind the
//! descriptor (`object`), obeys the verdict of user space, counts (`position`), and has the bytes taken (`take`); a process
//! that user space has condemned is sent its signal there (`mark`).
//!
//! Tracepoint programs run with preemption off (`cant_sleep()` in `__bpf_trace_run`, kernel/trace/bpf_trace.c), so scratch
//! space is per CPU and per program.
#![no_std]
#![no_main]
#![allow(missing_docs, reason = "the programs have no callers")]
#![feature(asm_experimental_arch)]
#![allow(internal_features, reason = "atomic adds need BPF assembly")]

mod empty;
mod existing;
mod io_uring;
mod kernel;
mod maps;
mod mark;
mod movement;
mod object;
mod position;
mod process;
mod recall;
mod syscalls;
mod take;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel lends most helpers to programs under a licence compatible with the GPL only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
