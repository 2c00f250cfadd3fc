//! A recording holds what came and what time brought about in the order in which the engine took it.

use super::*;
use mcp_sensor_proto::v1::tool_call;
use proptest::prelude::*;
use sensor_core::{
    input::ProcessId,
    testing::{Line, World},
};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}}"#;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

/// Two pipes of which nobody knows where they begin: what comes first waits for what may have been before it.
fn amid(world: &mut World) -> [Line; 2] {
    let mut lines = [world.pipe(), world.pipe()];
    for line in &mut lines {
        (line.written, line.read) = (5000, 5000);
    }
    lines
}

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

/// Whether a call was answered.
fn is_answer(event: &Event) -> bool {
    matches!(&event.body, Some(Body::ToolCall(call)) if call.state() == tool_call::State::Completed)
}

/// Holds what replays of recordings say, full and redacted, against what was said live; gives how many events that were. Once of all
/// sessions, once of those in which a call was answered, which is known late.
fn holds(inputs: &[Input]) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let mut events = 0;
    let levels = [(Level::Full, redact::Level::Full), (Level::Redacted, redact::Level::Redacted)];
    for (all, (level, shown)) in [false, true].into_iter().flat_map(|all| levels.map(|of| (all, of))) {
        let path = folder.path().join(format!("{all}-{level:?}.pcapng"));
        let chosen = if all { Choice::All } else { Choice::Matching(Box::new(is_answer)) };
        let mut live = record_to(Destination::file(&path).unwrap(), MEMORY, level, chosen, inputs.to_vec(), shown, false).sessions();
        let again = replayed(&path, shown).0.sessions();
        live.retain(|session, events| all || session.is_empty() || events.iter().any(is_answer));
        assert_eq!(live.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>(), "{level:?}, all: {all}");
        for (of, again) in live.values().zip(again.values()) {
            let (one, other) = (of.iter().map(in_short).collect::<Vec<_>>(), again.iter().map(in_short).collect::<Vec<_>>());
            assert_eq!(one, other, "{level:?}, all: {all}");
            assert_eq!(of, again, "{level:?}, all: {all}");
        }
        events = live.iter().filter(|(session, _)| !session.is_empty()).map(|(_, events)| events.len()).sum();
    }
    events
}

#[test]
fn what_time_brought_about_before_a_record_is_before_it_in_the_recording() {
    let mut world = World::default();
    let (client, server) = (world.process(), world.process());
    let [mut to, mut from] = amid(&mut world);
    world.say(&mut to, client, server, INITIALIZE);
    world.say(&mut from, server, client, RESULT);
    // The wait is over when the next request comes, and the request itself does not wait.
    world.pass(110_000_000);
    world.say(&mut to, client, server, CALL);
    world.tick(5_000_000_000);
    assert!(holds(&world.inputs) >= 4);
}

#[test]
fn what_time_brought_about_in_a_stream_before_it_was_of_a_session_is_in_the_recording() {
    let mut world = World::default();
    let (client, server) = (world.process(), world.process());
    let [mut to, mut from] = amid(&mut world);
    // Both are read after a while, at once, but who reads the answers is not told: it is long before these are of the session.
    world.write(&mut to, client, format!("{INITIALIZE}\n").as_bytes());
    world.write(&mut from, server, format!("{RESULT}\n").as_bytes());
    world.say(&mut to, client, server, CALL);
    world.tick(5_000_000_000);
    assert!(holds(&world.inputs) >= 4);
}

/// One session: its processes, and its streams, one of them for each direction.
struct Talk {
    ends: [ProcessId; 2],
    lines: [Line; 2],
    said: u64,
    /// Which of them have ended.
    gone: [bool; 2],
}

impl Talk {
    fn new(world: &mut World, is_known: bool, is_one_object: bool) -> Self {
        let ends = [world.process(), world.process()];
        let mut lines = if is_one_object { world.socket() } else { [world.pipe(), world.pipe()] };
        if !is_known {
            for line in &mut lines {
                (line.written, line.read) = (5000, 5000);
            }
        }
        Self { ends, lines, said: 0, gone: [false; 2] }
    }

    /// What is said next, and by which end: requests and their answers in turn.
    fn next(&mut self) -> (usize, String) {
        self.said += 1;
        let id = self.said / 2;
        match self.said {
            1 => (0, INITIALIZE.to_owned()),
            2 => (1, RESULT.to_owned()),
            number if number % 2 == 1 => (0, format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#)),
            _ => (1, format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[]}}}}"#, id - 1)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever comes late, however long it is until more comes, and however late it shows which streams belong together.
    #[test]
    fn whenever_things_come_a_replay_says_what_was_said_live(
        kinds in prop::collection::vec((any::<bool>(), any::<bool>()), 1..4),
        steps in prop::collection::vec((0..4_usize, 0..10_u8, 0..4_u8, 0..8_usize), 1..60),
    ) {
        let mut world = World::default();
        let mut talks: Vec<Talk> = kinds.into_iter().map(|(known, one)| Talk::new(&mut world, known, one)).collect();
        for (which, what, wait, cut) in steps {
            let which = which % talks.len();
            let talk = &mut talks[which];
            world.pass([0, 5_000_000, 60_000_000, 400_000_000][usize::from(wait)]);
            match what {
                // Time passes, and nothing comes.
                0 => world.tick(150_000_000),
                // A process ends.
                1 => {
                    if !std::mem::replace(&mut talk.gone[cut % 2], true) {
                        world.exit(talk.ends[cut % 2]);
                    }
                }
                // It is read only now.
                2 if talk.gone[1 - cut % 2] => {}
                2 => world.read(&mut talk.lines[cut % 2], talk.ends[1 - cut % 2]),
                _ if talk.gone != [false; 2] => {}
                _ => {
                    let (from, text) = talk.next();
                    let (process, line) = (talk.ends[from], &mut talk.lines[from]);
                    let text = format!("{text}\n");
                    let (one, other) = text.split_at(1 + (text.len() - 2) * cut / 7);
                    world.write(line, process, one.as_bytes());
                    world.write(line, process, other.as_bytes());
                    if what == 3 {
                        // The second part comes first.
                        let last = world.inputs.len() - 1;
                        world.inputs.swap(last - 1, last);
                    }
                }
            }
        }
        world.tick(4_000_000_000);
        holds(&world.inputs);
    }
}
