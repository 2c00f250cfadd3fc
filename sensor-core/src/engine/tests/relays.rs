//! Who passes bytes on is told from who happens to say the same.

use super::*;
use crate::event::Session;

/// A client, something in between, and a server: two pairs, the first's server being the second's client.
fn chain(world: &mut World, make: fn(&mut World) -> Pair) -> (Pair, Pair) {
    let outer = make(world);
    let inner = Pair { client: outer.server, ..make(world) };
    (outer, inner)
}

fn last_session(recorder: &Recorder, server: ProcessId) -> Session {
    let of_server = recorder.events.iter().filter(|event| event.session.server == Some(server));
    of_server.max_by_key(|event| event.session.relay_of).unwrap().session.clone()
}

#[test]
fn f38_a_session_that_a_wrapper_passes_on_is_told_as_a_relay_of_the_first() {
    for make in [Pair::on_pipes, Pair::on_socket, Pair::on_two_sockets] {
        let mut world = World::default();
        let (mut outer, mut inner) = chain(&mut world, make);
        for (request, answer) in [(INITIALIZE, INITIALIZED), (&call(1, "x"), &result(1, "x"))] {
            outer.ask(&mut world, request);
            inner.ask(&mut world, request);
            inner.answer(&mut world, answer);
            outer.answer(&mut world, answer);
        }
        let recorder = outcome(world);
        let (first, second) = (last_session(&recorder, outer.server), last_session(&recorder, inner.server));
        assert_eq!((first.relay_of, second.relay_of), (None, Some(first.id)));
        assert!(by_session(&recorder).values().eq(&[4, 4]));
        // It was known before anything was told.
        let opened = recorder.sessions().find(|(event, _)| event.session.id == second.id).unwrap().0;
        assert_eq!(opened.session.relay_of, Some(first.id));
    }
}

#[test]
fn a_relay_behind_a_relay_is_the_relay_of_the_nearer_one() {
    let mut world = World::default();
    let (mut outer, mut middle) = chain(&mut world, Pair::on_two_sockets);
    let mut inner = Pair { client: middle.server, ..Pair::on_pipes(&mut world) };
    for (request, answer) in [(INITIALIZE, INITIALIZED), (&call(1, "x"), &result(1, "x"))] {
        for pair in [&mut outer, &mut middle, &mut inner] {
            pair.ask(&mut world, request);
        }
        for pair in [&mut inner, &mut middle, &mut outer] {
            pair.answer(&mut world, answer);
        }
    }
    let recorder = outcome(world);
    let [first, second, third] = [outer, middle, inner].map(|pair| last_session(&recorder, pair.server));
    assert_eq!([first.relay_of, second.relay_of, third.relay_of], [None, Some(first.id), Some(second.id)]);
}

#[test]
fn a_gateway_that_begins_with_the_same_bytes_is_no_relay() {
    // An agent that is an MCP server itself, and starts servers of its own with the same library and the same name.
    let mut world = World::default();
    let (mut outer, mut inner) = chain(&mut world, Pair::on_pipes);
    outer.ask(&mut world, INITIALIZE);
    outer.answer(&mut world, INITIALIZED);
    outer.ask(&mut world, NOTED);
    outer.ask(&mut world, &call(1, "x"));
    inner.ask(&mut world, INITIALIZE);
    inner.answer(&mut world, &INITIALIZED.replace("made", "other"));
    inner.ask(&mut world, NOTED);
    inner.call(&mut world, 1, "x");
    outer.answer(&mut world, &result(1, "different"));
    let recorder = outcome(world);
    assert_eq!(last_session(&recorder, inner.server).relay_of, None);
}

#[test]
fn f24_equal_sessions_of_unrelated_processes_are_both_whole_and_not_related() {
    let mut world = World::default();
    let mut pairs = [Pair::on_pipes(&mut world), Pair::on_pipes(&mut world)];
    for pair in &mut pairs {
        pair.handshake(&mut world);
    }
    for pair in &mut pairs {
        pair.call(&mut world, 1, "x");
    }
    let recorder = outcome(world);
    assert!(by_session(&recorder).values().eq(&[5, 5]));
    assert!(recorder.events.iter().all(|event| event.session.relay_of.is_none()));
}

#[test]
fn a_tee_before_the_server_is_a_relay_and_the_answers_go_to_the_first_session() {
    // client | tee log | server, whose answers go to the client directly.
    let mut world = World::default();
    let (mut outer, mut inner) = chain(&mut world, Pair::on_pipes);
    for (id, request) in [INITIALIZE, &call(1, "a"), &call(2, "b"), &call(3, "c"), &call(4, "d")].into_iter().enumerate() {
        outer.ask(&mut world, request);
        inner.ask(&mut world, request);
        let answer = if id == 0 { INITIALIZED.to_owned() } else { result(id as u32, "x") };
        world.say(&mut outer.from, inner.server, outer.client, &answer);
        world.tick(700_000_000);
    }
    let recorder = outcome(world);
    assert_eq!(recorder.messages().count(), 15);
    let requests = by_session(&recorder);
    assert_eq!(requests.len(), 2, "{requests:?}");
    let relayed: Vec<_> = recorder.sessions().filter(|(event, _)| event.session.relay_of.is_some()).collect();
    assert!(!relayed.is_empty());
    assert_eq!(recorder.calls().filter(|(_, call)| !call.result.is_empty()).count(), 4);
}
