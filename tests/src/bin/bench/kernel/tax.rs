//! What system calls pay: the capture program against an empty one on the same hook, in alternated rounds; medians.

use crate::table::Row;
use anyhow::Context as _;
use sensor_ebpf::{ChunkRecord, StreamKey, VerdictKind};
use sensor_user::bpf::{Batch, Draining, Hook, Options, Programs, Verdicts, count_time, records};
use std::{
    fs::File,
    io::{PipeReader, PipeWriter, Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender},
    },
    time::{Duration, Instant},
};
use zerocopy::FromBytes as _;

const MARK: &[u8] = b"{\"bench\":\"which stream am I\"}\n";

/// The operations that are measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Operation {
    Getppid,
    DevNull,
    IgnoredPipe,
    CapturedPipe,
}

const OPERATIONS: [Operation; 4] = [Operation::Getppid, Operation::DevNull, Operation::IgnoredPipe, Operation::CapturedPipe];

struct Bench {
    null: File,
    ignored: (PipeReader, PipeWriter),
    captured: (PipeReader, PipeWriter),
    message: Vec<u8>,
    buffer: Vec<u8>,
}

impl Bench {
    /// Runs an operation `calls` times; gives nanoseconds a call.
    fn run(&mut self, operation: Operation, calls: u32) -> f64 {
        let begin = Instant::now();
        match operation {
            Operation::Getppid => (0..calls).for_each(|_| {
                std::hint::black_box(rustix::process::getppid());
            }),
            Operation::DevNull => (0..calls).for_each(|_| self.null.write_all(b"x").unwrap()),
            Operation::IgnoredPipe => Self::through(&mut self.ignored, &self.message, &mut self.buffer, calls),
            Operation::CapturedPipe => Self::through(&mut self.captured, &self.message, &mut self.buffer, calls),
        }
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    }

    /// A write and a read of one message, so that the pipe never fills.
    fn through(pipe: &mut (PipeReader, PipeWriter), message: &[u8], buffer: &mut [u8], calls: u32) {
        for _ in 0..calls {
            pipe.1.write_all(message).unwrap();
            pipe.0.read_exact(&mut buffer[..message.len()]).unwrap();
        }
    }
}

/// Reads batches and counts what is in them, as a live consumer does, until it is told to stop.
fn consume(batches: &Receiver<Batch>, give_back: &Sender<Batch>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok(batch) = batches.recv_timeout(Duration::from_millis(10)) {
            std::hint::black_box(records(&batch).count());
            let _ = give_back.send(batch);
        }
    }
}

/// The key of the stream that [`MARK`] is written to.
fn key_of(pipe: &mut (PipeReader, PipeWriter), batches: &Receiver<Batch>, give_back: &Sender<Batch>) -> anyhow::Result<StreamKey> {
    pipe.1.write_all(MARK)?;
    let mut sink = [0; MARK.len()];
    pipe.0.read_exact(&mut sink)?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        let Ok(batch) = batches.recv_timeout(Duration::from_millis(50)) else { continue };
        let found = records(&batch).find_map(|(_, record)| {
            let (chunk, payload) = ChunkRecord::read_from_prefix(record).ok()?;
            (payload == MARK).then_some(chunk.key)
        });
        give_back.send(batch)?;
        if let Some(key) = found {
            return Ok(key);
        }
    }
    anyhow::bail!("the capture program did not show the write of the mark within 5 s")
}

fn set(verdicts: &mut Verdicts, key: &StreamKey, kind: VerdictKind) -> anyhow::Result<()> {
    let verdict = sensor_ebpf::Verdict {
        kind: kind as u8,
        end: 0,
        padding: 0,
        reserved: 0,
        // Far ahead: measured is the ignored call, not the probe.
        retry_at: u64::MAX,
    };
    verdicts.set(key, &verdict).context("setting a verdict")
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measures the rows.
pub fn rows(ci: bool) -> anyhow::Result<Vec<Row>> {
    let (rounds, calls) = if ci { (3, 2_000) } else { (41, 20_000) };
    let options = Options::default();
    let mut programs = Programs::load(options).context("the tax rows need root and a kernel that can capture")?;
    let mut verdicts = programs.take_verdicts()?;
    let stop = Arc::new(AtomicBool::new(false));
    let Draining { batches, give_back, thread: drain, .. } = programs.take_ring()?.start(Arc::clone(&stop))?;
    let mut capture = programs.into_hook(options)?;
    let mut empty = Hook::empty()?;

    let mut message = vec![b'x'; 300];
    message[..19].copy_from_slice(b"{\"jsonrpc\":\"2.0\",\"x");
    let mut bench = Bench {
        null: File::options().write(true).open("/dev/null")?,
        ignored: std::io::pipe()?,
        captured: std::io::pipe()?,
        buffer: vec![0; message.len()],
        message,
    };
    capture.attach()?;
    set(&mut verdicts, &key_of(&mut bench.ignored, &batches, &give_back)?, VerdictKind::Ignore)?;
    set(&mut verdicts, &key_of(&mut bench.captured, &batches, &give_back)?, VerdictKind::Capture)?;
    capture.detach()?;

    let times = std::thread::scope(|scope| -> anyhow::Result<_> {
        let consuming = Arc::clone(&stop);
        let consumer = scope.spawn(move || consume(&batches, &give_back, &consuming));
        let times = alternate(&mut bench, &mut empty, &mut capture, rounds, calls);
        let kernel = kernel_side(&mut bench, &mut capture, calls * 10);
        stop.store(true, Ordering::Release);
        consumer.join().expect("the consumer does not panic");
        Ok((times?, kernel?))
    });
    stop.store(true, Ordering::Release);
    drain.join().expect("the drain does not panic");
    let ((empty_ns, capture_ns), (ignored_ns, captured_ns)) = times?;
    let ratio = |index: usize| capture_ns[index] / empty_ns[index];
    Ok(vec![
        Row::ratio("any other system call (getppid), sensor on, against \"empty\"", ratio(0), 1.15),
        Row::ratio("write to /dev/null, against \"empty\"", ratio(1), 1.6),
        Row::ratio("write to and read from a pipe under verdict ignore, against \"empty\"", ratio(2), 2.0),
        Row::ratio("300-byte message through a pipe, captured, live consumer, against \"empty\"", ratio(3), 1.4),
        Row::ratio("kernel side of a captured 300-byte message, against an ignored one", captured_ns / ignored_ns, 3.0),
        Row::plain("… in nanoseconds (write and read), ignored / captured", format!("{ignored_ns:.0} / {captured_ns:.0}")),
    ])
}

type PerOperation = [f64; OPERATIONS.len()];

/// Rounds of both hooks, turn about. Medians in nanoseconds a call.
fn alternate(
    bench: &mut Bench,
    empty: &mut Hook,
    capture: &mut Hook,
    rounds: usize,
    calls: u32,
) -> anyhow::Result<(PerOperation, PerOperation)> {
    let mut samples: [[Vec<f64>; OPERATIONS.len()]; 2] = Default::default();
    for round in 0..rounds {
        eprint!("\rtax: round {} of {rounds}", round + 1);
        for (hook, samples) in [&mut *empty, &mut *capture].into_iter().zip(&mut samples) {
            hook.attach()?;
            for (operation, samples) in OPERATIONS.into_iter().zip(samples.iter_mut()) {
                bench.run(operation, calls / 10);
                samples.push(bench.run(operation, calls));
            }
            hook.detach()?;
        }
    }
    eprintln!();
    Ok((samples[0].each_mut().map(|values| median(values)), samples[1].each_mut().map(|values| median(values))))
}

/// Nanoseconds that the program itself takes for a message: ignored, captured. By the kernel's clock, less what the clock
/// itself and the dispatch take: the time of a call that does not matter to the program.
fn kernel_side(bench: &mut Bench, capture: &mut Hook, calls: u32) -> anyhow::Result<(f64, f64)> {
    let counting = count_time().context("asking the kernel to count the time of programs")?;
    capture.attach()?;
    let mut measure = |operation| {
        let before = capture.time().0;
        bench.run(operation, calls);
        (capture.time().0 - before).as_secs_f64() * 1e9 / f64::from(calls)
    };
    let none = measure(Operation::Getppid);
    // A message is two calls: the write and the read.
    let ignored = measure(Operation::IgnoredPipe) - 2.0 * none;
    let captured = measure(Operation::CapturedPipe) - 2.0 * none;
    capture.detach()?;
    drop(counting);
    Ok((ignored, captured))
}
