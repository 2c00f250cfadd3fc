//! How fast recordings are written to memory and read back: `cargo run --release -p mcp-sensor-recording --example speed`.
//!
//! Chunks of 300 bytes and of 16 KiB, plain and compressed. One thread; times are the thread's own on the processor, so that what
//! else runs on the machine counts little.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a measurement may end at what it does not expect")]

use recording::{Header, Item, Level, Reader, Writer, reader, verify, writer};
use rustix::time::{ClockId, clock_gettime};
use sensor_core::input::{Chunk, End, LossReasons, ProcessId, StreamKey};
use std::io::{self, Write};

/// Payload of a measurement.
const PAYLOAD: u64 = 512 << 20;

/// Memory that was touched before, so that the kernel's giving it out is not measured.
struct Memory {
    bytes: Vec<u8>,
    length: usize,
}

impl Write for &mut Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.length + bytes.len();
        self.bytes.get_mut(self.length..end).ok_or(io::ErrorKind::StorageFull)?.copy_from_slice(bytes);
        self.length = end;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn main() {
    let mut memory = Memory { bytes: vec![1; 2 * PAYLOAD as usize], length: 0 };
    println!(
        "{:>8} {:>6} {:>14} {:>14} {:>14} {:>14} {:>12}",
        "payload", "zstd", "written MB/s", "items/s", "read items/s", "verified MB/s", "file/payload"
    );
    for size in [300, 16 << 10] {
        for level in [None, Some(1), Some(3)] {
            measure(&mut memory, size, level);
        }
    }
}

/// Seconds that this thread ran.
fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn header() -> Header {
    let text = |text: &str| text.to_owned();
    Header {
        node: text("speed"),
        boot_time: 1_700_000_000_000_000_000,
        level: Level::Full,
        sensor_version: text("0"),
        filter: String::new(),
        message_bytes: 0,
        body_limit: 0,
        started: 1_700_000_000_000_000_000,
        reason: String::new(),
    }
}

/// Calls that differ, as a client makes them.
fn lines(size: usize) -> Vec<Vec<u8>> {
    let line = |id: usize| {
        let start = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"read_file","arguments":{{"path":"/srv/{:x}","text":""#,
            id * 7919
        );
        let mut line = start.into_bytes();
        let mut seed = id as u32;
        while line.len() + 6 < size {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            line.extend_from_slice(&b"the quick brown fox jumps over a lazy dog "[(seed >> 28) as usize..][..8.min(size - 6 - line.len())]);
        }
        line.extend_from_slice(b"\"}}}\n");
        line
    };
    (0..256).map(line).collect()
}

fn measure(memory: &mut Memory, size: usize, zstd_level: Option<i32>) {
    memory.length = 0;
    let lines = lines(size);
    let count = PAYLOAD / size as u64;
    let began = now();
    let mut writer = Writer::new(&mut *memory, &header(), writer::Options { zstd_level, ..writer::Options::default() }).unwrap();
    for index in 0..count {
        let stream = StreamKey::Pipe { device: 14, inode: 500 + index % 64, address: 0xffff_8881_0000_0000 };
        let chunk = Chunk {
            time: index * 1000,
            stream,
            epoch: 5,
            end: End::Writer,
            process: ProcessId { pid: 100 + (index % 64) as u32, start_time: 7 },
            offset: index * size as u64,
            loss: LossReasons::default(),
            packet_end: false,
            ahead: false,
            since_birth: true,
            bytes: &lines[(index % 256) as usize],
        };
        writer.item(&Item::Chunk(chunk)).unwrap();
    }
    writer.finish().unwrap();
    let written = now() - began;
    let file = &memory.bytes[..memory.length];
    let began = now();
    let mut reader = Reader::open(file, &reader::Options::default()).unwrap();
    let mut read = 0;
    while let Some(item) = reader.next().unwrap() {
        read += u64::from(std::hint::black_box(item).time().is_some());
    }
    assert_eq!(read, count);
    let reading = now() - began;
    let began = now();
    verify(file, &reader::Options::default(), &[]).unwrap();
    let verifying = now() - began;
    let payload = (count * size as u64) as f64;
    println!(
        "{size:>8} {:>6} {:>14.0} {:>14.0} {:>14.0} {:>14.0} {:>12.2}",
        zstd_level.map_or_else(|| "off".to_owned(), |level| level.to_string()),
        payload / written / 1e6,
        count as f64 / written,
        count as f64 / reading,
        payload / verifying / 1e6,
        file.len() as f64 / payload,
    );
}
