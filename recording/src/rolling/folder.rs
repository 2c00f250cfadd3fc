//! Where the files are: a folder, or for tests something that fills up when told to.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Keeps files.
pub trait Storage {
    /// A file that is being written.
    type File: Write;

    /// Makes a new file, which must not be there.
    ///
    /// # Errors
    /// `AlreadyExists` where it is; any other where it cannot be made.
    fn create(&mut self, name: &str) -> io::Result<Self::File>;

    /// Makes what was written to the last file made durable.
    ///
    /// # Errors
    /// Where that fails.
    fn sync(&mut self) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Where that fails.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// The regular files that are there: names and sizes in bytes.
    ///
    /// # Errors
    /// Where they cannot be listed.
    fn list(&mut self) -> io::Result<Vec<(String, u64)>>;
}

/// A folder of the file system.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The last file made.
    current: Option<File>,
}

impl Folder {
    /// A folder that is there. Nobody else may write into it: else they could put files in the way, and take ours away.
    ///
    /// # Errors
    /// Where it is no folder, or others may write into it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let metadata = path.metadata()?;
        let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{}: {why}", path.display())));
        if !metadata.is_dir() {
            return refuse("is no folder; name one for the recordings");
        }
        if metadata.mode() & 0o022 != 0 {
            return refuse("others may write into this folder; take that right away (chmod go-w), or name another for the recordings");
        }
        Ok(Self { path: path.to_owned(), current: None })
    }

    /// Where a file of this name is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Storage for Folder {
    type File = File;

    fn create(&mut self, name: &str) -> io::Result<File> {
        let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(no_follow).open(self.path.join(name))?;
        self.current = Some(file.try_clone()?);
        File::open(&self.path)?.sync_all()?;
        Ok(file)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.current.as_ref().map_or(Ok(()), File::sync_data)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            // Of the entry itself: a link is no file of ours.
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            if metadata.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                files.push((name, metadata.len()));
            }
        }
        Ok(files)
    }
}
