//! Sessions as their timelines show them.

mod anything;
mod intake;
mod renderings;
mod session;

use super::{Finished, Limits, TextOptions, Timeline};
use mcp_sensor_proto::v1::Event;

fn finished(events: &[Event]) -> Finished {
    let mut timeline = Timeline::new(Limits::default());
    for event in events {
        timeline.add(event);
    }
    timeline.finish()
}

fn text(finished: &Finished, options: &TextOptions) -> String {
    let mut out = Vec::new();
    finished.render_text(options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn json(finished: &Finished) -> serde_json::Value {
    let mut out = Vec::new();
    finished.render_json(&mut out).unwrap();
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
    serde_json::from_slice(&out).unwrap()
}
