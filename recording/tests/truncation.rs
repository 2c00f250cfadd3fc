//! A file that is cut anywhere is readable up to the last whole block, and says that it was cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{CALL, chunk, header, pipe, read, shown};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use recording::{Ending, Fault, Identity, Item, Level, Verdict, Writer, reader, verify, writer};

/// A file, what it holds, and for each flush how many items it holds up to which byte.
struct Flushed {
    file: Vec<u8>,
    items: Vec<String>,
    flushed: Vec<(usize, usize)>,
}

fn flushed(options: writer::Options) -> Flushed {
    let long: Vec<u8> = (0..3000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut items: Vec<Item<'_>> = common::all(Level::Full);
    items.extend((0..120).map(|index| chunk(index, pipe(501), index * 10, if index % 3 == 0 { &long } else { CALL })));
    let mut writer = Writer::new(Vec::new(), &header(Level::Full), options).unwrap();
    let mut flushed = Vec::new();
    for (index, item) in items.iter().enumerate() {
        writer.item(item).unwrap();
        if index % 40 == 39 {
            writer.flush_block().unwrap();
            flushed.push((index + 1, writer.bytes_written() as usize));
        }
    }
    Flushed { items: shown(&items), file: writer.finish().unwrap().0, flushed }
}

/// Reads and verifies a part of a file.
fn check(whole: &Flushed, length: usize, options: &reader::Options) -> Result<(), TestCaseError> {
    let file = &whole.file[..length];
    let given = match read(file, options) {
        Ok(given) => given,
        Err(error) => {
            // Too short for the beginning.
            let known = matches!(error.fault, Fault::NotARecording | Fault::Malformed(_) | Fault::Decryption(_) | Fault::Foreign);
            prop_assert!(known, "{}", error);
            prop_assert!(whole.flushed.iter().all(|(_, bytes)| length < *bytes), "{error}");
            return Ok(());
        }
    };
    prop_assert!(given.errors.is_empty(), "{:?}", given.errors);
    prop_assert!(whole.items.starts_with(&given.items));
    let least = whole.flushed.iter().filter(|(_, bytes)| length >= *bytes).map(|(items, _)| *items).max().unwrap_or(0);
    prop_assert!(given.items.len() >= least, "{} items, and {least} were flushed", given.items.len());
    let verdict = verify(file, options, &[]).map_err(|error| TestCaseError::fail(error.to_string()))?.verdict;
    match given.ending {
        Ending::Complete(_) => prop_assert!(matches!(verdict, Verdict::Complete(_)) && given.items.len() == whole.items.len()),
        Ending::NotClosed => prop_assert!(matches!(verdict, Verdict::NotClosed { .. }), "not closed"),
        Ending::Cut { at } => prop_assert_eq!(verdict, Verdict::Cut { at }),
    }
    Ok(())
}

fn cut_anywhere(zstd_level: Option<i32>, encrypted: bool) {
    let identity = Identity::generate();
    let recipients = if encrypted { vec![identity.to_public()] } else { Vec::new() };
    let whole = flushed(writer::Options { zstd_level, recipients, signer: None });
    let options = reader::Options { identities: vec![identity], ..reader::Options::default() };
    assert_eq!(whole.flushed.len(), 3);
    let mut runner = TestRunner::new(Config { cases: 1000, failure_persistence: None, ..Config::default() });
    runner.run(&(0..whole.file.len()), |length| check(&whole, length, &options)).unwrap();
    for (_, bytes) in &whole.flushed {
        check(&whole, *bytes, &options).unwrap();
    }
}

#[test]
fn plain_files() {
    cut_anywhere(None, false);
}

#[test]
fn compressed_files() {
    cut_anywhere(Some(3), false);
}

#[test]
fn encrypted_files() {
    cut_anywhere(None, true);
}

#[test]
fn compressed_and_encrypted_files() {
    cut_anywhere(Some(3), true);
}

#[test]
fn a_whole_file_is_not_cut() {
    let whole = flushed(writer::Options::default());
    check(&whole, whole.file.len(), &reader::Options::default()).unwrap();
    assert!(matches!(read(&whole.file, &reader::Options::default()).unwrap().ending, Ending::Complete(_)));
    let manifest = whole.file.len() - u32::from_le_bytes(whole.file[whole.file.len() - 4..].try_into().unwrap()) as usize;
    assert_eq!(read(&whole.file[..manifest], &reader::Options::default()).unwrap().ending, Ending::NotClosed);
    assert_eq!(read(&whole.file[..manifest + 1], &reader::Options::default()).unwrap().ending, Ending::Cut { at: manifest as u64 });
}
