//! What a request or an answer holds, cut into what a reader wants to see apart.
//!
//! A tool's arguments, the texts that it gave back, an error: each is a section. What is left of the message is one more,
//! so nothing is hidden. Invariant: the sections of a message show all of it but what every message has.

use std::borrow::Cow;

use super::model::{Exchange, Single, State, Text, Turn};
use crate::json;
use crate::units;

/// Texts of one result that are shown apart.
const MAX_ITEMS: usize = 50;

/// How the text of a section is to be shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    /// JSON: with line breaks and indentation.
    Json,
    /// As it is.
    Plain,
}

/// A part of what was said.
#[derive(Clone, Debug)]
pub(super) struct Section<'t> {
    /// Our own words.
    pub(super) title: &'static str,
    pub(super) format: Format,
    /// From outside.
    pub(super) text: Cow<'t, str>,
    /// What is missing of it, in our own words.
    pub(super) note: Option<String>,
}

impl Section<'_> {
    /// The text as it is shown, with its line breaks. From outside still.
    pub(super) fn shown(&self) -> Cow<'_, str> {
        match self.format {
            Format::Json => Cow::Owned(json::pretty(&self.text)),
            Format::Plain => Cow::Borrowed(&self.text),
        }
    }
}

/// What a request says.
pub(super) fn of_request(exchange: &Exchange) -> Vec<Section<'_>> {
    let body = &exchange.wire.body;
    if body.text.is_empty() || !exchange.arguments.text.is_empty() {
        return whole("arguments", &exchange.arguments).into_iter().collect();
    }
    let Some(params) = json::member(&body.text, "params") else {
        return rest(&body.text, &ENVELOPE, "rest of the message", body).into_iter().collect();
    };
    let mut sections = Vec::new();
    if exchange.is_call() {
        sections.extend(json::member(params, "arguments").and_then(|arguments| section("arguments", arguments, body)));
        sections.extend(rest(params, &["name", "arguments"], "other parameters", body));
    } else {
        sections.extend(section("parameters", params, body));
    }
    sections.extend(rest(&body.text, &ENVELOPE, "rest of the message", body));
    sections
}

/// The arguments of a call, or the parameters of another request: JSON text, or nothing.
pub(super) fn asked(exchange: &Exchange) -> &str {
    if exchange.wire.body.text.is_empty() || !exchange.arguments.text.is_empty() {
        return &exchange.arguments.text;
    }
    let params = json::member(&exchange.wire.body.text, "params").unwrap_or_default();
    if exchange.is_call() { json::member(params, "arguments").unwrap_or_default() } else { params }
}

/// The result or the error of a turn: JSON text, or nothing.
pub(super) fn answered(turn: &Turn) -> &str {
    if !turn.value.text.is_empty() {
        return &turn.value.text;
    }
    let key = if turn.state == State::Failed { "error" } else { "result" };
    json::member(&turn.wire.body.text, key).unwrap_or_default()
}

/// What an answer says.
pub(super) fn of_turn<'t>(exchange: &Exchange, turn: &'t Turn) -> Vec<Section<'t>> {
    let source = if turn.value.text.is_empty() { &turn.wire.body } else { &turn.value };
    let value = answered(turn);
    let mut sections = Vec::new();
    if turn.state == State::Failed {
        sections.extend(section("error", value, source));
    } else if exchange.is_call() {
        result(value, source, &mut sections);
    } else {
        sections.extend(section("result", value, source));
    }
    if turn.value.text.is_empty() {
        sections.extend(rest(&turn.wire.body.text, &ENVELOPE, "rest of the message", &turn.wire.body));
    }
    sections
}

/// What a message of its own says.
pub(super) fn of_single(single: &Single) -> Vec<Section<'_>> {
    let body = &single.wire.body;
    let mut sections = Vec::new();
    for (key, title) in [("params", "parameters"), ("result", "result"), ("error", "error")] {
        sections.extend(json::member(&body.text, key).and_then(|value| section(title, value, body)));
    }
    let is_object = json::members(&body.text).next().is_some();
    sections.extend(if is_object { rest(&body.text, &ENVELOPE, "rest of the message", body) } else { whole("message", body) });
    sections
}

/// Members that every message has, or that are shown apart.
const ENVELOPE: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// A tool's result: its texts as texts, everything else as JSON.
fn result<'t>(value: &'t str, source: &Text, sections: &mut Vec<Section<'t>>) {
    let items: Vec<&str> = json::member(value, "content").into_iter().flat_map(json::elements).take(MAX_ITEMS + 1).collect();
    let is_listed = !items.is_empty() && items.len() <= MAX_ITEMS;
    if !is_listed {
        sections.extend(section("result", value, source));
        return;
    }
    for item in items {
        let is_text = json::member(item, "type") == Some("\"text\"") && json::members(item).count() == 2;
        match json::member(item, "text").and_then(|text| text.strip_prefix('"')).filter(|_| is_text) {
            Some(inside) => {
                let mut text = String::new();
                json::unescape(inside.strip_suffix('"').unwrap_or(inside), usize::MAX, false, &mut text);
                sections.push(Section { title: "result", format: Format::Plain, text: Cow::Owned(text), note: None });
            }
            None => sections.push(Section { title: "result", format: Format::Json, text: Cow::Borrowed(item), note: None }),
        }
    }
    if let Some(last) = sections.last_mut() {
        last.note = note(source);
    }
    sections.extend(rest(value, &["content", "isError"], "rest of the result", source));
}

/// The members of an object that are not shown apart. `isError: false` and the like stay: they were said.
fn rest<'t>(object: &'t str, shown: &[&str], title: &'static str, source: &Text) -> Option<Section<'t>> {
    let left: Vec<(&str, &str)> = json::members(object).filter(|(name, _)| !shown.contains(name)).take(1000).collect();
    if left.is_empty() {
        return None;
    }
    let members: Vec<String> = left.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    let text = Cow::Owned(format!("{{{}}}", members.join(",")));
    Some(Section { title, format: Format::Json, text, note: note(source) })
}

fn section<'t>(title: &'static str, value: &'t str, source: &Text) -> Option<Section<'t>> {
    let is_nothing = matches!(value, "" | "{}" | "null");
    (!is_nothing).then(|| Section { title, format: Format::Json, text: Cow::Borrowed(value), note: note(source) })
}

fn whole<'t>(title: &'static str, text: &'t Text) -> Option<Section<'t>> {
    if text.text.is_empty() && !text.is_whole() {
        return Some(Section { title, format: Format::Plain, text: Cow::Borrowed(""), note: note(text) });
    }
    section(title, &text.text, text)
}

fn note(text: &Text) -> Option<String> {
    match (text.left_out, text.was_cut) {
        (0, false) => None,
        (0, true) => Some("cut by the sensor for its size".to_owned()),
        (bytes, false) => Some(format!("{} more are left out here", units::bytes(bytes))),
        (bytes, true) => Some(format!("{} more are left out here, and the sensor had cut it already", units::bytes(bytes))),
    }
}
