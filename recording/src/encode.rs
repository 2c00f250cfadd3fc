//! Items as pcapng blocks.

use crate::address::Addresses;
use crate::format::{self, PORT_TYPE_TCP, block, kind, option, tag};
use crate::item::{Framed, Header, Item, Kind, Passed};
use crate::known::{Ends, Known};
use crate::proto;
use crate::put::{Put as _, block, custom_block, custom_option, end_of_options, option, pad};
use crate::words::{Reasons, Stream, Text, Told};
use mcp_sensor_proto::v1;
use sensor_core::input::{Chunk, End, StreamKey, Time, Touch};
use std::io::Write as _;

/// Flags of a chunk, a passed chunk and a touch.
pub mod flag {
    pub const READER: u8 = 1;
    pub const PACKET_END: u8 = 2;
    pub const AHEAD: u8 = 4;
    pub const SINCE_BIRTH: u8 = 8;
    pub const UNSEEN: u8 = 16;
}

/// Where items are written to, and what writing them needs.
pub struct Encoder<'a> {
    /// The bytes so far.
    pub out: &'a mut Vec<u8>,
    /// What comments name.
    pub known: &'a Known,
    /// See [`Header::boot_time`].
    pub boot_time: u64,
    /// The number of the next item.
    pub number: u64,
}

impl Encoder<'_> {
    /// Writes an item.
    pub fn item(&mut self, item: &Item<'_>) {
        match item {
            Item::Chunk(chunk) => self.chunk(chunk),
            Item::Message(message) => self.message(message),
            Item::Gap { time, stream, .. } => self.gap(item, *time, stream),
            Item::Event(event) => self.event(event),
            other => {
                let number = self.number;
                custom_block(self.out, other.kind() as u8, Some(number), |out| body(other, out));
            }
        }
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) {
        let Self { out, known, boot_time, number } = self;
        let ends = known.ends(&chunk.stream);
        let packet = Packet {
            time: boot_time.saturating_add(chunk.time),
            stream: Some(&chunk.stream),
            dissector: dissector(chunk.bytes),
            payload: chunk.bytes,
            line_end: false,
            end: Some(chunk.end),
        };
        packet.write(out, |out| {
            option(out, option::COMMENT, |out| {
                // Writing to a vector cannot fail.
                let _ = write!(out, "{}: {} bytes at {}", Stream(&chunk.stream), chunk.bytes.len(), chunk.offset);
                peers(out, known, &ends);
                if !chunk.loss.is_empty() {
                    let _ = write!(out, "\nLOSS: bytes before these may be missing: {}", Reasons(chunk.loss));
                }
            });
            custom_option(out, Kind::Chunk as u8, Some(*number), |out| passed(&Passed::from(chunk), out));
        });
    }

    fn message(&mut self, message: &Framed<'_>) {
        let Self { out, known, boot_time, number } = self;
        let Framed { time, stream, epoch, start, marks, size, sha256, bytes } = message;
        let ends = known.ends(stream);
        let packet = Packet {
            time: boot_time.saturating_add(*time),
            stream: Some(stream),
            dissector: "json",
            payload: bytes,
            line_end: true,
            end: ends.taken,
        };
        packet.write(out, |out| {
            option(out, option::COMMENT, |out| {
                let _ = write!(out, "{}: message at {start}, redacted; the original had {size} bytes, SHA-256 ", Stream(stream));
                hex(out, sha256);
                peers(out, known, &ends);
            });
            custom_option(out, Kind::Message as u8, Some(*number), |out| {
                out.u64(*time);
                out.stream(stream);
                out.u64(*epoch);
                out.u64(*start);
                out.u32(marks.0);
                out.u64(*size);
                out.bytes(sha256);
            });
        });
    }

    /// A gap is a packet without payload, so that a person sees it among the packets.
    fn gap(&mut self, item: &Item<'_>, time: Time, stream: &StreamKey) {
        let Item::Gap { bytes, reasons, .. } = item else { return };
        let Self { out, known, boot_time, number } = self;
        let ends = known.ends(stream);
        let packet = Packet {
            time: boot_time.saturating_add(time),
            stream: Some(stream),
            dissector: "data",
            payload: &[],
            line_end: false,
            end: ends.taken,
        };
        packet.write(out, |out| {
            option(out, option::COMMENT, |out| {
                let _ = match bytes {
                    Some(bytes) => write!(out, "GAP in {}: {bytes} bytes are missing: {}", Stream(stream), Reasons(*reasons)),
                    None => write!(out, "GAP in {}: bytes are missing, how many is not known: {}", Stream(stream), Reasons(*reasons)),
                };
                peers(out, known, &ends);
            });
            custom_option(out, Kind::Gap as u8, Some(*number), |out| body(item, out));
        });
    }

    /// An event is a custom block; a packet behind it shows the event to a person: in words, and as JSON.
    fn event(&mut self, event: &v1::Event) {
        let Self { out, number, boot_time, .. } = self;
        custom_block(out, Kind::Event as u8, Some(*number), |out| encode(event, out));
        let time = event.time.as_ref().and_then(nanoseconds).unwrap_or(*boot_time);
        let mut json = Vec::new();
        mcp_sensor_proto::json::write_event(event, &mut json);
        let packet = Packet { time, stream: None, dissector: "json", payload: &json, line_end: true, end: None };
        packet.write(out, |out| {
            option(out, option::COMMENT, |out| {
                let _ = write!(out, "{}", Told(event));
            });
            custom_option(out, kind::NOTE, None, |_| {});
        });
    }
}

/// A packet: an enhanced packet block.
struct Packet<'a> {
    /// In nanoseconds since 1970.
    time: u64,
    stream: Option<&'a StreamKey>,
    dissector: &'static str,
    payload: &'a [u8],
    /// A line end belongs behind the payload.
    line_end: bool,
    end: Option<End>,
}

impl Packet<'_> {
    fn write(&self, out: &mut Vec<u8>, options: impl FnOnce(&mut Vec<u8>)) {
        block(out, block::PACKET, |out| {
            let Self { time, stream, dissector, payload, line_end, end } = *self;
            out.u32(0);
            out.u32(u32::try_from(time >> 32).unwrap_or(u32::MAX));
            out.u32(u32::try_from(time & u64::from(u32::MAX)).unwrap_or(u32::MAX));
            let lengths = out.len();
            out.u64(0);
            let start = out.len();
            tags(out, dissector, stream);
            out.bytes(payload);
            if line_end {
                out.u8(b'\n');
            }
            let length = out.len() - start;
            crate::put::patch_u32(out, lengths, length);
            crate::put::patch_u32(out, lengths + 4, length);
            pad(out, start);
            option(out, option::PACKET_FLAGS, |out| {
                out.u32(match end {
                    None => 0,
                    Some(End::Reader) => 1,
                    Some(End::Writer) => 2,
                });
            });
            options(out);
            end_of_options(out);
        });
    }
}

/// The tags of an exported PDU. Big-endian, values padded to four bytes.
fn tags(out: &mut Vec<u8>, dissector: &str, stream: Option<&StreamKey>) {
    tag(out, tag::DISSECTOR, dissector.as_bytes());
    if let Some(stream) = stream {
        let Addresses { source, destination, ports } = Addresses::of(stream);
        match (source.to_ipv4_mapped(), destination.to_ipv4_mapped()) {
            (Some(source), Some(destination)) => {
                tag(out, tag::IPV4_SOURCE, &source.octets());
                tag(out, tag::IPV4_DESTINATION, &destination.octets());
            }
            _ => {
                tag(out, tag::IPV6_SOURCE, &source.octets());
                tag(out, tag::IPV6_DESTINATION, &destination.octets());
            }
        }
        if let Some((source, destination)) = ports {
            tag(out, tag::PORT_TYPE, &PORT_TYPE_TCP.to_be_bytes());
            tag(out, tag::SOURCE_PORT, &u32::from(source).to_be_bytes());
            tag(out, tag::DESTINATION_PORT, &u32::from(destination).to_be_bytes());
        }
    }
    out.u32(0);
}

fn tag(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    let length = u16::try_from(value.len().next_multiple_of(4)).unwrap_or(u16::MAX);
    out.bytes(&tag.to_be_bytes());
    out.bytes(&length.to_be_bytes());
    let start = out.len();
    out.bytes(value);
    pad(out, start);
}

/// How Wireshark shall show a payload: as JSON where it looks like whole JSON values (its dissector takes several).
fn dissector(payload: &[u8]) -> &'static str {
    const HTTP: [&[u8]; 5] = [b"HTTP/1.", b"POST /", b"GET /", b"DELETE /", b"OPTIONS /"];
    let text = payload.trim_ascii();
    match (text.first(), text.last()) {
        (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) => "json",
        _ if HTTP.iter().any(|start| payload.starts_with(start)) => "http",
        _ => "data",
    }
}

fn peers(out: &mut Vec<u8>, known: &Known, ends: &Ends) {
    if let Some(writer) = ends.writer {
        let _ = write!(out, ", written by {}", known.process(writer));
    }
    if let Some(reader) = ends.reader {
        let _ = write!(out, ", read by {}", known.process(reader));
    }
}

pub fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

/// A moment of an event, in nanoseconds since 1970.
fn nanoseconds(time: &prost_types::Timestamp) -> Option<u64> {
    u64::try_from(time.seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(u64::try_from(time.nanos).ok()?)
}

fn encode(message: &impl prost::Message, out: &mut Vec<u8>) {
    // A vector grows: encoding cannot fail.
    let _ = message.encode(out);
}

/// What a chunk is, but for its bytes.
fn passed(passed: &Passed, out: &mut Vec<u8>) {
    let Passed { time, stream, epoch, end, process, offset, loss, packet_end, ahead, since_birth, length } = passed;
    out.u64(*time);
    out.stream(stream);
    out.u64(*epoch);
    let set = |on: bool, flag: u8| if on { flag } else { 0 };
    out.u8(set(*end == End::Reader, flag::READER)
        | set(*packet_end, flag::PACKET_END)
        | set(*ahead, flag::AHEAD)
        | set(*since_birth, flag::SINCE_BIRTH));
    out.process(*process);
    out.u64(*offset);
    out.u8(loss.0);
    out.u64(*length);
}

/// The custom data of an item that has no payload.
fn body(item: &Item<'_>, out: &mut Vec<u8>) {
    match item {
        Item::Process { time, id, peer } => {
            out.u64(*time);
            out.process(*id);
            encode(peer, out);
        }
        Item::Touch(touch) => {
            let Touch { time, stream, epoch, end, process, offset, moved, unseen, since_birth } = touch;
            out.u64(*time);
            out.stream(stream);
            out.u64(*epoch);
            let set = |on: bool, flag: u8| if on { flag } else { 0 };
            out.u8(set(*end == End::Reader, flag::READER) | set(*unseen, flag::UNSEEN) | set(*since_birth, flag::SINCE_BIRTH));
            out.process(*process);
            out.u64(*offset);
            out.u64(*moved);
        }
        Item::Passed(it) => passed(it, out),
        Item::Noise { time, stream, epoch, bytes } => {
            out.u64(*time);
            out.stream(stream);
            out.u64(*epoch);
            out.u64(*bytes);
        }
        Item::Gap { time, stream, epoch, bytes, reasons } => {
            out.u64(*time);
            out.stream(stream);
            out.u64(*epoch);
            out.u8(u8::from(bytes.is_some()));
            out.u64(bytes.unwrap_or(0));
            out.u8(reasons.0);
        }
        Item::Fork { time, parent, child } => {
            out.u64(*time);
            out.process(*parent);
            out.process(*child);
        }
        Item::Exec { time, process } | Item::Exit { time, process } => {
            out.u64(*time);
            out.process(*process);
        }
        Item::Tick { time } => out.u64(*time),
        // These are packets, and write theirs themselves.
        Item::Chunk(_) | Item::Message(_) | Item::Event(_) => {}
    }
}

/// Writes the section header, the interface and our header.
pub fn beginning(header: &Header, signer: Option<[u8; 8]>, out: &mut Vec<u8>) {
    let Header { node, boot_time, level, sensor_version, filter, message_bytes, body_limit, started, reason } = header;
    block(out, block::SECTION, |out| {
        out.u32(format::BYTE_ORDER_MAGIC);
        out.u16(1);
        out.u16(0);
        out.u64(u64::MAX);
        option(out, option::SECTION_HARDWARE, |out| out.bytes(std::env::consts::ARCH.as_bytes()));
        option(out, option::SECTION_OS, |out| out.bytes(b"Linux"));
        option(out, option::SECTION_APPLICATION, |out| {
            let _ = write!(out, "mcp-sensor {}", Text(sensor_version));
        });
        option(out, option::COMMENT, |out| {
            let _ = write!(out, "Recording of node {}, level {}", Text(node), level.name());
            if !filter.is_empty() {
                let _ = write!(out, "\nFilter: {}", Text(filter));
            }
            if !reason.is_empty() {
                let _ = write!(out, "\nReason: {}", Text(reason));
            }
        });
        end_of_options(out);
    });
    block(out, block::INTERFACE, |out| {
        out.u16(format::LINK_TYPE);
        out.u16(0);
        out.u32(0);
        option(out, option::INTERFACE_NAME, |out| out.bytes(b"mcp"));
        option(out, option::INTERFACE_DESCRIPTION, |out| out.bytes(b"MCP traffic as mcp-sensor saw it"));
        option(out, option::INTERFACE_RESOLUTION, |out| out.u8(9));
        end_of_options(out);
    });
    custom_block(out, kind::HEADER, None, |out| {
        out.u8(match level {
            crate::item::Level::Redacted => 1,
            crate::item::Level::Full => 2,
        });
        out.u64(*boot_time);
        out.u64(*message_bytes);
        out.u64(*body_limit);
        out.u64(*started);
        out.text(node);
        out.text(sensor_version);
        out.text(filter);
        out.text(reason);
        out.u8(u8::from(signer.is_some()));
        out.bytes(&signer.unwrap_or_default());
    });
}

/// False for what was written of an item that a reader would refuse for its size.
pub fn is_readable(item: &Item<'_>, written: &[u8]) -> bool {
    match item {
        Item::Process { .. } | Item::Event(_) => {
            let order = crate::take::ByteOrder::Little;
            let length = order.u32(written, 4).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
            let found =
                written.get(..length).and_then(|block| crate::decode::find(block, order).ok().flatten().map(|found| (block, found)));
            found.and_then(|(block, found)| block.get(found.envelope.body)).is_some_and(proto::is_modest)
        }
        _ => true,
    }
}
