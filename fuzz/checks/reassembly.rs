//! Reassembly: each byte once and in order, gaps only where nothing came, memory within its limit.

use super::choices::Choices;
use sensor_core::input::{Chunk, End, LossReasons, ProcessId, StreamKey};
use sensor_core::stream::{Reassembler, Segment};
use std::ops::Range;

/// A chunk to be delivered.
#[derive(Clone, Debug)]
struct Piece {
    range: Range<usize>,
    end: End,
    packet_end: bool,
    ahead: bool,
}

/// A stream, cut at both ends, with losses, delivered out of order.
pub fn reassembly(data: &[u8]) {
    let mut choices = Choices::new(data);
    // Every position has its own byte, nearly.
    let length = choices.below(3000);
    let text: Vec<u8> = (0..length).map(|at| (at ^ (at >> 8)) as u8).collect();
    let packets = choices.one_in(4);
    let mut pieces = Vec::new();
    // Where a packet ends is a fact of the stream: both ends see the same.
    let mut packet_ends = Vec::new();
    for packet in choices.cut(&text).into_iter().filter(|packet| !packet.is_empty()) {
        packet_ends.push(packet_ends.last().unwrap_or(&0) + packet.len());
    }
    let ends = choices.pick(&[&[End::Writer][..], &[End::Reader], &[End::Writer, End::Reader]]);
    for &end in ends {
        let mut at = 0;
        for piece in choices.cut(&text) {
            let stop = at + piece.len();
            while at < stop {
                // A chunk ends with its packet at the latest.
                let packet = packet_ends.iter().find(|end| **end > at).copied().unwrap_or(stop);
                let next = if packets { packet.min(stop) } else { stop };
                pieces.push(Piece {
                    range: at..next,
                    end,
                    packet_end: packets && next == packet,
                    ahead: end == End::Reader && choices.one_in(3),
                });
                at = next;
            }
        }
    }
    // Losses, then another order within a window.
    let losses = choices.one_in(2);
    pieces.retain(|_| !(losses && choices.one_in(5)));
    let window = 1 + choices.below(40);
    for at in 0..pieces.len() {
        let other = (at + choices.below(window)).min(pieces.len() - 1);
        pieces.swap(at, other);
    }
    everything_that_came(&text, &pieces, &packet_ends, packets);
    early_and_in_little_memory(&mut choices, &text, &pieces);
}

/// With time and memory enough: exactly what came, at whichever end, and gaps for exactly the rest.
fn everything_that_came(text: &[u8], pieces: &[Piece], packet_ends: &[usize], packets: bool) {
    let mut order = Reassembler::new();
    let mut told = Told { lowest: usize::MAX, ..Told::default() };
    for (time, piece) in pieces.iter().enumerate() {
        told.lowest = told.lowest.min(piece.range.start);
        order.push(&chunk(text, piece, time, LossReasons::RING_FULL), &mut |segment| told.take(text, segment));
    }
    order.settle(u64::MAX, &mut |segment| told.take(text, segment));
    assert_eq!(order.buffered(), 0);
    assert_eq!(order.waiting_since(), None);
    let end = pieces.iter().map(|piece| piece.range.end).max().unwrap_or(0);
    assert_eq!(told.at, end);
    let mut came = vec![false; text.len()];
    for piece in pieces {
        came[piece.range.clone()].fill(true);
    }
    for (at, came) in came.iter().enumerate().take(end) {
        assert_eq!(told.gaps.iter().any(|gap| gap.contains(&at)), !came, "position {at}");
    }
    if packets {
        // The last byte of a packet came: so the packet ends, once.
        let expected: Vec<usize> = packet_ends.iter().copied().filter(|&end| came[end - 1]).collect();
        assert_eq!(told.packet_ends, expected);
    } else {
        assert!(told.packet_ends.is_empty());
    }
}

/// Settled early and with little memory: still in order, still once, still within the limit.
fn early_and_in_little_memory(choices: &mut Choices<'_>, text: &[u8], pieces: &[Piece]) {
    let limit = choices.below(4000);
    let mut order = Reassembler::with_limit(limit);
    let mut told = Told { lowest: usize::MAX, ..Told::default() };
    for (time, piece) in pieces.iter().enumerate() {
        told.lowest = told.lowest.min(piece.range.start);
        let loss = if choices.one_in(3) { LossReasons::READ_FAULT } else { LossReasons::default() };
        order.push(&chunk(text, piece, time, loss), &mut |segment| told.take(text, segment));
        assert!(order.buffered() <= limit);
        let before = (time as u64).saturating_sub(choices.below(20) as u64);
        order.settle(before, &mut |segment| told.take(text, segment));
        assert!(order.waiting_since().is_none_or(|since| since >= before), "something waits for too long");
    }
    order.settle(u64::MAX, &mut |segment| told.take(text, segment));
    assert_eq!(order.buffered(), 0);
    assert_eq!(told.at, pieces.iter().map(|piece| piece.range.end).max().unwrap_or(0));
}

/// What was told, checked while it is.
#[derive(Default)]
struct Told {
    at: usize,
    began: bool,
    /// The lowest position that has come.
    lowest: usize,
    gaps: Vec<Range<usize>>,
    packet_ends: Vec<usize>,
}

impl Told {
    fn take(&mut self, text: &[u8], segment: Segment<'_>) {
        match segment {
            Segment::Bytes(bytes) => {
                assert!(!bytes.is_empty());
                // Only before the first byte of all may there be a hole that is no gap.
                if !self.began {
                    self.at = self.lowest;
                }
                self.began = true;
                assert_eq!(bytes, &text[self.at..self.at + bytes.len()], "other bytes at {}", self.at);
                self.at += bytes.len();
            }
            Segment::Gap { bytes, reasons } => {
                assert!(bytes > 0 && !reasons.is_empty());
                self.began = true;
                self.gaps.push(self.at..self.at + bytes as usize);
                self.at += bytes as usize;
            }
            Segment::PacketEnd => self.packet_ends.push(self.at),
        }
    }
}

fn chunk<'a>(text: &'a [u8], piece: &Piece, time: usize, loss: LossReasons) -> Chunk<'a> {
    Chunk {
        time: time as u64,
        stream: StreamKey::Pipe { device: 1, inode: 2, address: 3 },
        epoch: 0,
        end: piece.end,
        process: ProcessId { pid: 1, start_time: 1 },
        offset: piece.range.start as u64,
        loss,
        packet_end: piece.packet_end,
        ahead: piece.ahead,
        since_birth: false,
        bytes: &text[piece.range.clone()],
    }
}
