//! `cargo xtask setup`: installs what is missing, and nothing else.
//!
//! A [`Group`] lists what one kind of work needs; each need has a probe, so a second run costs milliseconds and changes nothing.
//! On Debian everything comes from its packages; elsewhere Rust's own installers are used where they can help, and the rest is said.

mod apt;
mod linker;
mod needs;
mod rust;

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use std::fs;
use std::path::Path;

use crate::privilege::{as_root, can_be_root_unattended};
use crate::process::{run as run_command, say};
use crate::report::timed;
use crate::workspace::Workspace;
pub use needs::Group;
use needs::Need;
pub use rust::has_target as has_rust_target;

/// Installs the peers of the end-to-end tests.
const PEERS_SETUP: &str = "tests/peers/setup";

/// Install what building and testing need (Debian packages, Rust components, bpf-linker).
#[derive(ClapArgs)]
#[command(after_help = "\
Without a flag everything is set up. What is there already is left alone.

Examples:
  cargo xtask setup            everything
  cargo xtask setup --ebpf     what rebuilding the kernel programs needs (cargo build does not)
  cargo xtask setup --tests    what lint, unit tests and end-to-end tests need
  cargo xtask setup --kernels  QEMU and a cross compiler, for `cargo xtask kernels`")]
pub struct Args {
    /// The toolchain for the kernel programs.
    #[arg(long)]
    ebpf: bool,
    /// What lint and tests need.
    #[arg(long)]
    tests: bool,
    /// QEMU and the arm64 cross compiler.
    #[arg(long)]
    kernels: bool,
}

/// Runs `cargo xtask setup`.
///
/// # Errors
/// When something is missing that cannot be installed; the message says what to do by hand.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let all = !(args.ebpf || args.tests || args.kernels);
    let mut groups = Vec::new();
    if all || args.ebpf {
        groups.push(Group::Ebpf);
    }
    if all || args.tests {
        groups.push(Group::Tests);
    }
    if all || args.kernels {
        groups.extend([Group::KernelsX86, Group::KernelsArm]);
    }
    timed("set-up", || ensure(workspace, &groups))
}

/// Installs what is missing of the groups.
///
/// # Errors
/// When something is missing that cannot be installed; the message says what to do by hand.
pub fn ensure(workspace: &Workspace, groups: &[Group]) -> Result<()> {
    let needs: Vec<Need> = groups.iter().flat_map(|group| group.needs()).collect();
    let missing = missing_of(&needs);
    if missing.is_empty() {
        println!("    nothing is missing");
    } else {
        for need in &missing {
            println!("    missing: {} ({})", need.name, need.purpose);
        }
        install_packages(&missing)?;
        for need in missing_of(&needs) {
            if let Some(install) = need.install {
                say(format!("installing {}", need.name));
                install(workspace).with_context(|| format!("installing {}", need.name))?;
            }
        }
        complain_about(&missing_of(&needs))?;
    }
    if groups.contains(&Group::Tests) {
        mount_tracefs()?;
        install_peers(workspace)?;
    }
    Ok(())
}

/// The real MCP clients and servers of the end-to-end tests. Their own script knows what is up to date.
fn install_peers(workspace: &Workspace) -> Result<()> {
    let script = workspace.root.join(PEERS_SETUP);
    if !script.exists() {
        return Ok(());
    }
    say("real MCP clients and servers for the end-to-end tests");
    run_command(&mut workspace.command(&script))
        .with_context(|| format!("installing the peers: {PEERS_SETUP} PART installs one of them by hand"))
}

fn missing_of(needs: &[Need]) -> Vec<&Need> {
    needs.iter().filter(|need| !(need.present)()).collect()
}

fn install_packages(missing: &[&Need]) -> Result<()> {
    let mut packages: Vec<&str> = missing.iter().flat_map(|need| need.debian.iter().copied()).collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() || !apt::is_debian() {
        return Ok(());
    }
    apt::install(&packages)
}

fn complain_about(missing: &[&Need]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let mut message = String::from("set-up is not complete; please install by hand:");
    for need in missing {
        message.push_str(&format!("\n  {} ({}): {}", need.name, need.purpose, need.by_hand));
    }
    bail!(message)
}

/// The sensor's tests read tracepoint formats there; containers and small images often leave it unmounted.
fn mount_tracefs() -> Result<()> {
    let folder = Path::new("/sys/kernel/tracing");
    let mounts = fs::read_to_string("/proc/mounts").context("reading /proc/mounts to look for tracefs")?;
    let mounted = mounts.lines().any(|line| line.split(' ').nth(2) == Some("tracefs"));
    if mounted || !folder.is_dir() {
        return Ok(());
    }
    if !can_be_root_unattended() {
        println!("    tracefs is not mounted, and live tests will need it; as root: mount -t tracefs tracefs /sys/kernel/tracing");
        return Ok(());
    }
    say("mounting tracefs at /sys/kernel/tracing");
    run_command(as_root("mount", "mount tracefs")?.args(["-t", "tracefs", "tracefs"]).arg(folder))
        .context("mounting tracefs: without it uprobes cannot be listed; inside a container, run it privileged")
}
