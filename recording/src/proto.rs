//! Protobuf out of a file that may be hostile.
//!
//! A repeated message takes two bytes of a file and hundreds of memory, so what a message holds is counted before it is decoded.

/// Bytes of one message.
const MAX_BYTES: usize = 4 << 20;

/// Fields with a length (strings and messages) in one message, at all depths. Each takes 512 bytes of memory at most.
const MAX_FIELDS: usize = 65_536;

/// Depth to which the contract nests what it repeats.
const MAX_DEPTH: u32 = 6;

/// True where decoding these bytes takes no more than some 32 MiB.
pub fn is_modest(bytes: &[u8]) -> bool {
    let mut left = MAX_FIELDS;
    bytes.len() <= MAX_BYTES && count(bytes, MAX_DEPTH, &mut left)
}

/// Takes the fields from `left`; false where it does not suffice. What is no protobuf counts as far as it looks like it.
fn count(mut bytes: &[u8], depth: u32, left: &mut usize) -> bool {
    while let Some(key) = varint(&mut bytes) {
        let skip = match key & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            5 => Some(4),
            2 => varint(&mut bytes).and_then(|length| usize::try_from(length).ok()),
            _ => None,
        };
        let Some((inner, rest)) = skip.and_then(|skip| bytes.split_at_checked(skip)) else { return true };
        bytes = rest;
        if key & 7 == 2 {
            let Some(fewer) = left.checked_sub(1) else { return false };
            *left = fewer;
            if depth > 0 && !count(inner, depth - 1, left) {
                return false;
            }
        }
    }
    true
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::is_modest;
    use mcp_sensor_proto::v1::{Ancestor, BlindSpot, Event, Peer, Sensor, event, loss};
    use prost::Message as _;

    #[test]
    fn what_is_repeated_takes_no_more_than_is_counted() {
        assert!(size_of::<BlindSpot>().max(size_of::<Ancestor>()).max(size_of::<loss::Count>()) <= 512);
    }

    #[test]
    fn a_message_that_would_take_much_memory_is_refused() {
        let event = |spots: usize| Event {
            body: Some(event::Body::Sensor(Sensor { blind_spots: vec![BlindSpot::default(); spots], ..Sensor::default() })),
            ..Event::default()
        };
        assert!(is_modest(&event(60_000).encode_to_vec()));
        assert!(!is_modest(&event(70_000).encode_to_vec()));
        let peer =
            Peer { ancestors: vec![Ancestor { command_line: vec![String::new(); 7000], ..Ancestor::default() }; 10], ..Peer::default() };
        assert!(!is_modest(&peer.encode_to_vec()));
        assert!(is_modest(&Peer { exe: "\n".repeat(100_000), ..Peer::default() }.encode_to_vec()));
        assert!(!is_modest(&[0; 5 << 20]));
    }
}
