//! `cargo xtask ebpf check`: is what is committed what the sources say, and does the verifier still find it cheap?

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::budget::Budget;
use super::build;
use super::manifest::{Manifest, abi_digest, sha256, source_digest};
use super::toolchain::Toolchain;
use crate::privilege::as_root;
use crate::process::{output, run};
use crate::workspace::{Arch, BPF_OBJECT_VARIABLE, SENSOR_BIN, SENSOR_PACKAGE, Workspace};

/// The kernel object that tests should run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// The committed one: a rebuilt one has the same bytes, or was not asked for.
    Committed,
    /// The rebuilt ones, in `<folder>/<arch>/sensor.bpf.o`, because they differ from the committed ones.
    Rebuilt(PathBuf),
}

impl Object {
    /// Makes a build of the agent embed this object.
    pub fn embed(&self, arch: Arch, command: &mut Command) {
        match self {
            Self::Committed => command.env_remove(BPF_OBJECT_VARIABLE),
            Self::Rebuilt(folder) => command.env(BPF_OBJECT_VARIABLE, folder.join(arch.name()).join(build::OBJECT_NAME)),
        };
    }

    /// [`Object::embed`] for this machine.
    ///
    /// # Errors
    /// On an architecture the sensor does not run on.
    pub fn embed_for_host(&self, command: &mut Command) -> Result<()> {
        self.embed(host()?, command);
        Ok(())
    }
}

fn host() -> Result<Arch> {
    Arch::host().context("the sensor runs on x86_64 and aarch64 only, and this machine is neither")
}

/// Rebuilds the objects of every architecture beside the committed ones. Returns the object to test with, and whether the
/// committed ones are up to date: a stale one is an error of its own, so that the rest of a test run can go on with the rebuilt.
///
/// # Errors
/// The outer one when the programs do not build; the inner one when a committed object is stale.
pub fn check_objects(workspace: &Workspace, toolchain: &Toolchain) -> Result<(Object, Result<()>)> {
    let rebuilt_in = workspace.target.join("ebpf").join("check");
    let mut complaints = Vec::new();
    let mut identical = true;
    for arch in Arch::ALL {
        let path = build::build(workspace, toolchain, arch, &rebuilt_in.join(arch.name()))?;
        let rebuilt = Manifest::of(workspace, toolchain, &path)?;
        match compare(workspace, arch, &rebuilt) {
            Ok(same) => identical &= same,
            Err(error) => {
                identical = false;
                complaints.push(format!("{arch}: {error:#}"));
            }
        }
    }
    let object = if identical { Object::Committed } else { Object::Rebuilt(rebuilt_in) };
    let result = if complaints.is_empty() {
        Ok(())
    } else {
        Err(anyhow::anyhow!(
            "the committed kernel objects are not up to date: run `cargo xtask ebpf build` and commit sensor-ebpf/dist\n  {}",
            complaints.join("\n  ")
        ))
    };
    Ok((object, result))
}

/// Compares the sources' digest with the committed manifests, without building anything.
///
/// # Errors
/// When a manifest is missing or stale.
pub fn check_digests(workspace: &Workspace) -> Result<()> {
    let digest = source_digest(workspace)?;
    for arch in Arch::ALL {
        let manifest = Manifest::read(&workspace.dist().join(arch.name()).join(Manifest::FILE_NAME))?;
        if manifest.source_digest != digest {
            bail!(
                "the committed kernel object for {arch} was built from other sources: run `cargo xtask ebpf build` and commit sensor-ebpf/dist"
            );
        }
    }
    Ok(())
}

/// Whether the committed object has the bytes of the rebuilt one; an error when it is stale.
fn compare(workspace: &Workspace, arch: Arch, rebuilt: &Manifest) -> Result<bool> {
    let folder = workspace.dist().join(arch.name());
    let committed = Manifest::read(&folder.join(Manifest::FILE_NAME))?;
    let path = folder.join(build::OBJECT_NAME);
    let bytes = fs::read(&path).with_context(|| format!("reading {}: run `cargo xtask ebpf build`", path.display()))?;

    if sha256(&bytes) != committed.object_sha256 {
        bail!("the committed object is not the one its manifest describes");
    }
    if committed.source_digest != rebuilt.source_digest {
        bail!("the sources changed since (digest {}, now {})", committed.source_digest, rebuilt.source_digest);
    }
    if committed.abi_digest != rebuilt.abi_digest {
        bail!("the ABI digest is {}, now {}", committed.abi_digest, abi_digest());
    }
    if committed.object_sha256 == rebuilt.object_sha256 {
        println!("    {arch}: the rebuilt object has the same bytes as the committed one");
        return Ok(true);
    }
    if committed.toolchain == rebuilt.toolchain {
        bail!("the same sources and toolchain now give another object (were the build options changed?)");
    }
    println!(
        "    {arch}: the rebuilt object differs, as another toolchain built it\n      committed: {:?}\n      here:      {:?}",
        committed.toolchain, rebuilt.toolchain
    );
    Ok(false)
}

/// Loads every program into this machine's kernel and compares what the verifier counted with the committed budget, or rewrites
/// the budget.
///
/// # Errors
/// When the agent does not build, a program does not load, or a program exceeds its budget.
pub fn check_budget(workspace: &Workspace, object: &Object, update: bool) -> Result<()> {
    let mut build = workspace.cargo();
    build.args(["build", "--package", SENSOR_PACKAGE, "--bin", SENSOR_BIN]);
    object.embed_for_host(&mut build)?;
    run(&mut build).context("building the agent, which loads the programs")?;

    let agent = workspace.built("debug", SENSOR_BIN);
    let json = output(as_root(&agent, "load kernel programs")?.args(["check", "--json", "--programs"]))
        .context("loading every program: `mcp-sensor check` says which one the kernel refused, and why")?;
    let measured = Budget::from_check(&json)?;

    let path = workspace.dist().join(Budget::FILE_NAME);
    if update {
        measured.write(&path)?;
        println!("    {} now has {} programs", workspace.relative(&path), measured.len());
        return Ok(());
    }
    let report = Budget::read(&path)?.compare(&measured);
    print!("{}", report.table);
    if report.complaints.is_empty() {
        return Ok(());
    }
    bail!("{}\n  if this is as it must be: cargo xtask ebpf check --update-budget", report.complaints.join("\n  "))
}
