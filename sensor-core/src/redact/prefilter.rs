//! Finds where in a text a secret may begin, at less than a nanosecond a byte.
//!
//! Every rule has a *window*: three bytes next to each other that its secrets cannot do without, such as `eyJ` or, in any
//! case, `tok`. Up to 21 rules or groups of rules have a *lane* each. A table tells for each byte in which lanes it can
//! stand first, second and third; three look-ups and two `and`s tell the lanes that fit at a position. No byte waits for
//! the result of the one before, so it is faster than an automaton, and it takes letters in either case at no cost.
//!
//! A window is found where it stands in the text as it is: who unescapes text must do so first.

/// A set of lanes, one bit each.
pub(crate) type Lanes = u32;

/// Bits of a table entry for each of the three positions.
pub(crate) const WIDTH: u32 = 21;

/// Lane of a group of rules: its bit in [`Lanes`].
pub(super) mod lane {
    use super::Lanes;

    // Words: names of things that are secret, in any case.

    /// `password`, `pass`, `pwd`
    pub(in super::super) const PAS: Lanes = 1;
    /// `secret`, `credentials`
    pub(in super::super) const ECR: Lanes = 1 << 1;
    /// `token`
    pub(in super::super) const TOK: Lanes = 1 << 2;
    /// `api_key`
    pub(in super::super) const KEY: Lanes = 1 << 3;
    /// `authorization`
    pub(in super::super) const UTH: Lanes = 1 << 4;
    /// `cookie`, and the addresses of webhooks
    pub(in super::super) const KIE: Lanes = 1 << 5;
    /// `ssn`, and several tokens
    pub(in super::super) const SSN: Lanes = 1 << 6;
    /// The lanes in which there are words.
    pub(in super::super) const WORDS: Lanes = PAS | ECR | TOK | KEY | UTH | KIE | SSN;

    // Shapes of tokens; see `shapes`.

    /// `AKIA` and others
    pub(in super::super) const AKI: Lanes = 1 << 7;
    /// `ghp_` and others
    pub(in super::super) const GHP: Lanes = 1 << 8;
    /// `github_pat_` and others
    pub(in super::super) const B_P: Lanes = 1 << 9;
    /// `glpat-` and others
    pub(in super::super) const LPA: Lanes = 1 << 10;
    /// `xoxb-` and others
    pub(in super::super) const XOX: Lanes = 1 << 11;
    /// `sk-` and others
    pub(in super::super) const SK: Lanes = 1 << 12;
    /// `whsec_` and others
    pub(in super::super) const HSE: Lanes = 1 << 13;
    /// `dop_v1_` and others
    pub(in super::super) const V1: Lanes = 1 << 14;
    /// `GOCSPX-` and others
    pub(in super::super) const CSP: Lanes = 1 << 15;
    /// `npm_` and others
    pub(in super::super) const NPM: Lanes = 1 << 16;
    /// `eyJ` and `-----BEGIN`
    pub(in super::super) const EYJ: Lanes = 1 << 17;
    /// `SG.` and others
    pub(in super::super) const SG: Lanes = 1 << 18;
    /// `://` and others
    pub(in super::super) const COLON: Lanes = 1 << 19;
    /// `Bearer`, and exponents of numbers, which `plain` asks for
    pub(in super::super) const RER: Lanes = 1 << 20;
}

/// A lane with the bytes that can stand at each of its three positions.
type Window = (Lanes, [&'static [u8]; 3]);

/// All windows. Those of one lane are mixed: the sets of a position are united, which lets a few more positions through.
const WINDOWS: &[Window] = &[
    (lane::PAS, [b"pP", b"aA", b"sS"]),
    (lane::PAS, [b"pP", b"wW", b"dD"]),
    (lane::ECR, [b"eE", b"cC", b"rR"]),
    (lane::ECR, [b"eE", b"dD", b"eE"]),
    (lane::TOK, [b"tT", b"oO", b"kK"]),
    (lane::KEY, [b"kK", b"eE", b"yY"]),
    (lane::UTH, [b"uU", b"tT", b"hH"]),
    (lane::KIE, [b"kK", b"iI", b"eE"]),
    (lane::KIE, [b"k", b"s", b"./"]),
    (lane::SSN, [b"sS", b"sS", b"nN"]),
    (lane::SSN, [b"s", b"h", b"p"]),
    (lane::SSN, [b"s", b"q", b"0"]),
    (lane::SSN, [b"s", b"b", b"p"]),
    (lane::SSN, [b"s", b"n", b"t"]),
    (lane::AKI, [b"A", b"KS", b"I"]),
    (lane::AKI, [b"A", b"I", b"z"]),
    (lane::AKI, [b"A", b"T", b"A"]),
    (lane::AKI, [b"A", b"G", b"E"]),
    (lane::AKI, [b"d", b"a", b"p"]),
    (lane::AKI, [b"d", b"p", b"."]),
    (lane::AKI, [b"d", b"c", b"k"]),
    (lane::GHP, [b"h", b"pousrf", b"_"]),
    (lane::GHP, [b"r", b"8", b"_"]),
    (lane::GHP, [b"g", b"d", b"_"]),
    (lane::B_P, [b"b", b"_", b"p"]),
    (lane::B_P, [b"i", b"g", b"="]),
    (lane::B_P, [b"_", b"a", b"p"]),
    (lane::LPA, [b"l", b"p", b"a"]),
    (lane::LPA, [b"l", b"s", b"a"]),
    (lane::XOX, [b"x", b"o", b"x"]),
    (lane::XOX, [b"x", b"a", b"pi"]),
    (lane::SK, [b"sr", b"k", b"-_"]),
    (lane::HSE, [b"h", b"s", b"e"]),
    (lane::HSE, [b"h", b"v", b"sb"]),
    (lane::V1, [b"_", b"v", b"1"]),
    (lane::V1, [b"a", b"2", b"9"]),
    (lane::CSP, [b"C", b"S", b"P"]),
    (lane::CSP, [b"P", b"M", b"A"]),
    (lane::CSP, [b"N", b"R", b"A"]),
    (lane::CSP, [b"H", b"R", b"K"]),
    (lane::NPM, [b"p", b"m", b"_"]),
    (lane::NPM, [b"p", b"y", b"p"]),
    (lane::NPM, [b"p", b"s", b"c"]),
    (lane::NPM, [b"p", b"l", b"x"]),
    (lane::EYJ, [b"e", b"y", b"J"]),
    (lane::EYJ, [b"-", b"-", b"B"]),
    (lane::SG, [b"S", b"G", b"."]),
    (lane::SG, [b"S", b"K", b"0123456789abcdef"]),
    (lane::COLON, [b":", b"/", b"/"]),
    (lane::COLON, [b":", b"A", b"A"]),
    (lane::RER, [b"rR", b"eE", b"rR"]),
    (lane::RER, [b"0123456789", b"eE", b"0123456789+"]),
];

/// For each byte: the lanes in which it can stand first (lowest), second and third.
static TABLE: Table = table();

/// See [`TABLE`].
pub(crate) type Table = [u64; 256];

#[allow(clippy::indexing_slicing, reason = "the compiler runs this, and tells")]
const fn table() -> Table {
    let mut table = [0; 256];
    let mut index = 0;
    while index < WINDOWS.len() {
        let (lane, positions) = WINDOWS[index];
        let mut position = 0;
        while position < 3 {
            let mut byte = 0;
            while byte < positions[position].len() {
                table[positions[position][byte] as usize] |= (lane as u64) << (WIDTH * position as u32);
                byte += 1;
            }
            position += 1;
        }
        index += 1;
    }
    table
}

/// The first position at or behind `from` where a window stands, and in which lanes.
pub(super) fn find(text: &[u8], from: usize) -> Option<(usize, Lanes)> {
    find_in(&TABLE, text, from)
}

/// The same for the windows of another table.
#[inline]
pub(crate) fn find_in(table: &Table, text: &[u8], from: usize) -> Option<(usize, Lanes)> {
    #[allow(clippy::indexing_slicing, reason = "a byte is below 256")]
    let entry = |byte: u8| table[usize::from(byte)];
    const BLOCK: usize = 8;
    let rest = text.get(from..)?;
    // Entries of the two bytes before.
    let (mut first, mut second) = (0, 0);
    let mut at = from;
    let (blocks, tail) = rest.as_chunks::<BLOCK>();
    for block in blocks {
        let entries = block.map(entry);
        let mut any = 0;
        let (mut one, mut two) = (first, second);
        for three in entries {
            any |= one & (two >> WIDTH) & (three >> (2 * WIDTH));
            (one, two) = (two, three);
        }
        if any != 0 {
            for (offset, three) in entries.into_iter().enumerate() {
                let lanes = first & (second >> WIDTH) & (three >> (2 * WIDTH));
                if lanes != 0 {
                    return Some((at + offset - 2, lanes as Lanes));
                }
                (first, second) = (second, three);
            }
        }
        (first, second) = (one, two);
        at += BLOCK;
    }
    for (offset, byte) in tail.iter().enumerate() {
        let three = entry(*byte);
        let lanes = first & (second >> WIDTH) & (three >> (2 * WIDTH));
        if lanes != 0 {
            return Some((at + offset - 2, lanes as Lanes));
        }
        (first, second) = (second, three);
    }
    None
}
