//! The client's side of the wire: what is said, and what comes back, by id.

use super::Options;
use super::plan::Call;
use crate::lax::{Item, Splitter};
use crate::rpc;
use crate::shape::Shape;
use crate::speaker::Speaker;
use crate::wire::{self, Inlet, Received, wait_ready};
use anyhow::{Result, bail};
use end_to_end::truth::{LogWriter, Note, Way, sha256_hex};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shared by the threads that write and the one that reads.
pub struct Link {
    speaker: Speaker,
    log: Arc<LogWriter>,
    state: Mutex<State>,
    changed: Condvar,
    closing: AtomicBool,
    unseen: AtomicBool,
    /// What comes in now answers what the sensor did not see.
    unasked: AtomicBool,
    limit: Duration,
    wire: wire::Options,
    out: RawFd,
}

#[derive(Default)]
struct State {
    /// Answers by id; `None` while waited for.
    answers: HashMap<String, Option<Value>>,
    ended: bool,
    /// SHA-256 of what was said, where the terminal says it back.
    echoes: Option<HashSet<String>>,
}

/// 7 and 7.0 are one id.
fn key(id: &Value) -> String {
    id.as_f64().map_or_else(|| id.to_string(), |number| number.to_string())
}

impl Link {
    pub fn new(out: RawFd, options: &Options, echo: bool, log: Arc<LogWriter>) -> Result<Self> {
        let state = State { echoes: echo.then(HashSet::new), ..State::default() };
        Ok(Self {
            speaker: Speaker::new(out, &options.wire, options.threads, Arc::clone(&log))?,
            log,
            state: Mutex::new(state),
            changed: Condvar::new(),
            closing: AtomicBool::new(false),
            unseen: AtomicBool::new(false),
            unasked: AtomicBool::new(false),
            limit: Duration::from_secs(u64::from(options.timeout)),
            wire: options.wire.clone(),
            out,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is logged from now on is out of the sensor's sight, or is in it again.
    pub fn set_unseen(&self, unseen: bool) {
        self.unseen.store(unseen, Ordering::SeqCst);
        self.speaker.set_unseen(unseen);
    }

    pub fn set_optional(&self, optional: bool) {
        self.speaker.set_optional(optional);
    }

    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// An answer to this id will come.
    pub fn expect(&self, id: &Value) {
        self.state().answers.insert(key(id), None);
    }

    pub fn say(&self, thread: usize, shape: Shape, messages: &[Vec<u8>]) -> Result<()> {
        if let Some(echoes) = &mut self.state().echoes {
            echoes.extend(messages.iter().map(|message| sha256_hex(message)));
        }
        self.speaker.say(thread, shape, messages)
    }

    /// Says calls, so many in a write, and waits for the answers, which must be right.
    pub fn exchange(&self, thread: usize, shape: Shape, calls: &[Call], coalesce: usize) -> Result<()> {
        for call in calls {
            self.expect(&call.id);
        }
        for together in calls.chunks(coalesce.max(1)) {
            self.say(thread, shape, &together.iter().map(Call::message).collect::<Vec<_>>())?;
        }
        calls.iter().try_for_each(|call| call.check(&self.wait(&call.id)?))
    }

    /// Writes half of a call, does something, writes the other half; then what follows is in the sensor's sight.
    pub fn exchange_halves(&self, call: &Call, between: impl FnOnce() -> Result<()>) -> Result<()> {
        self.expect(&call.id);
        let message = call.message();
        self.log.message(Way::Sent, &message, Note { unseen: true, ..Note::default() });
        let line = [message, b"\n".to_vec()].concat();
        let (first, second) = line.split_at(line.len() / 2);
        let mut outlet = wire::Outlet::new(self.out, &self.wire)?;
        outlet.send(first)?;
        between()?;
        // The answer is the first thing that the sensor sees whole, and it cannot know what it answers.
        self.set_unseen(false);
        self.unasked.store(true, Ordering::SeqCst);
        outlet.send(second)?;
        call.check(&self.wait(&call.id)?)?;
        self.unasked.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Writes text that is no message, and in the end a line end.
    pub fn say_noise(&self, bytes: usize, open: bool) -> Result<()> {
        let start: &[u8] = if open { br#"{"jsonrpc":"2.0","id":0,"method":"tools/call","params":{"name":"#.as_slice() } else { b"" };
        let mut noise = start.to_vec();
        noise.extend_from_slice(if open { b"\"" } else { b"x" });
        noise.extend(rpc::numbers(bytes).into_bytes());
        self.log.noise(Way::Sent, &noise, None);
        noise.push(b'\n');
        wire::Outlet::new(self.out, &self.wire)?.send(&noise)
    }

    /// Waits for the answer to this id.
    pub fn wait(&self, id: &Value) -> Result<Value> {
        let deadline = Instant::now() + self.limit;
        let key = key(id);
        let mut state = self.state();
        loop {
            if let Some(Some(_)) = state.answers.get(&key) {
                return Ok(state.answers.remove(&key).flatten().unwrap_or_default());
            }
            if state.ended {
                bail!("the server ended before it answered {key}");
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { bail!("no answer to {key} within {:?}", self.limit) };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reads until the server ends its side (a terminal has no such end: until closing).
    pub fn read(&self, input: OwnedFd, options: &wire::Options, terminal: bool) -> Result<()> {
        let outcome = self.read_all(input.as_raw_fd(), options, terminal);
        self.state().ended = true;
        self.changed.notify_all();
        outcome
    }

    fn read_all(&self, input: RawFd, options: &wire::Options, terminal: bool) -> Result<()> {
        let mut inlet = Inlet::new(input, options)?;
        let mut splitter = if self.state().echoes.is_some() { Splitter::strict() } else { Splitter::default() };
        loop {
            if terminal && !wait_ready(input, libc::POLLIN, Some(Duration::from_millis(20)))? {
                if self.closing.load(Ordering::SeqCst) {
                    return Ok(());
                }
                continue;
            }
            match inlet.read(splitter.buffer())? {
                Received::End => return Ok(()),
                Received::Discarded(_) => self.log.blind(),
                Received::Bytes(_) => {
                    for item in splitter.take() {
                        self.take(item)?;
                    }
                }
            }
        }
    }

    fn take(&self, item: Item) -> Result<()> {
        let (bytes, members) = match item {
            Item::Noise(bytes) => {
                self.log.noise(Way::Received, &bytes, None);
                return Ok(());
            }
            Item::Message { bytes, members } => (bytes, members),
        };
        if self.state().echoes.as_ref().is_some_and(|echoes| echoes.contains(&sha256_hex(&bytes))) {
            return Ok(());
        }
        let (unseen, optional) = (self.unseen.load(Ordering::SeqCst), self.unasked.load(Ordering::SeqCst));
        self.log.message(Way::Received, &bytes, Note { unseen, optional, ..Note::default() });
        let id = members.get("id").cloned().unwrap_or_default();
        match members.get("method").and_then(Value::as_str) {
            Some(method) if !id.is_null() => self.answer(&id, method, &members),
            Some(_) => Ok(()),
            None => {
                // Answers that nobody waits for (one-way sessions) are no fault.
                if let Some(answer) = self.state().answers.get_mut(&key(&id)) {
                    *answer = Some(Value::Object(members));
                }
                self.changed.notify_all();
                Ok(())
            }
        }
    }

    /// Answers what the server asks.
    fn answer(&self, id: &Value, method: &str, _: &Map<String, Value>) -> Result<()> {
        let answer = match method {
            "elicitation/create" => rpc::result(id, &json!({"action": "accept", "content": {"name": "Ada"}})),
            "ping" => rpc::result(id, &json!({})),
            _ => rpc::error(id, -32601, &format!("no method {method}")),
        };
        self.say(0, Shape::Lf, &[answer])
    }
}
