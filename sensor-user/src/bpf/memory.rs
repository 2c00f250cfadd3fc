//! How the allocator holds memory: an agent that has had a busy minute is not to keep what that took for ever.
//!
//! Only where the allocator is glibc's; elsewhere nothing is done.

/// Allocations of so many bytes and more are mappings of their own, which go back to the host when they are freed. Left
/// alone, the allocator raises this limit each time that it frees a larger one. Above the tables of a zstd compressor (1 to 2 MiB),
/// of which the uplink needs a new one for each batch: as mappings, their page faults cost more than all the rest of the sensor.
#[cfg(target_env = "gnu")]
const MAPPED_FROM: libc::c_int = 4 << 20;
/// Free bytes at the end of a heap that it keeps, so that it does not ask for them anew for each batch.
#[cfg(target_env = "gnu")]
const KEPT: libc::c_int = 4 << 20;
/// Heaps that threads have among them: each keeps what it once took.
#[cfg(target_env = "gnu")]
const HEAPS: libc::c_int = 2;

/// Tells the allocator to keep little. To be called before threads are started.
pub fn keep_memory_small() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt has no preconditions. What it refuses stays as it was.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
    }
}

/// Gives memory that was freed back to the host: reading the kernel's types takes tens of MiB for a moment, and so does a
/// burst.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}
