//! What a server hands out to be given back: cursors of long lists, ids of tasks, the state of a call that asked for input. The
//! server of now hands out others, and gets back its own.

use serde_json::Value;
use std::{borrow::Cow, collections::HashMap};

/// Where handles stand in results, and where in the parameters of requests they go back.
const PLACES: [(Role, &[&str], &[&str]); 3] = [
    (Role::Cursor, &["/result/nextCursor"], &["/params/cursor"]),
    (
        Role::Task,
        &["/result/taskId", "/result/task/taskId"],
        &["/params/taskId", "/params/_meta/io.modelcontextprotocol~1related-task/taskId"],
    ),
    (Role::State, &["/result/requestState"], &["/params/requestState"]),
];

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Role {
    Cursor,
    Task,
    State,
}

/// A request cannot be sent: what it gives back was not handed out now. In words, what it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Missing(pub &'static str);

/// The handles of then, and for each the one of now, if there is one.
#[derive(Debug, Default)]
pub struct Handles {
    known: HashMap<(Role, String, String), Option<String>>,
}

/// A cursor is one of a list; the others are of the server.
fn scope(role: Role, method: &str) -> String {
    if role == Role::Cursor { method.to_owned() } else { String::new() }
}

impl Handles {
    /// What a request to `method` was answered then, and now, if it was.
    pub fn learn(&mut self, method: &str, then: &Value, now: Option<&Value>) {
        for (role, results, _) in PLACES {
            for place in results {
                if let Some(Value::String(handle)) = then.pointer(place) {
                    let now = now.and_then(|now| now.pointer(place)).and_then(Value::as_str).map(str::to_owned);
                    self.known.insert((role, scope(role, method), handle.clone()), now);
                }
            }
        }
    }

    /// A request with the handles of now in it.
    ///
    /// # Errors
    /// Where there is none for one of them.
    pub fn give_back<'b>(&self, method: &str, body: &'b str) -> Result<Cow<'b, str>, Missing> {
        if self.known.is_empty() {
            return Ok(Cow::Borrowed(body));
        }
        let Ok(mut message) = serde_json::from_str::<Value>(body) else { return Ok(Cow::Borrowed(body)) };
        let mut changed = false;
        for (role, _, parameters) in PLACES {
            for place in parameters {
                let Some(Value::String(handle)) = message.pointer_mut(place) else { continue };
                match self.known.get(&(role, scope(role, method), handle.clone())) {
                    Some(Some(now)) if now != handle => {
                        handle.clone_from(now);
                        changed = true;
                    }
                    Some(None) => {
                        return Err(Missing(match role {
                            Role::Cursor => "the list has no such page now",
                            Role::Task => "the server made no such task now",
                            Role::State => "the server did not ask for input now",
                        }));
                    }
                    _ => {}
                }
            }
        }
        Ok(if changed { Cow::Owned(message.to_string()) } else { Cow::Borrowed(body) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_server_gets_back_what_it_handed_out_now() {
        let mut handles = Handles::default();
        handles.learn("tools/list", &json!({"result": {"nextCursor": "a"}}), Some(&json!({"result": {"nextCursor": "b"}})));
        handles.learn("tools/call", &json!({"result": {"taskId": "t"}}), Some(&json!({"result": {}})));
        let asks = r#"{"method":"tools/list","params":{"cursor":"a"}}"#;
        assert!(handles.give_back("tools/list", asks).unwrap().contains(r#""cursor":"b""#));
        // The cursor of another list.
        assert_eq!(handles.give_back("prompts/list", asks), Ok(Cow::Borrowed(asks)));
        assert!(handles.give_back("tasks/get", r#"{"params":{"taskId":"t"}}"#).is_err());
        let other = r#"{ "params" : {"taskId":"u", "n": 1.0e400000} }"#;
        assert_eq!(handles.give_back("tasks/get", other), Ok(Cow::Borrowed(other)));
    }
}
