//! How messages look on the wire: plain lines, or one of the odd forms on which servers differ (`mcp-on-the-wire.md` §3.4).

use clap::ValueEnum;
use serde_json::Value;

/// A form. It applies to tool calls and their answers; the handshake is plain.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum Shape {
    /// One line, ended by LF.
    Lf,
    Crlf,
    /// Spaces and tabs before the value.
    Leading,
    /// Ids are strings.
    StringId,
    /// Key and value of the method written with escapes.
    Escaped,
    /// `method` (or `result`) twice; the last one counts.
    DupKey,
    /// CR alone between messages, and at the end.
    Cr,
    /// Several lines.
    Pretty,
    /// No line end at all.
    NoNewline,
    /// A byte order mark before the value.
    Bom,
    /// Nine empty lines before the value.
    BlankLines,
    /// Two values on a line.
    TwoValues,
    /// The same without even a space between.
    NoSpace,
    /// `"id":7.0`
    Id70,
    /// `"id":null`
    IdNull,
    /// No `jsonrpc` member.
    NoJsonrpc,
    /// `"Method"`
    MethodCase,
    TrailingComma,
    Nan,
    /// A byte inside a string that is no UTF-8.
    BadUtf8,
    /// An array of messages.
    Batch,
    /// A Python dictionary, and other lines that only look like JSON, before the message.
    JunkBefore,
    /// A line of text behind the message, in the same write.
    JunkBehind,
    /// A message on a line of its own inside a value of several lines: strict servers execute it, others the value.
    Within,
}

/// Bytes on their way out.
#[derive(Debug)]
pub struct Piece {
    pub kind: Kind,
    pub bytes: Vec<u8>,
    /// The write ends behind it.
    pub last: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Message,
    /// A message that the sensor may report or not: no server executes it, but it is one to look at.
    Optional,
    Noise,
    /// White space, line ends, brackets of a batch: nobody's message.
    Filler,
    /// Logged as optional and not written: other pieces together are this message too, for some servers.
    Aside,
}

impl Shape {
    /// The name on the command line, and in the log.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// It needs two messages in a write.
    pub fn pairs(self) -> bool {
        matches!(self, Self::Cr | Self::TwoValues | Self::NoSpace | Self::Batch)
    }

    /// Some server acts upon such a message, so an answer comes.
    pub fn is_executed(self) -> bool {
        self.kind() == Kind::Message
    }

    fn kind(self) -> Kind {
        match self {
            Self::IdNull | Self::NoJsonrpc => Kind::Optional,
            Self::MethodCase | Self::TrailingComma | Self::Nan => Kind::Noise,
            _ => Kind::Message,
        }
    }

    /// The id of the request of this number.
    pub fn id(self, number: u64) -> Value {
        match self {
            Self::StringId => Value::from(format!("id-{number}")),
            Self::Id70 => Value::from(number as f64),
            Self::IdNull => Value::Null,
            _ => Value::from(number),
        }
    }

    /// Lays out messages that go out together.
    pub fn lay_out(self, messages: &[Vec<u8>]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut add = |kind, bytes: &[u8], last| {
            if !bytes.is_empty() || last {
                pieces.push(Piece { kind, bytes: bytes.to_vec(), last });
            }
        };
        for (number, message) in messages.iter().enumerate() {
            let (first, last) = (number == 0, number + 1 == messages.len());
            add(Kind::Filler, self.before(first), false);
            if self == Self::JunkBefore {
                for line in ["{'debug': 1}", "{\"unfinished\": \"", "[1, 2", "}{", "INFO starting"] {
                    add(Kind::Noise, line.as_bytes(), false);
                    add(Kind::Filler, b"\n", false);
                }
            }
            add(self.kind(), &self.dress(message), false);
            add(Kind::Filler, self.behind(last), false);
            if self == Self::Within {
                add(Kind::Aside, &[AROUND, message, b"\n}"].concat(), false);
            }
            if self == Self::JunkBehind {
                add(Kind::Noise, b"INFO done", false);
                add(Kind::Filler, b"\n", false);
            }
        }
        add(Kind::Filler, b"", true);
        pieces
    }

    fn before(self, first: bool) -> &'static [u8] {
        match self {
            Self::Leading => b"  \t ",
            Self::Within => AROUND,
            Self::Bom => b"\xef\xbb\xbf",
            Self::BlankLines => b"\n\n\n\n\n\n\n\n\n",
            Self::Batch if first => b"[",
            _ => b"",
        }
    }

    fn behind(self, last: bool) -> &'static [u8] {
        match self {
            Self::Crlf => b"\r\n",
            Self::Within => b"\n}\n",
            Self::Cr => b"\r",
            Self::NoNewline => b"",
            Self::TwoValues if !last => b" ",
            Self::NoSpace if !last => b"",
            Self::Batch => {
                if last {
                    b"]\n"
                } else {
                    b", "
                }
            }
            _ => b"\n",
        }
    }

    /// The message's own bytes.
    fn dress(self, message: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(message);
        let is_request = text.contains(r#""method":"#);
        match self {
            Self::Escaped => text.replace(r#""method":"tools/call""#, r#""\u006dethod":"tools\/c\u0061ll""#).into_bytes(),
            Self::DupKey if is_request => with_member(message, br#""method":"ping""#),
            Self::DupKey if text.contains(r#""error":"#) => with_member(message, br#""error":{}"#),
            Self::DupKey => with_member(message, br#""result":{}"#),
            Self::Pretty => {
                let value: Value = serde_json::from_str(&text).unwrap_or_default();
                serde_json::to_vec_pretty(&value).unwrap_or_default()
            }
            Self::NoJsonrpc => text.replacen(r#""jsonrpc":"2.0","#, "", 1).replacen(r#","jsonrpc":"2.0""#, "", 1).into_bytes(),
            Self::MethodCase => text.replacen(r#""method":"#, r#""Method":"#, 1).into_bytes(),
            Self::TrailingComma => [message.split_last().map_or(&[][..], |(_, rest)| rest), b",}"].concat(),
            Self::Nan => with_member(message, br#""x":NaN"#),
            Self::BadUtf8 => with_member(message, b"\"x\":\"\xff\xc3(\xed\xa0\x80\""),
            _ => message.to_vec(),
        }
    }
}

/// What a message stands in.
const AROUND: &[u8] = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":\n";

/// The object with one more member, the first.
fn with_member(message: &[u8], member: &[u8]) -> Vec<u8> {
    [b"{", member, b",", message.get(1..).unwrap_or_default()].concat()
}
