//! How events are asked for: what a name, a process or a container that a person types stands for.
//!
//! The same for the sensor's `watch` and the collector's queries and subscriptions. A person finds a process by what the
//! table calls it (see [`crate::names`]) as well as by its program, its script, or what it says of itself.
//!
//! Invariants: matching never fails and takes time in proportion to pattern times text, at most; empty text matches nothing.

use std::str::FromStr;

use std::fmt::{self, Write as _};

use mcp_sensor_proto::v1::Peer;

use crate::names;

/// Text in which `*` stands for any characters and `?` for one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Glob {
    pattern: Vec<char>,
    /// Capital letters do not matter.
    any_case: bool,
}

/// A glob for names: capital letters do not matter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name(Glob);

/// A program's or a script's name, or a process id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Process {
    name: Name,
    pid: Option<u32>,
}

/// A pattern that is empty text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an empty name matches nothing")]
pub struct EmptyPattern;

/// What a peer is called. Parts may be empty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Called<'a> {
    /// What it says of itself.
    pub said: &'a str,
    /// What a person calls it: see [`names::short`].
    pub short: &'a str,
    /// Path of its program.
    pub exe: &'a str,
    /// What its interpreter runs: see [`names::script`].
    pub script: &'a str,
    /// Its address.
    pub address: &'a str,
}

/// Where a peer runs. Parts may be empty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Place<'a> {
    /// Id of its container.
    pub container: &'a str,
    /// UID of its pod.
    pub pod_uid: &'a str,
    /// Namespace of its pod.
    pub pod_namespace: &'a str,
    /// Name of its pod.
    pub pod_name: &'a str,
}

impl fmt::Display for Glob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pattern.iter().try_for_each(|character| out.write_char(*character))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(out)
    }
}

impl Glob {
    /// A pattern. `any_case`: capital letters do not matter.
    #[must_use]
    pub fn new(pattern: &str, any_case: bool) -> Self {
        let fold = |character| if any_case { lower(character) } else { character };
        Self { pattern: pattern.chars().map(fold).collect(), any_case }
    }

    /// True where the whole text is as the glob says. Empty text is only where the glob allows it.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut pattern = self.pattern.as_slice();
        // Where to go on after the last `*`, if what follows it does not match where it was tried.
        let mut retry: Option<(&[char], std::str::Chars<'_>)> = None;
        loop {
            if let ['*', after @ ..] = pattern {
                retry = Some((after, rest.clone()));
                pattern = after;
                continue;
            }
            match (pattern, rest.next()) {
                ([], None) => return true,
                ([expected, after @ ..], Some(found))
                    if *expected == '?' || *expected == if self.any_case { lower(found) } else { found } =>
                {
                    pattern = after;
                    continue;
                }
                _ => {}
            }
            let Some((after, mut from)) = retry.take() else { return false };
            if from.next().is_none() {
                return false;
            }
            retry = Some((after, from.clone()));
            (pattern, rest) = (after, from);
        }
    }
}

impl FromStr for Glob {
    type Err = EmptyPattern;

    fn from_str(text: &str) -> Result<Self, EmptyPattern> {
        if text.is_empty() { Err(EmptyPattern) } else { Ok(Self::new(text, false)) }
    }
}

impl Name {
    /// True where the whole name, which is there, is as the glob says, but for capital letters.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        !name.is_empty() && self.0.matches(name)
    }

    /// True where a name of the peer is as the glob says.
    #[must_use]
    pub fn is_called(&self, called: &Called<'_>) -> bool {
        called.names().any(|name| self.matches(name))
    }
}

impl FromStr for Name {
    type Err = EmptyPattern;

    fn from_str(text: &str) -> Result<Self, EmptyPattern> {
        if text.is_empty() { Err(EmptyPattern) } else { Ok(Self(Glob::new(text, true))) }
    }
}

impl Process {
    /// The process id, where the pattern can be one.
    #[must_use]
    pub const fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// True where the program or the script has this name.
    #[must_use]
    pub fn is_named(&self, called: &Called<'_>) -> bool {
        called.program_names().into_iter().any(|name| self.name.matches(name))
    }

    /// True where it is this process.
    #[must_use]
    pub fn is(&self, pid: u32, called: &Called<'_>) -> bool {
        self.pid.is_some_and(|wanted| wanted == pid) || self.is_named(called)
    }
}

impl FromStr for Process {
    type Err = EmptyPattern;

    fn from_str(text: &str) -> Result<Self, EmptyPattern> {
        Ok(Self { name: text.parse()?, pid: text.parse().ok().filter(|pid| *pid > 0) })
    }
}

impl<'a> Called<'a> {
    /// Of a peer.
    #[must_use]
    pub fn of(peer: &'a Peer) -> Self {
        Self { said: &peer.name, short: names::short(peer), exe: &peer.exe, script: names::script(peer), address: &peer.address }
    }

    /// The path of its program, also where the file is gone.
    fn path(&self) -> &'a str {
        self.exe.strip_suffix(" (deleted)").unwrap_or(self.exe)
    }

    /// What the kernel knows it by: the name that the table shows, the program's, the script's with and without its ending.
    fn program_names(&self) -> [&'a str; 4] {
        let program = self.path().rsplit('/').next().unwrap_or_default();
        let stem = self.script.rsplit_once('.').map_or("", |(stem, _)| stem);
        [self.short, program, self.script, stem]
    }

    /// All of its names.
    fn names(&self) -> impl Iterator<Item = &'a str> {
        self.program_names().into_iter().chain([self.said, self.path(), self.address])
    }
}

impl<'a> Place<'a> {
    /// Of a peer.
    #[must_use]
    pub fn of(peer: &'a Peer) -> Self {
        let (container, pod) = (peer.container.as_ref(), peer.pod.as_ref());
        Self {
            container: container.map_or("", |container| &container.id),
            pod_uid: pod.map_or("", |pod| &pod.uid),
            pod_namespace: pod.map_or("", |pod| &pod.namespace),
            pod_name: pod.map_or("", |pod| &pod.name),
        }
    }

    /// True for the beginning of the container's id, and for the pod's name, `namespace/name` or UID.
    #[must_use]
    pub fn is(&self, asked: &str) -> bool {
        let in_namespace =
            || asked.split_once('/').is_some_and(|(namespace, name)| (self.pod_namespace, self.pod_name) == (namespace, name));
        !asked.is_empty()
            && (self.container.starts_with(asked) || self.pod_name == asked || self.pod_uid == asked || (in_namespace() && asked.len() > 1))
    }
}

/// One character without its case. ASCII is what most names are.
#[must_use]
pub fn lower(character: char) -> char {
    if character.is_ascii() { character.to_ascii_lowercase() } else { character.to_lowercase().next().unwrap_or(character) }
}

#[cfg(test)]
mod tests {
    use mcp_sensor_proto::v1::{Container, Pod};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_glob_matches_the_whole_text() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("ab", "a", false),
            ("a*", "abc", true),
            ("a*", "a", true),
            ("*c", "abc", true),
            ("*a", "ab", false),
            ("*b*", "abc", true),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?", "a", false),
            ("?", "", false),
            ("*", "", true),
            ("**", "x", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("delete_*", "delete_all", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Glob::new(pattern, false).matches(text), expected, "{pattern} {text}");
        }
        assert!(Glob::new("GitHub*", true).matches("github-mcp"));
        assert!(!Glob::new("GitHub*", false).matches("github-mcp"));
        assert_eq!("".parse::<Glob>(), Err(EmptyPattern));
        assert_eq!("".parse::<Process>(), Err(EmptyPattern));
    }

    #[test]
    fn a_hostile_glob_ends() {
        let glob = Glob::new(&format!("{}b", "*a".repeat(255)), false);
        assert!(!glob.matches(&"a".repeat(1_000)));
    }

    fn peer() -> Peer {
        Peer {
            pid: 990,
            exe: "/usr/bin/node (deleted)".to_owned(),
            command_line: vec!["node".to_owned(), "/m/@x/server-everything/dist/index.js".to_owned()],
            name: "Everything".to_owned(),
            address: "@socket".to_owned(),
            container: Some(Container { id: "3f2a99".to_owned(), runtime: "docker".to_owned() }),
            pod: Some(Pod { uid: "u-1".to_owned(), namespace: "prod".to_owned(), name: "web-0".to_owned() }),
            ..Peer::default()
        }
    }

    #[test]
    fn a_process_is_found_by_its_id_and_by_what_it_runs() {
        let is = |text: &str| text.parse::<Process>().unwrap().is(990, &Called::of(&peer()));
        for text in ["990", "node", "NODE", "index.js", "index", "server-every*"] {
            assert!(is(text), "{text}");
        }
        for text in ["99", "0", "everything", "@socket", "/usr/bin/node"] {
            assert!(!is(text), "{text}");
        }
        assert!(!"0".parse::<Process>().unwrap().is(0, &Called::default()), "a peer on another host has no process id");
    }

    #[test]
    fn a_peer_is_found_by_all_of_its_names() {
        let is = |text: &str| text.parse::<Name>().unwrap().is_called(&Called::of(&peer()));
        for text in ["everything", "server-everything", "node", "/usr/bin/node", "index", "@socket"] {
            assert!(is(text), "{text}");
        }
        assert!(!is("990"));
        assert!(!"*".parse::<Name>().unwrap().is_called(&Called::default()));
    }

    #[test]
    fn a_place_is_a_container_or_a_pod() {
        let is = |text: &str| Place::of(&peer()).is(text);
        for text in ["3", "3f2a99", "web-0", "prod/web-0", "u-1"] {
            assert!(is(text), "{text}");
        }
        for text in ["", "/", "f2a", "web", "dev/web-0", "u-"] {
            assert!(!is(text), "{text}");
        }
        assert!(!Place::default().is("/"));
    }

    /// What a glob means, said plainly.
    fn means(glob: &[char], text: &[char]) -> bool {
        match (glob, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|skipped| means(rest, &text[skipped..])),
            (['?', rest @ ..], [_, after @ ..]) => means(rest, after),
            ([wanted, rest @ ..], [found, after @ ..]) => wanted == found && means(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_glob_matches_what_it_means(glob in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let (letters, of): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
            prop_assert_eq!(Glob::new(&glob, false).matches(&text), means(&letters, &of));
        }
    }
}
