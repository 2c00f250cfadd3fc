//! The digest of the ABI: of the very text of the files that define it.

/// Digest of this library's source (FNV-1a, 64 bits). Built into the object as the global `ABI_DIGEST`.
///
/// It changes with every change of the files, comments included: a stale object is refused rather than trusted.
pub const ABI_DIGEST: u64 = {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    hash = fold(hash, include_bytes!("lib.rs"));
    hash = fold(hash, include_bytes!("counters.rs"));
    hash = fold(hash, include_bytes!("offsets.rs"));
    hash = fold(hash, include_bytes!("mark.rs"));
    hash = fold(hash, include_bytes!("process.rs"));
    hash = fold(hash, include_bytes!("stream.rs"));
    fold(hash, include_bytes!("syscalls.rs"))
};

const fn fold(mut hash: u64, mut bytes: &[u8]) -> u64 {
    while let [first, rest @ ..] = bytes {
        hash = (hash ^ *first as u64).wrapping_mul(0x0100_0000_01b3);
        bytes = rest;
    }
    hash
}
