//! Processes whose traffic the operator does not want to be read.
//!
//! Only facts of the kernel count: the file of the program, the user, the control group. A process chooses its name and
//! its arguments, and in a mount namespace of its own even the path of its program, so a path stands for the file that
//! the host has there.

use super::{
    hash,
    proc::Facts,
    process::{FileId, Process},
};
use rustix::fs::{CWD, Mode, OFlags};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// What is excluded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Exclusions {
    /// Programs, by their path on the host. A process is excluded if it runs the very file that stands there now: the
    /// same path in a container is another file.
    pub executables: Vec<PathBuf>,
    /// Programs, by device (in the kernel's form) and inode.
    pub files: Vec<FileId>,
    /// Real user ids.
    pub users: Vec<u32>,
    /// Control groups with all below them: `/system.slice/backup.service`.
    pub cgroups: Vec<String>,
}

/// Why a process is excluded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Exclusion {
    /// Its program.
    Executable(PathBuf),
    /// Its program's file.
    File(FileId),
    /// Its user.
    User(u32),
    /// Its control group.
    Cgroup(String),
}

impl fmt::Display for Exclusion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Executable(path) => write!(formatter, "executable {}", path.display()),
            Self::File(FileId { device, inode }) => {
                write!(formatter, "file {}:{} {inode}", device >> 20, device & 0xf_ffff)
            }
            Self::User(user) => write!(formatter, "user {user}"),
            Self::Cgroup(path) => write!(formatter, "cgroup {path}"),
        }
    }
}

impl Exclusions {
    /// True where nothing is excluded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { executables, files, users, cgroups } = self;
        executables.is_empty() && files.is_empty() && users.is_empty() && cgroups.is_empty()
    }

    /// Why a process is excluded; `None` where it is not. What is not known of a process excludes it never.
    ///
    /// Looks at the file system where a path is the same, so the answer is to be kept.
    #[must_use]
    pub fn matches(&self, process: &Process) -> Option<Exclusion> {
        if let Some(user) = process.user.filter(|user| self.users.contains(user)) {
            return Some(Exclusion::User(user));
        }
        if let Some(cgroup) = self.cgroups.iter().find(|prefix| is_within(&process.cgroup.path, prefix)) {
            return Some(Exclusion::Cgroup(cgroup.clone()));
        }
        let file = process.file?;
        if self.files.contains(&file) {
            return Some(Exclusion::File(file));
        }
        let mut paths = self.executables.iter();
        let path = paths.find(|path| path.to_str() == Some(&process.executable) && is_file(path, file))?;
        Some(Exclusion::Executable(path.clone()))
    }
}

/// True where `path` is the control group `prefix` or one below it.
pub(crate) fn is_within(path: &str, prefix: &str) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) && path.starts_with('/')
}

/// True where the host has this very file at `path`.
pub(crate) fn is_file(path: &Path, file: FileId) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let facts = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(Into::into).and_then(|fd| Facts::of(fd, true));
    facts.is_ok_and(|facts| {
        facts.id.inode == file.inode
            && (facts.id.device == file.device || hash::mount_device(Path::new("/proc"), facts.mount) == Some(file.device))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Cgroup;
    use sensor_core::input::ProcessId;
    use std::{os::unix::fs::MetadataExt, sync::Arc};

    fn process() -> Process {
        Process::unknown(ProcessId { pid: 7, start_time: 7 })
    }

    fn id_of(path: &Path) -> FileId {
        let meta = std::fs::metadata(path).unwrap();
        FileId::new(rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()), meta.ino())
    }

    #[test]
    fn what_is_not_known_excludes_nothing() {
        let exclusions =
            Exclusions { executables: vec!["".into()], users: vec![0], cgroups: vec!["/".into(), String::new()], ..Exclusions::default() };
        assert_eq!(exclusions.matches(&process()), None);
    }

    #[test]
    fn a_cgroup_excludes_what_is_below_it_and_not_its_namesakes() {
        let exclusions = Exclusions { cgroups: vec!["/system.slice/backup.service".into()], ..Exclusions::default() };
        let within = |path: &str| {
            let cgroup = Arc::new(Cgroup::new(path, "", false));
            exclusions.matches(&Process { cgroup, ..process() }).is_some()
        };
        assert!(within("/system.slice/backup.service"));
        assert!(within("/system.slice/backup.service/worker"));
        assert!(!within("/system.slice/backup.service2"));
        assert!(!within("/system.slice"));
        assert!(!within("…/system.slice/backup.service"));
        assert!(!within("/../system.slice/backup.service"));
    }

    #[test]
    fn a_path_excludes_the_host_s_file_only() {
        let path = std::env::current_exe().unwrap();
        let exclusions = Exclusions { executables: vec![path.clone()], ..Exclusions::default() };
        let executable: Arc<str> = path.to_str().unwrap().into();
        let mine = Process { executable: Arc::clone(&executable), file: Some(id_of(&path)), ..process() };
        assert_eq!(exclusions.matches(&mine), Some(Exclusion::Executable(path.clone())));
        let other = FileId { inode: 1, ..id_of(&path) };
        let elsewhere = Process { file: Some(FileId { device: 0xfff, ..id_of(&path) }), ..mine.clone() };
        assert_eq!(exclusions.matches(&Process { file: Some(other), ..mine.clone() }), None);
        assert_eq!(exclusions.matches(&elsewhere), None);
        assert_eq!(exclusions.matches(&Process { file: None, ..mine.clone() }), None);

        let files = Exclusions { files: vec![id_of(&path)], ..Exclusions::default() };
        assert!(matches!(files.matches(&mine), Some(Exclusion::File(_))));
        assert_eq!(Exclusions { users: vec![1000], ..Exclusions::default() }.matches(&mine), None);
        let user = Process { user: Some(1000), ..mine };
        let exclusion = Exclusions { users: vec![1000], ..Exclusions::default() }.matches(&user).unwrap();
        assert_eq!(exclusion.to_string(), "user 1000");
    }
}
