//! What a text or a value of a message shows of attacks. Each function looks at one value, remembers nothing, and takes
//! time linear in its size.
//!
//! They give facts, not verdicts: rules of the policy make verdicts of them, together with who said what to whom.
//!
//! - `arguments` walks the arguments of a call and hands each string to `paths`, `address` and `shell`, by the role that
//!   its key gives it: what stands under `content` or `sql` is text and no name of anything, and is looked at only where it
//!   is nothing but a path or an address.
//! - `text` walks text for a model: `hidden` finds what a reader does not see and shows it, `instructions` finds what
//!   orders a model about.
//! - `launch` reads command lines, `names` the names of tools.
//!
//! Most values show nothing. So each string is passed over once for the bytes and pairs of bytes that an attack needs
//! (`bytes`), and nothing is allocated where there are none. What is written in codes (percent-encoding, twice; overlong
//! UTF-8; full-width letters; zero bytes) is decoded first (`decode`).
//!
//! Every list has at most [`MOST`] entries, every entry at most [`LONGEST`] bytes.

mod address;
mod anchors;
mod arguments;
mod bytes;
mod decode;
mod hidden;
mod host;
mod instructions;
mod launch;
mod names;
mod paths;
mod shell;
#[cfg(test)]
mod tests;
mod text;
mod words;

use crate::json::Value;

/// Entries that a list of findings has at most; what is found beyond is left out.
pub const MOST: usize = 32;

/// Bytes that an entry has at most; the rest is cut off.
pub const LONGEST: usize = 256;

/// What the arguments of a call show.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Arguments {
    /// File paths, decoded and normalised.
    pub paths: Vec<String>,
    /// One of them climbs out of where it begins: two folders up or more, or in disguise.
    pub path_traversal: bool,
    /// Those that lead to credentials, keys, the system's secrets, or the configuration of agents.
    pub sensitive_paths: Vec<String>,
    /// Shapes of command injection, by name.
    pub shell: Vec<&'static str>,
    /// Hosts of addresses.
    pub hosts: Vec<String>,
    /// Those on this host, private or link-local, however they are written. As they are written, with the port if there is
    /// one.
    pub internal_addresses: Vec<String>,
    /// The metadata service of a cloud is among them.
    pub metadata_address: bool,
    /// Schemes of addresses other than http and https.
    pub schemes: Vec<String>,
}

/// What text for a model shows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Text {
    /// Ways in which text is hidden, by name.
    pub hidden: Vec<&'static str>,
    /// Kinds of instructions, by name.
    pub instructions: Vec<&'static str>,
    /// How much it looks like an instruction, 0 to 100.
    pub score: u32,
}

/// What a command line says of what it starts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Launch {
    /// What fetches and starts it: `npx`, `uvx`, `docker`; empty for a plain executable.
    pub launcher: &'static str,
    /// The package or image, without version.
    pub package: String,
    /// Its version, tag or digest, as asked for.
    pub version: String,
    /// True where that is exact, or where there is no launcher.
    pub pinned: bool,
}

/// Looks at the arguments of a call.
#[must_use]
pub fn arguments(value: Value<'_>) -> Arguments {
    arguments::look(value)
}

/// Looks at text for a model: a tool's definition, a result. Keys are looked at as well.
#[must_use]
pub fn text(value: Value<'_>) -> Text {
    text::look(value)
}

/// Looks at a command line: of a process, or of the launcher above it.
#[must_use]
pub fn launch(exe: &str, command_line: &[String]) -> Launch {
    launch::look(exe, command_line)
}

/// True where a tool's name says that it deletes, overwrites, sends, pays or deploys.
#[must_use]
pub fn is_destructive(tool: &str) -> bool {
    names::is_destructive(tool)
}

/// The beginning of a text that an entry has room for.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default()
}

/// Puts a text on a list that has room and does not have it yet.
fn note(list: &mut Vec<String>, text: &str) {
    let text = cut(text);
    if !text.is_empty() && list.len() < MOST && !list.iter().any(|known| known == text) {
        list.push(text.to_owned());
    }
}

/// The same for names of findings.
fn name(list: &mut Vec<&'static str>, name: &'static str) {
    if list.len() < MOST && !list.contains(&name) {
        list.push(name);
    }
}

/// The scheme at the end of a text: letters, digits, `+ - .`
fn name_of_scheme(before: &str) -> &str {
    let start = before.rfind(|letter: char| !(letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.')));
    let scheme = before.get(start.map_or(0, |at| at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8))..);
    scheme.map(|scheme| scheme.trim_start_matches(|first: char| !first.is_ascii_alphabetic())).unwrap_or_default()
}
