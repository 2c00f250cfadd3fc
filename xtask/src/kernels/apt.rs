//! apt-get with package lists and state of our own, so that the machine's apt learns neither of backports nor of a foreign
//! architecture. The mirror is the one the machine's own lists name.

use anyhow::{Context, Result, bail};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::privilege::as_root;
use crate::process::{output, run};

/// The release whose kernels, busybox and Rust are used, whatever release this machine runs.
const RELEASE: &str = "bookworm";
const CONFIGURATION: &str = "apt.conf";
const SOURCES: &str = "sources.list";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A private apt.
#[derive(Debug)]
pub struct Apt {
    /// Absolute: apt takes other paths as relative to its own folders.
    folder: PathBuf,
    fresh: Cell<bool>,
}

impl Apt {
    /// An apt that keeps everything below an absolute path. Nothing is written before something is asked for.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, fresh: Cell::new(false) }
    }

    /// The records of every version of a package, newest first.
    ///
    /// # Errors
    /// When the lists cannot be fetched, or there is no such package.
    pub fn show(&self, package: &str) -> Result<String> {
        self.update()?;
        output(self.apt("apt-cache").args(["show", package]))
    }

    /// Downloads packages and unpacks them into a folder.
    ///
    /// # Errors
    /// When they cannot be downloaded or unpacked.
    pub fn fetch(&self, packages: &[&str], into: &Path) -> Result<()> {
        let downloads = into.join("download");
        fs::create_dir(&downloads).with_context(|| format!("creating {}", downloads.display()))?;
        self.update()?;
        run(self.apt("apt-get").current_dir(&downloads).args(["-q", "download"]).args(packages)).context("downloading Debian packages")?;
        for entry in fs::read_dir(&downloads).with_context(|| format!("listing {}", downloads.display()))? {
            let package = entry.with_context(|| format!("listing {}", downloads.display()))?.path();
            run(Command::new("dpkg").arg("-x").arg(&package).arg(into)).with_context(|| format!("unpacking {}", package.display()))?;
        }
        fs::remove_dir_all(&downloads).with_context(|| format!("removing {}", downloads.display()))
    }

    /// Writes our sources list and refreshes our package lists, once in our life.
    fn update(&self) -> Result<()> {
        if self.fresh.get() {
            return Ok(());
        }
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            let folder = self.folder.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        for (name, content) in [("status", String::new()), (SOURCES, sources_list(&mirrors()?)), (CONFIGURATION, self.configuration())] {
            let path = self.folder.join(name);
            fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        }
        run(self.apt("apt-get").args(["update", "-qq"])).context("refreshing the package lists of the kernel matrix")?;
        self.fresh.set(true);
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("--config-file").arg(self.folder.join(CONFIGURATION));
        command
    }

    fn configuration(&self) -> String {
        let folder = self.folder.display();
        format!(
            "Dir::State \"{folder}/state\";\n\
             Dir::State::status \"{folder}/status\";\n\
             Dir::Cache \"{folder}/cache\";\n\
             Dir::Etc::sourcelist \"{folder}/{SOURCES}\";\n\
             Dir::Etc::sourceparts \"-\";\n\
             APT::Architectures {{ \"amd64\"; \"arm64\"; }};\n\
             APT::Sandbox::User \"root\";\n\
             Acquire::Retries \"3\";\n"
        )
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

#[cfg(test)]
mod tests {
    use super::*;

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
