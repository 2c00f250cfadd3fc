//! Becoming root, for what loads kernel programs or installs packages.

use anyhow::{Result, bail};
use std::ffi::OsStr;
use std::process::Command;

use crate::process::{succeeds, which};

/// Whether this process is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command that runs `program` as root: directly when we are root, through `sudo` (which may ask for a password) otherwise.
///
/// # Errors
/// When we are not root and there is no `sudo`. `purpose` ends the sentence "Root is needed to ...".
pub fn as_root(program: impl AsRef<OsStr>, purpose: &str) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    if which("sudo").is_none() {
        bail!("root is needed to {purpose}, and there is no sudo here: run the same command as root");
    }
    println!("    root is needed to {purpose}: asking sudo");
    let mut command = Command::new("sudo");
    command.args(["--preserve-env", "--"]).arg(program.as_ref());
    Ok(command)
}

/// Whether [`as_root`] works without anyone being asked.
pub fn can_be_root_unattended() -> bool {
    is_root() || succeeds(Command::new("sudo").args(["--non-interactive", "true"]))
}
