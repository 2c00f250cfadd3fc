//! `unsafe` stays where it is reviewed: beside the kernel, and in tests.

use anyhow::{Context, Result, bail};
use std::fs;

use super::{lexer, sources};
use crate::workspace::Workspace;

/// Where `unsafe` may stand, as the beginning of a path.
const ALLOWED: [&str; 4] = ["sensor-ebpf/", "sensor-user/src/bpf", "sensor-user/src/respond", "tests/"];

/// Looks for the keyword outside the allowed folders.
///
/// # Errors
/// When it is found, with every place.
pub fn check(workspace: &Workspace) -> Result<()> {
    let mut complaints = Vec::new();
    let mut searched = 0;
    for path in sources::files(&workspace.root, &["rs"])? {
        let name = workspace.relative(&path).to_string();
        if is_allowed(&name) {
            continue;
        }
        searched += 1;
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        for line in lexer::lines_with_word(&text, "unsafe") {
            complaints.push(format!("{name}:{line}"));
        }
    }
    if complaints.is_empty() {
        println!("    {searched} files that must be safe are");
        return Ok(());
    }
    bail!("`unsafe` may stand only in {} and in folders named tests; found in\n  {}", ALLOWED.join(", "), complaints.join("\n  "))
}

fn is_allowed(path: &str) -> bool {
    ALLOWED.iter().any(|prefix| path.starts_with(prefix)) || path.contains("/tests/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folders_beside_the_kernel_and_tests_are_allowed() {
        assert!(is_allowed("sensor-user/src/bpf/load.rs"));
        assert!(is_allowed("sensor-user/src/bpf.rs"));
        assert!(is_allowed("sensor-core/tests/laws.rs"));
        assert!(!is_allowed("sensor-user/src/main.rs"));
        assert!(!is_allowed("sensor-core/src/wire/http1.rs"));
    }
}
