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
