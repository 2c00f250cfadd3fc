//! Streams become sessions with the right two processes.

use super::*;
use crate::event::{MessageDirection, SessionState, Transport};
use crate::input::{End, LossReasons, StreamKey, Touch, Verdict};
use crate::testing::Input;

fn assert_whole(recorder: &Recorder, pair: &Pair, messages: usize) {
    let of_pair: Vec<_> = recorder.messages().filter(|(event, _)| event.client == Some(pair.client)).collect();
    assert_eq!(of_pair.len(), messages);
    for (event, message) in of_pair {
        assert_eq!((event.client, event.server), (Some(pair.client), Some(pair.server)), "{message:?}");
    }
}

#[test]
fn a_session_on_pipes_has_its_two_processes_and_every_message_once() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    pair.call(&mut world, 1, "x");
    let recorder = outcome(world);
    assert_eq!(methods(&recorder), ["initialize", "<initialize", "notifications/initialized", "tools/call", "<tools/call"]);
    assert_whole(&recorder, &pair, 5);
    let (first, state) = recorder.sessions().next().unwrap();
    assert_eq!((state, first.session.transport, first.session.late_attach), (SessionState::Opened, Transport::Pipe, false));
    let (last, state) = recorder.sessions().last().unwrap();
    assert_eq!((state, last.session.protocol_version.as_str()), (SessionState::Closed, "2025-11-25"));
    assert_eq!((last.session.client_info.name.as_str(), last.session.server_info.name.as_str()), ("tester", "made"));
    for line in [pair.to, pair.from] {
        assert_eq!(recorder.verdict_on(line.key), Some(Verdict::Capture));
    }
}

#[test]
fn a_session_on_a_socket_and_one_on_nodes_two_sockets_are_each_one_session() {
    for make in [Pair::on_socket, Pair::on_two_sockets] {
        let mut world = World::default();
        let mut pair = make(&mut world);
        pair.handshake(&mut world);
        pair.call(&mut world, 1, "x");
        let recorder = outcome(world);
        assert_whole(&recorder, &pair, 5);
        assert_eq!(by_session(&recorder).len(), 1);
        assert_eq!(recorder.sessions().next().unwrap().0.session.transport, Transport::Unix);
    }
}

#[test]
fn f35_twenty_sessions_of_one_client_with_the_same_ids_keep_apart() {
    for make in [Pair::on_pipes, Pair::on_socket, Pair::on_two_sockets] {
        let mut world = World::default();
        let client = world.process();
        let mut pairs: Vec<Pair> = (0..20).map(|_| Pair { client, ..make(&mut world) }).collect();
        for pair in &mut pairs {
            pair.ask(&mut world, INITIALIZE);
        }
        for pair in pairs.iter_mut().rev() {
            pair.answer(&mut world, INITIALIZED);
        }
        for (number, pair) in pairs.iter_mut().enumerate() {
            pair.ask(&mut world, &call(1, &number.to_string()));
        }
        for (number, pair) in pairs.iter_mut().enumerate().rev() {
            pair.answer(&mut world, &result(1, &number.to_string()));
        }
        let recorder = outcome(world);
        assert!(by_session(&recorder).values().all(|&count| count == 4));
        assert_eq!(by_session(&recorder).len(), 20);
        for (number, pair) in pairs.iter().enumerate() {
            let text = number.to_string();
            let ended = recorder.calls().filter(|(_, call)| !call.result.is_empty() && call.arguments.contains(&format!("\"{text}\"")));
            let ended: Vec<_> = ended.collect();
            assert_eq!(ended.len(), 1);
            assert!(ended[0].1.result.contains(&format!("\"{text}\"")));
            assert_eq!((ended[0].0.client, ended[0].0.server), (Some(client), Some(pair.server)));
        }
    }
}

#[test]
fn f29_each_message_of_preforked_workers_names_the_worker() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    let workers = [world.process(), world.process(), world.process()];
    // Each is known to take its turn.
    for worker in workers {
        pair.server = worker;
        pair.ask(&mut world, NOTED);
        world.tick(200_000_000);
    }
    for id in 1..10 {
        pair.server = workers[id as usize % 3];
        pair.call(&mut world, id, "x");
        // The same one again: its call tells nothing new, so its answer does.
        pair.call(&mut world, id + 30, "x");
    }
    let recorder = outcome(world);
    let called: Vec<_> = recorder.messages().filter(|(_, message)| message.method == "tools/call").collect();
    assert_eq!(called.len(), 36);
    for (event, message) in called {
        let id: usize = message.request_id.parse().unwrap();
        assert_eq!(event.server, Some(workers[id % 3]), "{message:?}");
    }
    assert_eq!(by_session(&recorder).len(), 1);
}

#[test]
fn f37_a_socket_handed_to_a_worker_names_the_worker_from_then_on() {
    let mut world = World::default();
    let mut pair = Pair::on_socket(&mut world);
    pair.handshake(&mut world);
    let acceptor = pair.server;
    pair.server = world.fork(acceptor);
    world.exit(acceptor);
    world.tick(500_000_000);
    pair.call(&mut world, 1, "x");
    world.tick(5_000_000_000);
    pair.call(&mut world, 2, "y");
    let recorder = outcome(world);
    assert_eq!(by_session(&recorder).len(), 1);
    let answers =
        recorder.messages().filter(|(_, message)| message.method == "tools/call" && message.direction == MessageDirection::ServerToClient);
    assert!(answers.map(|(event, _)| event.server).eq([Some(pair.server); 2]));
    let updated = recorder.sessions().filter(|(event, state)| *state == SessionState::Updated && event.session.server == Some(pair.server));
    assert_eq!(updated.count(), 1);
}

#[test]
fn the_peer_is_who_reads_and_not_who_was_started() {
    // npx: the client starts npx, that a shell, that the server, which inherits the pipes and does the talking.
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    let npx = world.fork(pair.client);
    let shell = world.fork(npx);
    pair.server = world.fork(shell);
    pair.handshake(&mut world);
    assert_whole(&outcome(world), &pair, 3);
}

#[test]
fn f36_reused_keys_with_another_epoch_are_other_sessions() {
    let mut world = World::default();
    let mut first = Pair::on_socket(&mut world);
    first.handshake(&mut world);
    first.ask(&mut world, &call(1, "lost"));
    world.exit(first.server);
    let mut second = Pair { server: world.process(), ..first };
    second.to = Line::new(first.to.key, world.now);
    second.from = Line::new(first.from.key, world.now);
    second.handshake(&mut world);
    second.call(&mut world, 1, "x");
    let recorder = outcome(world);
    assert_eq!(by_session(&recorder).into_values().collect::<Vec<_>>().len(), 2);
    let of_second = recorder.messages().filter(|(event, _)| event.server == Some(second.server));
    assert_eq!(of_second.count(), 5);
    let states: Vec<_> = recorder.calls().map(|(event, call)| (event.server, call.state)).collect();
    use crate::event::CallState::{Abandoned, Completed, Started};
    let (one, two) = (Some(first.server), Some(second.server));
    assert_eq!(states, [(one, Started), (one, Abandoned), (two, Started), (two, Completed)]);
}

#[test]
fn a_socket_address_in_use_again_is_another_session_even_if_the_kernel_did_not_notice() {
    let mut world = World::default();
    let mut first = Pair::on_socket(&mut world);
    first.handshake(&mut world);
    world.exit(first.client);
    // The server of the first is the client of the next, on the same two addresses, counted on.
    let (client, server) = (first.server, world.process());
    let mut second = Pair { client, server, to: first.from, from: first.to };
    second.handshake(&mut world);
    second.call(&mut world, 1, "x");
    let recorder = outcome(world);
    assert!(by_session(&recorder).values().eq(&[3, 5]) || by_session(&recorder).values().eq(&[5, 3]));
    assert_whole(&recorder, &second, 5);
}

#[test]
fn who_holds_a_stream_since_before_the_sensor_is_its_peer() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    let (to, from) = (pair.to, pair.from);
    // Told with epoch 0 before the kernel counted; the reads under way are never told.
    for (line, end, process) in [(to, End::Reader, pair.server), (from, End::Reader, pair.client)] {
        let touch =
            Touch { time: world.now, stream: line.key, epoch: 0, end, process, offset: 0, moved: 0, unseen: false, since_birth: false };
        world.inputs.push(Input::Touch(touch));
    }
    world.write(&mut pair.to, pair.client, format!("{}\n", call(9, "x")).as_bytes());
    world.write(&mut pair.from, pair.server, format!("{}\n", result(9, "x")).as_bytes());
    let mut run = Run::new();
    run.feed(&mut world);
    assert_eq!(run.recorder.messages().count(), 2);
    let recorder = run.end(&mut world).0;
    assert_whole(&recorder, &pair, 2);
    assert_eq!(by_session(&recorder).len(), 1);
}

#[test]
fn bytes_that_neither_end_shows_are_a_gap_of_their_session() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    let (moved, to) = (500, pair.to);
    let end = End::Reader;
    let touch = Touch {
        time: world.now,
        stream: to.key,
        epoch: to.epoch,
        end,
        process: pair.server,
        offset: to.read,
        moved,
        unseen: true,
        since_birth: false,
    };
    world.inputs.push(Input::Touch(touch));
    let recorder = outcome(world);
    let gaps: Vec<_> = recorder.gaps().map(|(event, gap)| (event.client, gap.bytes, gap.reasons)).collect();
    assert_eq!(gaps, [(Some(pair.client), Some(moved), LossReasons::NO_BUFFER)]);
}

#[test]
fn f27_an_answer_that_the_ring_gives_out_before_its_request_is_paired() {
    for make in [Pair::on_pipes, Pair::on_socket, Pair::on_two_sockets] {
        for handshake in [false, true] {
            let mut world = World::default();
            let mut pair = make(&mut world);
            if handshake {
                pair.handshake(&mut world);
            }
            let before = world.inputs.len();
            pair.ask(&mut world, &call(1, "x"));
            let request: Vec<_> = world.inputs.drain(before..).collect();
            pair.answer(&mut world, &result(1, "x"));
            world.inputs.extend(request);
            pair.call(&mut world, 2, "y");
            let recorder = outcome(world);
            let calls: Vec<_> = methods(&recorder).split_off(if handshake { 3 } else { 0 });
            assert_eq!(calls, ["tools/call", "<tools/call", "tools/call", "<tools/call"]);
            assert!(recorder.messages().all(|(_, message)| message.marks == Default::default()));
        }
    }
}

#[test]
fn a_first_request_waits_for_its_reader_but_not_for_long() {
    let mut world = World::default();
    let mut run = Run::new();
    let mut pair = Pair::on_pipes(&mut world);
    world.write(&mut pair.to, pair.client, format!("{INITIALIZE}\n").as_bytes());
    world.tick(59_500_000_000);
    assert_eq!(run.feed(&mut world).events.len(), 0);
    assert_eq!(run.recorder.verdict_on(pair.to.key), Some(Verdict::Capture));
    world.tick(1_000_000_000);
    assert_eq!(run.feed(&mut world).messages().count(), 1);
    // The reader shows up after all.
    world.read(&mut pair.to, pair.server);
    pair.answer(&mut world, INITIALIZED);
    let recorder = run.end(&mut world).0;
    let servers: Vec<_> = recorder.messages().map(|(event, _)| event.server).collect();
    assert_eq!(servers, [None, Some(pair.server)]);
    assert_eq!(by_session(&recorder).len(), 1);
}

#[test]
fn a_server_that_reads_and_never_answers_is_reported_all_the_same() {
    let mut world = World::default();
    let mut run = Run::new();
    let mut pair = Pair::on_pipes(&mut world);
    pair.ask(&mut world, INITIALIZE);
    world.tick(4_000_000_000);
    assert_eq!(run.feed(&mut world).events.len(), 0);
    world.tick(2_000_000_000);
    assert_eq!(run.feed(&mut world).messages().count(), 1);

    // At latest when the stream closes.
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.ask(&mut world, INITIALIZE);
    assert_eq!(outcome(world).messages().count(), 1);
}

#[test]
fn a_log_of_a_session_that_is_shown_is_no_session() {
    // tail -f mcp.log | jq: requests and their results in one direction.
    let mut world = World::default();
    let mut tail = Pair::on_pipes(&mut world);
    for message in [INITIALIZE, INITIALIZED, NOTED, &call(1, "x"), &result(1, "x")] {
        tail.ask(&mut world, message);
        world.tick(300_000_000);
    }
    world.tick(10_000_000_000);
    assert_eq!(outcome(world).events.len(), 0);
}

#[test]
fn a_client_that_fakes_answers_in_its_own_stream_is_found_by_its_servers_answers() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.ask(&mut world, INITIALIZE);
    pair.ask(&mut world, INITIALIZED);
    pair.answer(&mut world, INITIALIZED);
    pair.call(&mut world, 1, "x");
    let recorder = outcome(world);
    assert_eq!(by_session(&recorder).len(), 1);
    assert_eq!(recorder.calls().filter(|(_, call)| !call.result.is_empty()).count(), 1);
}

#[test]
fn a_server_may_print_for_long_before_it_answers() {
    for (make, read_first) in
        [(Pair::on_pipes as fn(&mut World) -> Pair, true), (Pair::on_pipes, false), (Pair::on_socket, true), (Pair::on_two_sockets, false)]
    {
        let mut world = World::default();
        let mut pair = make(&mut world);
        if read_first {
            pair.ask(&mut world, INITIALIZE);
        }
        for line in 0..2000 {
            pair.answer(&mut world, &format!("Downloading model part {line} of 2000 ..."));
        }
        if !read_first {
            pair.ask(&mut world, INITIALIZE);
        }
        pair.answer(&mut world, INITIALIZED);
        let recorder = outcome(world);
        assert_whole(&recorder, &pair, 2);
        assert_eq!(recorder.verdict_on(pair.from.key), Some(Verdict::Capture));
    }
}

#[test]
fn a_servers_stderr_is_ignored_once_its_stdout_is_known() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    let mut stderr = world.pipe();
    pair.ask(&mut world, INITIALIZE);
    for line in 0..100 {
        world.say(&mut stderr, pair.server, pair.client, &format!("2026-11-20 12:00:00 INFO step {line} of the start"));
    }
    pair.answer(&mut world, INITIALIZED);
    for line in 0..100 {
        world.say(&mut stderr, pair.server, pair.client, &format!("2026-11-20 12:00:00 INFO step {line} of the work"));
    }
    pair.call(&mut world, 1, "x");
    let recorder = outcome(world);
    assert_whole(&recorder, &pair, 4);
    assert_eq!(recorder.verdict_on(stderr.key), Some(Verdict::Ignore));
}

#[test]
fn a_server_that_logs_every_message_to_its_stderr_is_one_session() {
    for (requests, answers) in [(true, false), (false, true), (true, true)] {
        let mut world = World::default();
        let mut pair = Pair::on_pipes(&mut world);
        let mut stderr = world.pipe();
        pair.handshake(&mut world);
        for id in 1..20 {
            pair.ask(&mut world, &call(id, "x"));
            if requests {
                world.say(&mut stderr, pair.server, pair.client, &call(id, "x"));
            }
            if answers {
                world.say(&mut stderr, pair.server, pair.client, &result(id, "x"));
            }
            pair.answer(&mut world, &result(id, "x"));
            world.tick(500_000_000);
        }
        let recorder = outcome(world);
        assert_eq!((by_session(&recorder).len(), recorder.messages().count()), (1, 3 + 38));
    }
}

#[test]
fn two_sessions_of_the_same_two_processes_are_two() {
    let mut world = World::default();
    let mut one = Pair::on_pipes(&mut world);
    let mut two = Pair { client: one.client, server: one.server, ..Pair::on_pipes(&mut world) };
    one.handshake(&mut world);
    two.handshake(&mut world);
    for id in 1..4 {
        one.call(&mut world, id, "one");
        two.call(&mut world, id, "two");
    }
    let recorder = outcome(world);
    assert!(by_session(&recorder).values().eq(&[9, 9]));
    for (_, call) in recorder.calls().filter(|(_, call)| !call.result.is_empty()) {
        assert_eq!(call.arguments.contains("one"), call.result.contains("one"));
    }
}

#[test]
fn an_ignored_stream_that_is_probed_again_can_become_mcp() {
    for make in [Pair::on_pipes, Pair::on_socket] {
        let mut world = World::default();
        let mut pair = make(&mut world);
        pair.ask(&mut world, &"Some text that is no JSON at all. ".repeat(300));
        let mut run = Run::new();
        assert_eq!(run.feed(&mut world).verdict_on(pair.to.key), Some(Verdict::Ignore));
        // Bytes that the kernel did not give out are counted, or the epoch is new: either way it begins anew.
        pair.to.written += 100_000;
        pair.handshake(&mut world);
        world.tick(1_000_000_000);
        let recorder = run.end(&mut world).0;
        assert_whole(&recorder, &pair, 3);
        assert_eq!(recorder.verdict_on(pair.to.key), Some(Verdict::Capture));
    }
}

#[test]
fn tcp_and_terminals_are_bound_by_their_object() {
    let tcp = |from: u16, to: u16| {
        let address = |port| std::net::SocketAddrV6::new(std::net::Ipv6Addr::LOCALHOST, port, 0, 0);
        StreamKey::Tcp { from: address(from), to: address(to), namespace: 4 }
    };
    let pty = |to_slave| StreamKey::Pty { terminal: 0xffff, to_slave };
    for (to, from, transport) in [(tcp(40000, 80), tcp(80, 40000), Transport::Tcp), (pty(true), pty(false), Transport::Pty)] {
        let mut world = World::default();
        let mut pair = Pair::on_pipes(&mut world);
        (pair.to, pair.from) = (Line::new(to, 5), Line::new(from, 5));
        pair.handshake(&mut world);
        let recorder = outcome(world);
        assert_whole(&recorder, &pair, 3);
        assert_eq!(recorder.events[0].session.transport, transport);
        // Only one process is ever seen: the other end is on another host, or at the master's end.
        let mut world = World::default();
        let mut run = Run::new();
        world.write(&mut Line::new(to, 5), pair.client, format!("{INITIALIZE}\n").as_bytes());
        world.tick(2_500_000_000);
        assert_eq!(run.feed(&mut world).messages().count(), 1);
    }
}

#[test]
fn a_conversation_that_was_under_way_is_a_late_attach() {
    let modern = |id: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}}}}"#
        )
    };
    let discover = r#"{"jsonrpc":"2.0","id":"server-discover-probe-1","method":"server/discover","params":{}}"#;
    let cases = [
        (call(57, "x"), true),
        (INITIALIZE.to_owned(), false),
        (discover.to_owned(), false),
        (modern("0"), false),
        (modern("\"req-1\""), false),
        (modern("57"), true),
    ];
    for (first, late) in cases {
        let mut world = World::default();
        // The processes are older than the sensor.
        let mut pair = Pair::on_pipes(&mut world);
        world.pass(1_000_000_000);
        pair.ask(&mut world, &first);
        pair.answer(&mut world, &result(57, "x"));
        let recorder = outcome(world);
        assert_eq!(recorder.events[0].session.late_attach, late, "{first}");
    }
    // A server that began after the sensor cannot have been talking before.
    let mut world = World::default();
    world.tick(50_000_000);
    world.pass(1_000);
    let mut pair = Pair::on_pipes(&mut world);
    pair.ask(&mut world, &call(57, "x"));
    pair.answer(&mut world, &result(57, "x"));
    assert!(!outcome(world).events[0].session.late_attach);
}

#[test]
fn ids_are_the_same_for_the_same_traffic_and_sort_by_wall_time() {
    let run = |seed| {
        let mut world = World::default();
        let mut pair = Pair::on_pipes(&mut world);
        pair.handshake(&mut world);
        pair.call(&mut world, 1, "x");
        let mut engine = Engine::new(Config { seed, boot_time: 1_700_000_000_000_000_000, ..config() });
        let mut recorder = Recorder::default();
        world.finish();
        world.run(&mut engine, &mut recorder);
        recorder.events.iter().map(|event| (event.id, event.session.id, event.time)).collect::<Vec<_>>()
    };
    let (one, two) = (run(1), run(2));
    assert_eq!(one, two);
    assert!(one.iter().all(|&(id, _, time)| (id.0 >> 64) as u64 == 1_700_000_000_000_000_000 + time));
    let unique: std::collections::BTreeSet<_> = one.iter().map(|&(id, ..)| id).collect();
    assert_eq!(unique.len(), one.len());
}
