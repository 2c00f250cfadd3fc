mod arguments;
mod launch;
mod properties;
mod speed;
mod text;

use super::*;
use crate::json::Tape;

/// What the arguments of a call show, from JSON text.
fn arguments_of(text: &str) -> Arguments {
    let mut tape = Tape::new();
    tape.parse(text.as_bytes()).unwrap();
    super::arguments(tape.root(text.as_bytes()).unwrap())
}

/// What text for a model shows, from JSON text.
fn text_of(json: &str) -> Text {
    let mut tape = Tape::new();
    tape.parse(json.as_bytes()).unwrap();
    super::text(tape.root(json.as_bytes()).unwrap())
}

/// What one argument shows.
fn argument(key: &str, value: &str) -> Arguments {
    arguments_of(&serde_json::json!({ key: value }).to_string())
}
