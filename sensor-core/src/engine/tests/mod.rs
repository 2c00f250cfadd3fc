//! Claims about the engine, each held by a test of its name.
use super::{Config, Engine};
use crate::event::{CallState, MessageDirection, SessionState};
use crate::input::Verdict;
use crate::testing::{Recorder, Traffic, World};

/// Runs a world to its end and gives what came out.
fn outcome(mut world: World) -> Recorder {
    let mut engine = Engine::new(Config::default());
    let mut recorder = Recorder::default();
    world.finish();
    world.run(&mut engine, &mut recorder);
    check(&engine);
    recorder
}

/// What holds at any time.
fn check(engine: &Engine) {
    let counters = engine.counters();
    let (left, right) = counters.messages_balance();
    assert_eq!(left, right, "messages: {counters:?}");
    let (left, right) = counters.calls_balance();
    assert_eq!(left, right, "calls: {counters:?}");
}

#[test]
fn a_session_on_pipes_is_reported_with_its_peers_and_its_calls() {
    let mut engine = Engine::new(Config::default());
    let mut recorder = Recorder::default();
    let mut traffic = Traffic::new(2, 300);
    for input in traffic.take(8) {
        input.feed(&mut engine, &mut recorder);
    }
    check(&engine);
    for event in &recorder.events {
        println!("{event:?}");
    }
    assert_eq!(recorder.messages().count(), 14);
}
