//! bpf-linker: a cargo-installed program that must know the bitcode of our compiler's LLVM.

use anyhow::{Context, Result};
use std::path::PathBuf;

use crate::ebpf::toolchain::{BPF_LINKER_VERSION, Compiler};
use crate::process::{run, which};
use crate::workspace::Workspace;

/// Installs bpf-linker: a prebuilt one where `cargo binstall` is at hand, otherwise built against the LLVM of the compiler that
/// will feed it.
pub fn install(workspace: &Workspace) -> Result<()> {
    if which("cargo-binstall").is_some() {
        let package = format!("bpf-linker@{BPF_LINKER_VERSION}");
        let binstall = workspace.command("cargo").args(["binstall", "--no-confirm", &package]).status();
        if binstall.is_ok_and(|status| status.success()) {
            return Ok(());
        }
        println!("    cargo binstall did not work, building it instead");
    }
    let compiler = Compiler::find().context("bpf-linker is built for a compiler's LLVM, and the compiler is missing")?;
    let llvm = compiler.llvm_major()?;
    let mut command = workspace.cargo();
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if prefix.is_dir() {
        command.env("LLVM_PREFIX", prefix);
    }
    command
        // Its own build folder would be thrown away; below ours a second try continues where the first stopped.
        .env("CARGO_TARGET_DIR", workspace.target.join("bpf-linker"))
        .args(["install", "bpf-linker", "--version", BPF_LINKER_VERSION, "--locked", "--force"])
        .args(["--no-default-features", "--features"])
        .arg(format!("llvm-{llvm}"));
    run(&mut command).with_context(|| {
        format!(
            "building bpf-linker against LLVM {llvm}: its development files (llvm-{llvm}-dev) must be there; \
             `cargo binstall bpf-linker` fetches a ready one"
        )
    })
}
