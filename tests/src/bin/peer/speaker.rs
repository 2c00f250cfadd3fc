//! Saying messages: laid out in their shape, logged, and written.

use crate::shape::{Kind, Shape};
use crate::wire::{self, Outlet};
use anyhow::{Result, anyhow};
use end_to_end::truth::{LogWriter, Note, Way};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The writing side of a session. Each thread may have an outlet of its own to the same file; threads that share one take turns.
pub struct Speaker {
    outlets: Vec<Mutex<Outlet>>,
    log: Arc<LogWriter>,
    /// What is said now crosses the wire before the sensor watches.
    unseen: AtomicBool,
    /// What is said now may be cut short.
    optional: AtomicBool,
}

impl Speaker {
    /// `threads` outlets to this descriptor, which stays the caller's.
    pub fn new(fd: RawFd, options: &wire::Options, threads: usize, log: Arc<LogWriter>) -> Result<Self> {
        let outlets = (0..threads.max(1)).map(|_| Ok(Mutex::new(Outlet::new(fd, options)?))).collect::<Result<Vec<_>>>()?;
        if outlets.len() > 1 {
            log.unordered();
        }
        Ok(Self { outlets, log, unseen: AtomicBool::new(false), optional: AtomicBool::new(false) })
    }

    /// Marks what follows, in the log, as out of the sensor's sight.
    pub fn set_unseen(&self, unseen: bool) {
        self.unseen.store(unseen, Ordering::SeqCst);
    }

    /// Marks what follows, in the log, as not sure to arrive whole.
    pub fn set_optional(&self, optional: bool) {
        self.optional.store(optional, Ordering::SeqCst);
    }

    /// Says these messages together, in one write where the shape has no other wish.
    pub fn say(&self, thread: usize, shape: Shape, messages: &[Vec<u8>]) -> Result<()> {
        let pieces = shape.lay_out(messages);
        let outlet = self.outlets.get(thread % self.outlets.len()).ok_or_else(|| anyhow!("no outlet"))?;
        let mut outlet = outlet.lock().unwrap_or_else(PoisonError::into_inner);
        let name = shape.name();
        let odd = (shape != Shape::Lf).then_some(name.as_str());
        let note =
            Note { odd, unseen: self.unseen.load(Ordering::SeqCst), optional: self.optional.load(Ordering::SeqCst), withdrawn: false };
        let mut call = Vec::new();
        for piece in &pieces {
            match piece.kind {
                Kind::Message => self.log.message(Way::Sent, &piece.bytes, note),
                Kind::Optional | Kind::Aside => self.log.message(Way::Sent, &piece.bytes, Note { optional: true, ..note }),
                Kind::Noise => self.log.noise(Way::Sent, &piece.bytes, odd),
                Kind::Filler => {}
            }
        }
        for piece in &pieces {
            if piece.kind != Kind::Aside {
                call.extend_from_slice(&piece.bytes);
            }
            if !piece.last {
                continue;
            }
            if let Err(error) = outlet.send(&call) {
                for piece in pieces.iter().filter(|piece| piece.kind == Kind::Message) {
                    self.log.message(Way::Sent, &piece.bytes, Note { withdrawn: true, ..note });
                }
                return Err(error);
            }
            call.clear();
        }
        Ok(())
    }
}
