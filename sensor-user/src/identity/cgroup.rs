//! What the path of a control group tells: container, pod, systemd unit.
//!
//! Container runtimes and the kubelet write ids into the names of control groups, each in its own way and in two
//! styles (cgroupfs and systemd). The path is read from the leaf up, so that of nested containers (Docker in Docker,
//! kind) the innermost counts. A runtime's monitor (`conmon`, `lxc.monitor`) is not the container.
//!
//! Names of control groups are facts of the kernel, but a user with a delegated subtree (`user@1000.service`) chooses
//! the names below it: a container there is as real as its user is honest. The path itself is always reported too.

use std::sync::Arc;

/// What runs a container.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Runtime {
    /// Docker, with or without a kubelet.
    Docker,
    /// containerd: by way of the CRI, nerdctl or ctr.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
    /// An OCI runtime (runc, crun) that was called directly.
    Runc,
    /// LXC, LXD, Incus.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
    /// The path does not tell.
    #[default]
    Unknown,
}

impl Runtime {
    /// As the event names it; empty where it is not known.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Runc => "runc",
            Self::Lxc => "lxc",
            Self::Nspawn => "systemd-nspawn",
            Self::Unknown => "",
        }
    }
}

/// A container.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Container {
    /// Its id as the runtime gives it; its name with runtimes that have no ids (LXC, nspawn).
    pub id: String,
    /// What runs it.
    pub runtime: Runtime,
}

/// A control group and what its path tells.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cgroup {
    /// From the root of the hierarchy; `/` is the root itself, empty is not known. Begins with `/..` where it was read
    /// in a cgroup namespace that does not hold it, with `…` where its beginning was cut.
    pub path: Arc<str>,
    /// The innermost container.
    pub container: Option<Container>,
    /// UID of the Kubernetes pod, with dashes; empty where there is none.
    pub pod_uid: String,
    /// The systemd unit: the user's where it is one of a user's manager, else the system's. Empty for a container's own
    /// scope and where there is none.
    pub systemd_unit: String,
}

impl Cgroup {
    /// Reads the paths of a process's control group in the v2 hierarchy and in one of v1; empty where there is none.
    ///
    /// Of the two the one that names a container counts, then the one that names a unit, then v2.
    ///
    /// With `namespaced` the process is in a pid namespace of its own. Only then a path that follows no runtime's
    /// habits and names no unit is taken for a container that an OCI runtime made (`runc run mybox` makes `/mybox`).
    #[must_use]
    pub fn new(v2: &str, v1: &str, namespaced: bool) -> Self {
        let (first, second) = (Facts::read(v2), Facts::read(v1));
        let second_counts = first.container.is_none()
            && (second.container.is_some() || (first.unit.is_empty() && (!second.unit.is_empty() || (is_root(v2) && !is_root(v1)))));
        let (path, facts) = if second_counts { (v1, second) } else { (v2, first) };
        let mut container = facts.container;
        if container.is_none() && namespaced && facts.unit.is_empty() {
            container = guess(path);
        }
        Self { path: path.into(), container, pod_uid: facts.pod_uid, systemd_unit: facts.unit }
    }
}

fn is_root(path: &str) -> bool {
    path.is_empty() || path == "/"
}

/// What one path tells.
#[derive(Default)]
struct Facts {
    container: Option<Container>,
    pod_uid: String,
    unit: String,
}

impl Facts {
    fn read(path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | "." | ".." | "…")).collect();
        let found = (0..parts.len()).rev().find_map(|at| Some((at, container_at(&parts, at)?)));
        let outermost = (0..parts.len()).find(|at| container_at(&parts, *at).is_some()).unwrap_or(parts.len());
        let (end, container) = match found {
            Some((at, container)) => (at, Some(container)),
            None => (parts.len(), None),
        };
        // A unit below a container's group is of a systemd inside it.
        let above = parts.get(..outermost).unwrap_or_default();
        let upto = parts.get(..=end).unwrap_or(&parts);
        let pod_uid = (0..upto.len()).rev().find_map(|at| pod_at(upto, at)).unwrap_or_default();
        Self { container, pod_uid, unit: unit(above) }
    }
}

/// Prefixes of the names of containers' groups; behind them stands an id of hexadecimal digits.
const PREFIXES: [(&str, Runtime); 6] = [
    ("cri-containerd-", Runtime::Containerd),
    ("crio-", Runtime::CriO),
    ("docker-", Runtime::Docker),
    ("libpod-payload-", Runtime::Podman),
    ("libpod-", Runtime::Podman),
    ("nerdctl-", Runtime::Containerd),
];

/// The container that the component at `at` is the group of.
fn container_at(parts: &[&str], at: usize) -> Option<Container> {
    let name = *parts.get(at)?;
    let above = |levels: usize| at.checked_sub(levels).and_then(|at| parts.get(at)).copied().unwrap_or_default();
    let container = |runtime, id: &str| Some(Container { id: id.to_owned(), runtime });

    // `slice:prefix:id`, meant for systemd and taken for a name by the cgroupfs driver.
    if let Some((head, id)) = name.rsplit_once(':') {
        let (_, prefix) = head.rsplit_once(':')?;
        let (_, runtime) = PREFIXES.iter().find(|(known, _)| known.strip_suffix('-') == Some(prefix))?;
        return if is_id(id) { container(*runtime, id) } else { None };
    }
    let scope = name.strip_suffix(".scope");
    let stem = scope.unwrap_or(name);
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = stem.strip_prefix(prefix)
            && is_id(id)
        {
            return container(runtime, id);
        }
    }
    if let Some(id) = scope.and_then(|stem| stem.strip_prefix("runc-").or_else(|| stem.strip_prefix("crun-")))
        && !id.is_empty()
    {
        return container(Runtime::Runc, &unescape(id));
    }
    if let Some(id) = name.strip_prefix("lxc.payload.")
        && !id.is_empty()
    {
        return container(Runtime::Lxc, id);
    }
    if let Some(id) = name.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service")) {
        return container(Runtime::Nspawn, &unescape(id));
    }
    match above(1) {
        "lxc" | "lxc.payload" => return container(Runtime::Lxc, name),
        "buildkit" if above(2) == "docker" => return container(Runtime::Docker, name),
        // `ctr --namespace`, and nerdctl without systemd: any name will do as an id.
        "default" | "k8s.io" if at == 1 => return container(Runtime::Containerd, name),
        // A task of AWS Fargate: `<task>-<number>`.
        _ if at == 2 && parts.first() == Some(&"ecs") => return container(Runtime::Docker, name),
        _ => {}
    }
    if name.len() == 64 && is_id(name) {
        let runtime = match above(1) {
            "docker" | "moby" | "actions_job" => Runtime::Docker,
            "libpod_parent" => Runtime::Podman,
            _ => Runtime::Unknown,
        };
        return container(runtime, name);
    }
    None
}

/// Ids have 64 digits; some tools cut them to 12.
fn is_id(text: &str) -> bool {
    (12..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The UID of the pod that the component at `at` is the group of.
fn pod_at(parts: &[&str], at: usize) -> Option<String> {
    let name = parts.get(at)?.split(':').next()?;
    if let Some(stem) = name.strip_suffix(".slice") {
        // systemd style: a dash would open a level of slices, so the kubelet writes the UID's as underscores.
        let (head, uid) = stem.rsplit_once("-pod")?;
        return (head.contains("kubepods") && is_uid(uid)).then(|| uid.replace('_', "-"));
    }
    let uid = name.strip_prefix("pod")?;
    let of_kubelet = || parts.iter().take(at).any(|part| part.contains("kubepods"));
    (is_uid(uid) && (looks_unique(uid) || of_kubelet())).then(|| uid.to_owned())
}

fn is_uid(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A UUID, or the digest that the kubelet gives a static pod: told for what it is without its parent's name.
fn looks_unique(uid: &str) -> bool {
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = uid.bytes().filter(|byte| *byte == b'-').count();
    digits == 32 && digits + dashes == uid.len() && matches!(dashes, 0 | 4)
}

/// The unit in a path of slices, then a unit, then what the unit does below it.
fn unit(parts: &[&str]) -> String {
    let mut unit = String::new();
    for part in parts {
        let name = unescape(part.strip_prefix('_').unwrap_or(part));
        if name.ends_with(".slice") {
            continue;
        }
        if !is_unit(&name) || (!unit.is_empty() && name == "init.scope") {
            break;
        }
        let manager = unit.is_empty() && name.starts_with("user@") && name.ends_with(".service");
        unit = name;
        if !manager {
            break;
        }
    }
    unit
}

fn is_unit(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, kind)| !stem.is_empty() && matches!(kind, "service" | "scope" | "mount" | "socket" | "swap"))
}

/// Undoes systemd's `\x2d`.
fn unescape(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let value = part
            .get(..2)
            .and_then(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok()).flatten());
        match value {
            Some(value) => {
                bytes.push(value);
                bytes.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The container of a process in a pid namespace of its own whose group follows no runtime's habits.
fn guess(path: &str) -> Option<Container> {
    let leaf = path.rsplit('/').next()?;
    let taken = matches!(leaf, "" | ".." | "init") || leaf.ends_with(".slice") || leaf.starts_with("openrc.");
    let monitor = leaf.contains("conmon-") || leaf.starts_with("lxc.monitor");
    (!taken && !monitor).then(|| Container { id: leaf.to_owned(), runtime: Runtime::Unknown })
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
