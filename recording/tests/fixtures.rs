//! Recordings of each version of the format stay readable: `tests/fixtures/v<version>-<what>.pcapng[.zst][.age]`.
//!
//! `UPDATE_FIXTURES=1 cargo test -p mcp-sensor-recording --test fixtures` writes those of this version anew. Only for a version
//! that was never released.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{all, header, read, shown, written};
use recording::keys::{PublicKey, Signer};
use recording::verify::Signature;
use recording::{Ending, Identity, Level, Reader, Verdict, reader, verify, writer};
use std::path::PathBuf;
use std::sync::Arc;

/// For the fixtures alone: who has it reads and signs nothing else.
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
const KEY: &str =
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIFSuY/eDqsrkXf39dqTSdwc9t/u1ALmypr59cyijBtHZ\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "mcp-sensor-ed25519 k2uKKbqNOwI4r2E0fJgJjy1Tb67zRPBAWwOcy4BQCXU= the fixtures' key";

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

#[test]
fn recordings_of_version_1_are_read() {
    let identity: Identity = IDENTITY.parse().unwrap();
    let trusted = PublicKey::parse_all(PUBLIC).unwrap();
    let signer = Arc::new(Signer::from_pem(KEY).unwrap());
    let cases = [
        ("v1-full.pcapng", Level::Full, None, false),
        ("v1-redacted.pcapng", Level::Redacted, None, false),
        ("v1-full.pcapng.zst", Level::Full, Some(3), false),
        ("v1-redacted.pcapng.zst.age", Level::Redacted, Some(3), true),
    ];
    for (name, level, zstd_level, encrypted) in cases {
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            let recipients = if encrypted { vec![identity.to_public()] } else { Vec::new() };
            let options = writer::Options { zstd_level, recipients, signer: Some(Arc::clone(&signer)) };
            std::fs::write(fixture(name), written(&header(level), &all(level), options)).unwrap();
        }
        let file = std::fs::read(fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let options = reader::Options { identities: vec![identity.clone()], ..reader::Options::default() };
        assert_eq!(*Reader::open(&file[..], &options).unwrap().header(), header(level));
        let given = read(&file, &options).unwrap();
        assert_eq!(given.items, shown(&all(level)), "{name}");
        assert!(matches!(given.ending, Ending::Complete(_)));
        let verified = verify(&file[..], &options, &trusted).unwrap();
        assert_eq!(verified.verdict, Verdict::Complete(Signature::Trusted(trusted[0].clone())), "{name}");
        assert_eq!((verified.skipped, verified.malformed), (0, 0));
    }
}

#[test]
fn what_is_no_recording_of_ours_is_refused_in_words() {
    let refused = |file: &[u8]| Reader::open(file, &reader::Options::default()).map(|_| ()).unwrap_err().to_string();
    let encrypted = std::fs::read(fixture("v1-redacted.pcapng.zst.age")).unwrap();
    assert!(refused(&encrypted).contains("give the file with your age identity"), "{}", refused(&encrypted));
    let options = reader::Options { identities: vec![Identity::generate()], ..reader::Options::default() };
    let error = Reader::open(&encrypted[..], &options).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("encrypted for others"), "{error}");
    for (file, words) in [
        (&b""[..], "this is no recording"),
        (b"\xd4\xc3\xb2\xa1 an old pcap file", "this is no recording"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", "form of text"),
    ] {
        assert!(refused(file).contains(words), "{}", refused(file));
    }
    // Of another tool, in either byte order.
    for order in [u32::to_le_bytes, u32::to_be_bytes] {
        let mut file = Vec::new();
        for number in
            [0x0A0D_0D0A, 28, 0x1A2B_3C4D, 0x0001_0000, u32::MAX, u32::MAX, 28, 1, 20, 0x0001_0000, 0, 20, 6, 32, 0, 0, 0, 0, 0, 32]
        {
            file.extend(order(number));
        }
        assert!(refused(&file).contains("mcp-sensor did not write"), "{}", refused(&file));
    }
    // Of a newer version.
    let mut file = std::fs::read(fixture("v1-full.pcapng")).unwrap();
    let header = file.windows(4).position(|four| four == b"MCPR").unwrap();
    file[header + 4] = 2;
    assert!(refused(&file).contains("version 2 of the format"), "{}", refused(&file));
}

#[test]
fn items_that_a_newer_version_added_are_skipped_and_counted() {
    let mut file = std::fs::read(fixture("v1-full.pcapng")).unwrap();
    let items = common::all(Level::Full).len();
    let options = reader::Options::default();
    // The tick becomes a kind that is not known; the exec one of a version that is not.
    let tick = shown(&all(Level::Full)).iter().position(|item| item.starts_with("Tick")).unwrap();
    let of = |file: &[u8], number: u64| {
        let mut wanted = b"MCPR\x01".to_vec();
        let found = file.windows(16).enumerate().filter(|(_, window)| window.starts_with(&wanted) && window[5] < 128);
        let at = found
            .map(|(at, window)| (at, u64::from_le_bytes(window[8..16].try_into().unwrap())))
            .find(|(_, its)| *its == number)
            .unwrap()
            .0;
        wanted.clear();
        at
    };
    let at = of(&file, tick as u64);
    file[at + 5] = 99;
    let at = of(&file, 4);
    file[at + 4] = 7;
    let mut reader = Reader::open(&file[..], &options).unwrap();
    let mut count = 0;
    while reader.next().unwrap().is_some() {
        count += 1;
    }
    assert_eq!((count, reader.skipped()), (items - 2, 2));
}
