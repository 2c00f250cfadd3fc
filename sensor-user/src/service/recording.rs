//! The recording that the configuration asks for.

use super::ServiceError;
use crate::{
    cli::{
        Filter,
        args::FilterArgs,
        filter::{Glob, Name},
    },
    config::{Config, Recording},
    recording::{Choice, Destination, Order, Rolls, ZSTD_LEVEL, signer},
};
use recording::{
    Level, Recipient,
    rolling::{Folder, Sync},
    writer,
};
use std::{path::Path, str::FromStr, time::Duration};

/// What is to be recorded; nothing where no folder is set.
///
/// # Errors
/// Where the folder or the key cannot be used.
pub(super) fn order(config: &Config) -> Result<Option<Order>, ServiceError> {
    let recording = &config.recording;
    let Some(directory) = &recording.directory else { return Ok(None) };
    let refused = |what: &Path, why: String| ServiceError::Recording { what: what.to_owned(), why };
    let folder = Folder::open(directory).map_err(|error| refused(directory, error.to_string()))?;
    let signer = match &recording.signing_key {
        Some(path) => Some(signer(path).map_err(|why| refused(path, why))?),
        None => None,
    };
    // That they are keys was checked when the configuration was read.
    let recipients: Vec<_> = recording.recipients.iter().filter_map(|key| Recipient::from_str(key).ok()).collect();
    if recording.full && recipients.is_empty() {
        tracing::warn!("recording.full: secrets in the traffic are in the recordings as they are; recording.recipients encrypts them");
    }
    let filter = Filter::new(&FilterArgs {
        client: patterns::<Name>(&recording.client),
        server: patterns::<Name>(&recording.server),
        tool: patterns::<Glob>(&recording.tool),
        ..FilterArgs::default()
    });
    Ok(Some(Order {
        level: if recording.full { Level::Full } else { Level::Redacted },
        filter: in_words(recording, &filter),
        choice: choice(recording, filter),
        memory: super::mebibytes(recording.held_mib),
        reason: "the configuration of mcp-sensor run".to_owned(),
        options: writer::Options { zstd_level: recording.compress.then_some(ZSTD_LEVEL), recipients, signer },
        destination: Destination::Folder(folder, directory.clone(), rolls(recording)),
    }))
}

fn patterns<T: FromStr>(texts: &[String]) -> Vec<T> {
    // What is empty was refused when the configuration was read.
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn in_words(recording: &Recording, filter: &Filter) -> String {
    let incidents = if recording.incidents { "incidents " } else { "" };
    format!("{incidents}{}", filter.in_words()).trim_end().to_owned()
}

fn choice(recording: &Recording, filter: Filter) -> Choice {
    match (recording.incidents, filter.is_empty()) {
        (true, _) => Choice::Incidents(nanoseconds(recording.before)),
        (false, true) => Choice::All,
        (false, false) => Choice::Matching(Box::new(move |event| filter.matches(event))),
    }
}

fn rolls(recording: &Recording) -> Rolls {
    Rolls {
        file: u64::from(recording.file_mib) << 20,
        age: nanoseconds(recording.file_age),
        total: u64::from(recording.total_mib) << 20,
        sync: if recording.sync.is_zero() { Sync::Never } else { Sync::Interval(nanoseconds(recording.sync)) },
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
