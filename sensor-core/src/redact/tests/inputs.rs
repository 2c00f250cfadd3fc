//! What the tests feed: JSON with secrets, without any, and text that is hardly JSON.

use proptest::collection::vec;
use proptest::prelude::*;

use super::json_string;
use crate::redact::shapes::{Class, SHAPES, Sure};

/// A string in quotes in which characters are escaped at random.
pub(super) fn quoted(text: &str, choices: &[u8]) -> String {
    let mut choices = choices.iter().cycle().copied();
    let mut out = String::from("\"");
    for character in text.chars() {
        let units = &mut [0; 2];
        let units = character.encode_utf16(units).iter();
        match choices.next().unwrap_or_default() {
            0 | 1 => units.for_each(|unit| out.push_str(&format!("\\u{unit:04x}"))),
            2 => units.for_each(|unit| out.push_str(&format!("\\u{unit:04X}"))),
            3 if character == '/' => out.push_str("\\/"),
            _ => {
                out.push_str(json_string(&character.to_string()).strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).expect("quotes"))
            }
        }
    }
    out.push('"');
    out
}

/// How characters are escaped: mostly not at all.
pub(super) fn escapes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(vec![9]), vec(0..40_u8, 1..40), vec(0..3_u8, 1..4)]
}

pub(super) fn body(class: Class, least: usize) -> BoxedStrategy<String> {
    let length = least..least + 20;
    let characters: Vec<char> = (0..128_u8).filter(|byte| class.has(*byte)).map(char::from).filter(|c| !"./=~%+".contains(*c)).collect();
    vec(prop::sample::select(characters), length).prop_map(String::from_iter).boxed()
}

/// Text with a secret in it: the text before, the secret, and what must not be seen.
pub(super) fn secret() -> BoxedStrategy<(String, String)> {
    let shape = (0..SHAPES.len()).prop_flat_map(|index| {
        let shape = &SHAPES[index];
        body(shape.class, shape.least.max(12)).prop_map(move |body| {
            let digit = if shape.sure == Sure::EdgeAndDigit { "7" } else { "" };
            (format!("{}{digit}{body}", shape.prefix), body)
        })
    });
    let word = || "[A-Za-z0-9]{12,40}".prop_map(|word| format!("7{word}"));
    let jwt = ("[A-Za-z0-9_-]{12,40}", "[A-Za-z0-9_-]{12,40}", "[A-Za-z0-9_-]{12,60}")
        .prop_map(|(one, two, three)| (format!("eyJ{one}.{two}.{three}"), two));
    let pem = vec("[A-Za-z0-9+/]{64}", 1..4).prop_map(|lines| {
        let body = lines.join("\n");
        (format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"), lines.concat())
    });
    let names = vec![
        "password",
        "PASSWORD",
        "db_password",
        "userPassword",
        "api_key",
        "apiKey",
        "API-KEY",
        "x-api-key",
        "client_secret",
        "token",
        "access_token",
        "AWS_SECRET_ACCESS_KEY",
        "Set-Cookie",
        "private_key",
        "credentials",
        "passwd",
    ];
    let patterns = vec![
        "NAME=\"@@\"",
        "NAME='@@'",
        "NAME=@@",
        "NAME: @@",
        "NAME = @@",
        "{\"NAME\":\"@@\"}",
        "{\"NAME\": [\"@@\"]}",
        "{'NAME': '@@'}",
        "https://host/?a=b&NAME=@@&c=d",
        "run --NAME @@ now",
        "run --NAME=@@ now",
        "<NAME>@@</NAME>",
        "{\\\"NAME\\\":\\\"@@\\\"}",
        "headers[\"NAME\"] = \"@@\"",
        "NAME%3D@@",
    ];
    let given = (prop::sample::select(names), prop::sample::select(patterns), word()).prop_map(|(name, pattern, word)| {
        let word = if name == "Set-Cookie" { format!("a={word}") } else { word };
        (pattern.replace("NAME", name).replace("@@", &word), word)
    });
    let fixed = vec![
        "Authorization: Basic @@",
        "authorization: Bearer @@",
        "Bearer @@",
        "Cookie: a=b; c=@@",
        "https://user:@@@host/path",
        "postgres://u:@@@h:5432/d",
        "https://@@@@@github.com/a/b",
        "AccountName=a;AccountKey=@@;EndpointSuffix=b",
        "https://a.blob.core.windows.net/b?sv=1&sig=@@@@@@",
        "https://hooks.slack.com/services/T0/B0/@@@@",
        "https://discord.com/api/webhooks/123456789012345678/@@@@@@",
        "123456789:AA@@@@@@",
    ];
    let fixed = (prop::sample::select(fixed), word()).prop_map(|(pattern, word)| (pattern.replace("@@", &word), word));
    prop_oneof![4 => shape, 1 => jwt, 1 => pem, 3 => given, 2 => fixed].boxed()
}

/// Text around a secret. A letter or digit next to it would make another word of it.
pub(super) fn around() -> impl Strategy<Value = (String, String)> {
    let edge = prop::sample::select(vec!["", " ", "\n", "(", ", ", "é ", "\u{1f600} ", "text: ", "\" "]);
    ("[a-z ]{0,20}", edge, "[a-z ]{0,20}").prop_map(|(before, edge, after)| {
        let edge = if edge.is_empty() && !before.is_empty() { " " } else { edge };
        (before + edge, if after.is_empty() { after } else { format!("\n {after}") })
    })
}

/// Puts the text of a string somewhere in a JSON value.
pub(super) fn placed() -> impl Strategy<Value = fn(String) -> String> {
    let places: Vec<fn(String) -> String> = vec![
        |string| string,
        |string| format!("[{string}]"),
        |string| format!("{{\"text\" : {string}}}"),
        |string| format!("{{{string}: 1}}"),
        |string| format!("{{\"a\":1,\"content\":[{{\"type\":\"text\",\"text\":{string}}}],\"isError\":false}}"),
        |string| format!("[1,2,{{\"a\\\"b\":[{string},{string}]}}]"),
    ];
    prop::sample::select(places)
}

/// JSON of innocent words.
pub(super) fn clean_json() -> BoxedStrategy<String> {
    let text = "[a-zA-Z0-9 ,.!?()\"\\\\\n\té漢\u{1f600}]{0,40}".prop_map(|text| json_string(&text));
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("false".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        (any::<i32>(), 0..200_i32).prop_map(|(number, exponent)| format!("{number}.5e{exponent}")),
        text,
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(|elements| format!("[{}]", elements.join(","))),
            vec(("[a-m]{1,8}", inner), 0..5).prop_map(|members| {
                let members: Vec<_> = members.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(" ,\n "))
            }),
        ]
    })
    .boxed()
}

/// JSON in which there is much of what matters here.
pub(super) fn busy_json(between: &'static str) -> BoxedStrategy<String> {
    let words = prop::sample::select(vec![
        "token",
        "progressToken",
        "password",
        "the password is",
        "api key",
        "api_key",
        "key",
        "author",
        "authorization",
        "cookie",
        "name",
        "value",
        "a",
        "text",
        "pwd",
        "/home",
        "secret",
        "secretary",
        "properties",
        "type",
        "anyOf",
        "pass",
        "12",
        "Bearer abc",
        "https://a:b@c",
        "password=abc1",
        "token: x1",
        "sk-a",
        "eyJ",
        "://",
        "=",
        ": ",
        "\"password\":\"x\"",
        "'",
        "\n",
        "\\",
        "\\u0041",
        "é",
        "--token q1",
        "<",
        ">",
        "[redacted:key:3]",
        "ghp_0123456789012345678901234567890123456789",
        "AKIA0123456789ABCDEF",
        "--",
        "{",
        "}",
        "ssn",
        "--password",
    ]);
    let text = (vec(words.clone(), 0..5), escapes()).prop_map(move |(words, escapes)| quoted(&words.join(between), &escapes));
    let key = (words, escapes()).prop_map(|(word, escapes)| quoted(word, &escapes)).boxed();
    let leaf =
        prop_oneof![1 => Just("null".to_owned()), 1 => Just("true".to_owned()), 2 => any::<u32>().prop_map(|n| n.to_string()), 6 => text];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            1 => vec(inner.clone(), 0..5).prop_map(|elements| format!("[{}]", elements.join(", "))),
            2 => vec((key.clone(), inner), 0..5).prop_map(|members| {
                let members: Vec<_> = members.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
    .boxed()
}

/// What only lax parsers take, and some that none takes.
pub(super) fn lax_json() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&'static [u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\"a\"",
        b"\"password\":",
        b"\"\xff\xfe\"",
        b"\"\\ud800\"",
        b"\"\\udc00x\\q\"",
        b"\"\n\r\x01\"",
        b"1e999",
        b"-0",
        b"7",
        b"null",
        b" ",
        b"\n",
        b"\"\\ud83d\\ude00\"",
        b"\"\xe2\x80\xa8\"",
        b"\"ghp_",
        b"0123456789",
        b"abcdefghijkl",
        b"\\u0067",
        b"\\",
    ];
    let soup = vec(prop::sample::select(pieces), 0..12).prop_map(|pieces| pieces.concat());
    let string = vec(any::<u8>(), 0..40).prop_map(|bytes| [b"[\"", bytes.as_slice(), b"\"]"].concat());
    let deep = (0..2000_usize).prop_map(|depth| ["[".repeat(depth), "1".to_owned(), "]".repeat(depth)].concat().into_bytes());
    prop_oneof![soup, string, deep]
}
