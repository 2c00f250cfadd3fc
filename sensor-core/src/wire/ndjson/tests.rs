//! Examples: what real servers executed (`mcp-on-the-wire.md` §3.4), and what blinds other sensors (`failure-cases.md`).
//! The laws are in `tests/laws.rs`.

use super::*;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"}}"#;
const RESULT: &str = r#"{"result":{"content":[]},"jsonrpc":"2.0","id":1}"#;

/// A stream under test: the frames as words.
struct Stream {
    framing: Ndjson,
    tape: Tape,
    seen: Vec<String>,
}

fn marks_in_words(marks: Marks) -> String {
    let names = [
        (Marks::DUPLICATE_KEY, "duplicate"),
        (Marks::INVALID_UTF8, "utf8"),
        (Marks::CARRIAGE_RETURN, "cr"),
        (Marks::SEVERAL_LINES, "lines"),
        (Marks::SHARED_LINE, "shared"),
        (Marks::BYTE_ORDER_MARK, "bom"),
        (Marks::NEXT_TO_GAP, "gap"),
        (Marks::NO_LINE_END, "no-end"),
        (Marks::LAX_JSON, "lax"),
        (Marks::AMBIGUOUS, "ambiguous"),
    ];
    names.iter().filter(|(mark, _)| marks.contains(*mark)).map(|(_, name)| format!(" {name}")).collect()
}

impl Stream {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self { framing: Ndjson::new(limits), tape: Tape::new(), seen: Vec::new() }
    }

    fn act(&mut self, act: impl FnOnce(&mut Ndjson, &mut Tape, &mut Out<'_>)) -> &mut Self {
        let Self { framing, tape, seen } = self;
        act(framing, tape, &mut |frame| {
            seen.push(match frame {
                Frame::Value { bytes, marks, .. } => {
                    let text = String::from_utf8_lossy(bytes).replace(CALL, "CALL").replace(RESULT, "RESULT");
                    format!("{text}{}", marks_in_words(marks))
                }
                Frame::Noise { bytes } => format!("noise {bytes}"),
                Frame::Gap { bytes, reasons } => {
                    format!("gap {} {}", bytes.map_or("?".into(), |bytes| bytes.to_string()), reasons.0)
                }
            });
        });
        self
    }

    fn push(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.act(|framing, tape, out| framing.push(bytes.as_ref(), tape, out))
    }

    fn gap(&mut self, bytes: Option<u64>) -> &mut Self {
        self.act(|framing, _, out| framing.gap(bytes, LossReasons::RING_FULL, out))
    }

    fn finish(&mut self) -> Vec<String> {
        self.act(Ndjson::finish);
        std::mem::take(&mut self.seen)
    }
}

/// Frames of a stream that comes in one piece, which are those of one that comes byte by byte.
fn frames(text: impl AsRef<[u8]>) -> Vec<String> {
    let whole = Stream::new().push(text.as_ref()).finish();
    let mut cut = Stream::new();
    for byte in text.as_ref().chunks(1) {
        cut.push(byte);
    }
    assert_eq!(cut.finish(), whole);
    whole
}

#[test]
fn line_ends_blank_lines_and_indents_are_no_matter() {
    assert_eq!(frames(format!("{CALL}\n{RESULT}\r\n\n\r\n \t\n \t{CALL} \n")), ["CALL", "RESULT", "CALL"]);
}

#[test]
fn escaped_names_and_duplicate_keys_are_values() {
    let escaped = r#"{"\u006dethod":"tools\/c\u0061ll","id":7.0}"#;
    assert_eq!(frames(format!("{escaped}\n")), [escaped]);
    let duplicate = r#"{"method":"ping","id":1,"method":"tools/call"}"#;
    assert_eq!(frames(format!("{duplicate}\n")), [format!("{duplicate} duplicate")]);
}

#[test]
fn a_bare_carriage_return_separates() {
    assert_eq!(frames(format!("{CALL}\r{CALL}\n{CALL}\n")), ["CALL", "CALL cr", "CALL"]);
    assert_eq!(frames(format!("INFO\r{CALL}\r\n\r{CALL}\n")), ["noise 4", "CALL cr", "CALL"]);
}

#[test]
fn a_pretty_printed_message_is_one_value() {
    let text = "{\n  \"jsonrpc\": \"2.0\",\r\n  \"params\": [\n    {\"a\": 1},\n    2\n  ]\n}";
    assert_eq!(frames(format!("{text}\n{CALL}\n")), [format!("{text} lines"), "CALL".into()]);
}

#[test]
fn a_message_without_a_line_end_is_told_at_once() {
    let mut stream = Stream::new();
    stream.push(CALL);
    assert_eq!(stream.seen, ["CALL"]);
    assert!(stream.framing.line_is_open());
    // Java and C#: the line end comes with a write of its own, and nothing is odd about that.
    assert_eq!(stream.push("\n").push(CALL).push("\r\n").finish(), ["CALL", "CALL"]);
}

#[test]
fn a_byte_order_mark_is_skipped_and_marked() {
    assert_eq!(frames(format!("\u{feff}{CALL}\n \u{feff}{CALL}\n\u{feff}\n")), ["CALL bom", "CALL bom"]);
    assert_eq!(frames(format!("x\u{feff}{CALL}\n")), [format!("noise {}", 4 + CALL.len())]);
    assert_eq!(frames(b"\xEF\xBB{}\n"), ["noise 4"]);
}

#[test]
fn several_values_on_a_line_are_told() {
    assert_eq!(frames(format!("{CALL}{CALL} {CALL}\n{CALL}\n")), ["CALL", "CALL shared", "CALL shared", "CALL"]);
    assert_eq!(frames(format!("\0\0{CALL}\0{CALL}\n")), ["noise 2", "CALL shared", "noise 1", "CALL shared"]);
}

#[test]
fn invalid_utf8_and_lax_json_are_values() {
    assert_eq!(frames(b"{\"method\":\"\xFF\"}\n"), ["{\"method\":\"\u{fffd}\"} utf8"]);
    assert_eq!(frames("{\"id\":1e999,\"method\":\"\t\"}\n"), ["{\"id\":1e999,\"method\":\"\t\"} lax"]);
}

#[test]
fn what_no_server_executes_is_noise() {
    for noise in ["{'debug': 1}", "INFO done", "42", "\"text\"", "null", "[2026-01-01] INFO", "{\"a\":1,}", "[NaN]", "}"] {
        assert_eq!(frames(format!("{noise}\n{CALL}\n")), [format!("noise {}", noise.len()), "CALL".into()]);
    }
    assert_eq!(frames(format!("INFO {CALL}\n{CALL}\n")), [format!("noise {}", 5 + CALL.len()), "CALL".into()]);
}

#[test]
fn f3_f4_a_message_in_pieces_is_a_message() {
    let big = format!(r#"{{"jsonrpc":"2.0","id":2,"result":"{}"}}"#, "x".repeat(300_000));
    let text = format!("{CALL}\n{big}\n{RESULT}\n");
    for size in [37, 8192, 65_536] {
        let mut stream = Stream::new();
        for piece in text.as_bytes().chunks(size) {
            stream.push(piece);
        }
        assert_eq!(stream.finish(), ["CALL", &big, "RESULT"]);
    }
}

#[test]
fn f5_f44_nothing_poisons_what_follows() {
    for poison in [
        "{'debug': 1}",
        "{\"a\": ",
        "{",
        "[",
        "[[[[",
        "[1,",
        "{\"a\":\"",
        "{\"a\":{\"b\":[{",
        "{\"a\":tru",
        "{\"a\":-",
        "\"a",
        "{\"a\":\"\\",
    ] {
        let seen = frames(format!("{poison}\n{CALL}\n{RESULT}\n{CALL}\n{CALL}\n"));
        let found: Vec<&str> = seen.iter().map(|frame| frame.strip_suffix(" ambiguous").unwrap_or(frame)).collect();
        let found: Vec<&str> = found.into_iter().filter(|frame| !frame.starts_with("noise")).collect();
        assert_eq!(found, ["CALL", "RESULT", "CALL", "CALL"], "{poison}");
    }
}

#[test]
fn f6_text_behind_a_message_is_noise_of_its_own() {
    assert_eq!(frames(format!("{CALL}\nINFO done\n{RESULT} INFO\n{CALL}\n")), ["CALL", "noise 9", "RESULT", "noise 4", "CALL"]);
}

#[test]
fn f22_a_batch_is_one_value() {
    assert_eq!(frames(format!("[{CALL},{CALL}]\n")), ["[CALL,CALL]"]);
}

#[test]
fn f23_many_newlines_before_a_message() {
    assert_eq!(frames(format!("{}{CALL}\n", "\n".repeat(20))), ["CALL"]);
}

#[test]
fn two_readings_are_both_told_and_marked() {
    // By line: a message. By value: an object that has it as a member.
    let outer = format!("{{\"a\":\n{CALL}\n}}");
    assert_eq!(frames(format!("{outer}\n")), ["CALL ambiguous", "{\"a\":\nCALL\n} lines ambiguous"]);
    let outer = format!("{{\"a\":\r{CALL}\r}}");
    assert_eq!(frames(format!("{outer}\n")), ["CALL cr ambiguous", "{\"a\":\rCALL\r} lines ambiguous"]);
    // A pretty-printed batch: what is a message by itself has no comma behind it.
    let batch = format!("[\n  {CALL},\n  {RESULT}\n]");
    assert_eq!(frames(format!("{batch}\n")), ["RESULT ambiguous", "[\n  CALL,\n  RESULT\n] lines ambiguous"]);
    // Members that are no messages are just members.
    assert_eq!(frames("[\n{\"a\":1}\n]\n"), ["[\n{\"a\":1}\n] lines"]);
}

#[test]
fn a_carriage_return_in_a_string_hides_nothing() {
    assert_eq!(frames("{\"\":\"\r{\"}\":1,\"method\":2}\n"), ["noise 5", "{\"}\":1,\"method\":2} cr"]);
}

#[test]
fn a_line_within_a_given_up_candidate_is_found() {
    let mut stream = Stream::with(Limits::with_message_bytes(100));
    stream.push("[\n");
    for _ in 0..100 {
        stream.push("1,\n");
    }
    stream.push(format!("{CALL}\n{CALL}\n"));
    let rest = 2 + 300 - 3 * 100;
    let expected = ["gap 100 32", "gap 100 32", "gap 100 32", "CALL ambiguous", &format!("gap {} 32", rest + 1), "CALL"];
    assert_eq!(stream.finish(), expected);
    assert!(stream.framing.buffered() <= 4096);
}

#[test]
fn a_value_over_the_limit_is_given_up_and_its_end_found() {
    let big = format!(r#"{{"method":"{}"}}"#, "x".repeat(250));
    for size in [1, 50, 10_000] {
        let mut stream = Stream::with(Limits::with_message_bytes(100));
        for piece in format!("{big}{CALL}\n{big}").as_bytes().chunks(size) {
            stream.push(piece);
            assert!(stream.framing.buffered() <= 100 + 256, "{}", stream.framing.buffered());
        }
        assert_eq!(stream.finish(), ["gap 100 32", "gap 100 32", "gap 63 32", "CALL shared", "gap 100 32", "gap 100 32", "gap 63 32"],);
    }
    // One byte within the limit.
    let fits = format!(r#"{{"method":"{}"}}"#, "x".repeat(100 - 13));
    assert_eq!(Stream::with(Limits::with_message_bytes(100)).push(format!("{fits}\n")).finish(), [fits]);
}

#[test]
fn an_endless_line_takes_no_memory() {
    let mut stream = Stream::with(Limits::with_message_bytes(10_000));
    stream.push("{\"a\":\"");
    for _ in 0..1000 {
        stream.push(vec![b'x'; 8192]);
        assert!(stream.framing.buffered() <= 10_000 + 256);
    }
    stream.seen.clear();
    assert_eq!(stream.push(format!("\n{CALL}\n")).finish().last().unwrap(), "CALL");
    let mut stream = Stream::new();
    for _ in 0..1000 {
        stream.push(vec![b'['; 8192]);
    }
    assert!(stream.framing.buffered() <= 256 << 10, "too deep is given up");
    assert_eq!(stream.push(format!("\n{CALL}\n")).finish().last().unwrap(), "CALL");
}

#[test]
fn a_gap_loses_what_it_touches() {
    let half = CALL.len() / 2;
    let (head, tail) = CALL.split_at(half);
    // In the middle of a message: its head, the gap, its tail.
    let seen = Stream::new().push(format!("{RESULT}\n{head}")).gap(Some(7)).push(format!("{tail}\n{RESULT}\n")).finish();
    let tail_bytes = format!("gap {} 1", tail.len());
    assert_eq!(seen, ["RESULT", &format!("gap {} 1", half + 7), &tail_bytes, "RESULT"]);
    // Between two messages: what follows might be the rest of something.
    let seen = Stream::new().push(format!("{CALL}\n")).gap(Some(50)).push(format!("{RESULT}\n{CALL}\n")).finish();
    assert_eq!(seen, ["CALL", "gap 50 1", "RESULT gap", "CALL"]);
    // Of unknown length, in noise, at the end.
    let seen = Stream::new().push("INFO").gap(None).push(" x\n{\"a").gap(None).finish();
    assert_eq!(seen, ["noise 4", "gap ? 1", "gap 1 1", "gap ? 1"]);
    // In an unfinished candidate, behind a line that is a message.
    let seen = Stream::new().push(format!("[\n{CALL}")).gap(Some(1)).push(format!("{CALL}\n")).finish();
    assert_eq!(seen, ["CALL gap ambiguous", "gap 3 1", "CALL gap"]);
}

#[test]
fn a_packet_ends_a_line_but_no_value() {
    let (head, tail) = CALL.split_at(20);
    let mut stream = Stream::new();
    for packet in [CALL, RESULT, "INFO", CALL, head, tail, "{\"a\":", CALL, RESULT] {
        stream.push(packet).act(Ndjson::packet_end);
    }
    let expected = ["CALL", "RESULT", "noise 4", "CALL", "CALL", "CALL ambiguous", "noise 5", "RESULT"];
    assert_eq!(stream.finish(), expected);
}

#[test]
fn time_is_linear_in_hostile_streams() {
    // Each of these took minutes with a framing that looks at anything again and again.
    let mut hostile: Vec<Vec<u8>> = vec![
        b"[\",\n".repeat(200_000),
        b"{\"a\":\n".repeat(200_000),
        b"[\n".repeat(400_000),
        b"{}".repeat(400_000),
        b"[{},\n".repeat(200_000),
        b"\r".repeat(1_000_000),
        b"{\r".repeat(400_000),
        b"[1,\n[\"\n".repeat(100_000),
    ];
    hostile.push([&b"["[..], &b"1,\n".repeat(300_000)].concat());
    for text in hostile {
        for size in [100, 16_384, text.len()] {
            let (mut framing, mut tape) = (Ndjson::new(Limits::default()), Tape::new());
            for piece in text.chunks(size) {
                framing.push(piece, &mut tape, &mut |_| {});
            }
        }
    }
}
