//! `mcp-sensor record`.

use super::{Record, RecordLevel};
use crate::{
    cli::{
        Exit, Failure, Filter,
        run::{Capture, capture},
        warn,
    },
    export::{Exporter, Outgoing, Summary, style::Styles},
    recording::{Choice, Destination, Order},
};
use recording::{keys::Signer, writer};
use sensor_core::redact::Level;
use std::{fs, io, path::Path, sync::Arc};

/// The level of zstd for a file that is compressed: most of what there is to gain, at a rate that no traffic reaches.
const ZSTD_LEVEL: i32 = 3;

pub fn record(options: &Record) -> Result<Exit, Failure> {
    let recording = &options.recording;
    let styles = Styles::choose(options.color, &io::stderr());
    if recording.level == RecordLevel::Full && recording.recipient.is_empty() {
        warn("--level full: secrets in the traffic are in the file as they are; --recipient encrypts it", styles);
    }
    let signer = recording.signing_key.as_deref().map(signer).transpose()?;
    let output = &recording.output;
    let destination = Destination::file(output).map_err(|error| {
        let mend = if error.kind() == io::ErrorKind::AlreadyExists {
            "give a new file: none is replaced"
        } else {
            "give a file in a folder that can be written"
        };
        Failure::new(Exit::Failed, format!("cannot make the recording {}", output.display())).because(error).mend(mend)
    })?;
    let filter = Filter::new(&options.filters);
    let order = Order {
        level: recording.level.into(),
        filter: filter.in_words(),
        choice: if filter.is_empty() { Choice::All } else { Choice::Matching(Box::new(move |event| filter.matches(event))) },
        memory: usize::try_from(u64::from(recording.held_mib) << 20).unwrap_or(usize::MAX),
        reason: format!("mcp-sensor record, by user {}", rustix::process::getuid().as_raw()),
        options: writer::Options {
            zstd_level: is_compressed(output).then_some(ZSTD_LEVEL),
            recipients: recording.recipient.clone(),
            signer,
        },
        destination,
    };
    capture(Capture {
        level: Level::None,
        exclude: &options.exclude,
        limits: &options.limits,
        recording: Some(order),
        exporter: Box::new(Silent { styles }),
    })
}

/// The key in a file.
pub fn signer(path: &Path) -> Result<Arc<Signer>, Failure> {
    let refused = |why: String| {
        Failure::new(Exit::Usage, format!("--signing-key {}", path.display())).because(why).mend("make one with `mcp-sensor keygen`")
    };
    let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    Signer::from_pem(&text).map(Arc::new).map_err(|error| refused(error.to_string()))
}

/// True where the file's name says that it is compressed.
fn is_compressed(path: &Path) -> bool {
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
