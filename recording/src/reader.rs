//! Reading a recording.

use crate::blocks::{Blocks, End};
use crate::decode;
use crate::error::{Fault, ReadError};
use crate::format::{FIRST_NO_ITEM, MAX_BLOCK, block, kind};
use crate::item::{Header, Item, Kind};
use crate::keys::KeyId;
use crate::manifest::Manifest;
use crate::proto;
use crate::source::Source;
use age::x25519::Identity;
use std::io::Read;

/// How a recording is read.
pub struct Options {
    /// Keys that open an encrypted recording.
    pub identities: Vec<Identity>,
    /// The longest block that is held in memory. The writer's longest is 64 MiB; memory stays below this and 48 MiB.
    pub max_block: usize,
    /// Bytes of pcapng that are read in all.
    pub max_total: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { identities: Vec::new(), max_block: MAX_BLOCK, max_total: 1 << 50 }
    }
}

/// How a recording ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one for a recording")]
pub enum Ending {
    /// As its writer ended it.
    Complete(Manifest),
    /// Behind a whole block, but its writer did not end it: it was killed, or still writes.
    NotClosed,
    /// Inside of a block or of a layer.
    Cut {
        /// Where the last whole block ends, in bytes of the pcapng.
        at: u64,
    },
}

/// Reads a recording, item by item, in constant memory.
pub struct Reader<'r> {
    blocks: Blocks<'r>,
    header: Header,
    signer: Option<KeyId>,
    manifest: Option<Manifest>,
    skipped: u64,
}

/// What a block is to a reader.
pub(crate) enum Content {
    /// An item.
    Item(Kind, decode::Found),
    /// The end of the recording.
    Manifest(decode::Found),
    /// A link of the chain.
    Link(decode::Found),
    /// Nothing of interest.
    Nothing,
    /// What this version does not know; with its number where it is an item.
    Unknown(Option<u64>),
}

/// Tells what a block is.
pub(crate) fn content(r#type: u32, raw: &[u8], order: crate::take::ByteOrder) -> Result<Content, Fault> {
    let found = decode::find(raw, order).map_err(Fault::Malformed)?;
    let Some(found) = found else {
        // What others may have added. A packet without our data is none of ours.
        let added = !matches!(r#type, block::SECTION | block::INTERFACE);
        return Ok(if added { Content::Unknown(None) } else { Content::Nothing });
    };
    let envelope = &found.envelope;
    let number = (envelope.kind < FIRST_NO_ITEM).then_some(envelope.number);
    if !envelope.is_ours() {
        return Ok(Content::Unknown(number));
    }
    Ok(match envelope.kind {
        kind::MANIFEST => Content::Manifest(found),
        kind::CHAIN => Content::Link(found),
        kind::HEADER | kind::PADDING | kind::NOTE => Content::Nothing,
        kind if kind < FIRST_NO_ITEM => match Kind::from_number(kind) {
            Some(kind) => Content::Item(kind, found),
            None => Content::Unknown(number),
        },
        _ => Content::Unknown(None),
    })
}

/// Reads up to our header. What of it was read is given to `take`.
pub(crate) fn header(blocks: &mut Blocks<'_>, mut take: impl FnMut(&[u8])) -> Result<(Header, Option<KeyId>), ReadError> {
    loop {
        let Some(span) = blocks.next()? else {
            let fault = if blocks.end() == Some(End::Cut) { Fault::Malformed("it ends before its header does") } else { Fault::Foreign };
            return Err(ReadError { fault, at: blocks.position() });
        };
        let raw = blocks.bytes(&span);
        take(raw);
        let error = |fault| Err(ReadError { fault, at: span.at });
        match decode::find(raw, blocks.order) {
            Ok(Some(found)) if found.envelope.kind == kind::HEADER => {
                if !found.envelope.is_ours() {
                    return error(Fault::Newer { version: found.envelope.version });
                }
                let header = raw.get(found.envelope.body).and_then(decode::header);
                return match header {
                    Some((header, signer)) => Ok((header, signer.map(KeyId))),
                    None => error(Fault::Malformed("its header")),
                };
            }
            _ if span.r#type == block::PACKET => return error(Fault::Foreign),
            _ => {}
        }
    }
}

impl<'r> Reader<'r> {
    /// Opens a recording: its layers, and its beginning.
    ///
    /// # Errors
    /// Where it is none, cannot be decrypted or read, or ends before its header does.
    pub fn open(read: impl Read + Send + 'r, options: &Options) -> Result<Self, ReadError> {
        let source = Source::open(read, &options.identities)?;
        let mut blocks = Blocks::new(source, options.max_block, options.max_total);
        let (header, signer) = header(&mut blocks, |_| {})?;
        Ok(Self { blocks, header, signer, manifest: None, skipped: 0 })
    }

    /// What the recording says of itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The key that the beginning says will sign the end.
    #[must_use]
    pub const fn signer(&self) -> Option<KeyId> {
        self.signer
    }

    /// Blocks that this version does not know, and skipped.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Where the next block begins, in bytes of the pcapng.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.blocks.position()
    }

    /// The next item; `None` at the end, however it comes ([`Reader::ending`] tells).
    ///
    /// # Errors
    /// Where a block is not what was written. The reader goes on behind it where that [`ReadError::is_passing`]; else the next call
    /// gives `None`.
    #[expect(clippy::should_implement_trait, reason = "an item borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, ReadError> {
        let (kind, found, span) = loop {
            let Some(span) = self.blocks.next()? else { return Ok(None) };
            let error = |fault| Err(ReadError { fault, at: span.at });
            if self.manifest.is_some() {
                self.blocks.stop();
                return error(Fault::BehindTheEnd);
            }
            let raw = self.blocks.bytes(&span);
            match content(span.r#type, raw, self.blocks.order) {
                Err(fault) => return error(fault),
                Ok(_) if span.r#type == block::SECTION => {
                    self.blocks.stop();
                    return error(Fault::BehindTheEnd);
                }
                Ok(Content::Item(kind, found)) => break (kind, found, span),
                Ok(Content::Manifest(found)) => {
                    let manifest = raw.get(found.envelope.body).and_then(Manifest::read).map(|(manifest, _)| manifest);
                    self.manifest = Some(match manifest {
                        Some(manifest) => manifest,
                        None => return error(Fault::Malformed("its manifest")),
                    });
                }
                Ok(Content::Unknown(_)) => self.skipped += 1,
                Ok(Content::Link(_) | Content::Nothing) => {}
            }
        };
        let raw = self.blocks.bytes(&span);
        match item(kind, &found, raw) {
            Some(item) => Ok(Some(item)),
            None => Err(ReadError { fault: Fault::Malformed(kind.plural()), at: span.at }),
        }
    }

    /// How the recording ended. Meant for when [`Reader::next`] gave `None`.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match (&self.manifest, self.blocks.end()) {
            (Some(manifest), _) => Ending::Complete(manifest.clone()),
            (None, Some(End::Cut)) => Ending::Cut { at: self.blocks.position() },
            (None, _) => Ending::NotClosed,
        }
    }
}

/// An item out of a block in which it was found.
pub(crate) fn item<'a>(kind: Kind, found: &decode::Found, raw: &'a [u8]) -> Option<Item<'a>> {
    let body = raw.get(found.envelope.body.clone())?;
    if matches!(kind, Kind::Process | Kind::Event) && !proto::is_modest(body) {
        return None;
    }
    decode::item(kind, body, raw.get(found.payload.clone())?)
}
