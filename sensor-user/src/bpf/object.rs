//! The embedded object with the kernel programs, and the proof that it was built for this agent.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

/// The object of this architecture, as `cargo xtask ebpf build` made it.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sensor.bpf.o"));

/// The digest of the ABI that an object was built with; `None` where it has none.
///
/// The object carries it as the read-only global `ABI_DIGEST`.
#[must_use]
pub fn abi_digest(object: &[u8]) -> Option<u64> {
    let file = object::File::parse(object).ok()?;
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok("ABI_DIGEST"))?;
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    let bytes = section.data_range(symbol.address(), 8).ok()??;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_object_was_built_for_this_abi() {
        assert_eq!(abi_digest(OBJECT), Some(sensor_ebpf::ABI_DIGEST));
    }

    #[test]
    fn what_is_no_object_has_no_digest() {
        assert_eq!(abi_digest(b"not an object"), None);
        assert_eq!(abi_digest(OBJECT.get(..OBJECT.len() / 2).unwrap()), None);
    }
}
