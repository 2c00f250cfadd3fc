//! A machine: systemd as the first process of namespaces of its own, over a copy of this file system that is thrown away.
//!
//! It has the kernel in common with the host, and so the kernel's records name the host's pids: the host's `/proc` is at
//! `/run/host/proc` for who needs it.

use super::process::{command, output, wait_for};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// Runs as root in namespaces of its own but that of pids; `$1` is what is put into the machine as `/opt/mcp-sensor`, `$2` a
/// program for its `/usr/bin`.
const BOOT: &str = include_str!("boot.sh");

/// A machine; gone when this goes.
pub struct Machine {
    child: Child,
    pid: u32,
    cgroup: PathBuf,
    /// What its file system is mounted on, in namespaces of its own.
    _folder: TempDir,
}

impl Machine {
    /// Boots it.
    pub fn boot(package: &Path, peer: &Path) -> Self {
        let hierarchies = super::container::hierarchies();
        let unified = hierarchies.iter().find(|path| path.join("cgroup.controllers").exists()).expect("control groups, version 2");
        // Like a slice of the host, so that units in it are told as units.
        let cgroup = unified.join(format!("mcp-deploy-{}.slice", std::process::id()));
        std::fs::create_dir_all(&cgroup).unwrap();
        let mut boot = command("unshare");
        boot.args(["--mount", "--propagation", "private", "--net", "sh", "-euc", BOOT, "boot"]).arg(package).arg(peer).arg(&cgroup);
        let folder = tempfile::tempdir().unwrap();
        boot.arg(folder.path());
        let child = boot.stdout(Stdio::null()).spawn().expect("unshare starts");
        let mut machine = Self { child, pid: 0, cgroup, _folder: folder };
        let outer = machine.child.id();
        machine.pid = wait_for("the machine's first process", || {
            assert_eq!(machine.child.try_wait().unwrap(), None, "the machine did not start");
            let children = std::fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).ok()?;
            let pid: u32 = children.split(' ').next()?.parse().ok()?;
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            (name.trim() == "systemd").then_some(pid)
        });
        wait_for("the machine has started", || {
            let state = machine.enter("systemctl").arg("is-system-running").stderr(Stdio::null()).output().ok()?;
            (state.stdout == b"running\n").then_some(())
        });
        machine
    }

    /// A command in it.
    pub fn enter(&self, program: &str) -> Command {
        let mut enter = command("nsenter");
        enter.args(["--target", &self.pid.to_string(), "--mount", "--pid", "--cgroup", "--ipc", "--uts", "--net", program]);
        enter
    }

    /// One property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        output(self.enter("systemctl").args(["show", "--value", "--property", name, unit])).trim().to_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The end of the outer process is the end of the machine's first, and that of all others.
        let _ = self.child.kill();
        let _ = self.child.wait();
        wait_for("the machine's groups are empty", || remove(&self.cgroup).ok());
    }
}

/// Removes a control group and those below it.
fn remove(group: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    std::fs::remove_dir(group)
}
