//! What the detectors cost: `cargo test --release -p sensor-core --lib detect::tests::speed -- --ignored --nocapture`.

use super::*;
use std::hint::black_box;
use std::time::Instant;

/// Calls of one round: short enough for a round in which nothing else ran.
const CALLS: u32 = 10;

/// Nanoseconds of one call, the best of many rounds.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let round = |call: &mut dyn FnMut()| {
        let begin = Instant::now();
        (0..CALLS).for_each(|_| call());
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    (0..2000).map(|_| round(&mut call)).fold(f64::INFINITY, f64::min)
}

#[test]
#[ignore = "a measurement"]
fn nanoseconds_of_common_values() {
    let plain = r#"{"q":"weather in the capital tomorrow morning","limit":20,"options":{"language":"en","units":"metric","detailed":true},"filters":["rain","wind","temperature"],"id":"550e8400-e29b-41d4-a716-446655440000","note":"as asked for in the meeting of last week, with the figures of both regions, hourly"}"#;
    let paths = r#"{"path":"/home/dev/project/src/main.rs","edits":[{"old_str":"fn main() {\n    run()\n}","new_str":"fn main() -> Result<()> {\n    run()?;\n    Ok(())\n}"}],"dry":true,"url":"https://example.org/a/b?c=d","branch":"feature/login","message":"Return the error; it was lost before. See `run`."}"#;
    for (name, text) in [("plain", plain), ("paths and code", paths)] {
        let mut tape = Tape::new();
        tape.parse(text.as_bytes()).unwrap();
        let value = tape.root(text.as_bytes()).unwrap();
        println!("arguments, {name:16} {:4} bytes: {:7.0} ns", text.len(), nanoseconds(|| drop(black_box(arguments(black_box(value))))));
    }
    let sentence = "The tool returns the rows of the table as text, one row a line, and the user's time zone is used for dates. ";
    let listing = "drwxr-xr-x 2 dev dev 4096 Jan 12 10:00 src\\n-rw-r--r-- 1 dev dev 1204 Jan 12 10:00 main.rs\\n";
    for (name, piece) in
        [("prose", sentence), ("listing", listing), ("beyond ASCII", "Größe und Maß \u{2014} das Übliche, für alle Fälle geprüft. ")]
    {
        let text = format!(r#"{{"content":[{{"type":"text","text":"{}"}}]}}"#, piece.repeat(8192 / piece.len()));
        let mut tape = Tape::new();
        tape.parse(text.as_bytes()).unwrap();
        let value = tape.root(text.as_bytes()).unwrap();
        let took = nanoseconds(|| drop(black_box(super::super::text(black_box(value)))));
        println!("text, {name:16} {:6} bytes: {:7.0} ns, {:5.0} ns/KiB", text.len(), took, took * 1024.0 / text.len() as f64);
    }
    println!("is_destructive: {:.0} ns", nanoseconds(|| assert!(!is_destructive(black_box("search_repositories")))));
}
