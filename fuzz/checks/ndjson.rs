//! The framing: split invariance, no line hidden, the gap law, every byte once, the memory bound.

use super::choices::Choices;
use sensor_core::event::Marks;
use sensor_core::input::LossReasons;
use sensor_core::json::Tape;
use sensor_core::wire::ndjson::{Frame, Limits, Ndjson};
use std::ops::Range;

/// Memory that a stream may take besides the bytes of one message: nesting, and what it keeps between messages.
const CONSTANT: usize = (128 << 10) + 4096;

/// A frame, kept.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Seen {
    Value { bytes: Vec<u8>, marks: u32, start: u64 },
    Noise(u64),
    Gap(Option<u64>, u8),
}

/// What happens to a stream.
#[derive(Clone, Debug)]
enum Input<'a> {
    Bytes(&'a [u8]),
    Gap(u64),
    PacketEnd,
}

/// Any bytes, any cut.
pub fn raw(data: &[u8]) {
    let (seed, text) = data.split_at(data.len().min(2));
    let mut choices = Choices::new(seed);
    let whole = check(&[Input::Bytes(text)], Limits::default());
    hides_no_line(text, &whole);
    let pieces = choices.cut(text);
    let pieces: Vec<Input<'_>> = pieces.into_iter().map(Input::Bytes).collect();
    assert_eq!(check(&pieces, Limits::default()), whole, "cut otherwise, with the usual limit");
    let small = Limits::with_message_bytes(1 + choices.below(60));
    let whole = check(&[Input::Bytes(text)], small);
    assert_eq!(check(&pieces, small), whole, "cut otherwise, with a small limit");
    hides_no_line_of(text, &whole, small.message_bytes);
}

/// Messages, noise and poison, with gaps and packet ends, cut anywhere.
pub fn structured(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut text = Vec::new();
    let mut messages = Vec::new();
    while !choices.is_dry() && text.len() < 20_000 {
        let clean = text.ends_with(b"\n") || text.is_empty();
        let item = item(&mut choices, messages.len());
        let start = text.len();
        text.extend_from_slice(&item.bytes);
        let behind = choices.pick(&[&b"\n"[..], b"\n", b"\n", b"\r\n", b"\r", b"", b" "]);
        if item.message && clean && behind.ends_with(b"\n") {
            messages.push(start..text.len());
        }
        text.extend_from_slice(behind);
    }
    let whole = check(&[Input::Bytes(&text)], Limits::default());
    hides_no_line(&text, &whole);
    for message in &messages {
        assert!(tells(&whole, &text, message), "hidden: {}", String::from_utf8_lossy(&text[message.clone()]));
    }
    let mut choices = Choices::new(data.get(data.len() / 2..).unwrap_or_default());
    let pieces: Vec<Input<'_>> = choices.cut(&text).into_iter().map(Input::Bytes).collect();
    assert_eq!(check(&pieces, Limits::default()), whole, "cut otherwise");
    with_gaps(&mut choices, &text, &messages);
    with_packets(&mut choices, &text);
}

/// A gap loses the messages that it touches, at most.
fn with_gaps(choices: &mut Choices<'_>, text: &[u8], messages: &[Range<usize>]) {
    let mut inputs = Vec::new();
    let mut gaps: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    for _ in 0..1 + choices.below(3) {
        let start = at + choices.below((text.len() - at).min(60_000) + 1);
        let end = start + choices.below((text.len() - start).min(200) + 1);
        inputs.push(Input::Bytes(&text[at..start]));
        if end > start {
            inputs.push(Input::Gap((end - start) as u64));
            gaps.push(start..end);
        }
        at = end;
    }
    inputs.push(Input::Bytes(&text[at..]));
    let seen = check(&inputs, Limits::default());
    for message in messages {
        let touched = gaps.iter().any(|gap| gap.start < message.end && message.start < gap.end);
        if !touched {
            assert!(tells(&seen, text, message), "lost to a gap: {}", String::from_utf8_lossy(&text[message.clone()]));
        }
    }
    let mut cut = Vec::new();
    for input in &inputs {
        match input {
            Input::Bytes(bytes) => cut.extend(choices.cut(bytes).into_iter().map(Input::Bytes)),
            other => cut.push(other.clone()),
        }
    }
    assert_eq!(check(&cut, Limits::default()), seen, "cut otherwise, with gaps");
}

/// A packet that is one JSON-RPC value on one line is told, whatever came in the packets before.
///
/// But for one trick: a packet before it ends inside of a string, and its first key begins like what may follow a string.
fn with_packets(choices: &mut Choices<'_>, text: &[u8]) {
    let mut inputs = Vec::new();
    let mut expected = Vec::new();
    let mut at = 0;
    for packet in choices.cut(text) {
        inputs.push(Input::Bytes(packet));
        inputs.push(Input::PacketEnd);
        let indent = packet.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        let value = packet[indent..].trim_ascii_end();
        let first_key = value.split(|&byte| byte == b'"').nth(1).unwrap_or_default();
        let trick = matches!(first_key.first(), None | Some(b'}' | b']' | b',' | b':' | b' '));
        if is_message(value) && !trick && !value.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            expected.push(at + indent..at + indent + value.len());
        }
        at += packet.len();
    }
    let seen = check(&inputs, Limits::default());
    for packet in expected {
        assert!(tells(&seen, text, &packet), "hidden: {}", String::from_utf8_lossy(&text[packet]));
    }
}

/// Frames of a stream, with what holds for every stream.
fn check(inputs: &[Input<'_>], limits: Limits) -> Vec<Seen> {
    let mut framing = Ndjson::new(limits);
    let mut tape = Tape::new();
    let mut seen = Vec::new();
    let mut told: Vec<u8> = Vec::new();
    let mut out = |frame: Frame<'_>| {
        seen.push(match frame {
            Frame::Value { bytes, tape, marks, start } => {
                assert!(bytes.len() <= limits.message_bytes);
                let root = tape.root(bytes).expect("the tape of a value");
                assert_eq!(root.raw(), bytes);
                Seen::Value { bytes: bytes.to_vec(), marks: marks.0, start }
            }
            Frame::Noise { bytes } => Seen::Noise(bytes),
            Frame::Gap { bytes, reasons } => Seen::Gap(bytes, reasons.0),
        });
    };
    for input in inputs {
        match input {
            Input::Bytes(bytes) => {
                framing.push(bytes, &mut tape, &mut out);
                told.extend_from_slice(bytes);
            }
            Input::Gap(bytes) => {
                framing.gap(Some(*bytes), LossReasons::RING_FULL, &mut out);
                told.resize(told.len() + *bytes as usize, b'?');
            }
            Input::PacketEnd => framing.packet_end(&mut tape, &mut out),
        }
        assert!(framing.buffered() <= limits.message_bytes + CONSTANT, "memory");
    }
    framing.finish(&mut tape, &mut out);
    assert!(framing.buffered() <= CONSTANT, "memory of a closed stream");
    accounts_for_every_byte(&told, &seen);
    seen
}

/// Values stand where they say, in order; and what is in no frame is white space or a byte order mark.
fn accounts_for_every_byte(text: &[u8], seen: &[Seen]) {
    let mut counted = 0;
    let mut inner = 0;
    let mut last_end = 0;
    let mut last: Range<u64> = 0..0;
    for frame in seen {
        match frame {
            Seen::Value { bytes, start, marks } => {
                let end = start + bytes.len() as u64;
                assert_eq!(&text[*start as usize..end as usize], bytes.as_slice());
                assert!(end > last_end, "values end in order");
                if *start <= last.start && last.end > 0 {
                    assert!(marks & Marks::AMBIGUOUS.0 != 0, "a value around another is ambiguous");
                }
                (last_end, last) = (end, *start..end);
                counted += bytes.len() as u64;
            }
            Seen::Noise(bytes) => counted += bytes,
            Seen::Gap(bytes, _) => counted += bytes.expect("counted"),
        }
    }
    let values: Vec<Range<u64>> = seen
        .iter()
        .filter_map(|frame| match frame {
            Seen::Value { bytes, start, .. } => Some(*start..*start + bytes.len() as u64),
            _ => None,
        })
        .collect();
    for (index, value) in values.iter().enumerate() {
        if values[index + 1..].iter().any(|other| other.start <= value.start && value.end <= other.end) {
            inner += value.end - value.start;
        }
    }
    let free = (text.len() as u64 + inner).checked_sub(counted).expect("no byte counts twice");
    let blank = text.iter().filter(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    let marks = text.windows(3).filter(|window| window == b"\xEF\xBB\xBF").count() * 3;
    assert!(free <= (blank + marks) as u64, "{free} bytes are in no frame");
}

fn tells(seen: &[Seen], text: &[u8], message: &Range<usize>) -> bool {
    seen.iter()
        .any(|frame| matches!(frame, Seen::Value { bytes, start, .. } if *start == message.start as u64 && bytes == &text[message.clone()]))
}

fn hides_no_line(text: &[u8], seen: &[Seen]) {
    hides_no_line_of(text, seen, usize::MAX);
}

/// Every line that by itself is a JSON-RPC value is told.
fn hides_no_line_of(text: &[u8], seen: &[Seen], limit: usize) {
    let mut start = 0;
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let mut indent = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if line[indent..].starts_with(b"\xEF\xBB\xBF") {
            indent += 3;
        }
        let value = line[indent..].trim_ascii_end();
        // The indent and what follows count as well while the line is held.
        if is_message(value) && line.len() <= limit {
            let range = start + indent..start + indent + value.len();
            assert!(tells(seen, text, &range), "hidden: {}", String::from_utf8_lossy(value));
        }
        start += line.len() + 1;
    }
}

/// Told by serde_json, so by another reading than the framing's own.
fn is_message(line: &[u8]) -> bool {
    let first = line.first();
    if !matches!(first, Some(b'{' | b'[')) {
        return false;
    }
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(line) else { return false };
    let message = if value.is_array() { value.get(0) } else { Some(&value) };
    message.is_some_and(|message| {
        let has = |key| message.get(key).is_some();
        has("jsonrpc") || has("method") || (has("id") && (has("result") || has("error")))
    })
}

/// Something that stands in a stream.
struct Item {
    bytes: Vec<u8>,
    /// It is a message that must be found if it stands on lines of its own.
    message: bool,
}

fn item(choices: &mut Choices<'_>, id: usize) -> Item {
    let text =
        choices.pick(&["", "x", "\\\"{[", "é漢😀", "a longer text: with, all } kinds ] of \\n signs in it", "\\u0022\\ud83d\\ude00"]);
    let message = |bytes: String| Item { bytes: bytes.into_bytes(), message: true };
    let other = |bytes: &[u8]| Item { bytes: bytes.to_vec(), message: false };
    match choices.below(16) {
        0 => {
            message(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t","arguments":{{"a":"{text}"}}}}}}"#))
        }
        1 => message(format!(r#"{{"result":{{"content":[{{"type":"text","text":"{text}"}}]}},"jsonrpc":"2.0","id":{id}}}"#)),
        2 => message(format!(r#"{{"\u006dethod":"tools\/c\u0061ll","id":{id}.0,"x":[[[[{{}}]]]]}}"#)),
        3 => message(format!(r#"[{{"method":"ping","id":{id}}},{{"method":"{text}"}}]"#)),
        4 => message(format!(r#"{{"id":"{text}","error":{{"code":-32600}},"method":"ping","method":"tools/call"}}"#)),
        5 => message(format!(r#"{{"method":"big","params":"{}"}}"#, text.repeat(1 + choices.below(20)))),
        6 => Item {
            message: false,
            ..message(format!("{{\n  \"jsonrpc\": \"2.0\",\r\n  \"id\": {id},\n\"params\": {{\n\"a\": [\n1,\n2\n]}}\r}}"))
        },
        7 => Item { message: false, ..message(format!("[\n{{\"method\":\"a\",\"id\":{id}}},\n{{\"method\":\"b\"}}\n]")) },
        8 => other(choices.pick(&[&b"{'debug': 1}"[..], b"{\"a\": ", b"[", b"{", b"[1,", b"{\"a\":\"", b"[[[[[", b"{\"a\":{\"b\":["])),
        9 => other(choices.pick(&[
            &b"INFO done"[..],
            b"INFO {\"method\":1}",
            b"42",
            b"\"text\"",
            b"null",
            b"}",
            b"]",
            b",",
            b"[2026-01-01] x",
        ])),
        10 => other(choices.pick(&[&b"\xEF\xBB\xBF"[..], b"\xEF\xBB", b"\xEF", b"\0", b"\0\0\0", b" ", b"\t", b"\n", b"\r", b"\x0c"])),
        11 => other(b"{\"\":\"\r{\"}\":1,\"method\":2}"),
        12 => other(choices.pick(&[&b"{}"[..], b"[]", b"{\"a\":1}", b"[{\"a\":1}]"])),
        13 => other(b"{\"method\":\"\xFF\xFE\",\"x\":\"\x01\",\"y\":1e999}"),
        14 => {
            let length = choices.below(20);
            other(&(0..length).map(|_| choices.byte()).collect::<Vec<u8>>())
        }
        _ => {
            let length = choices.below(20);
            other(&(0..length).map(|_| choices.pick(b"{}[]\",:\\ \n\r1ea")).collect::<Vec<u8>>())
        }
    }
}
