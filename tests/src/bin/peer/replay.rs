//! Plays bytes that are no MCP between two processes: nothing may come of them.

use crate::process;
use crate::transport::{Ends, Transport};
use anyhow::{Context, Result, bail};
use clap::Args;
use end_to_end::truth::{LogWriter, Role, Way};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// `peer lookalike`
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// A folder of conversations: `NAME.to.*` is what the client writes, `NAME.from.*` what the server writes, one of them may be
    /// missing; `*.ndjson` and `*.txt` are written line by line, `*.bin` at once. `sensor-core/tests/lookalikes` is one.
    #[arg(long)]
    corpus: PathBuf,
    /// What carries the bytes.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "pipe,socketpair,unix,pty")]
    transport: Vec<Transport>,
}

/// Seconds that one side of a conversation may take.
const SIDE: u32 = 60;

/// What each side writes, one element a write.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub client: Vec<Vec<u8>>,
    pub server: Vec<Vec<u8>>,
}

/// Plays every conversation of a corpus.
pub fn lookalikes(options: &Options) -> Result<()> {
    process::limit_life(600);
    let scripts = read_corpus(&options.corpus)?;
    if scripts.is_empty() {
        bail!("{} holds nothing to play", options.corpus.display());
    }
    for (name, script) in &scripts {
        for transport in &options.transport {
            play(script, *transport, &format!("{name}-{transport:?}").to_lowercase()).with_context(|| name.clone())?;
        }
    }
    println!("{} conversations played", scripts.len() * options.transport.len());
    Ok(())
}

fn read_corpus(directory: &Path) -> Result<BTreeMap<String, Script>> {
    let mut scripts: BTreeMap<String, Script> = BTreeMap::new();
    for entry in fs::read_dir(directory).with_context(|| format!("corpus {}", directory.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((stem, kind)) = name.rsplit_once('.') else { continue };
        // What is no conversation (a README) has no side.
        let Some((name, side)) = stem.rsplit_once('.') else { continue };
        let bytes = fs::read(&path)?;
        let writes: Vec<Vec<u8>> = match kind {
            "ndjson" | "txt" => bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(),
            "bin" => vec![bytes],
            _ => bail!("{}: a conversation is .ndjson, .txt or .bin", path.display()),
        };
        let script = scripts.entry(name.to_owned()).or_default();
        match side {
            "from" => script.server = writes,
            "to" => script.client = writes,
            _ => bail!("{}: its side is `from` or `to`", path.display()),
        }
    }
    Ok(scripts)
}

/// Two forked processes write their parts by turns, and read the other's.
pub fn play(script: &Script, transport: Transport, session: &str) -> Result<()> {
    let Ends { client_in, client_out, server, .. } = transport.open()?;
    let (server_in, server_out, _) = server.accept()?;
    let rounds = script.client.len().max(script.server.len());
    let server = process::fork(|| side(Role::Server, session, rounds, &script.server, &script.client, &server_in, &server_out))?;
    let client = process::fork(|| side(Role::Client, session, rounds, &script.client, &script.server, &client_in, &client_out))?;
    // The ends stay open here meanwhile: a terminal whose master is closed gives its slave nothing of what was on the way.
    for child in [client, server] {
        match process::join(child)? {
            0 => {}
            code => bail!("a side ended with {code}"),
        }
    }
    drop((client_in, client_out, server_in, server_out));
    Ok(())
}

fn side(role: Role, session: &str, rounds: usize, mine: &[Vec<u8>], theirs: &[Vec<u8>], input: &OwnedFd, output: &OwnedFd) -> Result<()> {
    // Nobody's end is closed while the other lives: one that fails must not leave the other waiting.
    process::limit_life(SIDE);
    process::end_with_parent();
    let log = LogWriter::open(role, session)?;
    let (mut input, mut output) = (File::from(input.try_clone()?), File::from(output.try_clone()?));
    let empty = Vec::new();
    for round in 0..rounds {
        let (out, expected) = (mine.get(round).unwrap_or(&empty), theirs.get(round).unwrap_or(&empty));
        // One reads while the other writes, which may be more than the transport holds.
        let send = |output: &mut File| -> Result<()> {
            log.noise(Way::Sent, out, None);
            Ok(output.write_all(out)?)
        };
        let mut receive = || -> Result<()> {
            let mut bytes = vec![0; expected.len()];
            input.read_exact(&mut bytes)?;
            log.noise(Way::Received, &bytes, None);
            Ok(())
        };
        if role == Role::Client {
            send(&mut output)?;
            receive()?;
        } else {
            receive()?;
            send(&mut output)?;
        }
    }
    log.end();
    Ok(())
}

/// What an editor and a language server say to each other: header and body in two writes.
pub fn language_server() -> Script {
    let messages = |bodies: &[&str]| -> Vec<Vec<u8>> {
        bodies.iter().flat_map(|body| [format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes(), body.as_bytes().to_vec()]).collect()
    };
    Script {
        client: messages(&[
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":1,"rootUri":null,"capabilities":{},"clientInfo":{"name":"editor","version":"1"}}}"#,
            r#"{"jsonrpc":"2.0","method":"initialized","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"textDocument/hover","params":{"textDocument":{"uri":"file:///a.rs"},"position":{"line":1,"character":2}}}"#,
            r#"{"jsonrpc":"2.0","id":3,"method":"shutdown"}"#,
        ]),
        server: messages(&[
            r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"hoverProvider":true},"serverInfo":{"name":"language-server","version":"1"}}}"#,
            r#"{"jsonrpc":"2.0","method":"window/logMessage","params":{"type":3,"message":"ready"}}"#,
            r#"{"jsonrpc":"2.0","id":2,"result":{"contents":"fn a()"}}"#,
            r#"{"jsonrpc":"2.0","id":3,"result":null}"#,
        ]),
    }
}
