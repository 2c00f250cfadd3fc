//! The way to standard output: whole lines, in one call a batch.
//!
//! Invariants: what an exporter takes is written by the next [`Output::flush`] at the latest, or as soon as
//! [`FLUSH_AT`] bytes wait; nothing is written twice; a reader that has gone away shows as
//! [`io::ErrorKind::BrokenPipe`], also while there is nothing to write.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Bytes that may wait before they are written unasked.
pub const FLUSH_AT: usize = 64 * 1024;

/// Collects lines and writes them together.
pub struct Output {
    writer: Target,
    buffer: Vec<u8>,
}

enum Target {
    /// A file, a pipe or a terminal.
    File(File),
    /// Anything else, for tests and tools.
    Writer(Box<dyn Write + Send>),
}

impl Output {
    /// To standard output.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn stdout() -> io::Result<Self> {
        // A duplicate, because the standard library's handle keeps lines in a buffer of its own.
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { writer: Target::File(file), buffer: Vec::new() })
    }

    /// To any writer.
    #[must_use]
    pub fn to(writer: Box<dyn Write + Send>) -> Self {
        Self { writer: Target::Writer(writer), buffer: Vec::new() }
    }

    /// What waits to be written. Append whole lines, then call [`Output::appended`].
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes if much is waiting.
    ///
    /// # Errors
    /// The output could not be written.
    pub fn appended(&mut self) -> io::Result<()> {
        if self.buffer.len() >= FLUSH_AT { self.flush() } else { Ok(()) }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// The output could not be written.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let result = match &mut self.writer {
            Target::File(file) => write_blocking(file, &self.buffer),
            Target::Writer(writer) => writer.write_all(&self.buffer).and_then(|()| writer.flush()),
        };
        self.buffer.clear();
        // One big batch does not keep its memory for ever.
        self.buffer.shrink_to(4 * FLUSH_AT);
        result
    }

    /// Notices a reader that has gone away.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] where it has.
    pub fn check_reader(&self) -> io::Result<()> {
        let Target::File(file) = &self.writer else { return Ok(()) };
        // Asked for nothing, the kernel still reports the error state: the reading end of a pipe is closed.
        let mut polled = [PollFd::new(file, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut polled, Some(&now)) {
            Ok(_) if polled.iter().any(|one| one.revents().contains(PollFlags::ERR)) => Err(io::ErrorKind::BrokenPipe.into()),
            // An interrupted or refused poll tells nothing; the next write will.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Writes everything, also where another process has made the shared file description non-blocking.
fn write_blocking(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut polled = [PollFd::new(&*file, PollFlags::OUT)];
                match poll(&mut polled, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn to_pipe() -> (File, Output) {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        (File::from(reader), Output { writer: Target::File(File::from(writer)), buffer: Vec::new() })
    }

    #[test]
    fn a_reader_that_has_gone_away_is_noticed_without_writing() {
        let (reader, output) = to_pipe();
        output.check_reader().unwrap();
        drop(reader);
        assert_eq!(output.check_reader().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_reader_that_has_gone_away_fails_the_write() {
        let (reader, mut output) = to_pipe();
        drop(reader);
        output.buffer().extend_from_slice(b"x\n");
        assert_eq!(output.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_pipe_that_does_not_block_gets_everything_all_the_same() {
        let (mut reader, mut output) = to_pipe();
        let Target::File(file) = &output.writer else { panic!("a pipe is a file") };
        rustix::io::ioctl_fionbio(file, true).unwrap();
        let whole = vec![b'x'; 1 << 20];
        output.buffer().extend_from_slice(&whole);
        let reading = std::thread::spawn(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            read
        });
        output.flush().unwrap();
        drop(output);
        assert!(reading.join().unwrap() == whole);
    }

    #[test]
    fn much_is_written_unasked() {
        let (mut reader, mut output) = to_pipe();
        output.buffer().resize(FLUSH_AT, b'x');
        output.appended().unwrap();
        assert!(output.buffer().is_empty());
        assert_eq!(reader.read(&mut [0; 4096]).unwrap(), 4096);
    }
}
