//! What a recording says of itself at its end: what it holds, what was lost, and who vouches for it.

use crate::chain::Chain;
use crate::format::kind;
use crate::item::{Item, Kind};
use crate::keys::{PublicKey, Signer};
use crate::put::{Put as _, custom_block};
use crate::take::Take;
use mcp_sensor_proto::v1::{self, event};
use sensor_core::input::Time;
use std::collections::BTreeMap;

/// What goes before a manifest's bytes when they are signed.
const DOMAIN: &[u8] = b"mcp-sensor recording manifest 1\0";

/// Places and reasons of loss that are told apart. The contract has some fifty.
const MAX_LOSSES: usize = 1024;

/// What was lost at one place for one reason while the recording ran, as the sensor declared it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lost {
    /// Where: a `v1::loss::Place`.
    pub place: i32,
    /// Why: a `v1::loss::Reason`.
    pub reason: i32,
    /// How many units of that place (see `v1::loss::Count`).
    pub count: u64,
    /// Bytes in them, as far as known.
    pub bytes: u64,
}

/// What a recording holds, in sums.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// How many items of each kind.
    pub counts: BTreeMap<Kind, u64>,
    /// Items of kinds that this version does not know.
    pub unknown: u64,
    /// The earliest time of an item.
    pub first: Option<Time>,
    /// The latest time of an item.
    pub last: Option<Time>,
    /// What the sensor declared as lost while it recorded.
    pub losses: Vec<Lost>,
    /// Bytes missing in gap items, as far as known.
    pub gap_bytes: u64,
    /// Blind spots in the longest list that an event gave.
    pub blind_spots: u64,
}

impl Summary {
    /// How many items of a kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// How many items.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.counts.values().fold(self.unknown, |sum, count| sum.saturating_add(*count))
    }
}

/// The end of a whole recording.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manifest {
    /// What it holds.
    pub summary: Summary,
    /// Segments that are hashed.
    pub segments: u64,
    /// Bytes of pcapng before the manifest.
    pub bytes: u64,
    /// Name of the last link of the chain: it stands for every byte before the manifest.
    pub link: [u8; 32],
    /// Who signed it, if anyone did. [`crate::verify()`] says whether the signature is right.
    pub signature: Option<Signed>,
}

/// A signature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed {
    /// The key that it says it is by.
    pub key: PublicKey,
    /// The signature.
    pub signature: [u8; 64],
}

impl Manifest {
    /// The manifest of a chain, signed where there is a key for it.
    pub(crate) fn new(summary: Summary, chain: &Chain, signer: Option<&Signer>) -> Self {
        let mut manifest = Self { summary, segments: chain.links, bytes: chain.offset, link: chain.name, signature: None };
        manifest.signature = signer.map(|signer| {
            let key = signer.public_key("");
            let mut body = Vec::new();
            manifest.write(&mut body);
            Signed { signature: signer.sign(&message(&body, &key)), key }
        });
        manifest
    }

    /// True where the signature is by the key that it names; `signed` is what it signs of the manifest's bytes. False without one.
    pub(crate) fn is_signed_rightly(&self, signed: &[u8]) -> bool {
        self.signature.as_ref().is_some_and(|Signed { key, signature }| key.has_signed(&message(signed, key), signature))
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Self { summary, segments, bytes, link, signature: _ } = self;
        let Summary { counts, unknown, first, last, losses, gap_bytes, blind_spots } = summary;
        out.u64(*segments);
        out.u64(*bytes);
        out.bytes(link);
        out.u64(*unknown);
        for time in [first, last] {
            out.u8(u8::from(time.is_some()));
            out.u64(time.unwrap_or(0));
        }
        out.u64(*gap_bytes);
        out.u64(*blind_spots);
        out.u8(u8::try_from(counts.len()).unwrap_or(u8::MAX));
        for (kind, count) in counts {
            out.u8(*kind as u8);
            out.u64(*count);
        }
        out.u16(u16::try_from(losses.len()).unwrap_or(u16::MAX));
        for Lost { place, reason, count, bytes } in losses {
            out.bytes(&place.to_le_bytes());
            out.bytes(&reason.to_le_bytes());
            out.u64(*count);
            out.u64(*bytes);
        }
    }

    /// Writes the manifest's block.
    pub(crate) fn block(&self, out: &mut Vec<u8>) {
        custom_block(out, kind::MANIFEST, None, |out| {
            self.write(out);
            out.u8(u8::from(self.signature.is_some()));
            if let Some(Signed { key, signature }) = &self.signature {
                out.bytes(&key.bytes);
                out.bytes(signature);
            }
        });
    }

    /// Reads a manifest block's custom data; also gives how many bytes of it are signed.
    pub(crate) fn read(body: &[u8]) -> Option<(Self, usize)> {
        let mut take = Take(body);
        let (segments, bytes, link, mut unknown) = (take.u64()?, take.u64()?, take.array()?, take.u64()?);
        let mut times = [None, None];
        for time in &mut times {
            let (known, value) = (take.boolean()?, take.u64()?);
            *time = known.then_some(value);
        }
        let [first, last] = times;
        let (gap_bytes, blind_spots) = (take.u64()?, take.u64()?);
        let mut counts = BTreeMap::new();
        for _ in 0..take.u8()? {
            match (Kind::from_number(take.u8()?), take.u64()?) {
                (Some(kind), count) => _ = counts.insert(kind, count),
                (None, count) => unknown = unknown.checked_add(count)?,
            }
        }
        let mut losses = Vec::new();
        for _ in 0..take.u16()? {
            let number = |take: &mut Take<'_>| take.array().map(i32::from_le_bytes);
            losses.push(Lost { place: number(&mut take)?, reason: number(&mut take)?, count: take.u64()?, bytes: take.u64()? });
        }
        let signed = body.len() - take.0.len();
        let signature = if take.boolean()? {
            Some(Signed { key: PublicKey { bytes: take.array()?, name: String::new() }, signature: take.array()? })
        } else {
            None
        };
        let summary = Summary { counts, unknown, first, last, losses, gap_bytes, blind_spots };
        Some((Self { summary, segments, bytes, link, signature }, signed))
    }
}

/// What is signed of a manifest.
fn message(body: &[u8], key: &PublicKey) -> Vec<u8> {
    [DOMAIN, body, &key.bytes].concat()
}

/// Sums up the items of a recording.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    summary: Summary,
    /// The run of the sensor that told last.
    run: Option<Option<prost_types::Timestamp>>,
    /// What was lost in that run before the recording, and what it told last.
    before: BTreeMap<(i32, i32), (u64, u64)>,
    now: BTreeMap<(i32, i32), (u64, u64)>,
    /// What earlier runs lost in the recording.
    earlier: BTreeMap<(i32, i32), (u64, u64)>,
}

impl Tally {
    pub(crate) fn item(&mut self, item: &Item<'_>) {
        *self.summary.counts.entry(item.kind()).or_default() += 1;
        if let Some(time) = item.time() {
            self.summary.first = Some(self.summary.first.map_or(time, |first| first.min(time)));
            self.summary.last = Some(self.summary.last.map_or(time, |last| last.max(time)));
        }
        match item {
            Item::Gap { bytes, .. } => self.summary.gap_bytes = self.summary.gap_bytes.saturating_add(bytes.unwrap_or(0)),
            Item::Event(v1::Event { body: Some(event::Body::Sensor(sensor)), .. }) => self.sensor(sensor),
            _ => {}
        }
    }

    pub(crate) fn unknown(&mut self) {
        self.summary.unknown += 1;
    }

    pub(crate) fn items(&self) -> u64 {
        self.summary.items()
    }

    /// The sensor counts from its start. So what it tells before anything was captured was lost before the recording.
    fn sensor(&mut self, sensor: &v1::Sensor) {
        let captured = [Kind::Chunk, Kind::Touch, Kind::Passed, Kind::Message, Kind::Noise, Kind::Gap];
        let captured = captured.iter().any(|kind| self.summary.count(*kind) > 0);
        let mut now = BTreeMap::new();
        for count in sensor.loss.iter().flat_map(|loss| &loss.counts).take(MAX_LOSSES) {
            now.insert((count.place, count.reason), (count.count, count.bytes));
        }
        if self.run != Some(sensor.started) {
            let first = self.run.is_none();
            self.earlier = self.lost();
            self.before = if first && !captured { now.clone() } else { BTreeMap::new() };
            self.run = Some(sensor.started);
        }
        self.now = now;
        self.summary.blind_spots = self.summary.blind_spots.max(sensor.blind_spots.len() as u64);
    }

    fn lost(&self) -> BTreeMap<(i32, i32), (u64, u64)> {
        let mut lost = self.earlier.clone();
        for (key, (count, bytes)) in &self.now {
            let (count_before, bytes_before) = self.before.get(key).copied().unwrap_or_default();
            if lost.len() < MAX_LOSSES || lost.contains_key(key) {
                let sum = lost.entry(*key).or_default();
                sum.0 = sum.0.saturating_add(count.saturating_sub(count_before));
                sum.1 = sum.1.saturating_add(bytes.saturating_sub(bytes_before));
            }
        }
        lost
    }

    pub(crate) fn summary(&self) -> Summary {
        let lost = self.lost().into_iter().filter(|(_, sums)| *sums != (0, 0));
        let losses = lost.map(|((place, reason), (count, bytes))| Lost { place, reason, count, bytes }).collect();
        Summary { losses, ..self.summary.clone() }
    }
}
