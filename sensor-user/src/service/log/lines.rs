//! The way to standard error for lines of the log: through a thread of its own.
//!
//! Invariant: who logs never waits. Where nobody reads standard error (a pipe whose reader has stopped, a terminal that is
//! held), lines pile up to [`WAITING`] and are then left out, which a line says once there is room again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

/// Lines that may wait.
const WAITING: usize = 1024;
/// How long the end waits for the last lines to be written.
const LAST: Duration = Duration::from_secs(1);

enum Item {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Takes lines.
#[derive(Clone)]
pub(super) struct Lines {
    items: SyncSender<Item>,
    left_out: Arc<AtomicU64>,
}

impl Lines {
    /// To this writer, on a thread.
    ///
    /// # Errors
    /// Where there is no thread.
    pub(super) fn to(writer: impl Write + Send + 'static) -> io::Result<Self> {
        let (items, waiting) = sync_channel(WAITING);
        let left_out = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&left_out);
        thread::Builder::new().name("log".to_owned()).spawn(move || write(&waiting, &counter, writer))?;
        Ok(Self { items, left_out })
    }

    /// Waits for what was logged so far to be written, but not for long.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.items.try_send(Item::Flush(done)).is_ok() {
            // Nobody reads standard error, then.
            let _ = written.recv_timeout(LAST);
        }
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.items.try_send(Item::Line(line.to_vec())) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(waiting: &Receiver<Item>, left_out: &AtomicU64, mut writer: impl Write) {
    // Where standard error is closed, there is nobody to be told.
    for item in waiting {
        match item {
            Item::Line(line) => {
                let _ = writer.write_all(&line);
                let missing = left_out.swap(0, Ordering::Relaxed);
                if missing > 0 {
                    let _ = writeln!(writer, "{missing} lines of the log are left out here: nobody has read them in time");
                }
            }
            Item::Flush(done) => {
                let _ = writer.flush();
                let _ = done.try_send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, mpsc};

    /// Writes to memory once it may.
    struct Held {
        gate: Option<mpsc::Receiver<()>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Held {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(gate) = self.gate.take() {
                gate.recv().unwrap();
            }
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_stopped_holds_nobody_up_and_what_is_missing_is_told() {
        let (open, gate) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut lines = Lines::to(Held { gate: Some(gate), written: Arc::clone(&written) }).unwrap();
        for number in 0..3 * WAITING {
            lines.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        let missing = lines.left_out.load(Ordering::Relaxed);
        assert!(missing > 0);
        open.send(()).unwrap();
        // The queue may still be full at first.
        while !String::from_utf8_lossy(&written.lock().unwrap()).contains("left out") {
            thread::yield_now();
        }
        Lines::flush(&lines);
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(text.starts_with("line 0\n"));
        assert!(text.contains(&format!("{missing} lines of the log are left out here")));
        assert_eq!(text.lines().filter(|line| line.starts_with("line ")).count() as u64 + missing, 3 * WAITING as u64);
    }
}
