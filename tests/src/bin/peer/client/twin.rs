//! A file on another file system with the inode number of a pipe, unlinked: what keeps streams by bare inode numbers then forgets the pipe.

use crate::transport::temporary_path;
use crate::wire::Unsupported;
use anyhow::Result;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

/// So many files are tried: a fresh tmpfs counts its inode numbers from 1.
const TRIES: u64 = 4_000_000;

/// Makes the twin in a tmpfs of its own mount namespace, and unlinks it.
pub fn unlink_twin(pipe: &OwnedFd) -> Result<()> {
    let wanted = File::from(pipe.try_clone()?).metadata()?.ino();
    if wanted > TRIES {
        return Err(Unsupported(format!("the pipe's inode number {wanted} is too far")).into());
    }
    let directory = temporary_path("tmpfs")?;
    fs::create_dir(&directory)?;
    let outcome = within(&directory, wanted);
    let name = CString::new(directory.as_os_str().as_encoded_bytes())?;
    // SAFETY: the name is a C string.
    unsafe { libc::umount2(name.as_ptr(), libc::MNT_DETACH) };
    fs::remove_dir(&directory)?;
    outcome
}

fn within(directory: &std::path::Path, wanted: u64) -> Result<()> {
    let name = CString::new(directory.as_os_str().as_encoded_bytes())?;
    // SAFETY: the names are C strings; no data is given.
    if unsafe { libc::mount(c"tmpfs".as_ptr(), name.as_ptr(), c"tmpfs".as_ptr(), 0, std::ptr::null()) } != 0 {
        return Err(Unsupported(format!("a tmpfs: {}", io::Error::last_os_error())).into());
    }
    let path = directory.join("twin");
    loop {
        let number = File::create(&path)?.metadata()?.ino();
        fs::remove_file(&path)?;
        if number == wanted {
            return Ok(());
        }
        if number > wanted {
            return Err(Unsupported(format!("inode number {wanted} is behind {number}")).into());
        }
    }
}
