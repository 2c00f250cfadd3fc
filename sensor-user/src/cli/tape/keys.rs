//! `mcp-sensor keygen`: the key that signs recordings.

use super::Keygen;
use crate::cli::{Exit, Failure};
use recording::keys;
use std::{fs::File, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

pub fn keygen(options: &Keygen) -> Result<Exit, Failure> {
    let public_path = options.file.with_extension("pub");
    if public_path == options.file {
        return Err(Failure::new(Exit::Usage, "the private key cannot end with .pub").mend("write for example recording.pem"));
    }
    let generated =
        keys::generate(&crate::agent::host_name()).map_err(|error| Failure::new(Exit::Failed, "cannot make a key").because(error))?;
    create(&options.file, 0o600, &generated.private)?;
    create(&public_path, 0o644, &format!("{}\n", generated.public.trim_end()))?;
    let text = format!("{}\n{}\n", options.file.display(), public_path.display());
    std::io::stdout().write_all(text.as_bytes()).map_err(Failure::of_output)?;
    Ok(Exit::Ok)
}

fn create(path: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write {}", path.display())).because(error).mend("give a new file"))
}
