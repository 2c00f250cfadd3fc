//! What is written is what is read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{all, header, read, shown, written};
use recording::{Ending, Identity, Kind, Level, reader, writer};

#[test]
fn every_kind_of_item_comes_back_in_every_combination_of_layers() {
    for level in [Level::Full, Level::Redacted] {
        let items = all(level);
        for (zstd_level, encrypted) in [(None, false), (Some(3), false), (None, true), (Some(1), true)] {
            let identity = Identity::generate();
            let recipients = if encrypted { vec![identity.to_public()] } else { Vec::new() };
            let file = written(&header(level), &items, writer::Options { zstd_level, recipients, signer: None });
            if zstd_level.is_none()
                && !encrypted
                && let Some(path) = std::env::var_os("KEEP")
            {
                std::fs::write(std::path::Path::new(&path).join(format!("{}.pcapng", level.name())), &file).unwrap();
            }
            let options = reader::Options { identities: vec![identity], ..reader::Options::default() };
            let given = read(&file, &options).unwrap();
            assert!(given.errors.is_empty(), "{:?}", given.errors);
            assert_eq!(given.items, shown(&items));
            let Ending::Complete(manifest) = given.ending else { panic!("{:?}", given.ending) };
            assert_eq!(manifest.summary.items(), items.len() as u64);
            assert_eq!(manifest.summary.count(Kind::Gap), 2);
            assert_eq!(manifest.summary.gap_bytes, 4096);
            assert_eq!(manifest.summary.losses.iter().map(|lost| (lost.count, lost.bytes)).collect::<Vec<_>>(), [(7, 700)]);
        }
    }
}

#[test]
fn the_seek_table_says_where_each_frame_is() {
    let payload: Vec<u8> = (0..3 << 20).map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    let items: Vec<_> =
        payload.chunks(1000).enumerate().map(|(at, bytes)| common::chunk(at as u64, common::pipe(1), at as u64, bytes)).collect();
    let plain = written(&header(Level::Full), &items, writer::Options::default());
    let file = written(&header(Level::Full), &items, writer::Options { zstd_level: Some(3), ..writer::Options::default() });
    // As zstd's seekable format has it: entries, their number, a byte of flags, a magic number; all in a skippable frame.
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let end = file.len();
    assert_eq!((number(end - 4), file[end - 5]), (0x8F92_EAB1, 0));
    let frames = number(end - 9);
    let table = end - 9 - 8 * frames;
    assert_eq!((number(table - 8), number(table - 4)), (0x184D_2A5E, 8 * frames + 9));
    let (mut at, mut found) = (0, Vec::new());
    for frame in 0..frames {
        let (compressed, length) = (number(table + 8 * frame), number(table + 8 * frame + 4));
        found.extend(zstd::bulk::decompress(&file[at..at + compressed], length).unwrap());
        at += compressed;
    }
    assert_eq!(at, table - 8);
    assert!(frames >= 4 && found == plain);
}
