//! The cache of unpacked Debian packages: kernels, a static busybox, Rust's library for arm64.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt::Apt;
use super::guest::Guest;
use crate::ebpf::toolchain::DEBIAN_RUSTC;
use crate::process::output;
use crate::workspace::Arch;

/// A folder of unpacked packages.
#[derive(Debug)]
pub struct Archive {
    folder: PathBuf,
    apt: Apt,
}

/// An unpacked kernel.
#[derive(Debug)]
pub struct Kernel {
    /// The bootable image.
    pub image: PathBuf,
    /// Its full version, as `uname -r` will say.
    pub version: String,
}

impl Archive {
    /// Opens the cache, or begins one.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn open(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("creating the cache {}: choose another with --cache", folder.display()))?;
        let folder = fs::canonicalize(&folder).with_context(|| format!("resolving the path {}", folder.display()))?;
        let apt = Apt::new(folder.join("apt"));
        Ok(Self { folder, apt })
    }

    /// A guest's kernel, downloaded if it is not in the cache.
    ///
    /// # Errors
    /// When it cannot be downloaded.
    pub fn kernel(&self, guest: Guest) -> Result<Kernel> {
        let folder = self.unpacked(&format!("linux-{}", guest.name()), |folder| {
            let package = self.kernel_package(guest)?;
            self.apt.fetch(&[&package], folder)
        })?;
        let boot = folder.join("boot");
        let (image, version) = fs::read_dir(&boot)
            .with_context(|| format!("listing {}", boot.display()))?
            .flatten()
            .find_map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                let version = name.strip_prefix("vmlinuz-")?.to_owned();
                Some((entry.path(), version))
            })
            .with_context(|| format!("looking for a kernel in {}: remove {} and try again", boot.display(), folder.display()))?;
        println!("    kernel {version} from {}", folder.display());
        Ok(Kernel { image, version })
    }

    /// A static busybox.
    ///
    /// # Errors
    /// When it cannot be downloaded.
    pub fn busybox(&self, arch: Arch) -> Result<PathBuf> {
        let folder =
            self.unpacked(&format!("busybox-{arch}"), |folder| self.apt.fetch(&[&format!("busybox-static:{}", arch.debian())], folder))?;
        ["bin/busybox", "usr/bin/busybox"]
            .iter()
            .map(|path| folder.join(path))
            .find(|path| path.is_file())
            .with_context(|| format!("looking for busybox in {}", folder.display()))
    }

    /// The folder of Rust's standard library for a foreign architecture, of exactly the version of Debian's compiler.
    ///
    /// # Errors
    /// When Debian's compiler is not installed, or the library cannot be downloaded.
    pub fn rust_library(&self, arch: Arch) -> Result<PathBuf> {
        let version = output(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", "rustc-web"]))
            .with_context(|| format!("asking which package brought {DEBIAN_RUSTC}: run `cargo xtask setup --kernels`"))?;
        let name = format!("rust-{}-{arch}", version.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "_"));
        let folder =
            self.unpacked(&name, |folder| self.apt.fetch(&[&format!("libstd-rust-web-dev:{}={version}", arch.debian())], folder))?;
        Ok(folder.join("usr/lib/rustlib").join(arch.target()).join("lib"))
    }

    /// The folder `name` of the cache, filled by `fill` if it is not there yet: whole or not at all.
    fn unpacked(&self, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.is_dir() {
            return Ok(folder);
        }
        let unfinished = self.folder.join(format!("{name}.{}", std::process::id()));
        fs::create_dir_all(&unfinished).with_context(|| format!("creating {}", unfinished.display()))?;
        fill(&unfinished).inspect_err(|_| {
            // Whatever went wrong matters more than what is left of it.
            let _ = fs::remove_dir_all(&unfinished);
        })?;
        match fs::rename(&unfinished, &folder) {
            Ok(()) => Ok(folder),
            // Another run was faster; its result is as good.
            Err(_) if folder.is_dir() => {
                let _ = fs::remove_dir_all(&unfinished);
                Ok(folder)
            }
            Err(error) => Err(error).with_context(|| format!("moving {} into place", unfinished.display())),
        }
    }

    /// The package with a guest's kernel, which a package without a version in its name depends on.
    fn kernel_package(&self, guest: Guest) -> Result<String> {
        let debian = guest.arch().debian();
        let meta = format!("linux-image-cloud-{debian}:{debian}");
        let records = self.apt.show(&meta)?;
        newest_kernel(&records, guest.series())
            .map(|package| format!("{package}:{debian}"))
            .with_context(|| format!("looking for a kernel {}* among the versions of {meta}", guest.series()))
    }
}

/// Among the records of `apt-cache show`, newest first, the kernel package of the first whose version is of the series.
fn newest_kernel(records: &str, series: &str) -> Option<String> {
    records.split("\n\n").find_map(|record| {
        let field = |name: &str| record.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if !field("Version")?.starts_with(series) {
            return None;
        }
        let dependency = field("Depends")?.split([',', ' ']).next()?;
        Some(dependency.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_of_the_series_is_chosen() {
        let records = "Package: linux-image-cloud-amd64\nVersion: 6.12.95-1~bpo12+1\nDepends: linux-image-6.12.95+deb12-cloud-amd64 (= 6.12.95-1~bpo12+1)\n\n\
                       Package: linux-image-cloud-amd64\nVersion: 6.1.192-2\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n\n\
                       Package: linux-image-cloud-amd64\nVersion: 6.1.176-1\nDepends: linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)\n";
        assert_eq!(newest_kernel(records, "6.1.").as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(newest_kernel(records, "6.12.").as_deref(), Some("linux-image-6.12.95+deb12-cloud-amd64"));
        assert_eq!(newest_kernel(records, "5.10."), None);
    }
}
