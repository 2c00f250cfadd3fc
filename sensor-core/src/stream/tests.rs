//! Examples. The laws are in `tests/laws.rs`.

use super::*;
use crate::input::{End, ProcessId, StreamKey};

/// A reassembler under test: what it tells, in words.
#[derive(Default)]
struct Order {
    order: Reassembler,
    seen: Vec<String>,
}

fn chunk(time: Time, offset: u64, bytes: &[u8], loss: LossReasons) -> Chunk<'_> {
    let process = ProcessId { pid: 1, start_time: 1 };
    let stream = StreamKey::Pipe { device: 0, inode: 0, address: 0 };
    Chunk { time, stream, epoch: 0, end: End::Writer, process, offset, loss, packet_end: false, ahead: false, since_birth: false, bytes }
}

fn words(seen: &mut Vec<String>) -> impl FnMut(Segment<'_>) {
    |segment| {
        seen.push(match segment {
            Segment::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Segment::Gap { bytes, reasons } => format!("gap {bytes} {}", reasons.0),
            Segment::PacketEnd => "end".into(),
        });
    }
}

impl Order {
    fn push(&mut self, time: Time, offset: u64, text: &str) -> &mut Self {
        self.lossy(time, offset, text, LossReasons::default())
    }

    fn lossy(&mut self, time: Time, offset: u64, text: &str, loss: LossReasons) -> &mut Self {
        self.order.push(&chunk(time, offset, text.as_bytes(), loss), &mut words(&mut self.seen));
        self
    }

    fn settle(&mut self, before: Time) -> &mut Self {
        self.order.settle(before, &mut words(&mut self.seen));
        self
    }
}

#[test]
fn bytes_of_both_ends_are_told_once() {
    let mut order = Order::default();
    order.push(1, 0, "abc").push(2, 0, "abc").push(3, 3, "d").push(4, 2, "cde").push(5, 5, "f");
    assert_eq!(order.seen, ["abc", "d", "e", "f"]);
}

#[test]
fn what_is_ahead_waits_for_what_is_late() {
    let mut order = Order::default();
    order.push(1, 3, "def").push(2, 6, "ghi").settle(1);
    assert!(order.seen.is_empty());
    assert_eq!(order.order.waiting_since(), Some(1));
    order.push(3, 0, "abc");
    assert_eq!(order.seen, ["abc", "def", "ghi"]);
    assert_eq!(order.order.buffered(), 0);
}

#[test]
fn the_first_message_of_a_session_may_come_second() {
    // F27: reader and writer on two CPUs.
    let mut order = Order::default();
    order.push(2, 10, "initialized").push(1, 0, "initialize");
    assert_eq!(order.seen, ["initialize", "initialized"]);
}

#[test]
fn a_late_sensor_begins_where_it_begins() {
    let mut order = Order::default();
    order.push(5, 1000, "abc").settle(5);
    assert!(order.seen.is_empty());
    order.settle(6).push(7, 1003, "def");
    assert_eq!(order.seen, ["abc", "def"]);
    let mut order = Order::default();
    order.lossy(5, 1000, "abc", LossReasons::RING_FULL).settle(6);
    assert_eq!(order.seen, ["gap 1000 1", "abc"]);
}

#[test]
fn a_hole_is_a_gap_once_it_had_its_time() {
    let mut order = Order::default();
    order.push(1, 0, "a").push(2, 2, "c").push(3, 4, "e").settle(3);
    assert_eq!(order.seen, ["a", "gap 1 64", "c"]);
    order.push(4, 1, "b").push(5, 6, "").lossy(6, 8, "", LossReasons::NO_BUFFER).settle(7);
    // What comes too late has been told as missing. A chunk without bytes tells of a hole as well.
    assert_eq!(order.seen, ["a", "gap 1 64", "c", "gap 1 64", "e", "gap 1 64", "gap 2 8"]);
}

#[test]
fn the_other_end_fills_what_one_end_lost() {
    let mut order = Order::default();
    order.push(1, 0, "ab").lossy(2, 4, "ef", LossReasons::READ_FAULT).push(3, 0, "abcd").settle(9);
    assert_eq!(order.seen, ["ab", "cd", "ef"]);
}

#[test]
fn over_its_memory_it_waits_no_longer() {
    let mut order = Order { order: Reassembler::with_limit(1000), seen: Vec::new() };
    order.push(1, 0, "a");
    for at in 0..20_u64 {
        order.push(2, 10 + at * 10, "0123456789");
        assert!(order.order.buffered() <= 1000);
    }
    assert_eq!(order.seen.iter().filter(|segment| segment.starts_with("gap")).collect::<Vec<_>>(), ["gap 9 64"]);
    assert_eq!(order.seen.len(), 22);
}

#[test]
fn the_writers_end_knows_better_than_a_reader_that_was_ahead() {
    let ahead = |time, offset, text: &'static str| Chunk { ahead: true, ..chunk(time, offset, text.as_bytes(), LossReasons::default()) };
    // Two threads write at once: "a" went through first, "b" was counted first.
    let mut order = Order::default();
    order.order.push(&ahead(1, 0, "aa"), &mut words(&mut order.seen));
    order.push(2, 0, "bbb").push(3, 3, "aa");
    assert_eq!((order.seen.as_slice(), order.order.buffered()), (["bbb".to_owned(), "aa".to_owned()].as_slice(), 0));
    // The writer's end took nothing, or never says so.
    for is_told in [true, false] {
        let mut order = Order::default();
        order.push(1, 0, "a");
        order.order.push(&ahead(2, 1, "b"), &mut words(&mut order.seen));
        order.order.push(&ahead(2, 3, "d"), &mut words(&mut order.seen));
        if is_told {
            order.order.confirm(2, &mut words(&mut order.seen));
            assert_eq!(order.seen, ["a", "b"]);
        }
        order.settle(3).settle(4);
        assert_eq!(order.seen, ["a", "b", "gap 1 64", "d"]);
    }
}

#[test]
fn a_packet_ends_once() {
    let mut order = Order::default();
    for (end, time) in [(End::Writer, 1), (End::Reader, 2)] {
        let packet = Chunk { end, packet_end: true, ..chunk(time, 0, b"ab", LossReasons::default()) };
        order.order.push(&packet, &mut words(&mut order.seen));
    }
    assert_eq!(order.seen, ["ab", "end"]);
}

#[test]
fn offsets_at_the_end_of_numbers_do_not_overflow() {
    let mut order = Order::default();
    order.push(1, u64::MAX - 1, "abc").push(1, u64::MAX, "d").settle(Time::MAX);
    assert_eq!(order.order.buffered(), 0);
}

#[test]
fn a_stream_of_which_the_beginning_is_elsewhere_waits_for_none_of_it() {
    let mut order = Order::default();
    order.order.begin_at(1000);
    order.push(5, 900, "x").push(5, 1000, "abc");
    assert_eq!(order.seen, ["abc"]);
    order.order.begin_at(2000);
    order.push(6, 1003, "def").push(6, 1010, "jkl").settle(7);
    assert_eq!(order.seen, ["abc", "def", "gap 4 64", "jkl"]);
    // What has come already is not forgotten.
    let mut order = Order::default();
    order.push(1, 3, "def").order.begin_at(1000);
    order.push(2, 0, "abc");
    assert_eq!(order.seen, ["abc", "def"]);
}
