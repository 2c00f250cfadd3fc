//! Whole sessions, as they are rendered.

use super::session::{Script, day};
use super::{TextOptions, finished, json, text};
use crate::style::Styles;
use crate::timeline::MarkdownOptions;

#[test]
fn a_day_as_text() {
    let finished = finished(&day().events);
    insta::assert_snapshot!("day_text_120", text(&finished, &TextOptions::default()));
    insta::assert_snapshot!("day_text_80_rows", text(&finished, &TextOptions { columns: 80, lines: 0, ..TextOptions::default() }));
}

#[test]
fn a_day_as_json() {
    insta::assert_snapshot!("day_json", serde_json::to_string_pretty(&json(&finished(&day().events))).unwrap());
}

#[test]
fn a_day_of_tool_calls_alone() {
    let mut script = Script { messages: false, ..Script::new() };
    super::session::fill(
        &mut script,
        mcp_sensor_proto::v1::message::Direction::ClientToServer,
        mcp_sensor_proto::v1::message::Direction::ServerToClient,
    );
    insta::assert_snapshot!("calls_alone_text", text(&finished(&script.events), &TextOptions { lines: 3, ..TextOptions::default() }));
}

#[test]
fn nothing_at_all() {
    insta::assert_snapshot!("nothing_text", text(&finished(&[]), &TextOptions { styles: Styles::PLAIN, ..TextOptions::default() }));
}

#[test]
fn a_day_as_markdown() {
    let mut out = Vec::new();
    finished(&day().events).render_markdown(&MarkdownOptions::default(), &mut out).unwrap();
    insta::assert_snapshot!("day_markdown", String::from_utf8(out).unwrap());
}
