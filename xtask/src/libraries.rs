//! The shared libraries of a program that is not static.

use anyhow::{Context, Result};
use object::{elf, read::elf::ElfFile64};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::output;

/// What the program needs beside itself: its interpreter and its libraries; nothing where it is static.
///
/// # Errors
/// When it is no program, or a library is missing.
pub fn of(program: &Path) -> Result<Vec<PathBuf>> {
    let bytes = std::fs::read(program).with_context(|| format!("reading {}", program.display()))?;
    let file = ElfFile64::<object::Endianness>::parse(&*bytes).with_context(|| format!("{} is no program", program.display()))?;
    let interpreted = file.elf_program_headers().iter().any(|header| header.p_type.get(file.endian()) == elf::PT_INTERP);
    if !interpreted {
        return Ok(Vec::new());
    }
    let listed = output(Command::new("ldd").arg(program)).context("listing the libraries that it needs")?;
    // `name => /path (0x...)`, and `/path (0x...)` for the interpreter; what the kernel brings has no path.
    Ok(listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/'))).map(PathBuf::from).collect())
}
