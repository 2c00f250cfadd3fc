//! How the laxest server reads a stream (`mcp-on-the-wire.md` §3.4), written apart from the sensor's own reader.
//!
//! A value is taken where its brackets close, whatever lines it spans, whether or not a line end follows, and with any text behind it.
//! A byte order mark and white space before it are skipped. Invalid UTF-8 is replaced. Of an array, each element is a message.
//! What cannot be read as a value is noise up to the end of its line (LF or CR).

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::ops::Range;

/// What stood in the stream.
#[derive(Debug)]
pub enum Item {
    /// A message that a server would act upon: its exact bytes, and its members.
    Message { bytes: Vec<u8>, members: Map<String, Value> },
    /// Anything else.
    Noise(Vec<u8>),
}

/// Cuts a stream into items.
#[derive(Default)]
pub struct Splitter {
    bytes: Vec<u8>,
    /// Where the search for the end of the present value goes on, and how deep it is in it.
    scan: Scan,
    /// Stop at a line end inside a value, as strict servers do: a value is one line.
    strict: bool,
}

#[derive(Clone, Copy, Default)]
struct Scan {
    at: usize,
    /// It spans lines, so it may be a line that is no value, with others behind it.
    lines: bool,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

enum End {
    /// One behind the value's last byte.
    At(usize),
    /// It goes on.
    Open,
    /// It cannot be a value.
    Broken,
}

const MARK: &[u8] = b"\xef\xbb\xbf";

impl Splitter {
    /// A splitter that takes only whole lines: for a conversation whose lines may be cut short and then be followed by others.
    pub fn strict() -> Self {
        Self { strict: true, ..Self::default() }
    }

    /// Where to append what was read.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// True where nothing is left over.
    pub fn is_empty(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }

    /// The items that are complete.
    pub fn take(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        let mut done = 0;
        loop {
            done += leading_blank(self.bytes.get(done..).unwrap_or_default());
            let rest = self.bytes.get(done..).unwrap_or_default();
            let Some(first) = rest.first().filter(|_| !MARK.starts_with(rest)) else { break };
            let mut end = if matches!(first, b'{' | b'[') { self.scan.run(rest, self.strict) } else { End::Broken };
            if self.scan.lines && !is_begin_of_value(rest, &end) {
                end = End::Broken;
                self.scan.at = 0;
            }
            let taken = match end {
                End::Open => break,
                End::At(end) => {
                    let value = rest.get(..end).unwrap_or_default();
                    let before = items.len();
                    messages(value, &mut items);
                    if items.len() == before {
                        items.push(Item::Noise(value.to_vec()));
                    }
                    end
                }
                End::Broken => {
                    // A line of noise may be long, and is looked through once.
                    let looked = if matches!(first, b'{' | b'[') { 0 } else { self.scan.at };
                    let found = rest.get(looked..).unwrap_or_default().iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                    let Some(line) = found.map(|found| looked + found) else {
                        self.scan.at = rest.len();
                        break;
                    };
                    items.push(Item::Noise(rest.get(..line).unwrap_or_default().to_vec()));
                    line
                }
            };
            done += taken;
            self.scan = Scan::default();
        }
        self.bytes.drain(..done);
        items
    }
}

/// Whether what spans lines is a value, or may become one.
fn is_begin_of_value(bytes: &[u8], end: &End) -> bool {
    match end {
        End::At(end) => serde_json::from_slice::<IgnoredAny>(bytes.get(..*end).unwrap_or_default()).is_ok(),
        End::Open => serde_json::from_slice::<IgnoredAny>(bytes).is_err_and(|error| error.is_eof()),
        End::Broken => false,
    }
}

/// Bytes of white space and byte order marks at the beginning.
fn leading_blank(bytes: &[u8]) -> usize {
    let mut blank = 0;
    loop {
        let rest = bytes.get(blank..).unwrap_or_default();
        if rest.starts_with(MARK) {
            blank += MARK.len();
        } else if rest.first().is_some_and(u8::is_ascii_whitespace) {
            blank += 1;
        } else {
            return blank;
        }
    }
}

impl Scan {
    /// Looks for the end of the value that begins `bytes`, from where it stopped the last time.
    fn run(&mut self, bytes: &[u8], strict: bool) -> End {
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            if *byte == b'\n' && (self.in_string || strict) {
                return End::Broken;
            }
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'\n' => self.lines = true,
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return End::At(self.at);
                    }
                }
                _ => {}
            }
        }
        End::Open
    }
}

/// The messages of one value: itself, or its elements.
fn messages(value: &[u8], items: &mut Vec<Item>) {
    if value.first() == Some(&b'[') {
        for element in elements(value) {
            messages(value.get(element).unwrap_or_default(), items);
        }
        return;
    }
    if let Ok(Value::Object(members)) = serde_json::from_str(&String::from_utf8_lossy(value))
        && is_executed(&members)
    {
        items.push(Item::Message { bytes: value.to_vec(), members });
    }
}

/// Where the elements of an array stand, which must be objects in valid UTF-8.
fn elements(array: &[u8]) -> Vec<Range<usize>> {
    let Ok(text) = std::str::from_utf8(array) else { return Vec::new() };
    let Ok(raw) = serde_json::from_str::<Vec<&RawValue>>(text) else { return Vec::new() };
    let start = text.as_ptr() as usize;
    raw.iter()
        .map(|element| {
            let at = element.get().as_ptr() as usize - start;
            at..at + element.get().len()
        })
        .collect()
}

/// Whether any server acts upon it: JSON-RPC 2.0, and a request with an id, a notification without, or an answer.
fn is_executed(members: &Map<String, Value>) -> bool {
    if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return false;
    }
    let id = members.get("id");
    if members.get("method").is_some_and(Value::is_string) {
        return id.is_none_or(|id| !id.is_null());
    }
    id.is_some() && (members.contains_key("result") || members.contains_key("error"))
}

#[cfg(test)]
mod tests {
    use super::{Item, Splitter};

    /// `M` and size of each message, `N` and size of each noise.
    fn items(text: &str, cut: usize) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut all = Vec::new();
        for part in text.as_bytes().chunks(cut.max(1)) {
            splitter.buffer().extend_from_slice(part);
            for item in splitter.take() {
                all.push(match item {
                    Item::Message { bytes, .. } => format!("M{}", bytes.len()),
                    Item::Noise(bytes) => format!("N{}", bytes.len()),
                });
            }
        }
        all
    }

    const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

    #[test]
    fn a_stream_cut_anywhere_gives_the_same_items() {
        let text = format!(
            "{PING}\r{PING}\n\u{feff}{PING} {PING}\n[{PING}, {PING}]\n{{'debug': 1}}\nINFO\n[1, 2\n{{\n \"jsonrpc\":\"2.0\",\"id\":1,\n\"method\":\"ping\"}}\n{PING}"
        );
        let whole = items(&text, text.len());
        assert_eq!(whole, ["M40", "M40", "M40", "M40", "M40", "M40", "N12", "N4", "N5", "M43", "M40"]);
        for cut in 1..text.len() {
            assert_eq!(items(&text, cut), whole, "in pieces of {cut}");
        }
    }

    #[test]
    fn what_no_server_executes_is_noise() {
        for text in [
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"Method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping",}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}"#,
        ] {
            assert_eq!(items(&format!("{text}\n{PING}\n"), 7).last().map(String::as_str), Some("M40"), "{text}");
            assert_eq!(items(&format!("{text}\n{PING}\n"), 7).len(), 2, "{text}");
        }
    }
}
