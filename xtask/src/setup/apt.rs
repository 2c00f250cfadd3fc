//! Debian packages.

use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

use crate::privilege::as_root;
use crate::process::{run, say, succeeds, which};

/// Whether this machine installs Debian packages.
pub fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && which("apt-get").is_some()
}

/// Installs those of the packages that this release has and that are not installed, after refreshing the package lists.
/// A package that the release does not have is named and left out: the caller probes for what it wanted anyway.
///
/// # Errors
/// When we cannot become root, or apt-get fails.
pub fn install(packages: &[&str]) -> Result<()> {
    say(format!("installing Debian packages: {}", packages.join(" ")));
    run(apt_get()?.args(["update", "-qq"])).context("refreshing the package lists: is a Debian mirror reachable?")?;
    let (known, unknown): (Vec<&str>, Vec<&str>) = packages.iter().partition(|package| has_candidate(package));
    if !unknown.is_empty() {
        println!("    this release does not have: {}", unknown.join(" "));
    }
    if known.is_empty() {
        return Ok(());
    }
    run(apt_get()?.args(["install", "--yes", "-qq", "--no-install-recommends"]).args(&known))
        .context("installing Debian packages; run `apt-get install` by hand to see what is wrong")
}

fn apt_get() -> Result<Command> {
    let mut command = as_root("apt-get", "install packages")?;
    command.env("DEBIAN_FRONTEND", "noninteractive").args([
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Acquire::Retries=3",
        "-o",
        "Dpkg::Use-Pty=0",
    ]);
    Ok(command)
}

fn has_candidate(package: &str) -> bool {
    succeeds(Command::new("apt-cache").args(["show", "--quiet=0", "--no-all-versions", package]))
}
