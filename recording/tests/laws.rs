//! The laws that the fuzz targets check, in the ordinary test run; and the round trip of any items.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../../fuzz/checks/recording.rs"]
mod checks;
mod common;

use common::{header, read};
use mcp_sensor_proto::v1;
use proptest::prelude::*;
use recording::{Ending, Framed, Item, Level, Passed, Verdict, Writer, reader, verify, writer};
use sensor_core::event::Marks;
use sensor_core::input::{Chunk, End, LossReasons, ProcessId, StreamKey, Touch};
use std::net::SocketAddrV6;
use std::path::Path;

/// A number: any, or one at an edge.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), Just(0), Just(1), Just(u64::MAX), Just(u64::MAX - 1), Just(1 << 63), 0..10_000_u64]
}

fn socket() -> impl Strategy<Value = SocketAddrV6> {
    let ip = prop_oneof![
        any::<u128>().prop_map(std::net::Ipv6Addr::from),
        any::<u32>().prop_map(|ip| std::net::Ipv4Addr::from(ip).to_ipv6_mapped())
    ];
    (ip, any::<u16>(), any::<u32>(), any::<u32>()).prop_map(|(ip, port, flow, scope)| SocketAddrV6::new(ip, port, flow, scope))
}

fn stream() -> impl Strategy<Value = StreamKey> {
    prop_oneof![
        (number(), number(), number()).prop_map(|(device, inode, address)| StreamKey::Pipe { device, inode, address }),
        (number(), number()).prop_map(|(from, to)| StreamKey::Unix { from, to }),
        (socket(), socket(), number()).prop_map(|(from, to, namespace)| StreamKey::Tcp { from, to, namespace }),
        (number(), any::<bool>()).prop_map(|(terminal, to_slave)| StreamKey::Pty { terminal, to_slave }),
    ]
}

fn process() -> impl Strategy<Value = ProcessId> {
    (any::<u32>(), number()).prop_map(|(pid, start_time)| ProcessId { pid, start_time })
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        Just(common::CALL.to_vec()),
        Just(common::LINE.to_vec()),
        Just(b"{}\n\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        Just(b"\x0a\x0d\x0d\x0aMCPR\x01\x81".to_vec()),
    ]
}

fn passed() -> impl Strategy<Value = Passed> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (number(), stream(), number(), flags, process(), number(), any::<u8>(), number()).prop_map(
        |(time, stream, epoch, (reader, packet_end, ahead, since_birth), process, offset, loss, length)| Passed {
            time,
            stream,
            epoch,
            end: if reader { End::Reader } else { End::Writer },
            process,
            offset,
            loss: LossReasons(loss),
            packet_end,
            ahead,
            since_birth,
            length,
        },
    )
}

fn peer() -> impl Strategy<Value = v1::Peer> {
    (any::<u32>(), ".{0,40}", proptest::collection::vec(".{0,20}", 0..4)).prop_map(|(pid, exe, command_line)| v1::Peer {
        pid,
        exe,
        command_line,
        ..v1::Peer::default()
    })
}

/// An item, with the bytes that it borrows.
fn item() -> impl Strategy<Value = Item<'static>> {
    // The tests end before memory does.
    let leaked = || payload().prop_map(|bytes| &*bytes.leak());
    let event =
        (peer(), ".{0,60}", any::<i64>(), any::<i32>(), any::<i32>(), number()).prop_map(|(peer, detail, seconds, nanos, place, count)| {
            let count = v1::loss::Count { place, reason: nanos, count, bytes: count };
            let spot = v1::BlindSpot { process: Some(peer), detail: detail.clone(), ..v1::BlindSpot::default() };
            let sensor =
                v1::Sensor { detail, loss: Some(v1::Loss { counts: vec![count] }), blind_spots: vec![spot], ..v1::Sensor::default() };
            let time = Some(prost_types::Timestamp { seconds, nanos });
            Item::Event(v1::Event { time, body: Some(v1::event::Body::Sensor(sensor)), ..v1::Event::default() })
        });
    prop_oneof![
        (number(), process(), peer()).prop_map(|(time, id, peer)| Item::Process { time, id, peer }),
        (passed(), leaked()).prop_map(|(it, bytes)| {
            let Passed { time, stream, epoch, end, process, offset, loss, packet_end, ahead, since_birth, length: _ } = it;
            Item::Chunk(Chunk { time, stream, epoch, end, process, offset, loss, packet_end, ahead, since_birth, bytes })
        }),
        (passed(), any::<bool>()).prop_map(|(it, unseen)| {
            let Passed { time, stream, epoch, end, process, offset, since_birth, length: moved, .. } = it;
            Item::Touch(Touch { time, stream, epoch, end, process, offset, moved, unseen, since_birth })
        }),
        passed().prop_map(Item::Passed),
        (passed(), any::<u32>(), any::<[u8; 32]>(), leaked()).prop_map(|(it, marks, sha256, bytes)| {
            let Passed { time, stream, epoch, offset: start, length: size, .. } = it;
            Item::Message(Framed { time, stream, epoch, start, marks: Marks(marks), size, sha256, bytes })
        }),
        (number(), stream(), number(), number()).prop_map(|(time, stream, epoch, bytes)| Item::Noise { time, stream, epoch, bytes }),
        (number(), stream(), number(), proptest::option::of(number()), any::<u8>())
            .prop_map(|(time, stream, epoch, bytes, reasons)| { Item::Gap { time, stream, epoch, bytes, reasons: LossReasons(reasons) } }),
        (number(), process(), process()).prop_map(|(time, parent, child)| Item::Fork { time, parent, child }),
        (number(), process()).prop_map(|(time, process)| Item::Exec { time, process }),
        (number(), process()).prop_map(|(time, process)| Item::Exit { time, process }),
        number().prop_map(|time| Item::Tick { time }),
        event,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_items_come_back_as_they_were(
        items in proptest::collection::vec(item(), 0..30),
        flush_every in 1..20_usize,
        zstd_level in proptest::option::of(1..4),
    ) {
        let mut writer = Writer::new(Vec::new(), &header(Level::Full), writer::Options { zstd_level, ..writer::Options::default() }).unwrap();
        for (index, item) in items.iter().enumerate() {
            writer.item(item).unwrap();
            if index % flush_every == 0 {
                writer.flush_block().unwrap();
            }
        }
        let (file, manifest) = writer.finish().unwrap();
        let given = read(&file, &reader::Options::default()).unwrap();
        prop_assert_eq!(given.items, common::shown(&items));
        prop_assert_eq!(given.ending, Ending::Complete(manifest.clone()));
        let verified = verify(&file[..], &reader::Options::default(), &[]).unwrap();
        prop_assert!(matches!(verified.verdict, Verdict::Complete(_)), "{:?}", verified.verdict);
        prop_assert_eq!(verified.summary, manifest.summary);
    }

    #[test]
    fn any_bytes_are_read_without_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        checks::raw(&data);
    }

    #[test]
    fn a_signed_file_that_was_altered_is_not_vouched_for(data in proptest::collection::vec(any::<u8>(), 0..20)) {
        checks::altered(&data);
    }
}

/// Panics where it is broken.
type Law = fn(&[u8]);

#[test]
fn every_file_of_the_fuzz_corpora_holds() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let targets: [(&str, Law); 2] = [("recording_raw", checks::raw), ("recording_altered", checks::altered)];
    for (target, check) in targets {
        let mut replayed = 0;
        for entry in std::fs::read_dir(corpora.join(target)).unwrap_or_else(|error| panic!("the corpus of {target}: {error}")) {
            check(&std::fs::read(entry.expect("an entry of the corpus").path()).expect("a file of the corpus"));
            replayed += 1;
        }
        assert!(replayed > 0, "the corpus of {target} is empty");
    }
}
