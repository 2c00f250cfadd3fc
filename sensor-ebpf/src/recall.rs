//! What the verdict was, for one end of an object: a small table in front of everything else, so that a stream that is passed
//! over costs next to nothing, and one that is captured no second look-up.
//!
//! The first word of an entry is read and written whole: the upper bits of a hash of what it is about (the inode and the
//! end), and what is to be done. The hash has two numbers in it that are raised, by the kernel and by user space, whenever a
//! verdict changes; every entry made before is worth nothing then. They are read before the verdict is, so that an entry
//! made of a verdict that has just changed is one of those.

use aya_ebpf::{btf_maps::Array, helpers::generated::bpf_ktime_get_boot_ns, macros::btf_map};
use sensor_ebpf::{Counter, End};

use crate::{
    kernel::read_user,
    maps::{SETTINGS, add, count_up},
    movement::first_buffer,
    object::Carrier,
    take::Buffers,
};

/// Entries, in bits.
const BITS: u32 = 15;
#[btf_map]
static RECALLED: Array<Entry, { 1 << BITS }> = Array::new();
/// The kernel's number, and user space's.
#[btf_map]
static GENERATIONS: Array<u64, { sensor_ebpf::GENERATIONS }> = Array::new();

#[repr(C)]
struct Entry {
    /// A tag and a [`Recalled`].
    word: u64,
    /// Passed over: before this moment (nanoseconds since boot) no call is looked at. Another entry's at worst, where two
    /// processors write at once.
    until: u64,
}

/// What is to be done about a stream, as the lower bits of an entry say.
#[derive(Clone, Copy)]
#[repr(u64)]
pub enum Recalled {
    /// Pass it over without a look.
    Excluded = 1,
    /// Pass over what does not begin like a message.
    Ignored = 2,
    /// Take the bytes.
    Captured = 3,
}
const TAG: u64 = !0xff;

/// An odd number without a pattern (2^64 divided by the golden ratio).
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
/// An ignored stream is looked at again at one call in so many (a power of two), whatever the call looks like.
const AGAIN_EVERY: u64 = 256;

/// What is to be done about a movement of bytes.
#[derive(Clone, Copy, Eq, PartialEq)]
#[repr(u8)]
pub enum Passing {
    /// Its verdict has to be looked up.
    Unknown,
    /// Its stream is ignored, and this call is worth another look.
    Again,
    /// Its verdict is to capture it, at the usual end.
    Capture,
    /// Nothing.
    Over,
}

/// What stands for one end of an object in the table; 0 where its inode does not name it (terminals have one for many).
///
/// # Safety
/// `carrier` holds numbers to the verifier, not pointers: it is in a map value, or was made of numbers.
#[inline(always)]
pub unsafe fn tag_of(carrier: *const Carrier, end: End) -> u64 {
    // SAFETY: by the caller.
    let Some((inode, number)) = (unsafe { Carrier::named_by_inode(carrier) }) else { return 0 };
    let (Some(kernel), Some(user)) = (GENERATIONS.get(0), GENERATIONS.get(1)) else { return 0 };
    let mut hash = (inode ^ number.rotate_left(32)).wrapping_add(end as u64).wrapping_mul(MIX);
    hash ^= hash >> 29;
    hash = (hash ^ kernel.wrapping_add(user.rotate_left(32))).wrapping_mul(MIX);
    hash ^= hash >> 32;
    hash.wrapping_mul(MIX) & TAG
}

/// What is to be done about a movement, as far as the table knows.
#[inline(always)]
pub fn passing(tag: u64, buffers: &Buffers) -> Passing {
    let Some(settings) = SETTINGS.get(0) else { return Passing::Unknown };
    let Some(entry) = RECALLED.get_ptr((tag >> (64 - BITS)) as u32) else { return Passing::Unknown };
    // SAFETY: a map value; the word is read whole, because another processor may write it meanwhile.
    let (word, until) = unsafe { ((&raw const (*entry).word).read_volatile(), (*entry).until) };
    // A marked process is to be found at whatever it reads and writes.
    if word & TAG != tag || tag == 0 || settings.marks != 0 {
        return Passing::Unknown;
    }
    let known = word & !TAG;
    if known == Recalled::Captured as u64 {
        return Passing::Capture;
    }
    let calls = count_up(Counter::IgnoredCalls);
    let look = known == Recalled::Ignored as u64 && (looks_like_a_message(buffers) || is_due(calls, tag));
    // SAFETY: the helper has no preconditions.
    if look && unsafe { bpf_ktime_get_boot_ns() } >= until { Passing::Again } else { Passing::Over }
}

/// True at one call in [`AGAIN_EVERY`], at which cannot be foreseen.
#[inline(always)]
pub fn is_due(calls: u64, tag: u64) -> bool {
    ((calls ^ tag).wrapping_mul(MIX) >> 40) % AGAIN_EVERY == 0
}

/// True where a call begins like a message.
#[inline(always)]
pub fn looks_like_a_message(buffers: &Buffers) -> bool {
    let first = match first_buffer(buffers) {
        Some(address) => read_user::<u8>(address).unwrap_or(0),
        None => 0,
    };
    matches!(first, b'{' | b'[' | b' ' | b'\t' | b'\r' | b'\n' | 0xef)
}

/// Remembers a verdict.
#[inline(always)]
pub fn remember(tag: u64, known: Recalled, until: u64) {
    if tag == 0 {
        return;
    }
    if let Some(entry) = RECALLED.get_ptr_mut((tag >> (64 - BITS)) as u32) {
        // SAFETY: a map value.
        unsafe {
            (*entry).until = until;
            (&raw mut (*entry).word).write_volatile(tag | known as u64);
        }
    }
}

/// A verdict has changed: nothing that is remembered counts any more.
#[inline(always)]
pub fn look_anew() {
    if let Some(kernel) = GENERATIONS.get_ptr_mut(0) {
        // SAFETY: a map value.
        unsafe { add(kernel, 1) };
    }
}

/// An object is to carry another stream than before: what is remembered of this end does not count any more.
///
/// # Safety
/// As for [`tag_of`].
#[inline(always)]
pub unsafe fn forget_end(carrier: *const Carrier, end: End) {
    // SAFETY: by the caller.
    let tag = unsafe { tag_of(carrier, end) };
    if let Some(entry) = RECALLED.get_ptr_mut((tag >> (64 - BITS)) as u32) {
        // SAFETY: a map value, written whole.
        unsafe { (&raw mut (*entry).word).write_volatile(0) };
    }
}
