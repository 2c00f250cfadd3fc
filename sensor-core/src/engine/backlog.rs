//! Messages that wait: for their stream to be known as MCP, for their session's peers to be known, or, an answer, for a
//! request that the ring gives out a moment later.

use crate::event::Marks;
use crate::input::{LossReasons, Time};
use std::collections::VecDeque;

/// What is known of a message beside its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// When its last byte was seen.
    pub time: Time,
    /// Its position in the stream.
    pub start: u64,
    /// What was odd about its framing.
    pub marks: Marks,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Bytes.
    pub size: u64,
}

/// One that waits.
#[derive(Debug)]
pub enum Waiting {
    /// A message.
    Message {
        /// About it.
        meta: Meta,
        /// Its bytes.
        bytes: Box<[u8]>,
        /// Its id as a number, if it is a request.
        request: Option<u64>,
    },
    /// Bytes are missing here.
    Gap {
        /// When that was known.
        time: Time,
        /// How many.
        bytes: Option<u64>,
        /// Why.
        reasons: LossReasons,
    },
}

impl Waiting {
    /// When it was seen.
    pub const fn time(&self) -> Time {
        match self {
            Self::Message { meta: Meta { time, .. }, .. } | Self::Gap { time, .. } => *time,
        }
    }

    /// Bytes that it holds.
    pub fn held(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Message { bytes, .. } => bytes.len(),
                Self::Gap { .. } => 0,
            }
    }

    /// True for a message.
    pub const fn is_message(&self) -> bool {
        matches!(self, Self::Message { .. })
    }
}

/// What waits on one stream, in order.
#[derive(Debug, Default)]
pub struct Backlog {
    items: VecDeque<Waiting>,
    held: usize,
    /// Bytes of messages that were dropped from the front.
    pub dropped: u64,
}

impl Backlog {
    /// Adds at the end.
    pub fn push(&mut self, item: Waiting) {
        self.held += item.held();
        self.items.push_back(item);
    }

    /// Puts back what was popped.
    pub fn push_front(&mut self, item: Waiting) {
        self.held += item.held();
        self.items.push_front(item);
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<Waiting> {
        let item = self.items.pop_front()?;
        self.held -= item.held();
        if self.items.is_empty() {
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// The first.
    pub fn first(&self) -> Option<&Waiting> {
        self.items.front()
    }

    /// About the first message.
    pub fn first_message(&self) -> Option<&Meta> {
        self.iter().find_map(|item| match item {
            Waiting::Message { meta, .. } => Some(meta),
            Waiting::Gap { .. } => None,
        })
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.items.iter()
    }

    /// True where nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// How many of them are messages.
    pub fn messages(&self) -> u64 {
        self.items.iter().filter(|item| item.is_message()).count() as u64
    }

    /// Bytes held.
    pub const fn held(&self) -> usize {
        self.held
    }
}
