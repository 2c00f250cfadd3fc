//! What looks like MCP and is not gives no event.

use super::*;
use crate::input::Verdict;
use std::collections::BTreeMap;
use std::path::Path;

/// What each side of each look-alike writes.
fn corpus() -> BTreeMap<String, [Vec<u8>; 2]> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lookalikes");
    let mut all: BTreeMap<String, [Vec<u8>; 2]> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some((name, rest)) = name.split_once('.') else { continue };
        let side = match rest.split('.').next() {
            Some("to") => 0,
            Some("from") => 1,
            _ => continue,
        };
        all.entry(name.to_owned()).or_default()[side] = std::fs::read(&path).unwrap();
    }
    all
}

/// Cuts bytes into the pieces that a writer might make.
fn pieces(bytes: &[u8], way: usize) -> Vec<&[u8]> {
    match way {
        0 => bytes.split_inclusive(|&byte| byte == b'\n').collect(),
        // Headers and bodies apart, as language servers write them.
        1 => {
            let mut cuts: Vec<usize> = memchr::memmem::find_iter(bytes, b"\r\n\r\n").map(|at| at + 4).collect();
            cuts.extend(memchr::memmem::find_iter(bytes, b"Content-Length"));
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).filter(|piece| !piece.is_empty()).collect()
        }
        2 => bytes.chunks(1).collect(),
        3 => bytes.chunks(7).collect(),
        _ if bytes.is_empty() => Vec::new(),
        _ => vec![bytes],
    }
}

fn run(sides: &[Vec<u8>; 2], make: fn(&mut World) -> Pair, way: usize) -> (Recorder, [Option<Verdict>; 2]) {
    let mut world = World::default();
    let mut pair = make(&mut world);
    let (to, from) = (pieces(&sides[0], way), pieces(&sides[1], way));
    for turn in 0..to.len().max(from.len()) {
        if let Some(piece) = to.get(turn) {
            world.write(&mut pair.to, pair.client, piece);
            world.read(&mut pair.to, pair.server);
        }
        if let Some(piece) = from.get(turn) {
            world.write(&mut pair.from, pair.server, piece);
            world.read(&mut pair.from, pair.client);
        }
        if turn % 64 == 0 {
            world.pass(50_000_000);
        }
    }
    world.tick(12_000_000_000);
    let recorder = outcome(world);
    let verdicts = [pair.to.key, pair.from.key].map(|key| recorder.verdict_on(key));
    (recorder, verdicts)
}

#[test]
fn f40_no_lookalike_gives_an_event() {
    let corpus = corpus();
    assert!(corpus.len() >= 20, "{:?}", corpus.keys());
    for (name, sides) in &corpus {
        for make in [Pair::on_pipes, Pair::on_socket, Pair::on_two_sockets, Pair::on_terminal] {
            for way in 0..5 {
                let (recorder, verdicts) = run(sides, make, way);
                assert!(recorder.events.is_empty(), "{name}, cut {way}: {:?}", recorder.events.first());
                // The one that may carry MCP inside stays captured.
                let captured = verdicts.contains(&Some(Verdict::Capture));
                let may_be = ["agent-client-protocol", "mcp-log-viewer"].contains(&name.as_str());
                assert!(may_be || !captured, "{name}, cut {way}");
            }
        }
    }
}

#[test]
fn what_is_certainly_not_mcp_is_ignored() {
    for (name, sides) in &corpus() {
        let (_, verdicts) = run(sides, Pair::on_pipes, 0);
        if ["agent-client-protocol"].contains(&name.as_str()) {
            continue;
        }
        // Short ones are not decided in so few bytes.
        let decided = verdicts.contains(&Some(Verdict::Ignore));
        let short = sides.iter().all(|side| side.len() < 4096)
            && sides.iter().all(|side| side.iter().filter(|&&byte| byte == b'\n' || byte == 0).count() < 64);
        assert!(decided || short, "{name}");
    }
}
