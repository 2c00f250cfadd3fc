//! One program that a process runs: made at an exec, shared by all that are forked from it, completed later by the
//! background thread (arguments of a process older than the sensor, digest of the file).

use super::{Redact, process::FileId, record};
use sensor_core::input::Time;
use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Arguments of an ancestor that are shown, and bytes of each.
const SHORT_ARGUMENTS: usize = 6;
const SHORT_ARGUMENT: usize = 120;
/// What a program weighs without its strings.
const WEIGHT: usize = 256;

/// Counts the bytes that all weights hold together.
pub(super) type Meter = Arc<AtomicUsize>;

/// Bytes that are counted as long as it lives.
#[derive(Debug)]
pub(super) struct Weight {
    bytes: AtomicUsize,
    meter: Meter,
}

impl Weight {
    pub fn new(meter: &Meter, bytes: usize) -> Self {
        meter.fetch_add(bytes, Ordering::Relaxed);
        Self { bytes: AtomicUsize::new(bytes), meter: Arc::clone(meter) }
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.meter.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.meter.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// What makes a program.
#[derive(Default)]
pub(super) struct Source {
    pub executable: Arc<str>,
    pub file: Option<FileId>,
    pub called_as: String,
    /// When it was executed; `None` where that was before the sensor looked.
    pub since: Option<Time>,
    /// The argument list's bytes, and whether they end before it did; `None` where it is to be asked for.
    pub arguments: Option<(Vec<u8>, bool)>,
    /// Bytes that are held on account of it elsewhere.
    pub more: usize,
}

/// The argument list's bytes, as they are: they may hold secrets, and never leave but redacted.
struct Arguments {
    bytes: Box<[u8]>,
    cut: bool,
}

/// The arguments as they may be shown.
pub(super) struct Shown {
    pub full: Arc<[String]>,
    pub short: Arc<[String]>,
    pub cut: bool,
}

/// See the module.
pub(super) struct Program {
    pub executable: Arc<str>,
    pub file: Option<FileId>,
    pub called_as: Arc<str>,
    pub since: Option<Time>,
    arguments: OnceLock<Arguments>,
    arguments_asked: AtomicBool,
    shown: OnceLock<Shown>,
    hash: OnceLock<Option<[u8; 32]>>,
    hash_asked: AtomicBool,
    weight: Weight,
}

impl Program {
    pub fn new(meter: &Meter, source: Source) -> Arc<Self> {
        let Source { executable, file, called_as, since, arguments, more } = source;
        let held = arguments.as_ref().map_or(0, |(bytes, _)| bytes.len());
        let weight = Weight::new(meter, WEIGHT + executable.len() + called_as.len() + held + more);
        let arguments = arguments.map(|(bytes, cut)| Arguments { bytes: bytes.into(), cut });
        Arc::new(Self {
            executable,
            file,
            called_as: called_as.into(),
            since,
            arguments_asked: AtomicBool::new(arguments.is_some()),
            arguments: arguments.map(OnceLock::from).unwrap_or_default(),
            shown: OnceLock::new(),
            hash: OnceLock::new(),
            hash_asked: AtomicBool::new(false),
            weight,
        })
    }

    /// True for a program of which nothing is known.
    pub fn is_unknown(&self) -> bool {
        self.executable.is_empty() && self.file.is_none()
    }

    /// True the first time, until [`Self::refuse_arguments`]: whoever gets it asks for the arguments.
    pub fn ask_arguments(&self) -> bool {
        !self.arguments_asked.swap(true, Ordering::Relaxed)
    }

    /// They could not be asked for now.
    pub fn refuse_arguments(&self) {
        self.arguments_asked.store(false, Ordering::Relaxed);
    }

    /// They were read; none where the process is gone.
    pub fn set_arguments(&self, bytes: Vec<u8>, cut: bool) {
        let length = bytes.len();
        if self.arguments.set(Arguments { bytes: bytes.into(), cut }).is_ok() {
            self.weight.add(length);
        }
    }

    /// True the first time, until [`Self::refuse_hash`]: whoever gets it asks for the digest.
    pub fn ask_hash(&self) -> bool {
        !self.hash_asked.swap(true, Ordering::Relaxed)
    }

    /// It could not be asked for now.
    pub fn refuse_hash(&self) {
        self.hash_asked.store(false, Ordering::Relaxed);
    }

    /// It was computed; `None` where it cannot be.
    pub fn set_hash(&self, hash: Option<[u8; 32]>) {
        // A program has one file, so a second answer is the first one again.
        let _ = self.hash.set(hash);
    }

    pub fn hash(&self) -> Option<[u8; 32]> {
        self.hash.get().copied().flatten()
    }

    /// True while its digest was asked for and has not come.
    pub fn hash_pending(&self) -> bool {
        self.hash_asked.load(Ordering::Relaxed) && self.hash.get().is_none()
    }

    /// True while its arguments were asked for and have not come.
    pub fn arguments_pending(&self) -> bool {
        self.arguments_asked.load(Ordering::Relaxed) && self.arguments.get().is_none()
    }

    /// True where one of its arguments is `text`.
    pub fn has_argument(&self, text: &str) -> bool {
        let mut lists = self.arguments.get().into_iter().map(|arguments| arguments.bytes.split(|byte| *byte == 0));
        lists.any(|mut list| list.any(|argument| argument == text.as_bytes()))
    }

    /// Its arguments, redacted; `None` while they are not known.
    pub fn shown(&self, redact: &Redact) -> Option<&Shown> {
        let arguments = self.arguments.get()?;
        Some(self.shown.get_or_init(|| {
            let (plain, cut) = record::arguments(&arguments.bytes, arguments.cut);
            let full: Arc<[String]> = redact(&plain).into();
            let short: Arc<[String]> = full.iter().take(SHORT_ARGUMENTS).map(|argument| shorten(argument)).collect();
            let size = |list: &[String]| list.iter().map(|argument| size_of::<String>() + argument.len()).sum::<usize>();
            self.weight.add(size(&full) + size(&short));
            Shown { full, short, cut }
        }))
    }
}

impl fmt::Debug for Program {
    /// Without the arguments: they may hold secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Program").field("executable", &self.executable).field("file", &self.file).finish_non_exhaustive()
    }
}

/// An argument, cut short.
fn shorten(argument: &str) -> String {
    if argument.len() <= SHORT_ARGUMENT {
        return argument.to_owned();
    }
    let end = argument.floor_char_boundary(SHORT_ARGUMENT);
    let mut short = argument.get(..end).unwrap_or_default().to_owned();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_s_bytes_are_counted_while_it_lives() {
        let meter = Meter::default();
        let redact: Redact = Box::new(|arguments: &[String]| arguments.to_vec());
        let program = Program::new(&meter, Source { executable: "/bin/sh".into(), ..Source::default() });
        let before = meter.load(Ordering::Relaxed);
        assert!(before >= WEIGHT + 7);
        program.set_arguments(b"sh\0-c\0".to_vec(), false);
        assert_eq!(&*program.shown(&redact).unwrap().full, ["sh", "-c"]);
        assert!(meter.load(Ordering::Relaxed) > before);
        drop(program);
        assert_eq!(meter.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn arguments_of_ancestors_are_short_and_redacted_before_they_are_cut() {
        let meter = Meter::default();
        let redact: Redact = Box::new(|arguments: &[String]| arguments.iter().map(|text| text.replace("secret", "*")).collect());
        let long = format!("{}secret{}\0", "é".repeat(58), "x".repeat(100));
        let program = Program::new(&meter, Source { arguments: Some((long.into_bytes(), false)), ..Source::default() });
        let short = &program.shown(&redact).unwrap().short;
        assert!(short[0].starts_with('é') && short[0].contains('*') && !short[0].contains("sec"), "{short:?}");
        assert!(short[0].len() <= SHORT_ARGUMENT + '…'.len_utf8());
        assert!(!format!("{program:?}").contains("secret"));
    }
}
