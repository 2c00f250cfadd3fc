//! Rows that need the kernel: run as root.

pub mod big;
pub mod loss;
pub mod tax;
