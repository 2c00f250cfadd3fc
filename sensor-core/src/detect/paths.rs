//! Paths: where they lead once they are normalised, and whether that is where secrets are.

use super::arguments::Role;
use super::bytes::{self, Seen};
use super::{Arguments, note};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use std::borrow::Cow;
use std::sync::LazyLock;

/// The longest path that is looked at as one; systems take no longer ones.
const LONGEST: usize = 4096;

/// Words of one string that are looked at.
const WORDS: usize = 256;

/// Looks at the paths in a text that has been decoded; `disguised` says that a dot, a slash or a zero byte was hidden.
pub(super) fn look(text: &str, seen: Seen, role: Role, disguised: bool, found: &mut Arguments) {
    let pathlike = seen & (bytes::SLASH | bytes::DOTS) != 0;
    if !pathlike && role != Role::Path {
        return;
    }
    if text.len() <= LONGEST && (seen & (bytes::SPACE | bytes::CODE) == 0 || role == Role::Path || is_rooted(text)) && !text.contains('\n')
    {
        path(text, seen, role == Role::Path, disguised, found);
        let parts = seen & (bytes::SPACE | bytes::CODE) != 0 || text.contains(['=', ',', ';', '|', '&']);
        if !parts || (role == Role::Path && !text.contains('=')) {
            return;
        }
    }
    let words = text.split(|letter: char| {
        letter.is_whitespace() || matches!(letter, '"' | '\'' | '`' | '=' | ',' | '(' | ')' | '<' | '>' | ';' | '|' | '&')
    });
    for word in words.filter(|word| word.len() > 2 && word.len() <= LONGEST).take(WORDS) {
        let seen = bytes::seen(word.as_bytes());
        if seen & (bytes::SLASH | bytes::DOTS) != 0 && seen & bytes::CODE == 0 {
            path(word, seen, false, disguised, found);
        }
    }
}

/// True for what cannot be anything but a path.
fn is_rooted(text: &str) -> bool {
    match text.as_bytes() {
        [b'/', second, ..] => !matches!(second, b'/' | b' '),
        [b'~', b'/' | b'\\', ..] | [b'.', b'/' | b'\\', ..] | [b'.', b'.', b'/' | b'\\', ..] => true,
        [drive, b':', b'\\' | b'/', ..] => drive.is_ascii_alphabetic(),
        [b'$', b'H' | b'{', ..] => text.starts_with("$HOME/") || text.starts_with("${HOME}/"),
        [b'%', ..] => text.starts_with("%USERPROFILE%") || text.starts_with("%APPDATA%"),
        _ => false,
    }
}

/// Looks at one path.
fn path(text: &str, seen: Seen, named: bool, mut disguised: bool, found: &mut Arguments) {
    // What stands before a zero byte is what the system opens.
    let mut text = text;
    if let Some((before, _)) = text.split_once('\0') {
        (text, disguised) = (before, true);
    }
    if let Some(rest) = strip_file(text) {
        text = rest;
    } else if seen & bytes::SCHEME != 0 && has_scheme(text) {
        return;
    }
    let rooted = is_rooted(text);
    let plain = seen & (bytes::DOTS | bytes::DOUBLE | bytes::DOTTED) == 0 && !text.contains('\\');
    let (normal, climbs) = if plain { (Cow::Borrowed(text), false) } else { normalise(text, disguised) };
    found.path_traversal |= climbs;
    let sensitive = is_sensitive(&normal);
    if rooted || named || climbs || sensitive {
        note(&mut found.paths, &normal);
    }
    if sensitive {
        note(&mut found.sensitive_paths, &normal);
    }
}

fn strip_file(text: &str) -> Option<&str> {
    let start = text.get(..5).filter(|start| start.eq_ignore_ascii_case("file:"))?;
    let rest = text.get(start.len()..)?;
    // `file:///path`, `file://host/path`, `file:/path`
    match rest.strip_prefix("//") {
        Some(rest) => rest.get(rest.find('/')?..),
        None => Some(rest),
    }
}

fn has_scheme(text: &str) -> bool {
    text.find("://").is_some_and(|at| super::name_of_scheme(text.get(..at).unwrap_or_default()).len() > 1)
}

/// A segment that leads up: `..`, also as filters leave it (`....`) and with what some servers strip (`..;`).
fn is_up(segment: &str) -> bool {
    matches!(segment, ".." | "...." | ".. ") || segment.starts_with("..;")
}

/// The path without needless segments, with `/` between them, and whether it climbs out of where it begins.
///
/// A relative path climbs out where it gets two folders above its beginning (one, where it is in disguise: a single `../` is
/// how neighbours are named). An absolute one where it goes up as far as the root or a folder right below it.
fn normalise(text: &str, disguised: bool) -> (Cow<'_, str>, bool) {
    let separator = |letter: char| matches!(letter, '/' | '\\');
    let absolute = text.starts_with(separator) || matches!(text.as_bytes(), [_, b':', b'/' | b'\\', ..]);
    let disguised = disguised || text.contains("..;") || text.contains("....");
    let mut kept: Vec<&str> = Vec::new();
    let (mut below, mut climbs) = (0_usize, false);
    for segment in text.split(separator) {
        if segment.is_empty() || segment == "." {
            continue;
        }
        if !is_up(segment) {
            kept.push(segment);
            continue;
        }
        if kept.pop().is_none() {
            below += 1;
            climbs |= !absolute && (below > 1 || disguised);
        }
        climbs |= absolute && kept.len() <= 1;
    }
    let mut out = String::with_capacity(text.len());
    if absolute && text.starts_with(separator) {
        out.push('/');
    } else if !absolute {
        (0..below).for_each(|_| out.push_str("../"));
    }
    for (at, segment) in kept.iter().enumerate() {
        if at > 0 {
            out.push('/');
        }
        out.push_str(segment);
    }
    (Cow::Owned(out), climbs)
}

/// How a part must stand in a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stand {
    /// Whole segments, anywhere.
    In,
    /// Whole segments, at the end.
    End,
    /// Whole segments at the beginning of an absolute path (or below what climbed out).
    Start,
}

use Stand::{End, In, Start};

/// Parts of sensitive paths, without the slashes around them.
const PARTS: &[(&str, Stand)] = &[
    (".ssh", In),
    ("id_rsa", End),
    ("id_dsa", End),
    ("id_ecdsa", End),
    ("id_ed25519", End),
    ("authorized_keys", End),
    (".aws/credentials", End),
    (".aws/config", End),
    (".config/gcloud", In),
    ("application_default_credentials.json", End),
    (".azure", In),
    (".kube/config", End),
    (".docker/config.json", End),
    (".git-credentials", End),
    (".config/gh/hosts.yml", End),
    (".netrc", End),
    ("_netrc", End),
    (".npmrc", End),
    (".pypirc", End),
    (".pgpass", End),
    (".my.cnf", End),
    (".vault-token", End),
    (".cargo/credentials", End),
    (".cargo/credentials.toml", End),
    (".gem/credentials", End),
    (".terraform.d/credentials.tfrc.json", End),
    (".gnupg", In),
    (".password-store", In),
    (".ethereum/keystore", In),
    ("wallet.dat", End),
    (".env", End),
    (".env.local", End),
    (".env.production", End),
    (".env.prod", End),
    (".envrc", End),
    (".bash_history", End),
    (".zsh_history", End),
    (".bashrc", End),
    (".zshrc", End),
    (".zshenv", End),
    (".profile", End),
    (".bash_profile", End),
    ("login data", End),
    ("logins.json", End),
    ("key4.db", End),
    ("login.keychain-db", End),
    ("library/keychains", In),
    ("windows/system32/config/sam", End),
    ("windows/system32/config/system", End),
    ("windows/system32/config/security", End),
    ("ntds.dit", End),
    ("etc/passwd", Start),
    ("etc/shadow", Start),
    ("etc/gshadow", Start),
    ("etc/sudoers", Start),
    ("etc/sudoers.d", Start),
    ("etc/krb5.keytab", Start),
    ("etc/kubernetes/admin.conf", Start),
    ("etc/ld.so.preload", Start),
    ("var/run/secrets", Start),
    ("run/secrets", Start),
    ("docker.sock", End),
    ("containerd.sock", End),
    ("crio.sock", End),
    ("environ", End),
    ("proc/kcore", Start),
    ("dev/mem", Start),
    ("privkey.pem", End),
    ("private.key", End),
    ("private.pem", End),
    ("server.key", End),
    (".cursor/mcp.json", End),
    (".vscode/mcp.json", End),
    ("mcp_config.json", End),
    ("cline_mcp_settings.json", End),
    ("claude_desktop_config.json", End),
    (".claude.json", End),
    (".claude/settings.json", End),
    (".claude/settings.local.json", End),
    (".gemini/settings.json", End),
    (".codex/config.toml", End),
    (".codex/auth.json", End),
    (".mcp.json", End),
];

#[allow(clippy::expect_used, reason = "the patterns are constants, and a test builds the automaton")]
static AUTOMATON: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let parts = PARTS.iter().map(|(part, _)| part);
    AhoCorasick::builder().ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA)).build(parts).expect("constant patterns")
});

/// True for a normalised path that leads to secrets, or to what decides on programs and agents.
fn is_sensitive(path: &str) -> bool {
    let bytes = path.as_bytes();
    for hit in AUTOMATON.find_overlapping_iter(path) {
        let Some((part, stand)) = PARTS.get(hit.pattern().as_usize()) else { continue };
        let before = hit.start().checked_sub(1).and_then(|at| bytes.get(at));
        let after = bytes.get(hit.end());
        let whole = before.is_none_or(|byte| *byte == b'/') && after.is_none_or(|byte| *byte == b'/');
        let stands = match stand {
            In => true,
            End => after.is_none(),
            Start => path.get(..hit.start()).is_some_and(is_root),
        };
        if whole && stands && is_meant(path, part) {
            return true;
        }
    }
    false
}

/// True for what stands before the first folder of an absolute path, or of one that climbed out.
fn is_root(before: &str) -> bool {
    before == "/" || (!before.is_empty() && before.split('/').all(|segment| segment.is_empty() || segment == ".."))
}

/// What is not meant although the part stands there.
fn is_meant(path: &str, part: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    match part {
        ".ssh" => !(name.ends_with(".pub") || name.starts_with("known_hosts")),
        "environ" => path.starts_with("/proc/") || path.contains("../proc/"),
        _ => true,
    }
}
