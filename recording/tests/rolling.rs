//! Recordings that roll.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{BOOT, CLIENT, SERVER, chunk, header, pipe, process, read, told};
use recording::rolling::{Folder, Rolling, Settings, Storage, Sync};
use recording::{Ending, Item, Level, Verdict, reader, verify};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::rc::Rc;

const SECOND: u64 = 1_000_000_000;
const MIB: u64 = 1 << 20;

fn fill(rolling: &mut Rolling<impl Storage>, now: u64, mebibytes: u64) -> Vec<recording::rolling::Turn> {
    let bytes: Vec<u8> = (0..MIB / 4).map(|index| (index * 31 + index / 77) as u8).collect();
    let mut turns = Vec::new();
    for index in 0..4 * mebibytes {
        turns.extend(rolling.turn(now).unwrap());
        rolling.item(now, &chunk(now - BOOT, pipe(501), index, &bytes)).unwrap();
    }
    turns
}

#[test]
fn files_are_whole_private_and_turned_over_by_size_and_age() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { max_file: Some(3 * MIB), max_age: Some(60 * SECOND), sync: Sync::Block, ..Settings::default() };
    let mut rolling = Rolling::open(Folder::open(folder.path()).unwrap(), header(Level::Full), settings).unwrap();
    assert_eq!(rolling.file(), None);
    let now = BOOT + 10 * SECOND;
    let turn = rolling.turn(now).unwrap().unwrap();
    assert_eq!(turn.opened, "mcp-sensor-web-1-20260131T140010Z-0.pcapng");
    assert_eq!((turn.closed, rolling.file()), (None, Some(&*turn.opened)));
    rolling.item(now, &told(0, "begin")).unwrap();
    rolling.item(now, &process(CLIENT, "/usr/bin/node")).unwrap();
    rolling.item(now, &process(SERVER, "/usr/bin/python3")).unwrap();
    let turns = fill(&mut rolling, now, 7);
    assert_eq!(
        turns.iter().map(|turn| &*turn.opened).collect::<Vec<_>>(),
        ["mcp-sensor-web-1-20260131T140010Z-1.pcapng", "mcp-sensor-web-1-20260131T140010Z-2.pcapng"]
    );
    // By age, and where nothing comes.
    assert_eq!(rolling.tick(now + 59 * SECOND).unwrap(), None);
    let closed = rolling.tick(now + 60 * SECOND).unwrap().unwrap();
    assert_eq!((rolling.file(), &*closed.name), (None, &*turns[1].opened));
    assert_eq!(rolling.turn(now + 61 * SECOND).unwrap().unwrap().opened, "mcp-sensor-web-1-20260131T140111Z-0.pcapng");
    assert!(rolling.finish(now + 62 * SECOND).unwrap().is_some());
    let mut chunks = 0;
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4);
    for path in files {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        let file = std::fs::read(&path).unwrap();
        assert!(file.len() as u64 <= 3 * MIB + MIB + MIB / 4 + 65_536, "{}", file.len());
        let given = read(&file, &reader::Options::default()).unwrap();
        assert!(matches!(given.ending, Ending::Complete(_)));
        // Both processes are named in each, before all else but the event of the first.
        let first = given.items.iter().skip_while(|item| item.starts_with("Event")).take(2);
        assert_eq!(first.filter(|item| item.starts_with("Process")).count(), 2, "{path:?}");
        chunks += given.items.iter().filter(|item| item.starts_with("Chunk")).count();
    }
    assert_eq!(chunks, 28);
}

#[test]
fn the_oldest_of_our_files_go_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: u64| std::fs::write(folder.path().join(name), vec![0; bytes as usize]).unwrap();
    let others = [
        "notes.txt",
        "mcp-sensor-web-1.pcapng",
        "mcp-sensor-web-20260101T000000Z-0.pcapng",
        "mcp-sensor-web-1-20250101T000000Z-0.pcapng.bak",
    ];
    others.iter().for_each(|name| put(name, 5 * MIB));
    put("mcp-sensor-web-1-20260101T000000Z-10.pcapng", 5 * MIB);
    put("mcp-sensor-web-1-20260101T000000Z-9.pcapng.zst", 5 * MIB);
    put("mcp-sensor-web-1-20251231T235959Z-0.pcapng.zst.age", 5 * MIB);
    symlink("/etc/passwd", folder.path().join("mcp-sensor-web-1-20250101T000000Z-0.pcapng")).unwrap();
    let settings = Settings { max_file: Some(3 * MIB), max_total: Some(16 * MIB), ..Settings::default() };
    let mut rolling = Rolling::open(Folder::open(folder.path()).unwrap(), header(Level::Full), settings).unwrap();
    let turn = rolling.turn(BOOT + SECOND).unwrap().unwrap();
    assert_eq!(turn.removed, ["mcp-sensor-web-1-20251231T235959Z-0.pcapng.zst.age"]);
    let ours = |folder: &tempfile::TempDir| -> u64 {
        let files = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_file());
        let sizes = files.filter(|entry| !others.contains(&entry.file_name().to_str().unwrap()));
        sizes.map(|entry| entry.metadata().unwrap().len()).sum()
    };
    for second in 2..20 {
        fill(&mut rolling, BOOT + second * SECOND, 1);
        assert!(ours(&folder) <= 16 * MIB, "{}", ours(&folder));
    }
    rolling.finish(BOOT + 20 * SECOND).unwrap();
    assert!(ours(&folder) > 10 * MIB);
    for other in others {
        assert!(folder.path().join(other).exists(), "{other}");
    }
    assert!(folder.path().join("mcp-sensor-web-1-20250101T000000Z-0.pcapng").is_symlink());
}

#[test]
fn what_is_in_the_way_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    symlink(&victim, folder.path().join("mcp-sensor-web-1-20260131T140001Z-0.pcapng")).unwrap();
    let mut rolling = Rolling::open(Folder::open(folder.path()).unwrap(), header(Level::Full), Settings::default()).unwrap();
    assert_eq!(rolling.turn(BOOT + SECOND).unwrap().unwrap().opened, "mcp-sensor-web-1-20260131T140001Z-1.pcapng");
    rolling.finish(BOOT + SECOND).unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    let open = |mode| {
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        Folder::open(folder.path()).map(|_| ()).map_err(|error| error.kind())
    };
    assert_eq!(open(0o777), Err(io::ErrorKind::PermissionDenied));
    assert_eq!(open(0o1777), Err(io::ErrorKind::PermissionDenied));
    assert_eq!(open(0o750), Ok(()));
}

/// A disk in memory that has so much room.
#[derive(Clone, Default)]
struct Disk(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    room: usize,
    syncs: usize,
}

struct DiskFile(Disk, String);

impl io::Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.borrow_mut();
        let fits = bytes.len().min(state.room);
        if fits == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.room -= fits;
        state.files.get_mut(&self.1).unwrap().extend_from_slice(&bytes[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Storage for Disk {
    type File = DiskFile;

    fn create(&mut self, name: &str) -> io::Result<DiskFile> {
        let before = self.0.borrow_mut().files.insert(name.to_owned(), Vec::new());
        assert!(before.is_none());
        Ok(DiskFile(self.clone(), name.to_owned()))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.borrow_mut().syncs += 1;
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let file = state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.room += file.len();
        Ok(())
    }

    fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        Ok(self.0.borrow().files.iter().map(|(name, file)| (name.clone(), file.len() as u64)).collect())
    }
}

#[test]
fn a_full_disk_loses_what_it_says_and_recording_goes_on_when_there_is_room() {
    let disk = Disk::default();
    disk.0.borrow_mut().room = 2_600_000;
    let mut rolling = Rolling::open(disk.clone(), header(Level::Full), Settings::default()).unwrap();
    let bytes: Vec<u8> = vec![7; 4000];
    let (mut recorded, mut lost, mut errors) = (0, 0, 0);
    for index in 0..4000 {
        // The disk gets room half-way.
        if index == 2000 {
            disk.0.borrow_mut().room = 100 << 20;
        }
        let now = BOOT + index * 10_000_000;
        if let Err(error) = rolling.turn(now) {
            lost += error.lost;
        }
        match rolling.item(now, &chunk(index, pipe(501), index, &bytes)) {
            Ok(()) => recorded += 1,
            Err(error) => {
                errors += 1;
                lost += error.lost;
                // What was taken before, and is lost now.
                recorded -= error.lost - 1;
                assert!(error.to_string().contains("make room"), "{error}");
            }
        }
    }
    rolling.finish(BOOT + 50 * SECOND).unwrap();
    assert_eq!(recorded + lost, 4000);
    assert!(errors > 200 && recorded > 1500, "{errors} errors, {recorded} recorded");
    let state = disk.0.borrow();
    let mut found = 0;
    let mut endings = Vec::new();
    for file in state.files.values() {
        let given = read(file, &reader::Options::default()).unwrap();
        found += given.items.len() as u64;
        endings.push(matches!(given.ending, Ending::Complete(_)));
        assert!(matches!(verify(&file[..], &reader::Options::default(), &[]).unwrap().verdict, Verdict::Complete(_) | Verdict::Cut { .. }));
    }
    assert_eq!(endings, [false, true]);
    // The first file may hold some of what was counted as lost: the part of the segment that got onto the disk.
    assert!((recorded..recorded + 270).contains(&found), "{found} found, {recorded} recorded");
}

#[test]
fn what_waits_is_written_at_each_interval() {
    let disk = Disk::default();
    disk.0.borrow_mut().room = 1 << 30;
    let settings = Settings { sync: Sync::Interval(2 * SECOND), ..Settings::default() };
    let mut rolling = Rolling::open(disk.clone(), header(Level::Full), settings).unwrap();
    for index in 0..10 {
        let now = BOOT + index * SECOND;
        rolling.turn(now).unwrap();
        rolling.item(now, &Item::Tick { time: index }).unwrap();
        let state = disk.0.borrow();
        let file = state.files.values().next().unwrap();
        let readable = read(file, &reader::Options::default()).map_or(0, |given| given.items.len() as u64);
        assert_eq!(readable, if index < 2 { 0 } else { index / 2 * 2 + 1 });
        assert_eq!(state.syncs as u64, index / 2);
    }
    // Nothing new: nothing to do.
    rolling.tick(BOOT + 10 * SECOND).unwrap();
    rolling.tick(BOOT + 20 * SECOND).unwrap();
    rolling.tick(BOOT + 30 * SECOND).unwrap();
    assert_eq!(disk.0.borrow().syncs, 5);
}

#[test]
fn an_ended_process_is_named_for_a_while_and_then_no_more() {
    let disk = Disk::default();
    disk.0.borrow_mut().room = 1 << 30;
    let settings = Settings { max_age: Some(10 * SECOND), ..Settings::default() };
    let mut rolling = Rolling::open(disk.clone(), header(Level::Full), settings).unwrap();
    rolling.turn(BOOT).unwrap();
    for pid in 0..1000 {
        let id = recording_process(pid);
        rolling.item(BOOT, &process(id, "/bin/true")).unwrap();
        if pid % 2 == 0 {
            rolling.item(BOOT, &Item::Exit { time: 1, process: id }).unwrap();
        }
    }
    rolling.turn(BOOT + 10 * SECOND).unwrap();
    rolling.finish(BOOT + 11 * SECOND).unwrap();
    let state = disk.0.borrow();
    let given = read(state.files.values().last().unwrap(), &reader::Options::default()).unwrap();
    assert_eq!(given.items.len(), 500 + 256);
    assert!(given.items.iter().all(|item| item.starts_with("Process")));
}

fn recording_process(pid: u32) -> sensor_core::input::ProcessId {
    sensor_core::input::ProcessId { pid, start_time: 5 }
}
