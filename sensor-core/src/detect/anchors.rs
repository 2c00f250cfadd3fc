//! Where in a text an instruction may stand: the rare words that every kind of instruction has one of. Around them the text
//! is read closely, the rest of it is passed over.

use crate::redact::prefilter::{Lanes, Table, WIDTH, find_in};

/// Bytes before and behind a rare word that are read: no kind of instruction reaches farther.
const REACH: usize = 200;

/// Rare words in lower case, each from where its rarest three bytes stand: those are its window. In the order of their lanes,
/// which hold words whose windows together let little other text through.
const WORDS: &[(u32, &str)] = &[
    (0, "ading"),
    (0, "bother"),
    (0, "\u{5FFD}\u{7565}"),
    (1, "n't ask"),
    (1, "rm any"),
    (1, "rm the"),
    (2, "<invoke"),
    (2, "<secret"),
    (2, "<tool_call"),
    (2, "<|e"),
    (3, "ai a"),
    (3, "sistant"),
    (4, "<system"),
    (4, "<|i"),
    (4, "human:"),
    (4, "must call"),
    (4, "must first"),
    (4, "must now"),
    (4, "y:hidden"),
    (5, "ntly"),
    (5, "orget"),
    (6, "lvida"),
    (6, "rgiss"),
    (6, "rming"),
    (6, "sking"),
    (7, "do not ask"),
    (7, "mails"),
    (8, ".ssh"),
    (8, "<!--"),
    (8, "p.json"),
    (8, "ssword"),
    (9, "</system"),
    (9, "<<sys>>"),
    (9, "<function_call"),
    (9, "<important"),
    (9, "<|s"),
    (9, "[/system"),
    (9, "[inst]"),
    (9, "[system"),
    (9, "u are now"),
    (9, "u must"),
    (10, "/.aws"),
    (10, "</tool_result"),
    (10, "vate key"),
    (10, "ystem:"),
    (11, "http"),
    (11, "itor"),
    (11, "utomated agent"),
    (11, "y:none"),
    (12, "igas"),
    (12, "ironment variable"),
    (12, "opacity:0"),
    (12, "veal"),
    (13, "hout confirm"),
    (13, "k for confirm"),
    (13, "l files"),
    (13, "pi_key"),
    (13, "y file"),
    (14, ".env"),
    (14, "always call"),
    (14, "mention"),
    (14, "never this"),
    (15, "hide this"),
    (15, "idden from"),
    (15, "isregard"),
    (15, "ride"),
    (15, "rsation"),
    (16, " history"),
    (16, "</important"),
    (16, "otif"),
    (16, "oublie"),
    (17, "i key"),
    (17, "l this tool"),
    (17, "m message"),
    (17, "m notice"),
    (17, "w instructions"),
    (17, "w on"),
    (17, "w the instructions"),
    (18, "edential"),
    (18, "font-size:0"),
    (18, "tell"),
    (18, "tents"),
    (19, "_chats"),
    (19, "_rsa"),
    (19, "before "),
    (19, "ges and"),
    (19, "gnor"),
    (20, "e dem"),
    (20, "ecret from"),
    (20, "lor:"),
    (20, "uired to"),
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
