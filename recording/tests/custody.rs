//! The chain of custody: whatever is done to a recording is noticed, and named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{chunk, header, pipe, process, told, written};
use recording::keys::{PublicKey, Signer, generate};
use recording::verify::{Damage, Signature, Verdict, Verification, What};
use recording::{Identity, Item, Kind, Level, reader, verify, writer};
use std::ops::Range;
use std::sync::Arc;

/// Items of the recording that is tampered with, and bytes of each.
const ITEMS: u64 = 1200;
const BYTES: u64 = 4096;

fn payload() -> Vec<u8> {
    (0..ITEMS * BYTES).map(|index| (index * 7 + index / 251) as u8).collect()
}

fn items(payload: &[u8]) -> Vec<Item<'_>> {
    let chunks = payload.chunks(BYTES as usize).enumerate();
    let chunks = chunks.map(|(index, bytes)| chunk(1_000 + index as u64, pipe(501), index as u64 * BYTES, bytes));
    [told(3, "begin"), process(common::CLIENT, "/usr/bin/node")].into_iter().chain(chunks).chain([told(5, "end")]).collect()
}

struct Keys {
    signer: Arc<Signer>,
    public: PublicKey,
}

fn keys(name: &str) -> Keys {
    let made = generate(name).unwrap();
    Keys { signer: Arc::new(Signer::from_pem(&made.private).unwrap()), public: PublicKey::parse_all(&made.public).unwrap().remove(0) }
}

fn signed_by(keys: &Keys) -> writer::Options {
    writer::Options { signer: Some(Arc::clone(&keys.signer)), ..writer::Options::default() }
}

/// A recording with five segments, and what it is made of.
struct Recorded {
    file: Vec<u8>,
    keys: Keys,
    /// Each block, with the kind of our data in it (0 for none).
    blocks: Vec<(u8, Range<usize>)>,
}

impl Recorded {
    fn new() -> Self {
        let keys = keys("ours");
        let payload = payload();
        let file = written(&header(Level::Full), &items(&payload), signed_by(&keys));
        let blocks = blocks(&file);
        Self { file, keys, blocks }
    }

    fn verify(&self, file: &[u8]) -> Verification {
        verify(file, &reader::Options::default(), std::slice::from_ref(&self.keys.public)).unwrap()
    }

    fn damage(&self, file: &[u8]) -> Damage {
        match self.verify(file).verdict {
            Verdict::Damaged(damage) => damage,
            other => panic!("{other:?}"),
        }
    }

    /// Where the nth block of a kind is.
    fn nth(&self, kind: u8, nth: usize) -> usize {
        self.blocks.iter().enumerate().filter(|(_, (of, _))| *of == kind).nth(nth).unwrap().0
    }

    /// The file with its blocks in this order.
    fn with(&self, order: impl IntoIterator<Item = usize>) -> Vec<u8> {
        order.into_iter().flat_map(|index| self.file[self.blocks[index].1.clone()].iter().copied()).collect()
    }

    fn order(&self) -> Vec<usize> {
        (0..self.blocks.len()).collect()
    }
}

const CHUNK: u8 = Kind::Chunk as u8;
const CHAIN: u8 = 129;
const MANIFEST: u8 = 130;

fn blocks(file: &[u8]) -> Vec<(u8, Range<usize>)> {
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let block = &file[at..at + number(at + 4)];
        let kind = match number(at) {
            // In a packet our data comes last.
            6 => block.windows(4).rposition(|four| four == b"MCPR").map_or(0, |magic| block[magic + 5]),
            0xBAD => block[17],
            _ => 0,
        };
        blocks.push((kind, at..at + block.len()));
        at += block.len();
    }
    blocks
}

#[test]
fn an_untouched_recording_is_complete_and_says_what_was_lost() {
    let recorded = Recorded::new();
    let verification = recorded.verify(&recorded.file);
    assert_eq!(verification.verdict, Verdict::Complete(Signature::Trusted(recorded.keys.public.clone())));
    assert_eq!(verification.segments, 5);
    assert_eq!(verification.bytes, recorded.blocks[recorded.nth(MANIFEST, 0)].1.start as u64);
    assert_eq!(verification.summary.count(Kind::Chunk), ITEMS);
    assert_eq!((verification.summary.first, verification.summary.last), (Some(1_000), Some(1_000_000_001)));
    assert_eq!(verification.summary.losses.iter().map(|lost| (lost.place, lost.reason, lost.count)).collect::<Vec<_>>(), [(1, 1, 2)]);
    assert_eq!((verification.summary.blind_spots, verification.skipped, verification.malformed), (1, 0, 0));
    // In its layers too.
    let identity = Identity::generate();
    let options = writer::Options { zstd_level: Some(1), recipients: vec![identity.to_public()], ..signed_by(&recorded.keys) };
    let payload = payload();
    let file = written(&header(Level::Full), &items(&payload), options);
    let options = reader::Options { identities: vec![identity], ..reader::Options::default() };
    let verification = verify(&file[..], &options, std::slice::from_ref(&recorded.keys.public)).unwrap();
    assert!(matches!(verification.verdict, Verdict::Complete(Signature::Trusted(_))));
}

#[test]
fn the_segment_of_an_altered_byte_is_named() {
    let recorded = Recorded::new();
    let chains: Vec<usize> = (0..5).map(|nth| recorded.blocks[recorded.nth(CHAIN, nth)].1.end).collect();
    for (nth, segment) in [(0, 0), (300, 1), (1199, 4)] {
        let (_, block) = &recorded.blocks[recorded.nth(CHUNK, nth)];
        let mut file = recorded.file.clone();
        file[block.start + 2000] ^= 1;
        let at = if segment == 0 { 0 } else { chains[segment - 1] as u64 };
        let damage = recorded.damage(&file);
        let time = if segment == 0 { 1_000_000_001 } else { damage.time.unwrap() };
        assert!(damage.time.is_some_and(|time| time <= 1_000 + nth as u64 || segment == 0));
        let until = chains[segment] as u64;
        assert_eq!(damage, Damage { what: What::Altered, segment: segment as u64, at, until, time: Some(time), item: None });
        let verification = recorded.verify(&file);
        assert_eq!((verification.segments, verification.bytes), (segment as u64, at));
    }
    // Of a chain block, of the header, and of the padding behind a text.
    for at in [recorded.blocks[recorded.nth(CHAIN, 2)].1.start + 40, recorded.nth(128, 0)] {
        let at = if at < 100 { recorded.blocks[at].1.start + 34 } else { at };
        let mut file = recorded.file.clone();
        file[at] ^= 1;
        assert_eq!(recorded.damage(&file).what, What::Altered, "at {at}");
    }
}

#[test]
fn removed_items_are_told_from_altered_ones() {
    let recorded = Recorded::new();
    let first_chain = recorded.nth(CHAIN, 0);
    // In the middle of a segment, the last of a segment, the first of the next, the last of all.
    let cases = [(recorded.nth(CHUNK, 10), 0), (first_chain - 1, 0), (first_chain + 1, 1), (recorded.nth(12, 1), 4)];
    for (index, segment) in cases {
        let mut order = recorded.order();
        order.remove(index);
        let damage = recorded.damage(&recorded.with(order));
        assert_eq!((damage.what, damage.segment), (What::Removed, segment), "block {index}");
        assert!(damage.item.is_some());
    }
    // A whole segment with its chain block: in the middle, and the last one.
    for (from, to, segment) in [(1, 2, 2), (3, 4, 4)] {
        let gone = recorded.nth(CHAIN, from) + 1..recorded.nth(CHAIN, to) + 1;
        let order = recorded.order().into_iter().filter(|index| !gone.contains(index));
        let damage = recorded.damage(&recorded.with(order));
        assert_eq!((damage.what, damage.segment), (What::Removed, segment));
    }
    // A chain block alone hides nothing, but is missed.
    let order = recorded.order().into_iter().filter(|index| *index != first_chain);
    assert_eq!(recorded.damage(&recorded.with(order)).what, What::Altered);
}

#[test]
fn reordered_items_are_told_from_altered_ones() {
    let recorded = Recorded::new();
    let (near, far) = (recorded.nth(CHUNK, 10), recorded.nth(CHUNK, 900));
    for (one, other) in [(near, near + 1), (near, far)] {
        let mut order = recorded.order();
        order.swap(one, other);
        let damage = recorded.damage(&recorded.with(order));
        assert_eq!((damage.what, damage.segment), (What::Reordered, 0));
    }
    // Two whole segments.
    let ends: Vec<usize> = (0..4).map(|nth| recorded.nth(CHAIN, nth) + 1).collect();
    let order = (0..ends[0]).chain(ends[1]..ends[2]).chain(ends[0]..ends[1]).chain(ends[2]..recorded.blocks.len());
    let damage = recorded.damage(&recorded.with(order));
    assert_eq!((damage.what, damage.segment), (What::Reordered, 1));
}

#[test]
fn inserted_items_are_told_from_altered_ones() {
    let recorded = Recorded::new();
    let near = recorded.nth(CHUNK, 10);
    let mut order = recorded.order();
    order.insert(near + 5, near);
    assert_eq!(recorded.damage(&recorded.with(order)).what, What::Inserted);
    // Behind the last link, and behind the end.
    let mut order = recorded.order();
    order.insert(recorded.nth(MANIFEST, 0), near);
    assert_eq!(recorded.damage(&recorded.with(order)).what, What::Inserted);
    let mut order = recorded.order();
    order.push(near);
    let file = recorded.with(order);
    assert_eq!(recorded.damage(&file).what, What::Inserted);
    assert_eq!(recorded.damage(&file[..file.len() - 1]).what, What::Inserted);
}

#[test]
fn a_missing_tail_is_told_from_damage() {
    let recorded = Recorded::new();
    let manifest = recorded.blocks[recorded.nth(MANIFEST, 0)].1.clone();
    let verification = recorded.verify(&recorded.file[..manifest.start]);
    assert_eq!(verification.verdict, Verdict::NotClosed { at: manifest.start as u64 });
    assert_eq!((verification.segments, verification.bytes), (5, manifest.start as u64));
    assert_eq!(recorded.verify(&recorded.file[..manifest.end - 1]).verdict, Verdict::Cut { at: manifest.start as u64 });
    let inside = recorded.blocks[recorded.nth(CHUNK, 600)].1.clone();
    let verification = recorded.verify(&recorded.file[..inside.start + 9]);
    assert_eq!(verification.verdict, Verdict::Cut { at: inside.start as u64 });
    assert_eq!(verification.segments, 2);
    // Damage before the end is damage.
    let mut file = recorded.file[..inside.start + 9].to_vec();
    file[recorded.blocks[recorded.nth(CHUNK, 20)].1.start + 1000] ^= 1;
    assert_eq!(recorded.damage(&file).what, What::Altered);
}

#[test]
fn a_signature_that_is_removed_wrong_or_of_others_is_noticed() {
    let recorded = Recorded::new();
    let manifest = recorded.blocks[recorded.nth(MANIFEST, 0)].1.clone();
    let block = recorded.file[manifest.clone()].to_vec();
    let body = u32::from_le_bytes(block[28..32].try_into().unwrap()) as usize;
    // Removed: the manifest ends where the key and the signature stood.
    let mut without = block[..32 + body - 97].to_vec();
    without.push(0);
    without[28..32].copy_from_slice(&(body as u32 - 96).to_le_bytes());
    without.resize(without.len().next_multiple_of(4), 0);
    let length = (without.len() as u32 + 4).to_le_bytes();
    without[4..8].copy_from_slice(&length);
    without.extend(length);
    let file = [&recorded.file[..manifest.start], &without].concat();
    assert_eq!(recorded.verify(&file).verdict, Verdict::Complete(Signature::Removed(recorded.keys.public.id())));
    // Wrong: a bit of the signature, and one of a count.
    for (at, what) in [(32 + body - 1, What::Signature), (32 + body - 97 - 9, What::Manifest)] {
        let mut file = recorded.file.clone();
        file[manifest.start + at] ^= 1;
        assert_eq!(recorded.damage(&file).what, what);
    }
    // Of others, and none at all.
    let payload = payload();
    let others = keys("others");
    let file = written(&header(Level::Full), &items(&payload), signed_by(&others));
    let unnamed = PublicKey { name: String::new(), ..others.public };
    assert_eq!(recorded.verify(&file).verdict, Verdict::Complete(Signature::Unknown(unnamed)));
    let file = written(&header(Level::Full), &items(&payload), writer::Options::default());
    assert_eq!(recorded.verify(&file).verdict, Verdict::Complete(Signature::Unsigned));
}

#[test]
fn what_a_layer_cannot_read_is_damage_and_what_it_lacks_is_a_cut() {
    let payload = payload();
    let identity = Identity::generate();
    let compressed = writer::Options { zstd_level: Some(1), ..writer::Options::default() };
    let encrypted = writer::Options { recipients: vec![identity.to_public()], ..writer::Options::default() };
    let options = reader::Options { identities: vec![identity], ..reader::Options::default() };
    for how in [compressed, encrypted] {
        let file = written(&header(Level::Full), &items(&payload), how);
        let middle = file.len() / 2;
        let mut altered = file.clone();
        altered[middle] ^= 1;
        let verdict = verify(&altered[..], &options, &[]).unwrap().verdict;
        assert!(matches!(verdict, Verdict::Damaged(Damage { what: What::Unreadable, .. })), "{verdict:?}");
        let verdict = verify(&file[..middle], &options, &[]).unwrap().verdict;
        assert!(matches!(verdict, Verdict::Cut { at } if at > 0), "{verdict:?}");
    }
}
