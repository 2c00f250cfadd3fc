//! The manifest beside each committed object: what it was built from, with what, and what it holds.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::object;
use super::toolchain::{Toolchain, Versions};
use crate::workspace::{EBPF_PACKAGE, Workspace};

/// Packages whose version decides what the kernel programs compile to.
const RELEVANT_PACKAGES: [&str; 2] = ["aya-ebpf", "zerocopy"];

/// What is known about a committed object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// SHA-256 over the sources of the kernel programs and the versions of the crates they use.
    pub source_digest: String,
    /// SHA-256 of the object file.
    pub object_sha256: String,
    /// `sensor_ebpf::ABI_DIGEST`, in hex: the loader refuses an object with another one.
    pub abi_digest: String,
    /// What built the object.
    pub toolchain: Versions,
    /// Each program with the size of its code in bytes.
    pub programs: BTreeMap<String, u64>,
}

impl Manifest {
    /// The manifest's file name.
    pub const FILE_NAME: &'static str = "manifest.json";

    /// Describes an object that was just built.
    ///
    /// # Errors
    /// When the object, a source or Cargo.lock cannot be read.
    pub fn of(workspace: &Workspace, toolchain: &Toolchain, path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self {
            source_digest: source_digest(workspace)?,
            object_sha256: sha256(&bytes),
            abi_digest: abi_digest(),
            toolchain: toolchain.versions()?,
            programs: object::programs(&bytes)?,
        })
    }

    /// Reads a committed manifest.
    ///
    /// # Errors
    /// When it is missing or is not a manifest.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}: run `cargo xtask ebpf build`", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("understanding {}: run `cargo xtask ebpf build`", path.display()))
    }

    /// Writes the manifest, one field a line so that a change reads well in a diff.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).context("writing the manifest as JSON")?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }
}

/// The ABI digest of the sources this xtask was built with.
pub fn abi_digest() -> String {
    format!("{:#018x}", sensor_ebpf::ABI_DIGEST)
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 over `sensor-ebpf/src/**`, `sensor-ebpf/Cargo.toml` and the versions of the crates that matter, in a fixed order.
///
/// # Errors
/// When a source or Cargo.lock cannot be read.
pub fn source_digest(workspace: &Workspace) -> Result<String> {
    let package = workspace.root.join(EBPF_PACKAGE);
    let mut files = vec![package.join("Cargo.toml")];
    collect_files(&package.join("src"), &mut files)?;
    files.sort();

    let mut hasher = Sha256::new();
    let mut feed = |name: &str, content: &[u8]| {
        // With lengths, so that no two different inputs are the same bytes.
        for part in [name.as_bytes(), content] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    };
    for file in &files {
        let content = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let name = file.strip_prefix(&package).unwrap_or(file).to_string_lossy();
        feed(&name, &content);
    }
    let lock_path = workspace.root.join("Cargo.lock");
    let lock = fs::read_to_string(&lock_path).with_context(|| format!("reading {}: run `cargo fetch`", lock_path.display()))?;
    for (name, version) in relevant_versions(&lock) {
        feed(name, version.as_bytes());
    }
    Ok(hex(&hasher.finalize()))
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("listing {}", folder.display()))?.path();
        if path.is_dir() {
            collect_files(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Name and version of each package in a Cargo.lock that starts with one of [`RELEVANT_PACKAGES`].
fn relevant_versions(lock: &str) -> Vec<(&str, &str)> {
    let mut versions = Vec::new();
    let mut name = "";
    for line in lock.lines() {
        if let Some(value) = quoted_value(line, "name") {
            name = value;
        } else if let Some(version) = quoted_value(line, "version") {
            if RELEVANT_PACKAGES.iter().any(|prefix| name.starts_with(prefix)) {
                versions.push((name, version));
            }
            name = "";
        }
    }
    versions.sort_unstable();
    versions
}

fn quoted_value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"version = 4

[[package]]
name = "aya"
version = "0.14.0"

[[package]]
name = "aya-ebpf"
version = "0.2.1"
dependencies = [
 "aya-ebpf-bindings",
]

[[package]]
name = "zerocopy"
version = "0.8.63"
"#;

    fn workspace(folder: &Path) -> Workspace {
        Workspace { root: folder.to_owned(), target: folder.join("target") }
    }

    fn write_sources(folder: &Path) -> std::io::Result<()> {
        let source = folder.join("sensor-ebpf/src");
        fs::create_dir_all(source.join("family"))?;
        fs::write(folder.join("Cargo.lock"), LOCK)?;
        fs::write(folder.join("sensor-ebpf/Cargo.toml"), "[package]")?;
        fs::write(source.join("main.rs"), "fn main() {}")?;
        fs::write(source.join("family/pipe.rs"), "// pipe")
    }

    #[test]
    fn only_packages_that_reach_the_kernel_count() {
        assert_eq!(relevant_versions(LOCK), [("aya-ebpf", "0.2.1"), ("zerocopy", "0.8.63")]);
    }

    #[test]
    fn the_digest_is_the_same_wherever_the_repository_lies_and_follows_every_source() -> Result<()> {
        let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
        write_sources(one.path())?;
        write_sources(two.path())?;
        let digest = source_digest(&workspace(one.path()))?;
        assert_eq!(digest, source_digest(&workspace(two.path()))?);

        fs::write(two.path().join("sensor-ebpf/src/family/pipe.rs"), "// pipes")?;
        assert_ne!(digest, source_digest(&workspace(two.path()))?);

        write_sources(two.path())?;
        fs::write(two.path().join("Cargo.lock"), LOCK.replace("0.2.1", "0.2.2"))?;
        assert_ne!(digest, source_digest(&workspace(two.path()))?);
        Ok(())
    }
}
