//! What signals do to the service: SIGTERM and SIGINT stop it, SIGHUP makes it read its configuration again.
//!
//! Invariant: the first signal to stop stops in good order, the second at once.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// That the service is to stop, and since when.
#[derive(Debug, Default)]
pub struct Stop {
    flag: AtomicBool,
    since: OnceLock<Instant>,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asked {
    /// To stop.
    Stop,
    /// To read the configuration again.
    Reload,
}

impl Stop {
    /// The flag that the pipeline watches.
    #[must_use]
    pub const fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// Since when it is to stop; now, where nobody asked.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since.get().copied().unwrap_or_else(Instant::now)
    }

    /// Stop. False where that was said before.
    pub fn ask(&self) -> bool {
        let first = self.since.set(Instant::now()).is_ok();
        self.flag.store(true, Ordering::Release);
        first
    }
}

/// Calls `act` for each signal, on a thread of its own. Ends the process at a second signal to stop.
///
/// # Errors
/// Where signals or the thread cannot be had.
pub fn watch(stop: &'static Stop, mut act: impl FnMut(Asked) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                act(Asked::Reload);
            } else if stop.ask() {
                act(Asked::Stop);
            } else {
                signal_hook::low_level::exit(128 + signal);
            }
        }
    })?;
    Ok(())
}
