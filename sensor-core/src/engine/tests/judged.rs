//! What the shipped rules make of bytes as they stand on the wire.

use super::{Pair, config};
use crate::engine::Engine;
use crate::event::{Event, Sink};
use crate::input::{StreamKey, Time, Verdict};
use crate::policy::{Judge, Limits, Party, Policy, Subject};
use crate::testing::World;
use std::sync::Arc;

/// Judges each event.
struct Judging {
    judge: Judge,
    found: Vec<String>,
}

impl Sink for Judging {
    fn event(&mut self, event: &Event<'_>) {
        let party = Party::default();
        let Some(subject) = Subject::of(event, "session", "node", &party, &party) else { return };
        self.judge.judge(&subject, &mut |_, finding| self.found.push(finding.rule.id.to_string()));
    }

    fn verdict(&mut self, _stream: StreamKey, _epoch: Time, _verdict: Verdict) {}
}

/// The rules that match when a client asks this.
fn found(request: &str) -> Vec<String> {
    let policy = Policy::parse(include_str!("../../../../rules/default.yaml")).unwrap();
    let mut judging = Judging { judge: Judge::new(Arc::new(policy), Limits::default(), 1, None), found: Vec::new() };
    let mut world = World::default();
    let mut pair = Pair::on_pipes(&mut world);
    pair.handshake(&mut world);
    pair.ask(&mut world, request);
    pair.answer(&mut world, &super::result(1, "x"));
    world.finish();
    world.run(&mut Engine::new(config()), &mut judging);
    judging.found
}

#[test]
fn escapes_that_hide_a_call_are_found_and_slashes_as_php_writes_them_are_not() {
    let call =
        |method: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":"read","arguments":{{"url":"a\/b"}}}}}}"#);
    assert_eq!(found(&call("tools/call")), [""; 0]);
    assert_eq!(found(&call(r"tools\/call")), [""; 0]);
    for method in [r"\u0074ools/call", r"tools\u002fcall", r"tools\/c\u0061ll"] {
        assert_eq!(found(&call(method)), ["protocol-evasion"], "{method}");
    }
}
