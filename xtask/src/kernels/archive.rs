//! Debian packages that are unpacked but not installed: kernels, a static busybox, Rust's library for arm64.
//!
//! They come by apt-get with package lists and state of our own, so the machine's apt learns neither of backports nor of a
//! foreign architecture. The mirror is the one the machine's own lists name.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::guest::Guest;
use crate::ebpf::toolchain::DEBIAN_RUSTC;
use crate::privilege::as_root;
use crate::process::{output, run};
use crate::workspace::Arch;

/// The release whose kernels, busybox and Rust are used, whatever release this machine runs.
const RELEASE: &str = "bookworm";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A folder of unpacked packages.
#[derive(Debug)]
pub struct Archive {
    folder: PathBuf,
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
        fs::create_dir_all(&folder).with_context(|| {
            format!("creating the cache {}: choose another with --cache", folder.display())
        })?;
        Ok(Self { folder })
    }

    /// A guest's kernel, downloaded if it is not in the cache.
    ///
    /// # Errors
    /// When it cannot be downloaded.
    pub fn kernel(&self, guest: Guest) -> Result<Kernel> {
        let folder = self.unpacked(&format!("linux-{}", guest.name()), |folder| {
            let package = self.kernel_package(guest)?;
            self.fetch(&[&package], folder)
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
            .with_context(|| {
                format!("looking for a kernel in {}: remove {} and try again", boot.display(), folder.display())
            })?;
        println!("    kernel {version} from {}", folder.display());
        Ok(Kernel { image, version })
    }

    /// A static busybox.
    ///
    /// # Errors
    /// When it cannot be downloaded.
    pub fn busybox(&self, arch: Arch) -> Result<PathBuf> {
        let folder = self.unpacked(&format!("busybox-{arch}"), |folder| {
            self.fetch(&[&format!("busybox-static:{}", arch.debian())], folder)
        })?;
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
        let folder = self.unpacked(&name, |folder| {
            self.fetch(&[&format!("libstd-rust-web-dev:{}={version}", arch.debian())], folder)
        })?;
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
        self.update()?;
        let debian = guest.arch().debian();
        let meta = format!("linux-image-cloud-{debian}:{debian}");
        let records = output(self.apt("apt-cache")?.args(["show", &meta]))?;
        newest_kernel(&records, guest.series())
            .map(|package| format!("{package}:{debian}"))
            .with_context(|| format!("looking for a kernel {}* among the versions of {meta}", guest.series()))
    }

    fn fetch(&self, packages: &[&str], into: &Path) -> Result<()> {
        let downloads = into.join("download");
        fs::create_dir(&downloads).with_context(|| format!("creating {}", downloads.display()))?;
        self.update()?;
        run(self.apt("apt-get")?.current_dir(&downloads).arg("-q").arg("download").args(packages))
            .context("downloading Debian packages")?;
        for entry in fs::read_dir(&downloads).with_context(|| format!("listing {}", downloads.display()))? {
            let package = entry.with_context(|| format!("listing {}", downloads.display()))?.path();
            run(Command::new("dpkg").arg("-x").arg(&package).arg(into))
                .with_context(|| format!("unpacking {}", package.display()))?;
        }
        fs::remove_dir_all(&downloads).with_context(|| format!("removing {}", downloads.display()))
    }

    /// Writes our sources list and refreshes our package lists. Cheap when they are fresh.
    fn update(&self) -> Result<()> {
        let state = self.folder.join("apt");
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            let folder = state.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        for (name, content) in [("status", String::new()), ("sources.list", sources_list(&mirrors()?))] {
            let path = state.join(name);
            fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        }
        run(self.apt("apt-get")?.args(["update", "-qq"])).context("refreshing the package lists of the kernel matrix")
    }

    fn apt(&self, program: &str) -> Result<Command> {
        let state = self.folder.join("apt");
        let mut command = Command::new(program);
        for (option, path) in [
            ("Dir::State", "state"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
            ("Dir::Etc::sourcelist", "sources.list"),
        ] {
            // apt takes a path that does not start with a slash as relative to its own folders.
            let path = std::path::absolute(state.join(path)).context("making the cache's path absolute")?;
            command.arg("-o").arg(format!("{option}={}", path.display()));
        }
        command
            .args(["-o", "Dir::Etc::sourceparts=-"])
            // No "not found" for packages of the other architecture, and no sandbox user who may not write here.
            .args(["-o", "APT::Architectures::=amd64", "-o", "APT::Architectures::=arm64"])
            .args(["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3"]);
        Ok(command)
    }
}

/// The mirrors of this machine.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mirrors {
    main: String,
    security: Option<String>,
}

fn mirrors() -> Result<Mirrors> {
    let list = || output(Command::new("apt-get").args(["indextargets", "--format", "$(RELEASE) $(ORIGIN) $(REPO_URI)"]));
    if let Some(mirrors) = parse_mirrors(&list()?) {
        return Ok(mirrors);
    }
    // apt names only what it has once seen.
    run(as_root("apt-get", "refresh the package lists")?.args(["update", "-qq"]))
        .context("refreshing the package lists: is a Debian mirror reachable?")?;
    match parse_mirrors(&list()?) {
        Some(mirrors) => Ok(mirrors),
        None => bail!("apt-get knows no Debian mirror: check /etc/apt/sources.list and /etc/apt/sources.list.d"),
    }
}

/// Reads lines of `release origin uri`.
fn parse_mirrors(list: &str) -> Option<Mirrors> {
    let mut main = None;
    let mut security = None;
    for line in list.lines() {
        let mut words = line.splitn(3, ' ');
        let (Some(release), Some("Debian"), Some(uri)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        if release.ends_with("-security") {
            security.get_or_insert_with(|| uri.to_owned());
        } else if !release.contains('-') {
            main.get_or_insert_with(|| uri.to_owned());
        }
    }
    main.map(|main| Mirrors { main, security })
}

fn sources_list(mirrors: &Mirrors) -> String {
    let signed_by = if Path::new(KEYRING).exists() { format!(" signed-by={KEYRING}") } else { String::new() };
    let mut list = String::new();
    let mut add = |uri: &str, suite: &str| {
        list.push_str(&format!("deb [arch=amd64,arm64{signed_by}] {uri} {suite} main\n"));
    };
    add(&mirrors.main, RELEASE);
    add(&mirrors.main, &format!("{RELEASE}-backports"));
    if let Some(security) = &mirrors.security {
        add(security, &format!("{RELEASE}-security"));
    }
    list
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

    #[test]
    fn only_debians_own_mirrors_are_used() {
        let list = "nodistro . mirror:/others/\nbookworm-updates Debian mirror:/debian/\nbookworm Debian mirror:/debian/\nbookworm-security Debian mirror:/security/\n";
        assert_eq!(
            parse_mirrors(list),
            Some(Mirrors { main: "mirror:/debian/".to_owned(), security: Some("mirror:/security/".to_owned()) })
        );
        assert_eq!(parse_mirrors("nodistro . mirror:/others/\n"), None);
    }
}
