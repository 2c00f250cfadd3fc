//! Sessions, messages, cuts, interleavings and double capture, against a model: every message once, with the right two
//! processes, the right method, and every call with its end.

use super::*;
use crate::event::{CallState, Marks, MessageDirection};
use crate::input::{End, LossReasons};
use crate::testing::{Input, What};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

/// Numbers to decide by; zeroes when it is used up.
struct Choices(VecDeque<u16>);

impl Choices {
    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.0.pop_front().unwrap_or(0)) % limit.max(1)
    }

    fn one_in(&mut self, count: usize) -> bool {
        count > 1 && self.below(count) == 1
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Expected {
    direction: MessageDirection,
    method: String,
    id: String,
    size: u64,
}

struct Modelled {
    pair: Pair,
    /// Bytes that are said and not written yet, by direction.
    unwritten: [Vec<u8>; 2],
    expected: [Vec<Expected>; 2],
    open: Vec<(String, &'static str)>,
    server_open: Vec<String>,
    calls: BTreeMap<String, CallState>,
    next_id: usize,
}

const C2S: MessageDirection = MessageDirection::ClientToServer;
const S2C: MessageDirection = MessageDirection::ServerToClient;

impl Modelled {
    fn expect(&mut self, direction: MessageDirection, method: &str, id: &str, text: &str) {
        let side = usize::from(direction == S2C);
        self.expected[side].push(Expected { direction, method: method.to_owned(), id: id.to_owned(), size: text.len() as u64 });
    }

    fn say(&mut self, direction: MessageDirection, method: &str, id: &str, text: &str, choices: &mut Choices) {
        self.expect(direction, method, id, text);
        let side = usize::from(direction == S2C);
        self.unwritten[side].extend_from_slice(text.as_bytes());
        let end: &[u8] = [b"\n".as_slice(), b"\r\n", b"\n\n", b" \n"][choices.below(4)];
        self.unwritten[side].extend_from_slice(end);
    }

    fn id(&mut self, choices: &mut Choices) -> String {
        self.next_id += 1;
        if choices.one_in(2) { format!("\"{}\"", self.next_id) } else { self.next_id.to_string() }
    }

    fn act(&mut self, choices: &mut Choices) {
        match choices.below(8) {
            0..3 => {
                let id = self.id(choices);
                let text = format!(
                    r#"{{"method":"tools/call","params":{{"name":"t{}","arguments":{{"n":"{}"}}}},"jsonrpc":"2.0","id":{id}}}"#,
                    self.next_id,
                    "y".repeat(choices.below(400))
                );
                self.calls.insert(id.clone(), CallState::Abandoned);
                self.open.push((id.clone(), "tools/call"));
                self.say(C2S, "tools/call", &id, &text, choices);
            }
            3 => {
                // Alone, or as a batch with a notification.
                let id = self.id(choices);
                self.open.push((id.clone(), "tools/list"));
                let list = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#);
                if choices.one_in(3) {
                    self.expect(C2S, "tools/list", &id, &list);
                    self.expect(C2S, "notifications/initialized", "", NOTED);
                    self.unwritten[0].extend_from_slice(format!("[{list} , {NOTED}]\n").as_bytes());
                } else {
                    self.say(C2S, "tools/list", &id, &list, choices);
                }
            }
            4 => {
                let id = format!("{}", 1 + choices.below(1000));
                if self.server_open.contains(&id) {
                    return;
                }
                self.server_open.push(id.clone());
                self.say(S2C, "roots/list", &id, &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list"}}"#), choices);
            }
            5 if !self.server_open.is_empty() => {
                let id = self.server_open.remove(choices.below(self.server_open.len()));
                self.say(C2S, "roots/list", &id, &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"roots":[]}}}}"#), choices);
            }
            _ if !self.open.is_empty() => {
                let (id, method) = self.open.remove(choices.below(self.open.len()));
                let fails = choices.one_in(4);
                let text = if fails {
                    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-1,"message":"{}"}}}}"#, "z".repeat(choices.below(50)))
                } else {
                    format!(
                        r#"{{"result":{{"content":[{{"type":"text","text":"{}"}}]}},"jsonrpc":"2.0","id":{id}}}"#,
                        "z".repeat(choices.below(600))
                    )
                };
                if method == "tools/call" {
                    self.calls.insert(id.clone(), if fails { CallState::Failed } else { CallState::Completed });
                }
                self.say(S2C, method, &id, &text, choices);
            }
            _ => {}
        }
    }

    /// What is answered has been written.
    fn write_all(&mut self, world: &mut World, choices: &mut Choices) {
        while self.unwritten.iter().any(|bytes| !bytes.is_empty()) {
            self.write(world, choices);
        }
    }

    /// Writes a piece of what was said, which may end in the middle of a message, or take in several.
    fn write(&mut self, world: &mut World, choices: &mut Choices) {
        let side = usize::from(self.unwritten[0].is_empty() || (!self.unwritten[1].is_empty() && choices.one_in(2)));
        let waiting = &mut self.unwritten[side];
        if waiting.is_empty() {
            return;
        }
        let whole = choices.below(3) > 0;
        let count = if whole { waiting.len() } else { 1 + choices.below(waiting.len()) };
        let bytes: Vec<u8> = waiting.drain(..count).collect();
        let Pair { client, server, .. } = self.pair;
        let (line, writer, reader) = if side == 0 { (&mut self.pair.to, client, server) } else { (&mut self.pair.from, server, client) };
        world.write(line, writer, &bytes);
        if choices.one_in(4) {
            let Some(Input::Chunk { time, stream, epoch, offset, bytes, .. }) = world.inputs.last().cloned() else { return };
            let twin = Input::Chunk {
                time: time + 1,
                stream,
                epoch,
                end: End::Reader,
                process: reader,
                offset,
                loss: LossReasons::default(),
                bytes,
            };
            world.inputs.push(twin);
        }
        world.read(line, reader);
    }
}

fn script(numbers: Vec<u16>) -> (World, Vec<Modelled>) {
    let mut choices = Choices(numbers.into());
    let mut world = World::default();
    let shared = world.process();
    let mut sessions = Vec::new();
    for _ in 0..=choices.below(4) {
        let make = [Pair::on_pipes, Pair::on_socket, Pair::on_two_sockets][choices.below(3)];
        let mut pair = make(&mut world);
        if choices.one_in(2) {
            pair.client = shared;
        }
        let mut session = Modelled {
            pair,
            unwritten: [Vec::new(), Vec::new()],
            expected: [Vec::new(), Vec::new()],
            open: Vec::new(),
            server_open: Vec::new(),
            calls: BTreeMap::new(),
            next_id: 0,
        };
        if choices.one_in(2) {
            session.say(C2S, "initialize", "0", INITIALIZE, &mut choices);
            session.write_all(&mut world, &mut choices);
            session.say(S2C, "initialize", "0", INITIALIZED, &mut choices);
        } else {
            // Whatever comes first must be of MCP alone, and be answered by the server.
            let text = r#"{"jsonrpc":"2.0","id":0,"method":"tools/list"}"#;
            session.say(C2S, "tools/list", "0", text, &mut choices);
            session.write_all(&mut world, &mut choices);
            session.say(S2C, "tools/list", "0", r#"{"jsonrpc":"2.0","id":0,"result":{"tools":[]}}"#, &mut choices);
        }
        sessions.push(session);
    }
    while !choices.0.is_empty() {
        let at = choices.below(sessions.len());
        let session = &mut sessions[at];
        match choices.below(4) {
            0 | 1 => {
                // Who answers has read what is answered.
                session.write_all(&mut world, &mut choices);
                session.act(&mut choices);
            }
            2 => session.write(&mut world, &mut choices),
            _ => {
                world.pass(choices.below(5) as u64 * 30_000_000);
            }
        }
    }
    for session in &mut sessions {
        session.write_all(&mut world, &mut choices);
    }
    (world, sessions)
}

fn holds(recorder: &Recorder, sessions: &[Modelled]) {
    let total: usize = sessions.iter().flat_map(|session| &session.expected).map(Vec::len).sum();
    assert_eq!(recorder.messages().count(), total);
    for session in sessions {
        let Pair { client, server, .. } = session.pair;
        let of_session = |event: &&crate::testing::Recorded| (event.client, event.server) == (Some(client), Some(server));
        let events: Vec<_> = recorder.events.iter().filter(of_session).collect();
        for (side, direction) in [C2S, S2C].into_iter().enumerate() {
            let given: Vec<Expected> = events
                .iter()
                .filter_map(|event| match &event.what {
                    What::Message(message) if message.direction == direction => {
                        assert_eq!(Marks(message.marks.0 & !Marks::BATCH.0), Marks::default());
                        Some(Expected { direction, method: message.method.clone(), id: message.request_id.clone(), size: message.size })
                    }
                    _ => None,
                })
                .collect();
            assert_eq!(given, session.expected[side]);
        }
        let mut ends: BTreeMap<String, Vec<CallState>> = BTreeMap::new();
        for event in &events {
            if let What::Call(call) = &event.what {
                ends.entry(call.request_id.clone()).or_default().push(call.state);
            }
        }
        let expected = session.calls.iter().map(|(id, &state)| (id.clone(), vec![CallState::Started, state])).collect();
        assert_eq!(ends, expected);
        let ids: std::collections::BTreeSet<_> = events.iter().map(|event| event.session.id).collect();
        assert_eq!(ids.len(), 1);
    }
    let unique: std::collections::BTreeSet<_> = recorder.events.iter().map(|event| event.id).collect();
    assert_eq!(unique.len(), recorder.events.len());
}

/// Swaps neighbours of different streams, as a ring that several processors fill does, within a millisecond.
fn disturb(world: &mut World, swaps: &[u16]) {
    let chunk = |input: &Input| match input {
        Input::Chunk { stream, end: End::Writer, time, .. } => Some((*stream, *time)),
        _ => None,
    };
    for &at in swaps {
        let count = world.inputs.len();
        if count < 2 {
            return;
        }
        let at = usize::from(at) % (count - 1);
        // A reader's touch often stands between a request and its answer.
        let behind = if chunk(&world.inputs[at + 1]).is_none() && at + 2 < count { at + 2 } else { at + 1 };
        if let (Some((one, first)), Some((other, second))) = (chunk(&world.inputs[at]), chunk(&world.inputs[behind]))
            && one != other
            && second.abs_diff(first) < 1_000_000
        {
            world.inputs[at..=behind].rotate_left(1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_once_with_its_peers_its_request_and_its_end(numbers in prop::collection::vec(any::<u16>(), 0..400), swaps in prop::collection::vec(any::<u16>(), 0..20)) {
        let (mut world, sessions) = script(numbers);
        disturb(&mut world, &swaps);
        let recorder = outcome(world);
        holds(&recorder, &sessions);
    }

    #[test]
    fn no_input_makes_it_panic_or_lose_count(
        inputs in prop::collection::vec((0..6_u8, 0..4_u64, 0..3_u64, 0..5_u32, 0..200_u64, prop::collection::vec(prop::sample::select(PIECES), 0..4)), 0..200),
        memory in prop::sample::select(vec![0_usize, 10_000, 100_000, 1 << 20]),
    ) {
        let mut engine = Engine::new(Config { memory, ..config() });
        let mut recorder = Recorder::default();
        let mut time = 1_000_000_000;
        for (kind, stream, epoch, pid, offset, pieces) in inputs {
            time += offset * 7_000_000;
            let process = ProcessId { pid, start_time: 5 };
            let key = match stream {
                0 => crate::input::StreamKey::Pipe { device: 1, inode: 1, address: 1 },
                1 => crate::input::StreamKey::Pipe { device: 1, inode: 2, address: 2 },
                number => crate::input::StreamKey::Unix { from: number, to: 5 - number },
            };
            let input = match kind {
                0..=2 => Input::Chunk {
                    time, stream: key, epoch, end: if kind == 2 { End::Reader } else { End::Writer }, process, offset: offset * u64::from(kind > 0),
                    loss: LossReasons(u8::from(offset == 3)), bytes: pieces.concat().into_bytes(),
                },
                3 => Input::Touch(crate::input::Touch { time, stream: key, epoch, end: End::Reader, process, offset, moved: 1, unseen: offset % 7 == 0, since_birth: false }),
                4 => Input::Exit(process, time),
                _ => Input::Fork(process, ProcessId { pid: pid + 1, start_time: 5 }, time),
            };
            input.feed(&mut engine, &mut recorder);
            if offset % 5 == 0 {
                Input::Tick(time).feed(&mut engine, &mut recorder);
            }
        }
        check(&engine);
        Input::Finish(time).feed(&mut engine, &mut recorder);
        let counters = check(&engine);
        prop_assert_eq!((counters.streams, counters.sessions, counters.messages_waiting, counters.calls_open), (0, 0, 0, 0));
        prop_assert_eq!(counters.events as usize, recorder.events.len());
    }
}

/// Pieces of traffic, whole and broken.
const PIECES: &[&str] = &[
    "\n",
    "\r",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "\0",
    "\u{feff}",
    "text ",
    "Content-Length: 5\r\n\r\n",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"task\":{},\"_meta\":{\"progressToken\":1,\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}\n",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"requestState\":\"s\",\"inputResponses\":{}}}\n",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"input_required\",\"requestState\":\"s\"}}\n",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"resultType\":\"task\",\"taskId\":\"t\",\"status\":\"working\"}}\n",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\"}]}}\n",
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tasks/get\",\"params\":{\"taskId\":\"t\"}}\n",
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"taskId\":\"t\",\"status\":\"completed\",\"result\":{}}}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1,\"progress\":2}}\n",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"mcp/message\",\"params\":{\"connectionId\":\"c\",\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}}\n",
    "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"mcp/disconnect\",\"params\":{\"connectionId\":\"c\"}}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"session/update\"}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"textDocument/didOpen\"}\n",
    "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"},{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32022}},7]\n",
    "{\"a\":",
];
