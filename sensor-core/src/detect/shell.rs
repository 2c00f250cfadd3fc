//! Shapes of command injection: what makes a shell, an option of a program, or an interpreter run what was meant as a name.
//!
//! A sign alone says nothing (`a;b`, `R&D`, `$5`): behind it must stand a command, or the shape must be one that nothing
//! else has.

use super::{Arguments, name};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use std::sync::LazyLock;

/// Texts that say enough by themselves, in lower case, with the name of the finding.
const SHAPES: &[(&str, &str)] = &[
    ("${ifs}", "variable-space"),
    ("$ifs", "variable-space"),
    ("/dev/tcp/", "reverse-shell"),
    ("/dev/udp/", "reverse-shell"),
    ("bash -i", "reverse-shell"),
    ("nc -e", "reverse-shell"),
    ("ncat -e", "reverse-shell"),
    ("proxycommand=", "option"),
    ("proxycommand ", "option"),
    ("--upload-pack", "option"),
    ("--receive-pack", "option"),
    ("--use-compress-program", "option"),
    ("--checkpoint-action", "option"),
    ("--to-command", "option"),
    ("core.sshcommand", "option"),
    ("core.fsmonitor", "option"),
    (" -exec ", "option"),
    (" -execdir ", "option"),
    ("ext::sh", "option"),
    ("__import__", "code"),
    ("os.system(", "code"),
    ("os.popen(", "code"),
    ("subprocess.", "code"),
    ("child_process", "code"),
    ("execsync(", "code"),
    ("getruntime()", "code"),
    ("__globals__", "code"),
    ("__subclasses__", "code"),
    ("${jndi:", "lookup"),
    ("powershell -e", "powershell"),
    ("powershell.exe -e", "powershell"),
    ("invoke-expression", "powershell"),
    ("base64 -d", "encoded"),
    ("base64 --decode", "encoded"),
];

#[allow(clippy::expect_used, reason = "the patterns are constants, and a test builds the automaton")]
static AUTOMATON: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let shapes = SHAPES.iter().map(|(shape, _)| shape);
    AhoCorasick::builder().ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA)).build(shapes).expect("constant patterns")
});

/// Commands that are injected. Words that are as often something else (`date`, `sort`, `test`, `time`) are left out.
const COMMANDS: &[&[u8]] = &[
    b"sh",
    b"bash",
    b"zsh",
    b"dash",
    b"ksh",
    b"ash",
    b"busybox",
    b"env",
    b"printenv",
    b"id",
    b"whoami",
    b"uname",
    b"hostname",
    b"cat",
    b"tac",
    b"less",
    b"more",
    b"tail",
    b"ls",
    b"rm",
    b"mv",
    b"cp",
    b"ln",
    b"dd",
    b"chmod",
    b"chown",
    b"touch",
    b"mkdir",
    b"mkfifo",
    b"tee",
    b"curl",
    b"wget",
    b"fetch",
    b"nc",
    b"ncat",
    b"netcat",
    b"socat",
    b"telnet",
    b"ssh",
    b"scp",
    b"sftp",
    b"ftp",
    b"tftp",
    b"rsync",
    b"nslookup",
    b"dig",
    b"ping",
    b"python",
    b"python3",
    b"perl",
    b"ruby",
    b"php",
    b"node",
    b"lua",
    b"awk",
    b"sed",
    b"xargs",
    b"base64",
    b"echo",
    b"printf",
    b"eval",
    b"exec",
    b"source",
    b"sleep",
    b"kill",
    b"pkill",
    b"nohup",
    b"crontab",
    b"sudo",
    b"su",
    b"kubectl",
    b"docker",
    b"git",
    b"make",
    b"gcc",
    b"openssl",
    b"powershell",
    b"pwsh",
    b"cmd",
    b"cmd.exe",
    b"certutil",
    b"bitsadmin",
    b"reboot",
    b"shutdown",
    b"ps",
    b"netstat",
    b"ifconfig",
    b"ip",
    b"mount",
    b"apt",
    b"apk",
    b"pip",
    b"npm",
    b"npx",
    b"tar",
    b"unzip",
    b"useradd",
    b"passwd",
];

/// Words that are commands, and words of prose and of queries too: behind `;` and the like they need an argument that is
/// one of a command.
const DOUBTFUL: &[&[u8]] = &[
    b"cat",
    b"less",
    b"more",
    b"tail",
    b"make",
    b"source",
    b"fetch",
    b"kill",
    b"sleep",
    b"echo",
    b"node",
    b"ping",
    b"touch",
    b"mount",
    b"ip",
    b"git",
    b"dig",
    b"id",
    b"env",
    b"su",
    b"ls",
    b"ps",
    b"php",
    b"exec",
    b"eval",
    b"hostname",
    b"python",
    b"ruby",
    b"perl",
    b"lua",
    b"tee",
    b"ash",
    b"dash",
    b"passwd",
    b"docker",
    b"npm",
    b"pip",
    b"apt",
    b"ftp",
    b"ssh",
    b"tar",
    b"cmd",
];

/// Bytes behind a sign in which its command must begin and end: what is farther away would cost too much in hostile text.
const REACH: usize = 192;

/// Looks for shapes in a text.
pub(super) fn look(text: &str, found: &mut Arguments) {
    for hit in AUTOMATON.find_iter(text) {
        if let Some((_, kind)) = SHAPES.get(hit.pattern().as_usize()) {
            name(&mut found.shell, kind);
        }
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut quoted = 0_usize;
    while let Some(byte) = bytes.get(at) {
        let rest = bytes.get(at + 1..bytes.len().min(at + REACH)).unwrap_or_default();
        let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied();
        match byte {
            b';' | b'|' | b'&' | b'\n' | b'\r' if separates(*byte, before, rest) => name(&mut found.shell, "separator"),
            b'$' if rest.first() == Some(&b'(') && command(rest.get(1..).unwrap_or_default()).is_some() => {
                name(&mut found.shell, "substitution")
            }
            b'<' | b'>' if rest.first() == Some(&b'(') && command(rest.get(1..).unwrap_or_default()).is_some() => {
                name(&mut found.shell, "substitution");
            }
            b'>' if writes(rest) => name(&mut found.shell, "redirection"),
            b'`' => {
                // The opening ones: each second.
                if quoted.is_multiple_of(2) && backticks(before, rest) {
                    name(&mut found.shell, "substitution");
                }
                quoted += 1;
            }
            _ => {}
        }
        at += 1;
    }
}

/// The same for a text that was decoded: only shapes that say enough, for in an address `%3B` is no separator.
pub(super) fn look_decoded(text: &str, found: &mut Arguments) {
    for hit in AUTOMATON.find_iter(text) {
        if let Some((_, kind)) = SHAPES.get(hit.pattern().as_usize()) {
            name(&mut found.shell, kind);
        }
    }
}

/// What stands behind the command at the beginning of a text, white space left out; `None` where there is none.
fn command(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    // A path of a program is a command.
    let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'_' | b'-')).count();
    let (word, rest) = text.split_at_checked(length)?;
    let program = word.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let ends = rest.first().is_none_or(|byte| {
        byte.is_ascii_whitespace() || matches!(byte, b';' | b'|' | b'&' | b')' | b'`' | b'$' | b'<' | b'>' | b'"' | b'\'')
    });
    let known = COMMANDS.contains(&program);
    (ends && (known || is_program(word))).then_some((program, rest))
}

/// `/bin/x`, `/tmp/x`, `./x`: a program by its path.
fn is_program(word: &[u8]) -> bool {
    [&b"/bin/"[..], b"/usr/", b"/tmp/", b"/sbin/", b"./"].iter().any(|start| word.len() > start.len() && word.starts_with(start))
}

/// True where a separator begins another command.
fn separates(sign: u8, before: Option<u8>, rest: &[u8]) -> bool {
    let doubled = rest.first() == Some(&sign);
    let behind = if doubled && matches!(sign, b'|' | b'&') { rest.get(1..).unwrap_or_default() } else { rest };
    let Some((program, after)) = command(behind) else { return false };
    if !DOUBTFUL.contains(&program) {
        return true;
    }
    // `example.org;id`: nothing but a separator stands around the word.
    let tight = before.is_some_and(|byte| !byte.is_ascii_whitespace()) && behind.first().is_some_and(|byte| !byte.is_ascii_whitespace());
    let after = after.trim_ascii_start();
    match after.first() {
        None => tight || matches!(sign, b'|' | b'&') || doubled,
        // An option, a path, a variable, a quote, another separator.
        Some(b'-' | b'/' | b'.' | b'$' | b'"' | b'\'' | b'`' | b'~' | b'<' | b'>' | b';' | b'|' | b'&') => true,
        Some(_) => tight,
    }
}

/// True where output goes to where it does harm.
fn writes(rest: &[u8]) -> bool {
    let target = rest.strip_prefix(b">").unwrap_or(rest).trim_ascii_start();
    let target = target.strip_prefix(b"&").unwrap_or(target).trim_ascii_start();
    [&b"/etc/"[..], b"/tmp/", b"/var/", b"/root/", b"/home/", b"/dev/tcp", b"~/."].iter().any(|start| target.starts_with(start))
}

/// True for a command between backticks that is no code in prose: it stands in the middle of a word.
fn backticks(before: Option<u8>, rest: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b'`', rest) else { return false };
    let inside = rest.get(..end).unwrap_or_default();
    let after = rest.get(end + 1);
    let alone = before.is_none() && after.is_none();
    let joined = before.is_some_and(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b'(' | b'"' | b'\'' | b'`' | b'*' | b'_'));
    (alone || joined) && command(inside).is_some()
}
