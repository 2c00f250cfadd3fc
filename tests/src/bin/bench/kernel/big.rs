//! Big messages: what a ring of the default size loses of them, by the kernel's own counters.

use crate::table::Row;
use anyhow::Context as _;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use sensor_user::bpf::{Counters, Draining, Options, Programs, records};
use std::{
    io::{ErrorKind, PipeReader, PipeWriter, Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

const MESSAGE: usize = 8 << 20;

/// How the message is written.
#[derive(Clone, Copy)]
enum Writer {
    Blocking,
    NonBlocking,
}

/// Measures the rows.
pub fn rows(_ci: bool) -> anyhow::Result<Vec<Row>> {
    let mut programs = Programs::load(Options::default()).context("the rows for big messages need root and a kernel that can capture")?;
    let counters = programs.take_counters()?;
    let stop = Arc::new(AtomicBool::new(false));
    let Draining { batches, give_back, thread: drain, .. } = programs.take_ring()?.start(Arc::clone(&stop))?;
    let mut hook = programs.into_hook(Options::default())?;
    hook.attach()?;
    let taken = AtomicU64::new(0);
    let rows = std::thread::scope(|scope| -> anyhow::Result<Vec<Row>> {
        let taken = &taken;
        scope.spawn(move || {
            while let Ok(batch) = batches.recv() {
                taken.fetch_add(records(&batch).map(|(_, record)| record.len() as u64).sum(), Ordering::Relaxed);
                if give_back.send(batch).is_err() {
                    return;
                }
            }
        });
        let rows = vec![
            row("one message of 8 MiB in one write", &counters, taken, Writer::Blocking, 1)?,
            row("five of 8 MiB in a row, non-blocking writer", &counters, taken, Writer::NonBlocking, 5)?,
        ];
        stop.store(true, Ordering::Release);
        Ok(rows)
    });
    hook.detach()?;
    stop.store(true, Ordering::Release);
    drain.join().expect("the drain does not panic");
    rows
}

fn row(what: &str, counters: &Counters, taken: &AtomicU64, how: Writer, count: usize) -> anyhow::Result<Row> {
    let before = counters.read()?.lost_bytes();
    let (reader, writer) = std::io::pipe()?;
    let seen = taken.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(move || drain(reader));
        scope.spawn(move || write(writer, how, count));
    });
    // At rest when no more bytes arrive.
    let mut last = seen;
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let now = taken.load(Ordering::Relaxed);
        if now == last {
            break;
        }
        last = now;
    }
    let lost = counters.read()?.lost_bytes() - before;
    Ok(Row {
        what: what.to_owned(),
        measured: format!("{lost} bytes lost"),
        to_hold: "0 bytes lost".to_owned(),
        held: Some(lost == 0 && last - seen >= (MESSAGE * count) as u64),
    })
}

fn drain(mut reader: PipeReader) {
    let mut buffer = vec![0; 64 << 10];
    while reader.read(&mut buffer).unwrap() != 0 {}
}

fn write(mut writer: PipeWriter, how: Writer, count: usize) {
    let mut message = vec![b'x'; MESSAGE];
    message[..9].copy_from_slice(b"{\"bench\":");
    message[MESSAGE - 1] = b'\n';
    if matches!(how, Writer::NonBlocking) {
        fcntl_setfl(&writer, fcntl_getfl(&writer).unwrap() | OFlags::NONBLOCK).unwrap();
    }
    for _ in 0..count {
        let mut rest = message.as_slice();
        while !rest.is_empty() {
            match writer.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("writing: {error}"),
            }
        }
    }
}
