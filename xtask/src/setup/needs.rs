//! What each kind of work needs, as data: how to see whether it is there, and how to get it.

use anyhow::Result;
use std::path::Path;
use std::process::Command;

use super::{linker, rust};
use crate::ebpf::toolchain;
use crate::process::{succeeds, which};
use crate::workspace::Workspace;

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Rebuilding the kernel programs.
    Ebpf,
    /// Lint, unit tests, end-to-end tests.
    Tests,
    /// Booting x86-64 kernels in QEMU.
    KernelsX86,
    /// Booting arm64 kernels in QEMU, with a cross-built sensor.
    KernelsArm,
}

/// Something that must be there.
pub struct Need {
    /// What it is called.
    pub name: &'static str,
    /// What it is needed for.
    pub purpose: &'static str,
    /// Whether it is there.
    pub present: fn() -> bool,
    /// The Debian packages that bring it.
    pub debian: &'static [&'static str],
    /// How to get it where the packages did not bring it.
    pub install: Option<fn(&Workspace) -> Result<()>>,
    /// What a person can do when neither worked.
    pub by_hand: &'static str,
}

impl Group {
    /// Everything this kind of work needs, in the order of installation.
    pub fn needs(self) -> Vec<Need> {
        match self {
            Self::Ebpf => ebpf(),
            Self::Tests => tests(),
            Self::KernelsX86 => kernels_x86(),
            Self::KernelsArm => kernels_arm(),
        }
    }
}

fn ebpf() -> Vec<Need> {
    vec![
        Need {
            name: "a Rust compiler with a `core` for BPF",
            purpose: "compiles the kernel programs",
            present: || toolchain::Compiler::find().is_some(),
            debian: &["rustc-web", "libstd-rust-web-dev-bpf"],
            install: Some(rust::install_nightly_with_source),
            by_hand: "rustup toolchain install nightly --component rust-src",
        },
        Need {
            name: "LLVM's object tools",
            purpose: "strip DWARF from the kernel objects",
            present: || toolchain::objcopy().is_some(),
            debian: &["llvm-22-dev", "libpolly-22-dev", "g++"],
            install: Some(rust::install_llvm_tools),
            by_hand: "install LLVM with your package manager, or: rustup component add llvm-tools",
        },
        Need {
            name: "bpf-linker",
            purpose: "links the kernel programs",
            present: || toolchain::linker().is_some(),
            debian: &["llvm-22-dev", "libpolly-22-dev", "g++"],
            install: Some(linker::install),
            by_hand: "cargo binstall bpf-linker@0.13.0, or cargo install it with LLVM's development files at hand",
        },
    ]
}

fn tests() -> Vec<Need> {
    vec![
        Need {
            name: "a C compiler",
            purpose: "links Rust programs",
            present: || which("cc").is_some(),
            debian: &["gcc", "libc6-dev"],
            install: None,
            by_hand: "install gcc or clang with your package manager",
        },
        Need {
            name: "rustfmt",
            purpose: "lint",
            present: || succeeds(Command::new("cargo").args(["fmt", "--version"])),
            debian: &[],
            install: Some(rust::install_rustfmt),
            by_hand: "rustup component add rustfmt",
        },
        Need {
            name: "clippy",
            purpose: "lint",
            present: || succeeds(Command::new("cargo").args(["clippy", "--version"])),
            debian: &[],
            install: Some(rust::install_clippy),
            by_hand: "rustup component add clippy",
        },
        Need {
            name: "runc",
            purpose: "runs the containers of the deployment's tests",
            present: || which("runc").is_some(),
            debian: &["runc"],
            install: None,
            by_hand: "install runc with your package manager",
        },
        Need {
            name: "systemd",
            purpose: "runs the units in the deployment's tests",
            present: || Path::new("/lib/systemd/systemd").exists() && which("systemd-run").is_some(),
            debian: &["systemd"],
            install: None,
            by_hand: "run the deployment's tests on a distribution with systemd",
        },
        Need {
            name: "unshare, nsenter, ip, openssl and tar",
            purpose: "make namespaces, certificates and root file systems for the deployment's tests",
            present: || ["unshare", "nsenter", "ip", "openssl", "tar"].iter().all(|program| which(program).is_some()),
            debian: &["util-linux", "iproute2", "openssl", "tar"],
            install: None,
            by_hand: "install util-linux, iproute2, openssl and tar with your package manager",
        },
        Need {
            name: "tshark",
            purpose: "shows that Wireshark opens recordings",
            present: || which("tshark").is_some(),
            debian: &["tshark"],
            install: None,
            by_hand: "install tshark (Wireshark's command line) with your package manager",
        },
        Need {
            name: "Chromium",
            purpose: "opens the pages of sessions in the tests that prove that nothing captured runs",
            present: || ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"].iter().any(|name| which(name).is_some()),
            debian: &["chromium"],
            install: None,
            by_hand: "install Chromium or Chrome with your package manager",
        },
    ]
}

fn kernels_x86() -> Vec<Need> {
    vec![
        Need {
            name: "qemu-system-x86_64",
            purpose: "boots x86-64 kernels",
            present: || which("qemu-system-x86_64").is_some(),
            debian: &["qemu-system-x86"],
            install: None,
            by_hand: "install QEMU's x86 system emulator with your package manager",
        },
        Need {
            name: "apt-get and dpkg",
            purpose: "download and unpack Debian kernels",
            present: || which("apt-get").is_some() && which("dpkg").is_some(),
            debian: &[],
            install: None,
            by_hand: "run the kernel matrix on Debian, or in a Debian container (it needs no privileges)",
        },
    ]
}

fn kernels_arm() -> Vec<Need> {
    vec![
        Need {
            name: "qemu-system-aarch64",
            purpose: "boots arm64 kernels",
            present: || which("qemu-system-aarch64").is_some(),
            debian: &["qemu-system-arm"],
            install: None,
            by_hand: "install QEMU's Arm system emulator with your package manager",
        },
        Need {
            name: "aarch64-linux-gnu-gcc",
            purpose: "links the arm64 sensor",
            present: || which("aarch64-linux-gnu-gcc").is_some(),
            debian: &["gcc-aarch64-linux-gnu"],
            install: None,
            by_hand: "install a cross compiler for aarch64-linux-gnu",
        },
        Need {
            name: "glibc for arm64",
            purpose: "links the arm64 sensor",
            present: || Path::new("/usr/aarch64-linux-gnu/lib/libc.a").exists(),
            debian: &["libc6-dev-arm64-cross"],
            install: None,
            by_hand: "install the static C library of the cross compiler",
        },
        Need {
            name: "a Rust compiler with an arm64 library in reach",
            purpose: "compiles the arm64 sensor",
            present: || Path::new(toolchain::DEBIAN_RUSTC).exists() || rust::has_target("aarch64-unknown-linux-gnu"),
            debian: &["rustc-web"],
            install: None,
            by_hand: "rustup target add aarch64-unknown-linux-gnu",
        },
    ]
}
