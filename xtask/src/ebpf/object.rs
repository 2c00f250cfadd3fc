//! What an object file holds, read from its symbols.

use anyhow::{Context, Result};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use std::collections::BTreeMap;

/// The programs of an object: name and size of the code in bytes. Functions that programs call live in `.text` and are not programs.
///
/// # Errors
/// When the bytes are no ELF file.
pub fn programs(bytes: &[u8]) -> Result<BTreeMap<String, u64>> {
    let file = object::File::parse(bytes).context("parsing the kernel object as ELF")?;
    let mut programs = BTreeMap::new();
    for symbol in file.symbols() {
        if symbol.kind() != SymbolKind::Text || !symbol.is_global() || symbol.is_undefined() {
            continue;
        }
        let Some(section) = symbol.section_index() else {
            continue;
        };
        if file.section_by_index(section)?.name()? == ".text" {
            continue;
        }
        programs.insert(symbol.name()?.to_owned(), symbol.size());
    }
    Ok(programs)
}
