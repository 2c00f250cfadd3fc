//! The pipeline's end of the uplink: encodes each event once and puts it into the queue.
//!
//! Invariant: nothing here waits for the network. The lock is held for as long as a queue operation takes, here and in the
//! sender alike.

use std::io;
use std::sync::Arc;

use mcp_sensor_proto::v1::loss::Count;

use super::Shared;
use crate::export::{Exporter, Outgoing, Summary};

/// Events that may wait before the sender is woken in the middle of a batch of the pipeline.
const WAKE_AT: usize = 64;

/// Takes events for the collector.
pub struct UplinkExporter {
    shared: Arc<Shared>,
    /// Single messages are sent, not only what is made of them.
    messages: bool,
    scratch: Vec<u8>,
    unannounced: usize,
}

impl UplinkExporter {
    pub(super) const fn new(shared: Arc<Shared>, messages: bool) -> Self {
        Self { shared, messages, scratch: Vec::new(), unannounced: 0 }
    }

    fn announce(&mut self) {
        if std::mem::take(&mut self.unannounced) > 0 {
            self.shared.wake.notify_one();
        }
    }
}

impl Exporter for UplinkExporter {
    fn wants_messages(&self) -> bool {
        self.messages
    }

    fn event(&mut self, event: &Outgoing) -> io::Result<()> {
        self.scratch.clear();
        event.encode(&mut self.scratch);
        let severity = u8::try_from(event.frame.severity).unwrap_or(0);
        self.shared.push(event.frame.sequence, severity, Arc::from(self.scratch.as_slice()));
        self.scratch.shrink_to(1 << 20);
        self.unannounced += 1;
        if self.unannounced >= WAKE_AT {
            self.announce();
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.announce();
        Ok(())
    }

    fn tick(&mut self, _now: i64) -> io::Result<()> {
        self.shared.log_losses();
        Ok(())
    }

    fn finish(&mut self, _summary: &Summary) -> io::Result<()> {
        self.announce();
        Ok(())
    }

    fn losses(&self) -> Vec<Count> {
        self.shared.losses()
    }
}
