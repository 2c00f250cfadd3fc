//! Whether bytes are an `Event` that every consumer can decode.
//!
//! One event that cannot be decoded would end the stream of every subscriber that gets it, so none is let in. The bytes
//! are walked along the contract's own description (the descriptor set), without building the message: wire types,
//! lengths and UTF-8 are checked as a generated decoder checks them, unknown fields are skipped.
//!
//! Invariant, tested with arbitrary bytes: what passes here, `Event::decode` takes.

use std::collections::HashMap;
use std::sync::OnceLock;

use bytes::Buf as _;
use prost::Message as _;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// Messages within messages, at most. Generated decoders take 100.
const MAX_DEPTH: usize = 90;

/// Why bytes are no event.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// A field's length, number or encoding is broken.
    #[error("its encoding is broken")]
    Encoding,
    /// A field has another wire type than the contract says.
    #[error("field {0} has the wrong wire type")]
    WireType(u32),
    /// Text is not UTF-8.
    #[error("the text in field {0} is not UTF-8")]
    Utf8(u32),
    /// Messages within messages within messages …
    #[error("it is nested too deep")]
    Depth,
}

/// What a field holds, as far as it matters.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Varint,
    Fixed32,
    Fixed64,
    Text,
    Bytes,
    /// Index of the message type.
    Message(usize),
}

#[derive(Clone, Copy, Debug)]
struct Field {
    kind: Kind,
    repeated: bool,
}

/// The contract, prepared for walking.
#[derive(Debug)]
struct Schema {
    /// By message type, the fields by number.
    types: Vec<Vec<Option<Field>>>,
    event: usize,
}

/// Checks the bytes of one event.
///
/// # Errors
/// The first thing that a decoder would not take.
pub fn check(event: &[u8]) -> Result<(), Invalid> {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    let schema = SCHEMA.get_or_init(Schema::of_contract);
    schema.message(schema.event, event, MAX_DEPTH)
}

impl Schema {
    fn of_contract() -> Self {
        let files = FileDescriptorSet::decode(mcp_sensor_proto::DESCRIPTOR).unwrap_or_default();
        let mut messages: Vec<(String, &DescriptorProto)> = Vec::new();
        for file in &files.file {
            file.message_type.iter().for_each(|message| collect(&format!(".{}", file.package()), message, &mut messages));
        }
        let index: HashMap<&str, usize> = messages.iter().enumerate().map(|(index, (name, _))| (name.as_str(), index)).collect();
        let event = index.get(".mcp_sensor.v1.Event").copied().unwrap_or(usize::MAX);
        let types = messages.iter().map(|(_, message)| fields(message, &index)).collect();
        Self { types, event }
    }

    fn message(&self, message: usize, mut rest: &[u8], depth: usize) -> Result<(), Invalid> {
        let Some(depth) = depth.checked_sub(1) else { return Err(Invalid::Depth) };
        let fields = self.types.get(message).ok_or(Invalid::Encoding)?;
        while rest.has_remaining() {
            let (number, wire) = decode_key(&mut rest).map_err(|_| Invalid::Encoding)?;
            let field = fields.get(number as usize).copied().flatten();
            let Some(field) = field else {
                skip(wire, &mut rest, depth)?;
                continue;
            };
            match (field.kind, wire) {
                (Kind::Varint, WireType::Varint) | (Kind::Fixed32, WireType::ThirtyTwoBit) | (Kind::Fixed64, WireType::SixtyFourBit) => {
                    skip(wire, &mut rest, depth)?;
                }
                (Kind::Text, WireType::LengthDelimited) => {
                    std::str::from_utf8(delimited(&mut rest)?).map_err(|_| Invalid::Utf8(number))?;
                }
                (Kind::Bytes, WireType::LengthDelimited) => _ = delimited(&mut rest)?,
                (Kind::Message(inner), WireType::LengthDelimited) => self.message(inner, delimited(&mut rest)?, depth)?,
                (Kind::Varint, WireType::LengthDelimited) if field.repeated => {
                    let mut packed = delimited(&mut rest)?;
                    while packed.has_remaining() {
                        decode_varint(&mut packed).map_err(|_| Invalid::Encoding)?;
                    }
                }
                (Kind::Fixed32, WireType::LengthDelimited) if field.repeated && delimited(&mut rest)?.len().is_multiple_of(4) => {}
                (Kind::Fixed64, WireType::LengthDelimited) if field.repeated && delimited(&mut rest)?.len().is_multiple_of(8) => {}
                _ => return Err(Invalid::WireType(number)),
            }
        }
        Ok(())
    }
}

fn collect<'a>(prefix: &str, message: &'a DescriptorProto, messages: &mut Vec<(String, &'a DescriptorProto)>) {
    let name = format!("{prefix}.{}", message.name());
    message.nested_type.iter().for_each(|nested| collect(&name, nested, messages));
    messages.push((name, message));
}

fn fields(message: &DescriptorProto, index: &HashMap<&str, usize>) -> Vec<Option<Field>> {
    let highest = message.field.iter().map(|field| field.number().unsigned_abs() as usize).max().unwrap_or(0);
    let mut fields = vec![None; highest + 1];
    for field in &message.field {
        let kind = match field.r#type() {
            Type::Double | Type::Fixed64 | Type::Sfixed64 => Kind::Fixed64,
            Type::Float | Type::Fixed32 | Type::Sfixed32 => Kind::Fixed32,
            Type::String => Kind::Text,
            Type::Bytes | Type::Group => Kind::Bytes,
            Type::Message => index.get(field.type_name()).map_or(Kind::Bytes, |&index| Kind::Message(index)),
            _ => Kind::Varint,
        };
        let repeated = field.label() == prost_types::field_descriptor_proto::Label::Repeated;
        if let Some(slot) = fields.get_mut(field.number().unsigned_abs() as usize) {
            *slot = Some(Field { kind, repeated });
        }
    }
    fields
}

fn delimited<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Invalid> {
    let length = decode_varint(rest).map_err(|_| Invalid::Encoding)?;
    let length = usize::try_from(length).map_err(|_| Invalid::Encoding)?;
    let (inner, after) = rest.split_at_checked(length).ok_or(Invalid::Encoding)?;
    *rest = after;
    Ok(inner)
}

/// Skips one field's value. Groups, which no message of ours has, are refused: they are the one way to nest without
/// lengths.
fn skip(wire: WireType, rest: &mut &[u8], _depth: usize) -> Result<(), Invalid> {
    let fixed = match wire {
        WireType::Varint => return decode_varint(rest).map(|_| ()).map_err(|_| Invalid::Encoding),
        WireType::LengthDelimited => return delimited(rest).map(|_| ()),
        WireType::StartGroup | WireType::EndGroup => return Err(Invalid::Encoding),
        WireType::ThirtyTwoBit => 4,
        WireType::SixtyFourBit => 8,
    };
    *rest = rest.get(fixed..).ok_or(Invalid::Encoding)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use mcp_sensor_proto::v1::event::Body;
    use mcp_sensor_proto::v1::{Event, Gap, Peer, ToolCall};
    use proptest::prelude::*;
    use prost_types::Timestamp;

    use super::*;

    fn sample() -> Event {
        let peer =
            Peer { pid: 7, exe: "/usr/bin/node".to_owned(), command_line: vec!["node".to_owned(), "é".to_owned()], ..Peer::default() };
        let call = ToolCall { tool: "search".to_owned(), duration_ms: Some(1.5), marks: vec![1, 2, 300], ..ToolCall::default() };
        Event {
            id: "0".repeat(32),
            time: Some(Timestamp { seconds: 1_800_000_000, nanos: 9 }),
            client: Some(peer.clone()),
            server: Some(peer),
            body: Some(Body::ToolCall(call)),
            ..Event::default()
        }
    }

    #[test]
    fn an_event_of_the_contract_passes() {
        assert_eq!(check(&sample().encode_to_vec()), Ok(()));
        let gap = Event { body: Some(Body::Gap(Gap { bytes: Some(0), reasons: vec![1, 2], ..Gap::default() })), ..Event::default() };
        assert_eq!(check(&gap.encode_to_vec()), Ok(()));
        assert_eq!(check(b""), Ok(()));
    }

    #[test]
    fn an_unknown_field_passes() {
        let mut bytes = sample().encode_to_vec();
        bytes.extend_from_slice(&[0xfa, 0x3e, 2, 1, 2]);
        assert_eq!(check(&bytes), Ok(()));
    }

    #[test]
    fn text_that_is_not_utf8_does_not_pass() {
        assert_eq!(check(&[0x0a, 1, 0xff]), Err(Invalid::Utf8(1)));
        assert_eq!(check(&[0x08, 1]), Err(Invalid::WireType(1)));
        assert_eq!(check(&[0x0a, 5, b'a']), Err(Invalid::Encoding));
    }

    proptest! {
        #[test]
        fn what_passes_decodes(cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
            let mut bytes = sample().encode_to_vec();
            for (index, byte) in cuts {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            if check(&bytes).is_ok() {
                prop_assert!(Event::decode(bytes.as_slice()).is_ok());
            }
        }

        #[test]
        fn any_bytes_that_pass_decode(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if check(&bytes).is_ok() {
                prop_assert!(Event::decode(bytes.as_slice()).is_ok());
            }
        }
    }
}
