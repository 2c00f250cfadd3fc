//! Sessions end when their processes do, and not before.

use super::*;
use crate::event::SessionState;

#[test]
fn requests_of_a_writer_that_is_gone_are_still_answered() {
    // echo '…' | server
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.ask(&mut world, INITIALIZE);
    pair.ask(&mut world, &call(1, "slow"));
    world.exit(pair.client);
    let echo = pair.client;
    pair.client = world.process();
    pair.answer(&mut world, INITIALIZED);
    world.tick(8_000_000_000);
    pair.answer(&mut world, &result(1, "slow"));
    let recorder = outcome(world);
    assert_eq!(by_session(&recorder).len(), 1);
    assert_eq!(recorder.calls().count(), 2);
    let writers: Vec<_> = recorder.messages().map(|(event, _)| event.client).collect();
    assert_eq!(writers[0], Some(echo));
}

#[test]
fn a_session_whose_client_is_dead_and_gone_is_closed() {
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    world.exit(pair.client);
    world.tick(2_000_000_000);
    let mut run = Run::new();
    run.feed(&mut world);
    assert_eq!(run.recorder.sessions().last().unwrap().1, SessionState::Closed);
}

#[test]
fn a_probing_sibling_is_told_as_such() {
    // TypeScript SDK 2: a disposable server answers server/discover, is killed, and the real one is started.
    let mut world = World::default();
    let mut probe = Pair::on_two_sockets(&mut world);
    probe.ask(&mut world, r#"{"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}},"jsonrpc":"2.0","id":"server-discover-probe-1"}"#);
    probe.answer(&mut world, r#"{"jsonrpc":"2.0","id":"server-discover-probe-1","error":{"code":-32601,"message":"Method not found"}}"#);
    world.exit(probe.server);
    let mut real = Pair { client: probe.client, ..Pair::on_two_sockets(&mut world) };
    world.tick(100_000_000);
    real.handshake(&mut world);
    world.tick(5_000_000_000);
    real.call(&mut world, 1, "x");
    let recorder = outcome(world);
    let closed: Vec<_> =
        recorder.sessions().filter(|(_, state)| *state == SessionState::Closed).map(|(event, _)| event.session.probe).collect();
    assert_eq!(closed, [true, false]);
    assert_eq!(by_session(&recorder).len(), 2);
}

#[test]
fn a_client_that_only_asked_for_the_revision_and_began_nothing_else_was_no_probe() {
    let mut world = World::default();
    let mut only = Pair::on_pipes(&mut world);
    only.ask(&mut world, r#"{"method":"server/discover","jsonrpc":"2.0","id":1}"#);
    only.answer(&mut world, r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"resultType":"complete"}}"#);
    world.exit(only.server);
    world.tick(5_000_000_000);
    let recorder = outcome(world);
    assert!(!recorder.sessions().last().unwrap().0.session.probe);
}

#[test]
fn an_answers_stream_that_the_kernel_counts_anew_stays_in_its_session() {
    let mut world = World::default();
    let mut pair = Pair::on_socket(&mut world);
    pair.handshake(&mut world);
    pair.ask(&mut world, &call(1, "x"));
    pair.from = Line::new(pair.from.key, world.now);
    pair.answer(&mut world, &result(1, "x"));
    let recorder = outcome(world);
    assert_eq!(by_session(&recorder).len(), 1);
    assert_eq!(recorder.calls().count(), 2);
}

#[test]
fn a_stream_that_is_told_to_be_closed_ends_its_session() {
    let mut world = World::default();
    let mut run = Run::new();
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    pair.ask(&mut world, &call(1, "x"));
    run.feed(&mut world);
    run.engine.close(pair.to.key, pair.to.epoch, world.now, &mut run.recorder);
    let (_, last) = run.recorder.calls().last().unwrap();
    assert_eq!(last.reason, "the stream closed");
    assert_eq!(run.recorder.sessions().last().unwrap().1, SessionState::Closed);
}
