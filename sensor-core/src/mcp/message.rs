//! A JSON value read as a JSON-RPC message, as the laxest server reads it: the last duplicate key counts, names may be
//! written with escapes, `jsonrpc` may be missing (which is marked).

use crate::event::{Marks, MessageType};
use crate::json::{Kind, Value};
use std::borrow::Cow;

/// What the member `jsonrpc` says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// `"2.0"`.
    Two,
    /// Something else (`"1.0"` of Bitcoin, a number).
    Other,
    /// There is none.
    Missing,
}

/// A view of a message. Nothing is copied.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The value as it crossed the wire.
    pub whole: Value<'a>,
    /// Its kind.
    pub kind: MessageType,
    /// What `jsonrpc` says.
    pub version: Version,
    /// The method; empty for a response.
    pub method: Cow<'a, str>,
    /// The id, whatever it is.
    pub id: Option<Value<'a>>,
    /// The parameters.
    pub params: Option<Value<'a>>,
    /// The result.
    pub result: Option<Value<'a>>,
    /// The error.
    pub error: Option<Value<'a>>,
    /// What was odd about its members.
    pub marks: Marks,
}

impl<'a> Message<'a> {
    /// Reads an object; `None` for what no server takes for a message: no `method` that is a string, and neither an id
    /// with a result or an error, nor an error with a code.
    #[must_use]
    pub fn read(whole: Value<'a>) -> Option<Self> {
        if whole.kind() != Kind::Object {
            return None;
        }
        let (mut jsonrpc, mut method, mut id, mut params, mut result, mut error) = (None, None, None, None, None, None);
        let mut marks = Marks::default();
        for (key, value) in whole.entries() {
            let member = match key.raw() {
                b"\"jsonrpc\"" => &mut jsonrpc,
                b"\"method\"" => &mut method,
                b"\"id\"" => &mut id,
                b"\"params\"" => &mut params,
                b"\"result\"" => &mut result,
                b"\"error\"" => &mut error,
                _ if key.has_escapes() => {
                    let member = match key.as_str().as_deref() {
                        Some("jsonrpc") => &mut jsonrpc,
                        Some("method") => &mut method,
                        Some("id") => &mut id,
                        Some("params") => &mut params,
                        Some("result") => &mut result,
                        Some("error") => &mut error,
                        _ => continue,
                    };
                    marks = marks.union(Marks::ESCAPED_NAME);
                    member
                }
                _ => continue,
            };
            *member = Some(value);
        }
        let version = match jsonrpc {
            Some(text) if text.is_str("2.0") => Version::Two,
            Some(_) => Version::Other,
            None => Version::Missing,
        };
        if version != Version::Two {
            marks = marks.union(Marks::NO_VERSION);
        }
        if let Some(id) = id {
            let odd = match id.kind() {
                Kind::String => false,
                Kind::Number => id.as_i64().is_none(),
                _ => true,
            };
            if odd {
                marks = marks.union(Marks::ODD_ID);
            }
        }
        let name = method.and_then(|method: Value<'a>| {
            if method.has_escapes() && hides(method.raw()) {
                marks = marks.union(Marks::ESCAPED_NAME);
            }
            method.as_str()
        });
        let (kind, method) = match name {
            Some(name) if id.is_some() => (MessageType::Request, name),
            Some(name) => (MessageType::Notification, name),
            None => (answer(version, id, result, error)?, Cow::Borrowed("")),
        };
        Some(Self { whole, kind, version, method, id, params, result, error, marks })
    }

    /// True for what answers a request.
    #[must_use]
    pub const fn is_answer(&self) -> bool {
        matches!(self.kind, MessageType::Response | MessageType::Error)
    }
}

/// True where escapes make a text look like another. `\/` does not: it is how PHP's `json_encode` writes every `/`.
fn hides(raw: &[u8]) -> bool {
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'\\' && bytes.next() != Some(&b'/') {
            return true;
        }
    }
    false
}

/// The kind of a message without a method; `None` where it is no message.
fn answer(version: Version, id: Option<Value<'_>>, result: Option<Value<'_>>, error: Option<Value<'_>>) -> Option<MessageType> {
    let error = error.filter(|error| error.kind() != Kind::Null);
    let fails = error.is_some_and(|error| error.kind() == Kind::Object && (id.is_some() || error.get("code").is_some()));
    if fails && result.is_none_or(|result| result.kind() == Kind::Null) {
        // An error may have no id: the server could not read the request.
        return Some(MessageType::Error);
    }
    id?;
    if result.is_some() {
        return Some(MessageType::Response);
    }
    (error.is_some() && version == Version::Two).then_some(MessageType::Error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Tape;

    fn read(text: &str, check: impl FnOnce(Option<Message<'_>>)) {
        let mut tape = Tape::new();
        tape.parse(text.as_bytes()).unwrap();
        check(Message::read(tape.root(text.as_bytes()).unwrap()));
    }

    #[test]
    fn the_last_duplicate_and_escaped_names_count() {
        read(r#"{"\u006dethod":"ping","method":"tools\/c\u0061ll","params":{},"jsonrpc":"2.0","id":7}"#, |message| {
            let message = message.unwrap();
            assert_eq!((message.method.as_ref(), message.kind), ("tools/call", MessageType::Request));
            assert!(message.marks.contains(Marks::ESCAPED_NAME));
        });
    }

    #[test]
    fn an_escaped_slash_hides_nothing_and_other_escapes_do() {
        let cases = [
            (r"tools\/call", false),
            (r"\u0074ools/call", true),
            (r"tools\u002fcall", true),
            (r"tools\/c\u0061ll", true),
            (r"tools\\/call", true),
            (r"tools/call\n", true),
        ];
        for (written, marked) in cases {
            read(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{written}"}}"#), |message| {
                assert_eq!(message.unwrap().marks.contains(Marks::ESCAPED_NAME), marked, "{written}");
            });
        }
        read(r#"{"jsonrpc":"2.0","id":1,"method":"tools\/call"}"#, |message| assert_eq!(message.unwrap().method, "tools/call"));
    }

    #[test]
    fn values_that_no_server_takes_for_a_message_are_none() {
        for text in
            ["{}", r#"{"jsonrpc":"2.0"}"#, r#"{"method":7}"#, r#"{"result":1}"#, r#"{"error":"x","level":"info"}"#, r#"{"id":1}"#, "[]"]
        {
            read(text, |message| assert!(message.is_none(), "{text}"));
        }
    }

    #[test]
    fn kinds_and_odd_ids_are_told() {
        let cases = [
            (r#"{"jsonrpc":"2.0","method":"a","id":null}"#, MessageType::Request, true),
            (r#"{"jsonrpc":"2.0","method":"a","id":1.5}"#, MessageType::Request, true),
            (r#"{"jsonrpc":"2.0","method":"a","id":7.0}"#, MessageType::Request, false),
            (r#"{"jsonrpc":"2.0","method":"a"}"#, MessageType::Notification, false),
            (r#"{"jsonrpc":"2.0","id":"x","result":null}"#, MessageType::Response, false),
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#, MessageType::Error, true),
            (r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"x"}}"#, MessageType::Error, false),
        ];
        for (text, kind, odd) in cases {
            read(text, |message| {
                let message = message.unwrap();
                assert_eq!((message.kind, message.marks.contains(Marks::ODD_ID)), (kind, odd), "{text}");
            });
        }
    }
}
