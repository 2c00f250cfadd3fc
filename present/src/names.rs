//! What to call a process in few words.
//!
//! `node /usr/lib/node_modules/@modelcontextprotocol/server-everything/dist/index.js` is `server-everything` to a person,
//! `python3 -m mcp_server_time` is `mcp_server_time`. An interpreter is named by the script it runs, a script with a name
//! that says nothing (`index.js`, `main.py`) by the folder it came in.
//!
//! Invariant: names come from the kernel's view (program, arguments), never from what MCP says of itself. Arguments can be
//! changed by the process, so a name is for reading, not for deciding. It is raw text: sanitise it before printing.

use mcp_sensor_proto::v1::Peer;

/// Programs that run a script which says more than they do.
const INTERPRETERS: [&str; 23] = [
    "node", "nodejs", "bun", "deno", "python", "pypy", "ruby", "perl", "php", "sh", "bash", "dash", "zsh", "fish", "busybox", "java",
    "dotnet", "uv", "uvx", "npx", "npm", "tsx", "ts-node",
];

/// Words of an interpreter's or a package runner's own, before the script.
const SUBCOMMANDS: [&str; 7] = ["run", "exec", "x", "tool", "start", "dlx", "-y"];

/// Options of interpreters that take the next argument as theirs.
const OPTIONS_WITH_VALUE: [&str; 14] = [
    "-r",
    "--require",
    "--import",
    "--loader",
    "-W",
    "-X",
    "-I",
    "-cp",
    "-classpath",
    "--directory",
    "--with",
    "--python",
    "--from",
    "--project",
];

/// File and folder names that say nothing about what a program is.
const GENERIC: [&str; 19] = [
    "index", "main", "__main__", "cli", "server", "app", "start", "run", "dist", "build", "src", "bin", "lib", "out", "esm", "cjs",
    "stdio", "scripts", "target",
];

/// Endings that a name reads better without.
const EXTENSIONS: [&str; 12] = [".js", ".mjs", ".cjs", ".ts", ".mts", ".py", ".pyc", ".rb", ".sh", ".jar", ".dll", ".php"];

/// The program's file name: `node`, `claude`. Empty where the program is not known.
#[must_use]
pub fn program(peer: &Peer) -> &str {
    base(peer.exe.strip_suffix(" (deleted)").unwrap_or(&peer.exe))
}

/// The file name, module or package that an interpreter runs: `index.js`, `mcp_server_time`. Empty where it is none.
#[must_use]
pub fn script(peer: &Peer) -> &str {
    script_argument(peer).map_or("", |argument| base(argument.text))
}

/// What to call the process: the name that says most. Empty where nothing is known of it.
#[must_use]
pub fn short(peer: &Peer) -> &str {
    if let Some(argument) = script_argument(peer) {
        if !argument.is_path {
            return base(argument.text);
        }
        // A relative path has its folder in the working directory.
        let folders = argument.text.rsplit('/').chain(peer.working_directory.rsplit('/'));
        let telling = folders.map(stem).find(|name| !matches!(*name, "" | "." | "..") && !GENERIC.contains(name));
        return telling.unwrap_or_else(|| base(argument.text));
    }
    match program(peer) {
        "" => peer.command_line.first().map_or("", |argument| base(argument)),
        name => name,
    }
}

/// What an interpreter was told to run.
struct ScriptArgument<'a> {
    text: &'a str,
    /// A file, not a module or a package.
    is_path: bool,
}

/// Finds the script among the arguments. `None` where the program is no interpreter, or runs none.
fn script_argument(peer: &Peer) -> Option<ScriptArgument<'_>> {
    if !is_interpreter(program(peer)) {
        return None;
    }
    if let [title] = peer.command_line.as_slice() {
        return from_title(title);
    }
    let mut arguments = peer.command_line.iter().map(String::as_str).skip(1);
    while let Some(argument) = arguments.next() {
        match argument {
            "-m" | "-jar" => return arguments.next().map(|text| ScriptArgument { text, is_path: argument == "-jar" }),
            "-c" | "-e" | "-p" | "--eval" | "--print" => return None,
            _ if OPTIONS_WITH_VALUE.contains(&argument) => _ = arguments.next(),
            _ if argument.starts_with('-') || SUBCOMMANDS.contains(&argument) => {}
            _ => return Some(ScriptArgument { text: package(argument), is_path: is_path(argument) }),
        }
    }
    None
}

/// What a program says that has written a title over its arguments (`npm exec @modelcontextprotocol/server-git`, `claude`).
fn from_title(title: &str) -> Option<ScriptArgument<'_>> {
    let mut words = title.split(' ').filter(|word| !word.is_empty() && !word.starts_with('-'));
    let first = words.next()?;
    if !is_interpreter(base(first)) {
        return Some(ScriptArgument { text: first, is_path: false });
    }
    let word = words.find(|word| !SUBCOMMANDS.contains(word))?;
    Some(ScriptArgument { text: package(word), is_path: is_path(word) })
}

fn is_interpreter(program: &str) -> bool {
    INTERPRETERS.contains(&program.trim_end_matches(|character: char| character.is_ascii_digit() || character == '.'))
}

/// True for a file, false for a package (`@scope/name`, `name@1.2.3`) or a command's name.
fn is_path(argument: &str) -> bool {
    !argument.starts_with('@') && (argument.contains('/') || EXTENSIONS.iter().any(|ending| argument.ends_with(ending)))
}

/// A package without its version: `@scope/name@1.2.3` → `@scope/name`.
fn package(argument: &str) -> &str {
    match argument.rfind('@') {
        Some(position) if position > 0 && !is_path(argument) => argument.get(..position).unwrap_or(argument),
        _ => argument,
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("")
}

fn stem(name: &str) -> &str {
    EXTENSIONS.iter().find_map(|ending| name.strip_suffix(ending)).filter(|stem| !stem.is_empty()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(exe: &str, command_line: &[&str]) -> Peer {
        Peer {
            exe: exe.to_owned(),
            command_line: command_line.iter().map(|&argument| argument.to_owned()).collect(),
            working_directory: "/srv/weather".to_owned(),
            ..Peer::default()
        }
    }

    #[test]
    fn a_process_is_called_what_a_person_would_call_it() {
        let cases: [(&str, &[&str], &str, &str); 20] = [
            ("/usr/bin/claude", &["claude", "--resume"], "claude", ""),
            ("/opt/claude (deleted)", &["claude"], "claude", ""),
            ("/usr/bin/node", &["node", "/n/node_modules/@x/server-everything/dist/index.js", "stdio"], "server-everything", "index.js"),
            ("/usr/bin/node", &["node", "/root/.npm/_npx/1/node_modules/.bin/mcp-server-git"], "mcp-server-git", "mcp-server-git"),
            ("/usr/bin/node", &["node", "dist/index.js"], "weather", "index.js"),
            ("/usr/bin/node", &["npm exec @modelcontextprotocol/server-git@1.2"], "server-git", "server-git"),
            ("/usr/bin/node", &["claude"], "claude", "claude"),
            ("/usr/bin/node", &["node", "--require", "./hook.js", "--inspect", "tool.mjs"], "tool", "tool.mjs"),
            ("/usr/bin/node", &["node", "-e", "evil()"], "node", ""),
            ("/usr/bin/node", &["node"], "node", ""),
            ("/usr/bin/python3.11", &["python3", "-m", "mcp_server_time", "--utc"], "mcp_server_time", "mcp_server_time"),
            ("/usr/bin/python3.11", &["python3", "-u", "server.py"], "weather", "server.py"),
            ("/usr/bin/python3.11", &["python3", "/app/tools/billing.py"], "billing", "billing.py"),
            ("/usr/bin/python3.11", &["python3", "-c", "import x"], "python3.11", ""),
            ("/bin/bun", &["bun", "run", "github.ts"], "github", "github.ts"),
            ("/usr/bin/uv", &["uv", "tool", "run", "mcp-server-fetch@2.0"], "mcp-server-fetch", "mcp-server-fetch"),
            ("/usr/bin/java", &["java", "-Xmx1g", "-jar", "/x/search.jar"], "search", "search.jar"),
            ("/bin/bash", &["bash", "/x/wrapper.sh"], "wrapper", "wrapper.sh"),
            ("", &["/x/lost", "a"], "lost", ""),
            ("", &[], "", ""),
        ];
        for (exe, command_line, name, script_name) in cases {
            let peer = peer(exe, command_line);
            assert_eq!(short(&peer), name, "{exe} {command_line:?}");
            assert_eq!(script(&peer), script_name, "{exe} {command_line:?}");
        }
    }
}
