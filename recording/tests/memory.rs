//! No file makes the reader take more memory than its cap. Counted by an allocator, so this test stands alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{header, pipe};
use mcp_sensor_proto::v1;
use prost::Message as _;
use recording::{Fault, Identity, Item, Level, Reader, Writer, reader, verify, writer};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything to the system's allocator, and only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promise, handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What reading a file may take besides its biggest block.
const BESIDES: usize = 48 << 20;
const MAX_BLOCK: usize = 2 << 20;

/// Reads and verifies a file, and gives what that took at most.
fn peak(name: &str, open: impl Fn() -> Box<dyn Read + Send>, identity: &Identity) -> (usize, Option<Fault>) {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let options = reader::Options { identities: vec![identity.clone()], max_block: MAX_BLOCK, max_total: 3 << 30 };
    let mut fault = None;
    match Reader::open(open(), &options) {
        Err(error) => fault = Some(error.fault),
        Ok(mut reader) => loop {
            match reader.next() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => fault = Some(error.fault),
            }
        },
    }
    let _ = verify(open(), &options, &[]);
    let took = PEAK.load(Ordering::Relaxed) - before;
    println!("{name}: {} KiB, {fault:?}", took / 1024);
    assert!(took <= MAX_BLOCK + BESIDES, "{name} took {took} bytes");
    (took, fault)
}

/// The beginning of a recording, and one block behind it.
fn with_block(r#type: u32, length: u32, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header(Level::Full), writer::Options::default()).unwrap();
    writer.flush_block().unwrap();
    let mut file = writer.finish().unwrap().0;
    // Without the manifest.
    let manifest = u32::from_le_bytes(file[file.len() - 4..].try_into().unwrap()) as usize;
    file.truncate(file.len() - manifest);
    file.extend(r#type.to_le_bytes());
    file.extend(length.to_le_bytes());
    file.extend(body);
    file.extend(length.to_le_bytes());
    file
}

/// A custom block of ours.
fn ours(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut data = 32473_u32.to_le_bytes().to_vec();
    data.extend(b"MCPR\x01");
    data.extend([kind, 0, 0]);
    data.extend([0; 8]);
    data.extend((body.len() as u32).to_le_bytes());
    data.extend(body);
    data.resize(data.len().next_multiple_of(4), 0);
    with_block(0xBAD, data.len() as u32 + 12, &data)
}

fn bytes(file: Vec<u8>) -> impl Fn() -> Box<dyn Read + Send> {
    let file: &'static [u8] = file.leak();
    move || Box::new(file)
}

#[test]
fn no_file_takes_more_than_the_cap() {
    let identity = Identity::generate();
    let take = |name: &str, file: Vec<u8>| peak(name, bytes(file), &identity);

    // A block that only says it is long: nothing is taken for it; one beyond the cap is refused.
    let (took, _) = take("a length within the cap", with_block(6, MAX_BLOCK as u32, b"short"));
    assert!(took < 3 << 20);
    let (_, fault) = take("a length beyond the cap", with_block(6, u32::MAX - 3, b"short"));
    assert!(matches!(fault, Some(Fault::BlockTooLong { .. })));
    let (_, fault) = take("a length of nothing", with_block(6, 0, b""));
    assert!(matches!(fault, Some(Fault::Lost)));

    // Messages of two bytes that take hundreds.
    let spots = v1::Sensor { blind_spots: vec![v1::BlindSpot::default(); 900_000], ..v1::Sensor::default() };
    let event = v1::Event { body: Some(v1::event::Body::Sensor(spots)), ..v1::Event::default() }.encode_to_vec();
    let (_, fault) = take("an event with many blind spots", ours(12, &event));
    assert!(matches!(fault, Some(Fault::Malformed(_))));
    let spots = v1::Sensor { blind_spots: vec![v1::BlindSpot::default(); 60_000], ..v1::Sensor::default() };
    let event = v1::Event { body: Some(v1::event::Body::Sensor(spots)), ..v1::Event::default() }.encode_to_vec();
    assert!(take("an event with as many as are read", ours(12, &event)).1.is_none());
    let peer = v1::Peer { ancestors: vec![v1::Ancestor::default(); 900_000], ..v1::Peer::default() }.encode_to_vec();
    take("a peer with many ancestors", ours(1, &[&[0; 20][..], &peer].concat()));
    // Counts that say more than there is.
    take("a manifest of many losses", ours(130, &[&[0; 90][..], &[0, 255, 255, 255, 255]].concat()));

    // Compressed zeros, and compressed blocks that are skipped, both without end.
    for (name, block) in [("zeros", vec![0; 1 << 20]), ("blocks to skip", with_block(77, 1 << 20, &vec![0; (1 << 20) - 12]))] {
        let beginning = with_block(77, 12, b"");
        let frame = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
        let block = if name == "zeros" { block } else { block[beginning.len() - 12..].to_vec() };
        let (beginning, frame) = (frame(&beginning).leak() as &'static [u8], frame(&block).leak() as &'static [u8]);
        let (_, fault) = peak(name, || Box::new(beginning.chain(Repeat { frame, at: 0 })), &identity);
        assert!(matches!(fault, Some(Fault::Lost | Fault::TooMuch { .. })), "{name}: {fault:?}");
    }
    // A window that wants 128 MiB.
    let mut compressor = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    compressor.set_parameter(zstd::zstd_safe::CParameter::WindowLog(27)).unwrap();
    std::io::Write::write_all(&mut compressor, &with_block(77, 12, b"")).unwrap();
    std::io::Write::write_all(&mut compressor, &vec![1; 9 << 20]).unwrap();
    let (_, fault) = take("a big window", compressor.finish().unwrap());
    assert!(matches!(fault, Some(Fault::Decompression(_))), "{fault:?}");

    // An encrypted file whose beginning does not end.
    let lines = b"-> X25519 AAAA\n".repeat(1 << 20);
    let (took, fault) = take("recipients without end", [&b"age-encryption.org/v1\n"[..], &lines].concat());
    assert!(took < 4 << 20 && fault.is_some());
    take("a line without end", [&b"age-encryption.org/v1\n-> "[..], &vec![b'a'; 16 << 20]].concat());

    // An ordinary one in all layers, longer than the cap.
    let options = writer::Options { zstd_level: Some(1), recipients: vec![identity.to_public()], signer: None };
    let mut writer = Writer::new(Vec::new(), &header(Level::Full), options).unwrap();
    let payload: Vec<u8> = (0..1 << 20).map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 21) as u8).collect();
    for index in 0..100 {
        writer.item(&common::chunk(index, pipe(1), index << 20, &payload)).unwrap();
        writer.item(&Item::Tick { time: index }).unwrap();
    }
    let (took, fault) = take("an ordinary recording of 100 MiB", writer.finish().unwrap().0);
    assert!(fault.is_none() && took < 6 << 20, "{took}");
}

/// A frame again and again.
struct Repeat {
    frame: &'static [u8],
    at: usize,
}

impl Read for Repeat {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let rest = &self.frame[self.at..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at = (self.at + length) % self.frame.len();
        Ok(length)
    }
}
