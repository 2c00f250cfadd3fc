//! The page in a browser: nothing captured runs or loads, and the page's own script does its work.
//!
//! Headless Chromium opens pages of sessions whose every text tries to get out of its place. Each attack that worked would
//! set the title of the page, or mark its root, or ask a server that listens here. The page's own script marks the root
//! when it is done, so a page that did nothing does not pass. The pages stay in Cargo's folder for tests' files, to be
//! looked at.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../src/timeline/tests/session.rs"]
mod session;

mod browser;
mod hostile;

use browser::{Dom, open};
use mcp_sensor_proto::v1::Event;
use present::timeline::{Limits, Timeline};

fn page(events: &[Event]) -> String {
    let mut timeline = Timeline::new(Limits::default());
    for event in events {
        timeline.add(event);
    }
    let mut out = Vec::new();
    timeline.finish().render_html(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// That many calls; every seventh fails.
fn calls(count: u64) -> Vec<Event> {
    let mut script = session::Script::new();
    script.open();
    for number in 1..=count {
        let mut result = session::said(&format!("answer {number} of apples"));
        if number % 7 == 0 {
            result["isError"] = true.into();
        }
        let tool = if number % 2 == 0 { "even" } else { "odd" };
        script.wait(10).called(number, tool, serde_json::json!({ "number": number }), result, 3);
    }
    script.close();
    script.events
}

#[test]
fn nothing_captured_runs_or_loads() {
    let canary = browser::Canary::listen();
    let events = hostile::session(&canary.address());
    let html = page(&events);
    let dom = open("hostile", &html, "open=1");
    dom.assert_own_script_ran();
    assert_eq!(dom.title(), "Session 00f1e2d3c4b5a697");
    assert_eq!(dom.root("owned"), None, "captured text set a mark");
    // Nothing that loads, runs or leads away was made of captured text. The only scripts and styles are the page's own.
    for (name, expected) in [("script", 1), ("style", 1), ("img", 0), ("iframe", 0), ("object", 0), ("embed", 0), ("link", 0), ("base", 0)]
    {
        assert_eq!(dom.elements(name), expected, "<{name}>");
    }
    for address in dom.attributes("href") {
        assert!(address.starts_with("#r"), "a link leads to {address}");
    }
    assert_eq!(dom.attributes("src"), Vec::<String>::new());
    // The page's own script sets the heights of what is out of sight.
    assert!(dom.attributes("style").iter().all(|style| style.starts_with("contain-intrinsic-size: auto ") && style.len() < 50));
    assert_eq!(dom.handlers(), Vec::<&str>::new());
    assert_eq!(dom.console, Vec::<String>::new(), "the policy had nothing to refuse");
    assert_eq!(canary.asked(), Vec::<String>::new(), "nothing was loaded");
    // What was said is there to be read.
    for text in hostile::VISIBLE {
        assert!(dom.text.contains(text), "{text}");
    }
}

#[test]
fn the_canaries_do_sing() {
    // The same attacks, put into a page without care: if this passes no more, the test above proves nothing.
    let canary = browser::Canary::listen();
    let html = format!("<!doctype html><title>fine</title><body>{}", hostile::careless(&canary.address()));
    let dom = open("careless", &html, "");
    assert!(dom.title() != "fine" || dom.root("owned").is_some(), "{}", dom.html);
    assert!(!canary.asked().is_empty());
}

#[test]
fn search_finds_folds_and_filters() {
    let html = page(&calls(60));
    let dom = open("search", &html, "q=answer%2011");
    dom.assert_own_script_ran();
    assert_eq!(dom.root("hits").as_deref(), Some("1"));
    assert_eq!(dom.root("shown").as_deref(), Some("62"), "the others stay, for what stands around a hit");
    let dom = open("search", &html, "q=APPLES&only=1&wrong=1");
    assert_eq!((dom.root("hits").as_deref(), dom.root("shown").as_deref()), (Some("8"), Some("8")));
    let dom = open("search", &html, "tool=1&kind=c");
    assert_eq!(dom.root("shown").as_deref(), Some("30"));
    let dom = open("search", &html, "open=1");
    assert_eq!(dom.root("open").as_deref(), Some("60"));
    let dom = open("search", &html, "open=0");
    assert_eq!(dom.root("open").as_deref(), Some("0"));
    let dom = open("search", &html, "q=nowhere");
    assert_eq!(dom.root("hits").as_deref(), Some("0"));
    assert!(dom.text.contains("no hit"));
}

#[test]
fn every_row_is_there_without_script() {
    let dom = Dom::of(page(&calls(20)));
    assert!(dom.root("ready").is_none());
    for number in 1..=20 {
        assert!(dom.text.contains(&format!("answer {number} of apples")));
    }
}

#[test]
fn twenty_thousand_calls_open() {
    let html = page(&calls(20_000));
    let dom = open("many", &html, "q=answer%2019999");
    dom.assert_own_script_ran();
    assert_eq!(dom.root("hits").as_deref(), Some("1"));
    assert_eq!(dom.root("rows").as_deref(), Some("20002"));
}

#[test]
fn a_whole_day_opens() {
    let dom = open("day", &page(&session::day().events), "open=1");
    dom.assert_own_script_ran();
    assert_eq!(dom.console, Vec::<String>::new());
}
