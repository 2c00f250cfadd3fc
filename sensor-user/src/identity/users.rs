//! Names of users, from the host's `passwd` file alone: no NSS module is loaded into the sensor, no directory asked.

use rustc_hash::FxHashMap;
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::Arc,
};

/// Bytes and users that are read at most.
const LIMIT: u64 = 4 * 1024 * 1024;
const USERS: usize = 65_536;

/// The users of a `passwd` file, read again when it changes.
pub(super) struct Users {
    path: Option<PathBuf>,
    /// Device, inode, size and times of the file that was read.
    stamp: Option<(u64, u64, u64, i64, i64)>,
    names: FxHashMap<u32, Arc<str>>,
    none: Arc<str>,
}

impl Users {
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, stamp: None, names: FxHashMap::default(), none: Arc::from("") }
    }

    /// The user's name; empty where there is none.
    pub fn name(&mut self, user: u32) -> Arc<str> {
        // What cannot be read leaves what was read before: a file is absent for a moment while it is replaced.
        let _ = self.refresh();
        Arc::clone(self.names.get(&user).unwrap_or(&self.none))
    }

    /// The number of a user: a number as it is, or the one of a name; `None` where there is no user of that name.
    pub fn number(&mut self, user: &str) -> Option<u32> {
        let _ = self.refresh();
        let named = || self.names.iter().find(|(_, name)| ***name == *user).map(|(number, _)| *number);
        user.parse().ok().or_else(named)
    }

    fn refresh(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let meta = std::fs::metadata(path)?;
        let stamp = (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.ctime_nsec().wrapping_add(meta.ctime() << 30));
        if self.stamp == Some(stamp) || !meta.is_file() {
            return Ok(());
        }
        let mut text = Vec::new();
        File::open(path)?.take(LIMIT).read_to_end(&mut text)?;
        self.names = parse(&String::from_utf8_lossy(&text));
        self.stamp = Some(stamp);
        Ok(())
    }
}

fn parse(text: &str) -> FxHashMap<u32, Arc<str>> {
    let mut names = FxHashMap::default();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(_), Some(number)) = (fields.next(), fields.next(), fields.next()) else { continue };
        if let Ok(number) = number.parse()
            && !name.is_empty()
            && names.len() < USERS
        {
            // Of two names for a number the first counts, as with `getpwuid`.
            names.entry(number).or_insert_with(|| Arc::from(name));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        std::fs::write(&path, "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n#note\n:x:3:\nbad:x:-1:\nana:x:1000:1000").unwrap();
        let mut users = Users::new(Some(path.clone()));
        assert_eq!(&*users.name(0), "root");
        assert_eq!(&*users.name(1000), "ana");
        assert_eq!(&*users.name(3), "");
        std::fs::write(&path, "eve:x:1000:1000::/:/bin/sh\n").unwrap();
        assert_eq!(&*users.name(1000), "eve");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&*users.name(1000), "eve");
    }

    #[test]
    fn without_a_file_there_are_no_names() {
        assert_eq!(&*Users::new(None).name(0), "");
        assert_eq!(&*Users::new(Some("/nonexistent/passwd".into())).name(0), "");
        assert_eq!(&*Users::new(Some("/dev/zero".into())).name(0), "");
    }
}
