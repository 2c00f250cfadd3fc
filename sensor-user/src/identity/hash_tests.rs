use super::*;
use ring::digest::digest;
use std::{fs::File, io::Write, os::unix::fs::MetadataExt};

const NOW: Wall = (1000, 0);

fn facts(changed: Wall, born: Option<Wall>) -> Facts {
    let id = FileId { device: 1, inode: 1 };
    let key = FileKey { id, size: 1, modified: (0, 0), changed };
    Facts { id, key, born, links: 1, regular: true, mount: 0 }
}

#[test]
fn a_file_that_was_born_after_the_exec_is_another_one() {
    let since = (500, 0);
    assert!(unchanged_since(&facts((499, 0), None), since, NOW));
    assert!(unchanged_since(&facts((500, 900_000), None), since, NOW), "clocks differ a little");
    assert!(!unchanged_since(&facts((501, 0), None), since, NOW), "it may be another");
    assert!(unchanged_since(&facts((501, 0), Some((400, 0))), since, NOW), "renamed or unlinked");
    assert!(!unchanged_since(&facts((501, 0), Some((501, 0))), since, NOW), "the inode was used again");
    assert!(unchanged_since(&facts((2000, 0), Some((2000, 0))), since, NOW), "a clock was wrong");
}

struct Fixture {
    directory: tempfile::TempDir,
    file: OwnedFd,
    key: FileKey,
}

fn fixture(bytes: &[u8]) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    File::create(&path).unwrap().write_all(bytes).unwrap();
    let file = OwnedFd::from(File::open(&path).unwrap());
    let key = Facts::of(&file, false).unwrap().key;
    Fixture { directory, file, key }
}

fn read(fixture: &Fixture, still_runs: bool) -> Option<[u8; 32]> {
    let mut reading = Reading::new(&fixture.file, fixture.key, 1 << 30)?;
    while reading.step()? {}
    reading.finish(&|_| still_runs)
}

#[test]
fn a_file_is_digested_whole() {
    for size in [0, 1, BLOCK, BLOCK * BLOCKS, BLOCK * BLOCKS + 1] {
        let bytes = vec![7; size];
        assert_eq!(read(&fixture(&bytes), false).as_ref().map(|hash| &hash[..]), Some(digest(&SHA256, &bytes).as_ref()));
    }
}

#[test]
fn a_file_over_the_limit_is_not_begun() {
    let fixture = fixture(&[7; 100]);
    assert!(Reading::new(&fixture.file, fixture.key, 99).is_none());
    assert!(Reading::new(&fixture.file, fixture.key, 100).is_some());
}

#[test]
fn a_file_that_changed_since_it_was_known_has_no_digest() {
    let longer = fixture(b"bytes");
    File::options().append(true).open(longer.directory.path().join("file")).unwrap().write_all(b"+").unwrap();
    assert_eq!(read(&longer, true), None);
    let shorter = fixture(b"bytes");
    File::options().write(true).open(shorter.directory.path().join("file")).unwrap().set_len(2).unwrap();
    assert_eq!(read(&shorter, true), None);
}

#[test]
fn a_file_whose_name_changed_has_one_only_while_its_process_runs_it() {
    let mut fixture = fixture(b"bytes");
    std::fs::remove_file(fixture.directory.path().join("file")).unwrap();
    // The clock of the file system may not have moved since.
    fixture.key.changed.0 -= 1;
    assert!(read(&fixture, true).is_some());
    assert_eq!(read(&fixture, false), None);
}

#[test]
fn a_directory_or_a_device_has_no_digest() {
    for path in ["/", "/dev/null"] {
        let file = OwnedFd::from(File::open(path).unwrap());
        let key = Facts::of(&file, false).unwrap().key;
        assert!(Reading::new(&file, key, 1 << 30).is_none());
    }
}

#[test]
fn the_kernel_s_device_of_a_mount_is_found() {
    let fixture = fixture(b"");
    let facts = Facts::of(&fixture.file, false).unwrap();
    if facts.mount != 0 {
        let device = mount_device(Path::new("/proc"), facts.mount).unwrap();
        let meta = std::fs::metadata(fixture.directory.path()).unwrap();
        let told = FileId::new(rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()), 0).device;
        // Differs on btrfs and some overlays, which is what it is for.
        assert!(device == told || device >> 20 == 0, "{device:#x} {told:#x}");
    }
    assert_eq!(mount_device(Path::new("/proc"), u64::MAX), None);
}
