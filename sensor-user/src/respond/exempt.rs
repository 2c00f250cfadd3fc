//! Who is never touched, whatever a policy or a person says.
//!
//! Only facts of the kernel count, never a name that a process chose: the file that it runs, its user, its control group, its
//! place among the processes. A program counts as one of the system's by its file's name where root owns the file, nobody else
//! may write it, and the process is of the host's pid namespace: neither a user nor an image can make one.

use crate::identity::{Identities, LiveProcess, RunningProgram, is_file, is_within};
use present::find::Glob;
use std::path::Path;

/// What containers, pods and logins hang on: names of program files, `*` for any rest.
const SYSTEM: [&str; 21] = [
    "containerd",
    "containerd-shim*",
    "docker-init",
    "docker-proxy",
    "dockerd",
    "runc",
    "crun",
    "youki",
    "crio",
    "conmon",
    "conmonrs",
    "podman",
    "kubelet",
    "k3s",
    "k3s-server",
    "rke2",
    "microk8s",
    "sshd",
    "sshd-*",
    "systemd",
    "systemd-*",
];

/// What the configuration exempts beside.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Exempt {
    /// Programs, by their path on the host; `*` and `?` stand for any characters and any one.
    pub executables: Vec<String>,
    /// Real user ids.
    pub users: Vec<u32>,
    /// Control groups with all below them.
    pub cgroups: Vec<String>,
}

/// The processes that this program is made of, and those it comes from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Own {
    /// The pid of the sensor, in the host's pid namespace.
    pub sensor: u32,
    /// The pid of the guardian.
    pub guardian: Option<u32>,
}

/// The list, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Exemptions {
    exempt: Exempt,
    system: Vec<Glob>,
    executables: Vec<Glob>,
}

impl Exemptions {
    /// The fixed list and the configured one.
    #[must_use]
    pub fn new(exempt: Exempt) -> Self {
        let globs = |patterns: &mut dyn Iterator<Item = &str>| patterns.map(|pattern| Glob::new(pattern, false)).collect();
        Self { system: globs(&mut SYSTEM.iter().copied()), executables: globs(&mut exempt.executables.iter().map(String::as_str)), exempt }
    }

    /// Why a process is exempt; `None` where it is not.
    #[must_use]
    pub fn reason(&self, process: &LiveProcess, own: &Own, identities: &Identities) -> Option<String> {
        let pid = process.id.pid;
        if pid == 1 {
            return Some("it is the first process".to_owned());
        }
        if process.kernel_thread || pid == 2 {
            return Some("it is a thread of the kernel".to_owned());
        }
        if pid == own.sensor || own.guardian == Some(pid) {
            return Some("it is the sensor itself".to_owned());
        }
        if identities.line_of(own.sensor).contains(&pid) {
            return Some("the sensor was started by it".to_owned());
        }
        let Some(program) = &process.program else { return Some("what it runs cannot be told".to_owned()) };
        if process.on_host && program.of_system && self.is_system(&program.path) {
            return Some(format!("{} is part of the system", program.path));
        }
        self.configured(process, program)
    }

    fn is_system(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or_default();
        self.system.iter().any(|glob| glob.matches(name))
    }

    fn configured(&self, process: &LiveProcess, program: &RunningProgram) -> Option<String> {
        let known = &process.known;
        if let Some(user) = known.user.filter(|user| self.exempt.users.contains(user)) {
            return Some(format!("enforcement.exempt_user: it runs as user {user}"));
        }
        if let Some(cgroup) = self.exempt.cgroups.iter().find(|prefix| is_within(&known.cgroup.path, prefix)) {
            return Some(format!("enforcement.exempt_cgroup: it is in {cgroup}"));
        }
        let named = self.executables.iter().any(|glob| glob.matches(&program.path));
        // The host's own file of that path; or one that had it, and was replaced by an update.
        let is_host_file = || is_file(Path::new(&program.path), program.file) || (program.unlinked && program.of_system && process.on_host);
        (named && is_host_file()).then(|| format!("enforcement.exempt_exe: it runs {}", program.path))
    }
}
