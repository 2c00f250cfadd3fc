//! Running other programs: every run is announced, and every failure names the command line.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which output of a child is read line by line; the other goes straight to ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Runs a command with our own input and output.
///
/// # Errors
/// When it cannot be started, or ends with anything but success.
pub fn run(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command.status().with_context(|| format!("starting `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Runs a command, prints its output as it comes, and hands each line of one of its two outputs to `on_line`, without colours.
/// Returns whether it succeeded.
///
/// # Errors
/// When it cannot be started, or its output cannot be read.
pub fn stream(command: &mut Command, which: Output, mut on_line: impl FnMut(&str)) -> Result<bool> {
    announce(command);
    match which {
        Output::Stdout => command.stdout(Stdio::piped()),
        Output::Stderr => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().with_context(|| format!("starting `{}`", line(command)))?;
    let pipe: Option<Box<dyn Read>> = match which {
        Output::Stdout => child.stdout.take().map(|pipe| Box::new(pipe) as _),
        Output::Stderr => child.stderr.take().map(|pipe| Box::new(pipe) as _),
    };
    let mut reader = BufReader::new(pipe.context("the child's output is not a pipe")?);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = reader.read_until(b'\n', &mut bytes).with_context(|| format!("reading the output of `{}`", line(command)))?;
        if read == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&bytes);
        match which {
            Output::Stdout => print!("{text}"),
            Output::Stderr => eprint!("{text}"),
        }
        on_line(without_colours(&text).trim_end());
    }
    let status = child.wait().with_context(|| format!("waiting for `{}`", line(command)))?;
    Ok(status.success())
}

/// Runs a command quietly and returns what it wrote to standard output.
///
/// # Errors
/// When it cannot be started, or fails: with what it had to say.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting `{}`", line(command)))?;
    if !output.status.success() {
        let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
        bail!("`{}` failed ({}): {}", line(command), output.status, String::from_utf8_lossy(said).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a command starts and succeeds; it prints nothing.
pub fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The full path of a program on `PATH`.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| is_executable(candidate))
}

/// Whether a path is a file that somebody may execute.
pub fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Prints what is about to be done.
pub fn say(what: impl std::fmt::Display) {
    if std::io::stdout().is_terminal() {
        println!("\x1b[1m==> {what}\x1b[0m");
    } else {
        println!("==> {what}");
    }
}

fn announce(command: &Command) {
    println!("    $ {}", line(command));
}

/// The command as one would type it.
pub fn line(command: &Command) -> String {
    std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect::<Vec<_>>().join(" ")
}

/// A word as one would type it.
pub fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./,:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// A line without terminal control sequences.
pub fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\x1b' {
            plain.push(character);
            continue;
        }
        // `ESC [ parameters letter`
        for control in characters.by_ref() {
            if control.is_ascii_alphabetic() {
                break;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let mut command = Command::new("cargo");
        command.args(["build", "--cfg=a=\"b\"", "it's", ""]);
        assert_eq!(line(&command), r#"cargo build '--cfg=a="b"' 'it'\''s' ''"#);
    }

    #[test]
    fn colours_are_removed() {
        assert_eq!(without_colours("\x1b[1m\x1b[33mwarning\x1b[0m: x"), "warning: x");
    }

    #[test]
    fn each_line_is_seen_and_the_result_is_told() -> Result<()> {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; printf two; exit 3"]);
        let success = stream(&mut command, Output::Stdout, |line| {
            lines.push(line.to_owned());
        })?;
        assert!(!success);
        assert_eq!(lines, ["one", "two"]);
        Ok(())
    }
}
