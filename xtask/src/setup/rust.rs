//! Rust toolchain parts: by rustup where it is used, from Debian's packages where Debian's Rust is.

use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

use super::apt;
use crate::process::{output, run, which};
use crate::workspace::Workspace;

/// Installs rustup's nightly with the standard library's source, to build `core` for BPF.
pub fn install_nightly_with_source(workspace: &Workspace) -> Result<()> {
    rustup(workspace, &["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"])
}

/// Installs rustup's copy of LLVM's tools.
pub fn install_llvm_tools(workspace: &Workspace) -> Result<()> {
    rustup(workspace, &["component", "add", "llvm-tools"])
}

/// Installs rustfmt for the Rust in use.
pub fn install_rustfmt(workspace: &Workspace) -> Result<()> {
    component(workspace, "rustfmt", "rustfmt-web")
}

/// Installs clippy for the Rust in use.
pub fn install_clippy(workspace: &Workspace) -> Result<()> {
    component(workspace, "clippy", "rust-web-clippy")
}

/// Whether the Rust in use has a standard library for a target.
pub fn has_target(target: &str) -> bool {
    output(Command::new("rustc").args(["--print", "target-libdir", "--target", target]))
        .is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

fn component(workspace: &Workspace, rustup_name: &str, debian_package: &str) -> Result<()> {
    if which("rustup").is_some() {
        rustup(workspace, &["component", "add", rustup_name])
    } else if apt::is_debian() {
        apt::install(&[debian_package])
    } else {
        bail!("there is neither rustup nor apt-get here: install {rustup_name} the way you installed Rust")
    }
}

fn rustup(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    if which("rustup").is_none() {
        bail!("there is no rustup here; install Rust with rustup, or get this part with your package manager");
    }
    run(workspace.command("rustup").args(arguments))
}
