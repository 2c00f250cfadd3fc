//! Policies: no text makes the parser panic, and no event the judge.

use sensor_core::json::Tape;
use sensor_core::policy::{Case, Policy, cases, explain};
use std::sync::{Arc, OnceLock};

/// A policy is taken or refused with a place for each error; what is taken can be asked.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Policy::parse(text) {
        Ok(policy) => {
            let policy = Arc::new(policy);
            let (count, failures) = policy.test();
            assert!(failures.len() <= count);
            let _ = explain(&policy, r#"{"toolCall":{"tool":"a","arguments":{"path":"../../x"}}}"#);
        }
        Err(wrong) => {
            assert!(!wrong.is_empty(), "refused, and nothing is wrong");
            // A carriage return ends a line in YAML, with a line feed behind it or not.
            let lines = text.replace("\r\n", "\n").split(['\r', '\n']).count() as u64;
            assert!(wrong.iter().all(|wrong| wrong.line <= lines && !wrong.message.is_empty()), "{wrong:?}");
        }
    }
    let _: Result<Vec<Case>, String> = cases(text);
}

/// Whatever an event says, the shipped rules judge it: none fails, and none is switched off.
pub fn event(data: &[u8]) {
    static POLICY: OnceLock<Arc<Policy>> = OnceLock::new();
    let policy = POLICY.get_or_init(|| {
        let text = include_str!("../../rules/default.yaml");
        Arc::new(Policy::parse(text).unwrap_or_else(|wrong| panic!("{wrong:?}")))
    });
    let mut tape = Tape::new();
    let Some(text) = std::str::from_utf8(data).ok().filter(|text| tape.parse(text.as_bytes()).is_ok()) else { return };
    let _ = explain(policy, text);
    if let Ok(event) = serde_json::from_str::<serde_json::Value>(text) {
        let wrapped = serde_json::json!({"toolCall": {"tool": "any", "arguments": event}});
        match policy.matching(std::slice::from_ref(&wrapped)) {
            Ok(_) => {}
            Err(why) => panic!("{why}"),
        }
    }
}
