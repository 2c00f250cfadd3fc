//! Messages of the contract with their events left encoded: the same bytes on the wire, without decoding and encoding.
//!
//! Invariant: each struct here is wire-compatible with the message of the same name (without `Raw`) in
//! `proto/mcp_sensor/v1`; tests compare them.

use bytes::{BufMut as _, Bytes};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::ProstDecoder;

use mcp_sensor_proto::v1::{Hello, Live, Missed, Pulse, SubscribeRequest, SubscribeResponse, subscribe_response};

/// `ConnectRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawConnectRequest {
    /// The frame.
    #[prost(oneof = "RawFrame", tags = "1, 2, 3")]
    pub frame: Option<RawFrame>,
}

/// The frame of a [`RawConnectRequest`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum RawFrame {
    /// `hello`.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// `batch`.
    #[prost(message, tag = "2")]
    Batch(RawBatch),
    /// `pulse`.
    #[prost(message, tag = "3")]
    Pulse(Pulse),
}

/// `Batch`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawBatch {
    /// Encoded events.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub events: Vec<Bytes>,
}

/// `QueryResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawQueryResponse {
    /// The events.
    #[prost(message, repeated, tag = "1")]
    pub events: Vec<RawStoredEvent>,
    /// Names the next page.
    #[prost(string, tag = "2")]
    pub next_page_token: String,
}

/// `StoredEvent`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawStoredEvent {
    /// The encoded event.
    #[prost(bytes = "bytes", tag = "1")]
    pub event: Bytes,
    /// Its cursor.
    #[prost(uint64, tag = "2")]
    pub cursor: u64,
}

/// `SubscribeResponse`.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// An encoded event and its cursor.
    Event(Bytes, u64),
    /// Events that the subscriber was too slow for.
    Missed(Missed),
    /// What follows is live; with the cursor so far.
    Live(u64),
}

impl Item {
    /// Where it stands among all events.
    #[must_use]
    pub const fn cursor(&self) -> u64 {
        match self {
            Self::Event(_, cursor) | Self::Live(cursor) => *cursor,
            Self::Missed(missed) => missed.last_cursor,
        }
    }

    /// Appends the `SubscribeResponse`.
    pub fn encode(&self, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let item = match self {
            Self::Event(event, cursor) => {
                let length = event.len() as u64;
                out.reserve(key_len(1) + encoded_len_varint(length) + event.len() + key_len(4) + encoded_len_varint(*cursor));
                encode_key(1, WireType::LengthDelimited, out);
                encode_varint(length, out);
                out.put_slice(event);
                if *cursor > 0 {
                    encode_key(4, WireType::Varint, out);
                    encode_varint(*cursor, out);
                }
                return Ok(());
            }
            Self::Missed(missed) => subscribe_response::Item::Missed(*missed),
            Self::Live(_) => subscribe_response::Item::Live(Live {}),
        };
        let response = SubscribeResponse { item: Some(item), cursor: self.cursor() };
        response.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Encodes [`Item`]s and decodes `SubscribeRequest`s.
#[derive(Clone, Copy, Debug, Default)]
pub struct ItemCodec;

/// Encodes [`Item`]s.
#[derive(Clone, Copy, Debug, Default)]
pub struct ItemEncoder;

impl Encoder for ItemEncoder {
    type Item = Item;
    type Error = Status;

    fn encode(&mut self, item: Item, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(out)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Codec for ItemCodec {
    type Encode = Item;
    type Decode = SubscribeRequest;
    type Encoder = ItemEncoder;
    type Decoder = ProstDecoder<SubscribeRequest>;

    fn encoder(&mut self) -> ItemEncoder {
        ItemEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::default()
    }
}

#[cfg(test)]
mod tests {
    use mcp_sensor_proto::v1::{Batch, ConnectRequest, Event, QueryResponse, StoredEvent, connect_request};

    use super::*;

    fn event(id: &str) -> Event {
        Event { id: id.to_owned(), sequence: 7, ..Event::default() }
    }

    #[test]
    fn a_batch_is_the_same_bytes_raw() {
        let events: Vec<_> = ["a", "b"].iter().map(|id| event(id).encode_to_vec()).collect();
        let batch = Batch { events: events.clone() };
        let bytes = ConnectRequest { frame: Some(connect_request::Frame::Batch(batch)) }.encode_to_vec();
        let raw = RawConnectRequest::decode(Bytes::from(bytes.clone())).unwrap();
        assert_eq!(raw.encode_to_vec(), bytes);
        let Some(RawFrame::Batch(batch)) = raw.frame else { panic!("{raw:?}") };
        assert_eq!(batch.events, events);
    }

    #[test]
    fn a_page_is_the_same_bytes_raw() {
        let stored = StoredEvent { event: Some(event("a")), cursor: 9 };
        let bytes = QueryResponse { events: vec![stored], next_page_token: "x".to_owned() }.encode_to_vec();
        let raw = RawQueryResponse::decode(Bytes::from(bytes.clone())).unwrap();
        assert_eq!(raw.encode_to_vec(), bytes);
        assert_eq!(raw.events[0].event, event("a").encode_to_vec());
    }
}
