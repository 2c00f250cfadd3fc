//! Building the objects: one cargo run per architecture, DWARF stripped, BTF kept, no path of this machine inside.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::manifest::Manifest;
use super::toolchain::{BPF_TARGET, Compiler, Toolchain, cargo_home};
use crate::process::{Output, output, run, stream};
use crate::workspace::{Arch, EBPF_PACKAGE, Workspace};

/// The kernel binary's name in `sensor-ebpf/Cargo.toml`.
const BINARY: &str = "sensor";
/// The file name of a finished object.
pub const OBJECT_NAME: &str = "sensor.bpf.o";

/// The profile is spelled out, so that tuning the agent's profile cannot change the kernel object behind its manifest's back.
/// BTF is derived from the debug information, hence `debug`.
const PROFILE: [&str; 5] = [
    "profile.release.opt-level=3",
    "profile.release.debug=2",
    "profile.release.lto=\"thin\"",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
];

/// Builds every architecture and replaces the committed objects and manifests.
///
/// # Errors
/// When the programs do not build, or a file cannot be written.
pub fn build_all(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    for arch in Arch::ALL {
        let folder = workspace.dist().join(arch.name());
        let object = build(workspace, toolchain, arch, &folder)?;
        let manifest = Manifest::of(workspace, toolchain, &object)?;
        let path = folder.join(Manifest::FILE_NAME);
        manifest.write(&path)?;
        println!(
            "    {}: {} bytes, {} programs, sha256 {}",
            workspace.relative(&object),
            fs::metadata(&object)?.len(),
            manifest.programs.len(),
            manifest.object_sha256
        );
    }
    Ok(())
}

/// Builds one architecture into `folder`, and returns the object's path.
///
/// # Errors
/// When the programs do not build.
pub fn build(workspace: &Workspace, toolchain: &Toolchain, arch: Arch, folder: &Path) -> Result<PathBuf> {
    compile(workspace, toolchain, arch, &mut |_| {})?;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let object = folder.join(OBJECT_NAME);
    run(Command::new(&toolchain.objcopy).arg("--strip-debug").arg(compiled(workspace, arch)).arg(&object))
        .context("stripping DWARF from the kernel object")?;
    refuse_local_paths(workspace, &object)?;
    Ok(object)
}

/// Compiles the programs for every architecture and returns whether the compiler warned.
///
/// # Errors
/// When the programs do not build.
pub fn warns(workspace: &Workspace, toolchain: &Toolchain) -> Result<bool> {
    let mut warned = false;
    for arch in Arch::ALL {
        compile(workspace, toolchain, arch, &mut |line| {
            // Cargo repeats the warnings of workspace members even when it has nothing to rebuild.
            warned |= line.starts_with("warning");
        })?;
    }
    Ok(warned)
}

/// One for each architecture: cargo does not tell builds apart whose flags contain `--remap-path-prefix`, and would compile
/// everything anew for each.
fn target_folder(workspace: &Workspace, arch: Arch) -> PathBuf {
    workspace.target.join("ebpf").join(arch.name())
}

fn compiled(workspace: &Workspace, arch: Arch) -> PathBuf {
    target_folder(workspace, arch).join(BPF_TARGET).join("release").join(BINARY)
}

fn compile(workspace: &Workspace, toolchain: &Toolchain, arch: Arch, on_line: &mut dyn FnMut(&str)) -> Result<()> {
    println!("    compiling the kernel programs for {arch} kernels");
    let mut command = toolchain.compiler.cargo_build(workspace);
    command
        .env("CARGO_TARGET_DIR", target_folder(workspace, arch))
        // Encoded, because a path may contain spaces; this also replaces any RUSTFLAGS of the user's.
        .env("CARGO_ENCODED_RUSTFLAGS", flags(workspace, toolchain, arch)?.join("\x1f"))
        .args(["--release", "--package", EBPF_PACKAGE, "--bin", BINARY, "--features", "bpf"])
        .args(["--target", BPF_TARGET]);
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    if !stream(&mut command, Output::Stderr, on_line)? {
        bail!("compiling the kernel programs for {arch} kernels failed: the compiler's messages are above");
    }
    Ok(())
}

fn flags(workspace: &Workspace, toolchain: &Toolchain, arch: Arch) -> Result<Vec<String>> {
    let mut flags = vec![
        format!("-Clinker={}", toolchain.linker.display()),
        "-Clink-arg=--btf".to_owned(),
        format!("--cfg=bpf_target_arch=\"{arch}\""),
    ];
    for (from, to) in path_prefixes(workspace, toolchain)? {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    }
    Ok(flags)
}

/// The folders of this machine that source paths start with, and what stands for them in the object (BTF carries the source
/// lines, which the verifier's messages quote).
fn path_prefixes(workspace: &Workspace, toolchain: &Toolchain) -> Result<Vec<(PathBuf, &'static str)>> {
    let mut prefixes = vec![(workspace.root.clone(), "/mcp-sensor")];
    // The folders below `registry/src` appear when the first crate is unpacked.
    output(workspace.cargo().arg("fetch")).context("fetching the dependencies")?;
    let sources = cargo_home().context("finding cargo's home folder: neither CARGO_HOME nor HOME is set")?.join("registry/src");
    if let Ok(registries) = fs::read_dir(&sources) {
        prefixes.extend(registries.flatten().map(|registry| (registry.path(), "/crates")));
    }
    if toolchain.compiler == Compiler::Nightly {
        let sysroot = output(toolchain.compiler.rustc().args(["--print", "sysroot"]))?;
        let library = PathBuf::from(sysroot.trim()).join("lib/rustlib/src/rust");
        prefixes.push((library, "/rust"));
    }
    Ok(prefixes)
}

/// A path of the machine in the object would make it differ from machine to machine.
fn refuse_local_paths(workspace: &Workspace, object: &Path) -> Result<()> {
    let bytes = fs::read(object).with_context(|| format!("reading {}", object.display()))?;
    let folders = [Some(workspace.root.clone()), Some(workspace.target.clone()), cargo_home()];
    for folder in folders.into_iter().flatten() {
        let needle = folder.as_os_str().as_encoded_bytes();
        if bytes.windows(needle.len()).any(|window| window == needle) {
            bail!("{} contains the path {}: add it to `path_prefixes` in xtask/src/ebpf/build.rs", object.display(), folder.display());
        }
    }
    Ok(())
}
