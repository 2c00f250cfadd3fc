//! The guest's programs: the agent and the test peer. For this machine's own architecture they are those of the other
//! tests, with their libraries; for another they are static.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::PathBuf;

use super::archive::Archive;
use crate::ebpf::Object;
use crate::ebpf::toolchain::DEBIAN_RUSTC;
use crate::libraries;
use crate::process::run;
use crate::setup::has_rust_target;
use crate::workspace::{Arch, END_TO_END_PACKAGE, PEER_BIN, SENSOR_BIN, SENSOR_PACKAGE, Workspace};

/// Built to run well under emulation, but not to take long: no link-time optimisation, no debug information.
const PROFILE: [&str; 5] = [
    "profile.release.opt-level=1",
    "profile.release.lto=false",
    "profile.release.codegen-units=16",
    "profile.release.debug=false",
    "profile.release.strip=\"symbols\"",
];

const ARM_LINKER: &str = "aarch64-linux-gnu-gcc";

/// The programs for one architecture.
#[derive(Debug)]
pub struct Programs {
    /// `mcp-sensor`.
    pub sensor: PathBuf,
    /// `peer`.
    pub peer: PathBuf,
    /// The libraries that they need, where they are not static.
    pub libraries: BTreeSet<PathBuf>,
}

/// Builds the programs for a guest.
///
/// # Errors
/// When they do not build.
pub fn build(workspace: &Workspace, archive: &Archive, arch: Arch, object: &Object) -> Result<Programs> {
    if Arch::host() == Some(arch) {
        return host_programs(workspace, object);
    }
    let target_folder = workspace.target.join("kernels").join("build");
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    let mut command = workspace.cargo();
    if !has_rust_target(arch.target()) {
        let library = archive.rust_library(arch)?;
        flags.push(format!("-L{}", library.display()));
        command.env("RUSTC", DEBIAN_RUSTC);
    }
    let suffix = arch.target().replace('-', "_");
    flags.push(format!("-Clinker={ARM_LINKER}"));
    // For crates that compile C.
    command.env(format!("CC_{suffix}"), ARM_LINKER).env(format!("AR_{suffix}"), "aarch64-linux-gnu-ar");
    command
        .env("CARGO_TARGET_DIR", &target_folder)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .args(["build", "--release", "--target", arch.target()])
        .args(["--package", SENSOR_PACKAGE, "--bin", SENSOR_BIN])
        .args(["--package", END_TO_END_PACKAGE, "--bin", PEER_BIN]);
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    object.embed(arch, &mut command);
    run(&mut command).context("building static programs for the guest")?;

    let folder = target_folder.join(arch.target()).join("release");
    Ok(Programs { sensor: folder.join(SENSOR_BIN), peer: folder.join(PEER_BIN), libraries: BTreeSet::new() })
}

/// The programs that the other tests use.
fn host_programs(workspace: &Workspace, object: &Object) -> Result<Programs> {
    let mut command = workspace.cargo();
    command.args(["build", "--package", SENSOR_PACKAGE, "--bin", SENSOR_BIN]).args(["--package", END_TO_END_PACKAGE, "--bin", PEER_BIN]);
    object.embed_for_host(&mut command)?;
    run(&mut command).context("building the programs for the guest")?;
    let (sensor, peer) = (workspace.built("debug", SENSOR_BIN), workspace.built("debug", PEER_BIN));
    let mut needed = BTreeSet::new();
    for program in [&sensor, &peer] {
        needed.extend(libraries::of(program)?);
    }
    Ok(Programs { sensor, peer, libraries: needed })
}
