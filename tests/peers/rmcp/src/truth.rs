//! The truth log: every MCP message that crosses the wire of this process, taken at the byte layer.
//!
//! Nothing is re-serialised: the bytes that a read or a write moved are cut at line feeds and hashed. The streams, and so the system
//! calls, stay what they are without the log.

use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Result, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Appends to `$TRUTH_DIR/<role>-<peer>-<pid>.jsonl`, one write a line. Without `TRUTH_DIR` it does nothing.
pub struct TruthLog {
    file: Option<File>,
    role: &'static str,
    peer: String,
    session: String,
    scenario: Mutex<Option<String>>,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

impl TruthLog {
    pub fn new(role: &'static str) -> Arc<Self> {
        let (peer, session, directory) = (variable("MCP_PEER_NAME"), variable("TRUTH_SESSION"), variable("TRUTH_DIR"));
        let pid = std::process::id();
        let file = (!directory.is_empty()).then(|| {
            let path = format!("{directory}/{role}-{peer}-{pid}.jsonl");
            OpenOptions::new().append(true).create(true).open(path).expect("the truth log can be written")
        });
        let log = Self { file, role, peer, session, scenario: Mutex::default() };
        let argv: Vec<String> = std::env::args().collect();
        log.line(&json!({
            "role": role, "peer": log.peer, "pid": pid, "start": true, "argv": argv, "session": log.session,
        }));
        Arc::new(log)
    }

    pub fn set_scenario(&self, name: &str) {
        *self.scenario.lock().expect("not poisoned") = Some(name.to_owned());
    }

    pub fn scenario(&self) -> Option<String> {
        self.scenario.lock().expect("not poisoned").clone()
    }

    pub fn end(&self) {
        self.line(&json!({"end": true}));
    }

    pub fn reads<R>(self: &Arc<Self>, inner: R) -> Logged<R> {
        Logged { inner, log: Arc::clone(self), direction: "received", rest: Vec::new() }
    }

    pub fn writes<W>(self: &Arc<Self>, inner: W) -> Logged<W> {
        Logged { inner, log: Arc::clone(self), direction: "sent", rest: Vec::new() }
    }

    fn message(&self, direction: &str, line: &[u8]) {
        let text = line.trim_ascii();
        if text.is_empty() {
            return;
        }
        let value: Option<Value> = serde_json::from_slice(text).ok();
        let member = |name: &str| value.as_ref().and_then(|value| value.get(name)).cloned();
        let sha256: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut entry = json!({
            "role": self.role, "peer": self.peer, "pid": std::process::id(), "direction": direction, "size": text.len(),
            "sha256": sha256, "session": self.session, "scenario": self.scenario(), "method": member("method"),
        });
        if let Some(id) = member("id") {
            entry["id"] = id;
        }
        if value.is_none() {
            entry["invalid"] = Value::Bool(true);
        }
        self.line(&entry);
    }

    fn line(&self, entry: &Value) {
        if let Some(mut file) = self.file.as_ref() {
            file.write_all(format!("{entry}\n").as_bytes()).expect("the truth log can be written");
        }
    }
}

/// A stream that shows the log what each call moved.
pub struct Logged<S> {
    inner: S,
    log: Arc<TruthLog>,
    direction: &'static str,
    rest: Vec<u8>,
}

impl<S> Logged<S> {
    /// Collects bytes until a line is whole.
    fn feed(&mut self, mut data: &[u8]) {
        while let Some(at) = data.iter().position(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(&data[..at]);
            self.log.message(self.direction, &self.rest);
            self.rest.clear();
            data = &data[at + 1..];
        }
        self.rest.extend_from_slice(data);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Logged<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.inner).poll_read(cx, buffer);
        this.feed(&buffer.filled()[before..]);
        result
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Logged<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_write(cx, data);
        if let Poll::Ready(Ok(count)) = result {
            this.feed(&data[..count]);
        }
        result
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_write_vectored(cx, parts);
        if let Poll::Ready(Ok(mut count)) = result {
            for part in parts {
                let taken = part.len().min(count);
                this.feed(&part[..taken]);
                count -= taken;
            }
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
