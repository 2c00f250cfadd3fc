//! The kernel side as the agent sees it, and the only place that names aya: load, attach, read, obey.
//!
//! Nothing is pinned: when the process ends, however it ends, nothing of it is left in the kernel.

mod counters;
mod existing;
mod load;
mod marks;
mod measure;
mod memory;
mod object;
mod offsets;
mod preflight;
mod ring;
mod verdicts;

pub use counters::{Counters, KernelCounts};
pub use existing::HeldStream;
pub use load::{LoadError, Options, Programs, VerifiedProgram};
pub use marks::Marks;
pub use measure::{Hook, count_time};
pub use memory::{give_back_memory, keep_memory_small};
pub use preflight::{CheckItem, CheckState, may_signal, preflight};
pub use ring::{Batch, Drain, Draining, boot_clock, records};
pub use verdicts::Verdicts;
