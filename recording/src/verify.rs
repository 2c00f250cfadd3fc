//! Whether a recording is what its writer wrote, and all of it.
//!
//! Each segment is hashed, each link of the chain takes in the one before, and the manifest closes the chain. Items are numbered,
//! so that what was removed or moved can be told from what was altered. Who alters a recording can make a chain anew, but no
//! signature: so only a recording that is signed by a trusted key proves anything against one who wanted to deceive.

use crate::blocks::{Blocks, End, Span};
use crate::chain::{self, Chain, Link};
use crate::error::{Fault, ReadError};
use crate::item::Header;
use crate::keys::{KeyId, PublicKey};
use crate::manifest::{Manifest, Summary, Tally};
use crate::reader::{Content, Options, content, header, item};
use crate::source::Source;
use ring::digest::{Context, SHA256};
use sensor_core::input::Time;
use std::fmt;
use std::io::Read;

/// What came out of verifying a recording.
#[derive(Clone, Debug)]
pub struct Verification {
    /// What the recording says of itself.
    pub header: Header,
    /// Whether it is whole and unaltered.
    pub verdict: Verdict,
    /// What was found in it, with the losses that the sensor declared. Where the verdict is [`Verdict::Complete`], the manifest
    /// says the same.
    pub summary: Summary,
    /// Segments from the beginning that are what was hashed.
    pub segments: u64,
    /// Bytes of pcapng in them.
    pub bytes: u64,
    /// Blocks that this version does not know.
    pub skipped: u64,
    /// Items that could not be read.
    pub malformed: u64,
    /// The recording is whole, but the end of the compressed file behind it is missing.
    pub trailer_cut: bool,
}

/// Whether a recording is whole and unaltered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is.
    Complete(Signature),
    /// It is not what was hashed.
    Damaged(Damage),
    /// It ends behind a whole block, without the manifest: its writer was killed or still writes, or the end was cut off.
    NotClosed {
        /// Where it ends, in bytes of the pcapng.
        at: u64,
    },
    /// It ends inside of a block.
    Cut {
        /// Where its last whole block ends, in bytes of the pcapng.
        at: u64,
    },
}

/// Who vouches for a complete recording.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Signature {
    /// One of the trusted keys.
    Trusted(PublicKey),
    /// A key that is not among the trusted ones. Proves nothing: whoever alters a recording can sign it with a key of theirs.
    Unknown(PublicKey),
    /// Nobody. Proves nothing but that no accident altered it.
    Unsigned,
    /// Nobody, but the beginning says that this key would.
    Removed(KeyId),
}

/// The first place at which a recording is not what was hashed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Damage {
    /// What was done there.
    pub what: What,
    /// Number of the segment, from 0.
    pub segment: u64,
    /// Where the segment begins, in bytes of the pcapng.
    pub at: u64,
    /// Where it ends.
    pub until: u64,
    /// Time of the first item in it, where there is one.
    pub time: Option<Time>,
    /// Number of the item that is missing or moved, where that is known.
    pub item: Option<u64>,
}

/// What was done to a recording.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum What {
    /// Bytes are others than they were.
    Altered,
    /// Items are missing.
    Removed,
    /// Items are there that were not, or twice.
    Inserted,
    /// Items stand in another order.
    Reordered,
    /// The manifest is not that of this recording.
    Manifest,
    /// The signature is not by the key that it names, or not by the one that the beginning names.
    Signature,
    /// The bytes behind cannot be read at all.
    Unreadable,
}

impl fmt::Display for What {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Altered => "bytes were altered",
            Self::Removed => "items were removed",
            Self::Inserted => "items were inserted",
            Self::Reordered => "items were put in another order",
            Self::Manifest => "the manifest was altered",
            Self::Signature => "the signature is wrong",
            Self::Unreadable => "the bytes were altered, and cannot be read any more",
        })
    }
}

/// Verifies a recording. Reads all of it, in constant memory.
///
/// # Errors
/// Where it cannot be opened (it is no recording, or encrypted for others, or its beginning was altered), or the file cannot be
/// read. Whatever is wrong behind its beginning is no error but the verdict.
pub fn verify(read: impl Read + Send, options: &Options, trusted: &[PublicKey]) -> Result<Verification, ReadError> {
    let source = Source::open(read, &options.identities)?;
    let mut blocks = Blocks::new(source, options.max_block, options.max_total);
    let mut walk = Walk::default();
    let (header, signer) = header(&mut blocks, |raw| walk.hash(raw))?;
    loop {
        match blocks.next() {
            Ok(Some(span)) => walk.block(&blocks, &span),
            Ok(None) => break,
            Err(error) if matches!(error.fault, Fault::Io(_) | Fault::BlockTooLong { .. } | Fault::TooMuch { .. }) => return Err(error),
            Err(error) => {
                walk.damage(What::Unreadable, error.at, error.at);
                break;
            }
        }
    }
    Ok(walk.finish(&blocks, header, signer, trusted))
}

/// The items' numbers, which count up from 0.
#[derive(Default)]
struct Numbers {
    next: u64,
    /// The first number that did not come in its turn, and the segment in which that was noticed.
    missing: Option<(u64, u64)>,
    /// It came later.
    moved: bool,
    /// The segment in which a number came again.
    again: Option<u64>,
}

impl Numbers {
    fn came(&mut self, number: u64, segment: u64) {
        if number >= self.next {
            self.up_to(number, segment);
            self.next = number.saturating_add(1);
        } else if self.missing.is_some_and(|(missing, _)| missing == number) {
            self.moved = true;
        } else {
            self.again.get_or_insert(segment);
        }
    }

    /// All numbers below this one should have come.
    fn up_to(&mut self, number: u64, segment: u64) {
        if number > self.next {
            self.missing.get_or_insert((self.next, segment));
        }
    }
}

/// A walk over the blocks.
struct Walk {
    chain: Chain,
    /// The segment that is being read: its hash, its length, the time of its first item.
    context: Context,
    length: u64,
    time: Option<Time>,
    numbers: Numbers,
    tally: Tally,
    damage: Option<Damage>,
    manifest: Option<Manifest>,
    segments: u64,
    bytes: u64,
    skipped: u64,
    malformed: u64,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            chain: Chain::default(),
            context: Context::new(&SHA256),
            length: 0,
            time: None,
            numbers: Numbers::default(),
            tally: Tally::default(),
            damage: None,
            manifest: None,
            segments: 0,
            bytes: 0,
            skipped: 0,
            malformed: 0,
        }
    }
}

impl Walk {
    fn hash(&mut self, raw: &[u8]) {
        self.context.update(raw);
        self.length += raw.len() as u64;
    }

    /// Notes the first damage.
    fn damage(&mut self, what: What, at: u64, until: u64) {
        let (segment, time) = (self.chain.links, self.time);
        self.damage.get_or_insert(Damage { what, segment, at, until, time, item: None });
    }

    fn block(&mut self, blocks: &Blocks<'_>, span: &Span) {
        let raw = blocks.bytes(span);
        let until = blocks.position();
        if self.manifest.is_some() {
            return self.damage(What::Inserted, span.at, until);
        }
        let number = match content(span.r#type, raw, blocks.order) {
            Ok(Content::Link(found)) => match raw.get(found.envelope.body).and_then(Link::read) {
                Some(link) => return self.link(&link, raw, until),
                None => None,
            },
            Ok(Content::Manifest(found)) => {
                let body = raw.get(found.envelope.body).unwrap_or_default();
                if let Some((manifest, signed)) = Manifest::read(body) {
                    let rightly = manifest.is_signed_rightly(body.get(..signed).unwrap_or_default());
                    let mut exact = Vec::new();
                    manifest.block(&mut exact);
                    // One with kinds that this version does not know cannot be written again.
                    let exact = exact == raw || manifest.summary.unknown > 0;
                    return self.manifest(manifest, rightly, exact, span.at, until);
                }
                self.damage(What::Manifest, span.at, until);
                None
            }
            Ok(Content::Item(kind, found)) => {
                match item(kind, &found, raw) {
                    Some(item) => {
                        self.time = self.time.or(item.time());
                        self.tally.item(&item);
                    }
                    None => {
                        self.malformed += 1;
                        self.tally.unknown();
                    }
                }
                Some(found.envelope.number)
            }
            Ok(Content::Unknown(number)) => {
                self.skipped += 1;
                if number.is_some() {
                    self.tally.unknown();
                }
                number
            }
            Ok(Content::Nothing) => None,
            Err(_) => {
                self.malformed += 1;
                None
            }
        };
        if let Some(number) = number {
            self.numbers.came(number, self.chain.links);
        }
        self.hash(raw);
    }

    fn link(&mut self, link: &Link, raw: &[u8], until: u64) {
        let sha256 = chain::finish(std::mem::replace(&mut self.context, Context::new(&SHA256)));
        let expected = self.chain.link(sha256, self.length, self.numbers.next);
        if chain::is_block_of(&expected, raw) {
            if self.damage.is_none() {
                self.segments += 1;
                self.bytes = until;
            }
            self.chain.follow(&expected);
        } else {
            self.numbers.up_to(link.items, self.chain.links);
            self.damage(What::Altered, self.chain.offset, until);
            self.chain = Chain { links: link.index.saturating_add(1), offset: until, name: link.name() };
        }
        self.length = 0;
        self.time = None;
    }

    fn manifest(&mut self, manifest: Manifest, rightly: bool, exact: bool, at: u64, until: u64) {
        self.numbers.up_to(manifest.summary.items(), self.chain.links);
        if self.length > 0 {
            // Every item stands before a link: one was removed, or what follows the last was added.
            self.damage(if self.chain.links < manifest.segments { What::Altered } else { What::Inserted }, self.chain.offset, at);
        }
        let Manifest { summary, segments, bytes, link, signature } = &manifest;
        let Chain { links, offset, name } = &self.chain;
        let same_sums = *summary == self.tally.summary() || self.malformed > 0 || self.skipped > 0;
        if (segments, bytes, link) != (links, offset, name) || !same_sums || !exact {
            self.damage(What::Manifest, at, until);
        }
        if signature.is_some() && !rightly {
            self.damage(What::Signature, at, until);
        }
        self.manifest = Some(manifest);
    }

    fn finish(mut self, blocks: &Blocks<'_>, header: Header, signer: Option<KeyId>, trusted: &[PublicKey]) -> Verification {
        let at = blocks.position();
        if self.manifest.is_some() && blocks.behind() > 0 {
            self.damage(What::Inserted, at, at + blocks.behind());
        }
        let key = self.manifest.as_ref().and_then(|manifest| manifest.signature.as_ref()).map(|signed| signed.key.clone());
        if let Some(key) = &key
            && signer != Some(key.id())
        {
            self.damage(What::Signature, at, at);
        }
        let verdict = match (self.damage, &self.manifest) {
            (Some(damage), _) => Verdict::Damaged(self.named(damage)),
            (None, Some(_)) => Verdict::Complete(match (key, signer) {
                (Some(key), _) => match trusted.iter().find(|trusted| trusted.bytes == key.bytes) {
                    Some(trusted) => Signature::Trusted(trusted.clone()),
                    None => Signature::Unknown(key),
                },
                (None, Some(signer)) => Signature::Removed(signer),
                (None, None) => Signature::Unsigned,
            }),
            (None, None) if blocks.end() == Some(End::Cut) => Verdict::Cut { at },
            (None, None) => Verdict::NotClosed { at },
        };
        Verification {
            header,
            verdict,
            summary: self.tally.summary(),
            segments: self.segments,
            bytes: self.bytes,
            skipped: self.skipped,
            malformed: self.malformed,
            trailer_cut: self.manifest.is_some() && blocks.end() == Some(End::Cut),
        }
    }

    /// Says by the items' numbers what was done.
    fn named(&self, damage: Damage) -> Damage {
        if !matches!(damage.what, What::Altered | What::Inserted | What::Manifest) {
            return damage;
        }
        match (self.numbers.missing, self.numbers.again) {
            (Some((number, segment)), _) if segment == damage.segment => {
                let what = if self.numbers.moved { What::Reordered } else { What::Removed };
                Damage { what, item: Some(number), ..damage }
            }
            (_, Some(segment)) if segment == damage.segment => Damage { what: What::Inserted, ..damage },
            _ => damage,
        }
    }
}
