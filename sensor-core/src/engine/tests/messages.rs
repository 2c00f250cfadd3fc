//! Each message is given out once, whole, for what it is.

use super::*;
use crate::event::Marks;
use crate::event::{MessageDirection, MessageType};
use crate::input::LossReasons;
use crate::testing::{Input, What};

fn session() -> (World, Pair) {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    (world, pair)
}

#[test]
fn size_and_hash_are_of_the_exact_bytes() {
    let (mut world, mut pair) = session();
    let odd = "{ \"jsonrpc\" : \"2.0\",\t\"id\": 7.0, \"method\":\"tools\\/call\",\"params\":{\"name\":\"\u{e9}\"} }";
    pair.ask(&mut world, &format!("  {odd}\r"));
    let recorder = outcome(world);
    let (_, message) = recorder.messages().last().unwrap();
    assert_eq!(message.size, odd.len() as u64);
    assert_eq!(message.sha256.as_slice(), ring::digest::digest(&ring::digest::SHA256, odd.as_bytes()).as_ref());
    assert_eq!((message.method.as_str(), message.target.as_str(), message.request_id.as_str()), ("tools/call", "\u{e9}", "7.0"));
}

#[test]
fn f3_a_message_in_pieces_of_one_byte_is_one_message() {
    let (mut world, mut pair) = session();
    for byte in format!("{}\n", call(1, "split")).bytes() {
        world.write(&mut pair.to, pair.client, &[byte]);
        world.read(&mut pair.to, pair.server);
    }
    pair.answer(&mut world, &result(1, "x"));
    pair.call(&mut world, 2, "y");
    assert_eq!(outcome(world).messages().count(), 7);
}

#[test]
fn f4_a_message_of_megabytes_is_whole_and_so_are_its_neighbours() {
    let (mut world, mut pair) = session();
    let text = "x".repeat(3_000_000);
    let big = format!("{}\n", call(1, &text));
    for piece in big.as_bytes().chunks(65_536) {
        world.write(&mut pair.to, pair.client, piece);
    }
    pair.answer(&mut world, &result(1, &text));
    pair.call(&mut world, 2, "y");
    let recorder = outcome(world);
    assert_eq!(recorder.messages().count(), 7);
    let (_, first) = recorder.messages().nth(3).unwrap();
    assert_eq!((first.size, first.truncated), (big.len() as u64 - 1, true));
    assert!(recorder.calls().all(|(_, call)| call.truncated == (call.request_id == "1")));
}

#[test]
fn f5_f6_noise_between_messages_hides_none() {
    let (mut world, mut pair) = session();
    pair.answer(&mut world, "{'debug': 1}");
    pair.call(&mut world, 1, "x");
    pair.ask(&mut world, &call(2, "x"));
    pair.answer(&mut world, &format!("{}\nINFO done", result(2, "x")));
    pair.answer(&mut world, "{\"unfinished\": [1, 2");
    pair.call(&mut world, 3, "x");
    let recorder = outcome(world);
    assert_eq!(recorder.messages().count(), 9);
    assert_eq!(recorder.calls().filter(|(_, call)| !call.result.is_empty()).count(), 3);
}

#[test]
fn f22_elements_of_a_batch_are_messages_of_their_own() {
    let (mut world, mut pair) = session();
    let (one, two) = (call(1, "a"), call(2, "b"));
    pair.ask(&mut world, &format!("[{one}, {two},{NOTED}, 7, []]"));
    pair.answer(&mut world, &format!("[{},{}]", result(2, "b"), result(1, "a")));
    let recorder = outcome(world);
    let messages: Vec<_> = recorder.messages().skip(3).map(|(_, message)| message).collect();
    assert_eq!(messages.len(), 5);
    assert_eq!(messages[0].size, one.len() as u64);
    assert_eq!(messages[1].sha256.as_slice(), ring::digest::digest(&ring::digest::SHA256, two.as_bytes()).as_ref());
    assert!(messages.iter().all(|message| message.marks.contains(Marks::BATCH)));
    let ends: Vec<_> = recorder.calls().filter(|(_, call)| !call.result.is_empty()).map(|(_, call)| call.arguments.as_str()).collect();
    assert_eq!(ends, [r#"{"text":"b"}"#, r#"{"text":"a"}"#]);
}

#[test]
fn f23_a_byte_order_mark_and_blank_lines_hide_nothing() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.ask(&mut world, &format!("\u{feff}{INITIALIZE}"));
    pair.answer(&mut world, &format!("\n\n\n\n\n\n\n\n\n{INITIALIZED}"));
    let recorder = outcome(world);
    assert_eq!(recorder.messages().count(), 2);
    assert!(recorder.messages().next().unwrap().1.marks.contains(Marks::BYTE_ORDER_MARK));
}

#[test]
fn f25_methods_of_no_revision_are_recorded_and_marked() {
    let (mut world, mut pair) = session();
    pair.ask(&mut world, r#"{"jsonrpc":"2.0","id":9,"method":"vendor/x","params":{"name":"n"}}"#);
    pair.answer(&mut world, r#"{"jsonrpc":"2.0","id":9,"error":{"code":-32601,"message":"no"}}"#);
    pair.answer(&mut world, r#"{"jsonrpc":"2.0","method":"codex/event/x"}"#);
    let recorder = outcome(world);
    let messages: Vec<_> = recorder.messages().skip(3).map(|(_, m)| (m.method.as_str(), m.r#type, m.marks)).collect();
    let unknown = Marks::UNKNOWN_METHOD;
    assert_eq!(
        messages,
        [
            ("vendor/x", MessageType::Request, unknown),
            ("vendor/x", MessageType::Error, Marks::default()),
            ("codex/event/x", MessageType::Notification, unknown)
        ]
    );
}

#[test]
fn f39_bytes_taken_at_both_ends_are_one_message_however_late_the_reader() {
    let (mut world, mut pair) = session();
    let both = |world: &mut World, end: crate::input::End, process| {
        let Some(Input::Chunk { stream, epoch, offset, bytes, .. }) =
            world.inputs.iter().rfind(|input| matches!(input, Input::Chunk { .. })).cloned()
        else {
            panic!()
        };
        let time = world.now;
        world.inputs.push(Input::Chunk { time, stream, epoch, end, process, offset, loss: LossReasons::default(), bytes });
    };
    for id in 1..10 {
        world.write(&mut pair.to, pair.client, format!("{}\n", call(id, "same")).as_bytes());
        world.tick(if id % 2 == 0 { 3_000_000_000 } else { 50_000_000 });
        both(&mut world, crate::input::End::Reader, pair.server);
        world.write(&mut pair.from, pair.server, format!("{}\n", result(id, "same")).as_bytes());
        both(&mut world, crate::input::End::Reader, pair.client);
    }
    assert_eq!(outcome(world).messages().count(), 3 + 18);
}

#[test]
fn ids_are_paired_by_type() {
    let (mut world, mut pair) = session();
    let list = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#);
    let call = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"x"}}}}"#);
    let done = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
    pair.ask(&mut world, &list("7"));
    pair.ask(&mut world, &call("\"7\""));
    pair.answer(&mut world, &done("\"\\u0037\""));
    pair.answer(&mut world, &done("7.0"));
    let recorder = outcome(world);
    let answers: Vec<_> = recorder.messages().skip(5).map(|(_, m)| (m.method.as_str(), m.request_id.as_str())).collect();
    assert_eq!(answers, [("tools/call", "\"\\u0037\""), ("tools/list", "7.0")]);
}

#[test]
fn an_id_in_use_is_marked_and_answers_are_paired_in_order() {
    let (mut world, mut pair) = session();
    pair.ask(&mut world, &call(1, "first"));
    pair.ask(&mut world, &call(1, "second"));
    pair.answer(&mut world, &result(1, "first"));
    pair.answer(&mut world, &result(1, "second"));
    let recorder = outcome(world);
    let marked: Vec<_> = recorder.messages().map(|(_, message)| message.marks.contains(Marks::ID_IN_USE)).collect();
    assert_eq!(marked, [false, false, false, false, true, false, false]);
    for (_, call) in recorder.calls().filter(|(_, call)| !call.result.is_empty()) {
        let said = |text: &str| call.arguments.contains(text) && call.result.contains(text);
        assert!(said("first") || said("second"), "{call:?}");
    }
}

#[test]
fn an_answer_to_nothing_is_recorded_as_such() {
    let (mut world, mut pair) = session();
    pair.answer(&mut world, &result(99, "x"));
    world.tick(300_000_000);
    pair.call(&mut world, 1, "x");
    pair.answer(&mut world, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"bad"}}"#);
    let recorder = outcome(world);
    let marks: Vec<_> = recorder.messages().skip(3).map(|(_, message)| message.marks).collect();
    assert_eq!(marks, [Marks::NO_REQUEST, Marks::default(), Marks::default(), Marks::ODD_ID]);
}

#[test]
fn requests_of_the_server_pair_the_other_way_round() {
    let (mut world, mut pair) = session();
    pair.ask(&mut world, &call(1, "x"));
    pair.answer(&mut world, r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":5}}"#);
    pair.ask(&mut world, r#"{"jsonrpc":"2.0","id":1,"result":{"role":"assistant","model":"m","content":{"type":"text","text":"t"}}}"#);
    pair.answer(&mut world, &result(1, "x"));
    let recorder = outcome(world);
    assert_eq!(methods(&recorder).split_off(3), ["tools/call", "<sampling/createMessage", "sampling/createMessage", "<tools/call"]);
    assert_eq!(recorder.calls().count(), 2);
}

#[test]
fn every_request_of_the_newest_revision_names_its_client_and_its_version() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.ask(&mut world, r#"{"jsonrpc":"2.0","id":0,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"new","version":"9"},"io.modelcontextprotocol/serverInfo":{"name":"a lie"}}}}"#);
    pair.answer(&mut world, r#"{"jsonrpc":"2.0","id":0,"result":{"resultType":"complete","tools":[],"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"srv","version":"1"}}}}"#);
    let recorder = outcome(world);
    let (last, _) = recorder.sessions().last().unwrap();
    assert_eq!(last.session.protocol_version, "2026-07-28");
    assert_eq!((last.session.client_info.name.as_str(), last.session.client_info.version.as_str()), ("new", "9"));
    assert_eq!(last.session.server_info.name, "srv");
    assert!(!last.session.late_attach);
}

#[test]
fn missing_bytes_are_told_in_the_session() {
    let (mut world, mut pair) = session();
    pair.ask(&mut world, &call(1, "x"));
    pair.from.written += 1000;
    pair.answer(&mut world, &result(1, "cut by the gap before it"));
    world.tick(300_000_000);
    pair.answer(&mut world, &result(1, "x"));
    let recorder = outcome(world);
    let gaps: Vec<_> = recorder.gaps().map(|(_, gap)| (gap.direction, gap.bytes.is_some_and(|bytes| bytes >= 1000))).collect();
    assert_eq!(gaps, [(MessageDirection::ServerToClient, true)]);
    assert!(recorder.calls().last().unwrap().1.result.contains('x'));
}

#[test]
fn what_only_looks_like_json_rpc_in_a_session_is_counted_and_not_given_out() {
    let (mut world, mut pair) = session();
    pair.answer(&mut world, r#"{"level":"info","msg":"a log line on stdout"}"#);
    let (recorder, counters) = Run::new().end(&mut world);
    assert_eq!((recorder.messages().count(), counters.other_values), (3, 1));
}

#[test]
fn a_uri_is_given_out_redacted_and_a_tools_name_as_it_is() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    let token = format!("ghp_{}", "a1B2".repeat(9));
    pair.ask(&mut world, &format!(r#"{{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{{"uri":"https:\/\/x\/?t={token}"}}}}"#));
    pair.ask(&mut world, &call(2, &token));
    let mut engine = Engine::new(Config::default());
    let mut recorder = Recorder::default();
    world.finish();
    world.run(&mut engine, &mut recorder);
    let text = format!("{:?}", recorder.events);
    assert!(!text.contains(&token));
    let (_, read) = recorder.messages().next().unwrap();
    assert!(!read.target.is_empty() && !read.target.contains('"'), "{}", read.target);
    assert!(recorder.events.iter().any(|event| matches!(&event.what, What::Call(call) if call.tool == "echo")));
}

#[test]
fn at_level_none_no_payload_leaves() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    pair.call(&mut world, 1, "payload");
    let mut engine = Engine::new(Config { level: Level::None, ..config() });
    let mut recorder = Recorder::default();
    world.finish();
    world.run(&mut engine, &mut recorder);
    assert_eq!(recorder.messages().count(), 5);
    assert!(recorder.messages().all(|(_, message)| message.body.is_empty()));
    assert!(recorder.calls().all(|(_, call)| call.arguments.is_empty() && call.result.is_empty() && call.tool == "echo"));
}
