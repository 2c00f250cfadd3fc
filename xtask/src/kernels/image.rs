//! What is inside a guest's initramfs.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

use super::initramfs::Initramfs;
use super::programs::Programs;
use crate::process::quoted;
use crate::workspace::{Arch, Workspace};

/// The first process; `@ARGUMENTS@` stands for further arguments of the self-test.
const INIT: &str = include_str!("init.sh");
const EMPTY_FOLDERS: [&str; 8] = ["proc", "sys", "dev", "tmp", "run", "root", "var/tmp", "mnt"];
/// What programs expect to find on any host.
const FILES: [(&str, &str); 4] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost guest\n::1 localhost\n"),
    ("etc/machine-id", "6d63702d73656e736f722d6775657374\n"),
];

/// Writes the initramfs for an architecture and returns its path.
///
/// # Errors
/// When a program cannot be read, or the image cannot be written.
pub fn write(workspace: &Workspace, arch: Arch, busybox: &Path, programs: &Programs, arguments: &[String]) -> Result<PathBuf> {
    let mut initramfs = Initramfs::default();
    for folder in EMPTY_FOLDERS {
        initramfs.folder(folder);
    }
    // Before devtmpfs is mounted, the first process's output must go somewhere.
    initramfs.device("dev/console", 5, 1);
    initramfs.device("dev/null", 1, 3);
    for (path, content) in FILES {
        initramfs.file(path, 0o644, content.as_bytes());
    }
    let arguments: Vec<String> = arguments.iter().map(|word| quoted(word.as_ref())).collect();
    let init = INIT.replace("@ARGUMENTS@", &arguments.join(" "));
    initramfs.file("init", 0o755, init.as_bytes());
    let programs_and_paths =
        [("bin/busybox", busybox), ("bin/mcp-sensor", programs.sensor.as_path()), ("bin/peer", programs.peer.as_path())];
    let libraries = programs.libraries.iter().filter_map(|library| Some((library.to_str()?.trim_start_matches('/'), library.as_path())));
    for (path, source) in programs_and_paths.into_iter().chain(libraries) {
        let content = fs::read(source).with_context(|| format!("reading {}", source.display()))?;
        initramfs.file(path, 0o755, &content);
    }
    initramfs.link("bin/sh", "busybox");

    let folder = workspace.target.join("kernels");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join(format!("initramfs-{arch}.cpio"));
    fs::write(&path, initramfs.finish()).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
