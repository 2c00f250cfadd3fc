//! `mcp-sensor record`.

use super::{Record, RecordLevel};
use crate::{
    cli::{
        Exit, Failure, Filter,
        run::{Capture, Filtered, capture, mebibytes},
        show, warn,
    },
    export::{Exporter, Outgoing, Summary, style::Styles},
    recording::{Choice, Destination, Order, ZSTD_LEVEL, signer},
};
use recording::{keys::Signer, writer};
use sensor_core::redact::Level;
use std::{io, path::Path, sync::Arc};

pub fn record(options: &Record) -> Result<Exit, Failure> {
    let recording = &options.recording;
    let styles = Styles::choose(options.color, &io::stderr());
    if recording.level == RecordLevel::Full && recording.recipient.is_empty() {
        warn("--level full: secrets in the traffic are in the file as they are; --recipient encrypts it", styles);
    }
    let how = writer::Options {
        zstd_level: is_compressed(&recording.output).then_some(ZSTD_LEVEL),
        recipients: recording.recipient.clone(),
        signer: recording.signing_key.as_deref().map(key).transpose()?,
    };
    let filter = Filter::new(&options.filters);
    let order = order(&recording.output, recording.level, filter, recording.held_mib, "mcp-sensor record", how)?;
    let (level, exporter): (_, Box<dyn Exporter>) = if options.json {
        let filter = Filter::new(&options.filters);
        let inner = show(true, options.messages, options.color).map_err(Failure::of_output)?;
        (options.payload.into(), Box::new(Filtered { filter, messages: options.messages, inner, shown: Summary::default() }))
    } else {
        (Level::None, Box::new(Silent { styles }))
    };
    let policy = crate::cli::policy::chosen(options.policy.as_deref())?;
    capture(Capture { level, exclude: &options.exclude, limits: &options.limits, recording: Some(order), policy, exporter })
}

/// What is asked for: the sessions that match, to a new file.
pub fn order(
    path: &Path,
    level: RecordLevel,
    filter: Filter,
    held_mib: u32,
    reason: &str,
    options: writer::Options,
) -> Result<Order, Failure> {
    let destination = Destination::file(path).map_err(|error| {
        let exists = error.kind() == io::ErrorKind::AlreadyExists;
        let mend = if exists { "give a new file: none is replaced" } else { "give a file in a folder that can be written" };
        Failure::new(Exit::Failed, format!("cannot make the recording {}", path.display())).because(error).mend(mend)
    })?;
    Ok(Order {
        level: level.into(),
        filter: filter.in_words(),
        choice: if filter.is_empty() { Choice::All } else { Choice::Matching(Box::new(move |event| filter.matches(event))) },
        memory: mebibytes(held_mib),
        reason: format!("{reason}, by user {}", rustix::process::getuid().as_raw()),
        options,
        destination,
    })
}

/// The key that signs it.
fn key(path: &Path) -> Result<Arc<Signer>, Failure> {
    signer(path).map_err(|why| {
        Failure::new(Exit::Usage, format!("--signing-key {}", path.display())).because(why).mend("make one with `mcp-sensor keygen`")
    })
}

/// True where the file's name says that it is compressed.
pub fn is_compressed(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    name.strip_suffix(".age").unwrap_or(&name).ends_with(".zst")
}

/// Shows nothing but the summary at the end.
struct Silent {
    styles: Styles,
}

impl Exporter for Silent {
    fn wants_messages(&self) -> bool {
        false
    }

    fn event(&mut self, _event: &Outgoing) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn tick(&mut self, _now: i64) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        crate::cli::to_stderr(&summary.render(self.styles));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whether_it_is_compressed() {
        assert!(is_compressed(Path::new("/a/b.pcapng.zst")) && is_compressed(Path::new("b.PCAPNG.ZST.age")));
        assert!(!is_compressed(Path::new("b.pcapng")) && !is_compressed(Path::new("b.zst.d/b.pcapng.age")));
    }
}
