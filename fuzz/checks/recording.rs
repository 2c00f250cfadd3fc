//! Recordings: any bytes are read without panic, and a signed file that was altered anywhere is never complete.
//!
//! Compiled into the fuzz target and into `recording/tests/laws.rs`; not a part of `checks`, which `sensor-core` tests.

use recording::keys::{PublicKey, Signer, generate};
use recording::verify::{Signature, Verdict};
use recording::{Ending, Header, Item, Level, Reader, Writer, reader, verify, writer};
use sensor_core::input::{Chunk, End, LossReasons, ProcessId, StreamKey};
use std::sync::{Arc, OnceLock};

/// Bytes of a block and of a file, for the reader.
const MAX_BLOCK: usize = 1 << 20;
const MAX_TOTAL: u64 = 64 << 20;

/// Any bytes.
pub fn raw(data: &[u8]) {
    let options = reader::Options { max_block: MAX_BLOCK, max_total: MAX_TOTAL, ..reader::Options::default() };
    let read = Reader::open(data, &options).map(|mut reader| {
        let mut failed = false;
        loop {
            match reader.next() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => failed |= !error.is_passing(),
            }
        }
        assert!(reader.next().is_ok_and(|item| item.is_none()), "there is nothing behind the end");
        (reader.ending(), failed)
    });
    match (read, verify(data, &options, &[])) {
        (Ok((Ending::NotClosed, false)), Ok(verified)) => {
            assert!(!matches!(verified.verdict, Verdict::Complete(_) | Verdict::Cut { .. }));
        }
        (Ok((Ending::Cut { .. }, false)), Ok(verified)) => {
            assert!(!matches!(verified.verdict, Verdict::Complete(_) | Verdict::NotClosed { .. }));
        }
        (Err(_), Ok(verified)) => panic!("verified and not readable: {verified:?}"),
        _ => {}
    }
}

/// A recording with changes in it: each takes four bytes of `data` (what, where, where, with what).
pub fn altered(data: &[u8]) {
    let Whole { file, compressed, trusted } = whole();
    let (&first, changes) = data.split_first().unwrap_or((&0, &[]));
    if first % 4 == 3 {
        return raw(&changed(compressed, changes));
    }
    let altered = changed(file, changes);
    raw(&altered);
    let verified = verify(&altered[..], &reader::Options::default(), std::slice::from_ref(trusted));
    let vouched = verified.is_ok_and(|verified| matches!(verified.verdict, Verdict::Complete(Signature::Trusted(_))));
    assert_eq!(vouched, altered == *file, "a file is vouched for if it is the one that was signed");
}

fn changed(file: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    for change in changes.chunks_exact(4).take(16) {
        let &[what, high, low, with] = change else { continue };
        if file.is_empty() {
            break;
        }
        let at = (usize::from(high) << 8 | usize::from(low)) % file.len();
        match what % 6 {
            0 => file[at] ^= 1 << (with % 8),
            1 => file[at] = with,
            2 => file.truncate(at),
            3 => drop(file.drain(at..(at + 4 * usize::from(with)).min(file.len()))),
            4 => {
                let copy = file[at..(at + 4 * usize::from(with)).min(file.len())].to_vec();
                file.splice(at..at, copy);
            }
            // Lengths, mostly.
            _ => file.iter_mut().skip(at / 4 * 4).take(4).for_each(|byte| *byte = with),
        }
    }
    file
}

struct Whole {
    file: Vec<u8>,
    compressed: Vec<u8>,
    trusted: PublicKey,
}

fn whole() -> &'static Whole {
    static WHOLE: OnceLock<Whole> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let made = generate("fuzz").expect("a key");
        let signer = Arc::new(Signer::from_pem(&made.private).expect("the key"));
        let trusted = PublicKey::parse_all(&made.public).expect("the key").remove(0);
        let plain = writer::Options { signer: Some(signer), ..writer::Options::default() };
        let compressed = written(writer::Options { zstd_level: Some(1), ..plain.clone() });
        Whole { file: written(plain), compressed, trusted }
    })
}

fn written(options: writer::Options) -> Vec<u8> {
    let header = Header {
        node: "n".to_owned(),
        boot_time: 1,
        level: Level::Full,
        sensor_version: "1".to_owned(),
        filter: String::new(),
        message_bytes: 1,
        body_limit: 1,
        started: 1,
        reason: "fuzz".to_owned(),
    };
    let mut writer = Writer::new(Vec::new(), &header, options).expect("writing to memory");
    let process = ProcessId { pid: 7, start_time: 8 };
    for index in 0..20 {
        let stream = if index % 2 == 0 { StreamKey::Unix { from: 1, to: 2 } } else { StreamKey::Pipe { device: 1, inode: 2, address: 3 } };
        let chunk = Chunk {
            time: index,
            stream,
            epoch: 0,
            end: End::Writer,
            process,
            offset: 10 * index,
            loss: LossReasons::default(),
            packet_end: false,
            ahead: false,
            since_birth: false,
            bytes: b"{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}\n",
        };
        writer.item(&Item::Chunk(chunk)).expect("writing to memory");
        writer.item(&Item::Exec { time: index, process }).expect("writing to memory");
        if index % 5 == 4 {
            let time = index;
            writer.item(&Item::Gap { time, stream, epoch: 0, bytes: Some(1), reasons: LossReasons::MEMORY }).expect("writing to memory");
            writer.item(&Item::Process { time, id: process, peer: Default::default() }).expect("writing to memory");
            writer.item(&Item::Event(Default::default())).expect("writing to memory");
            writer.flush_block().expect("writing to memory");
        }
    }
    writer.finish().expect("writing to memory").0
}
