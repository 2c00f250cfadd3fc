//! Items to record, and the recordings of them.
#![allow(dead_code, reason = "each test uses a part of it")]

use mcp_sensor_proto::v1;
use recording::{Framed, Header, Item, Level, Passed, ReadError, Reader, Writer, reader, writer};
use sensor_core::event::Marks;
use sensor_core::input::{Chunk, End, LossReasons, ProcessId, StreamKey, Touch};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6};

pub const CLIENT: ProcessId = ProcessId { pid: 4711, start_time: 1_000_000_000 };
pub const SERVER: ProcessId = ProcessId { pid: 4712, start_time: 1_500_000_000 };

/// 2026-01-31T14:00:00Z.
pub const BOOT: u64 = 1_769_868_000_000_000_000;

pub fn header(level: Level) -> Header {
    Header {
        node: "web-1".to_owned(),
        boot_time: BOOT,
        level,
        sensor_version: "0.1.0".to_owned(),
        filter: "--tool read_file".to_owned(),
        message_bytes: 16 << 20,
        body_limit: 64 << 10,
        started: BOOT + 2_000_000_000,
        reason: "a test".to_owned(),
    }
}

pub fn pipe(inode: u64) -> StreamKey {
    StreamKey::Pipe { device: 14, inode, address: 0xffff_8881_0000_1000 + inode }
}

pub fn tcp4() -> StreamKey {
    let address = |last, port| SocketAddrV6::new(Ipv4Addr::new(192, 0, 2, last).to_ipv6_mapped(), port, 0, 0);
    StreamKey::Tcp { from: address(7, 40_000), to: address(8, 8080), namespace: 1 }
}

pub fn tcp6() -> StreamKey {
    let address = |last, port| SocketAddrV6::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last), port, 0, 3);
    StreamKey::Tcp { from: address(7, 40_000), to: address(8, 443), namespace: 1 }
}

pub fn streams() -> [StreamKey; 7] {
    [
        pipe(501),
        pipe(502),
        StreamKey::Unix { from: 0xffff_8881_2222_0000, to: 0xffff_8881_3333_0000 },
        tcp4(),
        tcp6(),
        StreamKey::Pty { terminal: 0xffff_8881_4444_0000, to_slave: true },
        StreamKey::Pty { terminal: 0xffff_8881_4444_0000, to_slave: false },
    ]
}

pub fn peer(pid: u32, exe: &str) -> v1::Peer {
    v1::Peer { pid, exe: exe.to_owned(), command_line: vec![exe.to_owned(), "-y".to_owned()], uid: Some(1000), ..v1::Peer::default() }
}

pub fn process(id: ProcessId, exe: &str) -> Item<'static> {
    Item::Process { time: id.start_time + 1, id, peer: peer(id.pid, exe) }
}

pub fn chunk(time: u64, stream: StreamKey, offset: u64, bytes: &[u8]) -> Item<'_> {
    Item::Chunk(Chunk {
        time,
        stream,
        epoch: 900,
        end: End::Writer,
        process: CLIENT,
        offset,
        loss: LossReasons::default(),
        packet_end: false,
        ahead: false,
        since_birth: true,
        bytes,
    })
}

pub fn message(time: u64, stream: StreamKey, start: u64, bytes: &[u8]) -> Item<'_> {
    let original = [bytes, b"    "].concat();
    Item::Message(Framed {
        time,
        stream,
        epoch: 900,
        start,
        marks: Marks::SEVERAL_LINES,
        size: original.len() as u64,
        sha256: ring::digest::digest(&ring::digest::SHA256, &original).as_ref().try_into().unwrap(),
        bytes,
    })
}

pub fn told(ring_full: u64, detail: &str) -> Item<'static> {
    let count = v1::loss::Count {
        place: v1::loss::Place::Kernel as i32,
        reason: v1::loss::Reason::RingFull as i32,
        count: ring_full,
        bytes: 100 * ring_full,
    };
    let spot = v1::BlindSpot {
        process: Some(peer(99, "/opt/evil\u{202e}\nGAP\u{1b}[31m")),
        reason: v1::blind_spot::Reason::TlsLibrary as i32,
        detail: "statically linked NSS".to_owned(),
        ..v1::BlindSpot::default()
    };
    let sensor = v1::Sensor {
        state: v1::sensor::State::Ready as i32,
        detail: detail.to_owned(),
        version: "0.1.0".to_owned(),
        started: Some(prost_types::Timestamp { seconds: 1_769_868_001, nanos: 5 }),
        loss: Some(v1::Loss { counts: if ring_full == 0 { Vec::new() } else { vec![count] } }),
        blind_spots: vec![spot],
        ..v1::Sensor::default()
    };
    Item::Event(v1::Event {
        id: "00000000000000000000000000000abc".to_owned(),
        time: Some(prost_types::Timestamp { seconds: 1_769_868_002, nanos: 7 }),
        node: "web-1".to_owned(),
        body: Some(v1::event::Body::Sensor(sensor)),
        ..v1::Event::default()
    })
}

pub const CALL: &[u8] =
    br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{"path":"/etc/hosts"}}}"#;
pub const ANSWER: &[u8] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"127.0.0.1 – ünï \\u001b[31m\"}]}}".as_bytes();
pub const LINE: &[u8] = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";

/// One of everything.
pub fn all(level: Level) -> Vec<Item<'static>> {
    let mut items =
        vec![told(3, "the recording begins"), process(CLIENT, "/usr/bin/node"), process(SERVER, "/usr/bin/python3.13\u{1b}]0;x\u{7}")];
    items.push(Item::Fork { time: 1_500_000_000, parent: CLIENT, child: SERVER });
    items.push(Item::Exec { time: 1_600_000_000, process: SERVER });
    for (index, stream) in streams().into_iter().enumerate() {
        let time = 3_000_000_000 + index as u64 * 1_000_000;
        let bytes = [CALL, ANSWER, LINE][index % 3];
        items.push(Item::Touch(Touch {
            time,
            stream,
            epoch: 900,
            end: End::Reader,
            process: SERVER,
            offset: 0,
            moved: 5,
            unseen: index == 3,
            since_birth: true,
        }));
        match level {
            Level::Full => items.push(chunk(time + 1, stream, 0, bytes)),
            Level::Redacted => {
                let Item::Chunk(whole) = chunk(time + 1, stream, 0, bytes) else { unreachable!() };
                items.push(Item::Passed(Passed::from(&whole)));
                items.push(message(time + 1, stream, 0, bytes.trim_ascii_end()));
            }
        }
    }
    let (time, stream) = (4_000_000_000, pipe(501));
    items.push(Item::Gap { time, stream, epoch: 900, bytes: Some(4096), reasons: LossReasons::RING_FULL.union(LossReasons::READ_FAULT) });
    items.push(Item::Gap { time, stream: tcp4(), epoch: 900, bytes: None, reasons: LossReasons::default() });
    items.push(Item::Noise { time, stream, epoch: 900, bytes: 17 });
    items.push(told(10, "still here"));
    items.push(Item::Tick { time: 5_000_000_000 });
    items.push(Item::Exit { time: 5_000_000_001, process: SERVER });
    items
}

/// A file of these items.
pub fn written(header: &Header, items: &[Item<'_>], options: writer::Options) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), header, options).unwrap();
    items.iter().for_each(|item| writer.item(item).unwrap());
    writer.finish().unwrap().0
}

/// Items in a form that can be compared.
pub fn shown(items: &[Item<'_>]) -> Vec<String> {
    items.iter().map(|item| format!("{item:?}")).collect()
}

/// What a reader gives: the items, the errors that it passed over, and how it ended.
pub struct Given {
    pub items: Vec<String>,
    pub errors: Vec<ReadError>,
    pub ending: recording::Ending,
}

pub fn read(file: &[u8], options: &reader::Options) -> Result<Given, ReadError> {
    let mut reader = Reader::open(file, options)?;
    let (mut items, mut errors) = (Vec::new(), Vec::new());
    loop {
        match reader.next() {
            Ok(Some(item)) => items.push(format!("{item:?}")),
            Ok(None) => break,
            Err(error) => errors.push(error),
        }
    }
    Ok(Given { items, errors, ending: reader.ending() })
}
