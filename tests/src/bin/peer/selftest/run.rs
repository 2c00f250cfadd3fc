//! Running one case's processes.

use super::cases::{Case, Exit};
use crate::process;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How long a case's processes may take.
const CASE: Duration = Duration::from_secs(90);

/// A case under way.
pub struct Running {
    pub case: Case,
    pub directory: PathBuf,
    children: Vec<(Child, PathBuf)>,
    gate: PathBuf,
    patience: u32,
}

/// Why a case says nothing about the sensor.
pub enum Trouble {
    Skipped(String),
    Failed(String),
}

impl Running {
    pub fn start(case: Case, parent: &Path, patience: u32) -> Result<Self> {
        let directory = parent.join(&case.name);
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        for old in fs::read_dir(&directory)? {
            fs::remove_file(old?.path())?;
        }
        let gate = directory.join("gate");
        let mut children = Vec::new();
        for (number, words) in case.commands.iter().enumerate() {
            let stderr = directory.join(format!("stderr-{number}"));
            let mut command = process::command(words)?;
            command
                .env("TRUTH_DIR", &directory)
                .env("TRUTH_SESSION", format!("{}-{number}", case.name))
                .env_remove("GATE")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::from(File::create(&stderr)?));
            if case.late {
                command.env("GATE", &gate);
            }
            children.push((command.spawn().with_context(|| format!("cannot start {words:?}"))?, stderr));
        }
        Ok(Self { case, directory, children, gate, patience })
    }

    /// Waits until every process stands before the gate.
    pub fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + CASE * self.patience;
        for (child, stderr) in &mut self.children {
            while !fs::read_to_string(&stderr)?.lines().any(|line| line == "ready") {
                if child.try_wait()?.is_some() || Instant::now() > deadline {
                    bail!("{}: not ready: {}", self.case.name, fs::read_to_string(&stderr)?);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    pub fn open_gate(&mut self) -> Result<()> {
        File::create(&self.gate)?;
        Ok(())
    }

    /// Waits for the end of all. What went wrong, if anything.
    pub fn wait(&mut self) -> Result<Option<Trouble>> {
        if self.case.late {
            self.open_gate()?;
        }
        let mut trouble = None;
        for (child, stderr) in &mut self.children {
            let status = process::wait(child, CASE * self.patience);
            let said = fs::read_to_string(&stderr)?;
            let last: String = said.lines().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("; ");
            match (status, self.case.exit) {
                (Ok(status), Exit::Ok) if status.success() => {}
                (Ok(status), Exit::Killed) if status.signal() == Some(libc::SIGKILL) => {}
                (Ok(status), _) if status.code() == Some(process::SKIPPED) => trouble = trouble.or(Some(Trouble::Skipped(last))),
                (Ok(status), _) => trouble = Some(Trouble::Failed(format!("{status}: {last}"))),
                (Err(error), _) => trouble = Some(Trouble::Failed(format!("{error:#}: {last}"))),
            }
        }
        self.settle();
        Ok(trouble)
    }

    /// Servers that outlive a killed client end by themselves; their logs are whole a moment later.
    fn settle(&self) {
        if self.case.exit == Exit::Killed {
            let deadline = Instant::now() + Duration::from_secs(10) * self.patience;
            let ended = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.contains("\"end\":true"));
            let servers = || fs::read_dir(&self.directory).into_iter().flatten().flatten().map(|entry| entry.path());
            let is_server = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"server-"));
            while !servers().filter(is_server).all(|path| ended(&path)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
