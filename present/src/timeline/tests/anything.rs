//! Whatever comes in: every rendering keeps captured text in its place.

use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::{
    Action, BlindSpot, Container, Event, Finding, Gap, Message, Peer, Pod, Sensor, Session, SessionChange, ToolCall, action, finding,
};
use proptest::prelude::*;
use prost_types::Timestamp;
use pulldown_cmark::{Event as Markup, Options, Parser, Tag, TagEnd};

use super::{Limits, TextOptions, Timeline, finished};
use crate::sanitize;
use crate::timeline::{Details, MarkdownOptions};

/// Text that looks like markup, or hides.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("<script>".to_owned()),
        Just("</script>".to_owned()),
        Just("</pre>".to_owned()),
        Just("<!--".to_owned()),
        Just("-->".to_owned()),
        Just("```".to_owned()),
        Just("``".to_owned()),
        Just("`".to_owned()),
        Just("|".to_owned()),
        Just("\\|".to_owned()),
        Just("\\".to_owned()),
        Just("~~~".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("![x](http://x.example)".to_owned()),
        Just("www.example.com".to_owned()),
        Just("<http://x.example>".to_owned()),
        Just("&lt;".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just("\u{1b}[2J".to_owned()),
        Just("\u{202e}".to_owned()),
        Just("{\"a\":[1,\"b\"]}".to_owned()),
        Just("{\"content\":[{\"type\":\"text\",\"text\":\"```\\n</pre>\"}]}".to_owned()),
        Just("{".to_owned()),
        Just("[".to_owned()),
        "[\\x00-\\x{ff}\\u{2000}-\\u{2fff}a-z *_#\\[\\]()]{0,12}",
    ];
    proptest::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

fn peer(text: &str, pid: u32) -> Peer {
    Peer {
        pid,
        exe: text.to_owned(),
        command_line: vec![text.to_owned(), text.to_owned()],
        working_directory: text.to_owned(),
        user: text.to_owned(),
        name: text.to_owned(),
        version: text.to_owned(),
        address: text.to_owned(),
        container: Some(Container { id: text.to_owned(), runtime: text.to_owned() }),
        pod: Some(Pod { uid: text.to_owned(), namespace: text.to_owned(), name: text.to_owned() }),
        ..Peer::default()
    }
}

prop_compose! {
    fn event()(text in hostile(), other in hostile(), id in "[1-3]", kind in 0..8, state in 0..8, direction in 0..3, pid in 0_u32..3, after in 0..100_i64, marks in proptest::collection::vec(0..20, 0..3)) -> Event {
        let body = match kind {
            0 | 1 => Body::Message(Message {
                direction, r#type: state % 5, method: if state % 2 == 0 { "tools/call".to_owned() } else { text.clone() }, request_id: id.clone(),
                target: text.clone(), body: other.clone(), related_request_id: id, marks, sha256: text.clone(), size_bytes: 7, ..Message::default()
            }),
            2 => Body::ToolCall(ToolCall {
                state, request_id: id, tool: text.clone(), arguments: other.clone(), result: text.clone(), error: other, reason: text.clone(),
                retry_of: text.clone(), task_id: text.clone(), marks, is_error: state % 2 == 0, duration_ms: Some(3.0), ..ToolCall::default()
            }),
            3 => Body::SessionChange(SessionChange { state, reason: text.clone() }),
            5 => Body::Finding(Finding {
                rule: text.clone(), title: other.clone(), reason: text.clone(), tags: vec![other], tool: text.clone(), request_id: id,
                method: text.clone(), event_id: text.clone(), suppressed: 3, policy: text.clone(),
                evidence: vec![finding::Evidence { field: text.clone(), value: text.clone() }],
            }),
            6 => Body::Action(Action {
                kind: state, target: direction, outcome: state, detail: text.clone(), rule: other, ordered_by: text.clone(),
                processes: vec![action::Victim { process: Some(peer(&text, pid)), outcome: state, detail: text.clone() }], ..Action::default()
            }),
            4 => Body::Gap(Gap { direction, bytes: (state > 3).then_some(99), reasons: vec![state] }),
            _ => Body::Sensor(Sensor {
                state, detail: text.clone(), version: other, blind_spots: vec![BlindSpot { process: Some(peer(&text, pid)), detail: text.clone(), ..BlindSpot::default() }], ..Sensor::default()
            }),
        };
        let session = Session { id: "s".to_owned(), protocol_version: text.clone(), mcp_session_id: text.clone(), relay_of: text.clone(), tunnel: text.clone(), ..Session::default() };
        Event {
            time: Some(Timestamp { seconds: 1_769_868_202 + after, nanos: 0 }),
            node: text.clone(),
            session: Some(session),
            client: Some(peer(&text, pid)),
            server: Some(peer(&text, pid + 1)),
            body: Some(body),
            ..Event::default()
        }
    }
}

fn is_safe(shown: &str) -> bool {
    let ours = |character: char| matches!(character, '\n' | '\u{2400}'..='\u{241f}' | '\u{2421}');
    !shown.chars().any(|character| sanitize::is_unsafe(character) && !ours(character))
}

/// The tags of a page, without those that would stand in its own script and style.
fn tags(html: &str) -> Vec<&str> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let after = &rest[start..];
        let end = after.find('>').unwrap();
        let tag = &after[1..end];
        tags.push(tag);
        rest = match tag {
            "script" | "style" => &after[after.find(&format!("</{tag}>")).unwrap()..],
            _ => &after[end + 1..],
        };
    }
    tags
}

/// The elements that a page can have.
const ELEMENTS: [&str; 48] = [
    "!doctype", "a", "b", "body", "br", "button", "code", "dd", "details", "div", "dl", "dt", "form", "g", "h1", "h2", "h4", "head",
    "header", "html", "i", "input", "label", "li", "main", "meta", "nav", "ol", "option", "output", "p", "path", "pre", "rect", "script",
    "section", "select", "span", "style", "summary", "svg", "text", "time", "title", "ul", "rect/", "path/", "br/",
];

/// What can stand in their tags.
const ATTRIBUTES: [&str; 34] = [
    "aria-hidden",
    "aria-label",
    "autocomplete",
    "charset",
    "class",
    "content",
    "d",
    "data-k",
    "data-t",
    "height",
    "hidden",
    "href",
    "html",
    "http-equiv",
    "id",
    "lang",
    "name",
    "placeholder",
    "role",
    "spellcheck",
    "tabindex",
    "text-anchor",
    "title",
    "type",
    "value",
    "viewBox",
    "width",
    "x",
    "y",
    "/",
    "",
    "rx",
    "for",
    "open",
];

/// True for a tag of the page's own: known words, and values in quotes that hold no captured text.
fn is_own(tag: &str) -> bool {
    let bare = tag.trim_start_matches('/');
    let (name, attributes) = bare.split_once(' ').unwrap_or((bare, ""));
    // Names outside of the quotes, values inside.
    let mut names = attributes.split('"').step_by(2).flat_map(|names| names.split([' ', '=']));
    ELEMENTS.contains(&name)
        && names.all(|name| ATTRIBUTES.contains(&name))
        && (!attributes.contains("href=") || attributes.contains("href=\"#r"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn text_is_safe_for_a_terminal_and_fits_it(events in proptest::collection::vec(event(), 0..24), columns in 60_usize..160, lines in 0_usize..20) {
        let shown = super::text(&finished(&events), &TextOptions { columns, lines, ..TextOptions::default() });
        prop_assert!(is_safe(&shown), "{:?}", shown);
        for line in shown.lines() {
            prop_assert!(sanitize::width(line) <= columns, "{}: {:?}", columns, line);
        }
    }

    #[test]
    fn json_is_json_that_is_safe_to_print(events in proptest::collection::vec(event(), 0..24)) {
        let finished = finished(&events);
        let mut out = Vec::new();
        finished.render_json(&mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok());
        let is_hidden = |character: char| character.is_control() || matches!(character, '\u{2028}'..='\u{202e}');
        prop_assert!(!shown.trim_end_matches('\n').contains(is_hidden));
    }

    #[test]
    fn a_page_has_no_tags_but_its_own(events in proptest::collection::vec(event(), 0..24)) {
        let mut out = Vec::new();
        finished(&events).render_html(&mut out).unwrap();
        let html = String::from_utf8(out).unwrap();
        for tag in tags(&html) {
            prop_assert!(is_own(tag), "{}", tag);
        }
    }

    #[test]
    fn markdown_keeps_what_was_captured_in_code(events in proptest::collection::vec(event(), 0..24)) {
        let mut out = Vec::new();
        let options = MarkdownOptions { details: Details::Everything, lines: 10 };
        finished(&events).render_markdown(&options, &mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        prop_assert!(is_safe(&shown));
        let (mut is_block, mut cells) = (false, 0);
        for part in Parser::new_ext(&shown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
            match part {
                Markup::Start(Tag::CodeBlock(_)) => is_block = true,
                Markup::End(TagEnd::CodeBlock) => is_block = false,
                Markup::Start(Tag::TableRow | Tag::TableHead) => cells = 0,
                Markup::Start(Tag::TableCell) => cells += 1,
                Markup::End(TagEnd::TableRow | TagEnd::TableHead) => prop_assert_eq!(cells, 8),
                Markup::Start(tag @ (Tag::Link { .. } | Tag::Image { .. } | Tag::HtmlBlock | Tag::BlockQuote(_))) => prop_assert!(false, "{:?}", tag),
                Markup::Html(markup) | Markup::InlineHtml(markup) => prop_assert!(false, "{}", markup),
                Markup::Text(text) if !is_block => {
                    prop_assert!(!text.contains(['`', '<', '|', '\\', '\u{241b}']) && !text.contains("example"), "{:?} in {}", text, shown);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn memory_keeps_to_its_limits(events in proptest::collection::vec(event(), 0..60), entries in 0_usize..20, text in 0_usize..50, total in 0_usize..300) {
        let mut timeline = Timeline::new(Limits { entries, text, total });
        for event in &events {
            timeline.add(event);
        }
        prop_assert!(timeline.held <= total);
        prop_assert!(timeline.exchanges.len() <= entries && timeline.steps.len() <= entries * 9);
        // And what is left can be shown.
        let finished = timeline.finish();
        let mut out = Vec::new();
        finished.render_html(&mut out).unwrap();
        finished.render_json(&mut out).unwrap();
    }
}
