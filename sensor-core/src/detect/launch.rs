//! Command lines of launchers: what they fetch, in which version.

use super::{Launch, cut};

/// Words of a command line that are looked at.
const WORDS: usize = 256;

/// A package or an image, as a launcher was told.
struct Asked<'a> {
    launcher: &'static str,
    package: &'a str,
    version: &'a str,
    pinned: bool,
}

/// Looks at a command line.
pub(super) fn look(exe: &str, command_line: &[String]) -> Launch {
    let split: Vec<String>;
    let words: Vec<&str> = match command_line {
        // npm writes its title over its arguments: one word with spaces in it.
        [title] if title.contains(' ') => {
            split = shell_words(title);
            split.iter().map(String::as_str).collect()
        }
        words => words.iter().take(WORDS).map(String::as_str).collect(),
    };
    let nested;
    let words = match shell_command(&words) {
        Some(command) => {
            nested = shell_words(command);
            nested.iter().map(String::as_str).collect()
        }
        None => words,
    };
    let Some(Asked { launcher, package, version, pinned }) = asked(exe, &words) else {
        return Launch { pinned: true, ..Launch::default() };
    };
    Launch { launcher, package: cut(package).to_owned(), version: cut(version).to_owned(), pinned }
}

/// Name of a program, without folder and ending.
fn program(path: &str) -> &str {
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    [".exe", ".cmd", ".js", ".cjs", ".mjs", ".ps1", ".bat"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// What stands behind `sh -c`.
fn shell_command<'a>(words: &[&'a str]) -> Option<&'a str> {
    let (shell, rest) = words.split_first()?;
    if !matches!(program(shell), "sh" | "bash" | "dash" | "zsh" | "ash" | "ksh") {
        return None;
    }
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        match word.strip_prefix('-') {
            Some(flags) if flags.ends_with('c') && !flags.starts_with('-') => return rest.next().copied(),
            Some(_) => {}
            None => return None,
        }
    }
    None
}

/// The words of the first command of a shell's text, as far as that is simple: quotes are taken off.
fn shell_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), close) if open == close => quote = None,
            (None, '"' | '\'') => (quote, begun) = (Some(letter), true),
            (None | Some('"'), '\\') => word.extend(letters.next()),
            (None, ';' | '|' | '&' | '\n') => break,
            (None, ' ' | '\t') => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            _ => word.push(letter),
        }
        if words.len() >= WORDS {
            break;
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Passes over what stands before a command: `exec`, `env A=b`, `nice`.
fn strip_prefixes<'a, 'b>(mut words: &'b [&'a str]) -> &'b [&'a str] {
    while let [first, rest @ ..] = words {
        let assignment = first
            .split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        if !(assignment || matches!(program(first), "exec" | "env" | "nice" | "nohup" | "sudo" | "setsid" | "stdbuf" | "command")) {
            break;
        }
        words = rest;
        while let [flag, rest @ ..] = words {
            if assignment || !flag.starts_with('-') {
                break;
            }
            words = rest;
        }
    }
    words
}

fn asked<'a>(exe: &str, words: &[&'a str]) -> Option<Asked<'a>> {
    let words = strip_prefixes(words);
    let (first, rest) = words.split_first()?;
    // `node …/npx-cli.js …`, `python3 …/uvx …`: the script says what runs.
    let runs = program(first);
    let script = matches!(runs, "node" | "nodejs" | "bun" | "python" | "python3").then(|| rest.split_first()).flatten();
    let (name, rest) = match script {
        Some((script, rest)) if script.contains('/') || script.contains('\\') => (program(script), rest),
        _ => (if runs.is_empty() { program(exe) } else { runs }, rest),
    };
    match (name, rest) {
        ("npx" | "npx-cli", rest) => npm("npx", rest),
        ("npm" | "npm-cli", ["exec" | "x", rest @ ..]) => npm("npx", rest),
        ("pnpx", rest) => npm("pnpm", rest),
        ("pnpm", ["dlx", rest @ ..]) => npm("pnpm", rest),
        ("yarn" | "yarnpkg", ["dlx", rest @ ..]) => npm("yarn", rest),
        ("bunx", rest) => npm("bunx", rest),
        ("bun", ["x", rest @ ..]) => npm("bunx", rest),
        ("uvx", rest) => python("uvx", rest),
        ("uv", rest) => match rest.iter().position(|word| *word == "tool") {
            Some(at) => match rest.get(at + 1..)? {
                ["run", rest @ ..] => python("uvx", rest),
                _ => None,
            },
            None => None,
        },
        ("pipx", ["run", rest @ ..]) => python("pipx", rest),
        ("docker" | "podman" | "nerdctl", rest) => image(
            if name == "podman" {
                "podman"
            } else if name == "nerdctl" {
                "nerdctl"
            } else {
                "docker"
            },
            rest,
        ),
        ("deno", ["run" | "serve", rest @ ..]) => deno(rest),
        ("go", ["run", rest @ ..]) => go(rest),
        _ => None,
    }
}

/// The first word that is no option, and the value of an option that says which package is meant.
fn positional<'a>(words: &[&'a str], valued: &[&str], meant: &[&str]) -> (Option<&'a str>, Option<&'a str>) {
    let (mut words, mut package) = (words.iter(), None);
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            return (Some(word), package);
        }
        if *word == "--" {
            return (words.next().copied(), package);
        }
        match word.split_once('=') {
            Some((option, value)) if meant.contains(&option) => package = package.or(Some(value)),
            Some(_) => {}
            None if meant.contains(word) => package = package.or(words.next().copied()),
            None if valued.contains(word) => {
                words.next();
            }
            None => {}
        }
    }
    (None, package)
}

/// True for a path on this host: nothing is fetched.
fn is_local(spec: &str) -> bool {
    matches!(spec.as_bytes(), [b'.' | b'/' | b'~', ..]) || spec.starts_with("file:")
}

/// True for the hash of a commit behind an address.
fn commit(spec: &str) -> Option<&str> {
    let (_, hash) = spec.rsplit_once(['#', '@'])?;
    (hash.len() >= 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hash)
}

fn of_address<'a>(launcher: &'static str, spec: &'a str) -> Asked<'a> {
    match commit(spec) {
        Some(hash) => {
            let package = spec.get(..spec.len() - hash.len() - 1).unwrap_or_default();
            Asked { launcher, package, version: hash, pinned: true }
        }
        None => Asked { launcher, package: spec, version: "", pinned: false },
    }
}

/// `1.2.3`, with whatever marks it as a pre-release or a build.
fn is_exact(version: &str, least: usize) -> bool {
    let version = version.strip_prefix(['v', '=']).unwrap_or(version);
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers = core.split('.');
    let plain =
        |part: &str| part.starts_with(|first: char| first.is_ascii_digit()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    numbers.clone().count() >= least && numbers.clone().all(plain) && !version.contains(char::is_whitespace)
}

fn npm<'a>(launcher: &'static str, words: &[&'a str]) -> Option<Asked<'a>> {
    let valued = ["--registry", "-c", "--call", "--prefix", "--cache", "-w", "--workspace", "--userconfig", "--loglevel"];
    let (first, package) = positional(words, &valued, &["-p", "--package"]);
    let spec = package.or(first)?;
    if is_local(spec) {
        return None;
    }
    if spec.contains(':') {
        return Some(of_address(launcher, spec));
    }
    let at = spec.get(1..).and_then(|rest| rest.find('@')).map(|at| at + 1);
    let (package, version) = match at {
        Some(at) => (spec.get(..at).unwrap_or_default(), spec.get(at + 1..).unwrap_or_default()),
        None => (spec, ""),
    };
    Some(Asked { launcher, package, version, pinned: is_exact(version, 3) })
}

fn python<'a>(launcher: &'static str, words: &[&'a str]) -> Option<Asked<'a>> {
    let valued = [
        "--with",
        "--with-editable",
        "--with-requirements",
        "--python",
        "-p",
        "--index-url",
        "-i",
        "--extra-index-url",
        "--index",
        "--default-index",
        "--find-links",
        "-f",
        "--directory",
        "--project",
        "--cache-dir",
        "--env-file",
        "--pip-args",
        "--suffix",
        "--constraints",
        "-c",
        "--overrides",
    ];
    let (first, package) = positional(words, &valued, &["--from", "--spec"]);
    let spec = package.or(first)?;
    if is_local(spec) {
        return None;
    }
    if spec.contains("://") {
        return Some(of_address(launcher, spec));
    }
    let split = ["==", "@", ">=", "<=", "~=", "!=", ">", "<"]
        .iter()
        .filter_map(|sign| spec.find(sign).map(|at| (at, sign.len())))
        .min_by_key(|(at, length)| (*at, usize::MAX - length));
    let (package, version) = match split {
        Some((at, length)) => (spec.get(..at).unwrap_or_default(), spec.get(at + length..).unwrap_or_default()),
        None => (spec, ""),
    };
    let package = package.split('[').next().unwrap_or(package).trim();
    let equals = spec.get(split.map_or(0, |(at, _)| at)..).is_some_and(|rest| rest.starts_with("==") || rest.starts_with('@'));
    Some(Asked { launcher, package, version: version.trim(), pinned: equals && is_exact(version.trim(), 2) })
}

/// Options of `docker` and `docker run` that take the next word.
const OF_IMAGES: &[&str] = &[
    "-e",
    "--env",
    "--env-file",
    "-v",
    "--volume",
    "-p",
    "--publish",
    "--name",
    "--network",
    "--net",
    "-w",
    "--workdir",
    "-u",
    "--user",
    "--entrypoint",
    "--mount",
    "-l",
    "--label",
    "--label-file",
    "--platform",
    "--cpus",
    "-c",
    "--cpu-shares",
    "-m",
    "--memory",
    "--memory-swap",
    "--add-host",
    "-h",
    "--hostname",
    "--device",
    "--gpus",
    "--pull",
    "--restart",
    "--cap-add",
    "--cap-drop",
    "--security-opt",
    "--tmpfs",
    "--ulimit",
    "--shm-size",
    "--dns",
    "--log-driver",
    "--log-opt",
    "--ip",
    "--pid",
    "--ipc",
    "--userns",
    "--uts",
    "--runtime",
    "--stop-signal",
    "--stop-timeout",
    "--cidfile",
    "--cgroupns",
    "--expose",
    "--link",
    "--volumes-from",
    "--sysctl",
    "-a",
    "--attach",
    "--group-add",
    "--annotation",
    "--pids-limit",
    "--detach-keys",
    "--network-alias",
    "--context",
    "-H",
    "--host",
    "--config",
    "--log-level",
    "--isolation",
    "--cpuset-cpus",
];

fn image<'a>(launcher: &'static str, words: &[&'a str]) -> Option<Asked<'a>> {
    let run = words.iter().position(|word| *word == "run")?;
    // `docker exec x run` starts nothing new.
    let (before, _) = positional(words, OF_IMAGES, &[]);
    if !matches!(before, Some("run" | "container")) {
        return None;
    }
    let (image, _) = positional(words.get(run + 1..)?, OF_IMAGES, &[]);
    let image = image?;
    if let Some((package, digest)) = image.split_once('@') {
        return Some(Asked { launcher, package, version: digest, pinned: digest.starts_with("sha256:") });
    }
    let name = image.rfind('/').map_or(0, |at| at + 1);
    let tag = image.get(name..).and_then(|rest| rest.find(':')).map(|at| at + name);
    let (package, version) = match tag {
        Some(at) => (image.get(..at).unwrap_or_default(), image.get(at + 1..).unwrap_or_default()),
        None => (image, ""),
    };
    // A tag that counts; `stable` and `main` move like `latest` does.
    let pinned = version != "latest" && version.contains(|letter: char| letter.is_ascii_digit());
    Some(Asked { launcher, package, version, pinned })
}

fn deno<'a>(words: &[&'a str]) -> Option<Asked<'a>> {
    let (spec, _) = positional(words, &["-c", "--config", "--import-map", "--lock", "--cert", "--location", "--seed"], &[]);
    let spec = spec?;
    if let Some(package) = spec.strip_prefix("npm:").or_else(|| spec.strip_prefix("jsr:")) {
        return npm("deno", &[package.trim_start_matches('/')]);
    }
    if !spec.contains("://") {
        return None;
    }
    // `https://host/x@1.2.3/mod.ts`
    let version = spec.rsplit_once('@').and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
    Some(Asked { launcher: "deno", package: spec, version, pinned: is_exact(version, 3) })
}

fn go<'a>(words: &[&'a str]) -> Option<Asked<'a>> {
    let (spec, _) = positional(words, &["-C", "-exec", "-mod", "-modfile", "-tags", "-ldflags", "-gcflags", "-o", "-p"], &[]);
    let (package, version) = spec?.split_once('@')?;
    Some(Asked { launcher: "go", package, version, pinned: is_exact(version, 3) })
}
