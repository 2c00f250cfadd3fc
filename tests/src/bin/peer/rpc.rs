//! What the peers say: JSON-RPC messages, and the tools' texts that every peer in every language shares (`tests/peers/README.md`).

use serde_json::{Value, json};

/// The revision with a handshake that everybody speaks.
pub const REVISION: &str = "2025-06-18";

/// `0 1 2 3 ...` cut to so many bytes: never periodic, so that a message put together wrongly differs.
pub fn numbers(size: usize) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(size + 24);
    let mut number = 0_u64;
    while text.len() <= size {
        let _ = write!(text, "{number} ");
        number += 1;
    }
    text.truncate(size);
    text
}

/// Puts members together in the order of the two common kinds of SDK: `jsonrpc` and `id` first, or last.
fn object(first: bool, id: Option<&Value>, members: &[(&str, &Value)]) -> Vec<u8> {
    let mut head = vec![r#""jsonrpc":"2.0""#.to_owned()];
    head.extend(id.map(|id| format!(r#""id":{id}"#)));
    let body = members.iter().map(|(name, value)| format!(r#""{name}":{value}"#));
    let parts: Vec<String> = if first { head.into_iter().chain(body).collect() } else { body.chain(head).collect() };
    format!("{{{}}}", parts.join(",")).into_bytes()
}

/// Even ids are written as Python writes them, odd ones as TypeScript does.
fn python_order(id: &Value) -> bool {
    id.as_u64().is_none_or(|id| id % 2 == 0)
}

pub fn request(id: &Value, method: &str, params: &Value) -> Vec<u8> {
    let method = Value::from(method);
    let members: &[(&str, &Value)] = if params.is_null() { &[("method", &method)] } else { &[("method", &method), ("params", params)] };
    object(python_order(id), Some(id), members)
}

pub fn notification(method: &str, params: &Value) -> Vec<u8> {
    let method = Value::from(method);
    let members: &[(&str, &Value)] = if params.is_null() { &[("method", &method)] } else { &[("method", &method), ("params", params)] };
    object(true, None, members)
}

pub fn result(id: &Value, result: &Value) -> Vec<u8> {
    object(python_order(id), Some(id), &[("result", result)])
}

pub fn error(id: &Value, code: i64, message: &str) -> Vec<u8> {
    object(python_order(id), Some(id), &[("error", &json!({"code": code, "message": message}))])
}

pub fn text_result(text: &str, is_error: bool) -> Value {
    json!({"content": [{"type": "text", "text": text}], "isError": is_error})
}

pub fn initialize(id: &Value) -> Vec<u8> {
    request(
        id,
        "initialize",
        &json!({"protocolVersion": REVISION, "capabilities": {"elicitation": {}}, "clientInfo": {"name": "peer-client", "version": "1.0.0"}}),
    )
}
