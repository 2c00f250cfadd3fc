//! Which blocks can have a text: an index of contents that costs little to write.
//!
//! Each block has a signature, a bit for each run of three bytes in the text that can be searched for ([`crate::event::text`]).
//! While a partition is open, signatures are rows of `signs_N`, one a block. When it is sealed they are turned around into
//! `slices_N`: for each bit one row, which says in which blocks it is set. A search then reads as many short rows as the words
//! have runs, whatever the partition's size. (SQLite's FTS5 with trigrams finds single events, and costs more to write than all
//! the rest of an event together; measured by `examples/ingest_speed.rs`.)
//!
//! Invariant: a block that is left out has no event with the words; one that is not may have none either.

use rusqlite::{Connection, OptionalExtension as _};

use crate::event::text::{self, BITS, Words};
use crate::event::{Filter, Keys};

/// Bytes of a signature. Two of them and their keys fit into a page of the database.
const BYTES: usize = BITS / 8;

/// The row of `slices_N` that has the first cursors of the blocks, 8 bytes each.
const FIRSTS: i64 = -1;

/// The signature of the block that is being filled.
#[derive(Clone, Debug, Default)]
pub(super) struct Signature {
    /// Empty, or [`BYTES`] long.
    bits: Vec<u8>,
    folded: Vec<u8>,
}

impl Signature {
    /// As it was written.
    pub(super) const fn reopen(bits: Vec<u8>) -> Self {
        Self { bits, folded: Vec::new() }
    }

    /// Adds what of an event can be searched for.
    pub(super) fn add(&mut self, keys: &Keys) {
        for text in [&keys.arguments, &keys.error] {
            if text.is_empty() {
                continue;
            }
            self.bits.resize(BYTES, 0);
            self.folded.clear();
            text::fold(text, &mut self.folded);
            for bit in text::bits(&self.folded) {
                if let Some(byte) = self.bits.get_mut(bit / 8) {
                    *byte |= 1 << (bit % 8);
                }
            }
        }
    }

    /// Empties it for the next block.
    pub(super) fn clear(&mut self) {
        self.bits.clear();
        self.folded.shrink_to(1 << 20);
    }

    /// Writes it for the block that begins with this cursor. A block without text has none.
    pub(super) fn write(&self, connection: &Connection, partition: i64, first: i64) -> rusqlite::Result<()> {
        if self.bits.is_empty() {
            return Ok(());
        }
        let mut insert = connection.prepare_cached(&format!("INSERT OR REPLACE INTO signs_{partition} VALUES (?1, ?2)"))?;
        insert.execute((first, &self.bits)).map(|_| ())
    }
}

/// The signature of a block that was written; an empty one where it has no text.
pub(super) fn read(connection: &Connection, partition: i64, first: i64) -> rusqlite::Result<Signature> {
    let bits = connection
        .query_row(&format!("SELECT bits FROM signs_{partition} WHERE first = ?1"), [first], |row| row.get::<_, Vec<u8>>(0))
        .optional()?;
    Ok(Signature::reopen(bits.unwrap_or_default()))
}

/// Turns the signatures of a partition that is full around.
pub(super) fn seal(connection: &Connection, partition: i64) -> rusqlite::Result<()> {
    let mut firsts: Vec<u8> = Vec::new();
    let blocks: i64 = connection.query_row(&format!("SELECT count(*) FROM signs_{partition}"), [], |row| row.get(0))?;
    let width = usize::try_from(blocks).unwrap_or(0).div_ceil(8);
    let mut slices = vec![0_u8; BITS * width];
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
    drop(rows);
    drop(select);
    connection.execute_batch(&format!("CREATE TABLE slices_{partition} (bit INTEGER PRIMARY KEY, blocks BLOB NOT NULL);"))?;
    let mut insert = connection.prepare(&format!("INSERT INTO slices_{partition} VALUES (?1, ?2)"))?;
    insert.execute((FIRSTS, &firsts))?;
    for (bit, slice) in (0_i64..).zip(slices.chunks_exact(width.max(1))) {
        if slice.iter().any(|byte| *byte != 0) {
            insert.execute((bit, slice))?;
        }
    }
    drop(insert);
    connection.execute_batch(&format!("DROP TABLE signs_{partition};"))
}

/// Where in a partition, which ends with cursor `last`, what a filter looks for in text may be: pairs of a first cursor and one
/// behind the last, in their order.
pub(super) fn candidates(
    connection: &Connection,
    partition: i64,
    sealed: bool,
    last: i64,
    filter: &Filter,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let fields: Vec<Vec<Vec<usize>>> = [&filter.arguments, &filter.errors]
        .into_iter()
        .filter(|words| !words.is_empty())
        .map(|words| words.iter().map(Words::bits).collect())
        .collect();
    let blocks = if sealed { of_slices(connection, partition, &fields) } else { of_signs(connection, partition, &fields) }?;
    // Blocks without text have no signature; they count to the one before.
    let ends = blocks.iter().skip(1).map(|(first, _)| *first).chain([last.saturating_add(1)]);
    Ok(blocks.iter().zip(ends).filter(|((_, may), _)| *may).map(|((first, _), end)| (*first, end)).collect())
}

/// The blocks with text of an open partition, and whether each may have what is looked for.
fn of_signs(connection: &Connection, partition: i64, fields: &[Vec<Vec<usize>>]) -> rusqlite::Result<Vec<(i64, bool)>> {
    let mut select = connection.prepare(&format!("SELECT first, bits FROM signs_{partition} ORDER BY first"))?;
    let mut rows = select.query([])?;
    let mut blocks = Vec::new();
    while let Some(row) = rows.next()? {
        let bits = row.get_ref(1)?.as_blob()?;
        let has = |bit: &usize| bits.get(bit / 8).is_some_and(|byte| byte & 1 << (bit % 8) != 0);
        blocks.push((row.get(0)?, fields.iter().all(|words| words.iter().any(|asked| asked.iter().all(has)))));
    }
    Ok(blocks)
}

/// The same of a sealed partition.
fn of_slices(connection: &Connection, partition: i64, fields: &[Vec<Vec<usize>>]) -> rusqlite::Result<Vec<(i64, bool)>> {
    let mut select = connection.prepare(&format!("SELECT blocks FROM slices_{partition} WHERE bit = ?1"))?;
    let mut slice = |bit: i64| select.query_row([bit], |row| row.get::<_, Vec<u8>>(0)).optional();
    let firsts = slice(FIRSTS)?.unwrap_or_default();
    let width = (firsts.len() / 8).div_ceil(8);
    let mut found = vec![u8::MAX; width];
    for words in fields {
        let mut of_field = vec![0; width];
        for asked in words {
            let mut of_words = vec![u8::MAX; width];
            for bit in asked {
                let blocks = slice(i64::try_from(*bit).unwrap_or(i64::MAX))?.unwrap_or_else(|| vec![0; width]);
                of_words.iter_mut().zip(blocks).for_each(|(found, blocks)| *found &= blocks);
            }
            of_field.iter_mut().zip(of_words).for_each(|(found, words)| *found |= words);
        }
        found.iter_mut().zip(of_field).for_each(|(found, field)| *found &= field);
    }
    let is_found = |block: usize| found.get(block / 8).is_some_and(|byte| byte & 1 << (block % 8) != 0);
    let firsts = firsts.as_chunks().0.iter().map(|first| i64::from_le_bytes(*first));
    Ok(firsts.enumerate().map(|(block, first)| (first, is_found(block))).collect())
}
