//! Takes secrets out of what leaves the process, and cuts it to size.
//!
//! [`Redactor::value`] writes a captured JSON value as JSON text, in which a marker stands for each secret:
//! `[redacted:github-token:40]` tells its kind and its length in bytes. Secret is
//!
//! - what stands under a name that says so (`password`, `api_key`, `Authorization`): see `names`;
//! - what is given to such a name inside of text (`--token …`, `PASSWORD=…`, JSON that stands in a string): see
//!   `assignment`;
//! - what has the shape of a known token (`ghp_…`, `-----BEGIN … PRIVATE KEY-----`), wherever it stands: see `shapes`.
//!
//! Finding where to look is `prefilter`, looking is `scan`. Most values have no secret, which `plain` sees without taking
//! them apart; the others `write` goes through.
//!
//! Strings are judged by what they say, not by how they are written, keys included; so escapes hide nothing. A string that
//! is JSON with escapes of its own is looked through up to [`LEVELS`] levels down; a secret found there takes the whole
//! string with it.
//!
//! Invariants:
//! - The output is one line of valid JSON that common parsers take: valid UTF-8, no half surrogate pairs, no numbers beyond
//!   a double (they become strings), at most [`DEPTH`] levels.
//! - Time is linear in the text, whatever it says. There is no cap on the number of secrets, which a hostile message could
//!   use up.
//! - No allocation where nothing is found, once the buffers have grown.
//!
//! Bias: rather too much is taken out than too little, but what names and counts (`progressToken`, `max_tokens`) stays.
//!
//! Known limits: secrets in base64, percent-encoding or compression, secrets cut into several strings, and passwords in
//! prose are not found.

mod assignment;
mod names;
mod plain;
pub(crate) mod prefilter;
mod scan;
mod secrets;
mod shapes;
mod string;
#[cfg(test)]
mod tests;
mod unescape;
mod write;

use crate::json::Value;
use scan::{Hit, Scan};

pub use secrets::{Secret, secrets};

/// Levels of nesting that are shown. Deeper containers stand as a string: common parsers stop at 128 levels, and what this
/// is put into has some of its own.
pub const DEPTH: usize = 96;

/// Levels of JSON in strings of JSON that are looked through behind the first.
pub const LEVELS: usize = 3;

/// True where a marker stands in a text: something has been taken out of it.
#[must_use]
pub fn is_redacted(text: &str) -> bool {
    let mut markers = memchr::memmem::find_iter(text.as_bytes(), string::MARKER.as_bytes());
    markers.any(|at| text.as_bytes().get(at..).is_some_and(assignment::is_marker))
}

/// Bytes that buffers may keep between messages.
const KEEP: usize = 1 << 18;

/// How much of a captured value is shown.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Level {
    /// Everything, secrets included.
    Full,
    /// Everything but secrets.
    #[default]
    Redacted,
    /// Nothing.
    None,
}

/// What was done to a value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Redacted {
    /// Something was cut or left out for its size.
    pub truncated: bool,
    /// Markers that were written.
    pub replaced: u32,
}

/// Redacts values and text. Build one and use it again: it keeps its buffers.
#[derive(Debug)]
pub struct Redactor {
    level: Level,
    buffers: Buffers,
}

/// Buffers for one string at a time.
#[derive(Debug, Default)]
struct Buffers {
    /// What the string says.
    said: Vec<u8>,
    /// That, where it was not valid UTF-8.
    valid: String,
    /// What the JSON in the string says.
    deeper: Vec<u8>,
    /// That, one level further down.
    deepest: Vec<u8>,
    /// The secrets in the string.
    hits: Vec<Hit>,
}

impl Redactor {
    /// A redactor for a level.
    #[must_use]
    pub fn new(level: Level) -> Self {
        Self { level, buffers: Buffers::default() }
    }

    /// Appends `value` to `out` as JSON text at the redactor's level.
    ///
    /// At most `limit` bytes: where that is too little, long strings are shortened, with `[cut:123]` at the end to tell how
    /// many bytes are missing, and members and elements that find no room are left out. If not even the beginning of a
    /// value finds room, nothing is written. White space between the parts of a value is not kept in all cases.
    ///
    /// `null`, `true` and `false` are shown under any name. Under a secret name in a JSON schema (`properties`), what the
    /// schema says of the value (its type, its description) is shown, and examples and defaults are not.
    pub fn value(&mut self, value: Value<'_>, limit: usize, out: &mut String) -> Redacted {
        if self.level == Level::None {
            return Redacted::default();
        }
        if value.raw().len() <= limit
            && let Some(text) = plain::plain(value, self.level)
        {
            out.push_str(text);
            return Redacted::default();
        }
        self.walk(value, limit, out)
    }

    /// [`Self::value`] without the short cut.
    fn walk(&mut self, value: Value<'_>, limit: usize, out: &mut String) -> Redacted {
        let redacted = write::write(value, self.level, limit, &mut self.buffers, out);
        self.buffers.release();
        redacted
    }

    /// Redacts the arguments of a command line. At level `None` as well: which program was started is no payload.
    ///
    /// The value of an option with a secret name is taken out, be it in the same argument or in the next one, and what is
    /// secret in any text.
    pub fn arguments(&mut self, arguments: &[String]) -> Vec<String> {
        if self.level == Level::Full {
            return arguments.to_vec();
        }
        let mut before = "";
        let mut redacted = Vec::with_capacity(arguments.len());
        for argument in arguments {
            redacted.push(match given(before, argument) {
                Some((start, kind)) if !assignment::is_marker(argument.as_bytes()) => {
                    let (shown, secret) = argument.split_at_checked(start).unwrap_or(("", argument));
                    format!("{shown}{}{kind}:{}]", string::MARKER, secret.len())
                }
                _ => self.text(argument),
            });
            before = argument;
        }
        redacted
    }

    /// Redacts plain text. At level `None` as well.
    pub fn text(&mut self, text: &str) -> String {
        if self.level == Level::Full {
            return text.to_owned();
        }
        let Buffers { deeper, deepest, hits, .. } = &mut self.buffers;
        find(text, true, hits, deeper, deepest);
        let redacted = string::replace(text, hits);
        self.buffers.release();
        redacted
    }
}

/// Whether an argument is the value of the option before it: from which position on, and of which kind.
fn given(option: &str, argument: &str) -> Option<(usize, &'static str)> {
    if matches!(option, "-u" | "--user" | "--proxy-user" | "-U") {
        let (user, password) = argument.split_once(':')?;
        // `docker run -u 1000:1000`
        let ids = argument.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
        return (!ids && !password.is_empty()).then_some((user.len() + 1, "password"));
    }
    if !option.starts_with('-') || option.contains(['=', ' ', ':']) || argument.starts_with("--") || argument.is_empty() {
        return None;
    }
    let secret = names::secret(option.as_bytes())?;
    secret.may_be(argument.as_bytes()).then_some((0, secret.kind))
}

/// Finds the secrets in a text. There can be `backslashes` in it.
fn find(text: &str, backslashes: bool, hits: &mut Vec<Hit>, deeper: &mut Vec<u8>, deepest: &mut Vec<u8>) {
    hits.clear();
    let mut scan = Scan::new(text.as_bytes());
    while let Some(hit) = scan.next() {
        hits.push(hit);
    }
    if backslashes && unescape::hides(text.as_bytes()) {
        find_deeper(text, hits, deeper, deepest);
    }
}

/// Finds secrets behind the escapes of JSON that stands in a string.
#[cold]
fn find_deeper(text: &str, hits: &mut Vec<Hit>, deeper: &mut Vec<u8>, deepest: &mut Vec<u8>) {
    // A secret that goes on behind an escape.
    let goes_on = |hit: &&Hit| {
        let behind = text.as_bytes().get(hit.end..).unwrap_or_default();
        let escaped = behind.iter().find(|byte| **byte != b'\\');
        behind.first() == Some(&b'\\') && matches!(escaped, Some(b'u' | b'/'))
    };
    if let Some(Hit { kind, .. }) = hits.iter().find(goes_on).copied() {
        hits.clear();
        hits.push(Hit { start: 0, end: text.len(), kind });
        return;
    }
    // What has been found already is not looked at again.
    deeper.clear();
    let mut done = 0;
    for hit in hits.iter() {
        unescape::unescape(text.as_bytes().get(done..hit.start).unwrap_or_default(), deeper);
        deeper.push(b' ');
        done = hit.end;
    }
    unescape::unescape(text.as_bytes().get(done..).unwrap_or_default(), deeper);
    for _ in 0..LEVELS {
        if let Some(Hit { kind, .. }) = Scan::new(deeper).next() {
            hits.clear();
            hits.push(Hit { start: 0, end: text.len(), kind });
            return;
        }
        if !unescape::hides(deeper) {
            return;
        }
        deepest.clear();
        unescape::unescape(deeper, deepest);
        std::mem::swap(deeper, deepest);
    }
}

impl Buffers {
    /// Gives back what only an uncommonly big message needed.
    fn release(&mut self) {
        let Self { said, valid, deeper, deepest, hits } = self;
        for buffer in [said, deeper, deepest] {
            buffer.clear();
            buffer.shrink_to(KEEP);
        }
        valid.clear();
        valid.shrink_to(KEEP);
        hits.clear();
        hits.shrink_to(KEEP / size_of::<Hit>());
    }
}
