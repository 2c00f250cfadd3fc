//! What every peer, in every language, says. `tests/peers/README.md` is the contract.

use std::fmt::Write as _;

pub const DOCUMENT_URI: &str = "test://doc";
pub const DOCUMENT_TEXT: &str = "a document";

/// `0 1 2 3 ...` cut to `size` bytes: deterministic, never periodic, and the same in every language.
pub fn numbers(size: usize) -> String {
    let mut text = String::with_capacity(size + 16);
    for number in 0.. {
        if text.len() >= size {
            break;
        }
        let separator = if number == 0 { "" } else { " " };
        let _ = write!(text, "{separator}{number}");
    }
    text.truncate(size);
    text
}
