//! Files that follow each other: what lies across two of them.

use super::*;
use crate::recording::Rolls;
use proptest::prelude::*;
use recording::rolling::{self, Folder};
use sensor_core::input::ProcessId;

/// Writes of so many pieces each, mixed with what other sessions say meanwhile. What one session says keeps its order.
fn in_pieces(inputs: Vec<Input>, dice: &mut dyn FnMut(usize) -> usize) -> Vec<Input> {
    // Who reads a stream is told right behind who writes it: these two are a session.
    let mut groups = BTreeMap::<ProcessId, usize>::new();
    for (number, pair) in inputs.windows(2).enumerate() {
        if let [Input::Chunk { process, stream, .. }, Input::Touch(touch)] = pair
            && *stream == touch.stream
        {
            let group = *groups.get(process).or(groups.get(&touch.process)).unwrap_or(&number);
            groups.extend([(*process, group), (touch.process, group)]);
        }
    }
    let mut last = BTreeMap::<usize, usize>::new();
    let mut placed: Vec<(usize, Input)> = Vec::new();
    for (number, input) in inputs.into_iter().enumerate() {
        let (Input::Chunk { process, .. } | Input::Touch(Touch { process, .. })) = input else { continue };
        let place = last.entry(groups[&process]).or_default();
        let mut put = |input: Input, more: usize| {
            *place = (*place).max(number) + more;
            placed.push((*place, input));
        };
        match input {
            Input::Chunk { time, stream, epoch, end, process, offset, loss, bytes } => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (piece, behind) = rest.split_at(1 + dice(rest.len()).max(dice(rest.len())));
                    let offset = offset + (bytes.len() - rest.len()) as u64;
                    put(Input::Chunk { time, stream, epoch, end, process, offset, loss, bytes: piece.to_vec() }, dice(6));
                    rest = behind;
                }
            }
            other => put(other, 0),
        }
    }
    placed.sort_by_key(|(place, _)| *place);
    let mut inputs: Vec<Input> = placed.into_iter().map(|(_, input)| input).collect();
    // Slow enough for what is done from time to time.
    for (input, now) in inputs.iter_mut().zip(1..) {
        if let Input::Chunk { time, .. } | Input::Touch(Touch { time, .. }) = input {
            *time = 1_000_000_000 + now * 500_000;
        }
    }
    inputs
}

/// The whole messages in the bytes of each stream, in an order of their own. Of a stream no byte is missing between two others.
fn whole<'a>(chunks: impl Iterator<Item = (String, u64, &'a [u8])>) -> Vec<String> {
    let mut streams = BTreeMap::<String, (u64, Vec<u8>)>::new();
    for (stream, offset, bytes) in chunks {
        let (next, text) = streams.entry(stream).or_insert((offset, Vec::new()));
        // White space between messages need not be carried.
        let hole = usize::try_from(offset.checked_sub(*next).unwrap()).unwrap();
        assert!(hole == 0 || text.is_empty(), "{hole} bytes are missing");
        text.extend_from_slice(bytes);
        *next = offset + bytes.len() as u64;
    }
    let is_whole = |line: &&[u8]| serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line).is_ok();
    let lines =
        streams.iter().flat_map(|(stream, (_, text))| text.split(|byte| *byte == b'\n').filter(is_whole).map(move |line| (stream, line)));
    let mut whole: Vec<String> = lines.map(|(stream, line)| format!("{stream} {}", String::from_utf8_lossy(line))).collect();
    whole.sort_unstable();
    whole
}

/// Chunks of a file: stream, place and bytes.
fn chunks(path: &Path) -> Vec<(String, u64, Vec<u8>)> {
    let mut reader = Reader::open(File::open(path).unwrap(), &reader::Options::default()).unwrap();
    let mut chunks = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        if let Item::Chunk(chunk) = item {
            chunks.push((format!("{:?}", chunk.stream), chunk.offset, chunk.bytes.to_vec()));
        }
    }
    chunks
}

fn lent(chunks: &[(String, u64, Vec<u8>)]) -> impl Iterator<Item = (String, u64, &[u8])> {
    chunks.iter().map(|(stream, offset, bytes)| (stream.clone(), *offset, bytes.as_slice()))
}

/// What files say when they are replayed as one.
fn together(files: &[std::path::PathBuf]) -> Kept {
    let kept = Kept::default();
    let all = replay::open_all(files, reader::Options::default()).unwrap();
    let (failure, ending) = replay::run_all(all, settings(&kept), &AtomicBool::new(false)).unwrap();
    assert!(failure.is_none() && matches!(ending, Ending::Complete(_)));
    kept
}

/// Records this to files of this size, and holds what is in them against what was said live. Gives how many files there are, and how
/// many chunks stand in more than one.
fn holds(inputs: Vec<Input>, file: u64) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let rolls = Rolls { file, age: u64::MAX, total: u64::MAX, sync: rolling::Sync::Never };
    let destination = Destination::Folder(Folder::open(folder.path()).unwrap(), folder.path().to_owned(), rolls);
    let said: Vec<_> = inputs
        .iter()
        .filter_map(|input| match input {
            Input::Chunk { stream, offset, bytes, .. } => Some((format!("{stream:?}"), *offset, bytes.clone())),
            _ => None,
        })
        .collect();
    let live = record_to(destination, MEMORY, Level::Full, Choice::All, inputs, redact::Level::Full, false);
    assert_eq!(losses(&live), []);
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    // All of them as one say all that was said.
    assert!(live.sessions() == together(&files).sessions(), "as one they say something else");
    // And each message is whole in one of them.
    let held: Vec<_> = files.iter().map(|path| chunks(path)).collect();
    let mut found: Vec<String> = held.iter().flat_map(|chunks| whole(lent(chunks))).collect();
    found.sort_unstable();
    let expected = whole(lent(&said));
    let missing = expected.iter().find(|message| found.binary_search(message).is_err());
    assert!(missing.is_none() && expected.len() == found.len(), "{} of {}, {missing:?}", found.len(), expected.len());
    (files.len(), held.iter().map(Vec::len).sum::<usize>() - said.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_message_is_whole_in_one_file_wherever_files_are_cut(seed in any::<u64>(), file in 100_000_u64..300_000, bytes in 100_usize..500) {
        let mut state = seed | 1;
        let mut dice = |sides: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % sides
        };
        let (files, carried) = holds(in_pieces(Traffic::new(3, bytes).take(1200), &mut dice), file);
        prop_assert!(files > 1);
        // Of three sessions, one is in the middle of a message where some file ends.
        prop_assert!(carried > 0, "{} files", files);
    }
}
