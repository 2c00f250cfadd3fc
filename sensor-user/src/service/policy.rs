//! The policy of the service: read at the start, on SIGHUP, and when its file changes.
//!
//! A policy that cannot be used changes nothing: the one before stays in force, and that is told in the log and in the
//! sensor's own events.

use super::reload::Current;
use crate::config::Config;
use crate::judging::Loaded;
use crate::pipeline::Change;
use sensor_core::policy::Policy;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What the configuration asks to judge by.
///
/// # Errors
/// Why the file cannot be used.
pub fn load(config: &Config) -> Result<Loaded, String> {
    match &config.policy.file {
        _ if config.policy.off => Ok(Loaded { policy: Arc::new(Policy::empty()), name: "off".to_owned() }),
        Some(file) => Loaded::read(file),
        None => Loaded::shipped(),
    }
}

/// Reads the policy again and hands it to the pipeline.
pub fn reload(config: &Config, changes: &Sender<Change>) {
    let loaded = load(config);
    match &loaded {
        Ok(loaded) => tracing::info!(policy = loaded.name, detail = loaded.audit().detail, "policy loaded"),
        Err(why) => tracing::error!("the policy cannot be used, and the one before stays in force: {why}"),
    }
    // Where the pipeline has ended there is nobody to be told.
    let _ = changes.send(Change::Policy(loaded));
}

/// What shows that a file was changed, or replaced.
fn mark(file: &Path) -> Option<(u64, u64, i64, i64)> {
    let known = std::fs::metadata(file).ok()?;
    Some((known.ino(), known.len(), known.mtime(), known.mtime_nsec()))
}

/// Looks after the file in a thread of its own; ends with the pipeline.
///
/// # Errors
/// Where there can be no thread.
pub fn watch(current: Current, changes: Sender<Change>) -> io::Result<()> {
    let look = move || {
        let seen = |config: &Config| config.policy.file.as_deref().and_then(|file| Some((file.to_owned(), mark(file)?)));
        let mut before = seen(&current.get());
        loop {
            std::thread::park_timeout(LOOK);
            let config = current.get();
            let now = seen(&config);
            // Another file is taken up by who has read the configuration again.
            let same_file = before.as_ref().map(|(file, _)| file) == now.as_ref().map(|(file, _)| file);
            if same_file && now != before && !config.policy.off {
                reload(&config, &changes);
            }
            before = now.or(before);
        }
    };
    std::thread::Builder::new().name("policy".to_owned()).spawn(look).map(drop)
}
