//! `cargo xtask package`: everything that is installed, in one folder.
//!
//! ```text
//! target/package/bin/         the two programs, static
//!                systemd/     units, users, example configurations
//!                kubernetes/  manifests
//!                image/NAME/  one OCI image layout for each program
//! ```
//!
//! No docker is needed: an image is a few files ([`image`]), and every tool that copies images reads the layout
//! (`skopeo copy oci:target/package/image/mcp-sensor docker://...`).

mod image;

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{run as run_command, say};
use crate::report::timed;
use crate::workspace::{Arch, COLLECTOR_BIN, COLLECTOR_PACKAGE, SENSOR_BIN, SENSOR_PACKAGE, Workspace};
use image::Image;

/// Parts of `deploy/` that are installed as they are.
const PARTS: [&str; 2] = ["systemd", "kubernetes"];

/// Build static programs and put them, the units, the manifests and the images into one folder.
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  cargo xtask package                                build, and write target/package
  cargo xtask package --programs target/debug        pack programs that are built already
  cargo xtask package --output /tmp/mcp-sensor       write elsewhere")]
pub struct Args {
    /// Pack the programs of this folder instead of building them. One that is not static brings its libraries along.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Where to write; what is there is replaced.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// Runs `cargo xtask package`.
///
/// # Errors
/// When something does not build, or a file cannot be read or written.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let home = workspace.target.join("package");
    let programs = match &args.programs {
        Some(folder) => folder.clone(),
        None => timed("build", || build(workspace, &home.join("build")))?,
    };
    let output = args.output.clone().unwrap_or(home);
    timed("package", || write(workspace, &programs, &output))
}

/// Builds the programs, static; gives their folder.
fn build(workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
    let Some(arch) = Arch::host() else { bail!("the sensor does not run on {}", std::env::consts::ARCH) };
    let mut command = workspace.cargo();
    command
        .env("CARGO_TARGET_DIR", folder)
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .args(["build", "--release", "--target", arch.target()])
        .args(["--package", SENSOR_PACKAGE, "--package", COLLECTOR_PACKAGE, "--bin", SENSOR_BIN, "--bin", COLLECTOR_BIN])
        .args(["--config", "profile.release.strip=\"symbols\"", "--config", "profile.release.debug=false"]);
    run_command(&mut command).context("building static programs")?;
    Ok(folder.join(arch.target()).join("release"))
}

fn write(workspace: &Workspace, programs: &Path, output: &Path) -> Result<()> {
    let deploy = workspace.root.join("deploy");
    for part in PARTS {
        copy(&deploy.join(part), &fresh(&output.join(part))?)?;
    }
    let folder = fresh(&output.join("bin"))?;
    fresh(&output.join("image"))?;
    for image in [Image::sensor(), Image::collector()] {
        let program = folder.join(image.name);
        let built = programs.join(image.name);
        fs::copy(&built, &program).with_context(|| format!("packing {}: is it built?", built.display()))?;
        let layout = output.join("image").join(image.name);
        let digest = image.write(&program, &layout).with_context(|| format!("writing the image {}", layout.display()))?;
        say(format!("{} {digest}", workspace.relative(&layout)));
    }
    say(format!("all of it is in {}", workspace.relative(output)));
    Ok(())
}

/// An empty folder.
fn fresh(path: &Path) -> Result<PathBuf> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("emptying {}", path.display()))?;
    }
    fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
    Ok(path.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &fresh(&target)?)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("copying {}", entry.path().display()))?;
        }
    }
    Ok(())
}
