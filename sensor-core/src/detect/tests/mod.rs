mod corpus;

use super::*;
use crate::json::Tape;

/// What the arguments of a call show, from JSON text.
fn arguments_of(text: &str) -> Arguments {
    let mut tape = Tape::new();
    tape.parse(text.as_bytes()).unwrap();
    arguments(tape.root(text.as_bytes()).unwrap())
}

/// What text for a model shows, from JSON text.
fn text_of(json: &str) -> Text {
    let mut tape = Tape::new();
    tape.parse(json.as_bytes()).unwrap();
    text(tape.root(json.as_bytes()).unwrap())
}
