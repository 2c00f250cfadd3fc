//! Writing numbers, streams, options and blocks into a vector of bytes.
//!
//! Block headers and options are little-endian, as the section header says, and so is all custom data.

use crate::format::{MAGIC, NO_NUMBER, PEN, VERSION, block, option};
use sensor_core::input::{ProcessId, StreamKey};
use std::net::SocketAddrV6;

/// Appending to a vector.
pub trait Put {
    fn u8(&mut self, value: u8);
    fn u16(&mut self, value: u16);
    fn u32(&mut self, value: u32);
    fn u64(&mut self, value: u64);
    fn bytes(&mut self, value: &[u8]);
    /// A text with its length before it.
    fn text(&mut self, value: &str);
    fn process(&mut self, value: ProcessId);
    fn stream(&mut self, value: &StreamKey);
}

impl Put for Vec<u8> {
    fn u8(&mut self, value: u8) {
        self.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.extend_from_slice(value);
    }

    fn text(&mut self, value: &str) {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.bytes(value.as_bytes());
    }

    fn process(&mut self, value: ProcessId) {
        self.u32(value.pid);
        self.u64(value.start_time);
    }

    fn stream(&mut self, value: &StreamKey) {
        match value {
            StreamKey::Pipe { device, inode, address } => {
                self.u8(1);
                self.u64(*device);
                self.u64(*inode);
                self.u64(*address);
            }
            StreamKey::Unix { from, to } => {
                self.u8(2);
                self.u64(*from);
                self.u64(*to);
            }
            StreamKey::Tcp { from, to, namespace } => {
                self.u8(3);
                socket(self, from);
                socket(self, to);
                self.u64(*namespace);
            }
            StreamKey::Pty { terminal, to_slave } => {
                self.u8(4);
                self.u64(*terminal);
                self.u8(u8::from(*to_slave));
            }
        }
    }
}

fn socket(out: &mut Vec<u8>, address: &SocketAddrV6) {
    out.bytes(&address.ip().octets());
    out.u16(address.port());
    out.u32(address.flowinfo());
    out.u32(address.scope_id());
}

/// Zeros up to a multiple of four, counted from `start`.
pub fn pad(out: &mut Vec<u8>, start: usize) {
    let length = out.len().saturating_sub(start);
    out.resize(start + length.next_multiple_of(4), 0);
}

/// Puts a number at a place that was left free for it.
pub fn patch_u32(out: &mut [u8], at: usize, value: usize) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
    }
}

fn patch_u16(out: &mut [u8], at: usize, value: usize) {
    if let Some(place) = out.get_mut(at..at + 2) {
        place.copy_from_slice(&u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes());
    }
}

/// Writes a pcapng block; `body` writes what stands between its two lengths.
pub fn block(out: &mut Vec<u8>, r#type: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u32(r#type);
    out.u32(0);
    body(out);
    pad(out, start);
    let length = out.len() + 4 - start;
    out.u32(u32::try_from(length).unwrap_or(u32::MAX));
    patch_u32(out, start + 4, length);
}

/// Writes a pcapng option. `value` may write 65,535 bytes.
pub fn option(out: &mut Vec<u8>, code: u16, value: impl FnOnce(&mut Vec<u8>)) {
    out.u16(code);
    out.u16(0);
    let start = out.len();
    value(out);
    let length = out.len() - start;
    patch_u16(out, start - 2, length);
    pad(out, start);
}

/// Writes the end of the options.
pub fn end_of_options(out: &mut Vec<u8>) {
    out.u32(0);
}

/// Writes our custom data: what it is, then what `body` writes.
pub fn envelope(out: &mut Vec<u8>, kind: u8, number: u64, body: impl FnOnce(&mut Vec<u8>)) {
    out.bytes(&MAGIC);
    out.u8(VERSION);
    out.u8(kind);
    out.u16(0);
    out.u64(number);
    let at = out.len();
    out.u32(0);
    body(out);
    let length = out.len() - at - 4;
    patch_u32(out, at, length);
}

/// Writes a custom block of ours.
pub fn custom_block(out: &mut Vec<u8>, kind: u8, number: Option<u64>, body: impl FnOnce(&mut Vec<u8>)) {
    block(out, block::CUSTOM, |out| {
        out.u32(PEN);
        envelope(out, kind, number.unwrap_or(NO_NUMBER), body);
    });
}

/// Writes a custom option of ours.
pub fn custom_option(out: &mut Vec<u8>, kind: u8, number: Option<u64>, body: impl FnOnce(&mut Vec<u8>)) {
    option(out, option::CUSTOM, |out| {
        out.u32(PEN);
        envelope(out, kind, number.unwrap_or(NO_NUMBER), body);
    });
}
