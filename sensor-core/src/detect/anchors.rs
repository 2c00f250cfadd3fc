//! Where in a text an instruction may stand: the rare words that every kind of instruction has one of. Around them the text
//! is read closely, the rest of it is passed over.

use crate::redact::prefilter::{Lanes, Table, WIDTH, find_in};

/// Bytes before and behind a rare word that are read: no kind of instruction reaches farther.
const REACH: usize = 200;

/// Rare words in lower case, in the order of their lanes. The window of a word is its first three bytes.
const WORDS: &[(u32, &str)] = &[
    (0, "ignor"),
    (1, "disregard"),
    (2, "forget"),
    (2, "vergiss"),
    (2, "olvida"),
    (2, "oublie"),
    (2, "\u{5FFD}\u{7565}"),
    (3, " tell"),
    (3, "digas"),
    (3, "sage dem"),
    (4, "mention"),
    (4, "mcp.json"),
    (4, "messages and"),
    (5, "inform the"),
    (5, "inform any"),
    (5, "informing"),
    (5, "id_rsa"),
    (6, "notif"),
    (6, "new instructions"),
    (7, "reveal"),
    (7, "required to"),
    (7, "read_"),
    (8, "bother"),
    (8, "before "),
    (9, "secret from"),
    (9, "silently"),
    (9, "hidden from"),
    (9, "hide this"),
    (10, "<important"),
    (10, "</important"),
    (10, "<system"),
    (10, "</system"),
    (10, "<|i"),
    (10, "<|e"),
    (10, "<|s"),
    (10, "<<sys>>"),
    (10, "</tool_result"),
    (10, "<function_call"),
    (10, "<invoke"),
    (10, "<tool_call"),
    (10, "<secret"),
    (10, "<!--"),
    (11, "[system"),
    (11, "[/system"),
    (11, "[inst]"),
    (11, "list_chats"),
    (11, "environment variable"),
    (11, "every file"),
    (12, "you are now"),
    (12, "you must"),
    (12, "from now on"),
    (13, "system override"),
    (13, "system message"),
    (13, "system notice"),
    (13, "system:"),
    (14, "assistant"),
    (14, "ai a"),
    (14, "automated agent"),
    (14, "always call"),
    (14, "after reading"),
    (14, "asking"),
    (14, "ask for confirm"),
    (14, "all files"),
    (14, "all mails"),
    (15, "must first"),
    (15, "must call"),
    (15, "must now"),
    (15, "call this tool"),
    (15, "then call"),
    (15, "whenever this"),
    (16, "follow the instructions"),
    (16, "file contents"),
    (16, "human:"),
    (16, "credential"),
    (16, "conversation"),
    (16, "chat history"),
    (17, "do not ask"),
    (17, "don't ask"),
    (17, "without confirm"),
    (18, "api key"),
    (18, "api_key"),
    (18, "password"),
    (18, "private key"),
    (18, "private repositor"),
    (19, ".ssh"),
    (19, "/.aws"),
    (19, ".env"),
    (20, "http"),
    (20, "display:none"),
    (20, "visibility:hidden"),
    (20, "font-size:0"),
    (20, "opacity:0"),
    (20, "color:"),
];

/// Number of lanes.
const LANES: usize = WIDTH as usize;

static TABLE: Table = windows();

#[allow(clippy::indexing_slicing, reason = "the compiler runs this, and tells")]
const fn windows() -> Table {
    let mut table = [0; 256];
    let mut word = 0;
    while word < WORDS.len() {
        let mut position = 0;
        while position < 3 {
            let byte = WORDS[word].1.as_bytes()[position];
            let bit = 1 << (WORDS[word].0 + WIDTH * position as u32);
            table[byte.to_ascii_lowercase() as usize] |= bit;
            table[byte.to_ascii_uppercase() as usize] |= bit;
            position += 1;
        }
        word += 1;
    }
    table
}

/// For each lane: where its words begin in [`WORDS`], and how many there are.
const OF_LANE: [(usize, usize); LANES] = of_lane();

#[allow(clippy::indexing_slicing, reason = "the compiler runs this, and tells")]
const fn of_lane() -> [(usize, usize); LANES] {
    let mut of_lane = [(0, 0); LANES];
    let mut index = 0;
    while index < WORDS.len() {
        let lane = &mut of_lane[WORDS[index].0 as usize];
        if lane.1 == 0 {
            lane.0 = index;
        }
        assert!(lane.0 + lane.1 == index, "the words of a lane stand together");
        lane.1 += 1;
        index += 1;
    }
    of_lane
}

/// True where a rare word of one of the lanes begins.
fn begins(mut lanes: Lanes, text: &[u8]) -> bool {
    while lanes != 0 {
        let (start, count) = OF_LANE.get(lanes.trailing_zeros() as usize).copied().unwrap_or_default();
        let words = WORDS.get(start..start + count).unwrap_or_default();
        if words.iter().any(|(_, word)| text.get(..word.len()).is_some_and(|text| text.eq_ignore_ascii_case(word.as_bytes()))) {
            return true;
        }
        lanes &= lanes - 1;
    }
    false
}

/// Tells the parts of a text around rare words: where each begins, and the part. They do not overlap.
pub(super) fn around(text: &[u8], mut each: impl FnMut(usize, &[u8])) {
    let mut part: Option<(usize, usize)> = None;
    let mut from = 0;
    let mut tell = |(start, end): (usize, usize)| each(start, text.get(start..end).unwrap_or_default());
    while let Some((at, lanes)) = find_in(&TABLE, text, from) {
        from = at + 1;
        if !begins(lanes, text.get(at..).unwrap_or_default()) {
            continue;
        }
        let (start, end) = (at.saturating_sub(REACH), text.len().min(at + REACH));
        part = match part {
            Some((first, last)) if start <= last => Some((first, end)),
            Some(done) => {
                tell(done);
                Some((start, end))
            }
            None => Some((start, end)),
        };
    }
    if let Some(last) = part {
        tell(last);
    }
}
