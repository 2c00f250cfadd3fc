//! Nothing grows without bound, and what is given up is told.

use super::*;
use crate::event::{CallState, Marks};
use crate::input::{LossReasons, StreamKey, Verdict};
use crate::testing::Traffic;

fn small(memory: usize) -> Run {
    Run { engine: Engine::new(Config { memory, ..config() }), recorder: Recorder::default() }
}

#[test]
fn f9_f10_thousands_of_pipes_and_sockets_with_one_json_write_each_blind_nothing() {
    let mut world = World::default();
    let idle = world.process();
    for _ in 0..2_200 {
        let [mut pipe, mut socket] = [world.pipe(), world.socket()[0]];
        world.write(&mut pipe, idle, b"{\"a\": 1234}");
        world.write(&mut socket, idle, b"{\"a\": 1234}");
    }
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    let mut run = small(8 << 20);
    run.feed(&mut world);
    assert_eq!(run.recorder.messages().count(), 3);
    assert_eq!(run.engine.counters().streams, 4_402);
}

#[test]
fn a_hundred_thousand_abandoned_streams_stay_within_the_memory_and_are_forgotten() {
    let mut world = World::default();
    let mut run = small(4 << 20);
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    let texts: [&[u8]; 3] = [b"hello\n", b"{\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n", b"{\"unfinished\": [1, 2, "];
    for number in 0..100_000_usize {
        let process = world.process();
        let mut line = world.pipe();
        world.write(&mut line, process, texts[number % 3]);
        world.read(&mut line, pair.client);
        if number % 1000 == 0 {
            world.tick(50_000_000);
            run.feed(&mut world);
            assert!(run.engine.counters().memory <= 4 << 20);
        }
    }
    // The session was not given up for them.
    pair.call(&mut world, 1, "x");
    run.feed(&mut world);
    assert_eq!(run.recorder.messages().count(), 5);
    world.pass(61_000_000_000);
    world.tick(1_100_000_000);
    run.feed(&mut world);
    let counters = run.engine.counters();
    assert_eq!((counters.streams, counters.sessions), (2, 1));
    assert!(counters.memory < 100_000, "{counters:?}");
}

#[test]
fn f13_a_burst_of_requests_before_any_answer_is_whole() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    for id in 1..=20_000 {
        pair.ask(&mut world, &call(id, "burst"));
    }
    for id in 1..=20_000 {
        pair.answer(&mut world, &result(id, "burst"));
    }
    let (recorder, counters) = Run::new().end(&mut world);
    assert_eq!((recorder.messages().count(), counters.calls_completed), (40_003, 20_000));
}

#[test]
fn when_memory_is_short_the_oldest_call_is_given_up_and_said_so() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    for id in 1..=20_000 {
        pair.ask(&mut world, &call(id, "never answered"));
    }
    let mut run = small(2 << 20);
    run.feed(&mut world);
    let counters = run.engine.counters();
    assert!(counters.memory <= 2 << 20 && counters.calls_given_up > 10_000, "{counters:?}");
    let given_up: Vec<_> = run.recorder.calls().filter(|(_, call)| call.state == CallState::Abandoned).collect();
    assert_eq!(given_up.len() as u64, counters.calls_given_up);
    assert!(
        given_up.iter().enumerate().all(|(at, (_, call))| call.reason == "given up for memory" && call.request_id == (at + 1).to_string())
    );
    // The newest are still paired, and the session lives.
    pair.answer(&mut world, &result(20_000, "x"));
    run.feed(&mut world);
    assert_eq!(run.engine.counters().calls_completed, 1);
}

#[test]
fn one_id_used_a_hundred_thousand_times_costs_no_more_than_others() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    let mut run = small(64 << 20);
    for _ in 0..50_000 {
        pair.ask(&mut world, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    }
    for _ in 0..50_000 {
        pair.answer(&mut world, r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#);
    }
    run.feed(&mut world);
    let in_use = run.recorder.messages().filter(|(_, message)| message.marks.contains(Marks::ID_IN_USE)).count();
    assert_eq!((in_use, run.recorder.messages().count()), (49_999, 100_003));
}

#[test]
fn f44_unfinished_values_are_given_up_with_a_gap_and_the_session_goes_on() {
    let mut world = World::default();
    let mut run = small(4 << 20);
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    world.write(&mut pair.from, pair.server, b"{\"endless\":\"");
    for _ in 0..100 {
        world.write(&mut pair.from, pair.server, &[b'x'; 65_536]);
        run.feed(&mut world);
        assert!(run.engine.counters().memory <= 4 << 20);
    }
    pair.answer(&mut world, "");
    pair.call(&mut world, 1, "x");
    world.tick(500_000_000);
    run.feed(&mut world);
    assert!(run.recorder.gaps().any(|(_, gap)| gap.reasons == LossReasons::MEMORY));
    assert_eq!(run.recorder.messages().count(), 5);
}

#[test]
fn sessions_that_are_held_back_do_not_hold_more_than_the_memory() {
    let mut world = World::default();
    let mut run = small(4 << 20);
    for _ in 0..50 {
        let mut pair = Pair::on_pipes(&mut world);
        world.write(&mut pair.to, pair.client, format!("{INITIALIZE}\n").as_bytes());
        for id in 1..100 {
            world.write(&mut pair.to, pair.client, format!("{}\n", call(id, &"x".repeat(5_000))).as_bytes());
        }
        run.feed(&mut world);
        assert!(run.engine.counters().memory <= 4 << 20);
    }
    // Nothing was lost: it was given out sooner.
    world.tick(61_000_000_000);
    run.feed(&mut world);
    assert_eq!(run.recorder.messages().count(), 50 * 100);
}

#[test]
fn a_session_with_a_long_backlog_of_a_stream_that_is_not_bound_tells_what_it_dropped() {
    // Answers before any request is seen: most are too old by the time the request comes.
    let mut world = World::default();
    let mut pair = Pair::on_socket(&mut world);
    for id in 0..50 {
        world.write(&mut pair.from, pair.server, format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n").as_bytes());
    }
    pair.ask(&mut world, &call(50, "x"));
    pair.answer(&mut world, &result(50, "x"));
    let (recorder, counters) = Run::new().end(&mut world);
    assert_eq!(counters.messages_overflowed, 42);
    let (_, gap) = recorder.gaps().next().unwrap();
    assert_eq!((gap.reasons, gap.bytes), (LossReasons::MEMORY, Some(10 * 36 + 32 * 37)));
    assert_eq!(recorder.messages().count(), 10);
}

#[test]
fn a_tiny_memory_ends_nothing_but_memory() {
    for memory in [0, 1, 1000, 100_000] {
        let mut run = small(memory);
        let mut traffic = Traffic::new(5, 300);
        for input in traffic.take(200) {
            input.feed(&mut run.engine, &mut run.recorder);
        }
        check(&run.engine);
    }
}

#[test]
fn many_ignored_streams_of_one_process_are_quickly_dealt_with() {
    // A client with thousands of pipes, and sessions that look for their partner among them.
    let mut world = World::default();
    let mut run = Run::new();
    let (client, server) = (world.process(), world.process());
    for _ in 0..3_000 {
        let mut line = world.pipe();
        world.say(&mut line, server, client, &"some text ".repeat(500));
    }
    for _ in 0..200 {
        let mut pair = Pair { client, server, ..Pair::on_pipes(&mut world) };
        pair.ask(&mut world, INITIALIZE);
    }
    run.feed(&mut world);
    assert!(
        run.recorder
            .verdicts
            .iter()
            .filter(|(key, _, verdict)| *verdict == Verdict::Capture && matches!(key, StreamKey::Pipe { .. }))
            .count()
            >= 200
    );
}
