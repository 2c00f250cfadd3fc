//! How long the way from bytes to parsed messages takes, step by step, on one core.
//!
//! `cargo run --release -p sensor-core --example framing_speed` (pin it with `taskset -c 1`). Prints nanoseconds a message
//! and GB/s, of the best of many short rounds: what else the machine does disturbs that least.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not the product")]

use sensor_core::input::{Chunk, End, LossReasons, ProcessId, StreamKey};
use sensor_core::json::{Scanner, Tape};
use sensor_core::stream::{Reassembler, Segment};
use sensor_core::wire::ndjson::{Frame, Limits, Ndjson};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 200;

fn main() {
    for text in [110, 2_800, 99_000] {
        let messages = messages(text);
        let stream: Vec<u8> = messages.iter().flat_map(|message| [message.as_bytes(), b"\n"].concat()).collect();
        let lines: Vec<&[u8]> = stream.split_inclusive(|&byte| byte == b'\n').collect();
        let size = stream.len() / messages.len();
        let repeat = (1 << 19) / stream.len() + 1;
        println!("\n{size} bytes a message");
        let report = |name: &str, run: &mut dyn FnMut() -> usize| {
            let mut rounds: Vec<u128> = Vec::new();
            for _ in 0..ROUNDS {
                let start = Instant::now();
                let mut found = 0;
                for _ in 0..repeat {
                    found = run();
                }
                rounds.push(start.elapsed().as_nanos());
                assert_eq!(found, messages.len(), "{name} did not find every message");
            }
            rounds.sort_unstable();
            let nanoseconds = rounds.first().copied().unwrap_or(0) as f64 / (repeat * messages.len()) as f64;
            println!("{name:<44} {nanoseconds:>10.0} ns {:>8.2} GB/s", size as f64 / nanoseconds);
        };
        let mut tape = Tape::new();
        report("tape", &mut || messages.iter().filter(|message| black_box(&mut tape).parse(message.as_bytes()).is_ok()).count());
        report("scanner (only in use for messages in pieces)", &mut || {
            let mut scanner = Scanner::new();
            messages
                .iter()
                .filter(|message| {
                    scanner.reset();
                    black_box(&mut scanner).feed(message.as_bytes()).0 == message.len()
                })
                .count()
        });
        for (name, piece) in [("frames, whole", 16 << 20), ("frames, in pieces of 8 KiB", 8192), ("frames, in pieces of 100 bytes", 100)] {
            let mut framing = Ndjson::new(Limits::default());
            report(name, &mut || {
                let mut found = 0;
                for piece in stream.chunks(piece) {
                    framing.push(piece, &mut tape, &mut |frame| found += usize::from(matches!(frame, Frame::Value { .. })));
                }
                found
            });
        }
        report("reassembly and frames, a chunk a message", &mut || {
            let (mut order, mut framing) = (Reassembler::new(), Ndjson::new(Limits::default()));
            let (mut found, mut offset) = (0, 0);
            for line in &lines {
                order.push(&chunk(offset, line), &mut |segment| {
                    if let Segment::Bytes(bytes) = segment {
                        framing.push(bytes, &mut tape, &mut |frame| found += usize::from(matches!(frame, Frame::Value { .. })));
                    }
                });
                offset += line.len() as u64;
            }
            found
        });
    }
}

/// Calls and results, half and half, with a text of about this many bytes in each.
fn messages(text: usize) -> Vec<String> {
    let words = "The quick brown fox jumps over 13 lazy dogs; \\\"quoted\\\" and then\\n";
    (0..64)
        .map(|id| {
            let text: String = words.chars().cycle().skip(id % 7).take(text).collect();
            let text = text.trim_end_matches('\\').trim_start_matches(['"', '\\']);
            if id % 2 == 0 {
                format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"search_files","arguments":{{"path":"/home/user/project","pattern":"{text}","limit":25,"recursive":true}},"_meta":{{"progressToken":{id}}}}}}}"#
                )
            } else {
                format!(
                    r#"{{"result":{{"content":[{{"type":"text","text":"{text}"}}],"structuredContent":{{"matches":3,"elapsed":0.25,"more":false}},"isError":false}},"jsonrpc":"2.0","id":{id}}}"#
                )
            }
        })
        .collect()
}

fn chunk(offset: u64, bytes: &[u8]) -> Chunk<'_> {
    Chunk {
        time: 0,
        stream: StreamKey::Pipe { device: 0, inode: 0, address: 0 },
        epoch: 0,
        end: End::Writer,
        process: ProcessId { pid: 1, start_time: 0 },
        offset,
        loss: LossReasons::default(),
        packet_end: false,
        ahead: false,
        since_birth: false,
        bytes,
    }
}
