//! The programs that turn Rust into a kernel object: compiler, linker, object tool.
//!
//! Two compilers will do. Debian's `rustc-web` brings a built `core` for BPF and needs only leave to use unstable features.
//! Anywhere else it is rustup's nightly, which builds `core` from `rust-src`.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{is_executable, output, which};
use crate::workspace::Workspace;

/// The Rust target of the kernel programs (little-endian, as are both architectures).
pub const BPF_TARGET: &str = "bpfel-unknown-none";
/// The version of bpf-linker the project builds with.
pub const BPF_LINKER_VERSION: &str = "0.13.0";
/// Debian's compiler.
pub const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A compiler that can compile for BPF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiler {
    /// Debian's, with its package `libstd-rust-web-dev-bpf`.
    Debian,
    /// rustup's nightly, with `rust-src`.
    Nightly,
}

impl Compiler {
    /// The compiler to use here: Debian's before rustup's.
    pub fn find() -> Option<Self> {
        [Self::Debian, Self::Nightly].into_iter().find(|compiler| compiler.is_usable())
    }

    fn is_usable(self) -> bool {
        match self {
            Self::Debian => {
                Path::new(DEBIAN_RUSTC).exists()
                    && output(self.rustc().args(["--print", "target-libdir", "--target", BPF_TARGET]))
                        .is_ok_and(|folder| has_core(Path::new(folder.trim())))
            }
            Self::Nightly => {
                which("rustup").is_some()
                    && output(self.rustc().args(["--print", "sysroot"]))
                        .is_ok_and(|root| Path::new(root.trim()).join("lib/rustlib/src/rust/library/core").is_dir())
            }
        }
    }

    /// A command that runs this compiler.
    pub fn rustc(self) -> Command {
        let mut command = match self {
            Self::Debian => Command::new(DEBIAN_RUSTC),
            Self::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "rustc"]);
                command
            }
        };
        command.env_remove("LD_LIBRARY_PATH");
        command
    }

    /// A cargo command that uses this compiler, with what it needs to compile for BPF.
    pub fn cargo_build(self, workspace: &Workspace) -> Command {
        match self {
            Self::Debian => {
                let mut command = workspace.cargo();
                command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").arg("build");
                command
            }
            Self::Nightly => {
                let mut command = workspace.command("rustup");
                command.env_remove("RUSTC").args(["run", "nightly", "cargo", "build", "-Z", "build-std=core"]);
                command
            }
        }
    }

    /// The major version of the LLVM inside.
    ///
    /// # Errors
    /// When the compiler does not run, or does not tell.
    pub fn llvm_major(self) -> Result<u32> {
        let version = self.verbose_version()?;
        field(&version, "LLVM version: ")
            .and_then(|llvm| llvm.split('.').next())
            .and_then(|major| major.parse().ok())
            .with_context(|| format!("looking for the LLVM version in: {version}"))
    }

    fn verbose_version(self) -> Result<String> {
        output(self.rustc().arg("-vV")).context("asking the BPF compiler for its version")
    }
}

fn has_core(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libcore-") && name.ends_with(".rlib")
        })
    })
}

/// bpf-linker in the version we build with: where `cargo install` puts it, or on `PATH`.
pub fn linker() -> Option<PathBuf> {
    let expected = format!("bpf-linker {BPF_LINKER_VERSION}");
    [cargo_home().map(|home| home.join("bin/bpf-linker")), which("bpf-linker")]
        .into_iter()
        .flatten()
        .filter(|path| is_executable(path))
        // A linker whose LLVM library was removed does not start: then it is as good as missing.
        .find(|path| output(Command::new(path).arg("--version")).is_ok_and(|version| version.trim() == expected))
}

/// LLVM's `objcopy`: Debian's, the one on `PATH`, or rustup's.
pub fn objcopy() -> Option<PathBuf> {
    let debian = Path::new("/usr/lib/llvm-22/bin/llvm-objcopy");
    if is_executable(debian) {
        return Some(debian.to_owned());
    }
    which("llvm-objcopy").or_else(|| {
        let folder = output(Command::new("rustc").args(["--print", "target-libdir"])).ok()?;
        let tool = Path::new(folder.trim()).parent()?.join("bin/llvm-objcopy");
        is_executable(&tool).then_some(tool)
    })
}

/// Cargo's home folder.
pub fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")))
}

/// The versions that decide the bytes of the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Versions {
    /// `rustc --version`, and its LLVM.
    pub rustc: String,
    /// `bpf-linker --version`.
    pub bpf_linker: String,
    /// The LLVM of the object tool; Debian's bpf-linker shares it.
    pub llvm: String,
}

/// Everything needed to build the kernel programs.
#[derive(Debug)]
pub struct Toolchain {
    /// The compiler.
    pub compiler: Compiler,
    /// bpf-linker.
    pub linker: PathBuf,
    /// llvm-objcopy.
    pub objcopy: PathBuf,
}

impl Toolchain {
    /// Finds the installed toolchain.
    ///
    /// # Errors
    /// When a part is missing; `cargo xtask setup --ebpf` installs it.
    pub fn find() -> Result<Self> {
        const MEND: &str = "run `cargo xtask setup --ebpf`";
        Ok(Self {
            compiler: Compiler::find().with_context(|| format!("there is no Rust compiler for BPF here: {MEND}"))?,
            linker: linker().with_context(|| format!("there is no bpf-linker {BPF_LINKER_VERSION} here: {MEND}"))?,
            objcopy: objcopy().with_context(|| format!("there is no llvm-objcopy here: {MEND}"))?,
        })
    }

    /// The versions of the parts.
    ///
    /// # Errors
    /// When a part does not run.
    pub fn versions(&self) -> Result<Versions> {
        let rustc = self.compiler.verbose_version()?;
        let linker = output(Command::new(&self.linker).arg("--version"))?;
        let objcopy = output(Command::new(&self.objcopy).arg("--version"))?;
        Ok(Versions {
            rustc: format!("{}, LLVM {}", rustc.lines().next().unwrap_or("unknown"), field(&rustc, "LLVM version: ").unwrap_or("unknown")),
            bpf_linker: linker.trim().trim_start_matches("bpf-linker ").to_owned(),
            llvm: objcopy
                .lines()
                .find_map(|line| line.split_once("version ").map(|(_, version)| version.trim()))
                .unwrap_or("unknown")
                .to_owned(),
        })
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}
