//! Items that own their bytes, to wait and to cross threads.

use recording::Item;
use sensor_core::input::{Chunk, Framed, Passed, Time};

/// An item with its bytes.
#[derive(Debug)]
pub enum Owned {
    /// See [`Item::Chunk`].
    Chunk(Passed, Box<[u8]>),
    /// See [`Item::Message`].
    Message(Framed<'static>, Box<[u8]>),
    /// One that has no bytes.
    Plain(Box<Item<'static>>),
}

impl Owned {
    /// A copy of an item.
    #[must_use]
    pub fn of(item: &Item<'_>) -> Self {
        Self::Plain(Box::new(match item {
            Item::Chunk(chunk) => return Self::Chunk(chunk.into(), chunk.bytes.into()),
            Item::Message(framed) => return Self::Message(Framed { bytes: &[], ..*framed }, framed.bytes.into()),
            Item::Process { time, id, peer } => Item::Process { time: *time, id: *id, peer: peer.clone() },
            Item::Touch(touch) => Item::Touch(*touch),
            Item::Passed(passed) => Item::Passed(*passed),
            &Item::Noise { time, stream, epoch, bytes } => Item::Noise { time, stream, epoch, bytes },
            &Item::Gap { time, stream, epoch, bytes, reasons } => Item::Gap { time, stream, epoch, bytes, reasons },
            &Item::Fork { time, parent, child } => Item::Fork { time, parent, child },
            &Item::Exec { time, process } => Item::Exec { time, process },
            &Item::Exit { time, process } => Item::Exit { time, process },
            &Item::Tick { time } => Item::Tick { time },
            Item::Event(event) => Item::Event(event.clone()),
        }))
    }

    /// The item.
    #[must_use]
    pub fn lend(&self) -> Item<'_> {
        match self {
            Self::Chunk(passed, bytes) => {
                let Passed { time, stream, epoch, end, process, offset, loss, packet_end, ahead, since_birth, length: _ } = *passed;
                Item::Chunk(Chunk { time, stream, epoch, end, process, offset, loss, packet_end, ahead, since_birth, bytes })
            }
            Self::Message(framed, bytes) => Item::Message(Framed { bytes, ..*framed }),
            Self::Plain(item) => (**item).clone(),
        }
    }

    /// True of a tick of this time or a later one.
    #[must_use]
    pub fn is_tick(&self, since: Time) -> bool {
        matches!(self, Self::Plain(item) if matches!(**item, Item::Tick { time } if time >= since))
    }

    /// Bytes of payload in it.
    #[must_use]
    pub fn payload(&self) -> u64 {
        match self {
            Self::Chunk(_, bytes) | Self::Message(_, bytes) => bytes.len() as u64,
            Self::Plain(item) => {
                if let Item::Passed(passed) = &**item {
                    passed.length
                } else {
                    0
                }
            }
        }
    }

    /// Bytes that it takes, by estimate.
    #[must_use]
    pub fn size(&self) -> usize {
        const PEER: usize = 2048;
        size_of::<Self>()
            + match self {
                Self::Chunk(_, bytes) | Self::Message(_, bytes) => bytes.len(),
                Self::Plain(item) => size_of::<Item<'_>>() + if matches!(**item, Item::Process { .. } | Item::Event(_)) { PEER } else { 0 },
            }
    }
}
