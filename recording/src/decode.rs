//! Items out of pcapng blocks.

use crate::encode::flag;
use crate::format::{block, option, tag};
use crate::item::{Framed, Header, Item, Kind, Level, Passed};
use crate::take::{ByteOrder, Envelope, Take};
use mcp_sensor_proto::v1;
use prost::Message as _;
use sensor_core::event::Marks;
use sensor_core::input::{Chunk, End, LossReasons, Touch};
use std::ops::Range;

/// Our custom data in a block, and the payload where the block is a packet.
#[derive(Clone, Debug)]
pub struct Found {
    pub envelope: Envelope,
    pub payload: Range<usize>,
}

/// Looks for our custom data in a whole block. `Ok(None)` where it has none; an error where its parts do not fit in it.
pub fn find(raw: &[u8], order: ByteOrder) -> Result<Option<Found>, &'static str> {
    let body = 8..raw.len().saturating_sub(4);
    match order.u32(raw, 0) {
        Some(block::CUSTOM) => Ok(Envelope::find(raw, body, order).map(|envelope| Found { envelope, payload: 0..0 })),
        Some(block::PACKET) => packet(raw, body.end, order),
        _ => Ok(None),
    }
}

fn packet(raw: &[u8], end: usize, order: ByteOrder) -> Result<Option<Found>, &'static str> {
    const SHORT: &str = "a packet is longer than its block";
    let length = order.u32(raw, 20).and_then(|length| usize::try_from(length).ok()).ok_or(SHORT)?;
    let data = 28..28usize.checked_add(length).filter(|data_end| *data_end <= end).ok_or(SHORT)?;
    let mut at = data.start + length.next_multiple_of(4);
    while at + 4 <= end {
        let (Some(code), Some(length)) = (order.u16(raw, at), order.u16(raw, at + 2)) else { break };
        let value = at + 4..at + 4 + usize::from(length);
        if code == 0 || value.end > end {
            break;
        }
        at = value.start + usize::from(length).next_multiple_of(4);
        if code == option::CUSTOM
            && let Some(envelope) = Envelope::find(raw, value, order)
        {
            let payload = payload(raw, data).ok_or("a packet's tags do not end")?;
            return Ok(Some(Found { envelope, payload }));
        }
    }
    Ok(None)
}

/// Where the payload of an exported PDU stands: behind the tags.
fn payload(raw: &[u8], data: Range<usize>) -> Option<Range<usize>> {
    let mut at = data.start;
    loop {
        let tag = ByteOrder::Big.u16(raw, at)?;
        let length = ByteOrder::Big.u16(raw, at + 2)?;
        at = at + 4 + usize::from(length);
        if at > data.end {
            return None;
        }
        if tag == tag::END {
            return Some(at..data.end);
        }
    }
}

/// An item out of its custom data and its payload. `None` where they are not what was written.
pub fn item<'a>(kind: Kind, body: &'a [u8], payload: &'a [u8]) -> Option<Item<'a>> {
    let mut take = Take(body);
    Some(match kind {
        Kind::Process => Item::Process { time: take.u64()?, id: take.process()?, peer: v1::Peer::decode(take.0).ok()? },
        Kind::Chunk => {
            let Passed { time, stream, epoch, end, process, offset, loss, packet_end, ahead, since_birth, length } = passed(&mut take)?;
            if length != payload.len() as u64 {
                return None;
            }
            Item::Chunk(Chunk { time, stream, epoch, end, process, offset, loss, packet_end, ahead, since_birth, bytes: payload })
        }
        Kind::Touch => {
            let (time, stream, epoch, flags) = (take.u64()?, take.stream()?, take.u64()?, take.u8()?);
            Item::Touch(Touch {
                time,
                stream,
                epoch,
                end: end(flags),
                process: take.process()?,
                offset: take.u64()?,
                moved: take.u64()?,
                unseen: flags & flag::UNSEEN != 0,
                since_birth: flags & flag::SINCE_BIRTH != 0,
            })
        }
        Kind::Passed => Item::Passed(passed(&mut take)?),
        Kind::Message => Item::Message(Framed {
            time: take.u64()?,
            stream: take.stream()?,
            epoch: take.u64()?,
            start: take.u64()?,
            marks: Marks(take.u32()?),
            size: take.u64()?,
            sha256: take.array()?,
            bytes: payload.strip_suffix(b"\n")?,
        }),
        Kind::Noise => Item::Noise { time: take.u64()?, stream: take.stream()?, epoch: take.u64()?, bytes: take.u64()? },
        Kind::Gap => Item::Gap {
            time: take.u64()?,
            stream: take.stream()?,
            epoch: take.u64()?,
            bytes: match (take.boolean()?, take.u64()?) {
                (true, bytes) => Some(bytes),
                (false, _) => None,
            },
            reasons: LossReasons(take.u8()?),
        },
        Kind::Fork => Item::Fork { time: take.u64()?, parent: take.process()?, child: take.process()? },
        Kind::Exec => Item::Exec { time: take.u64()?, process: take.process()? },
        Kind::Exit => Item::Exit { time: take.u64()?, process: take.process()? },
        Kind::Tick => Item::Tick { time: take.u64()? },
        Kind::Event => Item::Event(v1::Event::decode(take.0).ok()?),
    })
}

fn end(flags: u8) -> End {
    if flags & flag::READER == 0 { End::Writer } else { End::Reader }
}

fn passed(take: &mut Take<'_>) -> Option<Passed> {
    let (time, stream, epoch, flags) = (take.u64()?, take.stream()?, take.u64()?, take.u8()?);
    Some(Passed {
        time,
        stream,
        epoch,
        end: end(flags),
        process: take.process()?,
        offset: take.u64()?,
        loss: LossReasons(take.u8()?),
        packet_end: flags & flag::PACKET_END != 0,
        ahead: flags & flag::AHEAD != 0,
        since_birth: flags & flag::SINCE_BIRTH != 0,
        length: take.u64()?,
    })
}

/// Our header, and the id of the key that will sign the recording.
pub fn header(body: &[u8]) -> Option<(Header, Option<[u8; 8]>)> {
    let mut take = Take(body);
    let level = match take.u8()? {
        1 => Level::Redacted,
        2 => Level::Full,
        _ => return None,
    };
    let (boot_time, message_bytes, body_limit, started) = (take.u64()?, take.u64()?, take.u64()?, take.u64()?);
    let (node, sensor_version, filter, reason) = (take.text()?, take.text()?, take.text()?, take.text()?);
    let signer = take.boolean()?.then_some(take.array()?);
    Some((Header { node, boot_time, level, sensor_version, filter, message_bytes, body_limit, started, reason }, signer))
}
