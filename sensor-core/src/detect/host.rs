//! What a host's name or number stands for, however it is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a host is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// The metadata service of a cloud.
    Metadata,
    /// This host, or one in a private or link-local network.
    Internal,
    /// Anywhere else.
    Outside,
}

/// Metadata services by address.
const METADATA: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Metadata services by name.
const METADATA_NAMES: &[&str] =
    &["metadata", "metadata.google.internal", "metadata.goog", "instance-data", "metadata.tencentyun.com", "metadata.platformequinix.com"];

/// Ends of names that stand for something inside.
const INSIDE: &[&str] = &[
    "localhost",
    "local",
    "internal",
    "lan",
    "intranet",
    "home.arpa",
    "svc",
    "svc.cluster.local",
    "kubernetes.default",
    "localtest.me",
    "lvh.me",
    "host.docker.internal",
];

/// Services that answer for any name with the address that stands in it.
const ECHOES: &[&str] = &["nip.io", "sslip.io", "xip.io"];

/// Says where a host is. `host` is in lower case, without port and brackets.
pub(super) fn place(host: &str) -> Place {
    let host = host.strip_suffix('.').unwrap_or(host);
    if let Some(address) = address(host) {
        return place_of(address);
    }
    if METADATA_NAMES.contains(&host) {
        return Place::Metadata;
    }
    if let Some(rest) = ECHOES.iter().find_map(|echo| host.strip_suffix(echo)?.strip_suffix('.')) {
        return echoed(rest);
    }
    let inside = |end: &str| host.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if INSIDE.iter().any(|end| inside(end)) { Place::Internal } else { Place::Outside }
}

/// An address that is written as addresses usually are.
pub(super) fn is_plain_v4(host: &str) -> Option<Ipv4Addr> {
    host.parse().ok()
}

/// The address that stands in a name, as four labels or as one with hyphens.
fn echoed(name: &str) -> Place {
    let mut labels = name.rsplit('.');
    let last = labels.next().unwrap_or_default();
    let mut parts = last.rsplit('-');
    let hyphened: Vec<&str> = parts.by_ref().take(4).collect();
    if let [d, c, b, a] = hyphened.as_slice()
        && let Some(address) = address(&format!("{a}.{b}.{c}.{d}"))
    {
        return place_of(address);
    }
    let dotted: Vec<&str> = name.rsplit('.').take(4).collect();
    if let [d, c, b, a] = dotted.as_slice()
        && let Some(address) = address(&format!("{a}.{b}.{c}.{d}"))
    {
        return place_of(address);
    }
    Place::Outside
}

/// An address in any form that programs take: dotted, short, decimal, octal, hexadecimal; IPv6.
fn address(host: &str) -> Option<IpAddr> {
    if host.contains(':') {
        let bare = host.split('%').next().unwrap_or(host);
        return bare.parse().ok().map(|address: Ipv6Addr| IpAddr::V6(address));
    }
    if !host.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let mut parts = [0_u64; 4];
    let mut count = 0;
    for part in host.split('.') {
        *parts.get_mut(count)? = number(part)?;
        count += 1;
    }
    let [a, b, c, d] = parts;
    let small = |part: u64, places: u32| (part < 1 << (8 * places)).then_some(part);
    let value = match count {
        1 => small(a, 4)?,
        2 => small(a, 1)? << 24 | small(b, 3)?,
        3 => small(a, 1)? << 24 | small(b, 1)? << 16 | small(c, 2)?,
        _ => small(a, 1)? << 24 | small(b, 1)? << 16 | small(c, 1)? << 8 | small(d, 1)?,
    };
    u32::try_from(value).ok().map(|value| IpAddr::V4(Ipv4Addr::from(value)))
}

/// A number as C reads it.
fn number(part: &str) -> Option<u64> {
    if part.is_empty() || part.len() > 24 {
        return None;
    }
    if let Some(digits) = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        return if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 16).ok() };
    }
    if part.len() > 1 && part.starts_with('0') { u64::from_str_radix(part, 8).ok() } else { part.parse().ok() }
}

fn place_of(address: IpAddr) -> Place {
    let address = match address {
        IpAddr::V6(six) => inner(six).map_or(address, IpAddr::V4),
        four @ IpAddr::V4(_) => four,
    };
    if METADATA.contains(&address) {
        return Place::Metadata;
    }
    let inside = match address {
        IpAddr::V4(four) => {
            let [first, second, ..] = four.octets();
            four.is_loopback() || four.is_private() || four.is_link_local() || first == 0 || (first == 100 && second & 0xC0 == 64)
        }
        IpAddr::V6(six) => {
            let first = six.segments().first().copied().unwrap_or_default();
            six.is_loopback() || six.is_unspecified() || first & 0xFE00 == 0xFC00 || first & 0xFFC0 == 0xFE80
        }
    };
    if inside { Place::Internal } else { Place::Outside }
}

/// The IPv4 address that an IPv6 address carries: mapped, compatible, NAT64, 6to4.
fn inner(six: Ipv6Addr) -> Option<Ipv4Addr> {
    let two = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match six.segments() {
        [0, 0, 0, 0, 0, 0xFFFF, high, low] | [0x64, 0xFF9B, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => two(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => two(high, low),
        _ => None,
    }
}
