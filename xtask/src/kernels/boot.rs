//! Running a guest: QEMU, its console, and a deadline.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::archive::Kernel;
use super::guest::{Guest, Preempt};
use crate::process::line;
use crate::workspace::Arch;

/// The self-test's last line, before the number of checks.
const PASSED: &str = "SELFTEST PASSED";
const FAILED: &str = "SELFTEST FAILED";
/// What the guest's own scripts say begins with this.
const GUEST: &str = "GUEST ";
/// A kernel that says one of these is broken, whatever the self-test found.
const KERNEL_TROUBLE: [&str; 6] = ["Kernel panic", "Oops", "BUG: ", "general protection fault", "rcu: INFO:", "soft lockup"];

/// How guests are run.
#[derive(Debug)]
pub struct Machine {
    /// From power-on to power-off.
    pub deadline: Duration,
    /// Print the console as it comes.
    pub verbose: bool,
}

impl Machine {
    /// Boots a guest and returns how many checks its self-test passed.
    ///
    /// # Errors
    /// When QEMU does not start, the guest takes too long, its kernel breaks or its self-test fails; the console is printed then.
    pub fn boot(&self, guest: Guest, preempt: Preempt, kernel: &Kernel, image: &Path) -> Result<u64> {
        let mut command = qemu(guest.arch(), preempt, &kernel.image, image);
        println!("    booting {} with preempt={}", kernel.version, preempt.name());
        println!("    $ {}", line(&command));
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}: run `cargo xtask setup --kernels`", line(&command)))?;
        let mut guest = Running { child };
        let started = Instant::now();
        let mut console = Vec::new();
        let result = guest.console().and_then(|lines| self.follow(&lines, started + self.deadline, &mut console));
        drop(guest);
        println!("    the guest ran for {:.1} s", started.elapsed().as_secs_f64());
        result.and_then(|()| judge(&console)).inspect_err(|_| {
            if !self.verbose {
                println!("---- the guest's console ----");
                console.iter().for_each(|line| println!("  | {line}"));
                println!("---- end of the guest's console ----");
            }
        })
    }

    /// Reads the console to its end, which is when the guest is off.
    fn follow(&self, lines: &Receiver<String>, deadline: Instant, console: &mut Vec<String>) -> Result<()> {
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if self.verbose || [PASSED, FAILED, GUEST].iter().any(|word| line.starts_with(word)) {
                        println!("  | {line}");
                    }
                    console.push(line);
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => bail!("the guest did not switch off within {} s (--deadline)", self.deadline.as_secs()),
            }
        }
    }
}

/// A guest that ends with this value.
struct Running {
    child: Child,
}

impl Running {
    /// The lines of the console, and of what QEMU itself complains of.
    fn console(&mut self) -> Result<Receiver<String>> {
        let (sender, receiver) = mpsc::channel();
        let console = self.child.stdout.take().context("QEMU's output is not a pipe")?;
        let complaints = self.child.stderr.take().context("QEMU's error output is not a pipe")?;
        let pipes: [Box<dyn Read + Send>; 2] = [Box::new(console), Box::new(complaints)];
        for pipe in pipes {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                    let line = crate::process::without_colours(&String::from_utf8_lossy(&line));
                    if sender.send(line.trim_end().to_owned()).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(receiver)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of a guest that switched itself off this is only the collection of its exit status.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn qemu(arch: Arch, preempt: Preempt, kernel: &Path, image: &Path) -> Command {
    let (program, machine, processor, console) = match arch {
        // With cx16 left on, guests oopsed under emulation.
        Arch::X86_64 => ("qemu-system-x86_64", "q35", "max,-cx16,-pku", "ttyS0"),
        Arch::Aarch64 => ("qemu-system-aarch64", "virt", "max", "ttyAMA0"),
    };
    let mut command = Command::new(program);
    command
        .args(["-M", machine, "-cpu", processor, "-accel", "tcg,thread=multi"])
        .args(["-smp", "2", "-m", "1024", "-nic", "none", "-no-reboot"])
        .args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(image)
        .arg("-append")
        .arg(format!("console={console} panic=-1 quiet preempt={}", preempt.name()));
    command
}

/// What a whole console says.
fn judge(console: &[String]) -> Result<u64> {
    if let Some(trouble) = console.iter().find(|line| KERNEL_TROUBLE.iter().any(|sign| line.contains(sign))) {
        bail!("the guest's kernel is in trouble: {trouble}");
    }
    if console.iter().any(|line| line.contains(FAILED)) {
        bail!("the self-test failed in the guest");
    }
    let Some(line) = console.iter().find(|line| line.contains(PASSED)) else {
        bail!("the guest ended without a result of the self-test");
    };
    line.split(PASSED)
        .nth(1)
        .and_then(|count| count.split_whitespace().next())
        .and_then(|count| count.parse().ok())
        .with_context(|| format!("reading the number of checks from {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn only_a_passed_self_test_on_a_sound_kernel_is_a_success() -> Result<()> {
        assert_eq!(judge(&console("GUEST up\nSELFTEST PASSED 12\nGUEST off"))?, 12);
        for bad in [
            "",
            "GUEST up",
            "SELFTEST FAILED",
            "SELFTEST PASSED",
            "SELFTEST PASSED 3\nBUG: unable to handle page fault",
            "SELFTEST PASSED 3\nSELFTEST FAILED",
        ] {
            assert!(judge(&console(bad)).is_err(), "{bad:?}");
        }
        Ok(())
    }
}
