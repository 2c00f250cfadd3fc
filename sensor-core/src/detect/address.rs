//! Addresses: what schemes and hosts stand in a text.

use super::bytes::{self, Seen};
use super::host::{self, Place};
use super::{Arguments, cut, name_of_scheme, note};

/// The longest host that is looked at. A longer one is no name.
const HOST: usize = 255;

/// Addresses in one string that are looked at.
const ADDRESSES: usize = 64;

/// Looks at the addresses in a text.
pub(super) fn look(text: &str, seen: Seen, found: &mut Arguments) {
    if seen & (bytes::SCHEME | bytes::DOUBLE) != 0 {
        with_scheme(text, found);
    }
    bare(text, found);
}

/// Addresses behind `://`, and those that begin with `//`.
fn with_scheme(text: &str, found: &mut Arguments) {
    let bytes = text.as_bytes();
    let slash = |at: usize| matches!(bytes.get(at), Some(b'/' | b'\\'));
    if slash(0) && slash(1) && !bytes.starts_with(b"\\") {
        authority(text.get(2..).unwrap_or_default(), false, found);
    }
    let places = memchr::memchr_iter(b':', bytes).filter(|at| slash(at + 1));
    for at in places.take(ADDRESSES) {
        let scheme = name_of_scheme(text.get(..at).unwrap_or_default());
        let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        if !(web || slash(at + 2)) || scheme.len() < 2 {
            continue;
        }
        if !web {
            note(&mut found.schemes, &scheme.to_ascii_lowercase());
        }
        // Browsers take any number of slashes.
        let rest = text.get(at + 1..).unwrap_or_default();
        let rest = if web { rest.trim_start_matches(['/', '\\']) } else { rest.get(2..).unwrap_or_default() };
        if !scheme.eq_ignore_ascii_case("file") {
            authority(rest, true, found);
        }
    }
}

/// An address without a scheme: `169.254.169.254/latest`, and the metadata service alone.
fn bare(text: &str, found: &mut Arguments) {
    let first = text.as_bytes().first().copied().unwrap_or_default();
    if first.is_ascii_digit() {
        let end = text.find(['/', ':', '?']).unwrap_or(text.len());
        let (number, rest) = text.split_at(end);
        let Some(_) = host::is_plain_v4(number) else { return };
        // Behind a network's address stands its width; a port alone is no request.
        let asks = rest.strip_prefix('/').is_some_and(|path| path.starts_with(|first: char| first.is_ascii_alphabetic()));
        if asks || (rest.is_empty() && host::place(number) == Place::Metadata) {
            authority(text, false, found);
        }
    } else if matches!(first, b'm' | b'M') && text.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("metadata.")) {
        authority(text, false, found);
    }
}

/// The part of an address that names the host.
fn authority(rest: &str, listed: bool, found: &mut Arguments) {
    let end = rest
        .find(|letter: char| matches!(letter, '/' | '\\' | '?' | '#' | '"' | '\'' | '<' | '>' | ')' | '|' | '`') || letter.is_whitespace());
    let whole = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let whole = whole.rsplit_once('@').map_or(whole, |(_, host)| host);
    if whole.is_empty() || whole.len() > HOST {
        return;
    }
    let written = whole.to_ascii_lowercase();
    let said = super::decode::decode(&written).map(|decoded| decoded.text.to_ascii_lowercase());
    let said = said.as_deref().unwrap_or(&written);
    let host = match said.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => said.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() {
        return;
    }
    let place = host::place(host);
    if listed || place != Place::Outside {
        note(&mut found.hosts, host);
    }
    if place != Place::Outside {
        note(&mut found.internal_addresses, cut(&written));
    }
    found.metadata_address |= place == Place::Metadata;
}
