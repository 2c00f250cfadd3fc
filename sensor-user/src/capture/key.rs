//! Stream keys, from the kernel's words to named parts and back.

use sensor_core::input::StreamKey as Named;
use sensor_ebpf::{Direction, ObjectKind, StreamKey};
use std::net::{Ipv6Addr, SocketAddrV6};

const PIPE: u8 = ObjectKind::Pipe as u8;
const UNIX: u8 = ObjectKind::Unix as u8;
const TCP: u8 = ObjectKind::Tcp as u8;
const PTY: u8 = ObjectKind::Pty as u8;

/// The parts of a kernel key; `None` for a kind that this agent does not know.
#[must_use]
pub fn from_kernel(key: &StreamKey) -> Option<Named> {
    let [first, second, third, fourth, fifth] = key.words;
    Some(match key.kind {
        PIPE => Named::Pipe { address: first, inode: second, device: third },
        UNIX => Named::Unix { from: first, to: second },
        TCP => {
            Named::Tcp { from: address(first, second, key.ports >> 16), to: address(third, fourth, key.ports & 0xffff), namespace: fifth }
        }
        PTY => Named::Pty { terminal: first, to_slave: key.direction == Direction::ToSlave as u8 },
        _ => return None,
    })
}

/// The kernel's key for a stream.
#[must_use]
pub fn to_kernel(stream: &Named) -> StreamKey {
    let mut key = StreamKey { words: [0; 5], ports: 0, kind: 0, direction: Direction::Implied as u8, padding: 0 };
    match *stream {
        Named::Pipe { device, inode, address } => {
            key.kind = PIPE;
            key.words = [address, inode, device, 0, 0];
        }
        Named::Unix { from, to } => {
            key.kind = UNIX;
            key.words = [from, to, 0, 0, 0];
        }
        Named::Tcp { from, to, namespace } => {
            key.kind = TCP;
            let [first, second] = words(&from);
            let [third, fourth] = words(&to);
            key.words = [first, second, third, fourth, namespace];
            key.ports = u32::from(from.port()) << 16 | u32::from(to.port());
        }
        Named::Pty { terminal, to_slave } => {
            key.kind = PTY;
            key.words = [terminal, 0, 0, 0, 0];
            key.direction = if to_slave { Direction::ToSlave as u8 } else { Direction::FromSlave as u8 };
        }
    }
    key
}

/// The kernel keeps addresses in network order in memory: the words are memory, not numbers.
fn address(first: u64, second: u64, port: u32) -> SocketAddrV6 {
    let octets: [u8; 16] = zerocopy::transmute!([first, second]);
    SocketAddrV6::new(Ipv6Addr::from(octets), u16::try_from(port).unwrap_or_default(), 0, 0)
}

fn words(address: &SocketAddrV6) -> [u64; 2] {
    zerocopy::transmute!(address.ip().octets())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_survives_being_named(words: [u64; 5], ports: u32, kind in 1_u8..=4, to_slave: bool) {
            let mut key = StreamKey { words, ports, kind, direction: 0, padding: 0 };
            match kind {
                PIPE => { key.words[3] = 0; key.words[4] = 0; key.ports = 0; }
                UNIX => { key.words[2] = 0; key.words[3] = 0; key.words[4] = 0; key.ports = 0; }
                PTY => {
                    key.words = [words[0], 0, 0, 0, 0];
                    key.ports = 0;
                    key.direction = if to_slave { 1 } else { 2 };
                }
                _ => {}
            }
            prop_assert_eq!(to_kernel(&from_kernel(&key).unwrap()), key);
        }
    }

    #[test]
    fn an_ipv4_address_is_read_as_the_kernel_keeps_it() {
        let mapped = Ipv6Addr::from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]);
        let from = SocketAddrV6::new(mapped, 80, 0, 0);
        let key = to_kernel(&Named::Tcp { from, to: from, namespace: 1 });
        // What `mapped()` in sensor-ebpf/src/object.rs makes of 127.0.0.1 in network order.
        let kernel = u64::from_le(0xffff_0000) | u64::from(u32::from_ne_bytes([127, 0, 0, 1])) << 32;
        assert_eq!(key.words[1], kernel);
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        assert_eq!(from_kernel(&StreamKey { words: [0; 5], ports: 0, kind: 9, direction: 0, padding: 0 }), None);
    }
}
