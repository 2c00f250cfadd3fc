//! A program that returns at once, on the same hook as capture: what `cargo xtask bench` measures against. Never loaded
//! by the sensor itself.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

#[btf_tracepoint(function = "sys_exit")]
pub fn empty(_context: BtfTracePointContext) -> i32 {
    0
}
