//! Addresses of packets, so that Wireshark tells conversations apart and filters by them.
//!
//! TCP has its own. Of the rest, an address is made from the stream alone, the same in every file: an IPv6 address in
//! `fd6d:6370::/32` (unique local; `6d6370` spells "mcp") that a person can read:
//!
//! | stream | source | destination |
//! |---|---|---|
//! | pipe | `fd6d:6370:1:CCCC:INODE` (who writes) | `fd6d:6370:2:CCCC:INODE` (who reads) |
//! | `AF_UNIX` | `fd6d:6370:3:0:SOCKET` of the sender | `fd6d:6370:3:0:SOCKET` of the receiver |
//! | pseudo-terminal | `fd6d:6370:4:0:TERMINAL` (master) or `fd6d:6370:5:0:TERMINAL` (slave) | the other one |
//!
//! `INODE`, `SOCKET` and `TERMINAL` are 64 bits; `CCCC` is a check of the pipe's device and address, since inode numbers repeat.

use sensor_core::input::StreamKey;
use std::net::Ipv6Addr;

/// Both ends of a packet.
pub struct Addresses {
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    /// Source and destination port, where there are any.
    pub ports: Option<(u16, u16)>,
}

impl Addresses {
    pub fn of(stream: &StreamKey) -> Self {
        match *stream {
            StreamKey::Tcp { from, to, .. } => Self { source: *from.ip(), destination: *to.ip(), ports: Some((from.port(), to.port())) },
            StreamKey::Pipe { device, inode, address } => {
                let check = check(device, address);
                Self { source: made(1, check, inode), destination: made(2, check, inode), ports: None }
            }
            StreamKey::Unix { from, to } => Self { source: made(3, 0, from), destination: made(3, 0, to), ports: None },
            StreamKey::Pty { terminal, to_slave } => {
                let (master, slave) = (made(4, 0, terminal), made(5, 0, terminal));
                let (source, destination) = if to_slave { (master, slave) } else { (slave, master) };
                Self { source, destination, ports: None }
            }
        }
    }
}

fn made(kind: u16, check: u16, low: u64) -> Ipv6Addr {
    let high = 0xfd6d_6370_0000_0000 | u64::from(kind) << 16 | u64::from(check);
    Ipv6Addr::from(u128::from(high) << 64 | u128::from(low))
}

fn check(device: u64, address: u64) -> u16 {
    let mixed = (device ^ address.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u16::try_from(mixed >> 48).unwrap_or_default()
}
