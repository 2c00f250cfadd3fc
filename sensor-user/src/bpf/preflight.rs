//! What this kernel and these privileges allow, item by item. Nothing is attached.

use super::{
    load::{Options, Programs, VerifiedProgram},
    offsets::KERNEL_BTF,
};
use std::{fs, path::Path};

/// How an item turned out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Capture works, less something.
    Warning,
    /// Not there.
    Missing,
}

/// One thing that capture rests on.
#[derive(Clone, Debug)]
pub struct CheckItem {
    /// Its name.
    pub name: &'static str,
    /// How it turned out.
    pub state: CheckState,
    /// Whether capture needs it.
    pub required: bool,
    /// What was found.
    pub detail: String,
    /// How to mend it; empty where nothing needs mending.
    pub mend: String,
}

/// Capabilities: bit, name, whether capture needs it, what it is for (include/uapi/linux/capability.h).
const CAPABILITIES: [(u32, &str, bool, &str); 6] = [
    (39, "CAP_BPF", true, "to load kernel programs and maps"),
    (38, "CAP_PERFMON", true, "for programs that read kernel memory"),
    (19, "CAP_SYS_PTRACE", false, "to hash executables of other users"),
    (2, "CAP_DAC_READ_SEARCH", false, "to read executables and /proc of other users"),
    (40, "CAP_CHECKPOINT_RESTORE", false, "to open files that a process has mapped"),
    (5, "CAP_KILL", false, "to stop and kill processes, where enforcement is on"),
];
const CAP_SYS_ADMIN: u32 = 21;

/// Tries everything that capture rests on; gives the items and, where loading worked, the programs.
#[must_use]
pub fn preflight(options: Options) -> (Vec<CheckItem>, Vec<VerifiedProgram>) {
    let mut items = vec![kernel(), types()];
    items.extend(capabilities());
    items.push(proc_is_host());
    let programs = match Programs::load(options) {
        Ok(programs) => {
            let verified = programs.verified();
            items.push(loaded(&verified));
            items.push(io_uring(&verified));
            verified
        }
        Err(error) => {
            items.push(CheckItem {
                name: "kernel programs",
                state: CheckState::Missing,
                required: true,
                detail: error.to_string(),
                mend: "mend what is missing above; if nothing is, this kernel refuses the programs: please report it with \
                       this text and the output of `uname -a`"
                    .to_owned(),
            });
            Vec::new()
        }
    };
    (items, programs)
}

fn ok(name: &'static str, required: bool, detail: String) -> CheckItem {
    CheckItem { name, state: CheckState::Ok, required, detail, mend: String::new() }
}

fn kernel() -> CheckItem {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    let detail = format!("{} on {}", release, name.machine().to_string_lossy());
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (5, 17) {
        return ok("kernel", true, detail);
    }
    CheckItem {
        name: "kernel",
        state: CheckState::Missing,
        required: true,
        detail: format!("{detail}: the programs need bpf_loop, which came with 5.17"),
        mend: "use a kernel of 5.17 or newer (6.1 and newer are tested)".to_owned(),
    }
}

fn types() -> CheckItem {
    if Path::new(KERNEL_BTF).exists() {
        return ok("kernel types (BTF)", true, KERNEL_BTF.to_owned());
    }
    CheckItem {
        name: "kernel types (BTF)",
        state: CheckState::Missing,
        required: true,
        detail: format!("{KERNEL_BTF} is not there"),
        mend: "mount sysfs at /sys; else use a kernel built with CONFIG_DEBUG_INFO_BTF=y (distribution kernels are)".to_owned(),
    }
}

fn capabilities() -> Vec<CheckItem> {
    let held = effective_capabilities();
    let has = |bit: u32| held.is_none_or(|set| set >> bit & 1 == 1);
    CAPABILITIES
        .iter()
        .map(|&(bit, name, required, purpose)| {
            // CAP_SYS_ADMIN includes what CAP_BPF and CAP_PERFMON were split off from it for.
            if has(bit) || (matches!(bit, 38..=40) && has(CAP_SYS_ADMIN)) {
                return ok(name, required, purpose.to_owned());
            }
            CheckItem {
                name,
                state: if required { CheckState::Missing } else { CheckState::Warning },
                required,
                detail: format!("not held; it is needed {purpose}"),
                mend: format!("run as root (sudo), or grant {name} (systemd: AmbientCapabilities=, Kubernetes: capabilities.add)"),
            }
        })
        .collect()
}

/// True where this process may send signals to those of other users (CAP_KILL), as far as is known.
#[must_use]
pub fn may_signal() -> bool {
    const CAP_KILL: u32 = 5;
    effective_capabilities().is_none_or(|held| held >> CAP_KILL & 1 == 1)
}

/// The set of effective capabilities; `None` where /proc does not tell.
fn effective_capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn proc_is_host() -> CheckItem {
    const NAME: &str = "/proc of the host";
    if crate::identity::proc_is_host() {
        return ok(NAME, false, "the processes of the whole host are visible".to_owned());
    }
    CheckItem {
        name: NAME,
        state: CheckState::Warning,
        required: false,
        detail: "this process has a pid namespace of its own: processes older than the sensor stay without a name".to_owned(),
        mend: "run in the host's pid namespace (docker: --pid=host, Kubernetes: hostPID: true)".to_owned(),
    }
}

fn loaded(programs: &[VerifiedProgram]) -> CheckItem {
    let names: Vec<_> = programs.iter().map(|program| program.name.as_str()).collect();
    ok("kernel programs", true, format!("accepted: {}", names.join(", ")))
}

fn io_uring(programs: &[VerifiedProgram]) -> CheckItem {
    const NAME: &str = "io_uring";
    if programs.iter().any(|program| program.name == "io_uring_complete") {
        return ok(NAME, false, "completions are seen".to_owned());
    }
    CheckItem {
        name: NAME,
        state: CheckState::Warning,
        required: false,
        detail: "this kernel has no tracepoint for its completions: what is written through it is taken at the reader".to_owned(),
        mend: "none needed where io_uring is off (kernel.io_uring_disabled=2) or not built in".to_owned(),
    }
}
