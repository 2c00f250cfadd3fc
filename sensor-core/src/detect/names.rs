//! Names of tools that say that they do what cannot be undone.

/// Verbs of deleting, overwriting, executing, sending, paying, deploying.
const VERBS: &[&str] = &[
    "delete",
    "remove",
    "drop",
    "truncate",
    "wipe",
    "destroy",
    "erase",
    "purge",
    "kill",
    "terminate",
    "shutdown",
    "reboot",
    "exec",
    "execute",
    "deploy",
    "undeploy",
    "publish",
    "transfer",
    "pay",
    "refund",
    "withdraw",
    "wire",
    "send",
    "overwrite",
    "uninstall",
    "revoke",
    "rm",
    "rmdir",
    "unlink",
    "drain",
    "rollback",
];

/// Verbs of looking: what follows is a thing, not a deed.
const LOOKS: &[&str] = &[
    "get", "list", "read", "search", "find", "show", "describe", "check", "is", "has", "count", "view", "fetch", "query", "preview",
    "explain", "validate", "watch", "status", "history",
];

/// Things that are lost when they are formatted; a text or a date is not.
const DISKS: &[&str] = &["disk", "drive", "volume", "partition", "device"];

/// The longest name that is looked at.
const LONGEST: usize = 256;

/// True where the name has such a verb as a word of its own.
pub(super) fn is_destructive(tool: &str) -> bool {
    let tool = tool.get(..tool.floor_char_boundary(LONGEST)).unwrap_or_default();
    let bytes = tool.as_bytes();
    let (mut start, mut looks, mut formats) = (0, false, false);
    for at in 0..=bytes.len() {
        let byte = bytes.get(at).copied().unwrap_or(b' ');
        let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied().unwrap_or(b' ');
        let next = bytes.get(at + 1).copied().unwrap_or(b' ');
        // `dropTable`, `HTTPDelete`
        let camel =
            byte.is_ascii_uppercase() && (before.is_ascii_lowercase() || (before.is_ascii_uppercase() && next.is_ascii_lowercase()));
        if byte.is_ascii_alphanumeric() && !camel {
            continue;
        }
        let word = bytes.get(start..at).unwrap_or_default();
        start = if byte.is_ascii_alphanumeric() { at } else { at + 1 };
        let among = |words: &[&str]| words.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word));
        if among(VERBS) && !looks || formats && among(DISKS) {
            return true;
        }
        looks = (looks || among(LOOKS)) && !among(&["and", "or"]);
        formats |= among(&["format"]);
    }
    false
}
