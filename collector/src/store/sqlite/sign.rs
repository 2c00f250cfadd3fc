//! Which blocks can have what is looked for: an index that costs little to write.
//!
//! Each block has a signature: bits for the numbers in its rows (tools, sessions, peers, ...), and bits for the runs of three
//! bytes in the text that can be searched for ([`crate::event::text`]). While a partition is open, signatures are rows of
//! `signs_N`, one a block. When it is sealed they are turned around into `slices_N`: for each bit one row, which says in which
//! blocks it is set. A search reads a few short rows of a partition, whatever its size, and then only the blocks that have all
//! of the bits.
//!
//! (Indexes of SQLite on the same columns, and its full-text search all the more, find single events, and cost a large part of
//! all that writing an event costs. A block is some dozen rows: reading these costs microseconds.)
//!
//! Invariant: a block that is left out has no event that matches; one that is not may have none either.

use rusqlite::{Connection, OptionalExtension as _};

use super::sums::Ids;
use crate::event::text;
use crate::event::{Keys, text::Words};

/// Bits for numbers. A full block has some hundred different ones at most.
const KEY_BITS: usize = 8_192;

/// Bytes of a signature. Two of them fit into a page of the database.
const BYTES: usize = (KEY_BITS + text::BITS) / 8;

/// The row of `slices_N` that has the first cursors of the blocks, 8 bytes each.
const FIRSTS: i64 = -1;

/// The highest severity of the contract; those above are one.
const MAX_SEVERITY: u8 = 7;

/// What one field asks for: the bits of each of its alternatives.
pub(super) type Asked = Vec<Vec<usize>>;

/// A column of rows whose numbers are in signatures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Column {
    Kind,
    Severity,
    Node,
    Session,
    Client,
    Server,
    Tool,
    Method,
    ClientProcess,
    ServerProcess,
    Failure,
}

impl Column {
    /// Its name in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Severity => "severity",
            Self::Node => "node",
            Self::Session => "session",
            Self::Client => "client",
            Self::Server => "server",
            Self::Tool => "tool",
            Self::Method => "method",
            Self::ClientProcess => "client_process",
            Self::ServerProcess => "server_process",
            Self::Failure => "failure",
        }
    }

    /// The bits of one of its numbers.
    pub(super) fn bits(self, number: i64) -> [usize; 2] {
        // The finaliser of SplitMix64: every bit of the number changes every bit of the hash.
        let mixed = number.unsigned_abs() ^ (self as u64) << 56;
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        [mixed >> 40, mixed >> 8].map(|hash| (hash as usize) % KEY_BITS)
    }
}

/// The alternatives of at least this severity.
pub(super) fn severities(least: u8) -> Asked {
    (least.min(MAX_SEVERITY)..=MAX_SEVERITY).map(|severity| Column::Severity.bits(severity.into()).to_vec()).collect()
}

/// The alternatives of text.
pub(super) fn words(words: &[Words]) -> Asked {
    words.iter().map(|words| words.bits().into_iter().map(|bit| KEY_BITS + bit).collect()).collect()
}

/// The signature of the block that is being filled.
#[derive(Clone, Debug, Default)]
pub(super) struct Signature {
    /// Empty, or [`BYTES`] long.
    bits: Vec<u8>,
    folded: Vec<u8>,
}

impl Signature {
    /// Adds an event.
    pub(super) fn add(&mut self, keys: &Keys, ids: &Ids) {
        self.bits.resize(BYTES, 0);
        let Ids { node, session, client, server, tool, method } = *ids;
        let numbers = [
            (Column::Kind, keys.kind.into()),
            (Column::Severity, keys.severity.min(MAX_SEVERITY).into()),
            (Column::Node, node),
            (Column::Session, session),
            (Column::Client, client.names),
            (Column::Server, server.names),
            (Column::Tool, tool),
            (Column::Method, method),
            (Column::ClientProcess, client.process),
            (Column::ServerProcess, server.process),
            (Column::Failure, keys.failure.into()),
        ];
        for (column, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
            column.bits(number).into_iter().for_each(|bit| set(&mut self.bits, bit));
        }
        for text in [&keys.arguments, &keys.error] {
            self.folded.clear();
            text::fold(text, &mut self.folded);
            text::bits(&self.folded).for_each(|bit| set(&mut self.bits, KEY_BITS + bit));
        }
    }

    /// Empties it for the next block.
    pub(super) fn clear(&mut self) {
        self.bits.clear();
        self.folded.clear();
        self.folded.shrink_to(1 << 20);
    }

    /// Writes it for the block that begins with this cursor.
    pub(super) fn write(&self, connection: &Connection, partition: i64, first: i64) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(&format!("INSERT OR REPLACE INTO signs_{partition} VALUES (?1, ?2)"))?;
        insert.execute((first, &self.bits)).map(|_| ())
    }
}

fn set(bits: &mut [u8], bit: usize) {
    if let Some(byte) = bits.get_mut(bit / 8) {
        *byte |= 1 << (bit % 8);
    }
}

fn is_set(bits: &[u8], bit: usize) -> bool {
    bits.get(bit / 8).is_some_and(|byte| byte & 1 << (bit % 8) != 0)
}

/// The signature of a block that was written.
pub(super) fn read(connection: &Connection, partition: i64, first: i64) -> rusqlite::Result<Signature> {
    let bits = connection.query_row(&format!("SELECT bits FROM signs_{partition} WHERE first = ?1"), [first], |row| row.get(0))?;
    Ok(Signature { bits, folded: Vec::new() })
}

/// Turns the signatures of a partition that is full around.
pub(super) fn seal(connection: &Connection, partition: i64) -> rusqlite::Result<()> {
    let mut firsts: Vec<u8> = Vec::new();
    let blocks: i64 = connection.query_row(&format!("SELECT count(*) FROM signs_{partition}"), [], |row| row.get(0))?;
    let width = usize::try_from(blocks).unwrap_or(0).div_ceil(8).max(1);
    let mut slices = vec![0_u8; BYTES * 8 * width];
    {
        let mut select = connection.prepare(&format!("SELECT first, bits FROM signs_{partition} ORDER BY first"))?;
        let mut rows = select.query([])?;
        let mut block = 0;
        while let Some(row) = rows.next()? {
            firsts.extend_from_slice(&row.get::<_, i64>(0)?.to_le_bytes());
            for (position, byte) in row.get_ref(1)?.as_blob()?.iter().enumerate() {
                let mut left = *byte;
                while left != 0 {
                    let bit = position * 8 + left.trailing_zeros() as usize;
                    if let Some(slice) = slices.get_mut(bit * width + block / 8) {
                        *slice |= 1 << (block % 8);
                    }
                    left &= left - 1;
                }
            }
            block += 1;
        }
    }
    connection.execute_batch(&format!("CREATE TABLE slices_{partition} (bit INTEGER PRIMARY KEY, blocks BLOB NOT NULL);"))?;
    {
        let mut insert = connection.prepare(&format!("INSERT INTO slices_{partition} VALUES (?1, ?2)"))?;
        insert.execute((FIRSTS, &firsts))?;
        for (bit, slice) in (0_i64..).zip(slices.chunks_exact(width)) {
            if slice.iter().any(|byte| *byte != 0) {
                insert.execute((bit, slice))?;
            }
        }
    }
    connection.execute_batch(&format!("DROP TABLE signs_{partition};"))
}

/// Where in a partition, which ends with cursor `last`, all of the fields may have one of their alternatives: pairs of a first
/// cursor and one behind the last, in their order.
pub(super) fn candidates(
    connection: &Connection,
    partition: i64,
    sealed: bool,
    last: i64,
    fields: &[Asked],
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let blocks = if sealed { of_slices(connection, partition, fields) } else { of_signs(connection, partition, fields) }?;
    let ends = blocks.iter().skip(1).map(|(first, _)| *first).chain([last.saturating_add(1)]);
    Ok(blocks.iter().zip(ends).filter(|((_, may), _)| *may).map(|((first, _), end)| (*first, end)).collect())
}

/// The blocks of an open partition, and whether each may have what is looked for.
fn of_signs(connection: &Connection, partition: i64, fields: &[Asked]) -> rusqlite::Result<Vec<(i64, bool)>> {
    let mut select = connection.prepare(&format!("SELECT first, bits FROM signs_{partition} ORDER BY first"))?;
    let mut rows = select.query([])?;
    let mut blocks = Vec::new();
    while let Some(row) = rows.next()? {
        let bits = row.get_ref(1)?.as_blob()?;
        let may = |asked: &Asked| asked.iter().any(|one| one.iter().all(|bit| is_set(bits, *bit)));
        blocks.push((row.get(0)?, fields.iter().all(may)));
    }
    Ok(blocks)
}

/// The same of a sealed partition.
fn of_slices(connection: &Connection, partition: i64, fields: &[Asked]) -> rusqlite::Result<Vec<(i64, bool)>> {
    let mut select = connection.prepare(&format!("SELECT blocks FROM slices_{partition} WHERE bit = ?1"))?;
    let mut slice = |bit: i64| select.query_row([bit], |row| row.get::<_, Vec<u8>>(0)).optional();
    let firsts = slice(FIRSTS)?.unwrap_or_default();
    let width = (firsts.len() / 8).div_ceil(8);
    let mut found = vec![u8::MAX; width];
    for asked in fields {
        let mut of_field = vec![0; width];
        for one in asked {
            // Where nothing is left, nothing comes back.
            let mut of_one = found.clone();
            for bit in one {
                let blocks = slice(i64::try_from(*bit).unwrap_or(i64::MAX))?.unwrap_or_else(|| vec![0; width]);
                of_one.iter_mut().zip(blocks).for_each(|(found, blocks)| *found &= blocks);
            }
            of_field.iter_mut().zip(of_one).for_each(|(found, one)| *found |= one);
        }
        found = of_field;
    }
    let firsts = firsts.as_chunks().0.iter().map(|first| i64::from_le_bytes(*first));
    Ok(firsts.enumerate().map(|(block, first)| (first, is_set(&found, block))).collect())
}
