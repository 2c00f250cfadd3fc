//! `cargo xtask kernels`: the sensor's self-test on other kernels, booted in QEMU.
//!
//! A guest is a stock Debian kernel and an initramfs that holds busybox, the agent and the test peer. QEMU emulates
//! (no KVM), so nothing here needs root, and timing in a guest means nothing. The matrix exists because the machine at hand has
//! one kernel, and the losses and corruptions worth fearing show only with full preemption and on other versions.

mod apt;
mod archive;
mod boot;
mod guest;
mod image;
mod initramfs;
mod programs;

use anyhow::{Context, Result};
use clap::Args as ClapArgs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::ebpf::Object;
use crate::privilege;
use crate::report::Report;
use crate::setup::{self, Group};
use crate::workspace::{Arch, Workspace};
use archive::Archive;
use boot::Machine;
use guest::{Guest, Preempt};

/// Boot Debian kernels in QEMU and run the sensor's self-test in each.
#[derive(ClapArgs)]
#[command(after_help = "\
Kernels are downloaded once (with apt-get, from the mirror this machine already uses) and kept.

Examples:
  cargo xtask kernels                                   the whole matrix, fully preemptible
  cargo xtask kernels --short                           6.12 only
  cargo xtask kernels --kernel 6.1 --preempt voluntary  one kernel, as servers run it
  cargo xtask kernels --kernel arm64-6.1 --verbose      with the guest's console
  cargo xtask kernels --short -- --cases 'pipe*'        some cases of the self-test")]
pub struct Args {
    /// Only the newest x86-64 kernel.
    #[arg(long, conflicts_with = "kernel")]
    short: bool,
    /// A kernel to boot; may be repeated.
    #[arg(long, value_enum)]
    kernel: Vec<Guest>,
    /// How the guest kernel preempts; may be repeated.
    #[arg(long, value_enum, default_values_t = [Preempt::Full])]
    preempt: Vec<Preempt>,
    /// Print the guest's console as it comes (it is always printed after a failure).
    #[arg(long)]
    verbose: bool,
    /// Seconds a guest may take, from power-on to power-off.
    #[arg(long, default_value_t = 600, value_name = "N")]
    deadline: u64,
    /// Where downloaded kernels are kept [default: /var/cache/mcp-sensor-kernels as root, target/kernels/cache otherwise].
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Further arguments for `peer selftest` in the guest.
    #[arg(last = true)]
    selftest: Vec<String>,
}

/// Runs `cargo xtask kernels`.
///
/// # Errors
/// When a tool is missing and cannot be installed; failing guests are told in the report and by the exit code.
pub fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let guests = match (args.short, args.kernel.as_slice()) {
        (true, _) => vec![Guest::SHORT],
        (false, []) => Guest::ALL.to_vec(),
        (false, chosen) => chosen.to_vec(),
    };
    let mut groups = vec![Group::KernelsX86];
    if guests.iter().any(|guest| guest.arch() == Arch::Aarch64) {
        groups.push(Group::KernelsArm);
    }
    setup::ensure(workspace, &groups)?;

    let matrix = Matrix {
        workspace,
        archive: Archive::open(args.cache.clone().unwrap_or_else(|| default_cache(workspace)))?,
        object: &Object::Committed,
        machine: Machine { deadline: Duration::from_secs(args.deadline), verbose: args.verbose },
        selftest: &args.selftest,
    };
    let mut report = Report::new();
    for guest in guests {
        for preempt in &args.preempt {
            let name = format!("kernel {} preempt={}", guest.name(), preempt.name());
            report.part(&name, |counts| {
                counts.passed = matrix.boot(guest, *preempt)?;
                Ok(())
            });
        }
    }
    report.print();
    Ok(if report.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Cases of the self-test that say most about a kernel: every way of moving bytes by pipes and over TCP, several threads.
const SHORT_CASES: &str = "pipe*,tcp4*,threads*,late*";

/// The matrix in short form, as one part of a test run: one kernel, fully preemptible, some cases. Returns how many passed.
///
/// # Errors
/// When the guest cannot be built or booted, or its self-test fails.
pub fn short(workspace: &Workspace, object: &Object) -> Result<u64> {
    let selftest = ["--cases".to_owned(), SHORT_CASES.to_owned()];
    let matrix = Matrix {
        workspace,
        archive: Archive::open(default_cache(workspace))?,
        object,
        machine: Machine { deadline: Duration::from_secs(600), verbose: false },
        selftest: &selftest,
    };
    matrix.boot(Guest::SHORT, Preempt::Full)
}

fn default_cache(workspace: &Workspace) -> PathBuf {
    if privilege::is_root() { PathBuf::from("/var/cache/mcp-sensor-kernels") } else { workspace.target.join("kernels").join("cache") }
}

/// What all guests of one run share.
struct Matrix<'a> {
    workspace: &'a Workspace,
    archive: Archive,
    object: &'a Object,
    machine: Machine,
    /// Further arguments for the self-test.
    selftest: &'a [String],
}

impl Matrix<'_> {
    /// Builds and boots one guest. Returns how many checks its self-test passed.
    fn boot(&self, guest: Guest, preempt: Preempt) -> Result<u64> {
        let kernel = self.archive.kernel(guest).with_context(|| format!("getting the kernel {}", guest.name()))?;
        let busybox = self.archive.busybox(guest.arch())?;
        let programs = programs::build(self.workspace, &self.archive, guest.arch(), self.object)
            .with_context(|| format!("building the programs of the {} guest", guest.arch()))?;
        let image = image::write(self.workspace, guest.arch(), &busybox, &programs, self.selftest)?;
        self.machine.boot(guest, preempt, &kernel, &image)
    }
}
