//! Reads the byte arrays of an exec record. Their bytes are a stranger's: anything may stand in them.

use std::borrow::Cow;

/// Arguments that are decoded at most: 4 KiB can hold 4096 empty ones.
const ARGUMENTS: usize = 512;

/// A path from its components, the last one first, each NUL-terminated.
///
/// `length` is what the record says is used, `capacity` what a whole path stays below; one that was cut lost its
/// beginning and begins with `…`. Without components it is `/`.
pub(super) fn path(bytes: &[u8], length: u32, capacity: usize) -> String {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let used = bytes.get(..length).unwrap_or(bytes);
    let mut path = String::with_capacity(used.len() + 4);
    if length >= capacity {
        path.push('…');
    }
    for component in used.rsplit(|byte| *byte == 0).filter(|part| !part.is_empty() && *part != b"/") {
        path.push('/');
        path.push_str(&String::from_utf8_lossy(component));
    }
    if path.is_empty() {
        path.push('/');
    }
    path
}

/// The string before the first NUL.
pub(super) fn string(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default())
}

/// The arguments, each NUL-terminated, and whether some are missing. `cut` says that the bytes end before the list did.
///
/// The last word of a list that was cut is left out: half a secret is one that redaction does not recognise.
pub(super) fn arguments(bytes: &[u8], cut: bool) -> (Vec<String>, bool) {
    if bytes.is_empty() {
        return (Vec::new(), cut);
    }
    let whole = bytes.strip_suffix(b"\0");
    let partial = cut && whole.is_none();
    let mut arguments: Vec<String> = whole
        .unwrap_or(bytes)
        .split(|byte| *byte == 0)
        .take(ARGUMENTS + 1)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect();
    if arguments.len() > ARGUMENTS {
        arguments.truncate(ARGUMENTS);
        return (arguments, true);
    }
    if partial && let Some(last) = arguments.last_mut() {
        let end = last.rfind(char::is_whitespace).unwrap_or(0);
        last.truncate(end);
        last.push('…');
    }
    (arguments, cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_is_turned_round() {
        assert_eq!(path(b"python3\0bin\0usr\0rest of another", 16, 2048), "/usr/bin/python3");
        assert_eq!(path(b"python3\0bin\0usr\0/\0", 18, 2048), "/usr/bin/python3");
        assert_eq!(path(b"rest", 0, 2048), "/");
        assert_eq!(path(b"c\0b\0", 4, 4), "…/b/c");
        assert_eq!(path(b"c\0b\0", u32::MAX, 2048), "…/b/c");
        assert_eq!(path(b"\xff\0", 2, 2048), "/\u{fffd}");
    }

    #[test]
    fn arguments_keep_their_empty_ones() {
        assert_eq!(arguments(b"sh\0-c\0\0x\0", false), (vec!["sh".into(), "-c".into(), String::new(), "x".into()], false));
        assert_eq!(arguments(b"\0", false), (vec![String::new()], false));
        assert_eq!(arguments(b"", false), (vec![], false));
        assert_eq!(arguments(b"no terminator", false), (vec!["no terminator".into()], false));
    }

    #[test]
    fn the_last_word_of_a_list_that_was_cut_is_left_out() {
        assert_eq!(arguments(b"a\0--token=sk-ant-1", true), (vec!["a".into(), "…".into()], true));
        assert_eq!(arguments(b"sh\0-c\0run it --token sk-1", true).0[2], "run it --token…");
        assert_eq!(arguments(b"a\0whole\0", true), (vec!["a".into(), "whole".into()], true));
        assert!(arguments(&[0; 4096], false).1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, length: u32, capacity in 0usize..4096, cut: bool) {
            let _ = path(&bytes, length, capacity);
            let _ = path(&bytes, length % 64, capacity);
            let _ = string(&bytes);
            prop_assert!(arguments(&bytes, cut).0.len() <= ARGUMENTS);
        }
    }
}
