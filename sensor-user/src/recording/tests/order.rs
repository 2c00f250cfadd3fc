//! A recording holds what came and what time brought about in the order in which the engine took it.

use super::*;
use sensor_core::testing::World;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}}"#;

/// When an event was, and of what.
fn in_short(event: &Event) -> String {
    let time = event.time.unwrap_or_default();
    let what = match &event.body {
        Some(Body::Message(message)) => format!("{:?} {} {}", message.r#type(), message.method, message.request_id),
        Some(Body::ToolCall(call)) => format!("{:?} {}", call.state(), call.request_id),
        other => format!("{other:?}"),
    };
    format!("{}.{:09} {what}", time.seconds - 1_700_000_000, time.nanos)
}

/// Holds what replays of recordings say, full and redacted, against what was said live; gives how many events that were.
fn holds(inputs: &[Input]) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let mut events = 0;
    for (level, shown) in [(Level::Full, redact::Level::Full), (Level::Redacted, redact::Level::Redacted)] {
        let path = folder.path().join(format!("{level:?}.pcapng"));
        let live = record_to(Destination::file(&path).unwrap(), MEMORY, level, Choice::All, inputs.to_vec(), shown, false).sessions();
        let again = replayed(&path, shown).0.sessions();
        assert_eq!(live.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>(), "{level:?}");
        for (of, again) in live.values().zip(again.values()) {
            let (one, other) = (of.iter().map(in_short).collect::<Vec<_>>(), again.iter().map(in_short).collect::<Vec<_>>());
            assert_eq!(one, other, "{level:?}");
            assert_eq!(of, again, "{level:?}");
        }
        events = live.iter().filter(|(session, _)| !session.is_empty()).map(|(_, events)| events.len()).sum();
    }
    events
}

#[test]
fn what_time_brought_about_before_a_record_is_before_it_in_the_recording() {
    let mut world = World::default();
    let (client, server) = (world.process(), world.process());
    // Nobody knows where these streams begin: what comes first waits for what may have been before it.
    let (mut to, mut from) = (world.pipe(), world.pipe());
    for line in [&mut to, &mut from] {
        (line.written, line.read) = (5000, 5000);
    }
    world.say(&mut to, client, server, INITIALIZE);
    world.say(&mut from, server, client, RESULT);
    // The wait is over when the next request comes, and the request itself does not wait.
    world.pass(110_000_000);
    world.say(&mut to, client, server, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    world.tick(5_000_000_000);
    assert!(holds(&world.inputs) >= 4);
}
