//! The commands about recordings: make one, replay it, verify it, make the keys for it.

mod against;
mod args;
mod keys;
mod record;
mod replay;
mod session;
mod verify;

pub use args::{AgainstArgs, Keygen, Moment, Record, RecordArgs, RecordLevel, Replay, Speed, Verify};
pub(super) use {keys::keygen, record::record, replay::replay, verify::verify};

use super::{Exit, Failure};
use recording::Identity;
use std::{fs, path::Path};

/// The identities of age in a file: one a line, as `age-keygen` writes them.
fn identities(path: Option<&Path>) -> Result<Vec<Identity>, Failure> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let refused = |why: String| {
        Failure::new(Exit::Usage, format!("--identity {}", path.display()))
            .because(why)
            .mend("give a file as `age-keygen` writes it: lines that begin with AGE-SECRET-KEY-1")
    };
    let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    // What the file holds is secret: it is not repeated in an error.
    let read = lines.map(|line| line.parse::<Identity>().map_err(|_| refused("a line in it is no identity".to_owned())));
    let found = read.collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(refused("it holds no identity".to_owned())) } else { Ok(found) }
}
