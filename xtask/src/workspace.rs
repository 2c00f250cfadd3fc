//! Where things are: the repository, its build folder, the processor architectures.

use anyhow::{Context, Result};
use clap::ValueEnum;
use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package and binary of the agent.
pub const SENSOR_PACKAGE: &str = "sensor-user";
/// The name of the agent's binary.
pub const SENSOR_BIN: &str = "mcp-sensor";
/// The collector.
pub const COLLECTOR_PACKAGE: &str = "collector";
/// Its program.
pub const COLLECTOR_BIN: &str = "mcp-collector";
/// The package of the end-to-end tests and their helpers.
pub const END_TO_END_PACKAGE: &str = "end-to-end";
/// The binary that plays MCP clients and servers: the demo, and the self-test inside a virtual machine.
pub const PEER_BIN: &str = "peer";
/// The package of the kernel programs and of their ABI library.
pub const EBPF_PACKAGE: &str = "sensor-ebpf";
/// Names the object that `sensor-user/build.rs` embeds instead of the committed one.
pub const BPF_OBJECT_VARIABLE: &str = "SENSOR_BPF_OBJ";

/// The repository and its build folder.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// Cargo's target folder; everything built or downloaded lies below it.
    pub target: PathBuf,
}

impl Workspace {
    /// Finds the repository this xtask belongs to.
    ///
    /// # Errors
    /// When the folder above xtask's manifest holds no workspace, or the current folder is gone.
    pub fn find() -> Result<Self> {
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir
            .parent()
            .filter(|root| root.join("Cargo.toml").is_file())
            .with_context(|| {
                format!(
                    "looking for the workspace above {}: there is no Cargo.toml; run xtask as `cargo xtask` inside the repository",
                    manifest_dir.display()
                )
            })?
            .to_owned();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            // Relative to the caller's folder, while our children run in the root: so it must become absolute here.
            Some(folder) => {
                std::path::absolute(&folder).with_context(|| format!("making CARGO_TARGET_DIR={} absolute", folder.display()))?
            }
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// A `cargo` command that runs in the repository, as if typed into a shell: without what `cargo run` set for xtask itself.
    pub fn cargo(&self) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo);
        command.env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// A command that runs in the repository, without the variables that `cargo run` set for xtask itself.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in env::vars_os() {
            let inherited_from_cargo_run = name.to_str().is_some_and(|name| {
                name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || matches!(name, "CARGO" | "LD_LIBRARY_PATH")
            });
            if inherited_from_cargo_run {
                command.env_remove(name);
            }
        }
        command
    }

    /// The path of a binary that `cargo build` puts into the target folder.
    pub fn built(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(name)
    }

    /// The folder of the committed kernel objects.
    pub fn dist(&self) -> PathBuf {
        self.root.join("sensor-ebpf").join("dist")
    }

    /// A path as a person in the repository would write it.
    pub fn relative<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

/// A processor architecture the sensor runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Arch {
    /// 64-bit x86.
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    #[value(name = "aarch64")]
    Aarch64,
}

impl Arch {
    /// Every architecture an object is shipped for.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The architecture of this machine; `None` where the sensor does not run.
    pub fn host() -> Option<Self> {
        match env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// Rust's name: also the name of the folder below `sensor-ebpf/dist`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Debian's name.
    pub const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The Rust target of a Linux program.
    pub const fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
